//! Export: may a group be advertised a path, and with what set.

use std::sync::Arc;

use thruway_policy::{Hits, Outcome, PeerFacts, Policy, RouteContext};
use thruway_wire::attrs::{AttrFlags, AttrSetRef};
use thruway_wire::encode::{self, Reflect, Rewrite, Unsendable};
use thruway_wire::{Family, Prefix};

use crate::adj_rib_in::peers::facts;
use crate::core::Core;
use crate::table::TableKey;
use crate::table::chunked::Chunked;
use crate::table::paths::Path;
use crate::table::sets::Sets;
use crate::{GroupProfile, Handle, PeerId};

/// A remembered verdict.
#[derive(Clone, Copy, Debug, Default)]
struct Memo {
    /// For which family, and which source as far as the policy looks at it; 0: none. The top bit: the
    /// answer is an odd set.
    key: u32,
    answer: Handle,
}

impl Memo {
    /// Above what a source and a family take.
    const ODD: u32 = 1 << 31;
}

/// What the group's policy amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// None, or the built-in `reject`.
    Nothing,
    /// The built-in `accept`: no evaluation, no memory.
    All,
    Judged,
}

/// A group's export side.
#[derive(Debug)]
pub(crate) struct Exports {
    kind: Kind,
    /// The policy looks at prefixes.
    by_prefix: bool,
    to: Option<PeerFacts>,
    memos: Vec<Chunked<Memo, 10>>,
    /// Room to encode in.
    octets: Vec<u8>,
    /// By family: verdicts that members may have a path, but cannot be sent it.
    unsendable: [u64; 2],
    pub(crate) hits: Hits,
}

impl Exports {
    pub(crate) fn new(profile: &GroupProfile) -> Self {
        let is = |built_in: Arc<Policy>| {
            profile
                .export
                .as_ref()
                .is_some_and(|policy| Arc::ptr_eq(policy, &built_in))
        };
        let kind = match &profile.export {
            None => Kind::Nothing,
            Some(_) if is(Policy::reject()) => Kind::Nothing,
            Some(_) if is(Policy::accept()) => Kind::All,
            Some(_) => Kind::Judged,
        };
        Exports {
            kind,
            by_prefix: kind == Kind::Judged
                && profile
                    .export
                    .as_ref()
                    .is_some_and(|policy| policy.uses_prefix()),
            to: profile.to.as_deref().map(facts),
            memos: Vec::new(),
            octets: Vec::new(),
            unsendable: [0; 2],
            hits: profile
                .export
                .as_ref()
                .map_or_else(Hits::default, |policy| Hits::new(policy)),
        }
    }

    /// True where the verdict over a path depends on the prefix.
    #[inline]
    pub(crate) fn by_prefix(&self) -> bool {
        self.by_prefix
    }

    /// The set that the group would be advertised of a path, `NONE` where it may not have it or cannot be sent
    /// it. The matrix and the path's life are the caller's.
    #[inline]
    pub(crate) fn verdict<P: TableKey>(
        &mut self,
        profile: &GroupProfile,
        core: &mut Core,
        path: &Path,
        prefix: P,
    ) -> Handle {
        if path.digest.is_long_lived() && !profile.long_lived {
            return Handle::NONE;
        }
        // The flags lie with the set, a miss away: they are read only where they count.
        if profile.interpret_communities && held_back(profile, core.sets.flags(path.accepted)) {
            return Handle::NONE;
        }
        let (handle, odd) = match self.kind {
            Kind::Nothing => return Handle::NONE,
            Kind::All => (path.accepted, path.tag.is_odd()),
            Kind::Judged => self.judge(profile, core, P::FAMILY, path, prefix.into()),
        };
        if odd && handle.is_some() && !self.fits::<P>(profile, core, path.peer, handle) {
            self.count_unsendable::<P>(profile, core);
            return Handle::NONE;
        }
        handle
    }

    #[cold]
    fn count_unsendable<P: TableKey>(&mut self, profile: &GroupProfile, core: &mut Core) {
        if self.unsendable == [0; 2] {
            core.unsendable.push(profile.id);
        }
        if let Some(count) = self.unsendable.get_mut(P::INDEX) {
            *count += 1;
        }
    }

    /// How often members could not be sent a path of a family that they may have.
    pub(crate) fn unsendable(&self, family: Family) -> u64 {
        self.unsendable.get(family.index()).copied().unwrap_or(0)
    }

    /// True where members can be sent an odd set.
    #[cold]
    fn fits<P: TableKey>(
        &mut self,
        profile: &GroupProfile,
        core: &Core,
        source: PeerId,
        handle: Handle,
    ) -> bool {
        let set = core.sets.get(handle);
        set.is_some_and(|set| {
            let set = set.as_ref();
            encode::always_sendable(P::FAMILY, set)
                || sendable::<P>(&mut self.octets, profile, core, source, set).is_ok()
        })
    }

    /// The policy's verdict, and whether its set is an odd one.
    fn judge(
        &mut self,
        profile: &GroupProfile,
        core: &mut Core,
        family: Family,
        path: &Path,
        prefix: Prefix,
    ) -> (Handle, bool) {
        let Some(policy) = &profile.export else {
            return (Handle::NONE, false);
        };
        if self.by_prefix {
            return self.evaluate(policy, core, family, path, prefix);
        }
        let source = if policy.uses_peer() {
            u32::from(path.peer.0)
        } else {
            0
        };
        // Whether a set is odd depends on the family, whatever the policy looks at.
        let key = source << 2 | (family as u32) << 1 | 1;
        if let Some(memo) = self.memo(path.accepted)
            && memo.key & !Memo::ODD == key
        {
            return (memo.answer, memo.key & Memo::ODD != 0);
        }
        let (answer, odd) = self.evaluate(policy, core, family, path, prefix);
        let key = if odd { key | Memo::ODD } else { key };
        self.remember(&mut core.sets, path.accepted, Memo { key, answer });
        (answer, odd)
    }

    fn memo(&self, handle: Handle) -> Option<Memo> {
        self.memos
            .get(handle.owner())?
            .get(handle.index() as u32)
            .copied()
    }

    fn remember(&mut self, sets: &mut Sets, handle: Handle, memo: Memo) {
        if self.memos.len() <= handle.owner() {
            self.memos.resize_with(handle.owner() + 1, Chunked::default);
        }
        let owner = self.memos.get_mut(handle.owner());
        let Some(place) = owner.and_then(|owner| owner.slot(handle.index() as u32)) else {
            return;
        };
        let old = std::mem::replace(place, memo);
        if memo.answer.is_some() && memo.answer != handle {
            sets.acquire(memo.answer, 1);
        }
        if old.key != 0 && old.answer.is_some() && old.answer != handle {
            sets.release(old.answer);
        }
        sets.mark_exported(handle);
    }

    fn evaluate(
        &mut self,
        policy: &Policy,
        core: &mut Core,
        family: Family,
        path: &Path,
        prefix: Prefix,
    ) -> (Handle, bool) {
        let Core {
            sets,
            peers,
            scratch,
            ..
        } = core;
        let Some(source) = peers.get(path.peer) else {
            return (Handle::NONE, false);
        };
        let Some(set) = sets.get(path.accepted) else {
            return (Handle::NONE, false);
        };
        let route = RouteContext {
            peer: &source.facts,
            family,
            prefix,
            set: set.as_ref(),
            to: self.to.as_ref(),
        };
        match policy.evaluate(&route, scratch, &mut self.hits) {
            Outcome::Reject { .. } => (Handle::NONE, false),
            Outcome::Accept => (path.accepted, path.tag.is_odd()),
            Outcome::AcceptChanged => {
                let set = scratch.as_ref();
                let odd = !encode::always_sendable(family, set);
                (sets.derive(set), odd)
            }
        }
    }

    /// Forgets the verdict about a set that dies.
    pub(crate) fn retire(&mut self, handle: Handle, released: &mut Vec<Handle>) {
        let owner = self.memos.get_mut(handle.owner());
        let Some(memo) = owner.and_then(|owner| owner.get_mut(handle.index() as u32)) else {
            return;
        };
        let memo = std::mem::take(memo);
        if memo.key != 0 && memo.answer.is_some() && memo.answer != handle {
            released.push(memo.answer);
        }
    }

    /// Forgets all verdicts: the policy is another, or the group goes.
    pub(crate) fn clear(&mut self, sets: &mut Sets) {
        for (owner, memos) in self.memos.iter_mut().enumerate() {
            for (index, memo) in memos.iter_mut() {
                let own = memo.answer == Handle::new(owner as u8, index);
                if memo.key != 0 && memo.answer.is_some() && !own {
                    sets.release(memo.answer);
                }
            }
        }
        self.memos = Vec::new();
    }

    /// What the receiver is to policies.
    pub(crate) fn to(&self) -> Option<&PeerFacts> {
        self.to.as_ref()
    }

    pub(crate) fn memory(&self) -> usize {
        self.memos.iter().map(Chunked::memory).sum()
    }
}

/// Whether a group's members can be sent a set of a source's: what their encoder will say.
pub(crate) fn sendable<P: TableKey>(
    octets: &mut Vec<u8>,
    profile: &GroupProfile,
    core: &Core,
    source: PeerId,
    set: AttrSetRef<'_>,
) -> Result<(), Unsendable> {
    let rewrite = rewrite_of(profile, core, source);
    encode::sendable::<P>(octets, set, &rewrite, &profile.encoding_of(P::FAMILY))
}

/// What a group changes in the routes of a source on the way out.
pub(crate) fn rewrite_of(profile: &GroupProfile, core: &Core, source: PeerId) -> Rewrite {
    let mut rewrite = profile.rewrite;
    let source = core.peers.hot(source).filter(|source| source.internal);
    rewrite.reflect = profile.cluster.and_then(|cluster| {
        let originator = source?.router_id;
        Some(Reflect {
            originator,
            cluster,
        })
    });
    rewrite
}

/// True where a well-known community keeps a set from the group (RFC 1997).
#[inline]
pub(crate) fn held_back(profile: &GroupProfile, flags: AttrFlags) -> bool {
    if !profile.interpret_communities {
        return false;
    }
    let outside = flags.has(AttrFlags::NO_EXPORT) || flags.has(AttrFlags::NO_EXPORT_SUBCONFED);
    flags.has(AttrFlags::NO_ADVERTISE) || profile.external && outside
}
