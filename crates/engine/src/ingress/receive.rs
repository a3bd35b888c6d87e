//! What comes from the sockets.
//!
//! The worker calls it with what its transport reports. Octets are parsed where they lie and only the rest is
//! copied; a turn takes so many octets of one connection, so that a flood leaves the others their keepalives.

use std::mem;
use std::net::SocketAddr;

use thruway_rib::{PeerId, ShardEvent};
use thruway_session::ConnId;
use thruway_wire::message::{MessageType, RawMessage, frame};
use thruway_wire::update::{UpdateView, Verdict};
use thruway_wire::{Family, Time};

use crate::ingress::conns::{Carry, Conn};
use crate::limits::{CONNS_MAX, UPDATE_ERRORS_PER_MINUTE};
use crate::session::peers::Peer;
use crate::{Close, Event, PeerConfig, Refusal, Sink, Worker};

/// How far parsing came.
#[derive(Clone, Copy, Debug)]
struct Parsed {
    /// Octets used.
    used: usize,
    /// It stopped before a whole message: the turn's budget is spent, or a shard is behind.
    stalled: bool,
}

impl Worker {
    pub(crate) fn accepted(
        &mut self,
        now: Time,
        conn: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        out: &mut dyn Sink,
    ) {
        match self.whose(remote, out) {
            Ok(peer) => {
                self.conns
                    .insert(conn, Conn::new(peer, Some((local, remote))));
                let new = self.peers.get(peer).is_some_and(|peer| peer.is_new());
                self.with_session(now, peer, out, |session, actions| {
                    if new {
                        session.start(now, actions);
                    }
                    session.accepted(now, conn, actions);
                });
            }
            Err(why) => {
                out.event(Event::Refused { remote, why });
                out.close(conn, Close::Now);
            }
        }
    }

    /// The peer at an address, made on the spot if a range says so.
    fn whose(&mut self, remote: SocketAddr, out: &mut dyn Sink) -> Result<PeerId, Refusal> {
        if self.draining {
            return Err(Refusal::Shutdown);
        }
        if self.conns.len() >= CONNS_MAX {
            return Err(Refusal::Resources);
        }
        if let Some(peer) = self.peers.by_addr(remote.ip()) {
            return Ok(peer);
        }
        let range = self.peers.range_of(remote.ip()).ok_or(Refusal::Unknown)?;
        if range.template.shutdown {
            return Err(Refusal::RangeShutdown);
        }
        if self.peers.of_range(&range.name).count() >= range.peers_max as usize {
            return Err(Refusal::RangeFull);
        }
        let id = self.ids.take().ok_or(Refusal::Resources)?;
        let mut config = PeerConfig {
            id,
            name: format!("{}-{}", range.name, remote.ip()).into(),
            addr: SocketAddr::new(remote.ip(), range.template.addr.port()),
            ..(*range.template).clone()
        };
        config.session.passive = true;
        config.session.remote_as = range.asns.clone();
        let name = config.name.clone();
        out.event(Event::DynamicPeer {
            peer: id,
            name,
            addr: remote.ip(),
        });
        self.peers.insert(Peer::new(
            config,
            Some(range.name.clone()),
            self.config.seed,
        ));
        Ok(id)
    }

    pub(crate) fn connected(
        &mut self,
        now: Time,
        conn: ConnId,
        ends: (SocketAddr, SocketAddr),
        out: &mut dyn Sink,
    ) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.ends = Some(ends);
        let peer = entry.peer;
        if entry.closing {
            return;
        }
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.connecting = None;
        }
        self.with_session(now, peer, out, |session, actions| {
            session.connected(now, conn, actions);
        });
    }

    pub(crate) fn connect_failed(
        &mut self,
        now: Time,
        conn: ConnId,
        error: &str,
        out: &mut dyn Sink,
    ) {
        let Some(entry) = self.conns.remove(conn) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(entry.peer) else {
            return;
        };
        // An attempt that was given up is nothing to the session any more.
        if peer.connecting != Some(conn) {
            return;
        }
        peer.connecting = None;
        self.with_session(now, entry.peer, out, |session, actions| {
            session.connect_failed(now, error, actions);
        });
    }

    pub(crate) fn closed(
        &mut self,
        now: Time,
        conn: ConnId,
        error: Option<&str>,
        out: &mut dyn Sink,
    ) {
        let Some(entry) = self.conns.remove(conn) else {
            return;
        };
        self.with_session(now, entry.peer, out, |session, actions| {
            session.closed(now, conn, error, actions);
        });
    }

    pub(crate) fn sent(&mut self, now: Time, conn: ConnId) {
        let Some(waits) = self.conns.sent(conn) else {
            return;
        };
        let Some(peer) = self.conns.get(conn).map(|conn| conn.peer) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.session.sent(now, conn);
            if !waits {
                peer.session.send_queue(now, conn, false);
            }
        }
    }

    /// Parses in place what it can; keeps a message that straddles, and what there is no budget for.
    pub(crate) fn received(&mut self, now: Time, id: ConnId, bytes: &[u8], out: &mut dyn Sink) {
        self.counters.bytes_in += bytes.len() as u64;
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.closing) else {
            return;
        };
        let (peer, mut carry) = (conn.peer, mem::take(&mut conn.carry));
        let mut stalled = conn.stalled;
        let mut rest = bytes;
        if !stalled && !carry.is_empty() {
            rest = carry.complete(rest);
            let parsed = self.parse(now, id, peer, carry.as_slice(), out);
            carry.consume(parsed.used);
            stalled = parsed.stalled;
        }
        if !stalled && carry.is_empty() {
            let parsed = self.parse(now, id, peer, rest, out);
            rest = rest.get(parsed.used..).unwrap_or_default();
            stalled = parsed.stalled;
        }
        carry.push(rest);
        self.put_back(id, carry, stalled, out);
    }

    /// Goes on with whole messages that wait, one budget for each connection.
    pub(crate) fn go_on(&mut self, now: Time, out: &mut dyn Sink) {
        for _ in 0..self.ready.len() {
            if self.ingress.blocked() {
                return;
            }
            let Some(id) = self.ready.pop_front() else {
                return;
            };
            let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.closing) else {
                continue;
            };
            let (peer, mut carry) = (conn.peer, mem::take(&mut conn.carry));
            conn.stalled = false;
            let parsed = self.parse(now, id, peer, carry.as_slice(), out);
            carry.consume(parsed.used);
            self.put_back(id, carry, parsed.stalled, out);
        }
    }

    fn put_back(&mut self, id: ConnId, carry: Carry, stalled: bool, out: &mut dyn Sink) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.closing) else {
            return;
        };
        // A message that is not whole yet needs more octets, however long it is.
        let behind = carry.len() > self.config.bounds.carry_pause || self.ingress.blocked();
        conn.carry = carry;
        if stalled && !mem::replace(&mut conn.stalled, true) {
            self.ready.push_back(id);
        }
        if stalled && behind && mem::replace(&mut conn.reading, false) {
            self.counters.paused += 1;
            self.paused.push(id);
            out.set_reading(id, false);
        }
    }

    /// Goes on reading where there is room again.
    pub(crate) fn resume(&mut self, out: &mut dyn Sink) {
        if self.paused.is_empty() || self.ingress.blocked() {
            return;
        }
        let mut paused = mem::take(&mut self.paused);
        paused.retain(|&id| {
            let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.closing) else {
                return false;
            };
            if conn.stalled && conn.carry.len() > self.config.bounds.carry_resume {
                return true;
            }
            conn.reading = true;
            out.set_reading(id, true);
            false
        });
        self.paused = paused;
    }

    /// Handles the whole messages at the front of `bytes`.
    fn parse(
        &mut self,
        now: Time,
        id: ConnId,
        peer: PeerId,
        bytes: &[u8],
        out: &mut dyn Sink,
    ) -> Parsed {
        let mut used = 0;
        let mut max_len = self.receive_len_max(peer, id);
        for budget in (0..=self.config.bounds.messages).rev() {
            let rest = bytes.get(used..).unwrap_or_default();
            let message = match frame(rest, max_len) {
                Ok(None) => {
                    return Parsed {
                        used,
                        stalled: false,
                    };
                }
                Ok(Some(message)) => message,
                Err(notification) => {
                    self.with_session(now, peer, out, |session, actions| {
                        session.frame_error(now, id, notification, actions);
                    });
                    return Parsed {
                        used: bytes.len(),
                        stalled: false,
                    };
                }
            };
            if budget == 0 || message.kind == MessageType::Update && self.ingress.blocked() {
                break;
            }
            self.counters.messages_in += 1;
            used += message.bytes.len();
            if !self.message(now, id, peer, message, out) {
                return Parsed {
                    used: bytes.len(),
                    stalled: false,
                };
            }
            if message.kind != MessageType::Update {
                max_len = self.receive_len_max(peer, id);
            }
        }
        Parsed {
            used,
            stalled: true,
        }
    }

    fn receive_len_max(&self, peer: PeerId, conn: ConnId) -> usize {
        let default = thruway_wire::limits::MESSAGE_LEN_MAX;
        self.peers
            .get(peer)
            .map_or(default, |peer| peer.session.receive_len_max(conn))
    }

    /// One message; false where the connection has ended by it.
    fn message(
        &mut self,
        now: Time,
        id: ConnId,
        peer: PeerId,
        message: RawMessage<'_>,
        out: &mut dyn Sink,
    ) -> bool {
        let Some(entry) = self.peers.get_mut(peer) else {
            return false;
        };
        entry.stats.bytes_in += message.bytes.len() as u64;
        if let Some(up) = entry.up.as_mut().filter(|up| up.conn == id) {
            let quiet = now.since(mem::replace(&mut up.heard, now));
            entry.stats.quiet_max = entry.stats.quiet_max.max(quiet);
            if message.kind == MessageType::Update && entry.session.update_received(now, id) {
                let view = UpdateView::parse(message.body(), &up.ctx);
                let local_pref = entry.config.local_pref;
                return self.update(now, id, (peer, local_pref), &view, out);
            }
        }
        self.with_session(now, peer, out, |session, actions| {
            session.message(now, id, message, actions);
        });
        self.conns.get(id).is_some_and(|conn| !conn.closing)
    }

    /// One UPDATE of an Established session.
    fn update(
        &mut self,
        now: Time,
        id: ConnId,
        (peer, local_pref): (PeerId, Option<u32>),
        view: &UpdateView<'_>,
        out: &mut dyn Sink,
    ) -> bool {
        self.counters.updates_in += 1;
        if view.verdict() != Verdict::Ok && !self.faulty(now, id, peer, view, out) {
            return self.conns.get(id).is_some_and(|conn| !conn.closing);
        }
        self.ingress.update(peer, local_pref, view);
        self.wake |= self.ingress.flush_full(&self.rings);
        if let Some(family) = view.end_of_rib() {
            self.end_of_rib(now, peer, family, out);
        }
        true
    }

    fn end_of_rib(&mut self, now: Time, peer: PeerId, family: Family, out: &mut dyn Sink) {
        self.ingress.broadcast(&ShardEvent::EndOfRib(peer, family));
        if let Some(up) = self.peers.get_mut(peer).and_then(|peer| peer.up.as_mut())
            && let Some(received) = up.received.get_mut(family.index())
            && !mem::replace(received, true)
        {
            out.event(Event::TableReceived { peer, family });
        }
        self.with_session(now, peer, out, |session, actions| {
            session.end_of_rib(now, family, actions);
        });
    }

    /// What an error in an UPDATE demands (RFC 7606 §2). True where the UPDATE is still to be taken.
    fn faulty(
        &mut self,
        now: Time,
        id: ConnId,
        peer: PeerId,
        view: &UpdateView<'_>,
        out: &mut dyn Sink,
    ) -> bool {
        let verdict = view.verdict();
        self.count_error(now, peer, view, out);
        match verdict {
            Verdict::Ok | Verdict::Discard | Verdict::Withdraw => true,
            Verdict::Disable(family) => {
                self.disable(peer, family);
                true
            }
            Verdict::Reset => {
                let notification = view
                    .notification()
                    .unwrap_or_else(|| thruway_wire::notification::Notification::new(3, 1));
                self.with_session(now, peer, out, |session, actions| {
                    session.update_error(now, id, notification, actions);
                });
                false
            }
        }
    }

    /// The family's routes go, and more of them are ignored until the session starts anew.
    fn disable(&mut self, peer: PeerId, family: Family) {
        if let Some(up) = self.peers.get_mut(peer).and_then(|peer| peer.up.as_mut()) {
            up.ctx.families.remove(family);
        }
        self.ingress.broadcast(&ShardEvent::MarkStale(peer, family));
        self.ingress
            .broadcast(&ShardEvent::SweepStale(peer, family));
    }

    fn count_error(&mut self, now: Time, id: PeerId, view: &UpdateView<'_>, out: &mut dyn Sink) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let stats = &mut peer.stats;
        let verdict = view.verdict();
        let place = match verdict {
            Verdict::Ok => return,
            Verdict::Discard => 0,
            Verdict::Withdraw => 1,
            Verdict::Disable(_) => 2,
            Verdict::Reset => 3,
        };
        if let Some(count) = stats.update_errors.get_mut(place) {
            *count += 1;
        }
        if now.since(stats.minute).as_secs() >= 60 {
            stats.minute = now;
            stats.told = 0;
        }
        if stats.told >= UPDATE_ERRORS_PER_MINUTE && verdict != Verdict::Reset {
            stats.suppressed += 1;
            return;
        }
        stats.told += 1;
        let suppressed = mem::take(&mut stats.suppressed);
        out.event(Event::UpdateError {
            peer: id,
            verdict,
            error: view.error(),
            suppressed,
        });
    }
}
