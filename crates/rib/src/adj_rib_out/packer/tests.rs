//! Who gets which octets, in which order.

use thruway_wire::limits::HEADER_LEN;
use thruway_wire::update::{Part, UpdateContext, UpdateView};
use thruway_wire::{FamilySet, PrefixKey as _};

use super::*;
use crate::tests::{group, set, v4};

fn run(handle: Handle, set: u32, audience: Audience, start: u32, count: u32) -> OutRun {
    let (source, family) = (PeerId(7), Family::Ipv4);
    OutRun {
        handle,
        set,
        source,
        audience,
        family,
        start,
        count,
    }
}

fn nlri(nets: impl IntoIterator<Item = u8>) -> Vec<Nlri<Ipv4Prefix>> {
    let prefix = |net| v4(&format!("10.{net}.0.0/16"));
    nets.into_iter()
        .map(|net| Nlri {
            path_id: 0,
            prefix: prefix(net),
        })
        .collect()
}

/// What a member reads: announced (+) and withdrawn (-) second octets, in order.
fn read(packed: &Packed, member: u16) -> Vec<(char, u8)> {
    let context = UpdateContext {
        as4: true,
        external: true,
        families: FamilySet::ALL,
        add_path: FamilySet::EMPTY,
    };
    let mut all = Vec::new();
    for (slice, _) in packed.slices_for(PeerId(member)) {
        let mut rest = &slice[..];
        while !rest.is_empty() {
            let len = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
            let view = UpdateView::parse(&rest[HEADER_LEN..len], &context);
            let second = |nlri: Nlri<Ipv4Prefix>| nlri.prefix.octets()[1];
            all.extend(view.withdrawn4().map(|nlri| ('-', second(nlri))));
            all.extend(
                view.announced4(Part::Classic)
                    .map(|nlri| ('+', second(nlri))),
            );
            rest = &rest[len..];
        }
    }
    all
}

fn packer() -> Packer {
    Packer::new(Arc::new(group(0)), &Held::default())
}

#[test]
fn runs_of_several_shards_with_one_set_share_a_message() {
    let handle = Handle::new(0, 1);
    let batch = |shard: u8, nets: std::ops::Range<u8>, set: &AttrSet| EgressBatch {
        shard: ShardId(shard),
        runs: vec![run(handle, 0, Audience::All, 0, nets.len() as u32)],
        nlri4: nlri(nets),
        sets: vec![set.clone()],
        ..EgressBatch::default()
    };
    let (mut packer, shared) = (packer(), set(1));
    packer.absorb(&batch(0, 0..3, &shared));
    packer.absorb(&batch(1, 3..5, &shared));
    let packed = packer.pack(&|_| None);
    assert_eq!((packed.messages, packed.unsendable), (1, 0));
    assert_eq!(
        read(&packed, 1),
        (0..5).map(|net| ('+', net)).collect::<Vec<_>>()
    );
    assert_eq!(packed.slices_for(PeerId(1)).count(), 1);
    assert!(packer.is_empty() && packer.pack(&|_| None).is_empty());
    // The number stands for another set by now, and the first shard's batch has waited here meanwhile.
    packer.absorb(&batch(0, 0..3, &shared));
    packer.absorb(&batch(1, 3..5, &set(2)));
    assert_eq!(packer.pack(&|_| None).messages, 2);
}

#[test]
fn what_one_shard_says_twice_stays_in_order() {
    let first = EgressBatch {
        runs: vec![run(Handle::new(0, 1), 0, Audience::All, 0, 1)],
        nlri4: nlri([1]),
        sets: vec![set(1)],
        ..EgressBatch::default()
    };
    let second = EgressBatch {
        runs: vec![run(Handle::NONE, 0, Audience::All, 0, 1)],
        nlri4: nlri([1]),
        ..EgressBatch::default()
    };
    let mut packer = packer();
    packer.absorb(&first);
    packer.absorb(&second);
    packer.absorb(&first);
    let packed = packer.pack(&|_| None);
    assert_eq!(read(&packed, 1), [('+', 1), ('-', 1), ('+', 1)]);
}

#[test]
fn each_member_gets_its_part_and_withdrawals_come_first() {
    let (a, b) = (Handle::new(0, 1), Handle::new(0, 2));
    let batch = EgressBatch {
        runs: vec![
            run(a, 0, Audience::AllBut(PeerId(1)), 0, 1),
            run(b, 1, Audience::Only(PeerId(1)), 1, 1),
            run(Handle::NONE, 0, Audience::All, 2, 1),
            run(Handle::NONE, 0, Audience::Only(PeerId(2)), 3, 1),
        ],
        nlri4: nlri(0..4),
        sets: vec![set(1), set(2)],
        ..EgressBatch::default()
    };
    let mut packer = packer();
    packer.absorb(&batch);
    let packed = packer.pack(&|_| None);
    assert_eq!(read(&packed, 1), [('-', 2), ('+', 1)]);
    assert_eq!(read(&packed, 2), [('-', 2), ('+', 0), ('-', 3)]);
    assert_eq!(read(&packed, 3), [('-', 2), ('+', 0)]);
    assert_eq!(
        packed.slices_for(PeerId(3)).count(),
        1,
        "neighbours lie together"
    );
    assert_eq!(packed.slices_for(PeerId(2)).count(), 1);
}

#[test]
fn what_fits_no_message_is_withdrawn_and_counted() {
    let mut large = crate::tests::path(&[64601]);
    for value in 0..1100 {
        large.add_community(thruway_wire::Community(value));
    }
    let batch = EgressBatch {
        runs: vec![run(Handle::new(0, 1), 0, Audience::All, 0, 2)],
        nlri4: nlri(0..2),
        sets: vec![AttrSet::new(large.as_ref())],
        ..EgressBatch::default()
    };
    let mut packer = packer();
    packer.absorb(&batch);
    let packed = packer.pack(&|_| None);
    assert_eq!(packed.unsendable, 2);
    assert_eq!(read(&packed, 1), [('-', 0), ('-', 1)]);
    let mut wide = group(0);
    wide.encoding.max_len = 65_535;
    packer.set_profile(Arc::new(wide));
    packer.absorb(&batch);
    let packed = packer.pack(&|_| None);
    assert_eq!((packed.unsendable, read(&packed, 1).len()), (0, 2));
}

#[test]
fn a_reflector_marks_routes_of_internal_sources() {
    let mut profile = group(0);
    profile.cluster = Some(RouterId(5));
    profile.rewrite.local_pref = true;
    let batch = EgressBatch {
        runs: vec![run(Handle::new(0, 1), 0, Audience::All, 0, 1)],
        nlri4: nlri([0]),
        sets: vec![set(1)],
        ..EgressBatch::default()
    };
    let mut packer = Packer::new(Arc::new(profile), &Held::default());
    packer.absorb(&batch);
    let plain = packer.pack(&|_| None);
    packer.absorb(&batch);
    let marked = packer.pack(&|source| (source == PeerId(7)).then_some(RouterId(6)));
    let extra = marked.bytes().len() - plain.bytes().len();
    assert_eq!(extra, 14, "ORIGINATOR_ID and a CLUSTER_LIST of one");
}
