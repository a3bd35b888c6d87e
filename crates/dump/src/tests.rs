//! The three forms of one input, and how the command ends.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde_json::{Value, json};
use thruway_wire::mrt::{Bgp4mpSession, MrtPeer, RibEntry, write};
use thruway_wire::{Asn, RouterId};

use super::{AddPath, DecodeArgs, run_to};

const UPDATE: &str = "an UPDATE:\n\
    ffffffffffffffffffffffffffffffff 0045 02 0004 18c00000\n\
    0026 40010100 40020a 0202 0000fde8 00011170 400304 c0000201\n\
    c00808 0001 0002 ffffff01 40 0600\n\
    18 c00002\n";

fn args(file: &Path, form: &str) -> DecodeArgs {
    DecodeArgs {
        file: file.to_owned(),
        json: form == "json",
        lines: form == "lines",
        ..DecodeArgs::default()
    }
}

/// Output, error output and damaged places.
fn decoded(input: &[u8], form: &str) -> (String, String, u64) {
    decoded_as(input, form, |_| {})
}

/// The same with more options.
fn decoded_as(
    input: &[u8],
    form: &str,
    options: impl FnOnce(&mut DecodeArgs),
) -> (String, String, u64) {
    let (out, errors, result) = ended(input, form, options);
    (out, errors, result.unwrap())
}

fn ended(
    input: &[u8],
    form: &str,
    options: impl FnOnce(&mut DecodeArgs),
) -> (String, String, anyhow::Result<u64>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let mut args = args(file.path(), form);
    options(&mut args);
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let result = run_to(&args, &mut out, &mut errors);
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(errors).unwrap(),
        result,
    )
}

fn objects(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const FORMS: [&str; 3] = ["text", "json", "lines"];

const SESSION: Bgp4mpSession = Bgp4mpSession {
    peer_as: Asn(65_000),
    local_as: Asn(65_001),
    interface: 0,
    peer_addr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    local_addr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
};

/// A BGP4MP record.
fn message(add_path: bool, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let time = write::MrtTime::from_secs(1_600_000_000);
    write::message(&mut out, time, &SESSION, add_path, false, message).unwrap();
    out
}

/// A record of any type.
fn raw(kind: u16, subtype: u16, body: &[u8]) -> Vec<u8> {
    let head = [
        &1_600_000_000_u32.to_be_bytes()[..],
        &kind.to_be_bytes(),
        &subtype.to_be_bytes(),
        &u32::try_from(body.len()).unwrap().to_be_bytes(),
    ];
    [&head.concat(), body].concat()
}

const KEEPALIVE: [u8; 19] = {
    let mut message = [0xff; 19];
    (message[16], message[17], message[18]) = (0, 19, 4);
    message
};

/// An UPDATE of attributes and classic NLRI.
fn update(attrs: &[u8], nlri: &[u8]) -> Vec<u8> {
    let len = u16::try_from(attrs.len()).unwrap().to_be_bytes();
    let body = [&[0, 0], &len[..], attrs, nlri].concat();
    let len = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
    [&[0xff; 16], &len[..], &[2], &body].concat()
}

/// ORIGIN, an AS_PATH of one number, NEXT_HOP.
const AS4_ATTRS: [u8; 20] = [
    0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, 0x40, 3, 4, 192, 0, 2, 1,
];
const AS2_ATTRS: [u8; 18] = [
    0x40, 1, 1, 0, 0x40, 2, 4, 2, 1, 0xfd, 0xe8, 0x40, 3, 4, 192, 0, 2, 1,
];
const NLRI: [u8; 4] = [24, 198, 51, 100];
/// 198.51.100.0/24 with the identifier 9; without one it would be `0.0.0.0/0` three times.
const NLRI_PATH_9: [u8; 8] = [0, 0, 0, 9, 24, 198, 51, 100];

#[test]
fn one_update_has_three_forms() {
    let (text, errors, _) = decoded(UPDATE.as_bytes(), "text");
    let assumed = "thruway decode: assumed four-octet AS numbers (--as4) in 1 UPDATE, \
                   no path identifiers (--add-path=no) in 1 UPDATE\n";
    assert_eq!(errors, assumed);
    assert_eq!(
        text,
        "message 1, line 2  UPDATE  (an UPDATE:)\n\
         \x20 withdrawn     192.0.0.0/24\n\
         \x20 origin        IGP\n\
         \x20 AS path       65000 70000\n\
         \x20 next hop      192.0.2.1\n\
         \x20 atomic aggregate\n\
         \x20 communities   1:2, 65535:65281\n\
         \x20 announced     192.0.2.0/24\n"
    );
    let (json, ..) = decoded(UPDATE.as_bytes(), "json");
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!({
        "number": 1, "line": 2, "caption": "an UPDATE:", "message": "UPDATE",
        "withdrawn": [{"family": "ipv4", "nlri": [{"prefix": "192.0.0.0/24"}]}],
        "announced": [{
            "family": "ipv4", "next_hop": "192.0.2.1", "nlri": [{"prefix": "192.0.2.0/24"}],
        }],
        "attributes": {
            "origin": "IGP", "as_path": "65000 70000", "next_hop": "192.0.2.1",
            "atomic_aggregate": true, "communities": ["1:2", "65535:65281"],
        },
        "assumed": {"as4": true, "add_path": false},
    });
    assert_eq!(read, expected);
    let (lines, ..) = decoded(UPDATE.as_bytes(), "lines");
    assert_eq!(
        lines,
        "BGP4MP|0|W|0.0.0.0|0|192.0.0.0/24\n\
         BGP4MP|0|A|0.0.0.0|0|192.0.2.0/24|65000 70000|IGP|192.0.2.1|0|0|1:2 no-export|AG||\n"
    );
}

#[test]
fn what_a_session_would_refuse_is_shown_with_the_verdict() {
    // ORIGIN 9.
    let bad = UPDATE.replace("40010100", "40010109");
    let (text, ..) = decoded(bad.as_bytes(), "text");
    assert!(text.contains("announced     192.0.2.0/24"), "{text}");
    assert!(
        text.contains("verdict       treat-as-withdraw: attribute 1"),
        "{text}"
    );
    let (json, ..) = decoded(bad.as_bytes(), "json");
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["verdict"]["action"], "treat-as-withdraw");
}

/// A RIB entry that points past the table of peers is named; the records around it are shown.
#[test]
fn an_entry_of_no_peer_is_one_damaged_place() {
    let peer = MrtPeer {
        router_id: RouterId(1),
        addr: [192, 0, 2, 9].into(),
        asn: Asn(7),
    };
    let mut file = Vec::new();
    write::peer_index_table(&mut file, 5, RouterId(9), "", &[peer]).unwrap();
    let offset = file.len();
    for peer_index in [1, 0] {
        let entry = RibEntry {
            peer_index,
            originated: 1,
            path_id: 0,
            attrs: &[0x40, 1, 1, 0],
        };
        let prefix = "10.0.0.0/8".parse().unwrap();
        write::rib(&mut file, 5, 0, prefix, false, [entry].into_iter()).unwrap();
    }
    for form in FORMS {
        let (out, errors, damaged) = decoded(&file, form);
        assert_eq!(damaged, 1);
        let told = format!("record 2 at offset {offset}: no peer has the index 1 of a RIB entry");
        assert_eq!(errors, format!("thruway decode: {told}\n"));
        // The lines have a field for the peer; elsewhere the entry is shown without one.
        let shown = if form == "lines" { 1 } else { 2 };
        assert_eq!(out.matches("10.0.0.0/8").count(), shown, "{form}: {out}");
    }
}

/// Known types that are not supported are counted; they end the command badly only where there is
/// nothing else.
#[test]
fn types_that_are_not_supported_are_named_and_counted() {
    let ospf = raw(11, 0, &[1, 2, 3]);
    let (ospfs, others) = (
        ospf.repeat(2),
        [raw(32, 0, &[7]), raw(3, 0, b"bye"), raw(13, 6, &[])],
    );
    let all = [&ospfs[..], &message(false, &KEEPALIVE), &others.concat()].concat();
    for form in FORMS {
        let (out, errors, damaged) = decoded(&all, form);
        assert_eq!(damaged, 0, "{errors}");
        assert_eq!(
            errors.lines().collect::<Vec<_>>(),
            [
                "thruway decode: record 5 at offset 94: I_AM_DEAD record, not supported, skipped",
                "thruway decode: 2 OSPFv2 records, not supported, skipped; \
                 the first is record 1 at offset 0",
                "thruway decode: record 6 at offset 109: TABLE_DUMP_V2 RIB_GENERIC record, not \
                 supported, skipped",
                "thruway decode: record 4 at offset 81: ISIS record, not supported, skipped",
            ]
        );
        match form {
            "text" => assert!(
                out.starts_with(
                    "2020-09-13 12:26:40  OSPFv2 record, not supported, skipped, 3 octets at offset 0\n"
                ),
                "{out}"
            ),
            "json" => assert_eq!(objects(&out)[0]["unsupported"], true),
            _ => assert_eq!(out, ""),
        }
        let (_, _, result) = ended(&[&ospfs[..], &others[0]].concat(), form, |_| {});
        let error = result.unwrap_err().to_string();
        let end = "nothing to show: all its records are of types that are not supported \
                   (2 OSPFv2, 1 ISIS)";
        assert!(error.ends_with(end), "{error}");
    }
    for kind in (0..=11).chain([32, 33, 48, 49]) {
        let (_, errors, result) = ended(&raw(kind, 0, &[0, 0, 0, 1, 2]).repeat(3), "lines", |_| {});
        assert!(errors.starts_with("thruway decode: 3 "), "{kind}: {errors}");
        assert!(result.is_err(), "{kind}");
    }
}

#[test]
fn types_that_are_not_known_are_damage_with_number_and_offset() {
    let unknown = [raw(70, 1, &[1, 2, 3]), raw(16, 12, &[])];
    let all = [
        message(false, &KEEPALIVE),
        unknown.concat(),
        message(false, &KEEPALIVE),
    ]
    .concat();
    for form in FORMS {
        let (_, errors, damaged) = decoded(&all, form);
        assert_eq!(damaged, 2);
        assert_eq!(
            errors,
            "thruway decode: record 2 at offset 51: type 70 subtype 1 is not known, skipped\n\
             thruway decode: record 3 at offset 66: BGP4MP subtype 12 is not known, skipped\n"
        );
    }
}

#[test]
fn a_file_of_another_kind_gets_a_hint() {
    let pcap = [&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0][..], &[0; 40]].concat();
    for (file, hint) in [
        (&pcap[..], "the file is a packet capture (pcap)"),
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0",
            "begins with 7f 45 4c 46 02",
        ),
        (&[0; 999], "begins with 00 00 00"),
    ] {
        let (_, errors, damaged) = decoded(file, "text");
        assert_eq!(damaged, 1);
        assert!(errors.contains(hint), "{errors}");
        assert!(errors.contains("decode reads MRT files"), "{errors}");
    }
}

/// What is wrong in a record's fields is told with its place; the record is shown all the same.
#[test]
fn wrong_fields_in_records_are_told_and_shown() {
    let mut marker = KEEPALIVE;
    marker[3] = 0;
    let mut kind = KEEPALIVE;
    kind[18] = 77;
    let mut time = write::MrtTime::from_secs(1);
    let mut state = Vec::new();
    write::state_change(&mut state, time, &SESSION, 6, 99).unwrap();
    time.micros = Some(1_000_000);
    let mut micros = Vec::new();
    write::state_change(&mut micros, time, &SESSION, 6, 1).unwrap();
    let mut lengths = update(&AS4_ATTRS, &NLRI);
    lengths[19] = 0xff;
    for (record, told) in [
        (
            message(false, &marker),
            "the message's marker is not sixteen ff but ffffff00ffffffffffffffffffffffff",
        ),
        (message(false, &kind), "a session would answer "),
        (state, "no state of a session has the number 99"),
        (micros, "1000000 microseconds are more than a second has"),
        (
            message(false, &lengths),
            "the lengths in the UPDATE exceed the message",
        ),
        (
            message(false, &update(&AS4_ATTRS[..19], &NLRI)),
            "6 octets of path attributes make no",
        ),
        (
            message(false, &update(&AS4_ATTRS, &NLRI[..3])),
            "the NLRI of ipv4 do not read",
        ),
    ] {
        let good = message(false, &update(&AS4_ATTRS, &NLRI));
        let all = [&good[..], &record, &good].concat();
        let place = format!("thruway decode: record 2 at offset {}: {told}", good.len());
        for form in FORMS {
            let (out, errors, damaged) = decoded(&all, form);
            assert_eq!((damaged, errors.lines().count()), (1, 1), "{errors}");
            assert!(errors.starts_with(&place), "{errors}");
            assert!(
                out.matches("198.51.100.0/24").count() >= 2,
                "reading goes on: {out}"
            );
            if form == "json" {
                let told = objects(&out)[1]["faults"][0].clone();
                assert!(
                    place.contains(told.as_str().unwrap().split_at(9).0),
                    "{told}"
                );
            }
        }
    }
}

/// Lengths that contradict each other keep a record from being read; what stands there is said.
#[test]
fn damaged_records_are_named_with_what_is_there() {
    let good = message(false, &KEEPALIVE);
    let mut afi = good.clone();
    afi[12 + 11] = 9;
    let mut length = good.clone();
    length[good.len() - 2] = 20;
    let at = good.len();
    for (record, told) in [
        (
            &afi,
            "MRT record has a value that is not allowed at offset 10, where there is 00 09 c0 00",
        ),
        (
            &length,
            "MRT record has a wrong length at offset 36, where there is 00 14 04",
        ),
    ] {
        let (_, errors, damaged) =
            decoded(&[&good, record, &good].map(|r| &r[..]).concat(), "text");
        assert_eq!(damaged, 1);
        let place = format!("thruway decode: record 2 at offset {at} (BGP4MP MESSAGE_AS4): ");
        assert!(
            errors.starts_with(&place) && errors.contains(told),
            "{errors}"
        );
    }
}

/// Raw messages: what is wrong in one does not hide the next.
#[test]
fn raw_messages_are_read_on_behind_damage() {
    let (mut kind, mut marker, mut short) = (KEEPALIVE, KEEPALIVE, KEEPALIVE);
    kind[18] = 77;
    marker[0] = 0;
    short[17] = 18;
    for (bad, shown, told) in [
        (
            &kind[..],
            3,
            "message 2 at offset 19: a session would answer ",
        ),
        (
            &marker,
            3,
            "message 2 at offset 19: the message's marker is not sixteen ff but 00ff",
        ),
        (&short, 2, "message 2 at offset 19: a message length of 18"),
        (&[1, 2, 3], 2, "message 2 at offset 19: 010203ff"),
    ] {
        let (out, errors, damaged) = decoded(&[&KEEPALIVE, bad, &KEEPALIVE].concat(), "json");
        assert_eq!((damaged, objects(&out).len()), (1, shown), "{errors}{out}");
        assert!(
            errors.starts_with(&format!("thruway decode: {told}")),
            "{errors}"
        );
    }
    let (_, errors, damaged) = decoded(&[&KEEPALIVE[..], &KEEPALIVE[..18]].concat(), "text");
    assert_eq!(damaged, 1);
    assert_eq!(
        errors,
        "thruway decode: message 2 at offset 19: cut short, 18 octets are left\n"
    );
}

/// What nothing says of a message is assumed, once told, and can be said.
#[test]
fn widths_and_path_identifiers_of_bare_messages_can_be_said() {
    let plain = update(&AS4_ATTRS, &NLRI);
    let ids = update(&AS2_ATTRS, &NLRI_PATH_9);
    let (out, errors, _) = decoded(&[&plain[..], &ids, &KEEPALIVE].concat(), "json");
    assert_eq!(
        errors,
        "thruway decode: assumed four-octet AS numbers (--as4) in 1 UPDATE, \
         two-octet AS numbers (--as2) in 1 UPDATE, path identifiers (--add-path=yes) in 1 UPDATE, \
         no path identifiers (--add-path=no) in 1 UPDATE\n"
    );
    let shown = objects(&out);
    assert_eq!(shown[0]["assumed"], json!({"as4": true, "add_path": false}));
    assert_eq!(shown[1]["assumed"], json!({"as4": false, "add_path": true}));
    assert_eq!(
        shown[1]["announced"][0]["nlri"],
        json!([{"prefix": "198.51.100.0/24", "path_id": 9}])
    );
    assert_eq!(shown[2]["assumed"], Value::Null);

    let (out, errors, damaged) = decoded_as(&ids, "json", |args| {
        (args.as2, args.add_path) = (true, AddPath::Yes);
    });
    assert_eq!((errors.as_str(), damaged), ("", 0));
    let shown = &objects(&out)[0];
    assert_eq!(
        (&shown["assumed"], &shown["attributes"]["as_path"]),
        (&Value::Null, &json!("65000"))
    );
    // Said wrongly, it is read wrongly, and what does not read is told.
    let (out, errors, damaged) = decoded_as(&ids, "json", |args| {
        (args.as4, args.add_path) = (true, AddPath::No);
    });
    let shown = &objects(&out)[0];
    assert_eq!(shown["attributes"]["as_path"], Value::Null);
    assert_eq!(
        shown["announced"][0]["nlri"][0],
        json!({"prefix": "0.0.0.0/0"})
    );
    assert_eq!(damaged, 1, "{errors}");
}

/// The families of MP_REACH_NLRI and MP_UNREACH_NLRI are read as the option says, too.
#[test]
fn path_identifiers_are_of_all_families() {
    let mut reach = vec![0x80, 14, 30, 0, 2, 1, 16];
    reach.extend_from_slice(&[0x20; 16]);
    reach.extend_from_slice(&[0, 0, 0, 0, 7, 32, 0x20, 1, 0xd, 0xb8]);
    let unreach = [0x80, 15, 10, 0, 1, 2, 0, 0, 0, 8, 16, 10, 1];
    let message = update(&[&reach[..], &unreach].concat(), &[]);
    let (out, errors, damaged) = decoded_as(&message, "json", |args| args.add_path = AddPath::Yes);
    assert_eq!((errors.as_str(), damaged), ("", 0));
    let shown = &objects(&out)[0];
    let nlri = |kind: &str| shown[kind][0]["nlri"][0].clone();
    assert_eq!(
        nlri("announced"),
        json!({"prefix": "2001:db8::/32", "path_id": 7})
    );
    assert_eq!(
        nlri("withdrawn"),
        json!({"prefix": "10.1.0.0/16", "path_id": 8})
    );
}

/// A record's own word is no guess. A plain subtype may be contradicted, by the NLRI or the user.
#[test]
fn a_record_says_itself_what_its_message_carries() {
    let ids = update(&AS4_ATTRS, &NLRI_PATH_9);
    let with = json!([{"prefix": "198.51.100.0/24", "path_id": 9}]);
    let nlri = |file: &[u8], add_path| {
        let (out, errors, damaged) = decoded_as(file, "json", |args| args.add_path = add_path);
        let shown = objects(&out)[0].clone();
        (
            shown["announced"][0]["nlri"].clone(),
            shown["assumed"].clone(),
            errors,
            damaged,
        )
    };
    for add_path in [AddPath::Auto, AddPath::Yes, AddPath::No] {
        let (found, assumed, errors, damaged) = nlri(&message(true, &ids), add_path);
        assert_eq!(
            (&found, assumed, damaged),
            (&with, Value::Null, 0),
            "{errors}"
        );
        let plain = message(false, &update(&AS4_ATTRS, &NLRI));
        let (_, assumed, errors, damaged) = nlri(&plain, add_path);
        assert_eq!(assumed, Value::Null);
        assert_eq!(damaged, u64::from(add_path == AddPath::Yes), "{errors}");
    }
    let plain = message(false, &ids);
    let (found, assumed, errors, damaged) = nlri(&plain, AddPath::Auto);
    assert_eq!(
        (found, assumed, damaged),
        (with.clone(), json!({"add_path": true}), 0)
    );
    let told = "assumed path identifiers (--add-path=yes) in 1 UPDATE";
    assert_eq!(errors, format!("thruway decode: {told}\n"));
    let (found, assumed, errors, _) = nlri(&plain, AddPath::Yes);
    assert_eq!((found, assumed, errors.as_str()), (with, Value::Null, ""));
    let (found, assumed, _, damaged) = nlri(&plain, AddPath::No);
    assert_eq!(
        (&found[0]["prefix"], assumed, damaged),
        (&json!("0.0.0.0/0"), Value::Null, 1)
    );
}

/// BGP4MP_MESSAGE has two-octet AS numbers; the user may know better.
#[test]
fn four_octet_numbers_in_a_plain_subtype_can_be_said() {
    let ends = [
        0xfd, 0xe8, 0xfd, 0xe9, 0, 0, 0, 1, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    let record = raw(16, 1, &[&ends[..], &update(&AS4_ATTRS, &NLRI)].concat());
    let path = |as2, as4| {
        let (out, errors, _) =
            decoded_as(&record, "json", |args| (args.as2, args.as4) = (as2, as4));
        assert_eq!(errors, "");
        objects(&out)[0]["attributes"]["as_path"].clone()
    };
    assert_eq!(path(false, true), "65000");
    assert_ne!(path(false, false), "65000");
    assert_eq!(path(false, false), path(true, false));
}

/// Takes nothing, as a pipe whose reader is gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), UPDATE).unwrap();
    assert_eq!(
        run_to(&args(file.path(), "json"), &mut Gone, &mut Vec::new()).unwrap(),
        0
    );
}
