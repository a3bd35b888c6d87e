//! Whole runs over loopback, against the relay: a server whose faults are planted.

use std::net::{Ipv4Addr, SocketAddr};

use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::update::{Part, UpdateContext, UpdateView};
use thruway_wire::{Asn, Family, FamilySet, Ipv4Prefix, Nlri, RouterId};

use super::*;
use crate::endpoint::Link;
use crate::generate::{GenerateOptions, Generator, Viewpoint};
use crate::peer::PeerOptions;
use crate::progress::Silent;
use crate::relay::{Relay, RelayOptions, Tamper};

const SINK: Asn = Asn(65_000);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn relay(transport: TransportChoice, sinks: usize, tamper: Option<Tamper>) -> Relay {
    relay_with(transport, sinks, false, tamper)
}

pub(super) fn relay_with(
    transport: TransportChoice,
    sinks: usize,
    exchange: bool,
    tamper: Option<Tamper>,
) -> Relay {
    let options = RelayOptions {
        listen: LOOPBACK,
        asn: Asn(64_500),
        sink_asn: SINK,
        sinks,
        exchange,
        transport,
        tamper,
    };
    Relay::spawn(options).unwrap()
}

pub(super) fn session(name: &str, to: SocketAddr, asn: Asn, id: u32) -> SessionOptions {
    SessionOptions {
        name: name.to_owned(),
        link: Link::Connect {
            remote: to,
            local: None,
        },
        peer: PeerOptions::new(asn, RouterId(id)),
        md5: None,
    }
}

pub(super) fn generated(ipv4: u32, ipv6: u32) -> Table {
    let options = GenerateOptions {
        ipv4,
        ipv6,
        ..GenerateOptions::default()
    };
    Generator::new(options).unwrap().table()
}

/// One sender of `table` and so many receivers.
fn load(to: &Relay, table: Table, receivers: u32) -> LoadOptions {
    let asn = Viewpoint::default().asn;
    let sender = Sender {
        session: session("s", to.addr(), asn, 1),
        table: Arc::new(table),
    };
    LoadOptions {
        senders: vec![sender],
        receivers: (0..receivers)
            .map(|n| session(&format!("r{n}"), to.addr(), SINK, 100 + n))
            .collect(),
        exchange: false,
        transport: TransportChoice::Auto,
        pause: Duration::ZERO,
        speed: Speed::Max,
        verify: true,
        best: false,
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

fn transports() -> [TransportChoice; 2] {
    [TransportChoice::Epoll, TransportChoice::Auto]
}

#[test]
fn a_table_goes_round_without_a_difference() {
    for transport in transports() {
        let relay = relay(transport, 3, None);
        let options = LoadOptions {
            transport,
            ..load(&relay, generated(20_000, 3000), 3)
        };
        let report = run(&options, &mut Silent).unwrap();
        assert!(report.is_good(), "{report}");
        let differences = report.differences.as_ref().unwrap();
        assert_eq!((differences.checked, differences.total()), (69_000, 0));
        assert_eq!(
            (report.sent.prefixes, report.received.prefixes),
            (23_000, 69_000)
        );
        assert!(
            report.convergence_seconds.is_some() && report.latency.is_some(),
            "{report}"
        );
        assert_eq!(report.unsendable, 0);
    }
}

#[test]
fn light_mode_counts_and_ends() {
    let relay = relay(TransportChoice::Auto, 2, None);
    let options = LoadOptions {
        verify: false,
        ..load(&relay, generated(5000, 0), 2)
    };
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.received.prefixes, 10_000);
}

#[test]
fn a_run_without_receivers_measures_sending() {
    let relay = relay(TransportChoice::Auto, 0, None);
    let report = run(&load(&relay, generated(5000, 0), 0), &mut Silent).unwrap();
    assert!(report.is_good() && report.differences.is_none(), "{report}");
    assert_eq!(report.sent.prefixes, 5000);
}

#[test]
fn disjoint_senders_all_arrive() {
    let relay = relay(TransportChoice::Auto, 1, None);
    let mut options = load(&relay, Table::new(), 1);
    let shares = generated(9000, 0).split(4).into_iter().enumerate();
    options.senders = shares
        .map(|(n, share)| Sender {
            session: session(
                &format!("s{n}"),
                relay.addr(),
                Asn(64_601 + n as u32),
                1 + n as u32,
            ),
            table: Arc::new(share),
        })
        .collect();
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!((report.senders, report.received.prefixes), (4, 9000));
}

/// One announced IPv4 prefix of an UPDATE's body, with its set.
fn first_prefix(body: &[u8], set: &mut AttrSetBuf) -> Option<Ipv4Prefix> {
    let families = FamilySet::ALL;
    let ctx = UpdateContext {
        as4: true,
        external: true,
        families,
        add_path: FamilySet::EMPTY,
    };
    let view = UpdateView::parse(body, &ctx);
    let prefix = view.announced4(Part::Classic).next()?.prefix;
    view.canonical(Part::Classic, set);
    Some(prefix)
}

fn message(set: &AttrSetBuf, prefixes: &[Ipv4Prefix]) -> Vec<u8> {
    let nlri = prefixes.iter().map(|prefix| Nlri {
        path_id: 0,
        prefix: *prefix,
    });
    let mut out = Vec::new();
    encode::announce(
        &mut out,
        set.as_ref(),
        &Rewrite::TRANSPARENT,
        &Encoding::PLAIN,
        nlri,
    )
    .unwrap();
    out
}

/// Plants a fault into the first UPDATE that has an IPv4 prefix.
fn planted(
    mut fault: impl FnMut(&mut AttrSetBuf, Ipv4Prefix) -> Vec<u8> + Send + 'static,
) -> Tamper {
    let mut done = false;
    Box::new(move |body| {
        let mut set = AttrSetBuf::new();
        let prefix = first_prefix(body, &mut set).filter(|_| !done)?;
        done = true;
        Some(fault(&mut set, prefix))
    })
}

fn single_routes() -> Table {
    let (all, mut table) = (generated(2000, 0), Table::new());
    for group in all.groups().iter().filter(|group| group.len() == 1) {
        table.push(
            Duration::ZERO,
            group.set.clone(),
            Family::Ipv4,
            all.run(group).iter(),
        );
    }
    table
}

fn faulty(fault: Tamper) -> Report {
    let relay = relay(TransportChoice::Auto, 1, Some(fault));
    run(&load(&relay, single_routes(), 1), &mut Silent).unwrap()
}

#[test]
fn a_missing_prefix_is_found() {
    let report = faulty(planted(|_, _| Vec::new()));
    let differences = report.differences.as_ref().unwrap();
    assert_eq!(
        (differences.missing, differences.total()),
        (1, 1),
        "{report}"
    );
    assert!(!report.is_good());
    assert!(report.convergence_seconds.is_none());
    assert!(
        differences.examples[0]
            .sent
            .as_ref()
            .unwrap()
            .contains("path ["),
        "{report}"
    );
}

#[test]
fn changed_attributes_are_found() {
    let report = faulty(planted(|set, prefix| {
        set.set_med(Some(77));
        message(set, &[prefix])
    }));
    let differences = report.differences.as_ref().unwrap();
    assert_eq!(
        (differences.changed, differences.total()),
        (1, 1),
        "{report}"
    );
    assert!(
        differences.examples[0]
            .received
            .as_ref()
            .unwrap()
            .contains("med 77"),
        "{report}"
    );
    assert!(report.to_string().contains("1 changed"), "{report}");
}

#[test]
fn an_unexpected_prefix_is_found() {
    let report = faulty(planted(|set, prefix| {
        message(
            set,
            &[
                prefix,
                Ipv4Prefix::new(Ipv4Addr::new(192, 0, 2, 0), 24).unwrap(),
            ],
        )
    }));
    let differences = report.differences.as_ref().unwrap();
    assert_eq!(
        (differences.unexpected, differences.total()),
        (1, 1),
        "{report}"
    );
    assert_eq!(differences.examples[0].prefix, "192.0.2.0/24");
}

#[test]
fn a_prepending_server_needs_the_other_expectation() {
    let prepending: fn() -> Tamper = || {
        Box::new(|body| {
            let mut set = AttrSetBuf::new();
            let prefix = first_prefix(body, &mut set)?;
            set.prepend(Asn(64_500), 1);
            set.set_med(None);
            set.set_next_hop(Some(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST).into()));
            Some(message(&set, &[prefix]))
        })
    };
    let relay = relay(TransportChoice::Auto, 1, Some(prepending()));
    let mut options = load(&relay, single_routes(), 1);
    options.expect = Expect::Prepend;
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    let report = faulty(prepending());
    let differences = report.differences.as_ref().unwrap();
    assert_eq!(differences.changed, single_routes().len() as u64);
}

#[test]
fn churn_counts_updates_and_leaves_the_table_as_it_was() {
    let relay = relay(TransportChoice::Auto, 2, None);
    let mut options = load(&relay, generated(3000, 300), 2);
    options.churn = Some(ChurnOptions {
        duration: Duration::from_millis(300),
        in_flight: 50,
        rate: None,
        calm: None,
    });
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    let churn = report.churn.unwrap();
    assert!(churn.updates > 100 && churn.lost == 0, "{report}");
    assert_eq!(churn.latency.unwrap().count, churn.updates);
}

#[test]
fn a_trace_keeps_its_pace_and_its_last_word_counts() {
    let relay = relay(TransportChoice::Auto, 1, None);
    let whole = generated(400, 0);
    let (mut trace, mut gone) = (Table::new(), Vec::new());
    for (index, group) in whole.groups().iter().enumerate() {
        let at = Duration::from_millis(10 * (index as u64 % 40));
        trace.push(at, group.set.clone(), Family::Ipv4, whole.run(group).iter());
        if index % 3 == 0 {
            gone.extend(whole.run(group).iter());
        }
    }
    trace.push(
        Duration::from_millis(500),
        None,
        Family::Ipv4,
        gone.iter().copied(),
    );
    let mut options = load(&relay, trace, 1);
    options.speed = Speed::Times(2);
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    assert!(
        report.sent.seconds >= 0.25,
        "half of the trace's 0.5 s: {report}"
    );
    let checked = report.differences.unwrap().checked;
    assert_eq!(checked as usize, 400 - gone.len());
}

#[test]
fn nobody_there_is_a_failure_that_names_the_session() {
    let relay = relay(TransportChoice::Auto, 1, None);
    let mut options = load(&relay, generated(10, 0), 1);
    drop(relay);
    options.patience.sessions = Duration::from_millis(300);
    let report = run(&options, &mut Silent).unwrap();
    assert!(!report.is_good());
    assert!(
        report.failures.iter().any(|failure| failure.session == "s"),
        "{report}"
    );
}

#[test]
fn speeds_are_read() {
    assert_eq!("max".parse(), Ok(Speed::Max));
    assert_eq!("10x".parse(), Ok(Speed::Times(10)));
    for text in ["0x", "x", "fast", "1"] {
        assert!(text.parse::<Speed>().is_err(), "{text}");
    }
}
