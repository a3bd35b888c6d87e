//! RFC 7606 row by row: bytes in, verdict out; and the views over what stands.

use super::*;
use crate::limits::AS_PATH_LEN_MAX;
use crate::{Field, Nlri, PrefixKey, WireErrorKind};

const EXTERNAL: UpdateContext = UpdateContext {
    as4: true,
    external: true,
    families: FamilySet::ALL,
    add_path: FamilySet::EMPTY,
};
const INTERNAL: UpdateContext = UpdateContext {
    external: false,
    ..EXTERNAL
};
const TWO_OCTET: UpdateContext = UpdateContext {
    as4: false,
    ..EXTERNAL
};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x00];
const AS_PATH2: &[u8] = &[0x40, 2, 4, 2, 1, 0xfc, 0x00];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const LOCAL_PREF: &[u8] = &[0x40, 5, 4, 0, 0, 0, 200];
const NLRI: &[u8] = &[24, 198, 51, 100];
const REACH6: &[u8] = &[
    0x80, 14, 26, 0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 32, 0x20,
    1, 0xd, 0xb8,
];

fn body(withdrawn: &[u8], attrs: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attrs = attrs.concat();
    let mut body = Vec::new();
    for field in [withdrawn, &attrs] {
        body.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend_from_slice(field);
    }
    body.extend_from_slice(nlri);
    body
}

fn text<P: PrefixKey>(nlri: impl Iterator<Item = Nlri<P>>) -> Vec<String> {
    nlri.map(|nlri| match nlri.path_id {
        0 => nlri.prefix.to_string(),
        id => format!("{}#{id}", nlri.prefix),
    })
    .collect()
}

/// The verdict on an announcement of one prefix that also holds `attr`.
fn with(ctx: &UpdateContext, attr: &[u8]) -> (Verdict, Option<u8>) {
    let path = if ctx.as4 { AS_PATH } else { AS_PATH2 };
    let mut attrs = vec![ORIGIN, path, NEXT_HOP];
    if !ctx.external {
        attrs.push(LOCAL_PREF);
    }
    // The attribute under test stands for the well-formed one with its code.
    attrs.retain(|other| other[1] != attr[1]);
    attrs.push(attr);
    let body = body(&[], &attrs, NLRI);
    let view = UpdateView::parse(&body, ctx);
    let announced = view.announced4(Part::Classic).count();
    assert_eq!(
        announced,
        usize::from(view.verdict() < Verdict::Withdraw),
        "{attr:x?}"
    );
    assert_eq!(view.withdrawn4().count(), 1 - announced, "{attr:x?}");
    if let Some(error) = view.error() {
        assert_eq!(error.field, Field::Attribute(attr[1]), "{attr:x?}");
        assert_eq!(
            usize::from(body[error.offset as usize + 1]),
            usize::from(attr[1])
        );
    }
    (view.verdict(), view.notification().map(|note| note.subcode))
}

#[test]
fn each_attribute_error_has_its_verdict() {
    use Verdict::{Discard, Ok, Reset, Withdraw};
    type Row<'a> = (&'a UpdateContext, &'a [u8], Verdict);
    let (ext, int, two) = (&EXTERNAL, &INTERNAL, &TWO_OCTET);
    let rows: &[Row<'_>] = &[
        // Flags (RFC 7606 §3 c): O and T must fit, Partial and the low bits do not matter.
        (ext, &[0xc0, 1, 1, 0], Withdraw),
        (ext, &[0x00, 1, 1, 0], Withdraw),
        (ext, &[0x60, 1, 1, 0], Ok),
        (ext, &[0x4f, 1, 1, 0], Ok),
        (ext, &[0x50, 1, 0, 1, 0], Ok),
        (ext, &[0xc0, 4, 4, 0, 0, 0, 1], Withdraw),
        (ext, &[0x80, 8, 4, 0, 0, 0, 1], Withdraw),
        (ext, &[0x40, 7, 8, 0, 0, 0, 1, 0, 0, 0, 1], Withdraw),
        (two, &[0x80, 17, 6, 2, 1, 0, 0, 0, 1], Withdraw),
        // ORIGIN (§7.1).
        (ext, &[0x40, 1, 1, 2], Ok),
        (ext, &[0x40, 1, 1, 3], Withdraw),
        (ext, &[0x40, 1, 0], Withdraw),
        (ext, &[0x40, 1, 2, 0, 0], Withdraw),
        // AS_PATH (§7.2).
        (ext, &[0x40, 2, 0], Ok),
        (ext, &[0x40, 2, 6, 1, 1, 0, 0, 0, 1], Ok),
        (ext, &[0x40, 2, 1, 2], Withdraw),
        (ext, &[0x40, 2, 2, 2, 0], Withdraw),
        (ext, &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], Withdraw),
        (ext, &[0x40, 2, 7, 2, 1, 0, 0, 0, 1, 2], Withdraw),
        (ext, &[0x40, 2, 6, 0, 1, 0, 0, 0, 1], Withdraw),
        (ext, &[0x40, 2, 6, 5, 1, 0, 0, 0, 1], Withdraw),
        (ext, &[0x40, 2, 4, 2, 1, 0, 1], Withdraw),
        (two, &[0x40, 2, 4, 2, 1, 0, 1], Ok),
        (two, &[0x40, 2, 6, 2, 1, 0, 0, 0, 1], Withdraw),
        // Confederation segments from outside (RFC 5065 §5).
        (ext, &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], Withdraw),
        (ext, &[0x40, 2, 6, 4, 1, 0, 0, 0, 1], Withdraw),
        (int, &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], Ok),
        // NEXT_HOP (§7.3).
        (ext, &[0x40, 3, 3, 1, 1, 1], Withdraw),
        (ext, &[0x40, 3, 5, 1, 1, 1, 1, 1], Withdraw),
        // MULTI_EXIT_DISC (§7.4).
        (ext, &[0x80, 4, 4, 0, 0, 0, 1], Ok),
        (ext, &[0x80, 4, 3, 0, 0, 1], Withdraw),
        (ext, &[0x80, 4, 0], Withdraw),
        // LOCAL_PREF (§7.5).
        (ext, &[0x40, 5, 4, 0, 0, 0, 1], Discard),
        (ext, &[0x80, 5, 1, 0], Discard),
        (int, &[0x40, 5, 4, 0, 0, 0, 1], Ok),
        (int, &[0x40, 5, 3, 0, 0, 1], Withdraw),
        // ATOMIC_AGGREGATE (§7.6).
        (ext, &[0x40, 6, 0], Ok),
        (ext, &[0x40, 6, 1, 0], Discard),
        // AGGREGATOR (§7.7).
        (ext, &[0xc0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 1], Ok),
        (ext, &[0xc0, 7, 6, 0, 1, 0, 0, 0, 1], Discard),
        (two, &[0xc0, 7, 6, 0, 1, 0, 0, 0, 1], Ok),
        (two, &[0xc0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 1], Discard),
        // COMMUNITIES (§7.8).
        (ext, &[0xe0, 8, 8, 0, 0, 0, 1, 0, 0, 0, 2], Ok),
        (ext, &[0xc0, 8, 0], Withdraw),
        (ext, &[0xc0, 8, 5, 0, 0, 0, 1, 0], Withdraw),
        // ORIGINATOR_ID, CLUSTER_LIST (§7.9, §7.10).
        (ext, &[0x80, 9, 3, 0, 0, 1], Discard),
        (int, &[0x80, 9, 3, 0, 0, 1], Withdraw),
        (int, &[0x80, 9, 4, 0, 0, 0, 1], Ok),
        (ext, &[0x80, 10, 4, 0, 0, 0, 1], Discard),
        (int, &[0x80, 10, 0], Withdraw),
        (int, &[0x80, 10, 6, 0, 0, 0, 1, 0, 0], Withdraw),
        (int, &[0x80, 10, 4, 0, 0, 0, 1], Ok),
        // Communities of the other kinds (§7.14, §7.15, RFC 8092 §6).
        (ext, &[0xc0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1], Ok),
        (ext, &[0xc0, 16, 0], Withdraw),
        (ext, &[0xc0, 16, 7, 0, 2, 0, 1, 0, 0, 0], Withdraw),
        (ext, &[0xc0, 25, 4, 0, 0, 0, 0], Withdraw),
        (ext, &[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], Ok),
        (ext, &[0xc0, 32, 0], Withdraw),
        (ext, &[0xc0, 32, 4, 0, 0, 0, 1], Withdraw),
        // AS4_PATH, AS4_AGGREGATOR (RFC 6793 §4.1, §6).
        (ext, &[0xc0, 17, 6, 2, 1, 0, 1, 0, 0], Discard),
        (two, &[0xc0, 17, 6, 2, 1, 0, 1, 0, 0], Ok),
        (two, &[0xc0, 17, 0], Discard),
        (two, &[0xc0, 17, 6, 2, 2, 0, 1, 0, 0], Discard),
        (two, &[0xc0, 17, 6, 9, 1, 0, 1, 0, 0], Discard),
        (two, &[0xc0, 18, 8, 0, 1, 0, 0, 1, 1, 1, 1], Ok),
        (two, &[0xc0, 18, 6, 0, 1, 1, 1, 1, 1], Discard),
        (ext, &[0xc0, 18, 8, 0, 1, 0, 0, 1, 1, 1, 1], Discard),
        // Only to Customer (RFC 9234 §5).
        (ext, &[0xc0, 35, 4, 0, 0, 0, 1], Ok),
        (ext, &[0xc0, 35, 2, 0, 1], Withdraw),
        // Unknown ones: optional is carried or ignored, well-known ends the session.
        (ext, &[0xc0, 99, 1, 0], Ok),
        (ext, &[0x80, 99, 0], Ok),
        (ext, &[0x40, 99, 0], Reset),
    ];
    for (ctx, attr, verdict) in rows {
        assert_eq!(
            with(ctx, attr).0,
            *verdict,
            "{attr:x?} external={}",
            ctx.external
        );
    }
    assert_eq!(with(ext, &[0x40, 99, 2, 7, 7]).1, Some(2));
}

#[test]
fn an_unknown_well_known_attribute_is_sent_back() {
    let odd: &[u8] = &[0x40, 99, 2, 7, 7];
    let body = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, odd], NLRI);
    let note = UpdateView::parse(&body, &EXTERNAL).notification().unwrap();
    assert_eq!((note.code, note.subcode, &note.data[..]), (3, 2, odd));
}

#[test]
fn a_path_over_the_limit_is_withdrawn() {
    for (numbers, verdict) in [(250, Verdict::Ok), (255, Verdict::Withdraw)] {
        // 32 segments: 32 × 1,002 or 1,022 octets of 32,000 with four-octet numbers.
        for (ctx, width) in [(&EXTERNAL, 4), (&TWO_OCTET, 2)] {
            let mut path = Vec::new();
            for _ in 0..AS_PATH_LEN_MAX / 1002 + usize::from(verdict != Verdict::Ok) {
                path.extend_from_slice(&[2, numbers]);
                path.extend(vec![1; usize::from(numbers) * width]);
            }
            let mut attr = vec![0x50, 2];
            attr.extend_from_slice(&u16::try_from(path.len()).unwrap().to_be_bytes());
            attr.extend(path);
            assert_eq!(with(ctx, &attr).0, verdict, "{numbers} {width}");
        }
    }
}

#[test]
fn missing_attributes_withdraw() {
    let cases: [(&UpdateContext, &[&[u8]], u8); 4] = [
        (&EXTERNAL, &[AS_PATH, NEXT_HOP], 1),
        (&EXTERNAL, &[ORIGIN, NEXT_HOP], 2),
        (&EXTERNAL, &[ORIGIN, AS_PATH], 3),
        (&INTERNAL, &[ORIGIN, AS_PATH, NEXT_HOP], 5),
    ];
    for (ctx, attrs, code) in cases {
        let body = body(&[], attrs, NLRI);
        let view = UpdateView::parse(&body, ctx);
        assert_eq!(view.verdict(), Verdict::Withdraw);
        let error = view.error().unwrap();
        assert_eq!(error.field, Field::Attribute(code));
        assert_eq!(error.kind, WireErrorKind::Missing);
        assert_eq!(text(view.withdrawn4()), ["198.51.100.0/24"]);
    }
    // MP_REACH_NLRI has its own next hop, and ignores what NEXT_HOP says (RFC 4760 §3).
    let good = body(&[], &[REACH6, ORIGIN, AS_PATH], &[]);
    assert_eq!(UpdateView::parse(&good, &EXTERNAL).verdict(), Verdict::Ok);
    let idle = body(&[], &[REACH6, ORIGIN, AS_PATH, &[0x40, 3, 1, 9]], &[]);
    assert_eq!(
        UpdateView::parse(&idle, &EXTERNAL).verdict(),
        Verdict::Discard
    );
}

#[test]
fn of_duplicates_the_first_counts() {
    let med = |value| [0x80, 4, 4, 0, 0, 0, value];
    let (one, two) = (med(1), med(2));
    let body1 = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &one, &two], NLRI);
    let view = UpdateView::parse(&body1, &EXTERNAL);
    assert_eq!(view.verdict(), Verdict::Discard);
    assert_eq!(view.error().unwrap().kind, WireErrorKind::Duplicate);
    let mut buf = AttrSetBuf::new();
    assert_eq!(view.canonical(Part::Classic, &mut buf).med(), Some(1));
    let body2 = body(&[], &[REACH6, ORIGIN, AS_PATH, REACH6], &[]);
    let note = UpdateView::parse(&body2, &EXTERNAL).notification().unwrap();
    assert_eq!((note.code, note.subcode), (3, 1));
}

#[test]
fn lengths_that_contradict_the_message_reset() {
    let whole = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[]);
    for (at, value) in [(0usize, 1u8), (1, 200), (2, 1), (3, 100)] {
        let mut body = whole.clone();
        body[at] = value;
        let view = UpdateView::parse(&body, &EXTERNAL);
        assert_eq!(view.verdict(), Verdict::Reset, "{at}");
        assert_eq!(view.error().unwrap().field, Field::PathAttributes);
        assert_eq!(view.notification().unwrap().subcode, 1);
    }
    for short in 0..4 {
        assert_eq!(
            UpdateView::parse(&whole[..short], &EXTERNAL).verdict(),
            Verdict::Reset
        );
    }
}

#[test]
fn an_attribute_over_the_end_withdraws_what_the_length_still_locates() {
    let torn: &[u8] = &[0xc0, 8, 8, 0, 0];
    let body1 = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, torn], NLRI);
    let view = UpdateView::parse(&body1, &EXTERNAL);
    assert_eq!(view.verdict(), Verdict::Withdraw);
    assert_eq!(view.error().unwrap().kind, WireErrorKind::Truncated);
    assert_eq!(view.error().unwrap().offset, 24);
    assert_eq!(view.attributes().count(), 3);
    assert_eq!(text(view.withdrawn4()), ["198.51.100.0/24"]);
    // Without NLRI nobody knows what to withdraw (RFC 7606 §5.2).
    let body2 = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, torn], &[]);
    assert_eq!(
        UpdateView::parse(&body2, &EXTERNAL)
            .notification()
            .unwrap()
            .subcode,
        1
    );
    // Nor where the torn one holds the NLRI.
    let body3 = body(&[], &[&REACH6[..20]], &[]);
    assert_eq!(
        UpdateView::parse(&body3, &EXTERNAL)
            .notification()
            .unwrap()
            .subcode,
        9
    );
}

#[test]
fn errors_without_reachable_nlri_reset() {
    let bad_med: &[u8] = &[0x80, 4, 1, 0];
    let unreach: &[u8] = &[0x80, 15, 7, 0, 2, 1, 24, 0x20, 1, 0xd];
    let body1 = body(NLRI, &[ORIGIN, bad_med, unreach], &[]);
    let note = UpdateView::parse(&body1, &EXTERNAL).notification().unwrap();
    assert_eq!((note.subcode, &note.data[..]), (5, bad_med));
    // A discard alone does not.
    let body2 = body(NLRI, &[&[0x40, 6, 1, 0], unreach], &[]);
    let view = UpdateView::parse(&body2, &EXTERNAL);
    assert_eq!(view.verdict(), Verdict::Discard);
    assert_eq!(text(view.withdrawn4()), ["198.51.100.0/24"]);
    assert_eq!(text(view.withdrawn6()), ["2001:d00::/24"]);
}

#[test]
fn classic_nlri_that_do_not_parse_reset() {
    for field in [&[33, 1, 2, 3, 4, 5][..], &[24, 1, 2], &[8, 10, 32, 1, 2, 3]] {
        for (body, name) in [
            (body(&[], &[ORIGIN, AS_PATH, NEXT_HOP], field), Field::Nlri),
            (
                body(field, &[ORIGIN, AS_PATH, NEXT_HOP], NLRI),
                Field::WithdrawnRoutes,
            ),
        ] {
            let view = UpdateView::parse(&body, &EXTERNAL);
            assert_eq!(view.notification().unwrap().subcode, 10);
            assert_eq!(view.error().unwrap().field, name);
        }
    }
}

#[test]
fn multiprotocol_errors_disable_the_family() {
    let value = |value: &[u8], code| {
        let mut attr = vec![0x80, code, u8::try_from(value.len()).unwrap()];
        attr.extend_from_slice(value);
        attr
    };
    let hop = [7; 24];
    let bad_hop = [&[0, 2, 1, 24][..], &hop, &[0, 8, 0x20]].concat();
    let long_hop = [&[0, 2, 1, 40][..], &hop].concat();
    let bad_nlri = [&[0, 2, 1, 16][..], &hop[..16], &[0, 129, 0x20]].concat();
    for bad in [&bad_hop, &long_hop, &bad_nlri] {
        let body = body(&[], &[&value(bad, 14), ORIGIN, AS_PATH], &[]);
        let verdict = UpdateView::parse(&body, &EXTERNAL).verdict();
        assert_eq!(verdict, Verdict::Disable(Family::Ipv6), "{bad:x?}");
    }
    let unreach = body(&[], &[&value(&[0, 2, 1, 200], 15)], &[]);
    let view = UpdateView::parse(&unreach, &EXTERNAL);
    assert_eq!(view.verdict(), Verdict::Disable(Family::Ipv6));
    assert_eq!(view.end_of_rib(), None);
    // Not even a family: no telling what it was.
    for code in [14, 15] {
        let body = body(&[], &[&value(&[0, 2], code), ORIGIN, AS_PATH], NLRI);
        assert_eq!(
            UpdateView::parse(&body, &EXTERNAL)
                .notification()
                .unwrap()
                .subcode,
            9
        );
    }
    // Two families at once.
    let both = [value(&bad_hop, 14), value(&[0, 1, 1, 33], 15)].concat();
    let both = body(&[], &[&both, ORIGIN, AS_PATH], &[]);
    assert_eq!(
        UpdateView::parse(&both, &EXTERNAL).verdict(),
        Verdict::Reset
    );
}

#[test]
fn families_not_in_use_are_passed_over() {
    let v4_only = UpdateContext {
        families: FamilySet::IPV4,
        ..EXTERNAL
    };
    let body1 = body(&[], &[REACH6, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let view = UpdateView::parse(&body1, &v4_only);
    assert_eq!(view.verdict(), Verdict::Ok);
    assert_eq!(
        view.announced().collect::<Vec<_>>(),
        [(Part::Classic, Family::Ipv4)]
    );
    assert_eq!(view.announced6().count(), 0);
    // A family that this speaker does not know at all may hold anything.
    let vpn: &[u8] = &[0x80, 14, 6, 0, 1, 128, 200, 1, 2];
    let body2 = body(&[], &[vpn, ORIGIN, AS_PATH], &[]);
    let view = UpdateView::parse(&body2, &EXTERNAL);
    assert_eq!((view.verdict(), view.announced().count()), (Verdict::Ok, 0));
    assert_eq!(view.end_of_rib(), None);
}

#[test]
fn end_of_rib_is_only_that() {
    let eor = |body: &[u8], ctx: &UpdateContext| UpdateView::parse(body, ctx).end_of_rib();
    let v6: &[u8] = &[0x80, 15, 3, 0, 2, 1];
    assert_eq!(eor(&body(&[], &[], &[]), &EXTERNAL), Some(Family::Ipv4));
    assert_eq!(eor(&body(&[], &[v6], &[]), &EXTERNAL), Some(Family::Ipv6));
    assert_eq!(
        eor(&body(&[], &[&[0x90, 15, 0, 3, 0, 2, 1]], &[]), &EXTERNAL),
        Some(Family::Ipv6)
    );
    assert_eq!(
        eor(&body(&[], &[&[0x80, 15, 3, 0, 1, 1]], &[]), &EXTERNAL),
        Some(Family::Ipv4)
    );
    assert_eq!(eor(&body(NLRI, &[], &[]), &EXTERNAL), None);
    assert_eq!(eor(&body(NLRI, &[v6], &[]), &EXTERNAL), None);
    assert_eq!(eor(&body(&[], &[ORIGIN], &[]), &EXTERNAL), None);
    assert_eq!(eor(&body(&[], &[v6, ORIGIN], &[]), &EXTERNAL), None);
    let v4_only = UpdateContext {
        families: FamilySet::IPV4,
        ..EXTERNAL
    };
    assert_eq!(eor(&body(&[], &[v6], &[]), &v4_only), None);
}

#[test]
fn every_part_is_seen_with_its_path_identifiers() {
    let ctx = UpdateContext {
        add_path: FamilySet::IPV4,
        ..EXTERNAL
    };
    let withdrawn = [0, 0, 0, 5, 8, 10, 0, 0, 0, 6, 0];
    let nlri = [0, 0, 0, 7, 32, 1, 2, 3, 4, 1, 0, 0, 0, 17, 10, 1, 255];
    let unreach: &[u8] = &[0x80, 15, 5, 0, 2, 1, 8, 0xfc];
    let body = body(
        &withdrawn,
        &[REACH6, unreach, ORIGIN, AS_PATH, NEXT_HOP],
        &nlri,
    );
    let view = UpdateView::parse(&body, &ctx);
    assert_eq!(view.verdict(), Verdict::Ok, "{:?}", view.error());
    assert_eq!(text(view.withdrawn4()), ["10.0.0.0/8#5", "0.0.0.0/0#6"]);
    assert_eq!(
        text(view.announced4(Part::Classic)),
        ["1.2.3.4/32#7", "10.1.128.0/17#16777216"]
    );
    assert_eq!(text(view.announced6()), ["2001:db8::/32"]);
    assert_eq!(text(view.withdrawn6()), ["fc00::/8"]);
    assert_eq!(
        view.next_hop(Part::Classic),
        Some(NextHop::V4([192, 0, 2, 1].into()))
    );
    let hop = view.next_hop(Part::Multiprotocol).unwrap();
    assert_eq!(hop.to_string(), "2001:db8::1");
    assert_eq!(view.announced().count(), 2);
}

#[test]
fn ipv4_with_an_ipv6_next_hop() {
    let mut reach = vec![0x80, 14, 25, 0, 1, 1, 16];
    reach.extend([0x20; 16]);
    reach.extend([0, 24, 198, 51, 100]);
    reach[2] = u8::try_from(reach.len() - 3).unwrap();
    let body = body(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    let view = UpdateView::parse(&body, &EXTERNAL);
    assert_eq!(view.verdict(), Verdict::Ok);
    assert_eq!(
        text(view.announced4(Part::Multiprotocol)),
        ["198.51.100.0/24"]
    );
    assert_eq!(text(view.announced4(Part::Classic)), [""; 0]);
    let mut buf = AttrSetBuf::new();
    assert_eq!(
        view.canonical(Part::Multiprotocol, &mut buf)
            .meta
            .next_hop_len,
        16
    );
}

#[test]
fn the_first_of_the_strongest_errors_is_told() {
    let discard: &[u8] = &[0x40, 6, 1, 0];
    let withdraw: &[u8] = &[0x80, 4, 1, 0];
    let later: &[u8] = &[0xc0, 8, 1, 0];
    let body = body(
        &[],
        &[ORIGIN, AS_PATH, NEXT_HOP, discard, withdraw, later],
        NLRI,
    );
    let view = UpdateView::parse(&body, &EXTERNAL);
    assert_eq!(view.error().unwrap().field, Field::Attribute(4));
    assert_eq!(view.notification(), None);
}
