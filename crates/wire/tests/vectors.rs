//! Messages that other implementations wrote (OpenDaylight's BGP test resources): all of them are
//! read as their captions say, and survive being written again.
//!
//! The data lies outside the project; without it the tests say so and pass.

use std::path::PathBuf;

use thruway_wire::fuzzing::{context, fuzz_canonical_roundtrip, fuzz_message_stream};
use thruway_wire::limits::HEADER_LEN;
use thruway_wire::message::{MessageType, RawMessage, frame};
use thruway_wire::open::Open;
use thruway_wire::update::{Part, UpdateView, Verdict};

/// `$THRUWAY_DATA`, or `shared/data` beside the workspace.
fn vector(name: &str) -> Option<Vec<u8>> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("THRUWAY_DATA").map_or_else(beside, PathBuf::from);
    let path = data.join("vectors/bgpcep").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("skipped: no {}", path.display());
    }
    bytes
}

/// The messages of a file of hex dumps, with the lengths that their captions claim.
fn hex_messages(text: &str) -> Vec<(usize, Vec<u8>)> {
    let mut messages: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut digits = String::new();
    for line in text.lines() {
        if let Some((_, length)) = line.split_once("Length:") {
            digits.clear();
            messages.push((length.trim().parse().expect("a number"), Vec::new()));
            continue;
        }
        digits.extend(line.chars().filter(char::is_ascii_hexdigit));
        let Some((_, message)) = messages.last_mut() else {
            continue;
        };
        let whole = digits.len() / 2 * 2;
        for pair in digits.as_bytes()[..whole].chunks(2) {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            message.push(u8::from_str_radix(pair, 16).expect("hex"));
        }
        digits.drain(..whole);
    }
    messages
}

/// Internal peers with four-octet AS numbers, and external ones with two and four; see [`context`].
const INTERNAL: u8 = 2;
const TWO_OCTET: u8 = 1;
const FOUR_OCTET: u8 = 0;

/// What the messages of a file were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    opens: usize,
    updates: usize,
    others: usize,
    announced: Vec<String>,
    withdrawn: usize,
    end_of_rib: usize,
    /// Captions that name another length than the message has.
    lying: usize,
}

fn see(seen: &mut Seen, message: RawMessage<'_>, bits: u8) {
    match message.kind {
        MessageType::Open => {
            seen.opens += 1;
            let open = Open::parse(message.body()).expect("a sound OPEN");
            let mut again = Vec::new();
            open.encode(&mut again);
            assert_eq!(Open::parse(&again[HEADER_LEN..]), Ok(open));
        }
        MessageType::Update => {
            seen.updates += 1;
            let view = UpdateView::parse(message.body(), &context(bits));
            assert_eq!(view.verdict(), Verdict::Ok, "{:?}", view.error());
            let v4 = [Part::Classic, Part::Multiprotocol].map(|part| view.announced4(part));
            seen.announced
                .extend(v4.into_iter().flatten().map(|nlri| nlri.prefix.to_string()));
            seen.announced
                .extend(view.announced6().map(|nlri| nlri.prefix.to_string()));
            seen.withdrawn += view.withdrawn4().count() + view.withdrawn6().count();
            seen.end_of_rib += usize::from(view.end_of_rib().is_some());
            fuzz_canonical_roundtrip(&[&[bits], message.body()].concat());
        }
        _ => seen.others += 1,
    }
    fuzz_message_stream(&[&[0], message.bytes].concat());
}

fn see_hex(name: &str) -> Option<Seen> {
    let text = String::from_utf8(vector(name)?).expect("text");
    let mut seen = Seen::default();
    for (claimed, bytes) in hex_messages(&text) {
        let message = frame(&bytes, 4096)
            .expect("a sound header")
            .expect("a whole message");
        seen.lying += usize::from(claimed != message.bytes.len());
        assert_eq!(message.bytes.len(), bytes.len());
        see(&mut seen, message, INTERNAL);
    }
    Some(seen)
}

#[test]
fn util_messages() {
    let Some(seen) = see_hex("util-bgp_hex.txt") else {
        return;
    };
    // Most are BGP-LS, which is passed over without an error.
    assert_eq!(
        (seen.opens, seen.updates, seen.others, seen.lying),
        (1, 24, 0, 0)
    );
    assert_eq!(
        (seen.announced.len(), seen.withdrawn, seen.end_of_rib),
        (25, 0, 0)
    );
    assert_eq!(seen.announced[0], "203.20.160.40/32");
    assert_eq!(seen.announced[24], "204.20.160.41/32");
}

#[test]
fn rib_messages() {
    let Some(seen) = see_hex("rib-impl-bgp_hex.txt") else {
        return;
    };
    assert_eq!(
        (seen.opens, seen.updates, seen.others, seen.lying),
        (1, 30, 0, 1)
    );
    assert_eq!(
        (seen.announced.len(), seen.withdrawn, seen.end_of_rib),
        (25, 0, 0)
    );
    assert_eq!(seen.announced[0], "196.20.160.41/32");
}

#[test]
fn captured_messages() {
    let Some(bytes) = vector("util-BgpMessages.bin") else {
        return;
    };
    let mut seen = Seen::default();
    let mut rest = &bytes[..];
    // BGP4MP records: 12 octets of header, subtype 1 with two-octet numbers and 4 with four.
    while let [_, _, _, _, 0, 16, 0, subtype, length @ ..] = rest {
        let (length, body) = length.split_first_chunk().expect("a length");
        let (body, behind) = body.split_at(u32::from_be_bytes(*length) as usize);
        rest = behind;
        let bits = if *subtype == 1 { TWO_OCTET } else { FOUR_OCTET };
        if let Some(at) = body.windows(16).position(|octets| octets == [0xff; 16]) {
            let message = frame(&body[at..], 4096)
                .expect("a sound header")
                .expect("a whole one");
            assert_eq!(at + message.bytes.len(), body.len());
            see(&mut seen, message, bits);
        }
    }
    assert!(rest.is_empty());
    assert_eq!((seen.opens, seen.updates, seen.others), (0, 34, 9));
    assert_eq!(
        (seen.announced.len(), seen.withdrawn, seen.end_of_rib),
        (112, 8, 0)
    );
    assert_eq!(seen.announced[0], "2620:102:8008::/46");
    assert_eq!(seen.announced[4], "2.92.137.0/24");
}
