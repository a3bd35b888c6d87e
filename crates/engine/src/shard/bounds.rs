//! Limits on prefixes, in both directions: what a shard's news of one leads to.

use std::sync::atomic::Ordering::Relaxed;

use thruway_rib::{LimitAction, PeerId, ShardId};
use thruway_wire::notification::Notification;
use thruway_wire::{Family, Time};

use crate::limits::{LIMIT_LOOK, LIMIT_NEWS};
use crate::session::peers::Peer;
use crate::{Event, LimitConfig, LimitDirection, LimitEvent, Sink, Worker};

/// A limit that holds routes back: whose, of which family, in which direction.
pub(crate) type Blocked = (PeerId, Family, LimitDirection);

impl Worker {
    pub(crate) fn limit_near(&mut self, now: Time, of: Blocked, out: &mut dyn Sink) {
        self.tell_limit(now, of, LimitEvent::Near, out);
    }

    /// A limit was passed, or would have been.
    pub(crate) fn limit_reached(&mut self, now: Time, of: Blocked, out: &mut dyn Sink) {
        let (id, family, direction) = of;
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let Some(config) = peer.limit_config(family, direction) else {
            return;
        };
        let (max, restart_after, is_up) = (config.max, config.restart_after, peer.up.is_some());
        match config.action {
            LimitAction::Warn => self.tell_limit(now, of, LimitEvent::Over, out),
            LimitAction::Block => {
                self.tell_limit(now, of, LimitEvent::Blocking, out);
                if !self.blocked.contains(&of) {
                    self.blocked.push(of);
                    self.look_at = self.look_at.min(now + LIMIT_LOOK);
                }
            }
            LimitAction::Restart if is_up => {
                self.tell_limit(now, of, LimitEvent::Restarting, out);
                let data = limit_data(family, max);
                let notification = Notification::max_prefixes_reached().with_data(data);
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.limited = true;
                }
                self.with_session(now, id, out, |session, actions| {
                    session.stop(now, notification, restart_after, actions);
                });
            }
            // Another shard's note came first.
            LimitAction::Restart => {}
        }
    }

    /// There is room for what a peer tells: it is asked to tell it again.
    pub(crate) fn limit_room(&mut self, now: Time, id: PeerId, family: Family, out: &mut dyn Sink) {
        let of = (id, family, LimitDirection::Received);
        self.blocked.retain(|blocked| *blocked != of);
        self.tell_limit(now, of, LimitEvent::Room, out);
        self.with_session(now, id, out, |session, actions| {
            session.request_refresh(family, actions);
        });
    }

    /// A shard holds routes back from a peer, or does no more. True where none does.
    pub(crate) fn hold_back(
        &mut self,
        id: PeerId,
        family: Family,
        shard: ShardId,
        holds: bool,
    ) -> bool {
        let up = self.peers.get_mut(id).and_then(|peer| peer.up.as_mut());
        let Some(shards) = up.and_then(|up| up.held_back.get_mut(family.index())) else {
            return false;
        };
        let bit = 1u32.checked_shl(shard.0.into()).unwrap_or(0);
        *shards = if holds { *shards | bit } else { *shards & !bit };
        *shards == 0
    }

    /// All that was held back from a peer has been told.
    pub(crate) fn nothing_held_back(
        &mut self,
        now: Time,
        id: PeerId,
        family: Family,
        out: &mut dyn Sink,
    ) {
        let of = (id, family, LimitDirection::Advertised);
        self.blocked.retain(|blocked| *blocked != of);
        self.tell_limit(now, of, LimitEvent::Room, out);
    }

    /// A shard that holds routes back looks for room in its turns; where another shard made it, there
    /// may be none for long.
    pub(crate) fn look_for_room(&mut self, now: Time) {
        if now < self.look_at {
            return;
        }
        let peers = &self.peers;
        let count = |(id, family, direction): Blocked| {
            let peer = peers.get(id).filter(|peer| peer.up.is_some())?;
            peer.limit_count(family, direction)
        };
        self.blocked.retain(|of| count(*of).is_some());
        let has_room = |of: &Blocked| count(*of).is_some_and(|(held, max)| held < max);
        if self.blocked.iter().any(has_room) {
            self.ingress.nudge();
        }
        let idle = self.blocked.is_empty();
        self.look_at = if idle { Time::NEVER } else { now + LIMIT_LOOK };
    }

    /// Says it, once for all shards.
    fn tell_limit(&mut self, now: Time, of: Blocked, limit: LimitEvent, out: &mut dyn Sink) {
        let (id, family, direction) = of;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let Some((held, max)) = peer.limit_count(family, direction) else {
            return;
        };
        let told = peer.stats.limit_told.get_mut(family.index());
        let Some(told) = told.and_then(|told| told.get_mut(direction as usize)) else {
            return;
        };
        let covered = |last: LimitEvent| {
            let near = limit == LimitEvent::Near && last != LimitEvent::Room;
            last == limit || near
        };
        if told.is_some_and(|(at, last)| covered(last) && now.since(at) < LIMIT_NEWS) {
            return;
        }
        *told = Some((now, limit));
        out.event(Event::Limit {
            peer: id,
            family,
            direction,
            limit,
            max,
            held,
        });
    }
}

impl Peer {
    fn limit_config(&self, family: Family, direction: LimitDirection) -> Option<&LimitConfig> {
        let limits = match direction {
            LimitDirection::Received => &self.config.limits,
            LimitDirection::Advertised => &self.config.max_advertised,
        };
        limits.get(family.index())?.as_ref()
    }

    /// Prefixes that a limit counts, and how many there may be.
    fn limit_count(&self, family: Family, direction: LimitDirection) -> Option<(u32, u32)> {
        match direction {
            LimitDirection::Received => {
                let limit = self.limits.get(family.index())?.as_ref()?;
                Some((limit.held.load(Relaxed), limit.max))
            }
            LimitDirection::Advertised => {
                let max = self.limit_config(family, direction)?.max;
                let (_, group) = self.up.as_ref()?.group.as_ref()?;
                let limit = group.limits.as_ref()?.get(family.index())?;
                Some((limit.held.load(Relaxed), max))
            }
        }
    }
}

/// Data of a Cease/1: the family and the limit (RFC 4486 §4).
fn limit_data(family: Family, max: u32) -> Vec<u8> {
    let pair = family.to_wire();
    let mut data = pair.afi.to_be_bytes().to_vec();
    data.push(pair.safi);
    data.extend(max.to_be_bytes());
    data
}
