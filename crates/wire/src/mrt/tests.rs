//! Records as bytes, damage, and the way back.

use std::net::{IpAddr, Ipv4Addr};

use super::write::{self, MrtTime};
use super::*;
use crate::attrs::{AttrSetBuf, RawAttr};
use crate::{Asn, NextHop, Prefix, RouterId, WireErrorKind};

const V4: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
];

fn session(addrs: [IpAddr; 2]) -> Bgp4mpSession {
    let [peer_addr, local_addr] = addrs;
    Bgp4mpSession {
        peer_as: Asn(70_000),
        local_as: Asn(64_500),
        interface: 7,
        peer_addr,
        local_addr,
    }
}

fn keepalive() -> Vec<u8> {
    let mut message = vec![0xff; 16];
    message.extend_from_slice(&[0, 19, 4]);
    message
}

/// Type and subtype of a record, or what is wrong with it.
type Found = Result<(u16, u16), WireErrorKind>;

/// All of a file: each record's offset and what it is.
fn read(bytes: &[u8]) -> Vec<(u64, Found)> {
    let mut reader = MrtReader::new();
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        let done = match reader.next(rest, true) {
            Step::Record {
                offset,
                header,
                consumed,
                ..
            } => {
                found.push((offset, Ok((header.kind, header.subtype))));
                consumed
            }
            Step::Damage {
                offset,
                error,
                consumed,
                ..
            } => {
                found.push((offset, Err(error.kind)));
                consumed
            }
            Step::Skip(len) => len,
            Step::NeedMore(_) => panic!("all of the file is there"),
            Step::End => return found,
        };
        rest = &rest[done..];
    }
}

fn messages(count: u32) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    for secs in 0..count {
        let time = MrtTime::from_secs(1_000_000 + secs);
        write::message(&mut out, time, &session(V4), false, false, &keepalive()).unwrap();
    }
    let len = out.len() / count as usize;
    (out, len)
}

const MESSAGE: Found = Ok((code::BGP4MP, code::bgp4mp::MESSAGE_AS4));

#[test]
fn messages_and_state_changes_read_back() {
    let v6: [IpAddr; 2] = [
        "2001:db8::1".parse().unwrap(),
        "2001:db8::2".parse().unwrap(),
    ];
    for (addrs, micros, add_path, local) in [
        (V4, None, false, false),
        (v6, Some(999_999), true, false),
        (V4, Some(0), false, true),
        (v6, None, true, true),
    ] {
        let time = MrtTime {
            secs: 1_700_000_000,
            micros,
        };
        let mut out = Vec::new();
        write::message(
            &mut out,
            time,
            &session(addrs),
            add_path,
            local,
            &keepalive(),
        )
        .unwrap();
        let Step::Record {
            header,
            record: MrtRecord::Message(message),
            consumed,
            ..
        } = MrtReader::new().next(&out, true)
        else {
            panic!("a message")
        };
        assert_eq!((header.timestamp, header.micros), (time.secs, micros));
        assert_eq!(message.session, session(addrs));
        assert_eq!(
            (message.as4, message.add_path, message.local),
            (true, add_path, local)
        );
        assert_eq!((message.message, consumed), (&keepalive()[..], out.len()));

        let mut out = Vec::new();
        write::state_change(&mut out, time, &session(addrs), 5, 6).unwrap();
        let Step::Record {
            record: MrtRecord::StateChange(change),
            ..
        } = MrtReader::new().next(&out, true)
        else {
            panic!("a state change")
        };
        assert_eq!(
            change,
            StateChange {
                session: session(addrs),
                old: 5,
                new: 6
            }
        );
    }
    let mixed = session([V4[0], "::1".parse().unwrap()]);
    let mut out = vec![1];
    let time = MrtTime::from_secs(0);
    assert!(write::message(&mut out, time, &mixed, false, false, &keepalive()).is_err());
    assert_eq!(out, [1], "an error leaves the buffer as it was");
}

#[test]
fn peer_tables_read_back() {
    let peers = [
        MrtPeer {
            router_id: RouterId(1),
            addr: V4[0],
            asn: Asn(70_000),
        },
        MrtPeer {
            router_id: RouterId(2),
            addr: "::1".parse().unwrap(),
            asn: Asn(1),
        },
    ];
    let mut out = Vec::new();
    write::peer_index_table(&mut out, 9, RouterId(5), "view", &peers).unwrap();
    let Step::Record {
        record: MrtRecord::PeerIndexTable(table),
        ..
    } = MrtReader::new().next(&out, true)
    else {
        panic!("a peer index table")
    };
    assert_eq!(
        (table.collector, table.view_name),
        (RouterId(5), &b"view"[..])
    );
    assert_eq!(table.peers().collect::<Vec<_>>(), peers);
}

/// A set with attributes on both sides of where NEXT_HOP and MP_REACH_NLRI belong.
fn sample_set(next_hop: NextHop) -> AttrSetBuf {
    let attr = |flags, code, value| RawAttr { flags, code, value };
    let attrs = [
        attr(0x40, 1, &[0][..]),
        attr(0x40, 2, &[2, 1, 0, 1, 0x11, 0x70]),
        attr(0xc0, 8, &[0; 300]),
        attr(0xc0, 32, &[7; 12]),
    ];
    AttrSetBuf::from_parts(Some(next_hop), attrs.into_iter())
}

#[test]
fn rib_records_read_back() {
    for (prefix, add_path, next_hop) in [
        ("192.0.2.0/24", false, "192.0.2.1"),
        ("0.0.0.0/0", true, "192.0.2.1"),
        ("2001:db8::/33", false, "2001:db8::1"),
        ("2001:db8::1/128", true, "2001:db8::1"),
    ] {
        let next_hop: NextHop = next_hop.parse::<IpAddr>().unwrap().into();
        let set = sample_set(next_hop);
        let mut attrs = Vec::new();
        write::rib_attrs(&mut attrs, set.as_ref());
        let path_id = if add_path { 0x0102_0304 } else { 0 };
        let entry = RibEntry {
            peer_index: 1,
            originated: 77,
            path_id,
            attrs: &attrs,
        };
        let prefix: Prefix = prefix.parse().unwrap();
        let mut out = Vec::new();
        write::rib(&mut out, 9, 3, prefix, add_path, [entry, entry].into_iter()).unwrap();
        let Step::Record {
            record: MrtRecord::Rib(rib),
            ..
        } = MrtReader::new().next(&out, true)
        else {
            panic!("a RIB record")
        };
        assert_eq!(
            (rib.sequence, rib.prefix, rib.add_path, rib.len()),
            (3, prefix, add_path, 2)
        );
        assert!(rib.entries().all(|read| read == entry));
        let mut again = AttrSetBuf::default();
        let again = rib_entry_attrs(&attrs, true, &mut again).unwrap();
        assert_eq!(
            again.bytes,
            set.as_ref().bytes,
            "{prefix}: attributes read back"
        );
        assert_eq!(again.next_hop(), Some(next_hop));
    }
}

#[test]
fn both_forms_of_mp_reach_are_read() {
    let mut full = vec![0, 2, 1, 16];
    full.extend_from_slice(&[0x20; 16]);
    full.extend_from_slice(&[0, 32, 0x20, 1, 0xd, 0xb8]);
    let reach = MpReach::parse_rib(&full).unwrap();
    assert_eq!(reach.family, Some(crate::AfiSafi { afi: 2, safi: 1 }));
    assert_eq!(
        (reach.next_hop, reach.nlri),
        (&[0x20; 16][..], &[32, 0x20, 1, 0xd, 0xb8][..])
    );
    let mut short = vec![16];
    short.extend_from_slice(&[0x20; 16]);
    let reach = MpReach::parse_rib(&short).unwrap();
    assert_eq!((reach.family, reach.next_hop), (None, &[0x20; 16][..]));
    assert!(MpReach::parse_rib(&full[..10]).is_err());
    assert!(
        MpReach::parse(&short).is_err(),
        "messages have the full form only"
    );
}

/// A TABLE_DUMP entry with an empty set of attributes.
fn table_dump_entry(third: u8, attrs_len: u16) -> Vec<u8> {
    let mut entry = vec![192, 0, third, 0, 24, 1, 0, 0, 0, 9, 10, 0, 0, 1, 0xfd, 0xe8];
    entry.extend_from_slice(&attrs_len.to_be_bytes());
    entry.resize(entry.len() + usize::from(attrs_len), 0x40);
    entry
}

fn table_dump(len_off: i32, entries: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = [&[0, 0, 0, 1][..], &entries.concat()].concat();
    let len = u32::try_from(i32::try_from(body.len()).unwrap() + len_off).unwrap();
    let head = [&[0, 0, 0, 1, 0, 12, 0, 1][..], &len.to_be_bytes()].concat();
    [head, body].concat()
}

#[test]
fn old_table_dump_batches_with_a_short_length_are_read() {
    let entries: Vec<_> = (0..3).map(|third| table_dump_entry(third, 4)).collect();
    for (len_off, entries) in [
        (0, &entries[..1]),
        (0, &entries),
        (-4, &entries),
        (-4, &entries[..1]),
    ] {
        let file = table_dump(len_off, entries).repeat(2);
        let mut reader = MrtReader::new();
        let mut rest = &file[..];
        for _ in 0..2 {
            let Step::Record {
                record: MrtRecord::TableDump(dump),
                consumed,
                ..
            } = reader.next(rest, true)
            else {
                panic!("a record: {len_off} {}", entries.len())
            };
            assert_eq!(dump.entries().count(), entries.len());
            rest = &rest[consumed..];
        }
        assert!(matches!(reader.next(rest, true), Step::End));
    }
}

#[test]
fn a_torn_end_is_one_error_with_its_offset() {
    let (file, len) = messages(3);
    for cut in 1..len {
        let found = read(&file[..3 * len - cut]);
        let torn = (2 * len as u64, Err(WireErrorKind::Truncated));
        assert_eq!(
            found,
            [(0, MESSAGE), (len as u64, MESSAGE), torn],
            "cut by {cut}"
        );
    }
}

#[test]
fn a_wrong_record_is_stepped_over_by_its_length() {
    let (mut file, len) = messages(3);
    file[len + MRT_HEADER_LEN + 10 + 1] = 9; // the AFI of the second
    let expected = [
        (0, MESSAGE),
        (len as u64, Err(WireErrorKind::BadValue)),
        (2 * len as u64, MESSAGE),
    ];
    assert_eq!(read(&file), expected);
}

#[test]
fn a_record_that_lies_about_its_length_does_not_hide_the_next() {
    let (good, len) = messages(4);
    for lie in [0_u32, 5, 30, 60, 100, 1 << 20, 1 << 25, u32::MAX] {
        let mut file = good.clone();
        file[len + 8..len + 12].copy_from_slice(&lie.to_be_bytes());
        let found = read(&file);
        let [first, second, rest @ ..] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(*first, (0, MESSAGE));
        assert!(
            second.0 == len as u64 && second.1.is_err(),
            "lie {lie}: {found:?}"
        );
        assert_eq!(
            rest,
            [(2 * len as u64, MESSAGE), (3 * len as u64, MESSAGE)],
            "lie {lie}"
        );
    }
}

#[test]
fn garbage_between_records_is_skipped() {
    let (file, len) = messages(2);
    let garbage: Vec<u8> = (0..200_u8).map(|octet| octet.wrapping_mul(37)).collect();
    let file = [&file[..len], &garbage, &file[len..]].concat();
    let found = read(&file);
    assert_eq!(found.first(), Some(&(0, MESSAGE)));
    assert_eq!(
        found.last(),
        Some(&((len + 200) as u64, MESSAGE)),
        "{found:?}"
    );
    assert_eq!(found.len(), 3, "one error for one run of garbage");
}

#[test]
fn text_is_one_error() {
    let text = b"this is no dump at all, and the reader must not take it for one\n".repeat(9);
    assert_eq!(read(&text).len(), 1);
}

#[test]
fn unknown_records_are_stepped_over() {
    let (messages, _) = messages(1);
    let ospf = [0, 0, 0, 1, 0, 11, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    let newer = [0, 0, 0, 1, 0, 70, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    let file = [&ospf[..], &newer, &messages].concat();
    assert_eq!(
        read(&file),
        [(0, Ok((11, 0))), (15, Ok((70, 0))), (30, MESSAGE)]
    );
}

/// A record of any type, whatever its body.
fn raw(kind: u16, subtype: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x5f, 0x5e, 0x10, 0];
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&subtype.to_be_bytes());
    out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    [&out, body].concat()
}

/// Every registered type is stepped over by its length, alone in a file and between others, and so
/// is a type that nobody registered.
#[test]
fn every_type_is_stepped_over_and_has_a_name() {
    let (messages, _) = messages(1);
    let names = [
        (0, "NULL"),
        (1, "START"),
        (2, "DIE"),
        (3, "I_AM_DEAD"),
        (4, "PEER_DOWN"),
        (5, "BGP"),
        (6, "RIP"),
        (7, "IDRP"),
        (8, "RIPNG"),
        (9, "BGP4PLUS"),
        (10, "BGP4PLUS_01"),
        (11, "OSPFv2"),
        (32, "ISIS"),
        (33, "ISIS_ET"),
        (48, "OSPFv3"),
        (49, "OSPFv3_ET"),
        (70, "type 70 subtype 0"),
    ];
    for (kind, name) in names {
        let record = raw(kind, 0, &[0, 0, 0, 1, 2, 3]);
        let all = [&record[..], &record, &messages, &record].concat();
        let at = record.len() as u64;
        let this = Ok((kind, 0));
        let expected = [
            (0, this),
            (at, this),
            (2 * at, MESSAGE),
            (2 * at + messages.len() as u64, this),
        ];
        assert_eq!(read(&all), expected, "{name}");
        assert_eq!(
            read(&record.repeat(3)).len(),
            3,
            "{name}: nothing else in the file"
        );
        let header = MrtHeader::read(&record).unwrap();
        assert_eq!(header.name().to_string(), name);
        assert_eq!(header.name().is_registered(), kind != 70);
    }
    for (kind, subtype, name, registered) in [
        (13, 6, "TABLE_DUMP_V2 RIB_GENERIC", true),
        (13, 13, "TABLE_DUMP_V2 subtype 13", false),
        (13, 0, "TABLE_DUMP_V2 subtype 0", false),
        (16, 2, "BGP4MP ENTRY", true),
        (17, 12, "BGP4MP_ET subtype 12", false),
        (11, 5, "OSPFv2", true),
    ] {
        let header = MrtHeader::read(&raw(kind, subtype, &[])).unwrap();
        assert_eq!(header.name().to_string(), name);
        assert_eq!(header.name().is_registered(), registered, "{name}");
    }
}

/// Zeros would be NULL records without a body.
#[test]
fn a_hole_of_zeros_is_one_error() {
    assert_eq!(read(&[0; 4096]).len(), 1);
    let (file, len) = messages(2);
    let file = [&file[..len], &[0; 1200], &file[len..]].concat();
    let expected = [
        (0, MESSAGE),
        (len as u64, Err(WireErrorKind::Unsupported)),
        (len as u64 + 1200, MESSAGE),
    ];
    assert_eq!(read(&file), expected);
}

#[test]
fn microseconds_that_are_not_there_are_damage() {
    let (messages, len) = messages(1);
    for kind in [17, 33, 49] {
        let file = [&raw(kind, 0, &[1, 2, 3])[..], &messages].concat();
        let expected = [(0, Err(WireErrorKind::Truncated)), (15, MESSAGE)];
        assert_eq!(read(&file), expected, "{kind} {len}");
    }
}

/// What a view can be read with all the same is told by the view.
#[test]
fn values_out_of_range_are_told_by_the_views() {
    let (mut file, len) = messages(1);
    assert_eq!(message_of(&file).wrong_marker(), None);
    file[len - 19 + 15] = 0xfe;
    let marker = *message_of(&file).wrong_marker().unwrap();
    assert_eq!((marker[0], marker[15]), (0xff, 0xfe));

    for (old, new, wrong) in [(1, 8, None), (0, 6, Some(0)), (6, 9, Some(9))] {
        let mut out = Vec::new();
        let time = MrtTime::from_secs(1);
        write::state_change(&mut out, time, &session(V4), old, new).unwrap();
        let Step::Record {
            record: MrtRecord::StateChange(change),
            ..
        } = MrtReader::new().next(&out, true)
        else {
            panic!("a state change")
        };
        assert_eq!(change.wrong_state(), wrong);
    }

    let peer = MrtPeer {
        router_id: RouterId(1),
        addr: V4[0],
        asn: Asn(1),
    };
    let mut out = Vec::new();
    write::peer_index_table(&mut out, 9, RouterId(5), "", &[peer, peer]).unwrap();
    for (kind, wrong) in [(2, None), (0x82, Some((1, 0x82)))] {
        let at = out.len() - 13;
        out[at] = kind;
        let Step::Record {
            record: MrtRecord::PeerIndexTable(table),
            ..
        } = MrtReader::new().next(&out, true)
        else {
            panic!("a peer index table")
        };
        assert_eq!(table.wrong_peer_type(), wrong);
    }
}

fn message_of(file: &[u8]) -> Bgp4mpMessage<'_> {
    let Step::Record {
        record: MrtRecord::Message(message),
        ..
    } = MrtReader::new().next(file, true)
    else {
        panic!("a message")
    };
    message
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let (mut file, len) = messages(5);
    file[len + 9] = 1; // a lie
    file.extend_from_slice(&table_dump(-4, &[table_dump_entry(1, 9)]));
    file.extend_from_slice(&[0; 5]);
    for cut in 0..file.len() {
        fuzzing::fuzz_mrt(&file[..cut]);
        let mut bent = file.clone();
        bent[cut] ^= 0x11;
        fuzzing::fuzz_mrt(&bent);
    }
}

/// BIRD writes flags of 0 for NEXT_HOP and LOCAL_PREF.
#[test]
fn rib_attributes_without_flags_are_read() {
    let block = [
        0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0, 3, 4, 198, 18, 0, 2, 0, 5, 4, 0, 0,
        0, 100,
    ];
    let mut buf = AttrSetBuf::default();
    let set = rib_entry_attrs(&block, true, &mut buf).expect("whole attributes");
    assert_eq!(
        set.next_hop().map(|n| n.to_string()).as_deref(),
        Some("198.18.0.2")
    );
    assert_eq!(set.local_pref(), Some(100));
    assert!(
        set.attrs().all(|attr| attr.flags & 0x40 != 0),
        "flags are normal in a set"
    );
}
