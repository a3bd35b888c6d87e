//! Whole runs of members that send and receive, over loopback and the relay.

use std::net::SocketAddr;

use super::tests::{generated, relay_with, session};
use super::*;
use crate::generate::Viewpoint;
use crate::progress::{Phase, Progress, Silent, Snapshot};
use crate::relay::{Relay, Tamper};
use thruway_wire::Asn;

fn exchange(members: usize, tamper: Option<Tamper>) -> Relay {
    relay_with(TransportChoice::Auto, members, true, tamper)
}

/// So many members, each with its share of a table.
fn load(to: SocketAddr, members: usize, prefixes: u32) -> LoadOptions {
    let shares = generated(prefixes, 0).split(members);
    let senders = shares.into_iter().enumerate().map(|(n, share)| {
        let view = Viewpoint {
            asn: Asn(64_700 + n as u32),
            ..Viewpoint::default()
        };
        Sender {
            session: session(&format!("m{n}"), to, view.asn, 1 + n as u32),
            table: Arc::new(share.as_seen_by(&view)),
        }
    });
    LoadOptions {
        senders: senders.collect(),
        receivers: Vec::new(),
        exchange: true,
        transport: TransportChoice::Auto,
        pause: Duration::ZERO,
        speed: Speed::Max,
        verify: true,
        best: true,
        expect: Expect::Transparent,
        flap: 0,
        churn: None,
        stay: Duration::ZERO,
        patience: Patience {
            idle: Duration::from_secs(1),
            ..Patience::default()
        },
    }
}

#[test]
fn members_get_what_the_others_send() {
    let relay = exchange(4, None);
    let options = load(relay.addr(), 4, 8000);
    let own: Vec<u64> = options
        .senders
        .iter()
        .map(|s| s.table.len() as u64)
        .collect();
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    let found = report.differences.as_ref().unwrap();
    let expected = own.iter().map(|own| 8000 - own).sum::<u64>();
    assert_eq!((found.checked, found.reflected), (expected, 0));
    assert_eq!(report.received.prefixes, expected);
}

#[test]
fn a_message_that_came_before_is_still_compared() {
    // The relay spoils the same message for everybody: whoever recalls it must see that, too.
    let mut count = 0;
    let tamper = move |_body: &[u8]| {
        count += 1;
        // Nothing at all instead of it.
        (count == 10).then(Vec::new)
    };
    let relay = exchange(4, Some(Box::new(tamper)));
    let report = run(&load(relay.addr(), 4, 2000), &mut Silent).unwrap();
    let found = report.differences.as_ref().unwrap();
    assert!(
        found.missing > 0 && found.missing.is_multiple_of(3),
        "{report}"
    );
    assert!(report.convergence_seconds.is_none());
}

#[test]
fn members_take_everything_back_and_tell_it_again() {
    struct Phases(Vec<Phase>);
    impl Progress for Phases {
        fn update(&mut self, _snapshot: &Snapshot) {}
        fn begins(&mut self, phase: Phase) {
            self.0.push(phase);
        }
    }
    let relay = exchange(5, None);
    let options = LoadOptions {
        flap: 2,
        ..load(relay.addr(), 5, 5000)
    };
    let flapping = options.senders.iter().take(2).map(|s| s.table.len() as u64);
    let flapping: u64 = flapping.sum();
    let mut phases = Phases(Vec::new());
    let report = run(&options, &mut phases).unwrap();
    assert!(report.is_good(), "{report}");
    let flap = report.flap.unwrap();
    assert_eq!((flap.members, flap.prefixes), (2, flapping));
    assert!(flap.withdraw_seconds.is_some() && flap.announce_seconds.is_some());
    let order = [Phase::Converging, Phase::Withdrawing, Phase::Announcing];
    let at = order.map(|phase| phases.0.iter().position(|p| *p == phase).unwrap());
    assert!(at.is_sorted(), "{:?}", phases.0);
}

#[test]
fn churn_at_a_rate_keeps_to_it_among_members() {
    let relay = exchange(3, None);
    let options = LoadOptions {
        churn: Some(ChurnOptions {
            duration: Duration::from_millis(500),
            in_flight: 100,
            rate: Some(2000),
            calm: None,
        }),
        ..load(relay.addr(), 3, 3000)
    };
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    let churn = report.churn.unwrap();
    assert!((500..=1000).contains(&churn.updates), "{report}");
    assert_eq!(
        (churn.lost, churn.latency.unwrap().count),
        (0, churn.updates)
    );
}

#[test]
fn a_calm_member_is_timed_apart() {
    let relay = exchange(3, None);
    let options = LoadOptions {
        churn: Some(ChurnOptions {
            duration: Duration::from_millis(500),
            in_flight: 100,
            rate: None,
            calm: Some(100),
        }),
        ..load(relay.addr(), 3, 3000)
    };
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    let churn = report.churn.unwrap();
    let calm = churn.calm.unwrap().count;
    assert!((20..=50).contains(&calm), "{report}");
    assert!(churn.updates > calm && churn.lost == 0, "{report}");
}
