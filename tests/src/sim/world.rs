//! Workers, hosts, the links between them, the clock, and the order of turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thruway_engine::limits::{Bounds, RING_LEN, SETTLE_ROUNDS};
use thruway_engine::status::WorkerStatus;
use thruway_engine::{
    Close, Command, ConfigChange, ConnId, ConnectTarget, Event, ExportConfig, GroupRegistry, Input,
    Outlook, PeerConfig, PeerDirectory, PeerIdPool, PeerRole, PolicyRef, QueryId, Reply, Settled,
    Sink, TransportConfig, Worker, WorkerConfig, rings,
};
use thruway_policy::Policy;
use thruway_rib::{
    AddPathSend, DecisionConfig, Eligibility, Filter, Foreseen, Hygiene, NextHopCheck, PeerId,
    PlanRow, Proposal, Query, RouteRow, WorkerId,
};
use thruway_session::{AddPathOffer, RemoteAs, SessionConfig};
use thruway_wire::{Asn, Prefix, RouterId, Time};

use super::host::{Host, HostConfig, Phase};
use super::link::Link;
use super::model;
use super::rng::Rng;

/// The server's AS.
pub const SERVER_AS: Asn = Asn(64_500);
/// The server's address and BGP identifier.
pub const SERVER: [u8; 4] = [10, 9, 255, 254];
/// Rounds without an end in sight.
const ROUNDS_MAX: u32 = 200_000;

/// What a worker asked of the world in one call.
#[derive(Debug)]
enum Act {
    Connect(ConnId, SocketAddr),
    Send(ConnId, VecDeque<Bytes>),
    Reading(ConnId, bool),
    Close(ConnId, Close),
}

/// Collects what a worker asks for.
struct Collect<'a> {
    worker: usize,
    links: &'a [Link],
    room: bool,
    acts: Vec<Act>,
    events: &'a mut Vec<(usize, Event)>,
    replies: &'a mut Vec<(QueryId, Reply)>,
}

impl Sink for Collect<'_> {
    fn connect(&mut self, conn: ConnId, target: &ConnectTarget<'_>) {
        self.acts.push(Act::Connect(conn, target.remote));
    }

    fn send(&mut self, conn: ConnId, chunks: &mut VecDeque<Bytes>) {
        self.acts.push(Act::Send(conn, std::mem::take(chunks)));
    }

    fn set_reading(&mut self, conn: ConnId, on: bool) {
        self.acts.push(Act::Reading(conn, on));
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        self.acts.push(Act::Close(conn, how));
    }

    fn unread(&self, conn: ConnId) -> bool {
        let mut own = self.links.iter().filter(|link| link.worker == self.worker);
        own.any(|link| link.conn == conn && !link.up.is_empty())
    }

    fn event(&mut self, event: Event) {
        self.events.push((self.worker, event));
    }

    fn reply(&mut self, to: QueryId, reply: Reply) {
        self.replies.push((to, reply));
    }

    fn has_room(&self, _to: QueryId) -> bool {
        self.room
    }
}

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Workers.
    pub workers: usize,
    /// Shards.
    pub shards: usize,
    /// Batches in each ring.
    pub bound: usize,
    /// Octets that a worker is handed at a time, at most.
    pub chunk: usize,
    /// Bounds of a turn and of queues.
    pub bounds: Bounds,
}

impl Shape {
    /// Every bound as small as it can be: each queue fills all the time.
    #[must_use]
    pub fn tight(workers: usize, shards: usize) -> Self {
        let bounds = Bounds {
            messages: 2,
            carry_pause: 64,
            carry_resume: 16,
            batch_nlri: 1,
            shard_batches: 1,
            sweep_slots: 1,
            group_entries: 1,
            query_slots: 1,
            pull_nlri: 1,
            egress_batches: 1,
            member_high: 200,
            member_max: 500,
            member_low: 50,
            egress_bytes: 1 << 20,
        };
        Shape {
            workers,
            shards,
            bound: 1,
            chunk: 100,
            bounds,
        }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            workers: 2,
            shards: 2,
            bound: RING_LEN,
            chunk: 64 << 10,
            bounds: Bounds::default(),
        }
    }
}

/// A host's place in the world.
#[derive(Debug)]
pub struct Station {
    /// The speaker.
    pub host: Host,
    /// Its number at the server.
    pub peer: PeerId,
    /// Its configuration there.
    pub config: PeerConfig,
    /// It connects, or takes connections.
    pub online: bool,
    worker: usize,
    /// Not to connect before.
    retry: Time,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The time.
    pub now: Time,
    /// The seed's numbers.
    pub rng: Rng,
    /// The speakers.
    pub stations: Vec<Station>,
    /// What workers said, with who said it.
    pub events: Vec<(usize, Event)>,
    /// Who may be advertised whose routes.
    pub matrix: Eligibility,
    /// Answers are taken.
    pub room: bool,
    /// Answers.
    pub replies: Vec<(QueryId, Reply)>,
    shape: Shape,
    workers: Vec<Worker>,
    /// By worker: it asked for another turn, was woken, or had input. Nobody else gets a turn, so a
    /// wake-up that is forgotten shows as work that is never done.
    due: Vec<bool>,
    links: Vec<Link>,
    directory: PeerDirectory,
    ids: Arc<PeerIdPool>,
    queries: u64,
}

impl World {
    /// A server without peers.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        let groups = Arc::new(GroupRegistry::new(PeerRole::eligibility()));
        let ids = Arc::new(PeerIdPool::new(1000));
        let ends = rings(shape.workers, shape.shards, shape.bound);
        let workers = ends.into_iter().enumerate().map(|(id, ends)| {
            let config = WorkerConfig {
                id: WorkerId(id as u8),
                workers: shape.workers,
                shards: shape.shards,
                seed,
                decision: DecisionConfig::default(),
                bounds: shape.bounds,
            };
            Worker::new(config, ends, groups.clone(), ids.clone())
        });
        World {
            now: Time::from_secs(1),
            rng: Rng::new(seed),
            stations: Vec::new(),
            events: Vec::new(),
            matrix: PeerRole::eligibility(),
            room: true,
            replies: Vec::new(),
            shape,
            workers: workers.collect(),
            due: vec![true; shape.workers],
            links: Vec::new(),
            directory: PeerDirectory::new(shape.workers, seed, [], []),
            ids,
            queries: 0,
        }
    }

    /// Adds a host and configures it at the server; its index.
    pub fn add(
        &mut self,
        host: HostConfig,
        role: PeerRole,
        tweak: impl FnOnce(&mut PeerConfig),
    ) -> usize {
        let peer = self.ids.take().expect("numbers for a thousand hosts");
        let mut config = peer_config(peer, &host, role);
        tweak(&mut config);
        let worker = self.directory.home(host.addr).index();
        self.command(worker, Command::AddPeer(config.clone()));
        self.stations.push(Station {
            host: Host::new(host),
            peer,
            config,
            online: true,
            worker,
            retry: Time::ZERO,
        });
        self.stations.len() - 1
    }

    /// A speaker.
    pub fn host(&mut self, station: usize) -> &mut Host {
        &mut self.stations[station].host
    }

    /// Adds a host that the server knows only by a range.
    pub fn add_stranger(&mut self, host: HostConfig) -> usize {
        let config = peer_config(PeerId(u16::MAX), &host, PeerRole::External);
        let worker = self.directory.home(host.addr).index();
        self.stations.push(Station {
            host: Host::new(host),
            peer: config.id,
            config,
            online: true,
            worker,
            retry: Time::ZERO,
        });
        self.stations.len() - 1
    }

    /// Tells a worker something.
    pub fn command(&mut self, worker: usize, command: Command) {
        self.call(worker, |worker, now, sink| {
            worker.handle(now, Input::Command(Box::new(command)), sink);
        });
    }

    /// Tells the worker of a host something.
    pub fn command_for(&mut self, station: usize, command: Command) {
        self.command(self.stations[station].worker, command);
    }

    /// Puts another matrix in place.
    pub fn set_matrix(&mut self, matrix: Eligibility) {
        self.matrix = matrix;
        self.command_all(&Command::Eligibility(matrix));
    }

    /// Wakes every worker, as one does who has room for answers again.
    pub fn wake(&mut self) {
        self.due.fill(true);
    }

    /// Asks every shard and does not wait for the answer.
    pub fn ask_aside(&mut self, query: Query) {
        self.queries += 1;
        let id = QueryId(self.queries);
        self.command_all(&Command::Query { id, query });
    }

    /// Removes every host's peer. Panics where a worker or shard then holds anything.
    pub fn check_empty(&mut self, what: &str) {
        for station in 0..self.stations.len() {
            self.stations[station].online = false;
            let peer = self.stations[station].peer;
            self.command_for(station, Command::RemovePeer(peer));
        }
        self.pass(Duration::from_secs(10));
        for status in self.status() {
            let counters = &status.counters;
            assert_eq!(
                (counters.sets, counters.queued),
                (0, 0),
                "{what}: sets and octets queued"
            );
            assert_eq!(status.peers.len(), 0, "{what}: peers");
            if let Some(shard) = status.shard {
                let left = (shard.prefixes, shard.paths, shard.sets, shard.log);
                assert_eq!(
                    left,
                    ([0; 2], [0; 2], 0, 0),
                    "{what}: prefixes, paths, sets, log"
                );
            }
        }
    }

    /// Tells the server a host's configuration again.
    pub fn reconfigure(&mut self, station: usize) {
        let config = self.stations[station].config.clone();
        self.command_for(station, Command::UpdatePeer(config));
    }

    /// Removes a host's peer at the server and adds it anew, under another number.
    pub fn replace(&mut self, station: usize) {
        let Some(peer) = self.ids.take() else { return };
        let old = std::mem::replace(&mut self.stations[station].peer, peer);
        self.stations[station].config.id = peer;
        let config = self.stations[station].config.clone();
        self.command_for(station, Command::RemovePeer(old));
        self.command_for(station, Command::AddPeer(config));
    }

    /// Tells every worker something.
    pub fn command_all(&mut self, command: &Command) {
        for worker in 0..self.workers.len() {
            self.command(worker, command.clone());
        }
    }

    /// Asks every shard, waits for all the answers.
    pub fn ask(&mut self, query: Query) -> Vec<RouteRow> {
        self.queries += 1;
        let id = QueryId(self.queries);
        self.command_all(&Command::Query { id, query });
        self.run();
        let mut rows = Vec::new();
        let mut done = 0;
        for (to, reply) in std::mem::take(&mut self.replies) {
            match reply {
                Reply::Rows(more) if to == id => rows.extend(more),
                Reply::Done if to == id => done += 1,
                _ => {}
            }
        }
        assert_eq!(done, self.workers.len(), "every worker answers");
        rows
    }

    /// What would become of every peer under other configurations.
    pub fn outlook(&mut self, changes: Vec<ConfigChange>) -> Vec<Outlook> {
        self.queries += 1;
        let id = QueryId(self.queries);
        let changes = Arc::new(changes);
        self.command_all(&Command::Outlook { id, changes });
        let replies = std::mem::take(&mut self.replies).into_iter();
        let outlooks = replies.filter_map(|(to, reply)| match reply {
            Reply::Outlook(outlooks) if to == id => Some(outlooks),
            _ => None,
        });
        outlooks.flatten().collect()
    }

    /// What a proposal would do to routes.
    pub fn plan(&mut self, proposal: Proposal) -> (Vec<Foreseen>, Vec<PlanRow>) {
        self.queries += 1;
        let id = QueryId(self.queries);
        let proposal = Arc::new(proposal);
        self.command_all(&Command::Plan { id, proposal });
        self.run();
        let (mut foreseen, mut rows) = (Vec::new(), Vec::new());
        for (to, reply) in std::mem::take(&mut self.replies) {
            match reply {
                Reply::PlanRows(more) if to == id => rows.extend(more),
                Reply::Planned(counts) if to == id => foreseen.push(counts),
                _ => {}
            }
        }
        assert_eq!(foreseen.len(), self.workers.len(), "every worker answers");
        (foreseen, rows)
    }

    /// How each worker is.
    pub fn status(&mut self) -> Vec<WorkerStatus> {
        self.queries += 1;
        let id = QueryId(self.queries);
        self.command_all(&Command::Status(id));
        let replies = std::mem::take(&mut self.replies).into_iter();
        let statuses = replies.filter_map(|(to, reply)| match reply {
            Reply::Status(status) if to == id => Some(*status),
            _ => None,
        });
        statuses.collect()
    }

    /// Asks all workers until what came so far is through, and takes turns only until then. Returns how
    /// they stood.
    pub fn quiet(&mut self) -> Vec<Settled> {
        let mut last = Vec::new();
        for _ in 0..SETTLE_ROUNDS {
            self.queries += 1;
            let id = QueryId(self.queries);
            self.command_all(&Command::Settle(id));
            last.clear();
            let mut rounds = 0;
            while last.len() < self.workers.len() {
                self.round();
                for (to, reply) in std::mem::take(&mut self.replies) {
                    match reply {
                        Reply::Settled(settled) if to == id => last.push(settled),
                        _ => {}
                    }
                }
                rounds += 1;
                assert!(rounds < ROUNDS_MAX, "nothing settles");
            }
        }
        last
    }

    /// By peer: routes announced to it and withdrawn from it, as queued so far.
    pub fn told(&mut self) -> BTreeMap<PeerId, (u64, u64)> {
        let statuses = self.status();
        let peers = statuses.iter().flat_map(|status| &status.peers);
        peers
            .map(|peer| (peer.peer, (peer.routes_announced, peer.routes_withdrawn)))
            .collect()
    }

    /// Panics where the shards' count of who tells whom is not the model's.
    pub fn check_tally(&mut self, what: &str) {
        let query = Query::Tally { eligibility: None };
        self.ask_aside(query);
        self.run();
        let mut tally: BTreeMap<_, [u64; 3]> = BTreeMap::new();
        let mut answers = 0;
        for (_, reply) in std::mem::take(&mut self.replies) {
            let Reply::Tally(rows) = reply else { continue };
            answers += 1;
            for row in rows {
                let counts = [row.prefixes, row.kept_back, row.beaten];
                let sum = tally.entry((row.from, row.to)).or_default();
                sum.iter_mut()
                    .zip(counts)
                    .for_each(|(sum, more)| *sum += more);
            }
        }
        assert_eq!(answers, self.workers.len(), "{what}: every worker answers");
        let model = model::tally(&self.stations, &self.matrix);
        assert_eq!(tally, model, "{what}: who tells whom");
    }

    /// Panics where a host was not told what the model says, with what the server has to say about it.
    pub fn check(&mut self, what: &str) {
        let Some((index, prefix, text)) = model::difference(&self.stations, &self.matrix) else {
            return;
        };
        let peer = self.stations[index].peer;
        let statuses = self.status();
        let mut peers = statuses.iter().flat_map(|status| &status.peers);
        let group = peers
            .find(|status| status.peer == peer)
            .and_then(|status| status.group);
        let to = group.map(|group| (peer, group));
        let rows = self.ask(Query::Explain { prefix, to });
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let RouteRow { peer, path_id, best, stale, rejection, lost, advertised, .. } = row;
                format!(
                    "{peer:?}/{path_id} best {best} {stale:?} {rejection:?} lost {lost:?} {advertised:?}"
                )
            })
            .collect();
        for station in &self.stations {
            let host = &station.host;
            let own = host.announces.iter().filter(|((at, _), _)| *at == prefix);
            for ((_, path_id), route) in own {
                eprintln!(
                    "{:?}/{path_id} {:?} announces {route:?}",
                    station.peer, host.config
                );
            }
        }
        panic!(
            "{what}: {text}\nshape {:?}\n{}",
            self.shape,
            rows.join("\n")
        );
    }

    /// Panics where the counters do not say what hosts announce and were told, or a query of all routes
    /// does not list them.
    pub fn check_counts(&mut self, what: &str) {
        let statuses = self.status();
        let rows = self.ask(Query::Routes(Filter::All(None)));
        for station in self
            .stations
            .iter()
            .filter(|station| station.host.phase == Phase::Up)
        {
            let (host, peer) = (&station.host, station.peer);
            let tables = statuses.iter().flat_map(|status| &status.tables);
            let own = tables
                .filter(|table| table.peer == peer)
                .flat_map(|table| table.families);
            let (held, told) = own.fold((0, 0), |(held, told), counts| {
                (held + counts.received, told + counts.advertised)
            });
            let listed = rows.iter().filter(|row| row.peer == peer).count();
            assert_eq!(
                (held, told, listed),
                (
                    host.announces.len() as u64,
                    host.table.len() as u64,
                    host.announces.len()
                ),
                "{what}: routes of {peer:?} held, told, listed"
            );
        }
        let prefixes: BTreeSet<Prefix> = rows.iter().map(|row| row.prefix).collect();
        for prefix in prefixes {
            let all = rows.iter().filter(|row| row.prefix == prefix).count();
            let explained = self.ask(Query::Explain { prefix, to: None });
            assert_eq!(explained.len(), all, "{what}: paths of {prefix} explained");
            let best = explained.iter().filter(|row| row.best).count();
            let able = explained.iter().any(|row| row.rejection.is_none());
            assert_eq!(best, usize::from(able), "{what}: one best path of {prefix}");
        }
    }

    /// Cuts a host's connection as a broken network does.
    pub fn cut(&mut self, station: usize) {
        for link in self.links.iter_mut().filter(|link| link.host == station) {
            link.host_closed = true;
            link.error = Some("connection reset by peer");
            link.up.clear();
        }
        self.stations[station].host.disconnected();
    }

    /// Everybody gets turns, in random order, until nobody has anything to do.
    pub fn run(&mut self) {
        let mut idle = 0;
        for _ in 0..ROUNDS_MAX {
            if self.round() {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > 2 {
                return;
            }
        }
        panic!("no rest after {ROUNDS_MAX} rounds at {:?}", self.now);
    }

    /// A few rounds of turns, whether that is enough or not.
    pub fn some_rounds(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.round();
        }
    }

    /// Time passes, with turns at every deadline on the way.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.run();
            let next = self.deadline().max(self.now + Duration::from_millis(1));
            if next > end {
                break;
            }
            self.now = next;
        }
        self.now = end;
        self.run();
    }

    /// Time jumps: nobody had a turn meanwhile.
    pub fn jump(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// Runs until every host that is online is Established and was told everything.
    pub fn settle(&mut self) {
        for _ in 0..400 {
            self.run();
            let waiting = |station: &Station| {
                let host = &station.host;
                let families = host.config.families;
                let told = families
                    .iter()
                    .all(|family| host.end_of_rib[family.index()]);
                station.online && !(host.phase == Phase::Up && told)
            };
            if !self.stations.iter().any(waiting) {
                return;
            }
            self.pass(Duration::from_secs(1));
        }
        let phases: Vec<_> = self
            .stations
            .iter()
            .map(|s| (s.host.phase, s.host.end_of_rib))
            .collect();
        panic!("hosts do not come up: {phases:?}, {:?}", self.events);
    }

    fn deadline(&self) -> Time {
        let workers = self.workers.iter().map(Worker::deadline);
        let hosts = self.stations.iter().map(|station| station.host.deadline());
        let retries = self.stations.iter().map(|station| {
            let connects = station.online && !station.host.config.passive;
            let down = station.host.phase == Phase::Down;
            if connects && down {
                station.retry
            } else {
                Time::NEVER
            }
        });
        workers
            .chain(hosts)
            .chain(retries)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// One turn each; true where something happened.
    fn round(&mut self) -> bool {
        let mut actors: Vec<usize> = (0..self.workers.len() + self.stations.len()).collect();
        self.rng.shuffle(&mut actors);
        let mut busy = false;
        for actor in actors {
            busy |= match actor.checked_sub(self.workers.len()) {
                None => self.worker_turn(actor),
                Some(station) => self.host_turn(station),
            };
        }
        busy
    }

    fn worker_turn(&mut self, worker: usize) -> bool {
        let mut busy = false;
        for index in (0..self.links.len()).rev() {
            if self.links[index].worker == worker {
                busy |= self.deliver(index);
            }
        }
        let late = self.workers[worker].deadline() <= self.now;
        if !std::mem::take(&mut self.due[worker]) && !late {
            return busy;
        }
        let mut turn = thruway_engine::Turn::default();
        self.call(worker, |worker, now, sink| turn = worker.turn(now, sink));
        self.due[worker] = turn.more;
        for (woken, due) in self.due.iter_mut().enumerate() {
            *due |= turn.wake >> woken & 1 == 1;
        }
        true
    }

    /// What a link has for its worker.
    fn deliver(&mut self, index: usize) -> bool {
        let link = &mut self.links[index];
        let (worker, conn) = (link.worker, link.conn);
        let mut busy = link.pump();
        if link.owes_sent && link.in_flight.is_empty() && !link.worker_closed {
            link.owes_sent = false;
            busy = true;
            self.call(worker, |worker, now, sink| {
                worker.handle(now, Input::Sent { conn }, sink);
            });
        }
        let link = &mut self.links[index];
        if link.worker_closed {
            link.up.clear();
        }
        if link.reading && !link.up.is_empty() {
            let max = 1 + self.rng.below(self.shape.chunk);
            let bytes = self.links[index].take_up(max);
            self.call(worker, |worker, now, sink| {
                worker.handle(
                    now,
                    Input::Received {
                        conn,
                        bytes: bytes.into(),
                    },
                    sink,
                );
            });
            return true;
        }
        let link = &self.links[index];
        let drained = link.down.is_empty() && link.in_flight.is_empty();
        let ended = link.host_closed && (link.up.is_empty() || link.worker_closed);
        if ended || link.worker_closed && drained {
            let link = self.links.remove(index);
            if !link.host_closed {
                self.hang_up(link.host);
            }
            let error = link.error.filter(|_| !link.worker_closed).map(Into::into);
            self.call(worker, |worker, now, sink| {
                worker.handle(now, Input::Closed { conn, error }, sink);
            });
            return true;
        }
        busy
    }

    fn hang_up(&mut self, station: usize) {
        let retry = self.now + Duration::from_millis(500);
        let station = &mut self.stations[station];
        station.host.disconnected();
        station.retry = retry;
    }

    fn host_turn(&mut self, index: usize) -> bool {
        let station = &mut self.stations[index];
        let Some(link) = self
            .links
            .iter_mut()
            .find(|link| link.host == index && !link.host_closed)
        else {
            let wants = station.online
                && !station.host.config.passive
                && station.retry <= self.now
                && !self.links.iter().any(|link| link.host == index);
            return wants && self.dial(index);
        };
        let mut busy = link.pump();
        let len = link.down.len().min(station.host.rate);
        if len > 0 {
            let bytes: Vec<u8> = link.down.drain(..len).collect();
            station.host.receive(&bytes);
            busy = true;
        }
        station.host.tick(self.now);
        busy |= !station.host.output.is_empty();
        link.up.extend(station.host.output.drain(..));
        if !station.online {
            link.host_closed = true;
            station.host.disconnected();
            busy = true;
        }
        busy
    }

    fn dial(&mut self, index: usize) -> bool {
        let station = &mut self.stations[index];
        let worker = station.worker;
        let Some(conn) = self.workers.get_mut(worker).map(Worker::next_conn) else {
            return false;
        };
        station.retry = self.now + Duration::from_secs(2);
        station.host.connected(self.now);
        let remote = SocketAddr::new(station.host.config.addr, 40_000);
        self.links.push(Link::new(worker, conn, index));
        let local = SocketAddr::new(IpAddr::from(SERVER), 179);
        self.call(worker, |worker, now, sink| {
            worker.handle(
                now,
                Input::Accepted {
                    conn,
                    local,
                    remote,
                },
                sink,
            );
        });
        true
    }

    /// Calls a worker and does what it asks; true where it asked for something.
    fn call(&mut self, worker: usize, call: impl FnOnce(&mut Worker, Time, &mut dyn Sink)) -> bool {
        let mut sink = Collect {
            worker,
            links: &self.links,
            room: self.room,
            acts: Vec::new(),
            events: &mut self.events,
            replies: &mut self.replies,
        };
        self.due[worker] = true;
        call(&mut self.workers[worker], self.now, &mut sink);
        let acts = sink.acts;
        let busy = !acts.is_empty();
        for act in acts {
            self.perform(worker, act);
        }
        busy
    }

    fn perform(&mut self, worker: usize, act: Act) {
        let link = |links: &mut Vec<Link>, conn| {
            links
                .iter()
                .position(|link| link.worker == worker && link.conn == conn)
        };
        match act {
            Act::Connect(conn, remote) => self.answer_call(worker, conn, remote),
            Act::Send(conn, chunks) => {
                let Some(at) = link(&mut self.links, conn) else {
                    return;
                };
                let link = &mut self.links[at];
                assert!(!link.owes_sent, "one send under way at a time");
                link.in_flight = chunks;
                link.owes_sent = true;
            }
            Act::Reading(conn, on) => {
                if let Some(at) = link(&mut self.links, conn) {
                    self.links[at].reading = on;
                }
            }
            Act::Close(conn, how) => {
                let Some(at) = link(&mut self.links, conn) else {
                    return;
                };
                let link = &mut self.links[at];
                link.worker_closed = true;
                match how {
                    Close::Graceful { last } => link.in_flight.push_back(last),
                    Close::Now => {
                        link.in_flight.clear();
                        link.down.clear();
                    }
                }
            }
        }
    }

    /// The server connects to a host.
    fn answer_call(&mut self, worker: usize, conn: ConnId, remote: SocketAddr) {
        let found = self.stations.iter().position(|station| {
            station.host.config.addr == remote.ip() && station.online && station.host.config.passive
        });
        let busy = |index| self.links.iter().any(|link| link.host == index);
        match found.filter(|index| !busy(*index)) {
            Some(index) => {
                self.stations[index].host.connected(self.now);
                self.links.push(Link::new(worker, conn, index));
                let local = SocketAddr::new(IpAddr::from(SERVER), 50_000);
                self.call(worker, |worker, now, sink| {
                    worker.handle(
                        now,
                        Input::Connected {
                            conn,
                            local,
                            remote,
                        },
                        sink,
                    );
                });
            }
            None => {
                let error = "connection refused".into();
                self.call(worker, |worker, now, sink| {
                    worker.handle(now, Input::ConnectFailed { conn, error }, sink);
                });
            }
        }
    }
}

/// A plain configuration for a host: policies accept everything.
fn peer_config(id: PeerId, host: &HostConfig, role: PeerRole) -> PeerConfig {
    let router_id = RouterId(u32::from_be_bytes(SERVER));
    let mut session = SessionConfig::new(SERVER_AS, router_id, RemoteAs::One(host.asn));
    session.passive = !host.passive;
    session.connect_retry = Duration::from_secs(5);
    session.add_path = [AddPathOffer {
        receive: true,
        send: true,
    }; 2];
    let accept = Some(PolicyRef::new(Policy::accept()));
    let cluster = matches!(role, PeerRole::ReflectorClient | PeerRole::Internal);
    let mut export = ExportConfig::for_role(role, accept.clone(), cluster.then_some(router_id));
    export.add_path = [AddPathSend::All; 2];
    PeerConfig {
        id,
        name: format!("host-{}", host.addr).into(),
        addr: SocketAddr::new(host.addr, 179),
        transport: TransportConfig::default(),
        session,
        role,
        class: role.class(),
        rank: 0,
        import: accept,
        local_pref: None,
        hygiene: Hygiene {
            local_as: SERVER_AS,
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
        export,
        shutdown: false,
    }
}
