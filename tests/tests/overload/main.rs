//! Overload, on loopback and over both transports: what must never happen is that a session is lost, that
//! memory has no bound, or that one peer starves another. How fast it is stands in the output
//! (`--nocapture`) and is no condition.
//!
//! Everybody has a hold time of 3 s, the shortest there is (RFC 4271 §4.2), so a KEEPALIVE that is late by
//! two seconds fails every one of these tests.

mod link;
mod stage;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thruway_replay::generate::Viewpoint;
use thruway_replay::load::{self, Expect, LoadOptions, Patience, Report, Sender, Speed};
use thruway_replay::progress::Silent;
use thruway_replay::speaker::{Speaker, SpeakerOptions};
use thruway_replay::table::Table;
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{PATIENCE, prefix, set};
use thruway_wire::{Asn, RouterId};

use link::Valve;
use stage::{IMPATIENT, PROBE, Stage, brief, encoded, flood, generated, version};

on_both! {
    a_slow_reader_costs_nobody_anything,
    one_that_reads_nothing_is_let_go,
    a_flood_is_held_back_and_starves_nobody,
    a_hundred_that_flap_at_once_leave_right_tables,
    a_table_for_a_new_peer_does_not_hold_up_the_others,
    keepalives_are_on_time_with_no_core_to_spare,
}

/// What a slow or flooding peer may cost in memory: queues of a few MiB, what the allocator keeps, and a
/// second set for each route while old ones are on their way out.
const GROWTH_MAX: f64 = 64.0;
const TABLE: u32 = 100_000;

fn a_slow_reader_costs_nobody_anything(transport: &str) {
    const ROUNDS: u32 = 6;
    const RATE: u64 = 10_000;
    /// KEEPALIVEs are due each second meanwhile.
    const LEAST: Duration = Duration::from_secs(3);
    let stage = Stage::start(transport, "10 kB/s");
    let fast = stage.connect(2);
    let (valve, slow) = Valve::connect(&stage.rig, 3, brief(&stage.rig, 3), RATE);
    let sender = stage.connect(1);
    let base = generated(TABLE);
    let start = Instant::now();
    sender.announce(base.clone());
    stage.wait_table(&fast, "the fast one", &base);
    stage.say(&format!(
        "a table after {:.2} s",
        start.elapsed().as_secs_f64()
    ));

    let (before, _) = stage.memory();
    stage.forget_peak();
    let mut last = base.clone();
    let mut rounds = 0;
    while rounds < ROUNDS || start.elapsed() < LEAST {
        rounds += 1;
        last = version(&base, rounds);
        sender.announce(last.clone());
        stage.wait_table(&fast, "the fast one", &last);
    }
    let (after, peak) = stage.memory();
    let (passed, queued) = (valve.passed(), stage.rig.peer("c3")["queued"].clone());
    stage.say(&format!(
        "{rounds} tables more passed in {:.1} s; the slow one took {passed} octets, {queued} wait; \
         memory {before:.0} MiB, then {after:.0}, peak {peak:.0}",
        start.elapsed().as_secs_f64()
    ));
    assert!(peak - before < GROWTH_MAX, "{before} MiB, then {peak}");
    let limit = RATE * (start.elapsed().as_secs() + 2) + (64 << 10);
    assert!(passed < limit, "it was not slow: {passed} octets");

    let start = Instant::now();
    valve.open();
    stage.wait_table(&slow, "the slow one", &last);
    stage.say(&format!(
        "it caught up in {:.2} s, with {} UPDATEs in all; {} went to the fast one",
        start.elapsed().as_secs_f64(),
        slow.stats().updates,
        fast.stats().updates,
    ));
    for speaker in [&fast, &slow, &sender] {
        assert_eq!(speaker.ended(), None);
    }
    stage.finish();
}

fn one_that_reads_nothing_is_let_go(transport: &str) {
    let stage = Stage::start(transport, "reads nothing");
    let name = format!("c{IMPATIENT}");
    let (fast, stuck) = (stage.connect(2), stage.connect(IMPATIENT));
    stuck.set_reading(false);
    let sender = stage.connect(1);
    let base = generated(TABLE);
    let start = Instant::now();
    sender.announce(base.clone());
    stage.wait_table(&fast, "the fast one", &base);
    let again = version(&base, 1);
    sender.announce(again.clone());
    stage.wait_table(&fast, "the fast one", &again);

    let is_told = |line: &str| line.contains(&name) && line.contains("Send Hold Timer Expired");
    wait_until("the SendHoldTimer expires", PATIENCE, || {
        stage.rig.log().lines().any(is_told)
    });
    let took = start.elapsed();
    stage.say(&format!("let go after {:.2} s", took.as_secs_f64()));
    // Not before its time: RFC 9687 wants more than the hold time.
    assert!(took >= Duration::from_secs(4), "{took:?}");
    let state = stage.rig.peer(&name)["state"].clone();
    assert_ne!(state, "Established");
    stuck.set_reading(true);
    let end = stuck.wait_until_ended(PATIENCE);
    stage.say(&format!("it hears: {}", end.expect("its session is over")));

    // It may come back, and nobody else noticed.
    let back = stage.connect(IMPATIENT);
    stage.wait_table(&back, "the one that is back", &again);
    for speaker in [&fast, &sender, &back] {
        assert_eq!(speaker.ended(), None);
    }
    stage.finish();
}

fn a_flood_is_held_back_and_starves_nobody(transport: &str) {
    let stage = Stage::start(transport, "flood");
    let receivers = [stage.connect(2), stage.connect(3)];
    // One that reads nearly nothing of it is behind by what changed, not by how often it did.
    let (valve, slow) = Valve::connect(&stage.rig, 4, brief(&stage.rig, 4), 10_000);
    let sender = stage.connect(1);
    let base = generated(20_000);
    let versions = [version(&base, 1), version(&base, 2)];
    let streams = versions.each_ref().map(encoded);
    flood(&sender, &streams, Duration::from_secs(1));
    let (before, _) = stage.memory();
    stage.forget_peak();
    let start = Instant::now();
    let sent = flood(&sender, &streams, Duration::from_secs(4));
    let rate = sent as f64 / start.elapsed().as_secs_f64();
    let (after, peak) = stage.memory();
    stage.say(&format!(
        "{rate:.0} UPDATEs a second; memory {before:.0} MiB, then {after:.0}, peak {peak:.0}"
    ));
    assert!(peak - before < GROWTH_MAX, "{before} MiB, then {peak}");
    // Held back, not dropped: the last thing said is what everybody has.
    sender.announce(base.clone());
    for receiver in &receivers {
        stage.wait_table(receiver, "a receiver", &base);
        assert_eq!(receiver.stats().malformed, 0);
    }
    valve.open();
    stage.wait_table(&slow, "the slow one", &base);
    assert_eq!(slow.ended(), None);
    let received = stage.rig.peer("c1")["ipv4"]["received"].clone();
    assert_eq!(received, base.len());
    stage.finish();
}

const FLAPPERS: u8 = 100;

fn flapper(stage: &Stage, n: u8) -> SessionOptions {
    let peer = PeerOptions {
        hold_time: 3,
        ..PeerOptions::new(
            Asn(64_700 + u32::from(n)),
            RouterId::from(Ipv4Addr::new(198, 18, 2, n)),
        )
    };
    SessionOptions {
        name: format!("flapper {n}"),
        link: Link::Connect {
            remote: stage.rig.addr(),
            local: Some(IpAddr::V4(Ipv4Addr::new(127, 0, 2, n))),
        },
        peer,
        md5: None,
    }
}

/// All of them come, tell and hear everything, compare it, and go.
fn whole_flap(stage: &Stage, shares: &[Arc<Table>]) -> Report {
    let senders = shares.iter().zip(1..).map(|(table, n)| Sender {
        session: flapper(stage, n),
        table: Arc::clone(table),
    });
    let options = LoadOptions {
        senders: senders.collect(),
        receivers: Vec::new(),
        exchange: true,
        transport: "epoll".parse().expect("a transport"),
        pause: Duration::ZERO,
        speed: Speed::Max,
        verify: true,
        best: true,
        expect: Expect::Transparent,
        flap: 0,
        churn: None,
        stay: Duration::ZERO,
        patience: Patience::default(),
    };
    let report = load::run(&options, &mut Silent).expect("a load");
    assert!(report.is_good(), "{report}\n{}", stage.rig.log());
    report
}

/// All of them come, tell what they have, and break off wherever they are.
fn broken_flap(stage: &Stage, shares: &[Arc<Table>], pause: Duration) {
    let speakers: Vec<Speaker> = (1..=FLAPPERS)
        .map(|n| {
            let mut options = SpeakerOptions::new(flapper(stage, n));
            options.transport = "epoll".parse().expect("a transport");
            Speaker::spawn(options).expect("a speaker")
        })
        .collect();
    for (speaker, table) in speakers.iter().zip(shares) {
        speaker.announce(Arc::clone(table));
    }
    std::thread::sleep(pause);
    // Dropping them one by one would wait for each thread in turn.
    std::thread::scope(|scope| {
        for speaker in speakers {
            scope.spawn(|| drop(speaker));
        }
    });
}

fn a_hundred_that_flap_at_once_leave_right_tables(transport: &str) {
    let stage = Stage::start(transport, "100 flap");
    let stable = stage.connect(1);
    // Marked, so that it is none of the flappers' business.
    let hop = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
    let own = Table::of(
        &[prefix("198.51.100.0/24")],
        set(&[64_601], hop, &[PROBE]).as_ref(),
    );
    stable.announce(own.clone());
    let witness = stage.connect(2);
    let all = generated(5000);
    let shares: Vec<Arc<Table>> = all
        .split(usize::from(FLAPPERS))
        .into_iter()
        .zip(1..)
        .map(|(share, n): (Table, u8)| {
            let view = Viewpoint {
                asn: Asn(64_700 + u32::from(n)),
                next_hop4: Ipv4Addr::new(127, 0, 2, n),
                ..Viewpoint::default()
            };
            Arc::new(share.as_seen_by(&view))
        })
        .collect();
    let (before, _) = stage.memory();
    let start = Instant::now();
    for pause in [60, 200, 500, 120] {
        broken_flap(&stage, &shares, Duration::from_millis(pause));
    }
    let report = whole_flap(&stage, &shares);
    stage.say(&format!(
        "four broken flaps and a whole one in {:.1} s; sessions up in {:.3} s, all tables after {:.3} s",
        start.elapsed().as_secs_f64(),
        report.sessions_seconds,
        report.convergence_seconds.unwrap_or(f64::NAN)
    ));
    // All are gone: what is left is what the others told, here the probe.
    wait_until("the server has forgotten them", PATIENCE, || {
        stage.rig.show(&["status"])["paths"] == 2
    });
    wait_until("the witness, too", PATIENCE, || witness.table().len() == 2);
    stage.wait_table(&witness, "the witness", &own);
    let (_, peak) = stage.memory();
    stage.say(&format!("memory {before:.0} MiB, peak {peak:.0}"));
    assert!(
        peak - before < 4.0 * GROWTH_MAX,
        "{before} MiB, then {peak}"
    );
    for speaker in [&stable, &witness] {
        assert_eq!(speaker.ended(), None);
    }
    stage.finish();
}

/// A large table of client 1, and a small one of client 2 with other prefixes.
fn calm_and_churning() -> (Table, Table) {
    let (mut calm, mut churning) = (Table::new(), Table::new());
    for (n, share) in generated(TABLE + TABLE / 10).split(11).iter().enumerate() {
        let target = if n == 0 { &mut churning } else { &mut calm };
        for group in share.groups() {
            let run = share.run(group).iter();
            target.push(group.at, group.set.clone(), group.family, run);
        }
    }
    let view = Viewpoint {
        asn: Asn(64_602),
        ..Viewpoint::default()
    };
    (calm, churning.as_seen_by(&view))
}

fn a_table_for_a_new_peer_does_not_hold_up_the_others(transport: &str) {
    let stage = Stage::start(transport, "new peers");
    let (still, busy) = (stage.connect(1), stage.connect(2));
    let (calm, churning) = calm_and_churning();
    still.announce(calm.clone());
    busy.announce(churning.clone());
    let old = stage.connect(3);
    stage.wait_table(&old, "the one that was there", &calm);
    let streams = [1, 2].map(|number| encoded(&version(&churning, number)));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let (start, mut sent) = (Instant::now(), 0);
            while !over.load(Ordering::Relaxed) {
                sent += flood(&busy, &streams, Duration::from_millis(50));
            }
            sent as f64 / start.elapsed().as_secs_f64()
        });
        let mut times = Vec::new();
        for n in [4, 5, IMPATIENT, 4, 5, IMPATIENT] {
            let start = Instant::now();
            let new = stage.connect(n);
            stage.wait_table(&new, "a new one", &calm);
            times.push(format!("{:.2} s", start.elapsed().as_secs_f64()));
        }
        over.store(true, Ordering::Relaxed);
        let rate = churn.join().expect("the churn goes on");
        stage.say(&format!(
            "{} prefixes for new peers within {}; {rate:.0} UPDATEs a second passed meanwhile",
            calm.len(),
            times.join(", ")
        ));
    });
    busy.announce(churning.clone());
    stage.wait_table(&old, "the one that was there", &calm);
    stage.wait_table(&old, "the one that was there", &churning);
    for speaker in [&still, &busy, &old] {
        assert_eq!(speaker.ended(), None);
    }
    stage.finish();
}

fn keepalives_are_on_time_with_no_core_to_spare(transport: &str) {
    let stage = Stage::start(transport, "no core to spare");
    let (receiver, sender) = (stage.connect(2), stage.connect(1));
    let base = generated(20_000);
    let streams = [1, 2].map(|number| encoded(&version(&base, number)));
    let over = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let sent = flood(&sender, &streams, Duration::from_secs(5));
        over.store(true, Ordering::Relaxed);
        stage.say(&format!("{sent} UPDATEs beside {cores} busy cores"));
    });
    sender.announce(base.clone());
    stage.wait_table(&receiver, "the receiver", &base);
    for speaker in [&sender, &receiver] {
        assert_eq!(speaker.ended(), None);
    }
    stage.finish();
}
