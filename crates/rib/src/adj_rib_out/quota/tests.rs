//! Two shards, one limit.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use thruway_wire::Family;

use crate::tests::{Bed, group, path, profile};
use crate::{
    AddPathSend, AdvertisedLimit, Audience, EgressBatch, EgressSink, Filter, GroupId, GroupProfile,
    LimitAction, NotAdvertised, OutRun, PeerId, Query, QueryCursor, ShardEvent, ShardNote,
};

const MEMBER: u16 = 9;
const ID: PeerId = PeerId(MEMBER);
const V4: Family = Family::Ipv4;

fn limit(max: u32, action: LimitAction) -> AdvertisedLimit {
    AdvertisedLimit {
        max,
        warn_at: max * 4 / 5,
        action,
        held: Arc::new(AtomicU32::new(0)),
    }
}

/// A group of one with a limit on its IPv4 routes.
fn limited(limit: &AdvertisedLimit) -> GroupProfile {
    let none = AdvertisedLimit {
        max: u32::MAX,
        warn_at: u32::MAX,
        action: LimitAction::Warn,
        held: Arc::default(),
    };
    let mut group = group(0);
    group.to = Some(Arc::new(profile(MEMBER)));
    group.limits = Some([limit.clone(), none]);
    group
}

/// A shard with two peers and the member.
fn bed(group: GroupProfile) -> Bed {
    let mut bed = Bed::new();
    for peer in [1, 2, MEMBER] {
        bed.event(ShardEvent::PeerUp(Arc::new(profile(peer))));
    }
    bed.event(ShardEvent::Group(Arc::new(group)));
    bed.event(ShardEvent::Join(GroupId(0), ID));
    bed.turn();
    bed
}

fn announce(bed: &mut Bed, peer: u16, nets: std::ops::Range<u8>) {
    for net in nets {
        let asns = [64600 + u32::from(peer), 1];
        bed.announce(peer, &format!("10.{net}.0.0/16"), &path(&asns));
    }
}

/// Nets that the member was advertised in the last turn, and those that were taken back.
fn said(bed: &Bed) -> (Vec<u8>, Vec<u8>) {
    let (mut advertised, mut gone) = (Vec::new(), Vec::new());
    for batch in &bed.advertised {
        let its = |run: &&OutRun| run.audience != Audience::AllBut(ID);
        for run in batch.runs.iter().filter(its) {
            let nlri = &batch.nlri4[run.start as usize..][..run.count as usize];
            let list = if run.handle.is_some() {
                &mut advertised
            } else {
                &mut gone
            };
            list.extend(nlri.iter().map(|nlri| nlri.prefix.addr().octets()[1]));
        }
    }
    (advertised, gone)
}

fn counts(bed: &Bed) -> (u32, u32) {
    let shard = &bed.shard;
    (
        shard.advertised(GroupId(0), ID, V4),
        shard.held_back(GroupId(0), V4),
    )
}

#[test]
fn two_shards_share_a_limit_and_what_waits_is_told_in_order() {
    let limit = limit(5, LimitAction::Block);
    let mut beds = [bed(limited(&limit)), bed(limited(&limit))];
    announce(&mut beds[0], 1, 0..4);
    beds[0].turn();
    assert_eq!((counts(&beds[0]), beds[0].notes.len()), ((4, 0), 0));
    announce(&mut beds[1], 1, 10..14);
    beds[1].turn();
    assert_eq!((said(&beds[1]).0, counts(&beds[1])), (vec![10], (1, 3)));
    assert_eq!(
        beds[1].notes,
        [
            ShardNote::AdvertisedNear(ID, V4),
            ShardNote::AdvertisedReached(ID, V4)
        ]
    );
    assert!(beds[1].shard.idle(), "it waits without turns");
    beds[0].withdraw(1, "10.0.0.0/16");
    beds[0].withdraw(1, "10.3.0.0/16");
    beds[0].turn();
    assert!(!beds[1].shard.idle(), "there is room");
    beds[1].turn();
    assert_eq!((said(&beds[1]).0, counts(&beds[1])), (vec![11, 12], (3, 1)));
    // The count was below the threshold meanwhile.
    assert_eq!(beds[1].notes, [ShardNote::AdvertisedNear(ID, V4)]);
    beds[1].withdraw(1, "10.10.0.0/16");
    beds[1].turn();
    assert_eq!(said(&beds[1]), (vec![13], vec![10]));
    assert_eq!(
        beds[1].notes.last(),
        Some(&ShardNote::AdvertisedRoom(ID, V4))
    );
    assert_eq!(limit.held.load(Relaxed), 5);
    for bed in &mut beds {
        bed.event(ShardEvent::GroupGone(GroupId(0)));
        bed.turn();
    }
    assert_eq!(limit.held.load(Relaxed), 0);
}

#[test]
fn a_route_told_again_counts_once_and_one_that_waits_may_go() {
    let limit = limit(2, LimitAction::Block);
    let mut bed = bed(limited(&limit));
    announce(&mut bed, 1, 0..4);
    bed.turn();
    assert_eq!(counts(&bed), (2, 2));
    // Another path, another set: the same prefixes, and those that wait still do.
    announce(&mut bed, 2, 0..4);
    for net in 0..4 {
        bed.announce(1, &format!("10.{net}.0.0/16"), &path(&[64601, 7, 8]));
    }
    bed.turn();
    assert_eq!((said(&bed).0, counts(&bed)), (vec![0, 1], (2, 2)));
    assert_eq!(limit.held.load(Relaxed), 2);
    for peer in [1, 2] {
        bed.withdraw(peer, "10.2.0.0/16");
    }
    bed.turn();
    assert_eq!((said(&bed), counts(&bed)), (Default::default(), (2, 1)));
    bed.withdraw(1, "10.0.0.0/16");
    bed.withdraw(2, "10.0.0.0/16");
    bed.turn();
    assert_eq!(said(&bed), (vec![3], vec![0]));
}

#[test]
fn own_paths_do_not_count() {
    let limit = limit(1, LimitAction::Block);
    let mut bed = bed(limited(&limit));
    announce(&mut bed, MEMBER, 0..3);
    announce(&mut bed, 1, 5..6);
    bed.turn();
    assert_eq!(said(&bed).0, [5]);
    assert_eq!((counts(&bed), limit.held.load(Relaxed)), ((1, 0), 1));
    // Now there is something that it could be advertised of its own prefixes.
    announce(&mut bed, 1, 0..2);
    bed.turn();
    assert_eq!((counts(&bed), limit.held.load(Relaxed)), ((1, 2), 1));
    bed.withdraw(1, "10.5.0.0/16");
    bed.turn();
    assert_eq!(said(&bed), (vec![0], vec![5]));
}

#[test]
fn a_changed_limit_applies_in_place() {
    let old = limit(2, LimitAction::Block);
    let mut bed = bed(limited(&old));
    announce(&mut bed, 1, 0..6);
    bed.turn();
    let change = |bed: &mut Bed, max, action| {
        let new = AdvertisedLimit {
            held: old.held.clone(),
            ..limit(max, action)
        };
        bed.event(ShardEvent::Group(Arc::new(limited(&new))));
        bed.turn();
        let said = said(bed);
        (said, counts(bed), bed.notes.clone())
    };
    let (advertised, counts, notes) = change(&mut bed, 5, LimitAction::Block);
    assert_eq!((advertised.0, counts), (vec![2, 3, 4], (5, 1)));
    assert_eq!(notes, [ShardNote::AdvertisedNear(ID, V4)]);
    // What is too much now is taken back, the last first.
    let (mut advertised, counts, notes) = change(&mut bed, 3, LimitAction::Block);
    advertised.1.sort_unstable();
    assert_eq!((advertised, counts), ((vec![], vec![3, 4]), (3, 3)));
    assert_eq!(notes, [ShardNote::AdvertisedNear(ID, V4)]);
    let (advertised, counts, notes) = change(&mut bed, 3, LimitAction::Warn);
    assert_eq!((advertised.0, counts), (vec![3, 4, 5], (6, 0)));
    assert!(notes.contains(&ShardNote::AdvertisedReached(ID, V4)));
    let (_, counts, notes) = change(&mut bed, 3, LimitAction::Restart);
    assert_eq!(counts, (6, 0));
    assert!(notes.contains(&ShardNote::AdvertisedReached(ID, V4)));
    assert_eq!(old.held.load(Relaxed), 6);
}

#[test]
fn with_several_paths_prefixes_count() {
    let limit = limit(1, LimitAction::Block);
    let mut group = limited(&limit);
    group.add_path = [AddPathSend::All; 2];
    let mut bed = bed(group);
    announce(&mut bed, MEMBER, 0..1);
    announce(&mut bed, 1, 1..3);
    announce(&mut bed, 2, 1..3);
    bed.turn();
    assert_eq!((said(&bed).0, limit.held.load(Relaxed)), (vec![1, 1], 1));
    assert_eq!(counts(&bed).1, 1);
    bed.withdraw(1, "10.1.0.0/16");
    bed.turn();
    assert_eq!((said(&bed).1, counts(&bed).1), (vec![1], 1));
    bed.withdraw(2, "10.1.0.0/16");
    bed.turn();
    assert_eq!(said(&bed), (vec![2, 2], vec![1]));
}

struct Ignore;

impl EgressSink for Ignore {
    fn has_room(&self, _: GroupId) -> bool {
        true
    }

    fn batch(&mut self, _: EgressBatch) {}
}

#[test]
fn two_groups_that_wait_for_the_same_prefix_both_get_there() {
    let limits = [limit(1, LimitAction::Block), limit(2, LimitAction::Block)];
    let mut bed = bed(limited(&limits[0]));
    bed.event(ShardEvent::PeerUp(Arc::new(profile(8))));
    let other = GroupProfile {
        id: GroupId(1),
        to: Some(Arc::new(profile(8))),
        ..limited(&limits[1])
    };
    bed.event(ShardEvent::Group(Arc::new(other)));
    bed.event(ShardEvent::Join(GroupId(1), PeerId(8)));
    announce(&mut bed, 1, 0..6);
    bed.turn();
    bed.withdraw(1, "10.0.0.0/16");
    bed.withdraw(1, "10.1.0.0/16");
    bed.shard.apply(&mut bed.batch);
    // Each turn is for one entry of the log, of one group.
    let mut turns = 0;
    while !bed.shard.idle() {
        bed.shard.run_groups(1, &mut Ignore);
        turns += 1;
        assert!(turns < 200, "they keep each other waiting");
    }
    let counts = |group, member| {
        let shard = &bed.shard;
        let advertised = shard.advertised(GroupId(group), PeerId(member), V4);
        (advertised, shard.held_back(GroupId(group), V4))
    };
    assert_eq!((counts(0, MEMBER), counts(1, 8)), ((1, 3), (2, 2)));
}

#[test]
fn explain_names_the_limit() {
    let limit = limit(1, LimitAction::Block);
    let mut bed = bed(limited(&limit));
    announce(&mut bed, 1, 0..2);
    bed.turn();
    let advertised = |net: u8| {
        let prefix = format!("10.{net}.0.0/16").parse().unwrap();
        let to = Some((ID, GroupId(0)));
        let (mut rows, mut cursor) = (Vec::new(), QueryCursor::default());
        let query = Query::Explain { prefix, to };
        assert!(bed.shard.query(&query, &mut cursor, 9_000, &mut rows));
        rows.remove(0).advertised
    };
    assert_eq!(advertised(0), Some(Ok(())));
    assert_eq!(advertised(1), Some(Err(NotAdvertised::Limit)));
    let (mut rows, mut cursor) = (Vec::new(), QueryCursor::default());
    let query = Query::Advertised {
        peer: ID,
        group: GroupId(0),
        filter: Filter::All(None),
    };
    assert!(bed.shard.query(&query, &mut cursor, 9_000, &mut rows));
    assert_eq!(rows.len(), 1);
}
