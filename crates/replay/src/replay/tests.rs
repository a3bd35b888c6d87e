//! Generated and real files through the reader, the conversion and whole runs.

use std::fs;
use std::path::Path;

use thruway_wire::attrs::{AttrFlags, AttrSetBuf, RawAttr, code};
use thruway_wire::mrt::{MrtPeer, write};
use thruway_wire::{Family, NextHop, Prefix as IpPrefix};

use super::convert::Conversion;
use super::*;
use crate::dump::write_mrt;
use crate::generate::{GenerateOptions, Generator, Viewpoint};
use crate::hash::{FastMap, fingerprint};
use crate::progress::Silent;
use crate::table::Table;

fn read(path: &Path, choices: &[PeerChoice]) -> Result<Feeds, ReplayError> {
    Feeds::read(
        &[path.to_owned()],
        choices,
        usize::MAX,
        &mut Silent,
        Instant::now(),
    )
}

/// Two peers' tables in a file of a folder that goes with the test.
fn dump(ipv4: u32, ipv6: u32) -> (tempfile::TempDir, PathBuf, [Table; 2]) {
    let options = GenerateOptions {
        ipv4,
        ipv6,
        ..GenerateOptions::default()
    };
    let first = Generator::new(options).unwrap().table();
    let other = Viewpoint {
        asn: Asn(64_602),
        ..Viewpoint::default()
    };
    let tables = [first.clone(), first.as_seen_by(&other)];
    let peer = |asn, last| MrtPeer {
        router_id: RouterId(last),
        addr: Ipv4Addr::new(198, 18, 1, last as u8).into(),
        asn: Asn(asn),
    };
    let peers = [(peer(64_601, 1), &tables[0]), (peer(64_602, 2), &tables[1])];
    let mut bytes = Vec::new();
    write_mrt(&mut bytes, 1000, &peers).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.mrt");
    fs::write(&path, bytes).unwrap();
    (folder, path, tables)
}

fn by_prefix(table: &Table) -> FastMap<IpPrefix, u64> {
    let routes = table.routes();
    routes
        .map(|(nlri, set)| (nlri.prefix, fingerprint(set.unwrap().as_ref())))
        .collect()
}

#[test]
fn a_written_dump_reads_back_as_it_was() {
    let (_folder, path, tables) = dump(4000, 700);
    let feeds = read(&path, &[]).unwrap();
    assert_eq!(feeds.notes, Vec::<String>::new());
    let peers: Vec<_> = feeds.feeds.iter().map(|feed| feed.asn).collect();
    assert_eq!(peers, [Asn(64_601), Asn(64_602)]);
    for (feed, table) in feeds.feeds.iter().zip(&tables) {
        assert!(by_prefix(&feed.table) == by_prefix(table), "AS{}", feed.asn);
        assert!(feed.table.groups().len() <= table.groups().len());
    }
}

#[test]
fn peers_are_chosen_by_place_address_and_asn() {
    let (_folder, path, _) = dump(50, 0);
    for choice in ["1", "198.18.1.2", "AS64602", "as64602"] {
        let feeds = read(&path, &[choice.parse().unwrap()]).unwrap();
        let peers: Vec<_> = feeds.feeds.iter().map(|feed| feed.asn).collect();
        assert_eq!(peers, [Asn(64_602)], "{choice}");
    }
    let error = read(&path, &["7".parse().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("none of its 2 peers") && error.contains("table.mrt"),
        "{error}"
    );
    assert!("AS".parse::<PeerChoice>().is_err());
}

#[test]
fn a_torn_file_gives_what_is_whole_and_a_note() {
    let (folder, path, _) = dump(500, 0);
    let bytes = fs::read(&path).unwrap();
    let torn = folder.path().join("torn.mrt");
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let feeds = read(&torn, &[]).unwrap();
    let routes = feeds.feeds[0].table.len();
    assert!((200..300).contains(&routes), "{routes}");
    assert!(feeds.notes[0].contains("torn.mrt") && feeds.notes[0].contains("offset"));
    let error = read(Path::new("/nowhere/at.all"), &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/at.all"), "{error}");
}

fn internal_set() -> AttrSetBuf {
    let attrs = [
        RawAttr {
            flags: 0x40,
            code: code::ORIGIN,
            value: &[0],
        },
        RawAttr {
            flags: 0x40,
            code: code::AS_PATH,
            value: &[2, 1, 0, 0, 0, 9],
        },
        RawAttr {
            flags: 0x40,
            code: code::LOCAL_PREF,
            value: &[0, 0, 0, 200],
        },
        RawAttr {
            flags: 0x80,
            code: code::ORIGINATOR_ID,
            value: &[1, 2, 3, 4],
        },
        RawAttr {
            flags: 0x80,
            code: code::CLUSTER_LIST,
            value: &[1, 2, 3, 4],
        },
    ];
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    AttrSetBuf::from_parts(Some(next_hop), attrs.into_iter())
}

/// One route through a conversion, as path and next hop.
fn converted(prepend: Prepend, next_hop: NextHopChoice, asn: u32) -> (String, String) {
    let prefix = "198.51.100.0/24".parse().unwrap();
    let table = Table::of(&[prefix], internal_set().as_ref());
    let local = Some(Ipv4Addr::new(127, 1, 0, 1).into());
    let table = Conversion {
        asn: Asn(asn),
        prepend,
        next_hop,
        local,
    }
    .table(&table);
    let set = table.groups()[0].set.as_ref().unwrap();
    for flag in [AttrFlags::LOCAL_PREF, AttrFlags::ORIGINATOR_ID] {
        assert!(!set.meta().flags.has(flag));
    }
    assert_eq!(set.meta().cluster_len, 0);
    let set = set.as_ref();
    (
        set.as_path().to_string(),
        set.next_hop().unwrap().to_string(),
    )
}

#[test]
fn internal_captures_become_external_routes() {
    let keep = NextHopChoice::Keep;
    let path = |prepend, asn| converted(prepend, keep, asn).0;
    assert_eq!(path(Prepend::Auto, 5), "5 9");
    assert_eq!(path(Prepend::Auto, 9), "9");
    assert_eq!(path(Prepend::Always, 9), "9 9");
    assert_eq!(path(Prepend::Never, 5), "9");
    let next_hop = |text: &str| converted(Prepend::Auto, text.parse().unwrap(), 5).1;
    assert_eq!(next_hop("keep"), "192.0.2.1");
    assert_eq!(next_hop("self"), "127.1.0.1");
    assert_eq!(next_hop("203.0.113.9"), "203.0.113.9");
    // Of the other family: not for this route.
    assert_eq!(next_hop("2001:db8::1"), "192.0.2.1");
}

#[test]
fn local_pools_end_where_their_prefix_does() {
    let pool: LocalPool = "127.1.0.254/24".parse().unwrap();
    assert_eq!(pool.address(1), Some(Ipv4Addr::new(127, 1, 0, 255).into()));
    assert_eq!(pool.address(2), None);
    let host: LocalPool = "::1".parse().unwrap();
    assert_eq!(
        (host.address(0), host.address(1)),
        (Some("::1".parse().unwrap()), None)
    );
    assert!("127.0.0.1/33".parse::<LocalPool>().is_err());
    assert_eq!(LocalPool::default_for("192.0.2.1".parse().unwrap()), None);
}

fn relay(sinks: usize) -> Relay {
    Relay::spawn(RelayOptions {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        asn: Asn(64_500),
        sink_asn: Asn(65_000),
        sinks,
        exchange: false,
        transport: TransportChoice::Auto,
        tamper: None,
    })
    .unwrap()
}

#[test]
fn a_dump_of_two_peers_is_replayed_and_verified() {
    let (_folder, path, _) = dump(3000, 300);
    let relay = relay(2);
    let mut options = ReplayOptions::new(vec![path], relay.addr());
    options.receivers = 2;
    options.ceiling = true;
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!((report.senders, report.receivers), (2, 2));
    // Two paths for each prefix: whichever came last is one of those that were sent.
    assert_eq!(report.differences.as_ref().unwrap().checked, 6600);
    assert!(report.ceiling.is_some());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["differences"]["missing"], 0);
    assert_eq!(json["sent"]["prefixes"], 6600);
}

#[test]
fn too_small_a_pool_is_an_error() {
    let (_folder, path, _) = dump(10, 0);
    let mut options = ReplayOptions::new(vec![path], "127.0.0.1:1".parse().unwrap());
    options.local = Some("127.1.0.1".parse().unwrap());
    let error = run(&options, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("--local"), "{error}");
}

/// An announcement, then a withdrawal two seconds later, as BGP4MP_ET.
fn trace_file(folder: &Path) -> PathBuf {
    let prefixes: [IpPrefix; 2] =
        ["198.51.100.0/24", "203.0.113.0/24"].map(|text| text.parse().unwrap());
    let session = thruway_wire::mrt::Bgp4mpSession {
        peer_as: Asn(64_700),
        local_as: Asn(64_999),
        interface: 0,
        peer_addr: Ipv4Addr::new(192, 0, 2, 7).into(),
        local_addr: Ipv4Addr::new(192, 0, 2, 8).into(),
    };
    let mut set = internal_set();
    set.prepend(Asn(64_700), 1);
    let mut table = Table::of(&prefixes, set.as_ref());
    let gone = thruway_wire::Nlri {
        path_id: 0,
        prefix: prefixes[0],
    };
    table.push(Duration::from_secs(2), None, Family::Ipv4, [gone]);
    let packing = crate::pack::Packing {
        as4: true,
        external: true,
        families: FamilySet::IPV4,
        add_path: FamilySet::EMPTY,
        extended_next_hop: false,
        paced: true,
    };
    let mut bytes = Vec::new();
    for chunk in crate::pack::pack_groups(&table, &packing).chunks {
        let secs = 1000 + chunk.at.as_secs() as u32;
        let time = write::MrtTime {
            secs,
            micros: Some(500_000),
        };
        write::message(&mut bytes, time, &session, false, false, &chunk.bytes).unwrap();
    }
    let path = folder.join("trace.mrt");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_trace_keeps_times_and_withdrawals() {
    let folder = tempfile::tempdir().unwrap();
    let path = trace_file(folder.path());
    let feeds = read(&path, &[]).unwrap();
    let [feed] = feeds.feeds.as_slice() else {
        panic!("{:?}", feeds.feeds.len())
    };
    assert_eq!((feed.asn, feed.table.len()), (Asn(64_700), 3));
    let times: Vec<_> = feed
        .table
        .groups()
        .iter()
        .map(|group| group.at.as_secs())
        .collect();
    assert_eq!(times, [0, 2]);
    let relay = relay(1);
    let mut options = ReplayOptions::new(vec![path], relay.addr());
    options.receivers = 1;
    options.speed = Speed::Times(10);
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.differences.as_ref().unwrap().checked, 1);
    assert!(report.sent.seconds >= 0.2, "{report}");
}

/// Real files, where the machine has them.
fn data(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("THRUWAY_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(file);
    if !path.exists() {
        println!(
            "skipped: {} is not there (set THRUWAY_DATA)",
            path.display()
        );
        return None;
    }
    Some(path)
}

#[test]
fn a_real_full_table_of_an_internal_session_goes_round() {
    let Some(path) = data("mrt/bgpdump/updates.et-header.2015.gz") else {
        return;
    };
    let relay = relay(1);
    let mut options = ReplayOptions::new(vec![path], relay.addr());
    options.receivers = 1;
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    // 577,706 prefixes were announced; the last UPDATEs of the file withdraw three of them.
    assert_eq!(report.differences.as_ref().unwrap().checked, 577_703);
    assert_eq!(report.senders, 1);
}

#[test]
fn real_contested_tables_go_round() {
    let Some(path) = data("mrt/bgpkit-parser/rrc00.bview.20000111.0032.gz") else {
        return;
    };
    let feeds = read(&path, &[]).unwrap();
    let routes: usize = feeds.feeds.iter().map(|feed| feed.table.len()).sum();
    assert_eq!(
        (feeds.feeds.len(), routes),
        (7, 452_018),
        "{:?}",
        feeds.notes
    );
    let relay = relay(1);
    let mut options = ReplayOptions::new(vec![path], relay.addr());
    options.receivers = 1;
    let report = run(&options, &mut Silent).unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.differences.unwrap().checked, 82_377);
}

#[test]
fn the_kernel_says_which_address_is_our_own() {
    for to in ["127.0.0.9:179", "[::1]:179"] {
        let to: SocketAddr = to.parse().unwrap();
        let own = super::kernels_choice(to).unwrap();
        assert!(own.is_loopback() && own.is_ipv4() == to.is_ipv4(), "{own}");
    }
}
