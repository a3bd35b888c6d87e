//! Many sessions on one transport and one thread: connecting, accepting, timers, sending.
//!
//! What a session says and what becomes of what it hears is its [`Handler`]'s business: the load
//! client, the relay and the speaker are handlers.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_net::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, Event, ListenOptions, ListenerId,
    Md5Key, Transport, TransportChoice, Waker,
};
use thruway_wire::Prefix;
use thruway_wire::notification::Notification;

use crate::limits::{CLOSE_DEADLINE, CONNECT_ATTEMPT, CONNECT_RETRY};
use crate::peer::{Heard, Negotiated, Peer, PeerOptions, SessionEnd};

/// How a session gets its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// We connect, from `local` where it is given.
    Connect {
        /// The neighbour.
        remote: SocketAddr,
        /// Our address; the kernel chooses where there is none.
        local: Option<IpAddr>,
    },
    /// The neighbour connects.
    Listen {
        /// Where we listen.
        local: SocketAddr,
        /// Who may connect; anybody where it is not given.
        remote: Option<IpAddr>,
    },
}

/// One session to have.
#[derive(Clone)]
pub struct SessionOptions {
    /// What reports call it.
    pub name: String,
    /// The connection.
    pub link: Link,
    /// The BGP side.
    pub peer: PeerOptions,
    /// TCP MD5 key (RFC 2385).
    pub md5: Option<Vec<u8>>,
}

/// What to do with what sessions hear. `index` is the session's place in the order of `add`.
pub(crate) trait Handler {
    /// The session is up.
    fn established(&mut self, index: usize, negotiated: &Negotiated, now: Instant);
    /// An UPDATE's body came.
    fn update(&mut self, index: usize, body: &[u8], negotiated: &Negotiated, now: Instant);
    /// The neighbour wants a family's routes again (RFC 2918).
    fn refresh(&mut self, index: usize, family: thruway_wire::AfiSafi) {
        let _ = (index, family);
    }
    /// The session is over; it does not come back.
    fn ended(&mut self, index: usize, end: SessionEnd);
    /// Everything pushed was sent: what more is there?
    fn more(&mut self, index: usize, outbox: &mut VecDeque<Bytes>, now: Instant);
}

/// What an endpoint counted, over all its sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// The sessions of one thread.
pub(crate) struct Endpoint {
    transport: Box<dyn Transport>,
    core: Core,
}

struct Core {
    sessions: Vec<Session>,
    listeners: Vec<(ListenerId, SocketAddr)>,
    // Accepts whoever comes, as sessions of this kind.
    strangers: Option<PeerOptions>,
    actions: Vec<Action>,
    dirty: Vec<usize>,
    timers_at: Option<Instant>,
    traffic: Traffic,
}

struct Session {
    options: SessionOptions,
    conn: Option<ConnId>,
    attempts: u32,
    peer: Option<Peer>,
    outbox: VecDeque<Bytes>,
    // Our OPEN and KEEPALIVEs: they go out at the next message boundary.
    control: Vec<u8>,
    sending: bool,
    is_dirty: bool,
    retry_at: Option<Instant>,
    give_up_at: Instant,
    over: bool,
}

enum Action {
    Adopt(usize, ConnId, Accepted),
    Close(ConnId, Option<Notification>),
    Connect(usize),
}

impl Endpoint {
    pub(crate) fn open(choice: TransportChoice) -> io::Result<Self> {
        let (transport, _why_not_the_other) = thruway_net::open(choice)?;
        let core = Core {
            sessions: Vec::new(),
            listeners: Vec::new(),
            strangers: None,
            actions: Vec::new(),
            dirty: Vec::new(),
            timers_at: None,
            traffic: Traffic::default(),
        };
        Ok(Endpoint { transport, core })
    }

    pub(crate) fn kind(&self) -> thruway_net::TransportKind {
        self.transport.kind()
    }

    pub(crate) fn waker(&self) -> Waker {
        self.transport.waker()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.core.traffic
    }

    /// Adds a session and starts to connect, or to listen. It is tried until `patience` is over.
    pub(crate) fn add(&mut self, options: SessionOptions, patience: Duration) -> io::Result<usize> {
        let now = Instant::now();
        if let Link::Listen { local, remote } = options.link {
            self.listen(local, remote, options.md5.as_deref())?;
        }
        let index = self.core.sessions.len();
        let active = matches!(options.link, Link::Connect { .. });
        self.core
            .sessions
            .push(Session::new(options, now + patience));
        if active {
            self.core.actions.push(Action::Connect(index));
        }
        self.core.timer(now + patience);
        self.apply();
        Ok(index)
    }

    /// Takes sessions from whoever connects to `local`; returns the address.
    pub(crate) fn welcome(
        &mut self,
        local: SocketAddr,
        peer: PeerOptions,
    ) -> io::Result<SocketAddr> {
        self.core.strangers = Some(peer);
        self.listen(local, None, None)
    }

    /// The address that a session listens on, its port chosen.
    pub(crate) fn listening_on(&self, index: usize) -> Option<SocketAddr> {
        let Link::Listen { local, .. } = self.core.sessions.get(index)?.options.link else {
            return None;
        };
        let (id, _) = self
            .core
            .listeners
            .iter()
            .find(|(_, addr)| *addr == local)?;
        self.transport.local_addr(*id).ok()
    }

    fn listen(
        &mut self,
        local: SocketAddr,
        remote: Option<IpAddr>,
        md5: Option<&[u8]>,
    ) -> io::Result<SocketAddr> {
        let any = match local.ip() {
            IpAddr::V4(_) => Prefix::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0),
            IpAddr::V6(_) => Prefix::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let whom = remote.map(Prefix::host).or(any);
        let key = whom.zip(md5).map(|(prefix, key)| Md5Key {
            prefix,
            key: key.to_vec(),
        });
        if let Some((id, _)) = self.core.listeners.iter().find(|(_, addr)| *addr == local) {
            self.transport.set_md5(*id, &[], key.as_slice())?;
            return self.transport.local_addr(*id);
        }
        let options = ListenOptions {
            md5: key.into_iter().collect(),
            ..ListenOptions::new(local)
        };
        let id = self.transport.listen(&options)?;
        self.core.listeners.push((id, local));
        self.transport.local_addr(id)
    }

    /// Waits for something to happen, `timeout` at most, and tells `handler`.
    pub(crate) fn poll(
        &mut self,
        timeout: Option<Duration>,
        handler: &mut impl Handler,
    ) -> io::Result<()> {
        let timer = self
            .core
            .timers_at
            .map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = [timeout, timer].into_iter().flatten().min();
        // What a nudge marked must not wait for an event.
        self.flush(Instant::now(), handler);
        let core = &mut self.core;
        self.transport
            .poll(timeout, &mut |event| core.event(event, handler))?;
        let now = Instant::now();
        if self.core.timers_at.is_some_and(|at| now >= at) {
            self.timers(now, handler);
        }
        self.apply();
        self.flush(now, handler);
        Ok(())
    }

    /// Adds to what a session sends: whole messages.
    pub(crate) fn push(&mut self, index: usize, messages: Bytes) {
        if let Some(session) = self.core.sessions.get_mut(index) {
            session.outbox.push_back(messages);
        }
        self.core.mark(index);
    }

    /// The session may have more to send than it said when it was asked last.
    pub(crate) fn nudge(&mut self, index: usize) {
        self.core.mark(index);
    }

    /// Sends what was pushed or is there to send, without waiting.
    pub(crate) fn flush(&mut self, now: Instant, handler: &mut impl Handler) {
        let mut dirty = std::mem::take(&mut self.core.dirty);
        for index in dirty.drain(..) {
            let Some(session) = self.core.sessions.get_mut(index) else {
                continue;
            };
            session.is_dirty = false;
            let Some(conn) = session.conn else { continue };
            if session.sending {
                continue;
            }
            if !session.control.is_empty() {
                session
                    .outbox
                    .push_front(Bytes::from(std::mem::take(&mut session.control)));
            }
            let established = session.peer.as_ref().is_some_and(Peer::is_established);
            if session.outbox.is_empty() && established {
                handler.more(index, &mut session.outbox, now);
            }
            if session.outbox.is_empty() {
                continue;
            }
            let sent = self.transport.send(conn, &mut session.outbox);
            session.sending = sent > 0;
            self.core.traffic.bytes_out += sent as u64;
            if let Some(peer) = session.peer.as_mut().filter(|_| sent > 0) {
                peer.told(now);
            }
        }
        self.core.dirty = dirty;
    }

    /// Back-pressure on a neighbour.
    pub(crate) fn set_reading(&mut self, index: usize, on: bool) {
        let conn = self
            .core
            .sessions
            .get(index)
            .and_then(|session| session.conn);
        if let Some(conn) = conn {
            self.transport.set_reading(conn, on);
        }
    }

    /// Octets pushed and not yet handed to the kernel.
    pub(crate) fn queued(&self, index: usize) -> usize {
        let session = self.core.sessions.get(index);
        session.map_or(0, |session| session.outbox.iter().map(Bytes::len).sum())
    }

    /// Ends a session: what was pushed goes out first, then `notification`.
    pub(crate) fn close(&mut self, index: usize, notification: Option<Notification>) {
        let Some(session) = self.core.sessions.get_mut(index) else {
            return;
        };
        session.over = true;
        session.retry_at = None;
        if let Some(conn) = session.conn {
            self.core.actions.push(Action::Close(conn, notification));
        }
        self.apply();
    }

    /// True while a connection is open or being closed.
    pub(crate) fn has_connections(&self) -> bool {
        self.transport.connections() > 0
    }

    fn timers(&mut self, now: Instant, handler: &mut impl Handler) {
        let mut next: Option<Instant> = None;
        for index in 0..self.core.sessions.len() {
            let unread = self
                .core
                .sessions
                .get(index)
                .and_then(|session| session.conn);
            let unread = unread.is_some_and(|conn| self.transport.unread(conn) > 0);
            let deadline = self.core.session_timers(index, now, unread, handler);
            next = [next, deadline].into_iter().flatten().min();
        }
        self.core.timers_at = next;
    }

    fn apply(&mut self) {
        for action in std::mem::take(&mut self.core.actions) {
            match action {
                Action::Connect(index) => {
                    if let Some((conn, options)) = self.core.attempt(index) {
                        self.transport.connect(conn, &options);
                    }
                }
                Action::Adopt(index, conn, socket) => {
                    let adopted = self
                        .transport
                        .adopt(conn, socket, &AcceptOptions::default());
                    if adopted.is_ok() {
                        self.core.connected(index, Instant::now());
                    } else if let Some(session) = self.core.sessions.get_mut(index) {
                        session.conn = None;
                    }
                }
                Action::Close(conn, notification) => {
                    let mut last = Vec::new();
                    notification
                        .iter()
                        .for_each(|notification| notification.encode(&mut last));
                    let how = Close::Graceful {
                        last: last.into(),
                        deadline: CLOSE_DEADLINE,
                    };
                    self.transport.close(conn, how);
                }
            }
        }
    }
}

impl Session {
    fn new(options: SessionOptions, give_up_at: Instant) -> Self {
        Session {
            options,
            conn: None,
            attempts: 0,
            peer: None,
            outbox: VecDeque::new(),
            control: Vec::new(),
            sending: false,
            is_dirty: false,
            retry_at: None,
            give_up_at,
            over: false,
        }
    }

    fn is_established(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::is_established)
    }
}

impl Core {
    fn mark(&mut self, index: usize) {
        if let Some(session) = self
            .sessions
            .get_mut(index)
            .filter(|session| !session.is_dirty)
        {
            session.is_dirty = true;
            self.dirty.push(index);
        }
    }

    fn timer(&mut self, at: Instant) {
        self.timers_at = Some(self.timers_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// A token that no connection of ours had before: the attempt above the session's index.
    fn next_conn(&mut self, index: usize) -> Option<ConnId> {
        let session = self.sessions.get_mut(index)?;
        session.attempts += 1;
        let conn = ConnId(u64::from(session.attempts) << 32 | index as u64);
        session.conn = Some(conn);
        Some(conn)
    }

    fn attempt(&mut self, index: usize) -> Option<(ConnId, ConnectOptions)> {
        let session = self.sessions.get(index)?;
        let Link::Connect { remote, local } = session.options.link else {
            return None;
        };
        let md5 = session.options.md5.clone();
        let timeout = CONNECT_ATTEMPT;
        let options = ConnectOptions {
            local,
            md5,
            timeout,
            ..ConnectOptions::new(remote)
        };
        Some((self.next_conn(index)?, options))
    }

    fn event(&mut self, event: Event<'_>, handler: &mut impl Handler) {
        match event {
            Event::Received { conn, bytes } => self.received(conn, bytes, handler),
            Event::Sent { conn, .. } => {
                if let Some((index, session)) = self.session_of(conn) {
                    session.sending = false;
                    self.mark(index);
                }
            }
            Event::Connected { conn, .. } => {
                if let Some((index, _)) = self.session_of(conn) {
                    self.connected(index, Instant::now());
                }
            }
            Event::Accepted { listener, socket } => self.accepted(listener, socket),
            Event::ConnectFailed { conn, error } => self.lost(conn, &error.to_string(), handler),
            Event::Closed { conn, error } => {
                let why = error.map_or("the neighbour closed it".to_owned(), |e| e.to_string());
                self.lost(conn, &why, handler);
            }
            Event::Woken => {}
        }
    }

    fn session_of(&mut self, conn: ConnId) -> Option<(usize, &mut Session)> {
        let index = (conn.0 & 0xffff_ffff) as usize;
        let session = self
            .sessions
            .get_mut(index)
            .filter(|session| session.conn == Some(conn))?;
        Some((index, session))
    }

    fn accepted(&mut self, listener: ListenerId, socket: Accepted) {
        let Some((_, addr)) = self.listeners.iter().find(|(id, _)| *id == listener) else {
            return;
        };
        let waiting = self
            .sessions
            .iter()
            .position(|session| match session.options.link {
                Link::Listen { local, remote } => {
                    local == *addr
                        && session.conn.is_none()
                        && !session.over
                        && remote.is_none_or(|remote| remote == socket.peer.ip())
                }
                Link::Connect { .. } => false,
            });
        let index = match (waiting, &self.strangers) {
            (Some(index), _) => index,
            (None, Some(peer)) => {
                let options = SessionOptions {
                    name: socket.peer.to_string(),
                    link: Link::Listen {
                        local: *addr,
                        remote: Some(socket.peer.ip()),
                    },
                    peer: peer.clone(),
                    md5: None,
                };
                self.sessions
                    .push(Session::new(options, Instant::now() + CONNECT_ATTEMPT));
                self.sessions.len() - 1
            }
            // Nobody that we wait for: dropping the socket closes it.
            (None, None) => return,
        };
        if let Some(conn) = self.next_conn(index) {
            self.actions.push(Action::Adopt(index, conn, socket));
        }
    }

    fn connected(&mut self, index: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let options = session.options.peer.clone();
        let peer = Peer::connected(options, now, &mut session.control);
        let deadline = peer.deadline();
        session.peer = Some(peer);
        deadline.into_iter().for_each(|at| self.timer(at));
        self.mark(index);
    }

    fn received(&mut self, conn: ConnId, bytes: &[u8], handler: &mut impl Handler) {
        self.traffic.bytes_in += bytes.len() as u64;
        let now = Instant::now();
        let Some((index, session)) = self.session_of(conn) else {
            return;
        };
        let (Some(peer), false) = (&mut session.peer, session.over) else {
            return;
        };
        let was_established = peer.is_established();
        let result = peer.received(
            now,
            bytes,
            &mut session.control,
            &mut |heard, negotiated| match heard {
                Heard::Update(body) => handler.update(index, body, negotiated, now),
                Heard::Established => handler.established(index, negotiated, now),
                Heard::Refresh(refresh) => handler.refresh(index, refresh.family),
            },
        );
        let deadline = peer.deadline();
        let answers = !session.control.is_empty();
        if answers || was_established != session.is_established() {
            deadline.into_iter().for_each(|at| self.timer(at));
            self.mark(index);
        }
        if let Err(end) = result {
            self.end(index, end, handler);
        }
    }

    /// The session is over for a reason; where it is ours the neighbour is told.
    fn end(&mut self, index: usize, end: SessionEnd, handler: &mut impl Handler) {
        let Some(session) = self.sessions.get_mut(index).filter(|session| !session.over) else {
            return;
        };
        session.over = true;
        session.outbox.clear();
        session.retry_at = None;
        if let Some(conn) = session.conn {
            let notification = match &end {
                SessionEnd::Refused(notification) => Some(notification.clone()),
                _ => None,
            };
            self.actions.push(Action::Close(conn, notification));
        }
        handler.ended(index, end);
    }

    /// A connection is gone, or never came: again, unless the session had come up or time is over.
    fn lost(&mut self, conn: ConnId, why: &str, handler: &mut impl Handler) {
        let now = Instant::now();
        let Some((index, session)) = self.session_of(conn) else {
            return;
        };
        let was_up = session.is_established();
        session.conn = None;
        session.sending = false;
        session.control.clear();
        session.peer = None;
        if session.over {
            return;
        }
        let passive = matches!(session.options.link, Link::Listen { .. });
        if was_up {
            self.end(index, SessionEnd::Closed(why.to_owned()), handler);
        } else if now >= session.give_up_at {
            self.end(index, SessionEnd::Unreachable(why.to_owned()), handler);
        } else if !passive {
            session.retry_at = Some(now + CONNECT_RETRY);
            self.timer(now + CONNECT_RETRY);
        }
    }

    fn session_timers(
        &mut self,
        index: usize,
        now: Instant,
        unread: bool,
        handler: &mut impl Handler,
    ) -> Option<Instant> {
        let session = self
            .sessions
            .get_mut(index)
            .filter(|session| !session.over)?;
        if !session.is_established() && now >= session.give_up_at {
            let why = "it did not come up in time".to_owned();
            self.end(index, SessionEnd::Unreachable(why), handler);
            return None;
        }
        if session.retry_at.is_some_and(|at| now >= at) {
            session.retry_at = None;
            self.actions.push(Action::Connect(index));
        }
        let result = match &mut session.peer {
            Some(peer) => peer.timers(now, unread, &mut session.control),
            None => Ok(()),
        };
        let mark = !session.control.is_empty();
        let give_up_at = (!session.is_established()).then_some(session.give_up_at);
        let peer = session.peer.as_ref().and_then(Peer::deadline);
        let next = [peer, give_up_at, session.retry_at]
            .into_iter()
            .flatten()
            .min();
        if mark {
            self.mark(index);
        }
        match result {
            Ok(()) => next,
            Err(end) => {
                self.end(index, end, handler);
                None
            }
        }
    }
}
