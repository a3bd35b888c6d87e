//! One shard from event to batch, and what the control plane sees of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use thruway_policy::Policy;
use thruway_wire::encode::NextHopRewrite;
use thruway_wire::{Asn, FamilySet, NextHop, Prefix};

use super::*;
use crate::tests::{Bed, group, path, path6, profile, v4};
use crate::{
    AddPathSend, Audience, Cursor, Filter, Handle, LimitAction, NotAdvertised, PeerProfile,
    PrefixLimit, Query, QueryCursor, Rejection, RouteRow, Staleness, Step, Stream,
};

fn peers() -> [PeerProfile; 3] {
    [1, 2, 3].map(profile)
}

/// (withdrawn?, audience, prefixes) of what was advertised to groups.
fn said(bed: &Bed) -> Vec<(bool, Audience, u32)> {
    let runs = bed.advertised.iter().flat_map(|batch| &batch.runs);
    runs.map(|run| (run.handle.is_none(), run.audience, run.count))
        .collect()
}

fn rows(bed: &Bed, query: &Query) -> Vec<RouteRow> {
    let mut rows = Vec::new();
    let mut cursor = QueryCursor::default();
    while !bed.shard.query(query, &mut cursor, 1, &mut rows) {}
    rows
}

#[test]
fn the_source_gets_the_next_best_and_the_others_the_best() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(2, "10.0.0.0/8", &path(&[64602, 7]));
    bed.turn();
    let one = PeerId(1);
    assert_eq!(
        said(&bed),
        [
            (false, Audience::AllBut(one), 1),
            (false, Audience::Only(one), 1)
        ]
    );
    bed.announce(3, "10.0.0.0/8", &path(&[64603, 7, 8]));
    bed.turn();
    assert_eq!(said(&bed), [], "a third path changes nobody's view");
    bed.withdraw(1, "10.0.0.0/8");
    bed.turn();
    let two = PeerId(2);
    assert_eq!(
        said(&bed),
        [
            (false, Audience::AllBut(two), 1),
            (false, Audience::Only(two), 1)
        ]
    );
    let advertised = |peer| bed.shard.advertised(GroupId(0), PeerId(peer), Family::Ipv4);
    assert_eq!([1, 2, 3].map(advertised), [1; 3]);
}

#[test]
fn in_plain_bgp_the_source_gets_nothing() {
    let mut plain = group(0);
    plain.alternatives = false;
    let mut bed = Bed::with(&peers(), plain);
    bed.announce(2, "10.0.0.0/8", &path(&[64602, 7]));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.turn();
    assert_eq!(said(&bed), [(false, Audience::AllBut(PeerId(1)), 1)]);
    bed.withdraw(1, "10.0.0.0/8");
    bed.turn();
    let two = PeerId(2);
    assert_eq!(
        said(&bed),
        [
            (false, Audience::AllBut(two), 1),
            (true, Audience::Only(two), 1)
        ]
    );
    assert_eq!(bed.shard.advertised(GroupId(0), PeerId(2), Family::Ipv4), 0);
}

#[test]
fn families_with_and_without_add_path_stay_apart_in_one_group() {
    let mut mixed = group(0);
    mixed.add_path = [AddPathSend::Off, AddPathSend::All];
    let mut bed = Bed::with(&peers(), mixed);
    let four = path(&[64601]);
    bed.announce(1, "10.0.0.0/8", &four);
    bed.announce(1, "2001:db8::/32", &path6(&[64601, 6]));
    bed.announce(1, "11.0.0.0/8", &four);
    bed.announce(1, "2001:db9::/32", &path6(&[64601, 7]));
    bed.turn();
    let [batch] = bed.advertised.as_slice() else {
        panic!("{:?}", bed.advertised)
    };
    let runs = batch.runs.iter().map(|run| {
        let range = run.start as usize..(run.start + run.count) as usize;
        let prefixes: Vec<Prefix> = match run.family {
            Family::Ipv4 => batch.nlri4[range].iter().map(|n| n.prefix.into()).collect(),
            Family::Ipv6 => batch.nlri6[range].iter().map(|n| n.prefix.into()).collect(),
        };
        let texts: Vec<String> = prefixes.iter().map(Prefix::to_string).collect();
        texts.join(" ")
    });
    let runs: Vec<String> = runs.collect();
    assert_eq!(
        runs,
        ["10.0.0.0/8 11.0.0.0/8", "2001:db8::/32", "2001:db9::/32"]
    );
}

#[test]
fn changes_between_two_visits_are_told_once() {
    let mut bed = Bed::with(&peers(), group(0));
    for len in 1..50 {
        bed.announce(1, "10.0.0.0/8", &path(&vec![64601; len]));
    }
    bed.withdraw(1, "10.0.0.0/8");
    bed.announce(1, "10.0.0.0/8", &path(&[64601, 9]));
    bed.turn();
    assert_eq!(said(&bed), [(false, Audience::AllBut(PeerId(1)), 1)]);
    bed.announce(1, "10.0.0.0/8", &path(&[64601, 10]));
    bed.announce(1, "10.0.0.0/8", &path(&[64601, 9]));
    bed.turn();
    assert_eq!(said(&bed), [], "it is as it was");
}

#[test]
fn a_lost_peer_is_withdrawn_and_its_sets_go_back() {
    let mut bed = Bed::with(&peers(), group(0));
    for net in 0..200 {
        bed.announce(1, &format!("10.{net}.0.0/16"), &path(&[64601, 1 + net]));
    }
    bed.turn();
    assert_eq!(
        (bed.interner.stats().sets, bed.shard.counters().prefixes),
        (200, [200, 0])
    );
    let (peer, retain) = (PeerId(1), FamilySet::EMPTY);
    bed.event(ShardEvent::PeerDown {
        peer,
        retain,
        forget: false,
    });
    bed.turn();
    let gone: u32 = said(&bed).iter().filter(|run| run.0).map(|run| run.2).sum();
    assert_eq!(gone, 200);
    // Places in the log are kept until the worker has seen what was advertised to it, sets are not.
    let counters = bed.shard.counters();
    assert_eq!(
        (bed.interner.stats().sets, counters.prefixes),
        (0, [200, 0])
    );
    let (worker, number) = (WorkerId(0), u64::MAX);
    bed.shard.request(&EgressRequest::Seen { worker, number });
    bed.turn();
    assert_eq!(
        (bed.interner.stats().sets, bed.shard.counters().prefixes),
        (0, [0; 2])
    );
}

#[test]
fn a_set_that_comes_back_while_its_grants_return_is_still_known() {
    let mut bed = Bed::with(&peers(), group(0));
    let set = path(&[64601]);
    bed.announce(1, "10.0.0.0/8", &set);
    bed.withdraw(1, "10.0.0.0/8");
    bed.shard.apply(&mut bed.batch);
    let mut returns = bed.shard.take_returns(WorkerId(0)).unwrap();
    assert_eq!(returns.grants.len(), 1);
    // The owner has not heard of it: the set does not travel again.
    bed.announce(1, "10.0.0.0/8", &set);
    assert!(bed.batch.sets.is_empty());
    bed.interner.returned(&mut returns);
    bed.turn();
    assert_eq!(rows(&bed, &Query::Routes(Filter::All(None))).len(), 1);
    assert_eq!(bed.interner.stats().sets, 1);
}

#[test]
fn stale_paths_stay_until_they_are_swept_or_told_again() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(1, "11.0.0.0/8", &path(&[64601]));
    bed.turn();
    let (peer, retain) = (PeerId(1), FamilySet::ALL);
    bed.event(ShardEvent::PeerDown {
        peer,
        retain,
        forget: false,
    });
    bed.turn();
    assert_eq!(said(&bed), [], "nothing is withdrawn (RFC 4724 §4.2)");
    bed.event(ShardEvent::PeerUp(Arc::new(profile(1))));
    bed.announce(1, "11.0.0.0/8", &path(&[64601]));
    bed.turn();
    let learned = Query::Learned(peer, Filter::All(None));
    let stale: Vec<_> = rows(&bed, &learned).iter().map(|row| row.stale).collect();
    assert_eq!(stale, [Staleness::Stale, Staleness::Fresh]);
    assert_eq!(bed.shard.peer_counters(peer, Family::Ipv4).stale, 1);
    bed.event(ShardEvent::SweepStale(peer, Family::Ipv4));
    bed.turn();
    assert_eq!(said(&bed), [(true, Audience::AllBut(peer), 1)]);
    assert_eq!(rows(&bed, &learned).len(), 1);
}

#[test]
fn refresh_after_refresh_without_an_end_runs_out_of_nothing() {
    let mut bed = Bed::with(&peers(), group(0));
    for round in 0..100 {
        bed.announce(1, &format!("10.{round}.0.0/16"), &path(&[64601]));
        bed.event(ShardEvent::MarkStale(PeerId(1), Family::Ipv4));
        bed.turn();
        assert_eq!(said(&bed).len(), 1);
    }
    let counters = bed.shard.peer_counters(PeerId(1), Family::Ipv4);
    assert_eq!(
        (counters.received, counters.accepted, counters.stale),
        (100, 100, 100)
    );
}

#[test]
fn a_policy_that_flips_tells_the_difference_only() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(2, "11.0.0.0/8", &path(&[64602]));
    bed.turn();
    let mut closed = profile(1);
    closed.import = None;
    bed.event(ShardEvent::PeerUp(Arc::new(closed)));
    bed.turn();
    assert_eq!(said(&bed), [(true, Audience::AllBut(PeerId(1)), 1)]);
    let rejected = rows(&bed, &Query::Rejected(PeerId(1), Filter::All(None)));
    assert_eq!(rejected[0].rejection, Some(Rejection::NoPolicy));
    let mut silent = group(0);
    silent.export = Some(Policy::reject());
    bed.event(ShardEvent::Group(Arc::new(silent)));
    bed.turn();
    assert_eq!(said(&bed), [(true, Audience::AllBut(PeerId(2)), 1)]);
    bed.event(ShardEvent::Group(Arc::new(group(0))));
    bed.event(ShardEvent::PeerUp(Arc::new(profile(1))));
    bed.turn();
    assert_eq!(said(&bed).len(), 2);
}

#[test]
fn a_block_limit_holds_back_and_asks_when_there_is_room() {
    let limit = PrefixLimit {
        max: 2,
        warn_at: 1,
        action: LimitAction::Block,
        accepted_only: false,
        held: AtomicU32::new(0),
    };
    let mut limited = profile(1);
    limited.limits = [Some(Arc::new(limit)), None];
    let mut bed = Bed::with(&[limited], group(0));
    for net in 0..4 {
        bed.announce(1, &format!("10.{net}.0.0/16"), &path(&[64601]));
    }
    bed.announce(1, "10.0.0.0/16", &path(&[64601, 5]));
    bed.shard.apply(&mut bed.batch);
    let notes = bed.shard.take_returns(WorkerId(0)).unwrap().notes;
    let (peer, family) = (PeerId(1), Family::Ipv4);
    assert_eq!(
        notes,
        [
            ShardNote::LimitNear(peer, family),
            ShardNote::LimitReached(peer, family)
        ]
    );
    let counters = bed.shard.peer_counters(peer, family);
    assert_eq!(
        (counters.received, counters.blocked),
        (2, 2),
        "advertised again is not counted twice"
    );
    bed.withdraw(1, "10.1.0.0/16");
    bed.shard.apply(&mut bed.batch);
    let notes = bed.shard.take_returns(WorkerId(0)).unwrap().notes;
    assert_eq!(notes, [ShardNote::LimitRoom(peer, family)]);
}

#[test]
fn explain_says_where_each_path_lost_and_why_a_member_is_not_told() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(2, "10.0.0.0/8", &path(&[64602, 7]));
    bed.announce(3, "10.0.0.0/8", &path(&[64603, 64500]));
    bed.turn();
    let prefix: Prefix = v4("10.0.0.0/8").into();
    let to = Some((PeerId(1), GroupId(0)));
    let rows = rows(&bed, &Query::Explain { prefix, to });
    let [best, second, rejected] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert!(best.best && best.lost.is_none());
    assert_eq!(best.advertised, Some(Err(NotAdvertised::OwnPath)));
    assert_eq!(second.lost, Some((Step::AsPathLen, PeerId(1))));
    assert_eq!(second.advertised, Some(Ok(())));
    assert!(matches!(rejected.rejection, Some(Rejection::AsLoop(_))));
    assert_eq!(rejected.advertised, Some(Err(NotAdvertised::Rejected)));
}

#[test]
fn filters_choose_prefixes() {
    let mut bed = Bed::with(&peers(), group(0));
    for prefix in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "11.0.0.0/8"] {
        bed.announce(1, prefix, &path(&[64601]));
    }
    bed.turn();
    let find = |filter| {
        let rows = rows(&bed, &Query::Routes(filter));
        rows.iter()
            .map(|row| row.prefix.to_string())
            .collect::<Vec<_>>()
    };
    let net = |text: &str| text.parse::<Prefix>().unwrap();
    assert_eq!(find(Filter::Exact(net("10.1.0.0/16"))), ["10.1.0.0/16"]);
    assert_eq!(find(Filter::Longest(net("10.1.2.3/32"))), ["10.1.2.0/24"]);
    assert_eq!(find(Filter::Longest(net("10.9.0.0/16"))), ["10.0.0.0/8"]);
    assert_eq!(find(Filter::Longest(net("12.0.0.0/8"))), [""; 0]);
    assert_eq!(
        find(Filter::Longer(net("10.1.0.0/16"))),
        ["10.1.0.0/16", "10.1.2.0/24"]
    );
    assert_eq!(find(Filter::All(Some(Family::Ipv6))), [""; 0]);
    assert_eq!(find(Filter::All(None)).len(), 4);
}

#[test]
fn a_late_reader_gets_the_table_and_is_in_step() {
    let mut bed = Bed::with(&peers(), group(0));
    for net in 0..10 {
        bed.announce(1, &format!("10.{net}.0.0/16"), &path(&[64601]));
    }
    bed.turn();
    let mut cursor = Cursor::Start;
    let mut count = 0;
    for _ in 0..100 {
        let request = EgressRequest::Pull {
            worker: WorkerId(0),
            reader: 9,
            group: GroupId(0),
            cursor,
            budget: 3,
            withdraw: false,
        };
        let batch = bed.shard.request(&request).unwrap();
        assert!(batch.nlri4.len() <= 4);
        count += batch.nlri4.len();
        match batch.stream {
            Stream::Reader {
                reader: 9,
                next,
                done: false,
            } => cursor = next,
            Stream::Reader {
                reader: 9,
                done: true,
                ..
            } => break,
            other => panic!("{other:?}"),
        }
        // The table changes under the reader: it hears of it from the log.
        if count == 6 {
            bed.withdraw(1, "10.0.0.0/16");
            bed.turn();
            count = 100;
        }
    }
    assert_eq!(count, 100 + 4 + 1);
}

#[test]
fn a_position_that_the_log_has_left_is_lost() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.turn();
    bed.shard.request(&EgressRequest::Seen {
        worker: WorkerId(0),
        number: u64::MAX,
    });
    let request = EgressRequest::Pull {
        worker: WorkerId(0),
        reader: 9,
        group: GroupId(0),
        cursor: Cursor::Log(0),
        budget: 3,
        withdraw: false,
    };
    let batch = bed.shard.request(&request).unwrap();
    assert_eq!(batch.stream, Stream::Lost { reader: 9 });
    assert_eq!(Handle::default(), Handle::NONE);
}

#[test]
fn a_full_log_gives_up_the_slow_and_loses_no_change_for_the_group() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(1, "11.0.0.0/8", &path(&[64601]));
    bed.turn();
    let (worker, reader) = (WorkerId(0), 9);
    bed.shard.request(&EgressRequest::Seen {
        worker,
        number: u64::MAX,
    });
    let pull = |cursor| EgressRequest::Pull {
        worker,
        reader,
        group: GroupId(0),
        cursor,
        budget: 1,
        withdraw: false,
    };
    let Some(batch) = bed.shard.request(&pull(Cursor::Start)) else {
        panic!("an answer")
    };
    let Stream::Reader {
        next, done: false, ..
    } = batch.stream
    else {
        panic!("{batch:?}")
    };
    // Nobody follows: the group's workers take nothing.
    bed.withdraw(1, "10.0.0.0/8");
    for net in 0..40 {
        bed.announce(2, &format!("12.{net}.0.0/16"), &path(&[64602]));
    }
    bed.shard.apply(&mut bed.batch);
    let Shard {
        groups,
        tables,
        core,
        ..
    } = &mut bed.shard;
    assert!(core.log.len() > 20);
    groups.cap(20, tables, core);
    groups.trim(tables, core);
    assert_eq!(core.log.len(), 0);
    let Some(batch) = bed.shard.request(&pull(next)) else {
        panic!("an answer")
    };
    assert_eq!(batch.stream, Stream::Lost { reader });
    bed.turn();
    let advertised: u32 = said(&bed)
        .iter()
        .filter(|run| !run.0)
        .map(|run| run.2)
        .sum();
    let withdrawn: u32 = said(&bed).iter().filter(|run| run.0).map(|run| run.2).sum();
    assert_eq!((advertised, withdrawn), (40, 1));
    bed.shard.request(&EgressRequest::Seen {
        worker,
        number: u64::MAX,
    });
    assert_eq!(
        bed.shard.counters().prefixes,
        [41, 0],
        "the empty slot is free again"
    );
}

/// The peer whose path is the best of 10.0.0.0/8.
fn best(bed: &Bed) -> u16 {
    let rows = rows(bed, &Query::Routes(Filter::Exact(v4("10.0.0.0/8").into())));
    let advertised = bed.shard.groups.get(GroupId(0)).unwrap().advertised[0].get(0);
    assert_eq!(
        advertised.source, rows[0].peer,
        "the group was advertised the best"
    );
    rows[0].peer.0
}

#[test]
fn a_peer_that_changes_its_identifier_is_compared_anew() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(2, "10.0.0.0/8", &path(&[64602]));
    bed.turn();
    assert_eq!(best(&bed), 1);
    let mut last = profile(1);
    last.router_id = thruway_wire::RouterId(1000);
    bed.event(ShardEvent::PeerUp(Arc::new(last)));
    bed.turn();
    assert_eq!(best(&bed), 2);
}

#[test]
fn what_replaces_a_dead_best_path_must_beat_the_others() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(2, "10.0.0.0/8", &path(&[64602, 7]));
    bed.turn();
    assert_eq!(best(&bed), 1);
    let (peer, retain) = (PeerId(1), FamilySet::EMPTY);
    bed.event(ShardEvent::PeerDown {
        peer,
        retain,
        forget: false,
    });
    bed.event(ShardEvent::PeerUp(Arc::new(profile(1))));
    bed.announce(1, "10.0.0.0/8", &path(&[64601, 7, 8]));
    bed.turn();
    assert_eq!(best(&bed), 2);
}

#[test]
fn a_member_that_comes_back_to_its_stale_paths_gets_others() {
    let mut bed = Bed::with(&peers(), group(0));
    bed.announce(1, "10.0.0.0/8", &path(&[64601]));
    bed.announce(2, "10.0.0.0/8", &path(&[64602, 7]));
    bed.turn();
    let (peer, retain) = (PeerId(1), FamilySet::ALL);
    bed.event(ShardEvent::Leave(GroupId(0), peer));
    bed.event(ShardEvent::PeerDown {
        peer,
        retain,
        forget: false,
    });
    bed.announce(3, "10.0.0.0/8", &path(&[64603, 7, 8]));
    bed.turn();
    assert_eq!(best(&bed), 1, "stale paths take part");
    bed.event(ShardEvent::PeerUp(Arc::new(profile(1))));
    bed.event(ShardEvent::Join(GroupId(0), peer));
    bed.turn();
    assert_eq!(said(&bed), [(false, Audience::Only(peer), 1)]);
}

#[test]
fn med_between_two_can_bring_back_a_third() {
    let med = |asn, value| {
        let mut set = path(&[asn, 9]);
        set.set_med(Some(value));
        set
    };
    for order in [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ] {
        let mut bed = Bed::with(&peers(), group(0));
        for peer in order {
            // 3 takes 1 out by its MED, 2 beats 3 by its identifier, 1 would beat 2.
            let set = [med(1, 20), med(2, 0), med(1, 10)][usize::from(peer) - 1].clone();
            bed.announce(peer, "10.0.0.0/8", &set);
            bed.turn();
        }
        assert_eq!(best(&bed), 2, "{order:?}");
        bed.withdraw(3, "10.0.0.0/8");
        bed.turn();
        assert_eq!(best(&bed), 1, "{order:?}");
    }
}

#[test]
fn what_was_advertised_is_shown_as_it_arrives() {
    let mut plain = group(0);
    plain.rewrite.prepend = Some(Asn(64512));
    plain.rewrite.next_hop = NextHopRewrite::Own(Some([192, 0, 2, 9].into()), None);
    plain.rewrite.med = false;
    let mut bed = Bed::with(&peers(), plain);
    let mut sent = path(&[64601]);
    sent.set_med(Some(7));
    bed.announce(1, "10.0.0.0/8", &sent);
    bed.turn();
    let query = Query::Advertised {
        peer: PeerId(2),
        group: GroupId(0),
        filter: Filter::All(None),
    };
    let rows = rows(&bed, &query);
    let arrives = rows[0].accepted.as_ref().unwrap().as_ref();
    assert!(arrives.as_path().asns().eq([Asn(64512), Asn(64601)]));
    assert_eq!(arrives.next_hop(), Some(NextHop::V4([192, 0, 2, 9].into())));
    assert_eq!((arrives.med(), arrives.local_pref()), (None, None));
    assert_eq!(rows[0].attrs.as_ref().med(), Some(7));
}
