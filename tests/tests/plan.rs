//! What a plan foretells is what happens: random worlds, random changes of policies, limits, sessions and
//! the matrix; each is foretold, made, and compared, route by route.
//!
//! `THRUWAY_PLAN_SEED=N cargo test -p thruway-tests --test plan` plays one seed again;
//! `THRUWAY_PLAN_SEEDS=N` sets how many are played.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use thruway_engine::limits::{Bounds, RING_LEN};
use thruway_engine::{
    Comes, ConfigChange, LimitConfig, Outlook, PeerConfig, PeerRole, PolicyRef, propose,
};
use thruway_policy::{
    ChangeDef, CommunityChange, CommunityPattern, CompileOptions, MatchDef, MedChange, Policy,
    PolicyDef, PrefixEntry, Prepend, PrependAs, SetDefs, SetMatch, StatementDef, Verdict, compile,
};
use thruway_rib::{
    AddPathSend, Eligibility, ExportCount, Filter, ImportCount, LimitAction, NextHopCheck,
    PeerClass, PeerId, PlanRow, Query,
};
use thruway_session::{AddPathOffer, GrOffer, RemoteAs};
use thruway_tests::sim::host::{HostConfig, Key, Phase, Route};
use thruway_tests::sim::model::octets;
use thruway_tests::sim::rng::Rng;
use thruway_tests::sim::world::{SERVER_AS, Shape, World};
use thruway_wire::{Asn, Community, Family, FamilySet, Prefix};

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

/// Policies of one version of the configuration.
struct Policies {
    all: Vec<Arc<Policy>>,
}

impl Policies {
    fn new(version: u32) -> Self {
        let statement = |matches: MatchDef, set: ChangeDef, then: Verdict| StatementDef {
            name: String::new(),
            matches,
            set,
            then,
        };
        let within = |text: &str| MatchDef {
            prefix: SetMatch {
                values: vec![text.parse::<PrefixEntry>().expect("an entry")],
                sets: Vec::new(),
            },
            ..MatchDef::default()
        };
        let tagged = MatchDef {
            community: SetMatch {
                values: vec!["16384:1".parse::<CommunityPattern>().expect("a pattern")],
                sets: Vec::new(),
            },
            ..MatchDef::default()
        };
        let everything = MatchDef::default;
        // What a version changes stands in the policies whose answer differs with it.
        let odd = version % 2 == 1;
        let half = if odd {
            "0.0.0.0/1 le 32"
        } else {
            "0.0.0.0/2 le 32"
        };
        let defs: Vec<(&str, bool, Vec<StatementDef>)> = vec![
            (
                "narrow",
                false,
                vec![statement(
                    within(half),
                    ChangeDef::default(),
                    Verdict::Accept,
                )],
            ),
            (
                "without-tagged",
                true,
                vec![statement(tagged, ChangeDef::default(), Verdict::Reject)],
            ),
            (
                "preferring",
                true,
                vec![statement(
                    within("0.0.0.0/1 le 32"),
                    ChangeDef {
                        local_pref: Some(100 + version),
                        ..ChangeDef::default()
                    },
                    Verdict::Continue,
                )],
            ),
            (
                "prepending",
                true,
                vec![statement(
                    everything(),
                    ChangeDef {
                        prepend: Some(Prepend {
                            asn: PrependAs::Own,
                            count: 1 + (version % 2) as u8,
                        }),
                        ..ChangeDef::default()
                    },
                    Verdict::Accept,
                )],
            ),
            (
                "marking",
                true,
                vec![statement(
                    everything(),
                    ChangeDef {
                        med: Some(MedChange::Set(7)),
                        community: CommunityChange {
                            add: vec!["65000:9".parse().expect("a community")],
                            ..CommunityChange::default()
                        },
                        ..ChangeDef::default()
                    },
                    Verdict::Continue,
                )],
            ),
            (
                "to-the-first",
                true,
                vec![statement(
                    MatchDef {
                        to: thruway_policy::PeerMatch {
                            address: vec!["10.9.0.1/32".parse().expect("a prefix")],
                            ..thruway_policy::PeerMatch::default()
                        },
                        ..MatchDef::default()
                    },
                    ChangeDef::default(),
                    if odd {
                        Verdict::Reject
                    } else {
                        Verdict::Accept
                    },
                )],
            ),
        ];
        let defs: Vec<PolicyDef> = defs
            .into_iter()
            .map(|(name, default_accept, statements)| PolicyDef {
                name: name.into(),
                default_accept,
                statements,
            })
            .collect();
        let options = CompileOptions {
            version,
            own_as: SERVER_AS,
        };
        let compiled = compile(&defs, &SetDefs::default(), options).expect("they compile");
        let own = defs
            .iter()
            .filter_map(|def| compiled.get(&def.name).cloned());
        Policies {
            all: own
                .chain([Policy::accept(), Policy::accept(), Policy::reject()])
                .collect(),
        }
    }

    fn pick(&self, rng: &mut Rng) -> Option<PolicyRef> {
        if rng.one_in(8) {
            return None;
        }
        Some(PolicyRef::new(self.all[rng.below(self.all.len())].clone()))
    }

    /// The policy of a name, as this version has it.
    fn newest(&self, policy: &Option<PolicyRef>) -> Option<PolicyRef> {
        let name = policy.as_ref()?.name().clone();
        let found = self.all.iter().find(|known| *known.name() == *name)?;
        Some(PolicyRef::new(found.clone()))
    }
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

/// One change: foretold, made, compared.
fn step(world: &mut World, rng: &mut Rng, policies: &Policies, what: &str) -> Seen {
    let mut changed = BTreeSet::new();
    for _ in 0..1 + rng.below(3) {
        changed.insert(rng.below(world.stations.len()));
    }
    let mut configs = Vec::new();
    for at in 0..world.stations.len() {
        let mut config = world.stations[at].config.clone();
        // A reload puts the newest policies under their names.
        config.import = policies.newest(&config.import);
        config.export.policy = policies.newest(&config.export.policy);
        if changed.contains(&at) {
            reconfigure(&mut config, rng, policies);
        }
        configs.push(config);
    }
    let removed = rng.one_in(8).then(|| rng.below(world.stations.len()));
    let matrix = if rng.one_in(3) {
        matrix(rng)
    } else {
        world.matrix
    };
    let changes: Vec<ConfigChange> = configs
        .iter()
        .enumerate()
        .map(|(at, config)| ConfigChange {
            peer: config.id,
            then: (removed != Some(at)).then(|| Box::new(config.clone())),
        })
        .collect();
    let outlooks = world.outlook(changes);
    if std::env::var_os("THRUWAY_PLAN_SEED").is_some() {
        for outlook in &outlooks {
            let Outlook {
                peer,
                comes,
                established,
                refused,
                ..
            } = outlook;
            println!("{what}: {peer:?} {comes:?} {established} {refused:?}");
        }
    }
    let listed = world.stations[rng.below(world.stations.len())].peer;
    let mut proposal = propose(&outlooks, &[], Some(matrix));
    proposal.list = Some(listed);
    let (foreseen, rows) = world.plan(proposal);
    let before = (told(world), taken(world));
    make(world, &configs, matrix, removed, &outlooks);
    let after = (told(world), taken(world));
    let reset = |outlook: &&Outlook| outlook.comes == Some(Comes::Reset);
    let renumbered = outlooks.iter().filter(reset).any(|outlook| {
        let station = world.stations.iter().find(|it| it.peer == outlook.peer);
        station.is_some_and(|it| !it.host.config.add_path_send.is_empty())
    });
    let mut seen = compare(
        world,
        &foreseen,
        &rows,
        listed,
        (&before, &after),
        renumbered,
        what,
    );
    seen.resets = outlooks.iter().filter(reset).count() as u64;
    let refused = outlooks.iter().filter(|outlook| outlook.refused.is_some());
    let refused = refused.filter_map(|it| world.stations.iter().position(|s| s.peer == it.peer));
    let away: BTreeSet<usize> = refused.chain(removed).collect();
    for at in away {
        // Under a new number, for what comes: its failures would keep it away for long.
        let asn = world.stations[at].host.config.asn;
        let session = &mut world.stations[at].config.session;
        session.remote_as = RemoteAs::One(asn);
        session.families = FamilySet::ALL;
        world.stations[at].online = true;
        world.replace(at);
    }
    seen
}

fn make(
    world: &mut World,
    configs: &[PeerConfig],
    matrix: Eligibility,
    removed: Option<usize>,
    outlooks: &[Outlook],
) {
    for (at, config) in configs.iter().enumerate() {
        world.stations[at].config = config.clone();
        let refused = |outlook: &Outlook| outlook.peer == config.id && outlook.refused.is_some();
        if removed == Some(at) {
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
    world.set_matrix(matrix);
    rest(world);
}

type Tables = (Vec<Told>, BTreeMap<PeerId, Taken>);

fn compare(
    world: &World,
    foreseen: &[thruway_rib::Foreseen],
    rows: &[PlanRow],
    listed: PeerId,
    (before, after): (&Tables, &Tables),
    renumbered: bool,
    what: &str,
) -> Seen {
    let mut seen = Seen::default();
    for (at, station) in world.stations.iter().enumerate() {
        let (old, new) = (&before.0[at], &after.0[at]);
        let limited = [&station.config.max_advertised]
            .iter()
            .any(|limits| limits[0].is_some());
        for family in Family::ALL {
            let expected = exports(old, new, family);
            let counts = sum_exports(foreseen, station.peer, family);
            seen.announced += expected.announced;
            seen.changed += expected.changed;
            seen.withdrawn += expected.withdrawn;
            if limited && family == Family::Ipv4 {
                seen.limited += 1;
                under_limit(&station.config, counts, old, new);
                continue;
            }
            if renumbered && !station.host.config.add_path_receive.is_empty() {
                // A sender of several paths numbers them anew when it comes back.
                let routes =
                    |told: &Told| told.keys().filter(|key| key.0.family() == family).count() as u64;
                assert_eq!(
                    routes(old) + counts.announced - counts.withdrawn,
                    routes(new),
                    "{what}: routes of {family} to {:?}{}",
                    station.peer,
                    differences(old, new)
                );
                continue;
            }
            let found = (counts.announced, counts.changed, counts.withdrawn);
            assert_eq!(
                found,
                (expected.announced, expected.changed, expected.withdrawn),
                "{what}: announced, changed, withdrawn of {family} to {:?}{}",
                station.peer,
                differences(old, new)
            );
        }
        let many = !station.host.config.add_path_receive.is_empty();
        if station.peer == listed && !limited && !(renumbered && many) {
            check_rows(rows, old, new, what);
        }
        let (old, new) = (before.1.get(&station.peer), after.1.get(&station.peer));
        let none = Taken::new();
        let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
        for family in Family::ALL {
            let expected = imports(old, new, family);
            let mut counts = ImportCount::default();
            for shard in foreseen {
                for (_, families) in shard.imports.iter().filter(|it| it.0 == station.peer) {
                    let more = families[family.index()];
                    counts.accepted += more.accepted;
                    counts.rejected += more.rejected;
                    counts.changed += more.changed;
                    counts.gone += more.gone;
                }
            }
            seen.accepted += expected.0;
            seen.rejected += expected.1;
            assert_eq!(
                (
                    counts.accepted,
                    counts.rejected,
                    counts.changed,
                    counts.gone
                ),
                expected,
                "{what}: accepted, rejected, changed, gone of {family} from {:?}",
                station.peer
            );
        }
    }
    seen
}

/// What a host had and has, where that differs.
fn differences(old: &Told, new: &Told) -> String {
    let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
    let differ = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    differ
        .map(|key| format!("\n{key:?}: {:?} -> {:?}", old.get(key), new.get(key)))
        .collect()
}

fn sum_exports(foreseen: &[thruway_rib::Foreseen], peer: PeerId, family: Family) -> ExportCount {
    let mut sum = ExportCount::default();
    for shard in foreseen {
        for (_, families) in shard.exports.iter().filter(|it| it.0 == peer) {
            let more = families[family.index()];
            sum.announced += more.announced;
            sum.changed += more.changed;
            sum.withdrawn += more.withdrawn;
            sum.prefixes_new += more.prefixes_new;
            sum.prefixes_gone += more.prefixes_gone;
        }
    }
    sum
}

/// With a limit the numbers are foretold, which routes they are is not.
fn under_limit(config: &PeerConfig, counts: ExportCount, old: &Told, new: &Told) {
    let prefixes = |told: &Told| {
        let own = told
            .keys()
            .filter(|(prefix, _)| prefix.family() == Family::Ipv4);
        own.map(|(prefix, _)| *prefix)
            .collect::<BTreeSet<Prefix>>()
            .len() as u64
    };
    let Some(limit) = config.max_advertised[0] else {
        return;
    };
    let kept = prefixes(old) - counts.prefixes_gone;
    let wanted = kept + counts.prefixes_new;
    let then = match limit.action {
        LimitAction::Warn => wanted,
        _ => wanted.min(u64::from(limit.max)),
    };
    assert_eq!(
        prefixes(new),
        then,
        "prefixes under {limit:?}, {counts:?}, to {:?}{}",
        config.id,
        differences(old, new)
    );
}

fn exports(old: &Told, new: &Told, family: Family) -> ExportCount {
    let of = |key: &&Key| key.0.family() == family;
    ExportCount {
        announced: new
            .keys()
            .filter(of)
            .filter(|key| !old.contains_key(key))
            .count() as u64,
        withdrawn: old
            .keys()
            .filter(of)
            .filter(|key| !new.contains_key(key))
            .count() as u64,
        changed: new
            .keys()
            .filter(of)
            .filter(|key| old.get(key).is_some_and(|set| *set != new[key]))
            .count() as u64,
        ..ExportCount::default()
    }
}

/// (accepted, rejected, changed, gone).
fn imports(old: &Taken, new: &Taken, family: Family) -> (u64, u64, u64, u64) {
    let mut sum = (0, 0, 0, 0);
    for (key, was) in old.iter().filter(|(key, _)| key.0.family() == family) {
        match (was, new.get(key)) {
            (_, None) => sum.3 += 1,
            (None, Some(Some(_))) => sum.0 += 1,
            (Some(_), Some(None)) => sum.1 += 1,
            (Some(a), Some(Some(b))) if a != b => sum.2 += 1,
            _ => {}
        }
    }
    sum
}

/// The rows of the listed peer are the differences, with what it had and has.
fn check_rows(rows: &[PlanRow], old: &Told, new: &Told, what: &str) {
    type Sides = (Option<Vec<u8>>, Option<Vec<u8>>);
    let mut listed: BTreeMap<Key, Sides> = BTreeMap::new();
    for row in rows {
        if let PlanRow::Export {
            prefix,
            path_id,
            now,
            then,
        } = row
        {
            let set = |side: &Option<(PeerId, thruway_wire::attrs::AttrSet)>| {
                side.as_ref().map(|(_, set)| octets(set))
            };
            let before = listed.insert((*prefix, *path_id), (set(now), set(then)));
            assert!(
                before.is_none(),
                "{what}: {prefix} {path_id} is listed twice"
            );
        }
    }
    let keys: BTreeSet<Key> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let (was, is) = (old.get(&key), new.get(&key));
        let differs = was != is;
        let row = listed.remove(&key);
        assert_eq!(
            row.is_some(),
            differs,
            "{what}: {key:?} {was:?} {is:?} {row:?}"
        );
        if let Some((now, then)) = row {
            assert_eq!((now.as_ref(), then.as_ref()), (was, is), "{what}: {key:?}");
        }
    }
    assert!(listed.is_empty(), "{what}: {listed:?}");
}
