//! Export: may a group be told a path, and with what set.

use std::sync::Arc;

use thruway_policy::{Hits, Outcome, PeerFacts, Policy, RouteContext};
use thruway_wire::Family;
use thruway_wire::Prefix;
use thruway_wire::attrs::AttrFlags;

use crate::chunked::Chunked;
use crate::core::Core;
use crate::paths::Path;
use crate::peers::facts;
use crate::sets::Sets;
use crate::{GroupProfile, Handle};

/// A remembered verdict.
#[derive(Clone, Copy, Debug, Default)]
struct Memo {
    /// For which source and family, as far as the policy looks at them; 0: none.
    key: u32,
    answer: Handle,
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

    /// The set that the group would be told of a path, `NONE` where it may not have it. The matrix and
    /// the path's life are the caller's.
    #[inline]
    pub(crate) fn verdict(
        &mut self,
        profile: &GroupProfile,
        core: &mut Core,
        family: Family,
        path: &Path,
        prefix: Prefix,
    ) -> Handle {
        // The flags lie with the set, a miss away: they are read only where they count.
        if profile.interpret_communities && held_back(profile, core.sets.flags(path.accepted)) {
            return Handle::NONE;
        }
        match self.kind {
            Kind::Nothing => Handle::NONE,
            Kind::All => path.accepted,
            Kind::Judged => self.judge(profile, core, family, path, prefix),
        }
    }

    fn judge(
        &mut self,
        profile: &GroupProfile,
        core: &mut Core,
        family: Family,
        path: &Path,
        prefix: Prefix,
    ) -> Handle {
        let Some(policy) = &profile.export else {
            return Handle::NONE;
        };
        if self.by_prefix {
            return self.evaluate(policy, core, family, path, prefix);
        }
        let source = if policy.uses_peer() {
            u32::from(path.peer.0)
        } else {
            0
        };
        let of_family = if policy.uses_family() {
            family as u32
        } else {
            0
        };
        let key = source << 2 | of_family << 1 | 1;
        if let Some(memo) = self.memo(path.accepted)
            && memo.key == key
        {
            return memo.answer;
        }
        let answer = self.evaluate(policy, core, family, path, prefix);
        self.remember(&mut core.sets, path.accepted, Memo { key, answer });
        answer
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
    ) -> Handle {
        let Core {
            sets,
            peers,
            scratch,
            ..
        } = core;
        let Some(source) = peers.get(path.peer) else {
            return Handle::NONE;
        };
        let Some(set) = sets.get(path.accepted) else {
            return Handle::NONE;
        };
        let route = RouteContext {
            peer: &source.facts,
            family,
            prefix,
            set: set.as_ref(),
            to: self.to.as_ref(),
        };
        match policy.evaluate(&route, scratch, &mut self.hits) {
            Outcome::Reject { .. } => Handle::NONE,
            Outcome::Accept => path.accepted,
            Outcome::AcceptChanged => sets.derive(scratch.as_ref()),
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

/// True where a well-known community keeps a set from the group (RFC 1997).
#[inline]
pub(crate) fn held_back(profile: &GroupProfile, flags: AttrFlags) -> bool {
    if !profile.interpret_communities {
        return false;
    }
    let outside = flags.has(AttrFlags::NO_EXPORT) || flags.has(AttrFlags::NO_EXPORT_SUBCONFED);
    flags.has(AttrFlags::NO_ADVERTISE) || profile.external && outside
}
