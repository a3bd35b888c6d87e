//! What a worker of the engine asks for, done on its transport.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use thruway_engine::{
    Close, ConnId, ConnectTarget, Event, QueryId, Refusal, Reply, Sink, TransportConfig,
};
use thruway_net::{AcceptOptions, ConnectOptions, Links, Transport};
use thruway_wire::{Link, Prefix, Time};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::limits::{ANSWER_PIECES_MAX, EVENTS_HELD_MAX};
use super::strangers::Strangers;

/// Reports on their way to the control plane. The worker never waits: events that the channel does not
/// take stay here up to a bound and are counted beyond it; an answer goes into its question's own
/// channel, and the engine goes on with a question only while that has room.
#[derive(Debug)]
pub(crate) struct Outbox {
    to: mpsc::Sender<Event>,
    held: VecDeque<Event>,
    dropped: u64,
    questions: HashMap<QueryId, mpsc::Sender<Reply>>,
    strangers: Strangers,
    clock: Clock,
    /// Only this worker's thread asks.
    links: RefCell<Links>,
}

impl Outbox {
    pub(crate) fn new(to: mpsc::Sender<Event>, strangers: Strangers, clock: Clock) -> Self {
        Outbox {
            to,
            held: VecDeque::new(),
            dropped: 0,
            questions: HashMap::new(),
            strangers,
            clock,
            links: RefCell::default(),
        }
    }

    /// Where the answers to a question go.
    pub(crate) fn ask(&mut self, id: QueryId, to: mpsc::Sender<Reply>) {
        self.questions.insert(id, to);
    }

    fn link(&self, local: SocketAddr, remote: SocketAddr) -> Option<Link> {
        self.links.borrow_mut().shared(local, remote)
    }

    /// A connection that nobody wanted.
    pub(crate) fn refused(&mut self, remote: SocketAddr, why: Refusal) {
        self.strangers.refused(self.clock.now(), remote, why);
    }

    /// Says what is due.
    pub(crate) fn tick(&mut self, now: Time) {
        self.strangers.tick(now);
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Time {
        self.strangers.deadline()
    }

    fn event(&mut self, event: Event) {
        if let Event::Refused { remote, why } = event {
            return self.refused(remote, why);
        }
        if self.held.len() >= EVENTS_HELD_MAX {
            self.dropped += 1;
        } else {
            self.held.push_back(event);
        }
    }

    fn has_room(&self, to: QueryId) -> bool {
        // A closed channel takes everything.
        self.questions
            .get(&to)
            .is_none_or(|channel| channel.is_closed() || has_room(channel))
    }

    fn reply(&mut self, to: QueryId, reply: Reply) {
        let more = matches!(reply, Reply::Rows(_) | Reply::PlanRows(_));
        let Some(channel) = self.questions.get(&to) else {
            return;
        };
        if let Err(error) = channel.try_send(reply) {
            match error {
                mpsc::error::TrySendError::Closed(_) => {
                    tracing::debug!(?to, "nobody waits for the answer");
                }
                mpsc::error::TrySendError::Full(_) => {
                    tracing::error!(?to, "a piece of an answer found no place");
                }
            }
        }
        if !more {
            self.questions.remove(&to);
        }
    }

    /// Hands over what the channel takes. True where something is left.
    pub(crate) fn flush(&mut self) -> bool {
        while let Some(event) = self.held.pop_front() {
            match self.to.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.held.push_front(event);
                    return true;
                }
                // The control plane is gone: the daemon ends.
                Err(mpsc::error::TrySendError::Closed(_)) => self.held.clear(),
            }
        }
        if self.dropped > 0 {
            tracing::warn!(
                events = self.dropped,
                "the log could not keep up; events were dropped"
            );
            self.dropped = 0;
        }
        false
    }
}

/// True where a piece of an answer finds its place, whatever other shards send at the same time: each
/// may have asked already and not sent yet, and each needs a place for the end of its answer, which
/// comes without asking.
fn has_room(channel: &mpsc::Sender<Reply>) -> bool {
    let shards = channel.max_capacity() / ANSWER_PIECES_MAX;
    channel.capacity() > 2 * shards
}

/// Between turns, the transport may be called.
pub(crate) struct Direct<'a> {
    pub(crate) transport: &'a mut dyn Transport,
    pub(crate) outbox: &'a mut Outbox,
}

impl Sink for Direct<'_> {
    fn connect(&mut self, conn: ConnId, target: &ConnectTarget<'_>) {
        self.transport
            .connect(net_id(conn), &connect_options(target));
    }

    fn send(&mut self, conn: ConnId, chunks: &mut VecDeque<Bytes>) {
        self.transport.send(net_id(conn), chunks);
        debug_assert!(chunks.is_empty() || self.transport.connections() == 0);
        // A connection that ended meanwhile takes nothing; its Closed is on the way.
        chunks.clear();
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        self.transport.set_reading(net_id(conn), on);
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.transport.close(net_id(conn), net_close(how));
    }

    fn link(&self, local: SocketAddr, remote: SocketAddr) -> Option<Link> {
        self.outbox.link(local, remote)
    }

    fn unread(&self, conn: ConnId) -> bool {
        self.transport.unread(net_id(conn)) > 0
    }

    fn event(&mut self, event: Event) {
        self.outbox.event(event);
    }

    fn reply(&mut self, to: QueryId, reply: Reply) {
        self.outbox.reply(to, reply);
    }

    fn has_room(&self, to: QueryId) -> bool {
        self.outbox.has_room(to)
    }
}

/// While the transport hands out events it must not be called: what is asked for is noted.
pub(crate) struct Deferred<'a> {
    pub(crate) actions: &'a mut Vec<Action>,
    pub(crate) outbox: &'a mut Outbox,
}

/// A noted call.
#[derive(Debug)]
pub(crate) enum Action {
    Connect(ConnId, Box<ConnectOptions>),
    Send(ConnId, VecDeque<Bytes>),
    SetReading(ConnId, bool),
    Close(ConnId, Close),
}

impl Action {
    pub(crate) fn run(self, transport: &mut dyn Transport) {
        match self {
            Action::Connect(conn, options) => transport.connect(net_id(conn), &options),
            Action::Send(conn, mut chunks) => {
                transport.send(net_id(conn), &mut chunks);
            }
            Action::SetReading(conn, on) => transport.set_reading(net_id(conn), on),
            Action::Close(conn, how) => transport.close(net_id(conn), net_close(how)),
        }
    }
}

impl Sink for Deferred<'_> {
    fn connect(&mut self, conn: ConnId, target: &ConnectTarget<'_>) {
        self.actions
            .push(Action::Connect(conn, Box::new(connect_options(target))));
    }

    fn send(&mut self, conn: ConnId, chunks: &mut VecDeque<Bytes>) {
        self.actions
            .push(Action::Send(conn, std::mem::take(chunks)));
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        self.actions.push(Action::SetReading(conn, on));
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.actions.push(Action::Close(conn, how));
    }

    fn link(&self, local: SocketAddr, remote: SocketAddr) -> Option<Link> {
        self.outbox.link(local, remote)
    }

    fn unread(&self, _: ConnId) -> bool {
        // Timers run in turns only, where the transport can be asked.
        false
    }

    fn event(&mut self, event: Event) {
        self.outbox.event(event);
    }

    fn reply(&mut self, to: QueryId, reply: Reply) {
        self.outbox.reply(to, reply);
    }

    fn has_room(&self, to: QueryId) -> bool {
        self.outbox.has_room(to)
    }
}

pub(crate) fn net_id(conn: ConnId) -> thruway_net::ConnId {
    thruway_net::ConnId(conn.0)
}

pub(crate) fn engine_id(conn: thruway_net::ConnId) -> ConnId {
    ConnId(conn.0)
}

fn net_close(how: Close) -> thruway_net::Close {
    match how {
        Close::Graceful { last } => {
            let deadline = thruway_engine::limits::CLOSE_DEADLINE;
            thruway_net::Close::Graceful { last, deadline }
        }
        Close::Now => thruway_net::Close::Now,
    }
}

fn connect_options(target: &ConnectTarget<'_>) -> ConnectOptions {
    let transport = target.transport;
    ConnectOptions {
        local: transport.local,
        md5: transport.md5.clone(),
        gtsm_hops: transport.gtsm_hops,
        ttl: transport.ttl,
        ..ConnectOptions::new(target.remote)
    }
}

pub(crate) fn accept_options(transport: &TransportConfig) -> AcceptOptions {
    AcceptOptions {
        gtsm_hops: transport.gtsm_hops,
        ttl: transport.ttl,
    }
}

/// The listener's key for a neighbour or a range.
pub(crate) fn md5_key(prefix: Prefix, transport: &TransportConfig) -> Option<thruway_net::Md5Key> {
    let key = transport.md5.clone()?;
    Some(thruway_net::Md5Key { prefix, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_asked_at_once_all_find_their_places() {
        for shards in 1..=4 {
            let (channel, mut answers) = mpsc::channel(ANSWER_PIECES_MAX * shards);
            while has_room(&channel) {
                // All but one have asked and are slow; one goes on alone.
                channel.try_send(Reply::Rows(Vec::new())).expect("a place");
            }
            for _ in 1..shards {
                channel.try_send(Reply::Rows(Vec::new())).expect("a place");
            }
            for _ in 0..shards {
                channel.try_send(Reply::Done).expect("a place for the end");
            }
            let mut pieces = 0;
            while answers.try_recv().is_ok() {
                pieces += 1;
            }
            assert!(pieces >= ANSWER_PIECES_MAX * shards / 2);
        }
    }
}
