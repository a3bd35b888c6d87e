//! What sessions ask for, done: connections, and the way of a peer into shards and groups and out
//! again.

use std::sync::Arc;

use bytes::Bytes;
use thruway_rib::{PeerId, ShardEvent, ShardId, ShardNote};
use thruway_session::{ConnId, DownReason, Negotiated, Refresh, Stale, State};
use thruway_wire::notification::Notification;
use thruway_wire::update::UpdateContext;
use thruway_wire::{Family, FamilySet, Time, encode};

use crate::LimitDirection::{Advertised, Received};
use crate::egress::Notice;
use crate::ingress::conns::Conn;
use crate::session::effects::Effect;
use crate::session::peers::Up;
use crate::session::profile::{
    group_key, group_profile, missing_policies, peer_profile, prefix_limit, same_limit,
};
use crate::shared::registry::GroupKey;
use crate::{ConnectTarget, Event, PeerRole, Sink, Worker};

impl Worker {
    /// Does one thing that a session asked for.
    pub(crate) fn apply(&mut self, now: Time, id: PeerId, effect: Effect, out: &mut dyn Sink) {
        match effect {
            Effect::Connect => self.connect(id, out),
            Effect::CancelConnect => self.cancel_connect(id, out),
            Effect::Send(conn, bytes) => {
                if !self.conns.push_priority(conn, bytes) {
                    // It makes us answer and does not read: nothing can be told to it any more.
                    self.conns.close(conn, false, out);
                }
            }
            Effect::SendInOrder(conn, bytes) => self.conns.push(conn, bytes),
            Effect::Close(conn, graceful) => self.conns.close(conn, graceful, out),
            Effect::Established(conn, negotiated) => self.up(now, id, conn, negotiated, out),
            Effect::Down(reason, retain) => self.down(id, reason, retain, out),
            Effect::Failed(reason) => out.event(Event::AttemptFailed { peer: id, reason }),
            Effect::Stale(Stale::Sweep(family)) => {
                self.ingress.broadcast(&ShardEvent::SweepStale(id, family));
            }
            Effect::Stale(Stale::LongLived(family)) => {
                self.ingress.broadcast(&ShardEvent::LongLived(id, family));
            }
            Effect::Refresh(Refresh::Request(family)) => self.refresh_out(now, id, family, out),
            Effect::Refresh(Refresh::Begin(family)) => {
                self.ingress.broadcast(&ShardEvent::MarkStale(id, family));
            }
            Effect::Refresh(Refresh::End(family)) => {
                self.ingress.broadcast(&ShardEvent::SweepStale(id, family));
            }
            Effect::Damped(damped) => out.event(Event::Damped { peer: id, damped }),
            Effect::State(from, to) => out.event(Event::State { peer: id, from, to }),
        }
    }

    fn connect(&mut self, id: PeerId, out: &mut dyn Sink) {
        self.cancel_connect(id, out);
        let conn = self.conns.next_id();
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.connecting = Some(conn);
        self.conns.insert(conn, Conn::new(id, None));
        let config = &peer.config;
        let target = ConnectTarget {
            peer: id,
            remote: config.addr,
            transport: &config.transport,
        };
        out.connect(conn, &target);
    }

    fn cancel_connect(&mut self, id: PeerId, out: &mut dyn Sink) {
        if let Some(conn) = self
            .peers
            .get_mut(id)
            .and_then(|peer| peer.connecting.take())
        {
            self.conns.close(conn, false, out);
        }
    }

    /// A session is Established: its profile and its group go to the shards, in front of its routes.
    fn up(
        &mut self,
        now: Time,
        id: PeerId,
        conn: ConnId,
        negotiated: Box<Negotiated>,
        out: &mut dyn Sink,
    ) {
        let home = self.config.id;
        let Some(ends) = self.conns.get(conn).and_then(|conn| conn.ends) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        for (limit, config) in peer.limits.iter_mut().zip(&peer.config.limits) {
            // A count goes on where routes were retained, and starts at zero by itself elsewhere.
            if !same_limit(limit.as_ref(), config.as_ref()) {
                *limit = config.as_ref().map(prefix_limit);
            }
        }
        let limits = peer.limits.clone();
        let link = out.link(ends.0, ends.1);
        let local = ends.0.ip();
        let profile = peer_profile(&peer.config, &negotiated, home, local, link, limits);
        let profile = Arc::new(profile);
        let ctx = UpdateContext {
            as4: negotiated.as4,
            external: !negotiated.internal,
            families: negotiated.families,
            add_path: negotiated.add_path_rx,
        };
        (peer.known, peer.limited) = (true, false);
        let (import, export) = missing_policies(&peer.config, negotiated.internal);
        let key = group_key(&peer.config, &negotiated, local, link);
        peer.up = Some(Up {
            conn,
            local: ends.0,
            link,
            ctx,
            profile: profile.clone(),
            group: None,
            heard: now,
            received: [false; 2],
            held_back: [0; 2],
            unsendable_noted: false,
        });
        // The server's own routes are not reflected ones.
        let reflected = negotiated.internal && peer.config.role != PeerRole::Local;
        self.groups.set_source(id, reflected, negotiated.peer_id);
        self.ingress.broadcast(&ShardEvent::PeerUp(profile));
        out.event(Event::Up {
            peer: id,
            negotiated,
        });
        if import || export {
            out.event(Event::NoPolicy {
                peer: id,
                import,
                export,
            });
        }
        self.join(id, key, false, out);
    }

    /// Joins a group, or moves from one to another: what the old one told and the new one does not is
    /// withdrawn then.
    pub(crate) fn join(&mut self, id: PeerId, key: GroupKey, moved: bool, out: &mut dyn Sink) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.epoch = peer.epoch.wrapping_add(1);
        let (epoch, config) = (peer.epoch, &peer.config);
        let Some(up) = &mut peer.up else { return };
        let (conn, profile) = (up.conn, &up.profile);
        let joined = self.groups.join(&key, |group, eligibility| {
            group_profile(group, &key, eligibility, config, profile)
        });
        let Some(group) = joined else {
            out.event(Event::TooManyGroups { peer: id });
            return;
        };
        up.group = Some((key, group.clone()));
        // Each worker tells shards of the group before its own members: rings keep no order between
        // workers.
        self.ingress.broadcast(&ShardEvent::Group(group.clone()));
        self.ingress.join(group.id, id, epoch);
        self.egress.add(id, conn, &group, epoch, moved);
    }

    /// Leaves the group at the shards; the registry and egress are the caller's.
    pub(crate) fn leave(&mut self, id: PeerId) {
        let Some(up) = self.peers.get_mut(id).and_then(|peer| peer.up.as_mut()) else {
            return;
        };
        let Some((_, group)) = up.group.take() else {
            return;
        };
        self.ingress.leave(group.id, id);
        if self.groups.leave(group.id, self.config.shards) {
            self.ingress.broadcast(&ShardEvent::GroupGone(group.id));
        }
    }

    fn down(&mut self, id: PeerId, reason: DownReason, retain: FamilySet, out: &mut dyn Sink) {
        self.leave(id);
        let told = self.egress.drop_member(id);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.count_sent(told);
            peer.up = None;
        }
        self.ingress.broadcast(&ShardEvent::PeerDown {
            peer: id,
            retain,
            forget: false,
        });
        out.event(Event::Down { peer: id, reason });
    }

    /// The peer goes for good: what shards have of it is withdrawn, then its number is free.
    pub(crate) fn retire(&mut self, id: PeerId, out: &mut dyn Sink) {
        let shards = (1 << self.config.shards) - 1;
        self.cancel_connect(id, out);
        self.peers.forget_addr(id);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if peer.leaving.is_some() {
            return;
        }
        peer.leaving = Some(shards);
        if peer.known {
            let retain = FamilySet::EMPTY;
            self.ingress.broadcast(&ShardEvent::PeerDown {
                peer: id,
                retain,
                forget: true,
            });
        } else {
            self.bury(id, out);
        }
    }

    /// A range's peer goes when its session has ended and no routes of it are kept.
    pub(crate) fn retire_if_idle(&mut self, id: PeerId, out: &mut dyn Sink) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        // What a limit stopped rests as long as that says: a new one would come at once, and flap.
        let rests = peer.limited && peer.session.state() == State::Idle;
        let idle = peer.range.is_some()
            && peer.leaving.is_none()
            && !rests
            && peer.session.state() <= State::Active
            && peer.session.stale_families().is_empty();
        if idle {
            self.retire(id, out);
        }
    }

    fn bury(&mut self, id: PeerId, out: &mut dyn Sink) {
        if self.peers.remove(id).is_some() {
            self.ids.give_back(id);
            out.event(Event::PeerGone(id));
        }
    }

    /// A shard's news about a peer.
    pub(crate) fn note(&mut self, now: Time, shard: ShardId, note: &ShardNote, out: &mut dyn Sink) {
        match *note {
            ShardNote::LimitNear(peer, family) => {
                self.limit_near(now, (peer, family, Received), out);
            }
            ShardNote::AdvertisedNear(peer, family) => {
                self.limit_near(now, (peer, family, Advertised), out);
            }
            ShardNote::LimitReached(peer, family) => {
                self.limit_reached(now, (peer, family, Received), out);
            }
            ShardNote::AdvertisedReached(peer, family) => {
                self.hold_back(peer, family, shard, true);
                self.limit_reached(now, (peer, family, Advertised), out);
            }
            ShardNote::LimitRoom(peer, family) => self.limit_room(now, peer, family, out),
            ShardNote::AdvertisedRoom(peer, family) => {
                if self.hold_back(peer, family, shard, false) {
                    self.nothing_held_back(now, peer, family, out);
                }
            }
            ShardNote::Unsendable(group) => {
                for peer in self.peers.of_group(group) {
                    out.event(Event::Unsendable { peer });
                }
            }
            ShardNote::Swept(id) => {
                let Some(peer) = self.peers.get_mut(id) else {
                    return;
                };
                let Some(left) = &mut peer.leaving else {
                    return;
                };
                *left &= !(1 << shard.0);
                if *left == 0 {
                    self.bury(id, out);
                }
            }
        }
    }

    /// Tells a peer a family again (RFC 2918), between markers where it knows them (RFC 7313).
    pub(crate) fn refresh_out(
        &mut self,
        now: Time,
        id: PeerId,
        family: Family,
        out: &mut dyn Sink,
    ) {
        if self.egress.refresh(id, family) {
            self.marker(now, id, family, true, out);
        }
    }

    fn marker(&mut self, now: Time, id: PeerId, family: Family, begin: bool, out: &mut dyn Sink) {
        self.with_session(now, id, out, |session, actions| {
            session.refresh_marker(family, begin, actions);
        });
    }

    /// Does what egress noticed.
    pub(crate) fn heed(&mut self, now: Time, out: &mut dyn Sink) {
        for notice in self.egress.take_notices() {
            match notice {
                Notice::Told(peer, families) => self.told(peer, families, out),
                Notice::Anchored(peer) => self.move_on(peer, out),
                Notice::Refreshed(peer, family) => self.marker(now, peer, family, false, out),
                Notice::Refresh(peer, family) => self.refresh_out(now, peer, family, out),
                Notice::Slow(peer, behind) => out.event(Event::Slow { peer, behind }),
                Notice::Lost(peer) => {
                    let notification = Notification::out_of_resources();
                    self.with_session(now, peer, out, |session, actions| {
                        session.reset(now, notification, actions);
                    });
                }
            }
        }
    }

    /// End-of-RIB for each family, once all shards have told their part (RFC 4724 §2).
    fn told(&mut self, id: PeerId, families: FamilySet, out: &mut dyn Sink) {
        let Some(up) = self.peers.get(id).and_then(|peer| peer.up.as_ref()) else {
            return;
        };
        let conn = up.conn;
        for family in families.iter() {
            let mut bytes = Vec::new();
            encode::end_of_rib(&mut bytes, family);
            self.conns.push(conn, Bytes::from(bytes));
            out.event(Event::TableSent { peer: id, family });
        }
    }
}
