//! Generated input for every entry point: random bytes, and messages that are nearly right.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A path segment in four or two octets a number.
fn segment(as4: bool) -> impl Strategy<Value = Vec<u8>> {
    let asn = prop_oneof![4 => 1..65_000u32, 2 => 65_536..5_000_000u32, 1 => Just(23_456)];
    (
        prop_oneof![8 => Just(2u8), 1 => Just(1), 1 => 0..6u8],
        vec(asn, 1..9),
    )
        .prop_map(move |(kind, asns)| {
            let mut bytes = vec![kind, u8::try_from(asns.len()).unwrap()];
            for asn in asns {
                let octets = asn.to_be_bytes();
                bytes.extend_from_slice(if as4 { &octets } else { &octets[2..] });
            }
            bytes
        })
}

fn path(as4: bool) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => vec(segment(as4), 0..4).prop_map(|segments| segments.concat()),
        1 => vec(segment(as4), 120..130).prop_map(|segments| segments.concat()),
    ]
}

fn attribute(as4: bool) -> impl Strategy<Value = Vec<u8>> {
    let multiple = |unit: usize| {
        vec(any::<u8>(), 0..12 * unit).prop_map(move |mut value| {
            value.truncate(value.len() / unit * unit);
            value
        })
    };
    let exactly = |len: usize| vec(any::<u8>(), len);
    let known = prop_oneof![
        (
            Just((0x40u8, 1u8)),
            (0..3u8).prop_map(|origin| vec![origin]).boxed()
        ),
        (Just((0x40, 2)), path(as4).boxed()),
        (Just((0x40, 3)), exactly(4).boxed()),
        (Just((0x80, 4)), exactly(4).boxed()),
        (Just((0x40, 5)), exactly(4).boxed()),
        (Just((0x40, 6)), exactly(0).boxed()),
        (Just((0xc0, 7)), exactly(if as4 { 8 } else { 6 }).boxed()),
        (Just((0xc0, 8)), multiple(4).boxed()),
        (Just((0x80, 9)), exactly(4).boxed()),
        (Just((0x80, 10)), multiple(4).boxed()),
        (Just((0xc0, 16)), multiple(8).boxed()),
        (Just((0xc0, 17)), path(true).boxed()),
        (Just((0xc0, 18)), exactly(8).boxed()),
        (Just((0xc0, 25)), multiple(20).boxed()),
        (Just((0xc0, 32)), multiple(12).boxed()),
        (Just((0xc0, 35)), exactly(4).boxed()),
    ];
    let any_at_all = ((any::<u8>(), any::<u8>()), vec(any::<u8>(), 0..300).boxed());
    prop_oneof![12 => known.boxed(), 1 => any_at_all.boxed()].prop_map(|((flags, code), value)| {
        raw(
            flags | if value.len() > 255 { 0x10 } else { 0 },
            code,
            &value,
        )
    })
}

fn raw(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags, code];
    if flags & 0x10 == 0 {
        bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    } else {
        bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

fn nlri(len_max: u8, add_path: bool, count: usize) -> impl Strategy<Value = Vec<u8>> {
    let one = (any::<[u8; 4]>(), 0..=len_max, any::<[u8; 16]>());
    vec(one, 0..count).prop_map(move |all| {
        let mut bytes = Vec::new();
        for (id, len, address) in all {
            bytes.extend_from_slice(if add_path { &id } else { &[] });
            bytes.push(len);
            bytes.extend_from_slice(&address[..usize::from(len.div_ceil(8))]);
        }
        bytes
    })
}

fn multiprotocol(add_path: [bool; 2]) -> impl Strategy<Value = Vec<u8>> {
    let v4 = (
        Just(1u8),
        prop::sample::select(vec![4usize, 16, 32]),
        nlri(32, add_path[0], 40),
    );
    let v6 = (
        Just(2u8),
        prop::sample::select(vec![16usize, 32]),
        nlri(128, add_path[1], 40),
    );
    (any::<bool>(), prop_oneof![v4.boxed(), v6.boxed()]).prop_map(|(reach, (afi, hop, nlri))| {
        let mut value = vec![0, afi, 1];
        if reach {
            value.push(u8::try_from(hop).unwrap());
            value.extend(vec![0x20; hop]);
            value.push(0);
        }
        value.extend(nlri);
        raw(0x90, if reach { 14 } else { 15 }, &value)
    })
}

/// Context bits and a body that often is right: the mandatory attributes, then others in any order.
fn update() -> impl Strategy<Value = Vec<u8>> {
    any::<u8>().prop_flat_map(|bits| {
        let ctx = context(bits);
        let add_path = Family::ALL.map(|family| ctx.add_path.contains(family));
        let local_pref = if ctx.external {
            vec![]
        } else {
            raw(0x40, 5, &[0, 0, 0, 9])
        };
        let origin = raw(0x40, 1, &[0]);
        let attrs = (
            path(ctx.as4).prop_map(|path| raw(0x50, 2, &path)),
            vec(attribute(ctx.as4), 0..6),
            vec(multiprotocol(add_path), 0..2),
        )
            .prop_map(move |(path, more, multiprotocol)| {
                let hop = raw(0x40, 3, &[192, 0, 2, 1]);
                let first = [origin.clone(), path, hop, local_pref.clone()];
                [first.concat(), more.concat(), multiprotocol.concat()].concat()
            });
        let withdrawn = prop_oneof![3 => nlri(32, add_path[0], 2), 1 => nlri(32, add_path[0], 90)];
        (withdrawn, attrs, nlri(32, add_path[0], 1500)).prop_map(move |(withdrawn, attrs, nlri)| {
            let mut body = vec![bits];
            body.extend_from_slice(&u16::try_from(withdrawn.len()).unwrap().to_be_bytes());
            body.extend(withdrawn);
            body.extend_from_slice(&u16::try_from(attrs.len()).unwrap().to_be_bytes());
            body.extend(attrs);
            body.extend(nlri);
            body
        })
    })
}

/// The same with a few octets changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (
        update(),
        vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    )
        .prop_map(|(mut body, changes)| {
            for (at, octet) in changes {
                let at = at.index(body.len().min(120));
                body[at] = octet;
            }
            body
        })
}

/// `PROPTEST_CASES` asks for more. A failure prints its smallest input; nothing is written to disk.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn updates_that_are_right(input in update()) {
        fuzz_update(&input);
        fuzz_canonical_roundtrip(&input);
    }

    #[test]
    fn updates_that_are_nearly_right(input in damaged()) {
        fuzz_update(&input);
        fuzz_canonical_roundtrip(&input);
    }

    #[test]
    fn edits(
        bits in any::<u8>(),
        block in vec(attribute(true), 0..6),
        script in vec(any::<[u8; 6]>(), 0..30),
    ) {
        let mut block = block.concat();
        block.truncate(255);
        let cut = u8::try_from(block.len()).unwrap();
        fuzz_attr_edit(&[&[bits & !1, cut], &block[..], &script.concat()].concat());
    }

    #[test]
    fn octets_of_any_kind(input in vec(any::<u8>(), 0..200)) {
        fuzz_update(&input);
        fuzz_open(&input);
        fuzz_notification(&input);
        fuzz_route_refresh(&input);
        fuzz_attr_edit(&input);
        fuzz_message_stream(&input);
    }

    #[test]
    fn streams(kinds in vec((0..7u8, 0..60u16), 0..6), body in vec(any::<u8>(), 60)) {
        let mut stream = vec![0];
        for (kind, len) in kinds {
            stream.extend([0xff; 16]);
            stream.extend((len + 19).to_be_bytes());
            stream.push(kind);
            stream.extend(&body[..usize::from(len)]);
        }
        fuzz_message_stream(&stream);
    }
}

/// The generator must reach what it is for: otherwise the properties above say nothing.
#[test]
fn most_generated_updates_announce_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let announcing = (0..200).filter(|_| {
        let input = update().new_tree(&mut runner).unwrap().current();
        let view = UpdateView::parse(&input[1..], &context(input[0]));
        view.announced().next().is_some()
    });
    let count = announcing.count();
    assert!(count > 60, "{count} of 200");
}

#[test]
fn a_dumps_aggregator_of_as_0_is_kept_and_does_not_break_edits() {
    let mut input = vec![0xfc, 11, 0xc0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    input.extend([8, 1, 0, 0, 0, 1]);
    fuzz_attr_edit(&input);
}
