//! What a change would do to routes, found on the live tables without touching them.
//!
//! A [`Proposal`] says what would be in force. A [`Foresight`] walks the slots, a slice at a time: it builds each
//! slot anew in a shadow of the shard, with the shard's own import, decision process and groups, and
//! compares what comes out with what was advertised. So there is one source for what happens and for what is
//! foretold, and memory goes with what there is to report, not with the tables.

mod shadow;
mod walk;

use std::sync::Arc;

use thruway_wire::attrs::AttrSet;
use thruway_wire::{FamilySet, Prefix};

use crate::watch::{Watch, WatchCount, Watching};
use crate::{GroupId, GroupProfile, PeerId, PeerProfile, Rejection, ShardId};

pub(crate) use walk::routes_now;

/// What becomes of a peer's paths.
#[derive(Clone, Debug)]
pub enum Fate {
    /// They go: the peer is removed, or shut down, or its session does not come back.
    Gone,
    /// They are judged by another profile; those of other families go.
    Becomes {
        /// Its import side.
        profile: Arc<PeerProfile>,
        /// Families that its session still has.
        families: FamilySet,
    },
}

/// An update group as it would be.
#[derive(Clone, Debug)]
pub struct ProposedGroup {
    /// Its export side; the number counts for nothing.
    pub profile: Arc<GroupProfile>,
    /// Its members, and the group that each is in today.
    pub members: Vec<(PeerId, GroupId)>,
}

/// A route that a peer would announce besides, or no longer.
#[derive(Clone, Debug)]
pub struct ProposedRoute {
    /// Whose.
    pub peer: PeerId,
    /// Where to.
    pub prefix: Prefix,
    /// What it would announce; `None`: nothing.
    pub set: Option<AttrSet>,
}

/// What would be in force. What is not named stays.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// Peers whose paths are judged otherwise, or go.
    pub peers: Vec<(PeerId, Fate)>,
    /// Every update group, with every receiver that keeps its session or gets it back.
    pub groups: Vec<ProposedGroup>,
    /// Receivers that would have no session, and their groups of today.
    pub leaving: Vec<(PeerId, GroupId)>,
    /// The network's own routes that come and go.
    pub routes: Vec<ProposedRoute>,
    /// Whose routes are to be listed, not only counted.
    pub list: Option<PeerId>,
    /// What is counted as it is, and as it would be.
    pub watches: Vec<Watch>,
    /// By shard, [`Shard::stirred`] of the last count: where it is the same, nothing is counted again.
    pub stirred: Vec<Option<u64>>,
}

impl Proposal {
    /// True where it would change nothing.
    fn is_nothing(&self) -> bool {
        let Proposal {
            peers,
            groups,
            leaving,
            routes,
            list: _,
            watches: _,
            stirred: _,
        } = self;
        peers.is_empty() && groups.is_empty() && leaving.is_empty() && routes.is_empty()
    }
}

/// What would become of the paths of a peer and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCount {
    /// Accepted that were not, new ones included.
    pub accepted: u64,
    /// Rejected that were accepted.
    pub rejected: u64,
    /// Accepted with other attributes.
    pub changed: u64,
    /// Gone, accepted or not.
    pub gone: u64,
    /// Gone, of those that were accepted.
    pub gone_accepted: u64,
    /// New.
    pub new: u64,
}

/// What would become of the routes that a receiver has of a family. Paths count, and for limits prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportCount {
    /// Advertised that were not.
    pub announced: u64,
    /// Advertised otherwise.
    pub changed: u64,
    /// Withdrawn.
    pub withdrawn: u64,
    /// Prefixes of which it would get something and had nothing.
    pub prefixes_new: u64,
    /// Prefixes of which it would have nothing more.
    pub prefixes_gone: u64,
}

/// All counts of a shard: each peer once, and only where something changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// By family, what is taken from a peer.
    pub imports: Vec<(PeerId, [ImportCount; 2])>,
    /// By family, what is advertised to it.
    pub exports: Vec<(PeerId, [ExportCount; 2])>,
    /// What is watched; `None` where it is as it was.
    pub watched: Option<Watchings>,
}

/// What a shard has of each watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchings {
    /// Which shard.
    pub shard: ShardId,
    /// As it is.
    pub now: Vec<WatchCount>,
    /// What the proposal adds.
    pub then: Vec<WatchCount>,
    /// [`Shard::stirred`] when the count began.
    pub stirred: Option<u64>,
}

/// A route of the listed peer that changes.
#[derive(Clone, Debug)]
pub enum PlanRow {
    /// A path that it announces.
    Import {
        /// Where to.
        prefix: Prefix,
        /// Its identifier, 0 without.
        path_id: u32,
        /// As received.
        received: AttrSet,
        /// As accepted now, or why not; `None`: it is not there.
        now: Option<Result<AttrSet, Rejection>>,
        /// As it would be.
        then: Option<Result<AttrSet, Rejection>>,
    },
    /// A route that it is advertised: whose path it is, and the attributes as they are sent.
    Export {
        /// Where to.
        prefix: Prefix,
        /// Its identifier, 0 without.
        path_id: u32,
        /// Now; `None`: nothing.
        now: Option<(PeerId, AttrSet)>,
        /// Then.
        then: Option<(PeerId, AttrSet)>,
    },
}

/// A walk through one shard, between slices.
#[derive(Debug)]
pub struct Foresight {
    proposal: Arc<Proposal>,
    /// What prefixes are split over shards by.
    split: (u64, usize),
    cursor: crate::QueryCursor,
    /// The shard as it would be, from slice to slice as long as it is the same shard.
    shadow: Option<Box<shadow::Shadow>>,
    /// Of [`Proposal::routes`], those whose prefix the table does not know: the next to look at.
    fresh: usize,
    imports: Vec<[ImportCount; 2]>,
    exports: Vec<[ExportCount; 2]>,
    rows: Vec<PlanRow>,
    /// The count of what is watched as it is, while it goes on.
    watching: Option<Watching>,
    watched: Vec<WatchCount>,
    watched_then: Vec<WatchCount>,
    /// What the last slot took of the budget for them.
    watch_cost: u32,
    stirred: Option<u64>,
    /// The shard, where what is watched was counted; `None`: it is as it was.
    counted: Option<ShardId>,
}

impl Foresight {
    /// Nothing looked at yet. `seed` and `shards` are those that ingress splits prefixes by.
    #[must_use]
    pub fn new(proposal: Arc<Proposal>, seed: u64, shards: usize) -> Self {
        let watched = WatchCount::none(&proposal.watches);
        Foresight {
            watching: (!watched.is_empty()).then(Watching::default),
            watched_then: watched.clone(),
            watched,
            watch_cost: 0,
            stirred: None,
            counted: None,
            proposal,
            split: (seed, shards.max(1)),
            cursor: crate::QueryCursor::default(),
            shadow: None,
            fresh: 0,
            imports: Vec::new(),
            exports: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The rows found since the last call.
    #[must_use]
    pub fn take_rows(&mut self) -> Vec<PlanRow> {
        std::mem::take(&mut self.rows)
    }

    /// True where rows wait to be taken.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Foreseen {
        fn some<T: Copy + Default + PartialEq>(list: &[[T; 2]]) -> Vec<(PeerId, [T; 2])> {
            let peers = (0..=u16::MAX).map(PeerId).zip(list);
            let differ = peers.filter(|(_, counts)| **counts != <[T; 2]>::default());
            differ.map(|(peer, counts)| (peer, *counts)).collect()
        }
        Foreseen {
            imports: some(&self.imports),
            exports: some(&self.exports),
            watched: self.counted.map(|shard| Watchings {
                shard,
                now: self.watched.clone(),
                then: self.watched_then.clone(),
                stirred: self.stirred,
            }),
        }
    }
}

fn place<T: Copy + Default>(list: &mut Vec<[T; 2]>, peer: PeerId, family: usize) -> Option<&mut T> {
    if list.len() <= peer.index() {
        list.resize(peer.index() + 1, Default::default());
    }
    list.get_mut(peer.index())?.get_mut(family)
}
