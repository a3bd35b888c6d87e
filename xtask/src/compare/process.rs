//! What a daemon's processes used, from /proc.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// CPU time of a process tree, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cpu {
    /// All threads' time on a core, to the nanosecond.
    pub(super) seconds: f64,
    /// The part of it in user space; to the kernel's tick, 10 ms.
    pub(super) user: f64,
    /// The part of it in the kernel.
    pub(super) system: f64,
}

/// Memory of a process tree, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Resident now.
    pub(super) resident: u64,
    /// Resident at most so far.
    pub(super) peak: u64,
}

/// A process and its descendants.
#[derive(Debug)]
pub(super) struct Tree {
    root: u32,
    // Time of threads by id: one that ended keeps what it had when last seen.
    threads: BTreeMap<u32, u64>,
}

impl Tree {
    pub(super) fn new(root: u32) -> Self {
        Tree {
            root,
            threads: BTreeMap::new(),
        }
    }

    /// The process and its descendants as they are now.
    pub(super) fn processes(&self) -> Vec<u32> {
        let parents = parents();
        let mut found = vec![self.root];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            let children = parents.iter().filter(|(_, of)| **of == parent);
            found.extend(children.map(|(child, _)| *child));
            next += 1;
        }
        found
    }

    pub(super) fn cpu(&mut self) -> Cpu {
        let mut cpu = Cpu::default();
        for process in self.processes() {
            for thread in numbers(&format!("/proc/{process}/task")) {
                if let Some(nanos) =
                    first_number(&format!("/proc/{process}/task/{thread}/schedstat"))
                {
                    self.threads.insert(thread, nanos);
                }
            }
            let (user, system) = user_and_system(process);
            cpu.user += user;
            cpu.system += system;
        }
        let nanos: u64 = self.threads.values().sum();
        // A kernel without CONFIG_SCHED_INFO has ticks only.
        cpu.seconds = match nanos {
            0 => cpu.user + cpu.system,
            _ => nanos as f64 / 1e9,
        };
        cpu
    }

    pub(super) fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for process in self.processes() {
            let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            memory.resident += kib(&text, "VmRSS:");
            memory.peak += kib(&text, "VmHWM:");
        }
        memory
    }

    /// From here on the peak is a new one: what reading the configuration took does not count.
    pub(super) fn reset_peak(&self) {
        for process in self.processes() {
            // Refused without root; the older peak stands then.
            let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
    }

    /// True where one of the processes listens on this TCP port.
    pub(super) fn listens(&self, port: u16) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/net/tcp", self.root)).unwrap_or_default();
        let port = format!(":{port:04X}");
        text.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().unwrap_or_default();
            // State 0A is LISTEN.
            local.ends_with(&port) && fields.nth(1) == Some("0A")
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        Path::new("/proc").join(self.root.to_string()).exists()
    }
}

/// CPU seconds that the whole machine has used since it started, idle time and waiting left out.
pub(super) fn machine_busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(8).enumerate();
    // Fields four and five are idle and waiting for a disk.
    let busy = ticks.filter(|(place, _)| ![3, 4].contains(place));
    busy.filter_map(|(_, field)| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str().and_then(|name| name.parse().ok()))
        .collect()
}

/// Every process with its parent.
fn parents() -> BTreeMap<u32, u32> {
    let processes = numbers("/proc").into_iter();
    let pairs = processes.filter_map(|process| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
        Some((process, parent))
    });
    pairs.collect()
}

fn user_and_system(process: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return (0.0, 0.0);
    };
    // Fields 14 and 15 of proc(5), in ticks of a hundredth of a second.
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || {
        let field = fields.next().and_then(|field| field.parse::<f64>().ok());
        field.unwrap_or_default() / 100.0
    };
    (ticks(), ticks())
}

fn first_number(path: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_time_and_memory() {
        let mut tree = Tree::new(std::process::id());
        let mut sum = 0_u64;
        while tree.cpu().seconds < 0.02 {
            sum = (0..100_000).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert_ne!(sum, 0);
        let memory = tree.memory();
        assert!(memory.resident > 500 && memory.peak >= memory.resident / 2);
        assert!(tree.is_alive() && tree.processes().contains(&std::process::id()));
    }

    #[test]
    fn status_lines_are_found() {
        let text = "Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t     99 kB\n";
        assert_eq!((kib(text, "VmHWM:"), kib(text, "VmRSS:")), (1234, 99));
        assert_eq!(kib(text, "VmSwap:"), 0);
    }
}
