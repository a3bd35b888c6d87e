//! Bytes for each kind of peer, packing at the edges, and what cannot be sent.

use super::*;
use crate::attrs::{AttrSetBuf, Attrs, RawAttr, code};
use crate::limits::HEADER_LEN;
use crate::message::frame;
use crate::update::{Part, UpdateContext, UpdateView, Verdict};
use crate::{Community, FamilySet, Ipv4Prefix, Ipv6Prefix};

const PLAIN: Encoding = Encoding::PLAIN;
const TRANSPARENT: Rewrite = Rewrite::TRANSPARENT;
const V4_HOP: NextHop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
const V6_HOP: NextHop = NextHop::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

fn set(hop: NextHop, more: &[(u8, u8, &[u8])]) -> AttrSetBuf {
    let path = [2, 2, 0, 0, 0xfc, 0, 0, 1, 0x11, 0x70]; // 64512 70000
    let mut all = vec![(0x40, 1, &[0][..]), (0x40, 2, &path)];
    all.extend_from_slice(more);
    let attrs = all
        .iter()
        .map(|&(flags, code, value)| RawAttr { flags, code, value });
    AttrSetBuf::from_parts(Some(hop), attrs)
}

fn v4(count: u32) -> impl Iterator<Item = Nlri<Ipv4Prefix>> {
    let prefix = |number: u32| Ipv4Prefix::new(Ipv4Addr::from_bits(number << 8), 24).unwrap();
    (0..count).map(move |number| Nlri {
        path_id: number,
        prefix: prefix(number),
    })
}

fn v6(count: u32) -> impl Iterator<Item = Nlri<Ipv6Prefix>> {
    let prefix =
        |number: u32| Ipv6Prefix::new(Ipv6Addr::from_bits(u128::from(number) << 64), 64).unwrap();
    (0..count).map(move |number| Nlri {
        path_id: number,
        prefix: prefix(number),
    })
}

/// Attributes of the one message, as (flags, code, value).
fn attrs<P: PrefixKey>(
    set: &AttrSetBuf,
    rewrite: &Rewrite,
    encoding: &Encoding,
    nlri: impl Iterator<Item = Nlri<P>>,
) -> Vec<(u8, u8, Vec<u8>)> {
    let mut out = Vec::new();
    assert_eq!(
        announce(&mut out, set.as_ref(), rewrite, encoding, nlri),
        Ok(1)
    );
    let message = frame(&out, 4096).unwrap().unwrap();
    assert_eq!(message.bytes.len(), out.len());
    let body = message.body();
    let len = usize::from(u16::from_be_bytes([body[2], body[3]]));
    let all = Attrs::new(&body[4..4 + len]);
    all.map(|attr| (attr.flags, attr.code, attr.value.to_vec()))
        .collect()
}

fn codes(attrs: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    attrs.iter().map(|attr| attr.1).collect()
}

fn value(attrs: &[(u8, u8, Vec<u8>)], code: u8) -> &[u8] {
    &attrs
        .iter()
        .find(|attr| attr.1 == code)
        .expect("it is there")
        .2
}

#[test]
fn a_transparent_export_is_the_set_with_its_next_hop() {
    let set = set(V4_HOP, &[(0x80, 4, &[0, 0, 0, 7]), (0xc0, 99, &[5])]);
    let mut out = Vec::new();
    assert_eq!(
        announce(&mut out, set.as_ref(), &TRANSPARENT, &PLAIN, v4(1)),
        Ok(1)
    );
    let mut expected = vec![0xff; 16];
    expected.extend([0, 0, 2, 0, 0, 0, 0]);
    expected.extend([0x40, 1, 1, 0]);
    expected.extend([0x40, 2, 10, 2, 2, 0, 0, 0xfc, 0, 0, 1, 0x11, 0x70]);
    expected.extend([0x40, 3, 4, 192, 0, 2, 1]);
    expected.extend([0x80, 4, 4, 0, 0, 0, 7]);
    expected.extend([0xe0, 99, 1, 5]);
    let attrs_len = u8::try_from(expected.len() - 23).unwrap();
    expected.extend([24, 0, 0, 0]);
    expected[17] = u8::try_from(expected.len()).unwrap();
    expected[22] = attrs_len;
    assert_eq!(out, expected);
}

#[test]
fn each_kind_of_peer_gets_its_attributes() {
    let all: &[(u8, u8, &[u8])] = &[
        (0x80, 4, &[0, 0, 0, 7]),
        (0x40, 5, &[0, 0, 0, 200]),
        (0x80, 9, &[1, 1, 1, 1]),
        (0x80, 10, &[2, 2, 2, 2]),
    ];
    let (full, bare) = (set(V4_HOP, all), set(V4_HOP, &[]));
    let external = Rewrite {
        prepend: Some(Asn(64_500)),
        next_hop: NextHopRewrite::Own(Some([10, 0, 0, 1].into()), None),
        med: false,
        otc: Some(Asn(64_500)),
        ..TRANSPARENT
    };
    let got = attrs(&full, &external, &PLAIN, v4(1));
    assert_eq!(codes(&got), [1, 2, 3, 35]);
    assert_eq!(
        value(&got, 2),
        [2, 3, 0, 0, 0xfb, 0xf4, 0, 0, 0xfc, 0, 0, 1, 0x11, 0x70]
    );
    assert_eq!(value(&got, 3), [10, 0, 0, 1]);
    assert_eq!(value(&got, 35), [0, 0, 0xfb, 0xf4]);
    let reflect = Some(Reflect {
        originator: RouterId(0x0909_0909),
        cluster: RouterId(0x0808_0808),
    });
    let internal = Rewrite {
        local_pref: true,
        reflect,
        ..TRANSPARENT
    };
    let got = attrs(&full, &internal, &PLAIN, v4(1));
    assert_eq!(codes(&got), [1, 2, 3, 4, 5, 9, 10]);
    assert_eq!(
        value(&got, 9),
        [1, 1, 1, 1],
        "the first reflector's word stands"
    );
    assert_eq!(value(&got, 10), [8, 8, 8, 8, 2, 2, 2, 2]);
    assert_eq!(value(&got, 5), [0, 0, 0, 200]);
    let got = attrs(&bare, &internal, &PLAIN, v4(1));
    assert_eq!(codes(&got), [1, 2, 3, 5, 9, 10]);
    assert_eq!(value(&got, 5), [0, 0, 0, 100]);
    assert_eq!(value(&got, 9), [9, 9, 9, 9]);
    // Toward a route-server client nothing internal either.
    assert_eq!(
        codes(&attrs(&full, &TRANSPARENT, &PLAIN, v4(1))),
        [1, 2, 3, 4]
    );
}

#[test]
fn otc_of_the_set_stays() {
    let marked = set(V4_HOP, &[(0xc0, 35, &[0, 0, 0, 1])]);
    let got = attrs(
        &marked,
        &Rewrite {
            otc: Some(Asn(9)),
            ..TRANSPARENT
        },
        &PLAIN,
        v4(1),
    );
    assert_eq!(value(&got, 35), [0, 0, 0, 1]);
}

#[test]
fn two_octet_peers_get_as_trans_and_the_rest() {
    let two = Encoding {
        as4: false,
        ..PLAIN
    };
    let aggregator: &[u8] = &[0, 1, 0x11, 0x70, 9, 9, 9, 9];
    let large = set(
        V4_HOP,
        &[
            (0xe0, 7, aggregator),
            (0xc0, 16, &[0; 8]),
            (0xc0, 32, &[0; 12]),
        ],
    );
    let got = attrs(&large, &TRANSPARENT, &two, v4(1));
    assert_eq!(codes(&got), [1, 2, 3, 7, 16, 17, 18, 32]);
    assert_eq!(value(&got, 2), [2, 2, 0xfc, 0, 0x5b, 0xa0]);
    assert_eq!(value(&got, 17), [2, 2, 0, 0, 0xfc, 0, 0, 1, 0x11, 0x70]);
    assert_eq!(value(&got, 7), [0x5b, 0xa0, 9, 9, 9, 9]);
    assert_eq!(value(&got, 18), aggregator);
    assert_eq!(got[3].0, 0xe0);
    // Where two octets say it all there is no AS4_PATH; a large AS of ours calls for one.
    let small = AttrSetBuf::from_parts(
        Some(V4_HOP),
        [
            RawAttr {
                flags: 0x40,
                code: 2,
                value: &[2, 1, 0, 0, 0xfc, 0],
            },
            RawAttr {
                flags: 0xc0,
                code: 7,
                value: &[0, 0, 0, 5, 9, 9, 9, 9],
            },
        ]
        .into_iter(),
    );
    let got = attrs(&small, &TRANSPARENT, &two, v4(1));
    assert_eq!(codes(&got), [2, 3, 7]);
    let ours = Rewrite {
        prepend: Some(Asn(80_000)),
        ..TRANSPARENT
    };
    let got = attrs(&small, &ours, &two, v4(1));
    assert_eq!(codes(&got), [2, 3, 7, 17]);
    assert_eq!(value(&got, 2), [2, 2, 0x5b, 0xa0, 0xfc, 0]);
    assert_eq!(value(&got, 17), [2, 2, 0, 1, 0x38, 0x80, 0, 0, 0xfc, 0]);
}

#[test]
fn confederation_segments_stay_inside() {
    let path = [3, 1, 0, 1, 0x11, 0x70, 2, 1, 0, 0, 0, 5];
    let parts = [RawAttr {
        flags: 0x40,
        code: 2,
        value: &path,
    }];
    let set = AttrSetBuf::from_parts(Some(V4_HOP), parts.into_iter());
    let external = Rewrite {
        prepend: Some(Asn(6)),
        ..TRANSPARENT
    };
    let got = attrs(&set, &external, &PLAIN, v4(1));
    assert_eq!(value(&got, 2), [2, 2, 0, 0, 0, 6, 0, 0, 0, 5]);
    let got = attrs(&set, &TRANSPARENT, &PLAIN, v4(1));
    assert_eq!(value(&got, 2), [2, 1, 0, 0, 0, 5]);
    let internal = Rewrite {
        local_pref: true,
        ..TRANSPARENT
    };
    let got = attrs(
        &set,
        &internal,
        &Encoding {
            as4: false,
            ..PLAIN
        },
        v4(1),
    );
    assert_eq!(value(&got, 2), [3, 1, 0x5b, 0xa0, 2, 1, 0, 5]);
    assert_eq!(codes(&got), [2, 3, 5], "nothing large is left for AS4_PATH");
}

#[test]
fn ipv6_goes_first_and_in_mp_reach() {
    let set = set(V6_HOP, &[(0xc0, 8, &[0, 0, 0, 1])]);
    let got = attrs(&set, &TRANSPARENT, &PLAIN, v6(2));
    assert_eq!(codes(&got), [14, 1, 2, 8]);
    let reach = value(&got, 14);
    assert_eq!(reach[..4], [0, 2, 1, 16]);
    assert_eq!(
        reach[20..],
        [0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 1]
    );
    let own = NextHopRewrite::Own(None, Some(Ipv6Addr::LOCALHOST));
    let got = attrs(
        &set,
        &Rewrite {
            next_hop: own,
            ..TRANSPARENT
        },
        &PLAIN,
        v6(1),
    );
    assert_eq!(value(&got, 14)[4..20], Ipv6Addr::LOCALHOST.octets());
}

#[test]
fn next_hops_that_cannot_be_said() {
    let (four, six) = (set(V4_HOP, &[]), set(V6_HOP, &[]));
    let none = AttrSetBuf::from_parts(None, std::iter::empty());
    let wide = Encoding {
        extended_next_hop: true,
        link: None,
        ..PLAIN
    };
    let mut out = vec![1, 2];
    let mut send4 = |set: &AttrSetBuf, rewrite: &Rewrite, encoding: &Encoding| {
        announce(&mut out, set.as_ref(), rewrite, encoding, v4(1))
    };
    assert_eq!(send4(&six, &TRANSPARENT, &PLAIN), Err(Unsendable::NextHop));
    assert_eq!(send4(&none, &TRANSPARENT, &PLAIN), Err(Unsendable::NextHop));
    assert_eq!(send4(&six, &TRANSPARENT, &wide), Ok(1));
    let own6 = NextHopRewrite::Own(None, Some(Ipv6Addr::LOCALHOST));
    let own6 = Rewrite {
        next_hop: own6,
        ..TRANSPARENT
    };
    assert_eq!(send4(&six, &own6, &PLAIN), Err(Unsendable::NextHop));
    assert_eq!(send4(&four, &own6, &PLAIN), Ok(1), "the received one");
    assert_eq!(send4(&four, &own6, &wide), Ok(1), "ours");
    let own4 = NextHopRewrite::Own(Some(Ipv4Addr::LOCALHOST), None);
    assert_eq!(
        send4(
            &none,
            &Rewrite {
                next_hop: own4,
                ..TRANSPARENT
            },
            &PLAIN
        ),
        Ok(1)
    );
    out.truncate(2);
    let sent = announce(&mut out, four.as_ref(), &TRANSPARENT, &wide, v6(1));
    assert_eq!((sent, &out[..]), (Err(Unsendable::NextHop), &[1, 2][..]));
    assert_eq!(codes(&attrs(&six, &TRANSPARENT, &wide, v4(1))), [14, 1, 2]);
    assert_eq!(
        value(&attrs(&four, &own6, &wide, v4(1)), 14)[..4],
        [0, 1, 1, 16]
    );
}

/// Lengths of the messages, and how many NLRI they hold together.
fn split(out: &[u8], encoding: &Encoding, family: Family) -> (Vec<usize>, usize) {
    let add_path = if encoding.add_path {
        FamilySet::ALL
    } else {
        FamilySet::EMPTY
    };
    let ctx = UpdateContext {
        as4: true,
        external: true,
        families: FamilySet::ALL,
        add_path,
    };
    let (mut rest, mut lens, mut count) = (out, Vec::new(), 0);
    while let Some(message) = frame(rest, usize::from(encoding.max_len)).unwrap() {
        let view = UpdateView::parse(message.body(), &ctx);
        assert_eq!(view.verdict(), Verdict::Ok);
        count += match family {
            Family::Ipv4 => view.announced4(Part::Classic).count() + view.withdrawn4().count(),
            Family::Ipv6 => view.announced6().count() + view.withdrawn6().count(),
        };
        lens.push(message.bytes.len());
        rest = &rest[message.bytes.len()..];
    }
    assert!(rest.is_empty());
    (lens, count)
}

#[test]
fn messages_are_filled_to_the_last_nlri() {
    let (four, six) = (set(V4_HOP, &[]), set(V6_HOP, &[]));
    for (add_path, max_len) in [(false, 4096), (true, 4096), (false, 65_535)] {
        let encoding = Encoding {
            add_path,
            max_len,
            ..PLAIN
        };
        let id = if add_path { 4 } else { 0 };
        for (family, width) in [(Family::Ipv4, 4 + id), (Family::Ipv6, 9 + id)] {
            let mut out = Vec::new();
            let (sent, gone) = match family {
                Family::Ipv4 => (
                    announce(&mut out, four.as_ref(), &TRANSPARENT, &encoding, v4(40_000)),
                    withdraw(&mut out, &encoding, v4(40_000)),
                ),
                Family::Ipv6 => (
                    announce(&mut out, six.as_ref(), &TRANSPARENT, &encoding, v6(40_000)),
                    withdraw(&mut out, &encoding, v6(40_000)),
                ),
            };
            let (lens, count) = split(&out, &encoding, family);
            assert_eq!((count, lens.len()), (80_000, sent.unwrap() + gone));
            let spare = lens
                .iter()
                .filter(|len| usize::from(max_len) - **len >= width);
            assert!(spare.count() <= 2, "only the last of each: {lens:?}");
        }
    }
}

#[test]
fn attributes_over_the_message_size_are_refused() {
    let communities = |count: u32| {
        let mut set = set(V4_HOP, &[]);
        set.set_communities((0..count).map(Community));
        set
    };
    let mut out = vec![7];
    // 23 + 4 + 13 + 7 + 4 of extended header leave 4,045 octets: 1,010 communities and an NLRI of
    // 5.
    assert_eq!(
        announce(
            &mut out,
            communities(1010).as_ref(),
            &TRANSPARENT,
            &PLAIN,
            v4(2)
        ),
        Ok(2)
    );
    out.truncate(1);
    let refused = announce(
        &mut out,
        communities(1011).as_ref(),
        &TRANSPARENT,
        &PLAIN,
        v4(2),
    );
    assert_eq!((refused, &out[..]), (Err(Unsendable::TooLarge), &[7][..]));
    let extended = Encoding {
        max_len: 65_535,
        ..PLAIN
    };
    let sent = announce(
        &mut out,
        communities(16_000).as_ref(),
        &TRANSPARENT,
        &extended,
        v4(2),
    );
    assert_eq!(sent, Ok(1));
    let mut six = communities(1011);
    six.set_next_hop(Some(V6_HOP));
    out.truncate(1);
    let refused = announce(&mut out, six.as_ref(), &TRANSPARENT, &PLAIN, v6(2));
    assert_eq!((refused, &out[..]), (Err(Unsendable::TooLarge), &[7][..]));
}

#[test]
fn nothing_to_say_is_no_message() {
    let mut out = Vec::new();
    let set = set(V4_HOP, &[]);
    assert_eq!(
        announce(&mut out, set.as_ref(), &TRANSPARENT, &PLAIN, v4(0)),
        Ok(0)
    );
    assert_eq!(withdraw(&mut out, &PLAIN, v6(0)), 0);
    assert_eq!(out, []);
}

#[test]
fn end_of_rib_markers_are_read_as_such() {
    let ctx = UpdateContext {
        as4: true,
        external: true,
        families: FamilySet::ALL,
        add_path: FamilySet::ALL,
    };
    for (family, len) in [(Family::Ipv4, 23), (Family::Ipv6, 29)] {
        let mut out = Vec::new();
        end_of_rib(&mut out, family);
        assert_eq!(out.len(), len);
        assert_eq!(
            UpdateView::parse(&out[HEADER_LEN..], &ctx).end_of_rib(),
            Some(family)
        );
    }
    assert_eq!(code::MP_UNREACH_NLRI, 15);
}

#[test]
fn what_stays_within_the_as_is_not_told_outside() {
    let two: &[u8] = &[
        0, 2, 0xfd, 0xea, 0, 0, 0, 1, // transitive
        0x40, 2, 0xfd, 0xea, 0, 0, 0, 1, // not
    ];
    let [mut inner, mut outer] = [[0u8; 20]; 2];
    (inner[0], outer[0]) = (0x40, 0x00);
    let wide = [inner, outer].concat();
    let set = set(V4_HOP, &[(0xc0, 16, two), (0xc0, 25, &wide)]);
    let inside = Rewrite {
        local_pref: true,
        ..TRANSPARENT
    };
    let got = attrs(&set, &inside, &PLAIN, v4(1));
    assert_eq!((value(&got, 16), value(&got, 25)), (two, &wide[..]));
    for prepend in [None, Some(Asn(64500))] {
        let outside = Rewrite {
            prepend,
            ..TRANSPARENT
        };
        let got = attrs(&set, &outside, &PLAIN, v4(1));
        assert_eq!((value(&got, 16), value(&got, 25)), (&two[..8], &outer[..]));
    }
    // Where nothing is left there is no attribute.
    let set = self::set(V4_HOP, &[(0xc0, 16, &two[8..])]);
    assert_eq!(codes(&attrs(&set, &TRANSPARENT, &PLAIN, v4(1))), [1, 2, 3]);
    assert_eq!(
        codes(&attrs(&set, &inside, &PLAIN, v4(1))),
        [1, 2, 3, 5, 16]
    );
}

#[test]
fn a_link_local_next_hop_stays_on_its_link() {
    let global: Ipv6Addr = "2001:db8:1::9".parse().unwrap();
    let link_local: Ipv6Addr = "fe80::9".parse().unwrap();
    let both = set(NextHop::V6LinkLocal { global, link_local }, &[]);
    let on = |link: Option<&str>| Encoding {
        link: link.map(|text| Ipv6Prefix::from_prefix(text.parse().unwrap()).unwrap()),
        ..PLAIN
    };
    let hop = |set: &AttrSetBuf, encoding: &Encoding| {
        let got = attrs(set, &TRANSPARENT, encoding, v6(1));
        let reach = value(&got, 14);
        reach[4..4 + usize::from(reach[3])].to_vec()
    };
    let with = [global.octets(), link_local.octets()].concat();
    assert_eq!(hop(&both, &on(Some("2001:db8:1::/64"))), with);
    for elsewhere in [None, Some("2001:db8:2::/64")] {
        assert_eq!(hop(&both, &on(elsewhere)), global.octets(), "{elsewhere:?}");
    }
    // Alone it says nothing: which link it is of, nobody can tell.
    for alone in [
        NextHop::V6(link_local),
        NextHop::V6LinkLocal {
            global: Ipv6Addr::UNSPECIFIED,
            link_local,
        },
    ] {
        let set = set(alone, &[]);
        assert!(!always_sendable(Family::Ipv6, set.as_ref()));
        for encoding in [PLAIN, on(Some("2001:db8:1::/64"))] {
            let sent = announce(
                &mut Vec::new(),
                set.as_ref(),
                &TRANSPARENT,
                &encoding,
                v6(1),
            );
            assert_eq!(sent, Err(Unsendable::NextHop));
        }
    }
}

/// RFC 4271 §5.1.5 and RFC 4456 §8: what an internal peer gets does not depend on a prepended AS.
#[test]
fn an_internal_peer_gets_all_of_it_with_our_as_in_front() {
    let reflect = Reflect {
        originator: RouterId(7),
        cluster: RouterId(9),
    };
    let rewrite = Rewrite {
        prepend: Some(Asn(70_000)),
        local_pref: true,
        reflect: Some(reflect),
        ..TRANSPARENT
    };
    let kept = [0x40, 2, 0xfd, 0xea, 0, 0, 0, 1];
    let set = set(
        NextHop::V4([192, 0, 2, 9].into()),
        &[(0xc0, code::EXTENDED_COMMUNITIES, &kept)],
    );
    let got = attrs(&set, &rewrite, &PLAIN, v4(1));
    assert_eq!(value(&got, code::LOCAL_PREF), 100u32.to_be_bytes());
    assert_eq!(value(&got, code::ORIGINATOR_ID), 7u32.to_be_bytes());
    assert_eq!(value(&got, code::CLUSTER_LIST), 9u32.to_be_bytes());
    assert_eq!(value(&got, code::EXTENDED_COMMUNITIES), kept);
    assert!(value(&got, code::AS_PATH).ends_with(&70_000u32.to_be_bytes()));
}

/// What stands in front of the way out must be right: a route that is said to be told was encoded.
#[test]
fn what_can_be_sent_is_known_before() {
    let reflect = Reflect {
        originator: RouterId(7),
        cluster: RouterId(9),
    };
    let rewrites = [
        TRANSPARENT,
        Rewrite {
            prepend: Some(Asn(70_000)),
            otc: Some(Asn(70_000)),
            ..TRANSPARENT
        },
        Rewrite {
            local_pref: true,
            reflect: Some(reflect),
            ..TRANSPARENT
        },
    ];
    let mut seen = [0; 2];
    for asns in [0u32, 1, 200, 250] {
        for octets in (0..4080).step_by(61).chain(3900..4080) {
            let mut path = Vec::new();
            if asns > 0 {
                path = vec![2, asns as u8];
                (0..asns).for_each(|asn| path.extend((70_000 + asn).to_be_bytes()));
            }
            let filler = vec![7; octets];
            let all = [(0x40, 1, &[0][..]), (0x40, 2, &path), (0xe0, 99, &filler)];
            let all = all.map(|(flags, code, value)| RawAttr { flags, code, value });
            for (hop, family) in [(V4_HOP, Family::Ipv4), (V6_HOP, Family::Ipv6)] {
                let set = AttrSetBuf::from_parts(Some(hop), all.into_iter());
                let set = set.as_ref();
                for (rewrite, as4) in rewrites.iter().zip([true, false, false]) {
                    let encoding = Encoding {
                        as4,
                        add_path: true,
                        ..PLAIN
                    };
                    let (mut out, mut scratch) = (Vec::new(), vec![1]);
                    let (sent, said) = match family {
                        Family::Ipv4 => (
                            announce(&mut out, set, rewrite, &encoding, v4(1)),
                            sendable::<Ipv4Prefix>(&mut scratch, set, rewrite, &encoding),
                        ),
                        Family::Ipv6 => (
                            announce(&mut out, set, rewrite, &encoding, v6(1)),
                            sendable::<Ipv6Prefix>(&mut scratch, set, rewrite, &encoding),
                        ),
                    };
                    assert_eq!((sent.map(|_| ()), scratch), (said, vec![1]));
                    assert!(said.is_ok() || !always_sendable(family, set));
                    seen[usize::from(said.is_ok())] += 1;
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 1000), "{seen:?}");
}
