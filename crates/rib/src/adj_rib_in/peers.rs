//! The peers as a shard knows them: profiles, session generations, counts.
//!
//! A path carries its session's generation; whether it is alive, stale or dead is asked here, so that a lost session
//! takes no walk before its routes are gone for everybody. The sweep that follows only tidies up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use thruway_policy::{Hits, PeerFacts};
use thruway_wire::{Family, RouterId};

use crate::table::paths::{Path, Tag};
use crate::{PeerClass, PeerCounters, PeerId, PeerProfile, PrefixLimit, Staleness};

/// Generations of a peer and family that can be told apart.
pub(crate) const GENERATIONS: u8 = 16;

/// What has become of the session that advertised a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is gone; the sweeper takes its paths. A generation without paths is dead too, and free.
    Dead,
    Fresh,
    Stale,
    LongLived,
}

impl Life {
    const fn from_bits(bits: u32) -> Life {
        match bits & 3 {
            0 => Life::Dead,
            1 => Life::Fresh,
            2 => Life::Stale,
            _ => Life::LongLived,
        }
    }

    /// As the control plane calls it; dead paths are never shown.
    pub(crate) const fn staleness(self) -> Staleness {
        match self {
            Life::Dead | Life::Fresh => Staleness::Fresh,
            Life::Stale => Staleness::Stale,
            Life::LongLived => Staleness::LongLived,
        }
    }
}

/// What decisions ask of a peer, tight: one cache line holds two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hot {
    /// By family, two bits a generation: [`Life`].
    lives: [u32; 2],
    pub(crate) router_id: RouterId,
    pub(crate) class: PeerClass,
    pub(crate) rank: u8,
    pub(crate) internal: bool,
}

/// Paths of one generation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) received: u32,
    pub(crate) accepted: u32,
}

/// What is pending for a peer in one family's table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Job {
    /// Slots that the sweeper has still to pass; 0: nothing is pending.
    pub(crate) remaining: u32,
    /// Paths are to be judged again, not only dead ones removed.
    pub(crate) judge: bool,
    /// Followers must look again even where the verdict is the same: the peer itself has changed.
    pub(crate) touch: bool,
}

/// One family of a peer.
#[derive(Debug, Default)]
pub(crate) struct PeerFamily {
    /// The generation of what is advertised now.
    pub(crate) current: u8,
    counts: [Count; GENERATIONS as usize],
    /// Paths held back by the limit since the last note of room.
    pub(crate) blocked: u32,
    /// The warning, and the limit, were told and still hold.
    pub(crate) near: bool,
    pub(crate) reached: bool,
    pub(crate) job: Job,
}

/// A peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) profile: Arc<PeerProfile>,
    pub(crate) facts: PeerFacts,
    /// The number under which import verdicts are remembered: another for each profile.
    pub(crate) context: u32,
    pub(crate) hits: Hits,
    pub(crate) families: [PeerFamily; 2],
    pub(crate) up: bool,
    pub(crate) forget: bool,
}

/// All peers of a shard.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    hot: Vec<Hot>,
    list: Vec<Option<Box<Peer>>>,
    contexts: u32,
    /// Peers with dead paths that the sweeper has not taken yet, by family.
    dying: [u32; 2],
}

/// The facts of a profile that policies see.
pub(crate) fn facts(profile: &PeerProfile) -> PeerFacts {
    let (local_v4, local_v6) = profile.local;
    PeerFacts {
        local_v4,
        local_v6,
        ..PeerFacts::new(&profile.name, profile.asn, profile.addr, profile.router_id)
    }
}

fn hits(profile: &PeerProfile) -> Hits {
    profile
        .import
        .as_ref()
        .map_or_else(Hits::default, |policy| Hits::new(policy))
}

impl PeerFamily {
    /// The counts of a generation.
    #[inline]
    pub(crate) fn count(&mut self, generation: u8) -> Option<&mut Count> {
        self.counts.get_mut(usize::from(generation))
    }

    fn received(&self, generation: u8) -> u32 {
        self.counts
            .get(usize::from(generation))
            .map_or(0, |count| count.received)
    }
}

impl Peer {
    /// The limit of a family.
    pub(crate) fn limit(&self, family: usize) -> Option<&Arc<PrefixLimit>> {
        self.profile.limits.get(family)?.as_ref()
    }
}

impl Hot {
    #[inline]
    pub(crate) fn life(&self, family: usize, tag: Tag) -> Life {
        let lives = self.lives.get(family).copied().unwrap_or(0);
        Life::from_bits(lives >> (tag.generation() * 2))
    }
}

impl Peers {
    #[inline]
    pub(crate) fn hot(&self, peer: PeerId) -> Option<&Hot> {
        self.hot.get(peer.index())
    }

    /// What has become of the session that advertised a path.
    #[inline]
    pub(crate) fn life(&self, family: usize, peer: PeerId, tag: Tag) -> Life {
        self.hot(peer)
            .map_or(Life::Dead, |hot| hot.life(family, tag))
    }

    pub(crate) fn get(&self, peer: PeerId) -> Option<&Peer> {
        self.list.get(peer.index())?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, peer: PeerId) -> Option<&mut Peer> {
        self.list.get_mut(peer.index())?.as_deref_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.list.iter().filter_map(Option::as_deref)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.list.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// True where tables of the family may hold dead paths.
    #[inline]
    pub(crate) fn any_dead(&self, family: usize) -> bool {
        self.dying.get(family).is_some_and(|count| *count > 0)
    }

    /// Takes a profile. Says what must be done with paths that the peer has.
    pub(crate) fn set(&mut self, profile: &Arc<PeerProfile>) -> Again {
        let index = profile.id.index();
        if self.list.len() <= index {
            self.list.resize_with(index + 1, || None);
            self.hot.resize_with(index + 1, Hot::default);
        }
        let (Some(place), Some(hot)) = (self.list.get_mut(index), self.hot.get_mut(index)) else {
            return Again::No;
        };
        hot.router_id = profile.router_id;
        (hot.class, hot.rank, hot.internal) = (profile.class, profile.rank, profile.internal);
        let Some(peer) = place else {
            hot.lives = [1; 2];
            self.contexts += 1;
            *place = Some(Box::new(Peer {
                profile: profile.clone(),
                facts: facts(profile),
                context: self.contexts,
                hits: hits(profile),
                families: Default::default(),
                up: true,
                forget: false,
            }));
            return Again::No;
        };
        (peer.up, peer.forget) = (true, false);
        let again = again(&peer.profile, profile);
        let policy = |profile: &PeerProfile| profile.import.as_ref().map(Arc::as_ptr);
        if policy(&peer.profile) != policy(profile) {
            peer.hits = hits(profile);
        }
        peer.profile = profile.clone();
        peer.facts = facts(profile);
        if again != Again::No {
            self.contexts += 1;
            peer.context = self.contexts;
        }
        again
    }

    /// All peers that are here, as `profile` would have them and with the lives that they have.
    pub(crate) fn shadow(
        &self,
        mut profile: impl FnMut(&Arc<PeerProfile>) -> Arc<PeerProfile>,
    ) -> Peers {
        let mut shadow = Peers::default();
        for peer in self.iter() {
            let id = peer.profile.id;
            shadow.set(&profile(&peer.profile));
            let lives = self.hot(id).map(|hot| hot.lives);
            if let (Some(hot), Some(lives)) = (shadow.hot.get_mut(id.index()), lives) {
                hot.lives = lives;
            }
            let current = |family: usize| peer.families.get(family).map_or(0, |of| of.current);
            if let Some(copy) = shadow.get_mut(id) {
                for (family, of) in copy.families.iter_mut().enumerate() {
                    of.current = current(family);
                }
            }
        }
        shadow
    }

    /// Each peer's profile, and what has become of its generations.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (Arc<PeerProfile>, [u32; 2])> + '_ {
        self.iter().map(|peer| {
            let lives = self.hot(peer.profile.id).map_or([0; 2], |hot| hot.lives);
            (peer.profile.clone(), lives)
        })
    }

    /// The generation of what a peer advertises now.
    pub(crate) fn current(&self, peer: PeerId, family: usize) -> u8 {
        let of = self.get(peer).and_then(|peer| peer.families.get(family));
        of.map_or(0, |of| of.current)
    }

    /// Drops a peer whose paths are all gone.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        if let Some(hot) = self.hot.get_mut(peer.index()) {
            *hot = Hot::default();
        }
        if let Some(place) = self.list.get_mut(peer.index()) {
            *place = None;
        }
    }

    fn set_life(&mut self, peer: PeerId, family: usize, generation: u8, life: Life) {
        if let Some(hot) = self.hot.get_mut(peer.index())
            && let Some(lives) = hot.lives.get_mut(family)
        {
            let shift = generation * 2;
            *lives = *lives & !(3 << shift) | (life as u32) << shift;
        }
    }

    /// The life of a peer's generation.
    pub(crate) fn generation_life(&self, peer: PeerId, family: usize, generation: u8) -> Life {
        self.life(family, peer, Tag::new(generation, 0, false))
    }

    /// Turns all generations of a life into another, the current one included. Returns the paths that
    /// they hold.
    pub(crate) fn turn(&mut self, peer: PeerId, family: usize, from: Life, to: Life) -> Count {
        let mut moved = Count::default();
        let mut dead = false;
        for generation in 0..GENERATIONS {
            if self.generation_life(peer, family, generation) != from {
                continue;
            }
            self.set_life(peer, family, generation, to);
            let Some(of) = self
                .get_mut(peer)
                .and_then(|peer| peer.families.get_mut(family))
            else {
                continue;
            };
            if let Some(count) = of.count(generation) {
                moved.received += count.received;
                moved.accepted += count.accepted;
                dead |= to == Life::Dead && count.received > 0;
            }
        }
        if dead
            && !self.had_dead(peer, family, moved.received)
            && let Some(dying) = self.dying.get_mut(family)
        {
            *dying += 1;
        }
        moved
    }

    /// True where the peer had dead paths before `new` more died.
    fn had_dead(&self, peer: PeerId, family: usize, new: u32) -> bool {
        self.dead_paths(peer, family) > new
    }

    /// Paths of a peer that the sweeper has still to take.
    pub(crate) fn dead_paths(&self, peer: PeerId, family: usize) -> u32 {
        let Some(of) = self.get(peer).and_then(|peer| peer.families.get(family)) else {
            return 0;
        };
        (0..GENERATIONS)
            .filter(|generation| self.generation_life(peer, family, *generation) == Life::Dead)
            .map(|generation| of.received(generation))
            .sum()
    }

    /// A dead path is gone.
    pub(crate) fn took_dead(&mut self, family: usize, path: &Path) {
        let peer = path.peer;
        let of = self
            .get_mut(peer)
            .and_then(|peer| peer.families.get_mut(family));
        if let Some(count) = of.and_then(|of| of.count(path.tag.generation())) {
            debug_assert!(count.received > 0);
            count.received = count.received.saturating_sub(1);
            let accepted = u32::from(path.accepted.is_some());
            count.accepted = count.accepted.saturating_sub(accepted);
        }
        if self.dead_paths(peer, family) == 0
            && let Some(dying) = self.dying.get_mut(family)
        {
            debug_assert!(*dying > 0);
            *dying = dying.saturating_sub(1);
        }
    }

    /// Counts a path that changes its generation.
    pub(crate) fn move_path(&mut self, family: usize, path: &Path, to: u8) {
        let Some(peer) = self.get_mut(path.peer) else {
            return;
        };
        let Some(of) = peer.families.get_mut(family) else {
            return;
        };
        let accepted = u32::from(path.accepted.is_some());
        if let Some(count) = of.count(path.tag.generation()) {
            count.received = count.received.saturating_sub(1);
            count.accepted = count.accepted.saturating_sub(accepted);
        }
        if let Some(count) = of.count(to) {
            count.received += 1;
            count.accepted += accepted;
        }
    }

    /// Starts another generation for what the peer tells from now on. False where none is free.
    pub(crate) fn renew(&mut self, peer: PeerId, family: usize) -> bool {
        let Some(of) = self.get(peer).and_then(|peer| peer.families.get(family)) else {
            return false;
        };
        let free = (0..GENERATIONS).find(|generation| {
            of.received(*generation) == 0
                && self.generation_life(peer, family, *generation) != Life::Fresh
        });
        let Some(generation) = free else { return false };
        self.set_life(peer, family, generation, Life::Fresh);
        if let Some(of) = self
            .get_mut(peer)
            .and_then(|peer| peer.families.get_mut(family))
        {
            of.current = generation;
        }
        true
    }

    /// A peer's numbers.
    pub(crate) fn counters(&self, peer: PeerId, family: Family) -> PeerCounters {
        let mut sum = PeerCounters::default();
        let Some(of) = self
            .get(peer)
            .and_then(|peer| peer.families.get(family.index()))
        else {
            return sum;
        };
        sum.blocked = of.blocked;
        for (generation, count) in (0..GENERATIONS).zip(&of.counts) {
            let life = self.generation_life(peer, family.index(), generation);
            if life == Life::Dead {
                continue;
            }
            sum.received += count.received;
            sum.accepted += count.accepted;
            sum.stale += if life == Life::Fresh {
                0
            } else {
                count.received
            };
        }
        sum
    }

    /// Moves what this shard counted from a peer's old limits to new ones.
    pub(crate) fn move_limits(&self, old: &PeerProfile, new: &PeerProfile) {
        for family in Family::ALL {
            let of = |profile: &PeerProfile| profile.limits.get(family.index()).cloned().flatten();
            let (old, new_limit) = (of(old), of(new));
            if old.as_ref().map(Arc::as_ptr) == new_limit.as_ref().map(Arc::as_ptr) {
                continue;
            }
            let counters = self.counters(new.id, family);
            let share = |limit: &PrefixLimit| {
                if limit.accepted_only {
                    counters.accepted
                } else {
                    counters.received
                }
            };
            if let Some(old) = old {
                old.held.fetch_sub(share(&old), Ordering::Relaxed);
            }
            if let Some(new) = new_limit {
                new.held.fetch_add(share(&new), Ordering::Relaxed);
            }
        }
    }
}

/// What a new profile means for the paths that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing.
    No,
    /// Verdicts can differ.
    Judge,
    /// Verdicts, and who may be advertised, and places in the decision process.
    All,
}

impl PeerProfile {
    /// True where paths judged for the other one need no second look.
    #[must_use]
    pub fn judges_like(&self, other: &PeerProfile) -> bool {
        again(other, self) == Again::No
    }
}

fn again(old: &PeerProfile, new: &PeerProfile) -> Again {
    let policy = |profile: &PeerProfile| profile.import.as_ref().map(Arc::as_ptr);
    let place = |profile: &PeerProfile| {
        (
            profile.rank,
            profile.class,
            profile.internal,
            profile.router_id,
            profile.addr,
        )
    };
    if place(old) != place(new) || old.asn != new.asn || old.name != new.name {
        Again::All
    } else if policy(old) != policy(new) || old.hygiene != new.hygiene || old.local != new.local {
        Again::Judge
    } else {
        Again::No
    }
}

const _: () = assert!(size_of::<Hot>() == 16);
