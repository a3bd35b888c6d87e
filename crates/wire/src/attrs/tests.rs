//! The canonical set: normal form, summary, AS4 merging and editing.

use super::*;
use crate::RouterId;
use crate::{Community, ExtendedCommunity, LargeCommunity, NextHop};

fn attr(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = match u8::try_from(value.len()) {
        Ok(len) => vec![flags, code, len],
        Err(_) => {
            let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
            vec![flags | EXTENDED_LENGTH, code, high, low]
        }
    };
    bytes.extend_from_slice(value);
    bytes
}

fn path4(segments: &[(u8, &[u32])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, asns) in segments {
        bytes.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
        asns.iter()
            .for_each(|asn| bytes.extend_from_slice(&asn.to_be_bytes()));
    }
    bytes
}

fn path2(segments: &[(u8, &[u16])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, asns) in segments {
        bytes.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
        asns.iter()
            .for_each(|asn| bytes.extend_from_slice(&asn.to_be_bytes()));
    }
    bytes
}

fn set_of(attrs: &[Vec<u8>], as4: bool) -> AttrSetBuf {
    let mut set = AttrSetBuf::new();
    set.set_block(None, &attrs.concat(), as4);
    crate::fuzzing::assert_canonical(set.as_ref());
    set
}

fn codes(set: &AttrSetBuf) -> Vec<u8> {
    set.as_ref().attrs().map(|attr| attr.code).collect()
}

#[test]
fn a_block_becomes_normal() {
    let set = set_of(
        &[
            attr(0xc0, 200, &[1]),        // unknown transitive: Partial is set
            attr(0x80, 201, &[1]),        // unknown non-transitive: gone
            attr(0x40, 3, &[1, 2, 3, 4]), // apart
            vec![0x5f, 2, 0, 0],          // extended length without need, low bits
            attr(0x60, 1, &[2]),          // Partial on a well-known one
            attr(0xe0, 8, &[0, 1, 0, 2]), // Partial stays
            attr(0x80, 14, &[0, 2, 1, 0, 0]),
            attr(0xc0, 17, &path4(&[(2, &[1])])),
            attr(0x80, 4, &[9]), // malformed
            attr(0x40, 1, &[0]), // a second one
        ],
        true,
    );
    let set = set.as_ref();
    assert_eq!(
        set.bytes,
        [
            1, 2, 3, 4, 0x40, 1, 1, 2, 0x40, 2, 0, 0xe0, 8, 4, 0, 1, 0, 2, 0xe0, 200, 1, 1
        ]
    );
    assert_eq!(set.meta.next_hop_gap, 11);
    assert_eq!(set.meta.next_hop_len, 4);
    assert_eq!(set.next_hop(), Some(NextHop::V4([1, 2, 3, 4].into())));
    assert_eq!(set.meta.flags, AttrFlags::AS_PATH);
}

#[test]
fn the_summary_says_what_the_attributes_do() {
    let path = path4(&[(2, &[64_500, 0, 70_000]), (1, &[5, 6]), (2, &[7, 8])]);
    let communities = [
        0xffff_ff01u32,
        0xffff_ff02,
        0xffff_ff03,
        0xffff_0000,
        0xffff_0006,
        1,
    ];
    let communities: Vec<u8> = communities
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    let set = set_of(
        &[
            attr(0x40, 1, &[1]),
            attr(0x40, 2, &path),
            attr(0x80, 4, &[0, 0, 0, 5]),
            attr(0x40, 5, &[0, 0, 0, 6]),
            attr(0xc0, 8, &communities),
            attr(0x80, 9, &[1, 2, 3, 4]),
            attr(0x80, 10, &[0; 12]),
            attr(0xc0, 35, &[0, 0, 0, 9]),
        ],
        true,
    );
    let meta = *set.as_ref().meta;
    assert_eq!((meta.origin, meta.med, meta.local_pref), (1, 5, 6));
    assert_eq!(meta.neighbor_as, Asn(64_500));
    assert_eq!((meta.path_len, meta.cluster_len), (6, 3));
    assert_eq!(meta.flags.0, 0b11_0111_1101_1111);
    let set = set.as_ref();
    assert_eq!(set.originator_id(), Some(RouterId(0x0102_0304)));
    assert_eq!(set.origin_as(), Asn(8));
    assert_eq!(set.as_path().to_string(), "64500 0 70000 {5,6} 7 8");
    assert_eq!(set.as_path().path_len(), 6);
    assert!(set.as_path().contains(Asn(6)) && !set.as_path().contains(Asn(9)));
    assert_eq!(set.otc(), Some(Asn(9)));
    assert_eq!(set.cluster_list().count(), 3);
    assert_eq!(set.communities().nth(5), Some(Community(1)));
}

#[test]
fn paths_that_begin_or_end_in_sets_have_no_neighbour_or_origin() {
    let of = |path: &[u8]| {
        let set = set_of(&[attr(0x40, 2, path)], true);
        let meta = *set.as_ref().meta;
        (
            meta.neighbor_as.0,
            set.as_ref().origin_as().0,
            meta.path_len,
            meta.flags.0,
        )
    };
    let path = AttrFlags::AS_PATH.0;
    assert_eq!(of(&[]), (0, 0, 0, path));
    assert_eq!(
        of(&path4(&[(1, &[1, 2])])),
        (0, 0, 1, path | AttrFlags::AS_SET.0)
    );
    let set = path | AttrFlags::AS_SET.0;
    assert_eq!(of(&path4(&[(2, &[1, 2]), (1, &[3, 4])])), (1, 0, 3, set));
    let confed = path | AttrFlags::CONFEDERATION.0;
    assert_eq!(of(&path4(&[(3, &[1, 2]), (2, &[3])])), (0, 3, 1, confed));
    assert_eq!(
        of(&path4(&[(4, &[1, 2])])),
        (0, 0, 0, confed | AttrFlags::AS_SET.0)
    );
}

fn merged(old: &[(u8, &[u16])], new: &[(u8, &[u32])]) -> String {
    let attrs = [attr(0x40, 2, &path2(old)), attr(0xc0, 17, &path4(new))];
    set_of(&attrs, false).as_ref().as_path().to_string()
}

#[test]
fn as4_path_is_merged() {
    const T: u16 = 23_456;
    // As long as AS_PATH: it takes its place (RFC 6793 §4.2.3).
    assert_eq!(
        merged(&[(2, &[1, T, 3])], &[(2, &[1, 70_000, 3])]),
        "1 70000 3"
    );
    // Shorter: the front of AS_PATH comes before it, and sequences join.
    assert_eq!(
        merged(&[(2, &[9, 8, T, 3])], &[(2, &[70_000, 3])]),
        "9 8 70000 3"
    );
    let set = set_of(
        &[
            attr(0x40, 2, &path2(&[(2, &[9, 8, T, 3])])),
            attr(0xc0, 17, &path4(&[(2, &[70_000, 3])])),
        ],
        false,
    );
    assert_eq!(set.as_ref().as_path().segments().count(), 1);
    // Longer: it is not to be trusted.
    assert_eq!(merged(&[(2, &[T])], &[(2, &[1, 70_000])]), "23456");
    // Sets count one, and go along whole.
    assert_eq!(
        merged(&[(2, &[9]), (1, &[1, 2]), (2, &[T])], &[(2, &[70_000])]),
        "9 {1,2} 70000"
    );
    assert_eq!(
        merged(&[(2, &[9]), (1, &[T, 2])], &[(1, &[70_000, 2])]),
        "9 {70000,2}"
    );
    // Confederation segments in front of AS_PATH stay; those in AS4_PATH go (RFC 6793 §3, §6).
    assert_eq!(
        merged(&[(3, &[1, 2]), (2, &[T])], &[(2, &[70_000])]),
        "(1 2) 70000"
    );
    assert_eq!(
        merged(&[(3, &[1]), (2, &[5, T])], &[(3, &[7]), (2, &[70_000])]),
        "(1) 5 70000"
    );
    assert_eq!(merged(&[(2, &[5, 6])], &[(3, &[7])]), "5 6");
    // A joint over 255 stays a joint.
    let (many, old) = ([70_000; 254], [T; 254]);
    let text = merged(&[(2, &[1, 2]), (2, &old)], &[(2, &many)]);
    assert!(text.starts_with("1 2 70000") && text.ends_with(" 70000 70000"));
}

#[test]
fn aggregators_are_merged() {
    let merged = |old: u16, new: Option<u32>| {
        let mut attrs = vec![
            attr(0x40, 2, &path2(&[(2, &[1, 23_456])])),
            attr(0xc0, 7, &[&old.to_be_bytes()[..], &[9, 9, 9, 9]].concat()),
            attr(0xc0, 17, &path4(&[(2, &[70_000])])),
        ];
        if let Some(new) = new {
            attrs.push(attr(0xc0, 18, &[new.to_be_bytes(), [8, 8, 8, 8]].concat()));
        }
        let set = set_of(&attrs, false);
        let (asn, id) = set.as_ref().aggregator().unwrap();
        (asn.0, id.to_string(), set.as_ref().as_path().to_string())
    };
    let new = (80_000, "8.8.8.8".into(), "1 70000".into());
    assert_eq!(merged(23_456, Some(80_000)), new);
    // Aggregated anew by a two-octet speaker: nothing new counts (RFC 6793 §4.2.3).
    assert_eq!(
        merged(5, Some(80_000)),
        (5, "9.9.9.9".into(), "1 23456".into())
    );
    // That rule needs both aggregators.
    assert_eq!(merged(5, None), (5, "9.9.9.9".into(), "1 70000".into()));
    // AS4_AGGREGATOR alone says nothing.
    let set = set_of(&[attr(0xc0, 18, &[0, 1, 0, 0, 8, 8, 8, 8])], false);
    assert_eq!(codes(&set), []);
}

#[test]
fn a_path_is_edited_in_every_segment() {
    let with = |path: &[u8]| {
        let mut set = AttrSetBuf::new();
        set.set_raw(code::AS_PATH, 0x40, path);
        set
    };
    let text = |set: &AttrSetBuf| set.as_ref().as_path().to_string();
    // 1 2 {3,4} 5
    let path = [
        2, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0, 0, 0, 3, 0, 0, 0, 4, 2, 1, 0, 0, 0, 5,
    ];
    let mut set = with(&path);
    set.edit_path(|asn| Some(if asn.0 % 2 == 1 { Asn(asn.0 + 10) } else { asn }));
    assert_eq!(text(&set), "11 2 {13,4} 15");
    set.edit_path(|asn| (asn.0 > 10).then_some(asn));
    assert_eq!(text(&set), "11 {13} 15");
    assert_eq!(set.as_ref().meta.path_len, 3);
    assert_eq!(set.as_ref().meta.neighbor_as, Asn(11));
    set.edit_path(|asn| (asn == Asn(15)).then_some(asn));
    assert_eq!(text(&set), "15");
    set.edit_path(|_| None);
    assert!(set.as_ref().as_path().is_empty());
    for (count, left) in [
        (0, ""),
        (1, "5"),
        (2, "{3,4} 5"),
        (3, "2 {3,4} 5"),
        (4, "1 2 {3,4} 5"),
        (9, "1 2 {3,4} 5"),
    ] {
        let mut set = with(&path);
        set.keep_last(count);
        assert_eq!(text(&set), left, "{count}");
        assert_eq!(usize::from(set.as_ref().meta.path_len), count.min(4));
    }
    // Without a path there is none afterwards either.
    let mut none = AttrSetBuf::new();
    none.keep_last(1);
    none.edit_path(Some);
    assert!(none.as_ref().bytes.is_empty());
}

#[test]
fn prepending_uses_the_room_of_the_first_sequence() {
    let mut set = AttrSetBuf::new();
    set.prepend(Asn(1), 2);
    assert_eq!(set.as_ref().as_path().to_string(), "1 1");
    set.prepend(Asn(2), 254);
    let lens = |set: &AttrSetBuf| -> Vec<usize> {
        set.as_ref()
            .as_path()
            .segments()
            .map(|(_, asns)| asns.len())
            .collect()
    };
    assert_eq!(lens(&set), [1, 255]);
    set.prepend(Asn(3), 255);
    assert_eq!(lens(&set), [1, 255, 255]);
    assert_eq!(set.as_ref().meta.path_len, 511);
    assert_eq!(set.as_ref().meta.neighbor_as, Asn(3));
    let mut set = set_of(&[attr(0x40, 2, &path4(&[(1, &[5])]))], true);
    set.prepend(Asn(1), 1);
    assert_eq!(set.as_ref().as_path().to_string(), "1 {5}");
    // Never over the limit.
    (0..40).for_each(|_| set.prepend(Asn(1), 255));
    let octets = set.as_ref().as_path().as_bytes().len();
    assert!(
        (31_000..=crate::limits::AS_PATH_LEN_MAX).contains(&octets),
        "{octets}"
    );
}

#[test]
fn community_edits_keep_order_and_flags() {
    let mut set = set_of(&[attr(0xe0, 8, &[0, 0, 0, 1, 0, 0, 0, 2])], true);
    set.add_community(Community(1));
    set.add_community(Community::NO_EXPORT);
    let values: Vec<_> = set
        .as_ref()
        .communities()
        .map(|community| community.0)
        .collect();
    assert_eq!(values, [1, 2, 0xffff_ff01]);
    assert!(set.as_ref().meta.flags.has(AttrFlags::NO_EXPORT));
    assert_eq!(
        set.as_ref().find(8).unwrap().flags,
        0xe0,
        "somebody's Partial stays"
    );
    set.retain_communities(|community: Community| community.0 < 2);
    assert!(!set.as_ref().meta.flags.has(AttrFlags::NO_EXPORT));
    set.retain_communities(|_: Community| false);
    assert_eq!(codes(&set), []);
    // 64 of four octets need the extended length, and 16,384 do not fit.
    set.set_communities((0..64).map(Community));
    assert_eq!(set.as_ref().find(8).unwrap().flags, 0xd0);
    set.set_communities((0..17_000).map(Community));
    assert_eq!(set.as_ref().communities().count(), 65_535 / 4);
    set.add_community(Community(99_999));
    assert_eq!(set.as_ref().communities().count(), 65_535 / 4);
    let large = LargeCommunity {
        global: 1,
        local1: 2,
        local2: 3,
    };
    set.set_communities([large, large]);
    set.add_community(ExtendedCommunity([0, 2, 0, 1, 0, 0, 0, 1]));
    assert_eq!(codes(&set), [8, 16, 32]);
    assert_eq!(
        set.as_ref().large_communities().collect::<Vec<_>>(),
        [large]
    );
    assert_eq!(set.as_ref().extended_communities().count(), 1);
}

#[test]
fn raw_edits_take_only_what_a_set_may_hold() {
    let mut set = AttrSetBuf::new();
    set.set_raw(code::NEXT_HOP, 0x40, &[1, 2, 3, 4]);
    set.set_raw(code::MP_REACH_NLRI, 0x80, &[0; 9]);
    set.set_raw(code::AS4_PATH, 0xc0, &path4(&[(2, &[1])]));
    set.set_raw(code::MED, 0x80, &[1]);
    set.set_raw(code::MED, 0x40, &[0, 0, 0, 1]);
    set.set_raw(99, 0x80, &[1]);
    set.set_origin(3);
    assert_eq!(set.as_ref().bytes, []);
    set.set_raw(99, 0xc0, &[1]);
    set.set_origin(1);
    set.set_next_hop(Some(NextHop::V4([9, 9, 9, 9].into())));
    assert_eq!(
        set.as_ref().bytes,
        [9, 9, 9, 9, 0x40, 1, 1, 1, 0xe0, 99, 1, 1]
    );
    assert_eq!(set.as_ref().meta.next_hop_gap, 8);
}

#[test]
fn sets_with_equal_bytes_and_other_next_hops_differ() {
    // Sixteen octets of next hop that look like four and three attributes.
    let octets = [
        [9, 9, 9, 9],
        [0x40, 1, 1, 0],
        [0xc0, 99, 1, 0],
        [0xc0, 98, 1, 0],
    ]
    .concat();
    let hop = NextHop::from_octets(&octets);
    let long = AttrSetBuf::from_parts(hop, std::iter::empty());
    let mut short = long.clone();
    short.meta.next_hop_len = 4;
    assert_eq!(long.as_ref().bytes, short.as_ref().bytes);
    assert_ne!(long.as_ref(), short.as_ref());
    let stored = AttrSet::new(long.as_ref());
    assert_eq!(stored.as_ref(), long.as_ref());
    assert_eq!(stored.meta(), long.as_ref().meta);
}

#[test]
fn names_are_known_by_code() {
    assert_eq!(name(code::AS_PATH), Some("AS_PATH"));
    assert_eq!(name(11), None);
    assert_eq!(name(255), None);
}

#[test]
fn as_zero_of_the_new_attributes_leaves_the_old_ones() {
    let old = [
        attr(0x40, 1, &[0]),
        attr(0x40, 2, &path2(&[(2, &[64_503, 23_456])])),
        attr(0xc0, 7, &[0x5b, 0xa0, 192, 0, 2, 1]),
    ];
    let with = |more: &[Vec<u8>]| set_of(&[&old[..], more].concat(), false);
    let zero = attr(0xc0, 17, &path4(&[(2, &[70_000, 0])]));
    let set = with(&[zero, attr(0xc0, 18, &[0, 0, 0, 0, 192, 0, 2, 1])]);
    let set = set.as_ref();
    assert_eq!(set.as_path().to_string(), "64503 23456");
    assert!(!set.meta.flags.has(AttrFlags::AS_ZERO));
    assert_eq!(set.aggregator().map(|(asn, _)| asn), Some(Asn::TRANS));
    // Without a zero they count.
    let whole = attr(0xc0, 17, &path4(&[(2, &[70_000])]));
    let set = with(&[whole, attr(0xc0, 18, &[0, 1, 0x11, 0x70, 192, 0, 2, 1])]);
    assert_eq!(set.as_ref().as_path().to_string(), "64503 70000");
    assert_eq!(
        set.as_ref().aggregator().map(|(asn, _)| asn),
        Some(Asn(70_000))
    );
}

#[test]
fn communities_that_stay_within_the_as_are_known() {
    let has = |code: u8, value: &[u8]| {
        let set = set_of(&[attr(0x40, 1, &[0]), attr(0xc0, code, value)], true);
        set.as_ref().meta.flags.has(AttrFlags::NON_TRANSITIVE)
    };
    assert!(!has(16, &[0, 2, 0, 0, 0, 0, 0, 1]));
    assert!(has(
        16,
        &[0, 2, 0, 0, 0, 0, 0, 1, 0x43, 0, 0, 0, 0, 0, 0, 1]
    ));
    assert!(!has(25, &[0; 20]));
    assert!(has(25, &[0x40; 20]));
}
