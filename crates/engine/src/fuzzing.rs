//! Entry points for fuzzing: ordinary functions that assert what must always hold.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use thruway_policy::Policy;
use thruway_rib::{DecisionConfig, Hygiene, NextHopCheck, PeerId, WorkerId};
use thruway_session::{AddPathOffer, ConnId, RemoteAs, SessionConfig};
use thruway_wire::message::encode_keepalive;
use thruway_wire::open::{Capability, Open};
use thruway_wire::{Asn, Family, RouterId, Time};

use crate::limits::Bounds;
use crate::{
    Close, Command, ConnectTarget, Event, ExportConfig, GroupRegistry, Input, PeerConfig,
    PeerIdPool, PeerRole, PolicyRef, QueryId, Reply, Sink, TransportConfig, Worker, WorkerConfig,
    rings,
};

/// Turns in a row after which a worker must have come to rest.
const TURNS_MAX: u32 = 10_000;

/// Feeds an Established session with messages made of `data`, and lets another be told.
///
/// # Panics
/// Where a worker does not come to rest, sends twice at a time, or keeps octets that it could send.
pub fn fuzz_stream(data: &[u8]) {
    play(data);
}

/// Plays `data`; octets that the other session was sent.
pub(crate) fn play(data: &[u8]) -> u64 {
    let Some((options, mut data)) = data.split_first() else {
        return 0;
    };
    let mut player = Player::new(options & 1 == 1);
    let (speaker, listener) = (player.connect(1, *options), player.connect(2, *options));
    while let Some((kind, rest)) = data.split_first() {
        let Some((len, rest)) = rest.split_first() else {
            break;
        };
        let (body, rest) = rest.split_at(rest.len().min(2 * usize::from(*len)));
        data = rest;
        player.say(speaker, *kind, body);
        player.run();
    }
    player
        .sink
        .sent
        .get(&listener)
        .map_or(0, |link| link.octets)
}

struct Player {
    worker: Worker,
    ids: Arc<PeerIdPool>,
    sink: World,
    now: Time,
}

/// What a connection was sent.
#[derive(Default)]
struct Link {
    octets: u64,
    under_way: bool,
}

/// Counts what is sent, and remembers what ended.
#[derive(Default)]
struct World {
    sent: HashMap<ConnId, Link>,
    closed: HashSet<ConnId>,
    reading_off: HashSet<ConnId>,
}

impl Sink for World {
    fn connect(&mut self, _conn: ConnId, _target: &ConnectTarget<'_>) {
        panic!("every session is passive");
    }

    fn send(&mut self, conn: ConnId, chunks: &mut VecDeque<Bytes>) {
        let link = self.sent.entry(conn).or_default();
        assert!(
            !std::mem::replace(&mut link.under_way, true),
            "one send at a time"
        );
        link.octets += chunks
            .drain(..)
            .map(|chunk| chunk.len() as u64)
            .sum::<u64>();
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        let changed = if on {
            self.reading_off.remove(&conn)
        } else {
            self.reading_off.insert(conn)
        };
        assert!(changed, "said once");
    }

    fn close(&mut self, conn: ConnId, _how: Close) {
        self.closed.insert(conn);
    }

    fn unread(&self, _conn: ConnId) -> bool {
        false
    }

    fn event(&mut self, _event: Event) {}

    fn reply(&mut self, _to: QueryId, _reply: Reply) {}
}

impl Player {
    fn new(tight: bool) -> Self {
        let ids = Arc::new(PeerIdPool::new(10));
        let mut bounds = Bounds::default();
        if tight {
            (bounds.messages, bounds.batch_nlri, bounds.group_entries) = (1, 1, 1);
            (bounds.member_high, bounds.member_low, bounds.pull_nlri) = (100, 20, 1);
            bounds.member_max = 200;
        }
        let config = WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            shards: 1,
            seed: 1,
            decision: DecisionConfig::default(),
            bounds,
        };
        let ends = rings(1, 1, if tight { 1 } else { 8 }).pop();
        let Some(ends) = ends else {
            unreachable!("one worker has its ends")
        };
        let groups = Arc::new(GroupRegistry::default());
        Player {
            worker: Worker::new(config, ends, groups, ids.clone()),
            ids,
            sink: World::default(),
            now: Time::from_secs(1),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.worker.handle(self.now, input, &mut self.sink);
    }

    /// Configures host `n` and brings its session up.
    fn connect(&mut self, n: u8, options: u8) -> ConnId {
        let addr = SocketAddr::from(([10, 0, 0, n], 179));
        let id = self.ids.take().unwrap_or_default();
        self.input(Input::Command(Box::new(Command::AddPeer(peer(
            id, addr, options,
        )))));
        let conn = self.worker.next_conn();
        let local = SocketAddr::from(([10, 0, 0, 254], 179));
        self.input(Input::Accepted {
            conn,
            local,
            remote: addr,
        });
        let mut hello = Vec::new();
        open(n, options).encode(&mut hello);
        encode_keepalive(&mut hello);
        self.input(Input::Received {
            conn,
            bytes: hello.into(),
        });
        self.run();
        conn
    }

    /// One message: mostly an UPDATE with this body, sometimes raw octets, or another type.
    fn say(&mut self, conn: ConnId, kind: u8, body: &[u8]) {
        if self.sink.closed.contains(&conn) {
            return;
        }
        let mut bytes = Vec::new();
        if kind != 0xff {
            let kind = if kind < 0xe0 { 2 } else { 1 + kind % 5 };
            let len = u16::try_from(19 + body.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&[0xff; 16]);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.push(kind);
        }
        bytes.extend_from_slice(body);
        // Cut where the message is odd.
        let (head, tail) = bytes.split_at(usize::from(kind) % bytes.len().max(1));
        for part in [head, tail] {
            self.input(Input::Received {
                conn,
                bytes: part.into(),
            });
        }
    }

    /// Takes turns until there is nothing to do; the sockets take everything.
    fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            let turn = self.worker.turn(self.now, &mut self.sink);
            let mut busy = turn.more;
            let waiting = self.sink.sent.iter_mut().filter(|(_, link)| link.under_way);
            let done: Vec<ConnId> = waiting
                .map(|(conn, link)| {
                    link.under_way = false;
                    *conn
                })
                .collect();
            for conn in done {
                busy = true;
                self.input(Input::Sent { conn });
            }
            if !busy {
                assert!(
                    self.sink.reading_off.is_empty(),
                    "at rest everything is read"
                );
                return;
            }
        }
        panic!("no rest after {TURNS_MAX} turns");
    }
}

fn open(n: u8, options: u8) -> Open {
    let asn = Asn(65_000 + u32::from(n));
    let mut capabilities: Vec<Capability> = Family::ALL
        .into_iter()
        .map(|family| Capability::Multiprotocol(family.to_wire()))
        .collect();
    if options & 2 == 0 {
        capabilities.push(Capability::FourOctetAs(asn));
    }
    if options & 4 != 0 {
        let both = |family: Family| (family.to_wire(), 3);
        capabilities.push(Capability::AddPath(
            Family::ALL.into_iter().map(both).collect(),
        ));
    }
    if options & 8 != 0 {
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::EnhancedRouteRefresh);
    }
    if options & 16 != 0 {
        capabilities.push(Capability::ExtendedMessage);
    }
    let router_id = RouterId(u32::from(n));
    Open {
        version: 4,
        my_as: asn.to_as2(),
        hold_time: 0,
        router_id,
        capabilities,
    }
}

fn peer(id: PeerId, addr: SocketAddr, options: u8) -> PeerConfig {
    let (local_as, router_id) = (Asn(64_500), RouterId(0x0a00_00fe));
    let mut session = SessionConfig::new(local_as, router_id, RemoteAs::Any);
    session.passive = true;
    session.hold_time = 0;
    session.add_path = [AddPathOffer {
        receive: true,
        send: true,
    }; 2];
    let accept = Some(PolicyRef::new(Policy::accept()));
    let role = if options & 32 == 0 {
        PeerRole::RouteServerClient
    } else {
        PeerRole::External
    };
    let mut export = ExportConfig::for_role(role, accept.clone(), None);
    export.add_path = [thruway_rib::AddPathSend::All; 2];
    PeerConfig {
        id,
        name: addr.to_string().into(),
        addr,
        transport: TransportConfig::default(),
        session,
        role,
        class: role.class(),
        rank: 0,
        import: accept,
        local_pref: None,
        hygiene: Hygiene {
            local_as,
            allow_own_as: 1,
            martians: [].into(),
            router_id,
            cluster_id: router_id,
            enforce_first_as: false,
            allow_as_sets: true,
            as_path_max: u16::MAX,
            next_hop: NextHopCheck::Any,
            interpret_communities: true,
        },
        limits: [None, None],
        max_advertised: [None, None],
        export,
        shutdown: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An UPDATE for 10.n.0.0/16.
    fn update(n: u8) -> Vec<u8> {
        let path = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
        let mut body = vec![0, 0, 0, 20, 0x40, 1, 1, 0];
        body.extend_from_slice(&path);
        body.extend_from_slice(&[0x40, 3, 4, 10, 0, 0, 1, 16, 10, n]);
        let mut data = vec![0, (body.len() / 2) as u8 + 1];
        body.push(0);
        body.resize(2 * usize::from(data[1]), 0);
        data.extend_from_slice(&body);
        data
    }

    #[test]
    fn what_is_announced_is_told() {
        let before = play(&[0]);
        let mut data = vec![0];
        data.extend(update(7));
        assert!(play(&data) > before + 30);
    }

    #[test]
    fn dice_break_nothing() {
        let mut state = 1u64;
        let mut dice = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize
        };
        for options in 0..64u8 {
            for _ in 0..20 {
                let mut data = vec![options];
                (0..8).for_each(|n| data.extend(update(n)));
                for _ in 0..dice() % 6 {
                    let at = dice() % data.len();
                    data[at] = dice() as u8;
                }
                play(&data);
            }
        }
    }
}
