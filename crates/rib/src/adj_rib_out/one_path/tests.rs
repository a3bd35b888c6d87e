//! Every receiver's view, before and after, for every change.

use thruway_wire::Ipv4Prefix;

use super::*;
use crate::{EgressBatch, ShardId, WorkerId};

const MEMBERS: [PeerId; 3] = [PeerId(1), PeerId(2), PeerId(3)];

fn advertised(handle: u32, source: u16, alternate: u32, alternate_source: u16) -> Advertised {
    let of = |index: u32| {
        if index == 0 {
            Handle::NONE
        } else {
            Handle::new(0, index)
        }
    };
    Advertised {
        handle: of(handle),
        alternate: of(alternate),
        source: PeerId(source),
        alternate_source: PeerId(alternate_source),
    }
}

/// States with sources that are members (1, 2) and one that is not (9); an alternate only for a member.
fn states() -> Vec<Advertised> {
    let mut states = vec![Advertised::default()];
    for source in [1, 2, 9] {
        for handle in [1, 2] {
            states.push(advertised(handle, source, 0, 0));
            if source != 9 {
                for (alternate, from) in [(3, 3), (1, 9), (2, 9)] {
                    states.push(advertised(handle, source, alternate, from));
                }
            }
        }
    }
    states
}

/// What each member holds after hearing `say`, having held `holds`.
fn hear(
    sets: &Sets,
    holds: [Option<Handle>; 3],
    say: impl FnOnce(&mut Builder, &Members, Nlri<Ipv4Prefix>),
) -> ([Option<Handle>; 3], usize) {
    let mut members = Members::default();
    MEMBERS
        .iter()
        .for_each(|member| assert!(members.join(*member, WorkerId(0))));
    let mut out = Builder::default();
    say(
        &mut out,
        &members,
        Nlri {
            path_id: 0,
            prefix: crate::tests::v4("10.0.0.0/8"),
        },
    );
    let mut batch = EgressBatch::default();
    out.finish(&mut batch, sets);
    let mut holds = holds;
    for (member, holds) in MEMBERS.iter().zip(&mut holds) {
        let mine = batch.runs.iter().filter(|run| match run.audience {
            Audience::All => true,
            Audience::AllBut(other) => other != *member,
            Audience::Only(one) => one == *member,
        });
        let mine: Vec<_> = mine.collect();
        assert!(mine.len() <= 1, "advertised twice");
        if let Some(run) = mine.first() {
            *holds = run.handle.is_some().then_some(run.handle);
        }
    }
    (holds, batch.runs.len())
}

fn sets() -> Sets {
    let mut sets = Sets::new(ShardId(0), 1);
    for index in 1..4 {
        sets.put(Handle::new(0, index), crate::tests::set(index));
    }
    sets
}

fn views(advertised: &Advertised) -> [Option<Handle>; 3] {
    MEMBERS.map(|member| advertised.of(member).map(|(handle, _)| handle))
}

#[test]
fn from_any_state_to_any_other_each_member_ends_with_its_view() {
    let sets = sets();
    for old in states() {
        for new in states() {
            let say = |out: &mut Builder, members: &Members, nlri| {
                advertise_change(out, members, false, nlri, &old, &new);
            };
            let (holds, runs) = hear(&sets, views(&old), say);
            assert_eq!(holds, views(&new), "{old:?} to {new:?}");
            if views(&old) == views(&new) {
                assert_eq!(runs, 0, "nothing changed from {old:?} to {new:?}");
            }
        }
    }
}

#[test]
fn a_reader_that_comes_late_ends_with_its_view() {
    let sets = sets();
    for advertised in states() {
        let (holds, _) = hear(&sets, [None; 3], |out, members, nlri| {
            advertise_state(out, members, nlri, &advertised, false);
        });
        assert_eq!(holds, views(&advertised), "{advertised:?} from nothing");
        let (holds, _) = hear(&sets, [Some(Handle::new(0, 3)); 3], |out, members, nlri| {
            advertise_state(out, members, nlri, &advertised, true);
        });
        assert_eq!(holds, views(&advertised), "{advertised:?} again");
    }
}

#[test]
fn a_reflector_tells_a_change_of_source_alone() {
    let sets = sets();
    let (old, new) = (advertised(1, 9, 0, 0), advertised(1, 8, 0, 0));
    let runs = |reflects| {
        let say = |out: &mut Builder, members: &Members, nlri| {
            advertise_change(out, members, reflects, nlri, &old, &new);
        };
        hear(&sets, views(&old), say).1
    };
    assert_eq!((runs(false), runs(true)), (0, 1));
}

#[test]
fn counts_follow_what_each_member_has() {
    let mut sets = sets();
    let mut table = AdvertisedTable::default();
    for (slot, advertised) in states().into_iter().enumerate() {
        table.set(slot as u32, &Advertised::default(), advertised, &mut sets);
    }
    for member in MEMBERS {
        let has = states()
            .iter()
            .filter(|advertised| advertised.of(member).is_some())
            .count();
        assert_eq!(table.count(member), has as u32);
    }
    let old = table.get(1);
    table.set(1, &old, Advertised::default(), &mut sets);
    table.clear(&mut sets);
    assert_eq!(table.count(PeerId(1)), 0);
}
