//! What a plan foretells is what happens: random worlds, random changes of policies, limits, sessions and
//! the matrix; each is foretold, made, and compared, route by route.
//!
//! `THRUWAY_PLAN_SEED=N cargo test -p thruway-tests --test plan` plays one seed again;
//! `THRUWAY_PLAN_SEEDS=N` sets how many are played.

mod compare;
mod policies;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use compare::Comparison;
use policies::Policies;
use thruway_engine::limits::{Bounds, RING_LEN};
use thruway_engine::{Comes, ConfigChange, LimitConfig, Outlook, PeerConfig, PeerRole, propose};
use thruway_rib::{
    AddPathSend, Eligibility, Filter, LimitAction, NextHopCheck, PeerClass, PeerId, Query,
};
use thruway_session::{AddPathOffer, GrOffer, RemoteAs};
use thruway_tests::sim::host::{HostConfig, Key, Phase, Route};
use thruway_tests::sim::model::octets;
use thruway_tests::sim::rng::Rng;
use thruway_tests::sim::world::{SERVER_AS, Shape, World};
use thruway_wire::{Asn, Community, Family, FamilySet};
use watched::Watching;

/// Seeds that CI plays.
const SEEDS: u64 = 200;
/// Changes a world.
const CHANGES: usize = 4;
/// Prefixes of each family that hosts fight over.
const PREFIXES: usize = 20;

#[test]
fn what_is_foretold_happens() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    if let Some(seed) = number("THRUWAY_PLAN_SEED") {
        play(seed);
        return;
    }
    let mut sum = Seen::default();
    for seed in 0..number("THRUWAY_PLAN_SEEDS").unwrap_or(SEEDS) {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(seen) => sum.add(&seen),
            Err(panic) => {
                eprintln!("plan: seed {seed} failed; again with THRUWAY_PLAN_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    println!("plan: {sum:?}");
    // Worlds in which nothing happens would agree with anything.
    let all = [
        sum.announced,
        sum.changed,
        sum.withdrawn,
        sum.accepted,
        sum.rejected,
        sum.resets,
    ];
    assert!(all.iter().all(|count| *count > 20), "{sum:?}");
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    announced: u64,
    changed: u64,
    withdrawn: u64,
    accepted: u64,
    rejected: u64,
    resets: u64,
    limited: u64,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        let Seen {
            announced,
            changed,
            withdrawn,
            accepted,
            rejected,
            resets,
            limited,
        } = other;
        self.announced += announced;
        self.changed += changed;
        self.withdrawn += withdrawn;
        self.accepted += accepted;
        self.rejected += rejected;
        self.resets += resets;
        self.limited += limited;
    }
}

fn play(seed: u64) -> Seen {
    let mut rng = Rng::new(seed);
    let mut world = World::new(shape(&mut rng), seed);
    let hosts = 3 + rng.below(5);
    world.set_matrix(matrix(&mut rng));
    let policies = Policies::new(1);
    for n in 1..=hosts {
        add_host(&mut world, &mut rng, n as u8, &policies);
    }
    for _ in 0..40 * hosts {
        let host = rng.below(hosts);
        announce(&mut world, &mut rng, host);
    }
    rest(&mut world);
    let mut seen = Seen::default();
    for change in 0..CHANGES {
        let what = format!("seed {seed}, change {change}");
        let policies = Policies::new(2 + change as u32);
        seen.add(&step(&mut world, &mut rng, &policies, &what));
        for _ in 0..rng.below(30) {
            let host = rng.below(hosts);
            announce(&mut world, &mut rng, host);
        }
        rest(&mut world);
    }
    seen
}

/// Long enough for restart times, connect retries and the rest after an ended session.
fn rest(world: &mut World) {
    for _ in 0..20 {
        world.pass(Duration::from_secs(60));
        let online = |station: &&thruway_tests::sim::world::Station| station.online;
        let mut stations = world.stations.iter().filter(online);
        if stations.all(|station| station.host.phase == Phase::Up) {
            break;
        }
    }
    world.pass(Duration::from_secs(60));
}

fn shape(rng: &mut Rng) -> Shape {
    let workers = 1 + rng.below(3);
    let shards = 1 + rng.below(workers);
    let bounds = Bounds {
        query_slots: [1, 7, 4096][rng.below(3)],
        ..Bounds::default()
    };
    Shape {
        workers,
        shards,
        bound: RING_LEN,
        chunk: 4096,
        bounds,
    }
}

/// The kinds of a route exchange, 8 to 11, with the switch here or there; now and then not as it should be.
fn matrix(rng: &mut Rng) -> Eligibility {
    let mut matrix = PeerRole::eligibility();
    let on = if rng.one_in(2) { 0xf00 } else { 0 };
    matrix.0[8] = 0xf00;
    matrix.0[9] = 0x300 | on & 0xc00;
    matrix.0[10] = 0x100 | on & 0xa00;
    matrix.0[11] = 0x100 | on & 0x600;
    for row in matrix.0.iter_mut().take(5) {
        *row |= 0xf00;
    }
    for row in matrix.0.iter_mut().skip(8).take(4) {
        *row |= 0x1f;
    }
    if rng.one_in(3) {
        matrix.0[8 + rng.below(4)] ^= 1 << (8 + rng.below(4));
    }
    matrix
}

fn add_host(world: &mut World, rng: &mut Rng, n: u8, policies: &Policies) {
    let role = match rng.below(6) {
        0 => PeerRole::External,
        1 => PeerRole::Internal,
        2 => PeerRole::ReflectorClient,
        _ => PeerRole::RouteServerClient,
    };
    let mut host = HostConfig::new(n);
    if !matches!(role, PeerRole::External | PeerRole::RouteServerClient) {
        host.asn = SERVER_AS;
    }
    host.as4 = !rng.one_in(4);
    host.extended = rng.one_in(3);
    host.enhanced_refresh = rng.one_in(2);
    host.add_path_send = if rng.one_in(3) {
        FamilySet::ALL
    } else {
        FamilySet::EMPTY
    };
    host.add_path_receive = if rng.one_in(3) {
        FamilySet::ALL
    } else {
        FamilySet::EMPTY
    };
    host.passive = rng.one_in(4);
    host.restart_time = rng.one_in(3).then_some(5);
    let class = rng.one_in(2).then(|| PeerClass(8 + rng.below(4) as u8));
    let rank = rng.below(3) as u8;
    let limit = rng.one_in(5).then(|| max_advertised(rng));
    let (import, export) = (policies.pick(rng), policies.pick(rng));
    world.add(host, role, |peer| {
        peer.session.graceful_restart = Some(GrOffer::default());
        peer.import = import;
        peer.export.policy = export;
        peer.max_advertised = [limit, None];
        if let Some(class) = class {
            (peer.class, peer.rank) = (class, rank);
        }
    });
}

fn max_advertised(rng: &mut Rng) -> LimitConfig {
    LimitConfig {
        max: 1 + rng.below(20) as u32,
        warn_at: 3,
        action: if rng.one_in(4) {
            LimitAction::Warn
        } else {
            LimitAction::Block
        },
        accepted_only: false,
        restart_after: None,
    }
}

fn announce(world: &mut World, rng: &mut Rng, host: usize) {
    let config = world.host(host).config.clone();
    let n = rng.below(PREFIXES);
    let v6 = rng.one_in(4);
    let text = if v6 {
        format!("2a{n:02x}:{n}::/32")
    } else {
        format!("{}.0.0.0/{}", 20 + 9 * n, 8 + n % 17)
    };
    let family = if v6 { Family::Ipv6 } else { Family::Ipv4 };
    let path_id = match config.add_path_send.contains(family) {
        true => 1 + rng.below(3) as u32,
        false => 0,
    };
    let key: Key = (text.parse().expect("a prefix"), path_id);
    if rng.one_in(12) {
        world.host(host).withdraw(key);
        return;
    }
    let internal = config.asn == SERVER_AS;
    let mut path: Vec<u32> = (0..rng.below(4))
        .map(|_| 70 + rng.below(3) as u32)
        .collect();
    if !internal {
        path.insert(0, config.asn.0);
    }
    if rng.one_in(15) {
        path.push(SERVER_AS.0);
    }
    let special = [
        Community::NO_EXPORT,
        Community::NO_ADVERTISE,
        Community::GRACEFUL_SHUTDOWN,
    ];
    let communities = match rng.below(8) {
        0 => vec![special[rng.below(3)]],
        1 | 2 => vec![Community(0x4000_0001)],
        _ => Vec::new(),
    };
    let next_hop = if v6 {
        format!("2001:db8::{host}").parse().expect("an address")
    } else {
        config.addr
    };
    let route = Route {
        path,
        next_hop,
        origin: rng.below(3) as u8,
        med: rng.one_in(2).then(|| rng.below(3) as u32),
        local_pref: internal.then(|| 99 + rng.below(3) as u32),
        communities,
    };
    world.host(host).announce(key, route);
}

/// Another configuration of a peer.
fn reconfigure(config: &mut PeerConfig, rng: &mut Rng, policies: &Policies) {
    match rng.below(20) {
        0..4 => config.import = policies.pick(rng),
        4..8 => config.export.policy = policies.pick(rng),
        8 => config.export.med ^= true,
        9 => config.export.interpret_communities ^= true,
        10 => config.hygiene.interpret_communities ^= true,
        11 => config.export.alternatives ^= true,
        12 => config.hygiene.allow_own_as ^= 1,
        13 => config.rank = rng.below(3) as u8,
        14 => config.hygiene.as_path_max = 1 + rng.below(4) as u16,
        15 => config.hygiene.next_hop = NextHopCheck::Peer,
        16 => config.max_advertised[0] = (!rng.one_in(3)).then(|| max_advertised(rng)),
        17 => config.export.next_hop_self ^= true,
        18 => config.export.prepend_own_as ^= true,
        _ => other_session(config, rng),
    }
}

/// What ends the session.
fn other_session(config: &mut PeerConfig, rng: &mut Rng) {
    // Whether a peer may send several paths decides which it sends: nobody can tell before.
    let offer = AddPathOffer {
        receive: config.session.add_path[0].receive,
        send: rng.one_in(2),
    };
    match rng.below(6) {
        0 => config.session.hold_time = 30 + rng.below(60) as u16,
        1 => {
            // What comes of a family that was not there nobody can tell before.
            config.session.families = FamilySet::IPV4;
        }
        2 => config.session.add_path = [offer; 2],
        3 => config.transport.ttl = Some(1 + rng.below(200) as u8),
        4 => config.session.remote_as = RemoteAs::One(Asn(65_530)),
        _ => config.export.add_path = [AddPathSend::Best(1 + rng.below(2) as u8); 2],
    }
}

type Told = BTreeMap<Key, Vec<u8>>;
/// By prefix and identifier: the accepted attributes, or `None` where rejected.
type Taken = BTreeMap<Key, Option<Vec<u8>>>;

fn told(world: &World) -> Vec<Told> {
    let of = |station: &thruway_tests::sim::world::Station| {
        let table = station.host.table.iter();
        table.map(|(key, set)| (*key, octets(set))).collect()
    };
    world.stations.iter().map(of).collect()
}

fn taken(world: &mut World) -> BTreeMap<PeerId, Taken> {
    let mut all: BTreeMap<PeerId, Taken> = BTreeMap::new();
    for row in world.ask(Query::Routes(Filter::All(None))) {
        let set = row.accepted.as_ref().unwrap_or(&row.attrs);
        let accepted = row.rejection.is_none().then(|| octets(set));
        let mine = all.entry(row.peer).or_default();
        mine.insert((row.prefix, row.path_id), accepted);
    }
    all
}

/// What a change is to be.
struct Next {
    configs: Vec<PeerConfig>,
    matrix: Eligibility,
    removed: Option<usize>,
}

impl Next {
    /// Other configurations for some of the peers, and what a reload makes of the others'.
    fn new(world: &World, rng: &mut Rng, policies: &Policies) -> Self {
        let mut changed = BTreeSet::new();
        for _ in 0..1 + rng.below(3) {
            changed.insert(rng.below(world.stations.len()));
        }
        let mut configs = Vec::new();
        for (at, station) in world.stations.iter().enumerate() {
            let mut config = station.config.clone();
            // A reload puts the newest policies under their names.
            config.import = policies.newest(&config.import);
            config.export.policy = policies.newest(&config.export.policy);
            if changed.contains(&at) {
                reconfigure(&mut config, rng, policies);
            }
            configs.push(config);
        }
        let removed = rng.one_in(8).then(|| rng.below(world.stations.len()));
        let matrix = match rng.one_in(3) {
            true => matrix(rng),
            false => world.matrix,
        };
        Next {
            configs,
            matrix,
            removed,
        }
    }

    fn changes(&self) -> Vec<ConfigChange> {
        let configs = self.configs.iter().enumerate();
        let change = |(at, config): (usize, &PeerConfig)| ConfigChange {
            peer: config.id,
            then: (self.removed != Some(at)).then(|| Box::new(config.clone())),
            anew: false,
        };
        configs.map(change).collect()
    }
}

/// One change: foretold, made, compared.
fn step(world: &mut World, rng: &mut Rng, policies: &Policies, what: &str) -> Seen {
    let next = Next::new(world, rng, policies);
    let outlooks = world.outlook(next.changes());
    let listed = world.stations[rng.below(world.stations.len())].peer;
    let mut proposal = propose(&outlooks, &[], Some(next.matrix));
    proposal.list = Some(listed);
    let watching = Watching::new(world, rng);
    proposal.watches = watching.watches();
    let (foreseen, rows) = world.plan(proposal);
    let before = (told(world), taken(world));
    make(world, &next, &outlooks);
    let after = (told(world), taken(world));
    watching.check(world, &foreseen, &before.0, what);
    let reset = |outlook: &&Outlook| outlook.comes == Some(Comes::Reset);
    let renumbered = outlooks.iter().filter(reset).any(|outlook| {
        let station = world.stations.iter().find(|it| it.peer == outlook.peer);
        station.is_some_and(|it| !it.host.config.add_path_send.is_empty())
    });
    let comparison = Comparison {
        foreseen: &foreseen,
        rows: &rows,
        listed,
        before: &before,
        after: &after,
        renumbered,
        what,
    };
    let mut seen = comparison.check(world);
    seen.resets = outlooks.iter().filter(reset).count() as u64;
    bring_back(world, next.removed, &outlooks);
    seen
}

/// Who is removed or refused comes back for what comes next.
fn bring_back(world: &mut World, removed: Option<usize>, outlooks: &[Outlook]) {
    let refused = outlooks.iter().filter(|outlook| outlook.refused.is_some());
    let refused = refused.filter_map(|it| world.stations.iter().position(|s| s.peer == it.peer));
    let away: BTreeSet<usize> = refused.chain(removed).collect();
    for at in away {
        // Under a new number: its failures would keep it away for long.
        let asn = world.stations[at].host.config.asn;
        let session = &mut world.stations[at].config.session;
        session.remote_as = RemoteAs::One(asn);
        session.families = FamilySet::ALL;
        world.stations[at].online = true;
        world.replace(at);
    }
}

fn make(world: &mut World, next: &Next, outlooks: &[Outlook]) {
    for (at, config) in next.configs.iter().enumerate() {
        world.stations[at].config = config.clone();
        let refused = |outlook: &Outlook| outlook.peer == config.id && outlook.refused.is_some();
        if next.removed == Some(at) {
            world.stations[at].online = false;
            let peer = config.id;
            world.command_for(at, thruway_engine::Command::RemovePeer(peer));
            continue;
        }
        if outlooks.iter().any(refused) {
            world.reconfigure(at);
            // Let it try, and fail, before it stops.
            world.pass(Duration::from_secs(30));
            assert_ne!(
                world.stations[at].host.phase,
                Phase::Up,
                "it was foretold not to come back"
            );
            world.stations[at].online = false;
            continue;
        }
        world.reconfigure(at);
    }
    world.set_matrix(next.matrix);
    rest(world);
}
