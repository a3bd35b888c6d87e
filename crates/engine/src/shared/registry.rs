//! Update groups of the whole process, and what their members' workers must know of each other's
//! peers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use hashbrown::HashMap;
use thruway_policy::Policy;
use thruway_rib::{
    AddPathSend, AdvertisedLimit, Eligibility, GroupId, GroupProfile, PeerClass, PeerId,
};
use thruway_wire::encode::{Encoding, Rewrite};
use thruway_wire::{FamilySet, RouterId};

use crate::PeerRole;
use crate::limits::GROUPS_MAX;

/// Gives update groups their numbers: members with equal keys share one, on whatever worker they
/// are. Touched when a session comes up or goes, never per message.
///
/// Workers tell shards of groups through rings of their own, so a shard may hear of an older profile
/// after a newer one. It therefore always takes the registry's.
#[derive(Debug)]
pub struct GroupRegistry {
    inner: Mutex<Groups>,
    /// By peer: the BGP identifier of an internal peer, for ORIGINATOR_ID (RFC 4456 §8). Stays
    /// after the peer has gone, since its routes may.
    sources: Box<[AtomicU64]>,
}

/// Marks a source as internal, above the identifier's 32 bits.
const INTERNAL: u64 = 1 << 32;

#[derive(Debug)]
struct Groups {
    eligibility: Eligibility,
    by_key: HashMap<GroupKey, GroupId, RandomState>,
    by_id: Vec<Option<Entry>>,
    /// Oldest first.
    free: VecDeque<u16>,
}

#[derive(Debug)]
struct Entry {
    key: GroupKey,
    profile: Arc<GroupProfile>,
    /// Members on all workers.
    members: u32,
    /// Shards that have not forgotten it yet, once it has no members left.
    leaving: u32,
}

/// What makes the bytes of two members equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) families: FamilySet,
    pub(crate) class: PeerClass,
    pub(crate) external: bool,
    pub(crate) alternatives: bool,
    pub(crate) interpret_communities: bool,
    pub(crate) long_lived: bool,
    /// By name: a reload puts another policy under it without moving anyone.
    pub(crate) export: Option<Arc<str>>,
    /// Its policy looks at the receiver, or a limit counts what is advertised to it: a group of its own.
    pub(crate) alone: Option<PeerId>,
    /// A limit counts what is advertised to it.
    pub(crate) limited: bool,
    pub(crate) add_path: [AddPathSend; 2],
    pub(crate) rewrite: Rewrite,
    pub(crate) cluster: Option<RouterId>,
    pub(crate) encoding: Encoding,
}

impl Default for GroupRegistry {
    fn default() -> Self {
        Self::new(PeerRole::eligibility())
    }
}

impl GroupRegistry {
    /// Without groups; `eligibility` is the matrix that they start with.
    #[must_use]
    pub fn new(eligibility: Eligibility) -> Self {
        GroupRegistry {
            inner: Mutex::new(Groups {
                eligibility,
                by_key: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)),
                by_id: Vec::new(),
                free: VecDeque::new(),
            }),
            sources: (0..=usize::from(u16::MAX))
                .map(|_| AtomicU64::new(0))
                .collect(),
        }
    }

    /// Adds a member to the group of `key`, made by `profile` where there is none. `None`: too many
    /// groups.
    pub(crate) fn join(
        &self,
        key: &GroupKey,
        profile: impl FnOnce(GroupId, Eligibility) -> GroupProfile,
    ) -> Option<Arc<GroupProfile>> {
        let mut groups = self.lock();
        let eligibility = groups.eligibility;
        if let Some(&id) = groups.by_key.get(key) {
            let entry = groups.by_id.get_mut(id.index())?.as_mut()?;
            entry.members += 1;
            let mut made = profile(id, eligibility);
            if let (Some(made), Some(held)) = (&mut made.limits, &entry.profile.limits) {
                go_on(made, held);
            }
            if newer(&made, &entry.profile) {
                entry.profile = Arc::new(made);
            }
            return Some(entry.profile.clone());
        }
        let id = groups.take_id()?;
        let profile = Arc::new(profile(id, eligibility));
        groups.by_key.insert(key.clone(), id);
        let entry = Entry {
            key: key.clone(),
            profile: profile.clone(),
            members: 1,
            leaving: 0,
        };
        *groups.by_id.get_mut(id.index())? = Some(entry);
        Some(profile)
    }

    /// Takes a member away. True: it was the last, and all `shards` have to be told.
    pub(crate) fn leave(&self, id: GroupId, shards: usize) -> bool {
        let mut groups = self.lock();
        let Some(Some(entry)) = groups.by_id.get_mut(id.index()) else {
            return false;
        };
        entry.members = entry.members.saturating_sub(1);
        if entry.members > 0 {
            return false;
        }
        entry.leaving = (1 << shards) - 1;
        let key = entry.key.clone();
        groups.by_key.remove(&key);
        true
    }

    /// A shard has forgotten the group. Its number is free when all have.
    pub(crate) fn gone(&self, id: GroupId, shard: usize) {
        let mut groups = self.lock();
        let Some(slot) = groups.by_id.get_mut(id.index()) else {
            return;
        };
        let Some(entry) = slot.as_mut().filter(|entry| entry.members == 0) else {
            return;
        };
        entry.leaving &= !(1 << shard);
        if entry.leaving == 0 {
            *slot = None;
            groups.free.push_back(id.0);
        }
    }

    /// The newest profile of a group.
    pub(crate) fn current(&self, id: GroupId) -> Option<Arc<GroupProfile>> {
        let groups = self.lock();
        groups
            .by_id
            .get(id.index())?
            .as_ref()
            .map(|entry| entry.profile.clone())
    }

    /// Puts a newer policy under the group's policy name; the profile to tell shards, unless it was
    /// there already.
    pub(crate) fn set_policy(
        &self,
        id: GroupId,
        policy: &Arc<Policy>,
    ) -> Option<Arc<GroupProfile>> {
        let mut groups = self.lock();
        let entry = groups.by_id.get_mut(id.index())?.as_mut()?;
        let old = entry.profile.export.as_ref()?;
        if Arc::ptr_eq(old, policy) || old.version() > policy.version() {
            return None;
        }
        let profile = GroupProfile {
            export: Some(policy.clone()),
            ..(*entry.profile).clone()
        };
        entry.profile = Arc::new(profile);
        Some(entry.profile.clone())
    }

    /// Changes the limits on what a group of one is told; the profile to tell shards, unless they are
    /// the same. The counts go on.
    pub(crate) fn set_limits(
        &self,
        id: GroupId,
        mut limits: [AdvertisedLimit; 2],
    ) -> Option<Arc<GroupProfile>> {
        let mut groups = self.lock();
        let entry = groups.by_id.get_mut(id.index())?.as_mut()?;
        let held = entry.profile.limits.as_ref()?;
        go_on(&mut limits, held);
        let terms = |limit: &AdvertisedLimit| (limit.max, limit.warn_at, limit.action);
        if limits.iter().map(terms).eq(held.iter().map(terms)) {
            return None;
        }
        entry.profile = Arc::new(GroupProfile {
            limits: Some(limits),
            ..(*entry.profile).clone()
        });
        Some(entry.profile.clone())
    }

    /// The matrix in force.
    pub(crate) fn eligibility(&self) -> Eligibility {
        self.lock().eligibility
    }

    /// Changes the matrix; the profiles to tell shards, for the first worker that brings it.
    pub(crate) fn set_eligibility(&self, eligibility: Eligibility) -> Vec<Arc<GroupProfile>> {
        let mut groups = self.lock();
        if groups.eligibility == eligibility {
            return Vec::new();
        }
        groups.eligibility = eligibility;
        let mut changed = Vec::new();
        let members = |entry: &&mut Entry| entry.members > 0;
        for entry in groups.by_id.iter_mut().flatten().filter(members) {
            let old = &entry.profile;
            let same = (0..32).map(PeerClass).all(|from| {
                old.eligibility.allows(from, old.class) == eligibility.allows(from, old.class)
            });
            entry.profile = Arc::new(GroupProfile {
                eligibility,
                ..(**old).clone()
            });
            // A group asks for its own column only; the others need no second look.
            if !same {
                changed.push(entry.profile.clone());
            }
        }
        changed
    }

    /// Notes an established peer for its routes' ORIGINATOR_ID. Before any of its routes travels.
    pub(crate) fn set_source(&self, peer: PeerId, internal: bool, id: RouterId) {
        if let Some(source) = self.sources.get(peer.index()) {
            let value = if internal {
                INTERNAL | u64::from(id.0)
            } else {
                0
            };
            // The routes follow through a ring, whose push and pop order this store before them.
            source.store(value, Ordering::Relaxed);
        }
    }

    /// The BGP identifier of an internal peer.
    pub(crate) fn source(&self, peer: PeerId) -> Option<RouterId> {
        let value = self.sources.get(peer.index())?.load(Ordering::Relaxed);
        (value & INTERNAL != 0).then_some(RouterId(value as u32))
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        // Each change is whole before anything can panic, so a poisoned lock guards sound data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    fn take_id(&mut self) -> Option<GroupId> {
        if self.by_id.len() < GROUPS_MAX {
            self.by_id.push(None);
            return u16::try_from(self.by_id.len() - 1).ok().map(GroupId);
        }
        self.free.pop_front().map(GroupId)
    }
}

/// Limits that follow others go on with their counts.
fn go_on(limits: &mut [AdvertisedLimit; 2], before: &[AdvertisedLimit; 2]) {
    for (limit, before) in limits.iter_mut().zip(before) {
        limit.held = before.held.clone();
    }
}

/// True where a joining member's idea of its group is the newer one.
fn newer(made: &GroupProfile, held: &GroupProfile) -> bool {
    // A group of one follows its member, whose facts may have changed with the session.
    if made.to.is_some() {
        return true;
    }
    match (&made.export, &held.export) {
        (Some(made), Some(held)) => !Arc::ptr_eq(made, held) && made.version() > held.version(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::profile::{group_key, group_profile, peer_profile};
    use crate::testing::{negotiated, peer};
    use crate::{PeerConfig, PolicyRef};
    use thruway_rib::WorkerId;

    fn key(config: &PeerConfig) -> GroupKey {
        group_key(config, &negotiated(), [192, 0, 2, 254].into(), None)
    }

    fn join(registry: &GroupRegistry, config: &PeerConfig) -> Arc<GroupProfile> {
        let (key, local) = (key(config), [192, 0, 2, 254].into());
        let profile = peer_profile(
            config,
            &negotiated(),
            WorkerId(0),
            local,
            None,
            [None, None],
        );
        let profile = Arc::new(profile);
        let made = registry.join(&key, |id, eligibility| {
            group_profile(id, &key, eligibility, config, &profile)
        });
        made.expect("a number is free")
    }

    #[test]
    fn equal_members_share_a_group_and_others_do_not() {
        let registry = GroupRegistry::default();
        let mut other = peer(2, "192.0.2.2");
        let first = join(&registry, &peer(1, "192.0.2.1"));
        assert_eq!(join(&registry, &other).id, first.id);
        other.export.med = false;
        assert_ne!(join(&registry, &other).id, first.id);
    }

    #[test]
    fn a_number_rests_until_every_shard_has_forgotten_it() {
        let registry = GroupRegistry::default();
        let config = peer(1, "192.0.2.1");
        let first = join(&registry, &config).id;
        let second = join(&registry, &config).id;
        assert_eq!(first, second);
        assert!(!registry.leave(first, 2), "one member is left");
        assert!(registry.leave(first, 2));
        assert_ne!(
            join(&registry, &config).id,
            first,
            "it may still be known to shards"
        );
        registry.gone(first, 0);
        assert!(registry.current(first).is_some());
        registry.gone(first, 1);
        assert!(registry.current(first).is_none());
    }

    #[test]
    fn a_policy_and_the_matrix_change_once() {
        let registry = GroupRegistry::default();
        let id = join(&registry, &peer(1, "192.0.2.1")).id;
        let policy = Policy::accept();
        assert!(
            registry.set_policy(id, &policy).is_none(),
            "it is there already"
        );
        let mut closed = PeerRole::eligibility();
        closed.0[0] = 0;
        assert_eq!(registry.set_eligibility(closed).len(), 1);
        assert!(
            registry.set_eligibility(closed).is_empty(),
            "another worker was first"
        );
        assert_eq!(
            registry.current(id).map(|profile| profile.eligibility),
            Some(closed)
        );
    }

    #[test]
    fn sources_are_told_apart() {
        let registry = GroupRegistry::default();
        registry.set_source(PeerId(5), true, RouterId(0));
        registry.set_source(PeerId(6), false, RouterId(9));
        assert_eq!(registry.source(PeerId(5)), Some(RouterId(0)));
        assert_eq!(registry.source(PeerId(6)), None);
    }

    #[test]
    fn internal_members_need_no_policy_and_external_ones_do() {
        let mut config = peer(1, "192.0.2.1");
        config.export.policy = None;
        assert_eq!(key(&config).export, None);
        let internal = thruway_session::Negotiated {
            internal: true,
            ..negotiated()
        };
        let inside = group_key(&config, &internal, [192, 0, 2, 254].into(), None);
        assert_eq!(inside.export.as_deref(), Some("accept"));
        config.export.policy = Some(PolicyRef::new(Policy::reject()));
        assert_eq!(key(&config).export.as_deref(), Some("reject"));
    }
}
