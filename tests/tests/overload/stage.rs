//! What each overload has around it: a server, a pair whose probes must get through, a watch on KEEPALIVEs,
//! and the server's memory.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_replay::PeerOptions;
use thruway_replay::generate::{GenerateOptions, Generator};
use thruway_replay::speaker::Speaker;
use thruway_replay::table::{Run, Table};
use thruway_tests::rig::{OPEN, PATIENCE, Rig, client, client_addr, clients, prefix, set};
use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::{Community, Nlri, Prefix};

use crate::link::{Heard, Watch};

/// Clients 1 to 5 hear and say everything.
const OPEN_CLIENTS: u8 = 5;
const PROBES_FROM: u8 = 6;
const PROBES_TO: u8 = 7;
const WATCH: u8 = 8;
/// Everything, with a SendHoldTimer as short as the hold time allows.
pub(crate) const IMPATIENT: u8 = 9;
/// Marks probes: who hears only them need not take a flood, and who hears a flood only them not.
pub(crate) const PROBE: Community = Community(64_500 << 16 | 777);
const PROBE_PREFIX: &str = "203.0.113.0/24";
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// An UPDATE that takes this long is lost. Others are only slow, and printed.
const STARVED: Duration = Duration::from_secs(5);

/// A server with a pair of probing clients and a watch.
pub(crate) struct Stage {
    pub(crate) rig: Rig,
    title: String,
    probes: JoinHandle<Vec<Duration>>,
    watch: Watch,
    over: Arc<AtomicBool>,
}

fn config() -> String {
    let mut text = clients(OPEN_CLIENTS, OPEN);
    text += &client(PROBES_FROM, "");
    text += &client(PROBES_TO, "export = \"probes\"");
    text += &client(WATCH, "export = \"nothing\"");
    text += &client(IMPATIENT, "send-hold = 4");
    text += "[[peer]]\nname = \"flappers\"\nprefix = \"127.0.2.0/24\"\nasn = \"any\"\n\
             group = \"clients\"\nexport = \"no-probes\"\n\
             [policy.nothing]\n\
             [[policy.probes.statement]]\nmatch.community = [\"64500:777\"]\nthen = \"accept\"\n\
             [policy.no-probes]\ndefault = \"accept\"\n\
             [[policy.no-probes.statement]]\nmatch.community = [\"64500:777\"]\nthen = \"reject\"\n";
    text
}

impl Stage {
    pub(crate) fn start(transport: &str, title: &str) -> Stage {
        let rig = Rig::start(transport, &config());
        let (from, to) = (
            rig.connect_as(PROBES_FROM, brief(&rig, PROBES_FROM)),
            rig.connect_as(PROBES_TO, brief(&rig, PROBES_TO)),
        );
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let watch = Watch::connect(&rig, WATCH);
        rig.wait_peer(&format!("c{WATCH}"), "/state", "Established");
        let probes = std::thread::spawn(move || probe(&from, &to, &stop));
        Stage {
            rig,
            title: format!("{title}, {transport}"),
            probes,
            watch,
            over,
        }
    }

    /// Connects client `n` with a hold time of 3 s, as everybody here.
    pub(crate) fn connect(&self, n: u8) -> Speaker {
        self.rig.connect_as(n, brief(&self.rig, n))
    }

    pub(crate) fn say(&self, text: &str) {
        println!("{}: {text}", self.title);
    }

    /// Ends the probes and the watch: nothing may have been starved. Prints what they measured.
    pub(crate) fn finish(self) -> Heard {
        self.over.store(true, Ordering::Relaxed);
        let mut times = self.probes.join().expect("the probes got through");
        let heard = self.watch.finish();
        times.sort_unstable();
        let at = |part: f64| {
            let index = (times.len() as f64 * part) as usize;
            let time = times.get(index.min(times.len() - 1)).copied();
            time.unwrap_or_default().as_secs_f64() * 1000.0
        };
        println!(
            "{}: {} probes p50 {:.2} ms, p99 {:.1} ms, max {:.1} ms; {} KEEPALIVEs, largest gap {:.2} s",
            self.title,
            times.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            heard.keepalives,
            heard.gap.as_secs_f64(),
        );
        assert!(heard.keepalives > 1, "{heard:?}");
        assert!(heard.gap < Duration::from_secs(3), "{heard:?}");
        heard
    }

    /// The server's resident memory in MiB: now, and at most since [`Stage::forget_peak`].
    pub(crate) fn memory(&self) -> (f64, f64) {
        let file = format!("/proc/{}/status", self.rig.id());
        let text = fs::read_to_string(file).expect("the server runs");
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            let kib: f64 = number.and_then(|n| n.parse().ok()).expect("a number");
            kib / 1024.0
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// From here on the peak is a new one.
    pub(crate) fn forget_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.rig.id());
        fs::write(file, "5").expect("it is our child");
    }

    /// Waits until a speaker has all of a table as it was told.
    pub(crate) fn wait_table(&self, speaker: &Speaker, who: &str, table: &Table) {
        let start = Instant::now();
        loop {
            if let Some(end) = speaker.ended() {
                panic!("{who}: {end}\n{}", self.rig.log());
            }
            let found = lacks(speaker, table);
            if found.is_empty() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{who} lacks {found}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Client n's options with the shortest hold time that there is.
pub(crate) fn brief(rig: &Rig, n: u8) -> PeerOptions {
    PeerOptions {
        hold_time: 3,
        ..rig.client(n)
    }
}

/// What a speaker's table lacks of what was told; empty where it has all.
pub(crate) fn lacks(speaker: &Speaker, table: &Table) -> String {
    speaker.with_table(|received| {
        let wrong = |(nlri, set): &(Nlri<Prefix>, Option<&AttrSet>)| {
            let got = received.path(*nlri).map(AttrSet::as_ref);
            got != set.map(AttrSet::as_ref)
        };
        let mut wrong = table.routes().filter(wrong);
        let first = wrong.next().map(|(nlri, _)| nlri.prefix);
        first.map_or(String::new(), |first| {
            format!("{} prefixes, {first} first", 1 + wrong.count())
        })
    })
}

/// Each probe is one new version of a prefix; the next one goes when it has come.
fn probe(from: &Speaker, to: &Speaker, over: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut number = 0;
    while !over.load(Ordering::Relaxed) || times.is_empty() {
        number += 1;
        let tag = Community(number);
        let path = [64_600 + u32::from(PROBES_FROM)];
        let set = set(&path, IpAddr::V4(client_addr(PROBES_FROM)), &[PROBE, tag]);
        let start = Instant::now();
        from.announce_prefixes(&[prefix(PROBE_PREFIX)], set.as_ref());
        let came = to.wait_for(
            |table| {
                let set = table.get(prefix(PROBE_PREFIX));
                set.is_some_and(|set| set.as_ref().communities().any(|one| one == tag))
            },
            STARVED,
        );
        if let Err(error) = came {
            panic!("probe {number}: {error}");
        }
        times.push(start.elapsed());
        std::thread::sleep(PROBE_EVERY);
    }
    for speaker in [from, to] {
        assert_eq!(speaker.ended(), None);
    }
    times
}

/// A table as client 1 tells it.
pub(crate) fn generated(prefixes: u32) -> Table {
    let options = GenerateOptions {
        ipv4: prefixes,
        ..GenerateOptions::default()
    };
    Generator::new(options).expect("not too many").table()
}

/// The same routes with other attributes: one more community.
pub(crate) fn version(table: &Table, number: u32) -> Table {
    table.with_sets(|_, set| {
        let mut buf = AttrSetBuf::new();
        buf.copy_from(set);
        buf.add_community(Community(number));
        Some(AttrSet::new(buf.as_ref()))
    })
}

/// A table as UPDATEs, so that a speaker can repeat it at full rate.
pub(crate) fn encoded(table: &Table) -> (Bytes, usize) {
    let (mut out, mut messages) = (Vec::new(), 0);
    for group in table.groups() {
        let (Some(set), Run::V4(run)) = (&group.set, table.run(group)) else {
            continue;
        };
        let nlri = run.iter().copied();
        messages += encode::announce(
            &mut out,
            set.as_ref(),
            &Rewrite::TRANSPARENT,
            &Encoding::PLAIN,
            nlri,
        )
        .expect("generated sets are small");
    }
    (out.into(), messages)
}

/// Sends the same UPDATEs in turn, as fast as they are taken, until `over`; how many went.
pub(crate) fn flood(speaker: &Speaker, streams: &[(Bytes, usize)], span: Duration) -> usize {
    let start = Instant::now();
    let mut sent = 0;
    for (bytes, messages) in streams.iter().cycle() {
        if start.elapsed() >= span {
            break;
        }
        speaker.send(bytes.clone());
        if let Err(error) = speaker.wait_until_sent(PATIENCE) {
            panic!("the flood: {error}");
        }
        sent += messages;
    }
    sent
}
