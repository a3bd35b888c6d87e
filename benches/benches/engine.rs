//! The engine from octets to octets, without sockets: one feeder sends a table through one worker with
//! one shard to receivers. What is measured is the work of one core: parse, intern, split, look up,
//! decide, log, tell groups, pack, and queue for each receiver.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thruway_benches::numbers::Numbers;
use thruway_engine::limits::{Bounds, RING_LEN};
use thruway_engine::{
    Close, Command, ConnId, ConnectTarget, Event, ExportConfig, GroupRegistry, Input, PeerConfig,
    PeerIdPool, PeerRole, PolicyRef, QueryId, Reply, Sink, TransportConfig, Worker, WorkerConfig,
    rings,
};
use thruway_policy::Policy;
use thruway_rib::{DecisionConfig, Hygiene, NextHopCheck, WorkerId};
use thruway_session::{RemoteAs, SessionConfig};
use thruway_wire::attrs::{AttrSetBuf, code};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::message::encode_keepalive;
use thruway_wire::open::{Capability, Open};
use thruway_wire::{Asn, Community, Family, NextHop, Nlri, RouterId, Time};

const PREFIXES: usize = 500_000;
/// Of a full feed: 577,706 routes in 89,641 sets.
const SETS: usize = 78_000;
/// What a receive of the transport brings.
const CHUNK: usize = 64 << 10;

/// Takes everything at once and counts it.
#[derive(Default)]
struct Net {
    sent: Vec<ConnId>,
    octets: u64,
    paused: bool,
}

impl Sink for Net {
    fn connect(&mut self, _conn: ConnId, _target: &ConnectTarget<'_>) {}

    fn send(&mut self, conn: ConnId, chunks: &mut VecDeque<Bytes>) {
        self.octets += chunks
            .drain(..)
            .map(|chunk| chunk.len() as u64)
            .sum::<u64>();
        self.sent.push(conn);
    }

    fn set_reading(&mut self, _conn: ConnId, on: bool) {
        self.paused = !on;
    }

    fn close(&mut self, _conn: ConnId, _how: Close) {
        panic!("no session ends here");
    }

    fn unread(&self, _conn: ConnId) -> bool {
        false
    }

    fn event(&mut self, _event: Event) {}

    fn reply(&mut self, _to: QueryId, _reply: Reply) {}
}

/// One worker and its sessions.
struct Server {
    worker: Worker,
    net: Net,
    now: Time,
}

impl Server {
    fn new(peers: u8) -> (Server, Vec<ConnId>) {
        let groups = Arc::new(GroupRegistry::new(PeerRole::eligibility()));
        let ids = Arc::new(PeerIdPool::new(1000));
        let config = WorkerConfig {
            id: WorkerId(0),
            workers: 1,
            shards: 1,
            seed: 7,
            decision: DecisionConfig::default(),
            bounds: Bounds::default(),
        };
        let ends = rings(1, 1, RING_LEN).pop().expect("one worker's ends");
        let worker = Worker::new(config, ends, groups, ids.clone());
        let mut server = Server {
            worker,
            net: Net::default(),
            now: Time::from_secs(1),
        };
        let conns = (0..peers)
            .map(|n| {
                let id = ids.take().expect("a number");
                server.command(Command::AddPeer(peer(n, id)));
                server.establish(n)
            })
            .collect();
        server.run();
        (server, conns)
    }

    fn command(&mut self, command: Command) {
        self.worker
            .handle(self.now, Input::Command(Box::new(command)), &mut self.net);
    }

    fn establish(&mut self, n: u8) -> ConnId {
        let conn = self.worker.next_conn();
        let local = SocketAddr::new(IpAddr::from([10, 0, 0, 254]), 179);
        let remote = SocketAddr::new(address(n), 40_000);
        self.worker.handle(
            self.now,
            Input::Accepted {
                conn,
                local,
                remote,
            },
            &mut self.net,
        );
        let asn = Asn(65_000 + u32::from(n));
        let open = Open {
            version: 4,
            my_as: asn.to_as2(),
            hold_time: 0,
            router_id: RouterId(0x0a00_0000 + u32::from(n)),
            capabilities: vec![
                Capability::Multiprotocol(Family::Ipv4.to_wire()),
                Capability::FourOctetAs(asn),
            ],
        };
        let mut hello = Vec::new();
        open.encode(&mut hello);
        encode_keepalive(&mut hello);
        self.receive(conn, &hello);
        self.run();
        conn
    }

    fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        let input = Input::Received {
            conn,
            bytes: bytes.into(),
        };
        self.worker.handle(self.now, input, &mut self.net);
    }

    /// One turn, with its sends done at once. True: more to do.
    fn turn(&mut self) -> bool {
        let turn = self.worker.turn(self.now, &mut self.net);
        let mut busy = turn.more;
        for conn in std::mem::take(&mut self.net.sent) {
            self.worker
                .handle(self.now, Input::Sent { conn }, &mut self.net);
            busy = true;
        }
        busy
    }

    fn run(&mut self) {
        while self.turn() {}
    }

    /// Feeds a stream as a transport would: a piece, a turn, and no further piece while reading is off.
    fn feed(&mut self, conn: ConnId, stream: &[u8]) {
        for piece in stream.chunks(CHUNK) {
            while self.net.paused {
                self.turn();
            }
            self.receive(conn, piece);
            self.turn();
        }
        self.run();
    }
}

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n + 1])
}

fn peer(n: u8, id: thruway_rib::PeerId) -> PeerConfig {
    let local_as = Asn(64_500);
    let router_id = RouterId(0x0a00_00fe);
    let mut session = SessionConfig::new(local_as, router_id, RemoteAs::Any);
    session.passive = true;
    session.hold_time = 0;
    let accept = Some(PolicyRef::new(Policy::accept()));
    let role = PeerRole::RouteServerClient;
    PeerConfig {
        id,
        name: format!("peer {n}").into(),
        addr: SocketAddr::new(address(n), 179),
        transport: TransportConfig::default(),
        session,
        role,
        class: role.class(),
        rank: 0,
        import: accept.clone(),
        local_pref: None,
        hygiene: Hygiene {
            local_as,
            allow_own_as: 0,
            martians: [].into(),
            router_id,
            cluster_id: router_id,
            enforce_first_as: true,
            allow_as_sets: false,
            as_path_max: 100,
            next_hop: NextHopCheck::Any,
            interpret_communities: true,
        },
        limits: [None, None],
        max_advertised: [None, None],
        export: ExportConfig::for_role(role, accept, None),
        shutdown: false,
    }
}

/// A table of peer `n` as it stands on the wire: sets of very different sizes, NLRI of one set together.
fn stream(n: u8, version: u64) -> Vec<u8> {
    let mut numbers = Numbers(1);
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    let mut sets = Numbers(u64::from(n) << 32 ^ version);
    while seen.len() < PREFIXES {
        // Most sets have one or two routes, some hundreds: 6.4 in the mean, as in a full feed.
        let spread = numbers.draw() % 64;
        let count = match spread {
            0 => 120,
            1..8 => 18,
            8..24 => 5,
            _ => 1 + (spread % 3) as usize,
        };
        let mut nlri = Vec::with_capacity(count);
        while nlri.len() < count && seen.len() < PREFIXES {
            let prefix = numbers.ipv4();
            if seen.insert(prefix) {
                nlri.push(Nlri { path_id: 0, prefix });
            }
        }
        let set = set(n, &mut sets);
        encode::announce(
            &mut out,
            set.as_ref(),
            &Rewrite::TRANSPARENT,
            &Encoding::PLAIN,
            nlri.into_iter(),
        )
        .expect("it fits");
    }
    out
}

fn set(n: u8, numbers: &mut Numbers) -> AttrSetBuf {
    let mut set = AttrSetBuf::new();
    let IpAddr::V4(next_hop) = address(n) else {
        unreachable!("addresses are IPv4")
    };
    set.set_next_hop(Some(NextHop::V4(next_hop)));
    set.set_origin(0);
    set.set_raw(code::AS_PATH, 0x40, &[]);
    let which = numbers.draw() % SETS as u64;
    for hop in 0..2 + which % 4 {
        set.prepend(Asn(1000 + ((which >> hop) % 60_000) as u32), 1);
    }
    set.prepend(Asn(65_000 + u32::from(n)), 1);
    set.add_community(Community(which as u32 + 0x0001_0000));
    set
}

/// A full table from one peer to N receivers.
fn full_table(c: &mut Criterion) {
    let table = stream(0, 1);
    let mut group = c.benchmark_group("engine/full_table");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(PREFIXES as u64));
    for receivers in [0, 1, 10, 100] {
        group.bench_function(BenchmarkId::new("receivers", receivers), |b| {
            b.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let (mut server, conns) = Server::new(1 + receivers);
                    let before = server.net.octets;
                    let start = Instant::now();
                    server.feed(conns[0], &table);
                    spent += start.elapsed();
                    let told = server.net.octets - before;
                    assert!(told as usize >= usize::from(receivers) * PREFIXES * 4);
                }
                spent
            });
        });
    }
    group.finish();
}

/// A second peer's table over the first one's: each prefix is contested.
fn contested(c: &mut Criterion) {
    let tables: Vec<Vec<u8>> = (0..2).map(|n| stream(n, 1)).collect();
    let mut group = c.benchmark_group("engine/contested");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(PREFIXES as u64));
    group.bench_function("second_of_two_tables", |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let (mut server, conns) = Server::new(3);
                server.feed(conns[0], &tables[0]);
                let start = Instant::now();
                server.feed(conns[1], &tables[1]);
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}

/// A full table to a receiver that comes late: by a reader.
fn late_receiver(c: &mut Criterion) {
    let table = stream(0, 1);
    let mut group = c.benchmark_group("engine/late_receiver");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(PREFIXES as u64));
    group.bench_function("soft_reset_out", |b| {
        let (mut server, conns) = Server::new(2);
        server.feed(conns[0], &table);
        b.iter(|| {
            let before = server.net.octets;
            let peer = thruway_rib::PeerId(1);
            let kind = thruway_engine::Reset::SoftOut;
            server.command(Command::Reset { peer, kind });
            server.run();
            assert!((server.net.octets - before) as usize >= PREFIXES * 4);
        });
    });
    group.finish();
}

criterion_group!(benches, full_table, contested, late_receiver);
criterion_main!(benches);
