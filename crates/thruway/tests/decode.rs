//! How `thruway decode` ends, and what it says on its error output.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use std::process::Command;

/// Exit status, output and error output.
fn decode(input: &[u8], options: &[&str]) -> (i32, String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_thruway"))
        .arg("decode")
        .args(options)
        .arg(file.path())
        .output()
        .unwrap();
    (
        run.status.code().unwrap(),
        String::from_utf8(run.stdout).unwrap(),
        String::from_utf8(run.stderr).unwrap(),
    )
}

/// A record of the year 2020.
fn record(kind: u8, subtype: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).unwrap();
    [
        &[0x5f, 0x5e, 0x10, 0, 0, kind, 0, subtype, 0, 0, 0, len],
        body,
    ]
    .concat()
}

/// A KEEPALIVE of BGP4MP_MESSAGE_AS4 with the last octet of its marker.
fn keepalive(marker: u8) -> Vec<u8> {
    let mut body = vec![0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe9, 0, 0, 0, 1];
    body.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
    body.extend_from_slice(&[0xff; 15]);
    body.extend_from_slice(&[marker, 0, 19, 4]);
    record(16, 4, &body)
}

#[test]
fn damage_ends_the_command_badly_and_what_is_not_supported_does_not() {
    let good = keepalive(0xff);
    let (status, out, errors) = decode(&good, &[]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(out.ends_with("KEEPALIVE\n"), "{out}");

    let marked = [&good[..], &keepalive(0xfe), &good].concat();
    let (status, out, errors) = decode(&marked, &[]);
    assert_eq!((status, out.matches("KEEPALIVE").count()), (1, 3));
    let (first, last) = errors.split_once('\n').unwrap();
    assert_eq!(
        first,
        "thruway decode: record 2 at offset 51: the message's marker is not sixteen ff but \
         fffffffffffffffffffffffffffffffe"
    );
    assert!(last.ends_with(": 1 place is damaged\n"), "{last}");

    let ospf = record(11, 0, &[1, 2, 3]);
    let (status, _, errors) = decode(&[&ospf[..], &good].concat(), &[]);
    let told = "thruway decode: record 1 at offset 0: OSPFv2 record, not supported, skipped\n";
    assert_eq!((status, errors.as_str()), (0, told));
    let (status, _, errors) = decode(&ospf, &["-m"]);
    assert_eq!(status, 1);
    assert!(errors.starts_with(told), "{errors}");
    assert!(
        errors.contains("error: ") && errors.ends_with("(1 OSPFv2)\n"),
        "{errors}"
    );
}

#[test]
fn the_options_for_messages_take_a_value_or_none() {
    let update = b"0017020000000000001700\n";
    for options in [
        &["--add-path"][..],
        &["--add-path=yes", "--as4"],
        &["--add-path=no", "--as2"],
        &["--add-path=auto", "--json"],
    ] {
        let (status, _, errors) = decode(&update[..14], options);
        assert_eq!((status, errors.as_str()), (0, ""), "{options:?}");
    }
    let (status, _, errors) = decode(update, &["--as2", "--as4"]);
    assert_eq!(status, 2);
    assert!(errors.contains("cannot be used with"), "{errors}");
    let (status, ..) = decode(update, &["--add-path=maybe"]);
    assert_eq!(status, 2);
}
