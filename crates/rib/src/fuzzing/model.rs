//! The RIB as a reader of the RFCs would write it: no handles, no log, everything computed when asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use thruway_policy::{Hits, Outcome, Policy, RouteContext};
use thruway_wire::attrs::{AttrFlags, AttrSet, AttrSetBuf, AttrSetRef};
use thruway_wire::{Community, Family, FamilySet, Nlri, Prefix, encode};

use crate::adj_rib_in::peers::facts;
use crate::{AddPathSend, DecisionConfig, GroupId, GroupProfile, PeerId, PeerProfile, Staleness};

/// A path.
#[derive(Clone, Debug)]
pub(super) struct ModelPath {
    set: AttrSet,
    life: Staleness,
}

/// A peer and what it advertised.
#[derive(Debug)]
pub(super) struct ModelPeer {
    pub(super) profile: Arc<PeerProfile>,
    pub(super) paths: BTreeMap<(Prefix, u32), ModelPath>,
}

/// The whole RIB.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) decision: DecisionConfig,
    pub(super) peers: BTreeMap<PeerId, ModelPeer>,
    pub(super) groups: BTreeMap<GroupId, Arc<GroupProfile>>,
}

/// An accepted path in the running.
#[derive(Clone, Debug)]
struct Runner {
    profile: Arc<PeerProfile>,
    id: u32,
    set: AttrSet,
}

impl Model {
    pub(super) fn announce(&mut self, peer: PeerId, prefix: Prefix, id: u32, set: &AttrSet) {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        let limit = peer
            .profile
            .limits
            .get(prefix.family().index())
            .and_then(Option::as_ref);
        let of_family = |key: &&(Prefix, u32)| key.0.family() == prefix.family();
        let held = peer.paths.keys().filter(of_family).count();
        let full = limit.is_some_and(|limit| held >= limit.max as usize);
        if full && !peer.paths.contains_key(&(prefix, id)) {
            return;
        }
        let path = ModelPath {
            set: set.clone(),
            life: Staleness::Fresh,
        };
        peer.paths.insert((prefix, id), path);
    }

    pub(super) fn withdraw(&mut self, peer: PeerId, prefix: Prefix, id: u32) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.paths.remove(&(prefix, id));
        }
    }

    pub(super) fn up(&mut self, profile: &Arc<PeerProfile>) {
        self.peers
            .entry(profile.id)
            .and_modify(|peer| peer.profile = profile.clone())
            .or_insert_with(|| ModelPeer {
                profile: profile.clone(),
                paths: BTreeMap::new(),
            });
    }

    pub(super) fn down(&mut self, peer: PeerId, retain: FamilySet, forget: bool) {
        if forget {
            self.peers.remove(&peer);
            return;
        }
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        peer.paths.retain(|(prefix, _), path| {
            retain.contains(prefix.family()) && path.life != Staleness::Stale
        });
        for path in peer
            .paths
            .values_mut()
            .filter(|path| path.life == Staleness::Fresh)
        {
            path.life = Staleness::Stale;
        }
    }

    pub(super) fn age(&mut self, peer: PeerId, family: Family, from: Staleness, to: Staleness) {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        peer.paths.retain(|(prefix, _), path| {
            if prefix.family() == family && path.life == from {
                path.life = to;
            }
            let kept = !path.set.meta().flags.has(AttrFlags::NO_LLGR);
            path.life != Staleness::LongLived || kept
        });
    }

    pub(super) fn sweep_stale(&mut self, peer: PeerId, family: Family) {
        let Some(peer) = self.peers.get_mut(&peer) else {
            return;
        };
        peer.paths
            .retain(|(prefix, _), path| prefix.family() != family || path.life == Staleness::Fresh);
    }

    /// Prefixes that anyone advertised.
    pub(super) fn prefixes(&self) -> Vec<Prefix> {
        let keys = self.peers.values().flat_map(|peer| peer.paths.keys());
        let mut prefixes: Vec<Prefix> = keys.map(|(prefix, _)| *prefix).collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }

    /// A peer's paths of a family: held, accepted, stale.
    pub(super) fn counts(&self, peer: PeerId, family: Family) -> (u32, u32, u32) {
        let Some(peer) = self.peers.get(&peer) else {
            return (0, 0, 0);
        };
        let mut counts = (0, 0, 0);
        for ((prefix, _), path) in peer
            .paths
            .iter()
            .filter(|(key, _)| key.0.family() == family)
        {
            counts.0 += 1;
            counts.1 += u32::from(import(&peer.profile, *prefix, path).is_some());
            counts.2 += u32::from(path.life != Staleness::Fresh);
        }
        counts
    }

    fn accepted(&self, prefix: Prefix) -> Vec<Runner> {
        let mut all = Vec::new();
        for peer in self.peers.values() {
            for ((_, id), path) in peer.paths.range((prefix, 0)..=(prefix, u32::MAX)) {
                if let Some(set) = import(&peer.profile, prefix, path) {
                    all.push(Runner {
                        profile: peer.profile.clone(),
                        id: *id,
                        set,
                    });
                }
            }
        }
        all
    }

    /// The best path of a prefix: whose it is and its identifier.
    pub(super) fn best(&self, prefix: Prefix) -> Option<(PeerId, u32)> {
        let best = self.choose(&self.accepted(prefix))?;
        Some((best.profile.id, best.id))
    }

    /// What a member of a group should hold of a prefix: the octets of the sets, sorted.
    pub(super) fn advertised(
        &self,
        group: GroupId,
        member: PeerId,
        prefix: Prefix,
    ) -> Vec<Vec<u8>> {
        let Some(group) = self.groups.get(&group) else {
            return Vec::new();
        };
        if !group.families.contains(prefix.family()) {
            return Vec::new();
        }
        let all = self.accepted(prefix);
        let may: Vec<(Runner, AttrSet)> = all
            .iter()
            .filter_map(|path| Some((path.clone(), export(group, prefix, path)?)))
            .collect();
        let most = match group.add_path.get(prefix.family().index()) {
            Some(AddPathSend::All) => Some(usize::MAX),
            Some(AddPathSend::Best(most) | AddPathSend::Multipath(most)) => Some(*most as usize),
            _ => None,
        };
        if let Some(most) = most {
            let multipath = group.add_path.get(prefix.family().index());
            let ties = matches!(multipath, Some(AddPathSend::Multipath(_)));
            let may = if ties { self.ties(may) } else { may };
            return self.several(may, most, member);
        }
        let set_of = |best: Runner| {
            let same = |(path, _): &&(Runner, AttrSet)| path.is(&best);
            let set = may
                .iter()
                .find(same)
                .map(|(_, set)| set.as_ref().bytes.to_vec());
            Vec::from_iter(set)
        };
        if !group.alternatives {
            let best = self.choose(&all).filter(|best| best.profile.id != member);
            return best.map_or_else(Vec::new, set_of);
        }
        let runners = |skip: Option<PeerId>| -> Vec<Runner> {
            let all = may.iter().map(|(path, _)| path.clone());
            all.filter(|path| Some(path.profile.id) != skip).collect()
        };
        let best = match self.choose(&runners(None)) {
            Some(best) if best.profile.id == member => self.choose(&runners(Some(member))),
            best => best,
        };
        best.map_or_else(Vec::new, set_of)
    }

    /// Those that a router would use together: the steps before the router id do not tell them apart.
    fn ties(&self, mut may: Vec<(Runner, AttrSet)>) -> Vec<(Runner, AttrSet)> {
        let mut left: Vec<Runner> = may.iter().map(|(path, _)| path.clone()).collect();
        self.prefer(&mut left);
        may.retain(|(path, _)| left.iter().any(|tie| tie.is(path)));
        may
    }

    fn several(
        &self,
        mut may: Vec<(Runner, AttrSet)>,
        most: usize,
        member: PeerId,
    ) -> Vec<Vec<u8>> {
        let mut sets = Vec::new();
        for _ in 0..most {
            let runners: Vec<Runner> = may.iter().map(|(path, _)| path.clone()).collect();
            let Some(best) = self.choose(&runners) else {
                break;
            };
            let Some(at) = may.iter().position(|(path, _)| path.is(&best)) else {
                break;
            };
            let (path, set) = may.swap_remove(at);
            if path.profile.id != member {
                sets.push(set.as_ref().bytes.to_vec());
            }
        }
        sets.sort();
        sets
    }

    /// RFC 4271 §9.1.2.2, step by step over the whole set.
    fn choose(&self, all: &[Runner]) -> Option<Runner> {
        let mut left = all.to_vec();
        self.prefer(&mut left);
        keep_lowest(&mut left, |path| {
            path.set
                .as_ref()
                .originator_id()
                .unwrap_or(path.profile.router_id)
        });
        keep_lowest(&mut left, |path| path.set.as_ref().cluster_list().count());
        keep_lowest(&mut left, |path| path.profile.addr);
        keep_lowest(&mut left, |path| path.id);
        assert!(left.len() <= 1, "the decision process ties");
        left.pop()
    }

    /// The steps before the router id.
    fn prefer(&self, left: &mut Vec<Runner>) {
        let meta = |path: &Runner| *path.set.meta();
        let has = |path: &Runner, flag| path.set.meta().flags.has(flag);
        keep_lowest(left, |path| has(path, AttrFlags::LLGR_STALE));
        keep_lowest(left, |path| std::cmp::Reverse(path.profile.rank));
        keep_lowest(left, |path| {
            std::cmp::Reverse(path.set.as_ref().local_pref().unwrap_or(100))
        });
        keep_lowest(left, |path| path.set.as_ref().as_path().path_len());
        keep_lowest(left, |path| meta(path).origin);
        let missing = if self.decision.missing_med_worst {
            u32::MAX
        } else {
            0
        };
        let med = |path: &Runner| path.set.as_ref().med().unwrap_or(missing);
        let everyone = left.clone();
        left.retain(|path| {
            !everyone.iter().any(|other| {
                let same_as = meta(other).neighbor_as == meta(path).neighbor_as;
                (self.decision.always_compare_med || same_as) && med(other) < med(path)
            })
        });
        keep_lowest(left, |path| path.profile.internal);
    }
}

impl Runner {
    fn is(&self, other: &Runner) -> bool {
        (self.profile.id, self.id) == (other.profile.id, other.id)
    }
}

fn keep_lowest<K: Ord>(paths: &mut Vec<Runner>, key: impl Fn(&Runner) -> K) {
    let lowest = paths.iter().map(&key).min();
    paths.retain(|path| Some(key(path)) == lowest);
}

fn evaluate(policy: &Policy, route: &RouteContext<'_>) -> Option<AttrSetBuf> {
    let mut out = AttrSetBuf::default();
    match policy.evaluate(route, &mut out, &mut Hits::new(policy)) {
        Outcome::Reject { .. } => None,
        Outcome::AcceptChanged => Some(out),
        Outcome::Accept => {
            out.copy_from(route.set);
            Some(out)
        }
    }
}

fn import(profile: &PeerProfile, prefix: Prefix, path: &ModelPath) -> Option<AttrSet> {
    let set = path.set.as_ref();
    if set.as_path().contains(profile.hygiene.local_as) {
        return None;
    }
    let mut let_in = profile.hygiene.martians.iter();
    if prefix.is_martian() && !let_in.any(|known| known.covers(prefix)) {
        return None;
    }
    let facts = facts(profile);
    let route = RouteContext {
        peer: &facts,
        family: prefix.family(),
        prefix,
        set,
        to: None,
    };
    let mut out = evaluate(profile.import.as_deref()?, &route)?;
    let flags = out.as_ref().meta.flags;
    if flags.has(AttrFlags::GRACEFUL_SHUTDOWN)
        && profile.hygiene.interpret_communities
        && !profile.internal
    {
        out.set_local_pref(Some(0));
    }
    if path.life == Staleness::LongLived {
        out.add_community(Community::LLGR_STALE);
    }
    Some(AttrSet::new(out.as_ref()))
}

fn export(group: &GroupProfile, prefix: Prefix, path: &Runner) -> Option<AttrSet> {
    if !group.eligibility.allows(path.profile.class, group.class) {
        return None;
    }
    let set = path.set.as_ref();
    let has = |community| set.communities().any(|known| known == community);
    if group.interpret_communities
        && (has(Community::NO_ADVERTISE)
            || group.external && (has(Community::NO_EXPORT) || has(Community::NO_EXPORT_SUBCONFED)))
    {
        return None;
    }
    let facts = facts(&path.profile);
    let route = RouteContext {
        peer: &facts,
        family: prefix.family(),
        prefix,
        set,
        to: None,
    };
    let out = evaluate(group.export.as_deref()?, &route)?;
    let stale = has(Community::LLGR_STALE);
    if stale && !group.long_lived || !is_sent(group, prefix, out.as_ref()) {
        return None;
    }
    Some(AttrSet::new(out.as_ref()))
}

/// True where the encoder takes the route.
fn is_sent(group: &GroupProfile, prefix: Prefix, set: AttrSetRef<'_>) -> bool {
    let (mut out, rewrite) = (Vec::new(), &group.rewrite);
    let encoding = &group.encoding_of(prefix.family());
    let sent = match prefix {
        Prefix::V4(prefix) => {
            let nlri = [Nlri { path_id: 0, prefix }];
            encode::announce(&mut out, set, rewrite, encoding, nlri.into_iter())
        }
        Prefix::V6(prefix) => {
            let nlri = [Nlri { path_id: 0, prefix }];
            encode::announce(&mut out, set, rewrite, encoding, nlri.into_iter())
        }
    };
    sent.is_ok()
}

/// The address of a peer in these worlds.
pub(super) fn addr(peer: PeerId) -> IpAddr {
    // Not in the order of the numbers: nothing may depend on that.
    let host = [3, 1, 4, 15, 9, 2, 6, 5][peer.index() % 8];
    IpAddr::from([192, 0, 2, host])
}
