//! One worker: the parts, and the order in which a turn goes through them.
//!
//! ```text
//!            handle(input)                                   turn()
//!  sockets ─► Received ─► parse ─► Ingress ══ToShard══► ShardStage ══ToEgress══► Egress ─► queues ─► send
//!             Sent, …     Session    ▲                     │   ▲                    │
//!             Command                └──────Returns────────┘   └───pulls, seen──────┘
//! ```
//!
//! Double lines are rings (bounded, between workers); single ones are calls. Every queue on the way has
//! a bound in [`crate::limits`], and whoever is behind one waits only for a stage further right.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use thruway_rib::{PeerId, ShardConfig};
use thruway_session::{Actions, ConnId, Session};
use thruway_wire::Time;

use crate::control::settle::Settling;
use crate::control::status::Counters;
use crate::egress::Egress;
use crate::ingress::conns::Conns;
use crate::ingress::routes::{Ingress, shard_id};
use crate::limits::HOUSEKEEPING_WAIT;
use crate::session::effects::{Collect, Effect};
use crate::session::peers::Peers;
use crate::session::timers::Timers;
use crate::shard::bounds::Blocked;
use crate::shard::stage::ShardStage;
use crate::shared::rings::{Back, Wake};
use crate::{Event, GroupRegistry, Input, PeerIdPool, Sink, WorkerConfig, WorkerRings};

/// What a turn left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// There is more to do: take another turn soon (after asking the sockets).
    pub more: bool,
    /// Bit n: worker n has something new in a ring, or room in one; wake it. This worker's own bit
    /// is never set.
    pub wake: u32,
}

/// One worker: its sessions' ingress and egress, and its shard if it has one.
///
/// - **in**: [`handle`](Self::handle) takes one input. Session messages are answered and UPDATEs
///   parsed at once; what must be told to shards or written to sockets is noted. Call
///   [`turn`](Self::turn) after each round of inputs.
/// - **turn**: does a bounded piece of all work: timers, batches to shards, the shard, egress, sends.
/// - **time**: [`deadline`](Self::deadline) says when a turn is due without any input. `now` must
///   not run backwards.
#[derive(Debug)]
pub struct Worker {
    pub(crate) config: WorkerConfig,
    pub(crate) conns: Conns,
    pub(crate) peers: Peers,
    pub(crate) timers: Timers,
    pub(crate) ingress: Ingress,
    pub(crate) shard: Option<ShardStage>,
    pub(crate) egress: Egress,
    pub(crate) rings: WorkerRings,
    pub(crate) groups: Arc<GroupRegistry>,
    pub(crate) ids: Arc<PeerIdPool>,
    /// Scratch for one session call.
    effects: Vec<Effect>,
    /// Connections with whole messages in their carry.
    pub(crate) ready: VecDeque<ConnId>,
    /// Connections whose reading is off.
    pub(crate) paused: Vec<ConnId>,
    /// Peers that a limit holds back, and when to look at them next.
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) look_at: Time,
    /// Questions whether all is through, oldest first.
    pub(crate) settles: VecDeque<Settling>,
    pub(crate) counters: Counters,
    pub(crate) draining: bool,
    drained: bool,
    last_turn: Option<Time>,
    /// Workers to wake after this turn.
    pub(crate) wake: Wake,
    /// When those that could wait are woken.
    late_at: Time,
}

impl Worker {
    /// A worker with its ends of the rings.
    #[must_use]
    pub fn new(
        config: WorkerConfig,
        rings: WorkerRings,
        groups: Arc<GroupRegistry>,
        ids: Arc<PeerIdPool>,
    ) -> Self {
        let WorkerConfig {
            id,
            workers,
            shards,
            seed,
            decision,
            bounds,
        } = config;
        let shard = (id.index() < shards).then(|| {
            let shard = ShardConfig {
                id: shard_id(id.index()),
                workers,
                decision,
                seed,
            };
            ShardStage::new(shard, id, bounds, &rings)
        });
        Worker {
            conns: Conns::new(seed),
            peers: Peers::new(seed),
            timers: Timers::default(),
            ingress: Ingress::new(id, shards, seed, bounds.batch_nlri),
            shard,
            egress: Egress::new(id, shards, seed, bounds),
            rings,
            groups,
            ids,
            effects: Vec::new(),
            ready: VecDeque::new(),
            paused: Vec::new(),
            blocked: Vec::new(),
            look_at: Time::NEVER,
            settles: VecDeque::new(),
            counters: Counters::default(),
            draining: false,
            drained: false,
            last_turn: None,
            wake: Wake::default(),
            late_at: Time::NEVER,
            config,
        }
    }

    /// A token for a connection that is about to be adopted.
    #[must_use]
    pub fn next_conn(&mut self) -> ConnId {
        self.conns.next_id()
    }

    /// When the next timer is due; [`Time::NEVER`]: none runs.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let answers = self.settle_deadline();
        let timers = self.timers.next().min(self.look_at);
        timers.min(answers).min(self.late_at)
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut dyn Sink) {
        match input {
            Input::Accepted {
                conn,
                local,
                remote,
            } => {
                self.accepted(now, conn, local, remote, out);
            }
            Input::Connected {
                conn,
                local,
                remote,
            } => {
                self.connected(now, conn, (local, remote), out);
            }
            Input::ConnectFailed { conn, error } => self.connect_failed(now, conn, &error, out),
            Input::Received { conn, bytes } => self.received(now, conn, &bytes, out),
            Input::Sent { conn } => self.sent(now, conn),
            Input::Closed { conn, error } => self.closed(now, conn, error.as_deref(), out),
            Input::Command(command) => self.command(now, *command, out),
        }
    }

    /// Does a bounded piece of work.
    pub fn turn(&mut self, now: Time, out: &mut dyn Sink) -> Turn {
        self.count_turn(now);
        self.tick(now, out);
        self.look_for_room(now);
        self.hear(now, out);
        self.go_on(now, out);
        let late = self.late_at <= now;
        self.wake |= self.ingress.flush(&self.rings, late);
        if let Some(shard) = &mut self.shard {
            self.wake |= shard.turn(&self.rings, &self.groups, out);
        }
        self.wake |= self
            .egress
            .absorb(&self.rings, &self.groups, &mut self.conns);
        self.heed(now, out);
        self.egress.pull(&self.conns);
        self.wake |= self.egress.flush(&self.rings);
        self.wake |= self.ingress.flush(&self.rings, late);
        self.send(now, out);
        self.resume(out);
        self.go_on_settling(now, out);
        self.finish(now, late, out)
    }

    /// Runs one call of a session, then does what it asked for.
    pub(crate) fn with_session(
        &mut self,
        now: Time,
        peer: PeerId,
        out: &mut dyn Sink,
        call: impl FnOnce(&mut Session, &mut dyn Actions),
    ) {
        let mut effects = mem::take(&mut self.effects);
        debug_assert!(effects.is_empty());
        if let Some(peer) = self.peers.get_mut(peer) {
            call(&mut peer.session, &mut Collect(&mut effects));
        }
        for effect in effects.drain(..) {
            self.apply(now, peer, effect, out);
        }
        self.effects = effects;
        self.arm(peer);
        self.retire_if_idle(peer, out);
    }

    fn arm(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            self.timers
                .arm(id, peer.session.deadline(), &mut peer.armed);
        }
    }

    /// Runs the sessions' clocks.
    fn tick(&mut self, now: Time, out: &mut dyn Sink) {
        while let Some((due, id)) = self.timers.due(now) {
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            if peer.armed != due {
                continue;
            }
            peer.armed = Time::NEVER;
            // A peer whose octets wait here or in the socket is not silent.
            let unread = peer.session.conn().is_some_and(|conn| {
                let held = self
                    .conns
                    .get(conn)
                    .is_some_and(|conn| conn.stalled || !conn.reading);
                held || out.unread(conn)
            });
            self.with_session(now, id, out, |session, actions| {
                session.tick(now, unread, actions);
            });
        }
    }

    /// Takes what flows back from other workers' shards and egress.
    fn hear(&mut self, now: Time, out: &mut dyn Sink) {
        for worker in 0..self.rings.back_from.len() {
            // What came in meanwhile waits for the next turn, so that this one ends.
            let bound = self
                .rings
                .back_from
                .get(worker)
                .map_or(0, |ring| ring.capacity());
            for _ in 0..bound {
                let Some(ring) = self.rings.back_from.get(worker) else {
                    break;
                };
                let Some(back) = ring.pop() else { break };
                // The worker may wait for this place.
                if ring.len() + 1 >= bound {
                    self.wake.now |= 1 << worker;
                }
                self.hear_one(now, worker, back, out);
            }
        }
    }

    fn hear_one(&mut self, now: Time, worker: usize, back: Back, out: &mut dyn Sink) {
        match back {
            Back::Returns(mut returns) => {
                self.ingress.returned(&mut returns);
                for note in returns.notes {
                    self.note(now, returns.shard, &note, out);
                }
            }
            Back::Joined(shard, group, peer, epoch) => {
                self.egress.joined(shard, group, peer, epoch);
            }
            Back::Request(request) => {
                if let (Some(shard), Ok(worker)) = (&mut self.shard, u8::try_from(worker)) {
                    shard.request(thruway_rib::WorkerId(worker), request);
                }
            }
        }
    }

    /// Hands over what waits for sockets.
    fn send(&mut self, now: Time, out: &mut dyn Sink) {
        let peers = &mut self.peers;
        self.conns.flush(out, |conn, peer, octets| {
            if let Some(peer) = peers.get_mut(peer) {
                peer.stats.bytes_out += octets as u64;
                // The socket now has something to do; RFC 9687 asks that it gets on with it.
                peer.session.send_queue(now, conn, true);
                self.timers
                    .arm(peer.config.id, peer.session.deadline(), &mut peer.armed);
            }
        });
    }

    fn count_turn(&mut self, now: Time) {
        self.counters.turns += 1;
        if let Some(last) = self.last_turn.replace(now) {
            self.counters.turn_gap_max = self.counters.turn_gap_max.max(now.since(last));
        }
    }

    /// What is left, and who has to know.
    fn finish(&mut self, now: Time, late: bool, out: &mut dyn Sink) -> Turn {
        if self.draining && !self.drained && self.conns.len() == 0 {
            self.drained = true;
            out.event(Event::Drained);
        }
        let own = 1 << self.config.id.0;
        let wake = self.whom_to_wake(now, late);
        let work = (!self.ready.is_empty() && !self.ingress.blocked())
            || self.rings.from_shard.iter().any(|ring| !ring.is_empty())
            || self.ingress.can_flush(&self.rings)
            || self
                .shard
                .as_ref()
                .is_some_and(|shard| shard.more(&self.rings));
        Turn {
            more: work || wake & own != 0,
            wake: wake & !own,
        }
    }

    /// Those who have something to do, and, once that is due, those who have something to tidy up.
    fn whom_to_wake(&mut self, now: Time, late: bool) -> u32 {
        if late {
            self.wake.now |= mem::take(&mut self.wake.late);
            self.late_at = Time::NEVER;
        }
        let wake = mem::take(&mut self.wake.now);
        self.wake.late &= !wake;
        if self.wake.late == 0 && !self.ingress.has_freed() {
            self.late_at = Time::NEVER;
        } else if self.late_at == Time::NEVER {
            self.late_at = now + HOUSEKEEPING_WAIT;
        }
        wake
    }
}
