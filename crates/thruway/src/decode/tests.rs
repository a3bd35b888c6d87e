//! The three forms of one input, and how the command ends.

use std::io::{self, Write};
use std::path::Path;

use thruway_wire::mrt::{MrtPeer, RibEntry, write};
use thruway_wire::{Asn, RouterId};

use super::{DecodeArgs, run_to};

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
        as2: false,
        add_path: false,
    }
}

/// Output, error output and damaged places.
fn decoded(input: &[u8], form: &str) -> (String, String, u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let damaged = run_to(&args(file.path(), form), &mut out, &mut errors).unwrap();
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(errors).unwrap(),
        damaged,
    )
}

#[test]
fn one_update_has_three_forms() {
    let (text, errors, _) = decoded(UPDATE.as_bytes(), "text");
    assert_eq!(errors, "");
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
    for form in ["text", "json", "lines"] {
        let (out, errors, damaged) = decoded(&file, form);
        assert_eq!(damaged, 1);
        assert!(
            errors.contains(&format!("record at offset {offset}: no peer has")),
            "{errors}"
        );
        assert_eq!(out.matches("10.0.0.0/8").count(), 1, "{form}: {out}");
    }
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
