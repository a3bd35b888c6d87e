//! What the socket tests share: an endpoint that notes its events, and the choice of transport.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_net::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, Event, ListenOptions, ListenerId,
    Transport, TransportChoice,
};

pub const V4: &str = "127.0.0.1:0";
pub const V6: &str = "[::1]:0";

/// A test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Makes each test a test for each transport.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod io_uring {
            $(#[test] fn $name() {
                $crate::common::run(thruway_net::TransportChoice::IoUring, super::$name);
            })*
        }
        mod epoll {
            $(#[test] fn $name() {
                $crate::common::run(thruway_net::TransportChoice::Epoll, super::$name);
            })*
        }
    };
}

/// Runs a test, unless this kernel or container has no such transport.
pub fn run(choice: TransportChoice, test: fn(TransportChoice)) {
    match thruway_net::open(choice) {
        Ok((transport, _)) => drop(transport),
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    }
    test(choice);
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub struct Conn {
    pub connected: Option<(SocketAddr, SocketAddr)>,
    pub failed: Option<io::Error>,
    pub received: Vec<u8>,
    pub reads: usize,
    pub sent: usize,
    pub sent_events: usize,
    pub closed: Option<Option<io::Error>>,
}

impl Conn {
    pub fn is_over(&self) -> bool {
        self.closed.is_some() || self.failed.is_some()
    }
}

/// A transport and everything it said.
pub struct End {
    pub transport: Box<dyn Transport>,
    pub conns: HashMap<ConnId, Conn>,
    pub accepted: VecDeque<(ListenerId, Accepted)>,
    pub woken: usize,
}

impl End {
    pub fn new(choice: TransportChoice) -> Self {
        let (transport, why) = thruway_net::open(choice).expect("opens: `run` has tried it");
        assert_eq!(why, None);
        End::over(transport)
    }

    pub fn over(transport: Box<dyn Transport>) -> Self {
        End {
            transport,
            conns: HashMap::new(),
            accepted: VecDeque::new(),
            woken: 0,
        }
    }

    /// Listens on a free port.
    pub fn listen(&mut self, addr: &str) -> (ListenerId, SocketAddr) {
        self.listen_with(&ListenOptions::new(addr.parse().unwrap()))
    }

    pub fn listen_with(&mut self, options: &ListenOptions) -> (ListenerId, SocketAddr) {
        let id = self.transport.listen(options).unwrap();
        (id, self.transport.local_addr(id).unwrap())
    }

    pub fn connect(&mut self, id: u64, remote: SocketAddr) -> ConnId {
        self.connect_with(id, &ConnectOptions::new(remote))
    }

    pub fn connect_with(&mut self, id: u64, options: &ConnectOptions) -> ConnId {
        let id = ConnId(id);
        self.conns.insert(id, Conn::default());
        self.transport.connect(id, options);
        id
    }

    pub fn adopt(&mut self, id: u64, socket: Accepted) -> ConnId {
        let id = ConnId(id);
        self.conns.insert(id, Conn::default());
        self.transport
            .adopt(id, socket, &AcceptOptions::default())
            .unwrap();
        id
    }

    pub fn conn(&self, id: ConnId) -> &Conn {
        &self.conns[&id]
    }

    /// Sends one chunk, which must be taken.
    pub fn send(&mut self, id: ConnId, bytes: impl Into<Bytes>) {
        let mut queue = VecDeque::from([bytes.into()]);
        let taken = self.transport.send(id, &mut queue);
        assert!(taken > 0 && queue.is_empty(), "send was not taken");
    }

    pub fn close(&mut self, id: ConnId, last: &'static [u8]) {
        let last = Bytes::from_static(last);
        self.transport.close(
            id,
            Close::Graceful {
                last,
                deadline: PATIENCE,
            },
        );
    }

    /// One `poll`; checks what holds for any event.
    pub fn poll(&mut self, timeout: Duration) {
        let End {
            transport,
            conns,
            accepted,
            woken,
        } = self;
        transport
            .poll(Some(timeout), &mut |event| match event {
                Event::Accepted { listener, socket } => accepted.push_back((listener, socket)),
                Event::Woken => *woken += 1,
                Event::Connected {
                    conn,
                    local,
                    remote,
                } => {
                    let state = live(conns, conn);
                    assert!(state.connected.is_none() && state.reads == 0);
                    state.connected = Some((local, remote));
                }
                Event::ConnectFailed { conn, error } => live(conns, conn).failed = Some(error),
                Event::Received { conn, bytes } => {
                    assert!(!bytes.is_empty());
                    let state = live(conns, conn);
                    state.received.extend_from_slice(bytes);
                    state.reads += 1;
                }
                Event::Sent { conn, bytes } => {
                    let state = live(conns, conn);
                    state.sent += bytes;
                    state.sent_events += 1;
                }
                Event::Closed { conn, error } => live(conns, conn).closed = Some(error),
            })
            .unwrap();
    }
}

fn live(conns: &mut HashMap<ConnId, Conn>, id: ConnId) -> &mut Conn {
    let conn = conns
        .get_mut(&id)
        .expect("an event of a connection that nobody made");
    assert!(!conn.is_over(), "an event after the last one");
    conn
}

/// Polls the ends in turn until `done`.
pub fn drive<const N: usize>(
    mut ends: [&mut End; N],
    mut done: impl FnMut(&[&mut End; N]) -> bool,
) {
    let give_up = Instant::now() + PATIENCE;
    while !done(&ends) {
        assert!(Instant::now() < give_up, "nothing more happens");
        for end in &mut ends {
            end.poll(Duration::from_millis(1));
        }
    }
}

/// Polls the ends in turn for a while, for what must not happen.
pub fn idle<const N: usize>(mut ends: [&mut End; N], time: Duration) {
    let end_of_it = Instant::now() + time;
    while Instant::now() < end_of_it {
        for end in &mut ends {
            end.poll(Duration::from_millis(1));
        }
    }
}

/// Two ends of one connection: the one that connected (id 1) and the one that accepted (id 2).
pub fn pair(choice: TransportChoice, addr: &str) -> (End, ConnId, End, ConnId) {
    let mut server = End::new(choice);
    let mut client = End::new(choice);
    let (_, listen) = server.listen(addr);
    let near = client.connect(1, listen);
    drive([&mut server, &mut client], |[server, client]| {
        !server.accepted.is_empty() && client.conn(near).connected.is_some()
    });
    let (_, socket) = server.accepted.pop_front().unwrap();
    let (local, remote) = client.conn(near).connected.unwrap();
    assert_eq!((socket.local, socket.peer), (remote, local));
    assert_eq!(remote, listen);
    let far = server.adopt(2, socket);
    (client, near, server, far)
}

/// Octets that tell their place: a lost, doubled or swapped piece shows.
pub fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

/// Sends `total` octets of the pattern through `conn` in chunks of `chunk`, as sends become free.
pub struct Stream {
    pub conn: ConnId,
    pub total: usize,
    pub chunk: usize,
    made: usize,
    taken: usize,
    queue: VecDeque<Bytes>,
}

impl Stream {
    pub fn new(conn: ConnId, total: usize, chunk: usize) -> Self {
        Stream {
            conn,
            total,
            chunk,
            made: 0,
            taken: 0,
            queue: VecDeque::new(),
        }
    }

    /// Sends on where the last send is through.
    pub fn pump(&mut self, end: &mut End) {
        if end.conn(self.conn).is_over() || end.conn(self.conn).sent < self.taken {
            return;
        }
        while self.made < self.total && self.queue.len() < 2000 {
            let len = self.chunk.min(self.total - self.made);
            self.queue.push_back(pattern(self.made, len).into());
            self.made += len;
        }
        if !self.queue.is_empty() {
            let taken = end.transport.send(self.conn, &mut self.queue);
            assert!(taken > 0);
            self.taken += taken;
        }
    }
}
