//! Routing beside a model of a kernel, which loses notifications as a real one does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use thruway_wire::Prefix;

use super::*;
use crate::table::{ChangeKind, Found, Gateway, Hop, Lookup, Owner};

const TARGET: KernelTable = KernelTable {
    table: 100,
    protocol: 179,
    metric: 20,
    max_paths: 4,
    keep_on_exit: false,
};
/// Notifications that wait at most; the next one is lost, and all until none waits.
const ROOM: usize = 8;

/// What the kernel tells.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// We put a route there.
    Own(Prefix),
    /// Somebody else took one out.
    Lost(Prefix),
}

/// A kernel, and whoever else is at it.
#[derive(Default)]
struct Model {
    routes: BTreeMap<Prefix, Vec<Hop>>,
    queue: VecDeque<Told>,
    congested: bool,
    overrun: bool,
    /// Notifications read at a time.
    pace: usize,
    /// Taken out by somebody else while the table is read, once this many routes were read.
    during: Vec<(usize, Prefix)>,
    /// Refuses these requests, one after the other.
    refuse: VecDeque<Refusal>,
    /// Fails so many writes or readings as a whole.
    broken: usize,
    /// The next reading is not whole.
    interrupted: bool,
    readings: usize,
    settled: usize,
}

impl Model {
    fn tell(&mut self, told: Told) {
        if self.congested || self.queue.len() >= ROOM {
            self.overrun |= !self.congested;
            self.congested = true;
        } else {
            self.queue.push_back(told);
        }
    }

    /// Somebody else takes a route out.
    fn take_out(&mut self, prefix: Prefix) {
        if self.routes.remove(&prefix).is_some() {
            self.tell(Told::Lost(prefix));
        }
    }

    fn write_one(&mut self, change: &Change) -> Result<(), Refusal> {
        if let Some(refusal) = self.refuse.pop_front() {
            return Err(refusal);
        }
        let is_there = self.routes.contains_key(&change.prefix);
        match &change.kind {
            ChangeKind::Add(_) if is_there => return Err(Refusal::Exists),
            ChangeKind::Replace(_) | ChangeKind::Remove if !is_there => {
                return Err(Refusal::Missing);
            }
            ChangeKind::Add(hops) | ChangeKind::Replace(hops) => {
                self.routes.insert(change.prefix, hops.to_vec());
                self.tell(Told::Own(change.prefix));
            }
            ChangeKind::Remove => {
                self.routes.remove(&change.prefix);
            }
            ChangeKind::Clear { .. } => {}
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Modelled(Arc<Mutex<Model>>);

impl Modelled {
    fn change<R>(&self, change: impl FnOnce(&mut Model) -> R) -> R {
        change(&mut self.0.lock().unwrap())
    }
}

impl Fib for Modelled {
    fn set_target(&mut self, _: KernelTable) {}

    fn heard(&mut self) -> Notes {
        self.change(|model| {
            let mut notes = Notes {
                resync: std::mem::take(&mut model.overrun),
                ..Notes::default()
            };
            for _ in 0..model.pace.max(1) {
                match model.queue.pop_front() {
                    Some(Told::Own(prefix)) => {
                        notes.lost.remove(&prefix);
                    }
                    Some(Told::Lost(prefix)) => {
                        notes.lost.insert(prefix);
                    }
                    None => {}
                }
                if model.queue.is_empty() {
                    model.congested = false;
                    return notes;
                }
            }
            notes.more = true;
            notes
        })
    }

    fn write(&mut self, changes: &[Change]) -> io::Result<Vec<Result<(), Refusal>>> {
        self.change(|model| {
            if model.broken > 0 {
                model.broken -= 1;
                // Some of it was done.
                let _ = model.write_one(&changes[0]);
                return Err(io::Error::other("no room"));
            }
            Ok(changes.iter().map(|c| model.write_one(c)).collect())
        })
    }

    fn settle(&mut self) -> io::Result<()> {
        self.change(|model| model.settled += 1);
        Ok(())
    }

    fn installed(&mut self, take: &mut dyn FnMut(Found<'_>)) -> io::Result<bool> {
        self.change(|model| {
            model.readings += 1;
            let mut last = None;
            for read in 0.. {
                let due = |(at, _): &&(usize, Prefix)| *at <= read;
                let gone: Vec<Prefix> = model.during.iter().filter(due).map(|d| d.1).collect();
                model.during.retain(|(at, _)| *at > read);
                gone.into_iter().for_each(|prefix| model.take_out(prefix));
                let next = model.routes.iter().find(|(at, _)| Some(**at) > last);
                let Some((prefix, hops)) = next else { break };
                take(Found {
                    prefix: *prefix,
                    owner: Owner::Ours,
                    hops,
                });
                last = Some(*prefix);
            }
            Ok(!std::mem::take(&mut model.interrupted))
        })
    }

    fn resolve(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<(IpAddr, Lookup)>> {
        let way = |addr: &IpAddr| {
            let hop = Hop {
                via: *addr,
                link: 7,
            };
            let interface = "eth0".into();
            (*addr, Ok(vec![Gateway { hop, interface }]))
        };
        Ok(addrs.iter().map(way).collect())
    }
}

struct Rig {
    model: Modelled,
    routing: Routing<Modelled>,
    table: Shared,
    now: Instant,
}

fn prefix(n: usize) -> Prefix {
    format!("10.{n}.0.0/16").parse().unwrap()
}

impl Rig {
    /// So many routes, all in the kernel.
    fn new(count: usize) -> Self {
        let (model, now) = (Modelled::default(), Instant::now());
        model.change(|model| model.pace = 1000);
        let table = Shared::new(Table::new(Some(TARGET)));
        for n in 0..count {
            let next_hop = "10.0.0.2".parse().unwrap();
            table.lock().announce(prefix(n), 1, next_hop);
        }
        let routing = Routing::new(model.clone(), now);
        let mut rig = Rig {
            model,
            routing,
            table,
            now,
        };
        rig.settle();
        assert_eq!(rig.model.change(|model| model.routes.len()), count);
        rig
    }

    fn turn(&mut self) {
        self.routing.turn(&self.table, false, self.now);
    }

    /// Turns until it would wait for the next comparison without a reason. Gives the time passed.
    fn settle(&mut self) -> Duration {
        let begun = self.now;
        loop {
            self.turn();
            let at = self.routing.wake_at(&self.table, self.now);
            let at = at.expect("a comparison is always ahead");
            if at == self.routing.check_at && at > self.now {
                return self.now - begun;
            }
            self.now = self.now.max(at);
        }
    }

    /// What is thought to be there is there, and nothing else.
    #[track_caller]
    fn assert_true(&self) {
        let known = self.table.lock().installed();
        let known: BTreeMap<Prefix, Vec<Hop>> = known
            .into_iter()
            .map(|(p, hops)| (p, hops.to_vec()))
            .collect();
        assert_eq!(known, self.model.change(|model| model.routes.clone()));
    }
}

#[test]
fn what_an_overrun_hides_is_found() {
    let mut rig = Rig::new(40);
    // The queue is full after a few; the rest is lost.
    rig.model
        .change(|model| (0..30).for_each(|n| model.take_out(prefix(n))));
    let took = rig.settle();
    rig.assert_true();
    assert_eq!(rig.model.change(|model| model.routes.len()), 40);
    assert!(
        took < CHECK,
        "the overrun asks for it, not the clock: {took:?}"
    );
}

#[test]
fn a_full_queue_is_emptied_before_the_table_is_read() {
    let mut rig = Rig::new(40);
    // It is read in small pieces, and more is lost in silence as long as it is not empty.
    rig.model.change(|model| {
        model.pace = 2;
        (0..12).for_each(|n| model.take_out(prefix(n)));
        model.during = vec![(30, prefix(20))];
    });
    rig.now += RESYNC_DELAY;
    rig.routing.compare_at = Some(rig.now);
    rig.routing.compare(&rig.table, false, rig.now);
    assert!(!rig.model.change(|model| model.congested));
    rig.settle();
    rig.assert_true();
    assert_eq!(rig.model.change(|model| model.routes.len()), 40);
}

#[test]
fn an_overrun_while_the_table_is_read_has_it_read_again() {
    let mut rig = Rig::new(40);
    let before = rig.model.change(|model| {
        // Behind the reader's back, more than there is room for.
        model.during = (0..20).map(|n| (35, prefix(n))).collect();
        model.readings
    });
    rig.routing.compare(&rig.table, false, rig.now);
    let took = rig.settle();
    rig.assert_true();
    let (routes, readings) = rig
        .model
        .change(|model| (model.routes.len(), model.readings));
    assert_eq!(routes, 40);
    assert!(
        readings >= before + 2 && took < CHECK,
        "{readings} {took:?}"
    );
}

#[test]
fn a_reading_that_others_interrupt_is_done_again() {
    let mut rig = Rig::new(10);
    rig.model.change(|model| {
        model.interrupted = true;
        model.routes.remove(&prefix(3));
    });
    rig.routing.compare(&rig.table, false, rig.now);
    assert_eq!(rig.table.lock().totals().in_kernel, 10, "it proves nothing");
    let took = rig.settle();
    rig.assert_true();
    assert!(took < CHECK, "{took:?}");
    assert_eq!(rig.table.lock().totals().repaired, 1);
}

#[test]
fn what_goes_without_a_word_is_found_in_time() {
    let mut rig = Rig::new(10);
    rig.model.change(|model| {
        model.routes.remove(&prefix(3));
        let hops = model.routes.values().next().unwrap().clone();
        model.routes.insert(prefix(99), hops);
    });
    assert_eq!(rig.settle(), Duration::ZERO);
    rig.now += CHECK;
    rig.settle();
    rig.assert_true();
    assert_eq!(rig.model.change(|model| model.routes.len()), 10);
}

#[test]
fn what_cannot_be_written_is_written_later() {
    let mut rig = Rig::new(3);
    rig.model.change(|model| {
        (0..3).for_each(|n| model.take_out(prefix(n)));
        model.refuse = [Refusal::Busy("no memory".into()), Refusal::Exists].into();
    });
    let took = rig.settle();
    rig.assert_true();
    assert_eq!(rig.model.change(|model| model.routes.len()), 3);
    assert!(took <= 2 * RECOVER, "{took:?}");
    // A whole batch of which nobody knows what was done.
    rig.model.change(|model| {
        (0..3).for_each(|n| model.take_out(prefix(n)));
        model.broken = 1;
    });
    let took = rig.settle();
    rig.assert_true();
    assert_eq!(rig.model.change(|model| model.routes.len()), 3);
    assert!(took <= 2 * RECOVER, "{took:?}");
}

/// Anything at any time: when it is over, the next comparison leaves no difference.
#[test]
fn the_kernel_and_the_table_agree_in_the_end() {
    for seed in 1..=300_u64 {
        let mut state = seed;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut rig = Rig::new(30);
        for _ in 0..40 {
            let (pace, count, at) = (1 + random(12), random(14), random(30));
            let silent = random(4) == 0;
            rig.model.change(|model| {
                model.pace = pace;
                for _ in 0..count {
                    let prefix = prefix(random(30));
                    match random(3) {
                        0 => model.during.push((at, prefix)),
                        _ if silent => drop(model.routes.remove(&prefix)),
                        _ => model.take_out(prefix),
                    }
                }
                model.interrupted = random(8) == 0;
                model.broken = usize::from(random(16) == 0);
            });
            let n = random(30);
            let next_hop = format!("10.0.0.{}", 2 + random(3)).parse().unwrap();
            match random(4) {
                0 => rig.table.lock().withdraw(prefix(n), 1),
                1 => rig.table.lock().announce(prefix(n), 1, next_hop),
                _ => {}
            }
            rig.now += Duration::from_millis(random(400) as u64);
            rig.turn();
        }
        rig.settle();
        rig.model.change(|model| model.during.clear());
        rig.now = rig.now.max(rig.routing.check_at);
        rig.settle();
        rig.assert_true();
        let wanted = rig.table.lock().totals().routes;
        assert_eq!(rig.table.lock().totals().in_kernel, wanted, "seed {seed}");
    }
}
