//! One shard among workers that are late, full or slow, and the model beside it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use thruway_policy::{
    ChangeDef, CommunityChange, CompileOptions, MatchDef, MedChange, Policy, PolicyDef, SetDefs,
    SetMatch, StatementDef, Verdict, compile,
};
use thruway_wire::attrs::{AttrSet, AttrSetBuf, OPTIONAL, RawAttr, TRANSITIVE, code};
use thruway_wire::encode::{Encoding, Rewrite};
use thruway_wire::{
    Asn, Community, Family, FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, Nlri, Prefix, PrefixKey,
    RouterId,
};

use super::Dice;
use super::model::{Model, addr};
use crate::{
    AddPathSend, AdvertisedLimit, Audience, Cursor, DecisionConfig, EgressBatch, EgressRequest,
    EgressSink, Eligibility, Filter, GroupId, GroupProfile, Hygiene, Interner, LimitAction,
    NextHopCheck, PeerClass, PeerId, PeerProfile, PrefixLimit, Query, QueryCursor, Returns, Shard,
    ShardBatch, ShardConfig, ShardEvent, ShardId, ShardNote, Staleness, Stream, WorkerId,
};

const WORKERS: usize = 2;
const PEERS: u16 = 8;
const GROUPS: u16 = 6;
const OUR_AS: Asn = Asn(64500);

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Out,
    /// The shard has not heard of it yet.
    Joins,
    InStep,
    /// Waits with this cursor.
    Waits(Cursor),
    /// Has a pull under way.
    Reads(Cursor),
}

#[derive(Debug)]
struct Member {
    place: Place,
    /// What it holds: octets of a set by prefix and identifier.
    holds: BTreeMap<(Prefix, u32), Vec<u8>>,
}

/// A worker's side of the rings.
#[derive(Debug)]
struct Worker {
    interner: Interner,
    open: ShardBatch,
    ring: VecDeque<EgressBatch>,
    returns: VecDeque<Returns>,
}

/// The rings as the shard sees them.
struct Rings<'a> {
    workers: &'a mut [Worker],
    bound: usize,
}

impl EgressSink for Rings<'_> {
    fn has_room(&self, _: GroupId) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.ring.len() < self.bound)
    }

    fn batch(&mut self, batch: EgressBatch) {
        assert!(batch.workers != 0 && batch.number > 0 && batch.from < batch.upto);
        for (index, worker) in self.workers.iter_mut().enumerate() {
            if batch.workers >> index & 1 == 1 {
                worker.ring.push_back(clone(&batch));
            }
        }
    }
}

fn clone(batch: &EgressBatch) -> EgressBatch {
    EgressBatch {
        runs: batch.runs.clone(),
        nlri4: batch.nlri4.clone(),
        nlri6: batch.nlri6.clone(),
        sets: batch.sets.clone(),
        ..*batch
    }
}

pub(super) struct World {
    shard: Shard,
    model: Model,
    workers: Vec<Worker>,
    members: Vec<Member>,
    up: [bool; PEERS as usize],
    policies: Vec<Option<Arc<Policy>>>,
    swept: Vec<PeerId>,
    notes: Vec<ShardNote>,
    bound: usize,
    flips: u32,
    /// By group and family: prefixes advertised, where a limit counts them.
    held: Vec<[Arc<AtomicU32>; 2]>,
}

fn home(peer: PeerId) -> usize {
    peer.index() % WORKERS
}

fn group_of(peer: PeerId) -> GroupId {
    GroupId(peer.0 % GROUPS)
}

/// `accept` and `reject` in turn, a policy that changes, one that looks at the prefix, none.
fn policies() -> Vec<Option<Arc<Policy>>> {
    let change = StatementDef {
        name: "change".into(),
        matches: MatchDef {
            community: SetMatch {
                values: vec![text("64500:1")],
                ..Default::default()
            },
            ..MatchDef::default()
        },
        set: ChangeDef {
            med: Some(MedChange::Add(1)),
            community: CommunityChange {
                add: vec![text("64500:9")],
                ..CommunityChange::default()
            },
            ..ChangeDef::default()
        },
        then: Verdict::Continue,
    };
    let narrow = StatementDef {
        name: "narrow".into(),
        matches: MatchDef {
            prefix: SetMatch {
                values: vec![text("10.0.0.0/8 le 24")],
                ..Default::default()
            },
            ..MatchDef::default()
        },
        set: ChangeDef {
            local_pref: Some(150),
            ..ChangeDef::default()
        },
        then: Verdict::Accept,
    };
    let defs = [
        PolicyDef {
            name: "changing".into(),
            default_accept: true,
            statements: vec![change],
        },
        PolicyDef {
            name: "narrow".into(),
            default_accept: false,
            statements: vec![narrow],
        },
    ];
    let options = CompileOptions {
        version: 1,
        own_as: OUR_AS,
    };
    let Ok(compiled) = compile(&defs, &SetDefs::default(), options) else {
        panic!("the policies compile");
    };
    let get = |name: &str| compiled.get(name).cloned();
    vec![
        Some(Policy::accept()),
        get("changing"),
        get("narrow"),
        None,
        Some(Policy::reject()),
    ]
}

fn text<T: std::str::FromStr>(text: &str) -> T {
    let Ok(value) = text.parse() else {
        panic!("{text} is not what it should be")
    };
    value
}

fn attr(code: u8, flags: u8, value: &[u8]) -> RawAttr<'_> {
    RawAttr { flags, code, value }
}

impl World {
    pub(super) fn new(dice: &mut Dice<'_>) -> World {
        let decision = DecisionConfig {
            always_compare_med: dice.roll(4) == 1,
            missing_med_worst: dice.roll(2) == 1,
        };
        let config = ShardConfig {
            id: ShardId(0),
            workers: WORKERS,
            decision,
            seed: 42,
        };
        let worker = |index: usize| Worker {
            interner: Interner::new(WorkerId(index as u8), 1, 7),
            open: ShardBatch {
                from: WorkerId(index as u8),
                ..ShardBatch::default()
            },
            ring: VecDeque::new(),
            returns: VecDeque::new(),
        };
        let member = || Member {
            place: Place::Out,
            holds: BTreeMap::new(),
        };
        World {
            shard: Shard::new(config),
            model: Model {
                decision,
                ..Model::default()
            },
            workers: (0..WORKERS).map(worker).collect(),
            members: (0..PEERS).map(|_| member()).collect(),
            up: [false; PEERS as usize],
            policies: policies(),
            swept: Vec::new(),
            notes: Vec::new(),
            bound: 1 + dice.roll(3),
            flips: 0,
            held: (0..GROUPS).map(|_| Default::default()).collect(),
        }
    }

    pub(super) fn step(&mut self, dice: &mut Dice<'_>) {
        let peer = PeerId(dice.roll(PEERS as usize) as u16);
        match dice.roll(24) {
            0..=5 => self.announce(peer, dice),
            6 | 7 => self.withdraw(peer, dice),
            8 => self.down(peer, dice),
            9 | 10 => self.up(peer, dice),
            11 => self.age(peer, dice),
            12 => self.set_group(group_of(peer), dice),
            13 => self.join_or_leave(peer, dice),
            14 | 15 => self.apply(home(peer)),
            16 | 17 => {
                self.run_groups(1 + dice.roll(40) as u32);
            }
            18 | 19 => self.consume(home(peer), dice.roll(4) == 1),
            20 => self.pull(peer, 1 + dice.roll(4) as u32),
            21 => {
                self.shard.sweep(1 + dice.roll(6) as u32);
            }
            22 => self.take_returns(),
            _ if dice.roll(8) == 1 => {
                self.settle();
                self.check();
            }
            _ => self.give_back(home(peer)),
        }
    }

    fn event(&mut self, worker: usize, event: ShardEvent) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.open.events.push(event);
        }
    }

    fn profile(&mut self, peer: PeerId, dice: &mut Dice<'_>) -> Arc<PeerProfile> {
        let internal = peer.0 == 6 || peer.0 == 7;
        let limit = PrefixLimit {
            max: 3,
            warn_at: 2,
            action: LimitAction::Block,
            accepted_only: false,
            held: AtomicU32::new(0),
        };
        let old = self
            .model
            .peers
            .get(&peer)
            .map(|peer| peer.profile.limits.clone());
        let limits = old.unwrap_or_else(|| {
            if peer.0 == 2 {
                [Some(Arc::new(limit)), None]
            } else {
                [None, None]
            }
        });
        let import = self
            .policies
            .get(dice.roll(7))
            .cloned()
            .unwrap_or(Some(Policy::accept()));
        Arc::new(PeerProfile {
            id: peer,
            name: format!("p{}", peer.0),
            asn: if internal {
                OUR_AS
            } else {
                Asn(64600 + u32::from(peer.0))
            },
            addr: addr(peer),
            router_id: RouterId(7 - dice.roll(2) as u32 * u32::from(peer.0)),
            local: (None, None),
            link_local: None,
            internal,
            class: PeerClass(peer.0 as u8 % 3),
            rank: dice.roll(2) as u8,
            home: WorkerId(home(peer) as u8),
            add_path_rx: FamilySet::EMPTY,
            import,
            hygiene: Hygiene {
                local_as: OUR_AS,
                allow_own_as: 0,
                router_id: RouterId(1),
                cluster_id: RouterId(1),
                enforce_first_as: false,
                allow_as_sets: true,
                as_path_max: 100,
                next_hop: NextHopCheck::Any,
                martians: match peer.0 % 3 {
                    0 => [text("169.254.0.0/16")].into(),
                    _ => [].into(),
                },
                interpret_communities: true,
            },
            limits,
        })
    }

    fn group(&self, group: GroupId, dice: &mut Dice<'_>) -> Arc<GroupProfile> {
        let rows = if dice.roll(2) == 0 { u32::MAX } else { 0b101 };
        let mut eligibility = Eligibility([u32::MAX; 32]);
        eligibility.0[1] = rows;
        let add_path = match group.0 {
            0 => [AddPathSend::Off, AddPathSend::All],
            2 if dice.roll(2) == 1 => [AddPathSend::Multipath(1 + dice.roll(3) as u8); 2],
            2 => [AddPathSend::All; 2],
            4 => [AddPathSend::Best(2); 2],
            _ => [AddPathSend::Off; 2],
        };
        // Two groups of one have limits.
        let to = self.model.peers.get(&PeerId(group.0));
        let to = to.filter(|_| group.0 == 3 || group.0 == 4);
        let action = [LimitAction::Block, LimitAction::Warn][usize::from(dice.roll(5) == 1)];
        let limits = self.held.get(group.index()).map(|held| {
            held.clone().map(|held| AdvertisedLimit {
                max: dice.roll(4) as u32,
                warn_at: 1,
                action,
                held,
            })
        });
        Arc::new(GroupProfile {
            id: group,
            families: if group.0 == 5 {
                FamilySet::IPV4
            } else {
                FamilySet::ALL
            },
            class: PeerClass(group.0 as u8 % 3),
            eligibility,
            external: group.0 != 0,
            alternatives: group.0 != 1,
            interpret_communities: group.0 != 3,
            long_lived: group.0.is_multiple_of(2),
            export: self
                .policies
                .get(dice.roll(7))
                .cloned()
                .unwrap_or(Some(Policy::accept())),
            limits: limits.filter(|_| to.is_some()),
            to: to.map(|peer| peer.profile.clone()),
            add_path,
            rewrite: Rewrite {
                local_pref: true,
                ..Rewrite::TRANSPARENT
            },
            cluster: None,
            encoding: Encoding {
                extended_next_hop: group.0.is_multiple_of(3),
                link: (group.0 == 3)
                    .then(|| Ipv6Prefix::from_prefix(text("2001:db8:ffff::/64")))
                    .flatten(),
                max_len: [4096, u16::MAX][usize::from(group.0 == 2)],
                ..Encoding::PLAIN
            },
        })
    }

    fn prefix(dice: &mut Dice<'_>) -> Prefix {
        // Few prefixes: most paths must have others to compete with.
        match dice.roll(16) as u8 {
            0 => text("169.254.0.0/17"), // a martian
            at if at % 5 < 4 => text(&format!("10.{}.0.0/{}", at % 5, 16 + at % 5 * 2)),
            _ => text("2001:db8:4::/48"),
        }
    }

    /// Of either kind for either family: some members cannot be sent it.
    fn next_hop(dice: &mut Dice<'_>) -> NextHop {
        let (global, link_local) = (text("2001:db8:ffff::99"), text("fe80::99"));
        match dice.roll(8) {
            0 => NextHop::V6(global),
            1 => NextHop::V6LinkLocal { global, link_local },
            2 => NextHop::V6(link_local),
            _ => NextHop::V4([192, 0, 2, 99].into()),
        }
    }

    fn set(dice: &mut Dice<'_>) -> AttrSetBuf {
        let asns = [64601, 64602, 64603, OUR_AS.0, 70_000];
        let len = 1 + dice.roll(2);
        let mut path = vec![2, len as u8];
        for _ in 0..len {
            let asn = asns[[0, 1, 2, 0, 1, 2, 4, 3][dice.roll(8)]];
            path.extend_from_slice(&u32::to_be_bytes(asn));
        }
        // Around what a plain message has room for.
        let long = if dice.roll(24) == 0 {
            980 + dice.roll(40)
        } else {
            0
        };
        let communities: Vec<u8> = (0..long as u32)
            .flat_map(|number| (64_600 << 16 | number).to_be_bytes())
            .collect();
        let more = attr(code::COMMUNITIES, OPTIONAL | TRANSITIVE, &communities);
        let mut set = AttrSetBuf::from_parts(
            Some(Self::next_hop(dice)),
            [
                attr(code::ORIGIN, TRANSITIVE, &[dice.roll(2) as u8]),
                attr(code::AS_PATH, TRANSITIVE, &path),
            ]
            .into_iter()
            .chain((long > 0).then_some(more)),
        );
        set.set_med([None, None, Some(1), Some(2), Some(3)][dice.roll(5)]);
        // Mostly none, so that later steps decide; two that a digest does not tell apart.
        let prefs = [Some(200), Some(20_000), Some(30_000)];
        set.set_local_pref(prefs.get(dice.roll(10)).copied().flatten());
        let marks = [
            Community(64500 << 16 | 1),
            Community::NO_EXPORT,
            Community::NO_ADVERTISE,
            Community::GRACEFUL_SHUTDOWN,
            Community::NO_LLGR,
        ];
        if let Some(mark) = marks.get(dice.roll(12)) {
            set.add_community(*mark);
        }
        set
    }

    fn announce(&mut self, peer: PeerId, dice: &mut Dice<'_>) {
        if !self.up[peer.index()] {
            return;
        }
        let set = Self::set(dice);
        let stored = AttrSet::new(set.as_ref());
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for _ in 0..1 + dice.roll(4) {
            let prefix = Self::prefix(dice);
            // Two peers send identifiers.
            let id = if peer.0 == 3 || peer.0 == 5 {
                dice.roll(3) as u32
            } else {
                0
            };
            self.model.announce(peer, prefix, id, &stored);
            match prefix {
                Prefix::V4(prefix) => v4.push(Nlri {
                    path_id: id,
                    prefix,
                }),
                Prefix::V6(prefix) => v6.push(Nlri {
                    path_id: id,
                    prefix,
                }),
            }
        }
        let Some(worker) = self.workers.get_mut(home(peer)) else {
            return;
        };
        let handle = worker.interner.intern(set.as_ref());
        // As two UPDATEs tell it, the other family in between.
        let first = v4.len().min(1);
        for (family, count) in [
            (Family::Ipv4, first),
            (Family::Ipv6, v6.len()),
            (Family::Ipv4, v4.len() - first),
        ] {
            if count == 0 {
                continue;
            }
            let new = worker.interner.grant(handle, ShardId(0));
            worker.open.events.push(ShardEvent::Announce {
                peer,
                family,
                handle,
                new_set: new.is_some(),
                count: count as u32,
            });
            worker.open.sets.extend(new);
        }
        worker.open.nlri4.extend(v4);
        worker.open.nlri6.extend(v6);
    }

    fn withdraw(&mut self, peer: PeerId, dice: &mut Dice<'_>) {
        if !self.up[peer.index()] {
            return;
        }
        let prefix = Self::prefix(dice);
        let path_id = if peer.0 == 3 || peer.0 == 5 {
            dice.roll(3) as u32
        } else {
            0
        };
        self.model.withdraw(peer, prefix, path_id);
        let Some(worker) = self.workers.get_mut(home(peer)) else {
            return;
        };
        match prefix {
            Prefix::V4(prefix) => worker.open.nlri4.push(Nlri { path_id, prefix }),
            Prefix::V6(prefix) => worker.open.nlri6.push(Nlri { path_id, prefix }),
        }
        let family = prefix.family();
        worker.open.events.push(ShardEvent::Withdraw {
            peer,
            family,
            count: 1,
        });
    }

    fn down(&mut self, peer: PeerId, dice: &mut Dice<'_>) {
        if !self.up[peer.index()] {
            return;
        }
        self.leave(peer);
        let forget = dice.roll(6) == 1;
        let retain = [FamilySet::EMPTY, FamilySet::ALL, FamilySet::IPV4][dice.roll(3)];
        self.model.down(peer, retain, forget);
        self.event(
            home(peer),
            ShardEvent::PeerDown {
                peer,
                retain,
                forget,
            },
        );
        self.up[peer.index()] = false;
        if forget {
            // The number may be used again when the shard says so.
            self.settle();
            assert!(self.swept.contains(&peer), "a forgotten peer is swept");
            self.swept.clear();
        }
    }

    fn up(&mut self, peer: PeerId, dice: &mut Dice<'_>) {
        let profile = self.profile(peer, dice);
        self.model.up(&profile);
        self.event(home(peer), ShardEvent::PeerUp(profile));
        self.up[peer.index()] = true;
    }

    fn age(&mut self, peer: PeerId, dice: &mut Dice<'_>) {
        let family = Family::ALL[dice.roll(2)];
        let known = self.model.peers.contains_key(&peer);
        let event = match dice.roll(4) {
            _ if !known => return,
            0 if !self.up[peer.index()] => {
                self.model
                    .age(peer, family, Staleness::Stale, Staleness::LongLived);
                ShardEvent::LongLived(peer, family)
            }
            1 | 2 if self.up[peer.index()] => {
                self.model
                    .age(peer, family, Staleness::Fresh, Staleness::Stale);
                ShardEvent::MarkStale(peer, family)
            }
            _ => {
                self.model.sweep_stale(peer, family);
                ShardEvent::SweepStale(peer, family)
            }
        };
        let lazily = matches!(event, ShardEvent::LongLived(..));
        self.event(home(peer), event);
        if lazily {
            // Until they are swept, paths that must not live long count against a limit.
            self.settle();
        }
    }

    fn set_group(&mut self, group: GroupId, dice: &mut Dice<'_>) {
        if !self.model.groups.contains_key(&group) {
            return;
        }
        let profile = self.group(group, dice);
        self.model.groups.insert(group, profile.clone());
        // Rings keep no order between workers: both say the newest.
        for worker in 0..WORKERS {
            self.apply(worker);
            self.event(worker, ShardEvent::Group(profile.clone()));
        }
        self.flips += 1;
    }

    fn join_or_leave(&mut self, peer: PeerId, dice: &mut Dice<'_>) {
        if self.members[peer.index()].place != Place::Out {
            self.leave(peer);
            return;
        }
        if !self.up[peer.index()] {
            return;
        }
        let group = group_of(peer);
        let profile = match self.model.groups.get(&group) {
            Some(profile) => profile.clone(),
            None => self.group(group, dice),
        };
        self.model.groups.insert(group, profile.clone());
        self.event(home(peer), ShardEvent::Group(profile));
        self.event(home(peer), ShardEvent::Join(group, peer));
        self.members[peer.index()] = Member {
            place: Place::Joins,
            holds: BTreeMap::new(),
        };
    }

    fn leave(&mut self, peer: PeerId) {
        let member = &mut self.members[peer.index()];
        if member.place == Place::Out {
            return;
        }
        *member = Member {
            place: Place::Out,
            holds: BTreeMap::new(),
        };
        let (worker, reader) = (WorkerId(home(peer) as u8), u32::from(peer.0));
        self.shard.request(&EgressRequest::Stop { worker, reader });
        // An answer that is on its way is for nobody now.
        let mine = |batch: &EgressBatch| matches!(batch.stream, Stream::Reader { reader: r, .. } if r == reader);
        self.workers[home(peer)].ring.retain(|batch| !mine(batch));
        self.retain(home(peer));
        let group = group_of(peer);
        self.event(home(peer), ShardEvent::Leave(group, peer));
        let of_group = (0..PEERS)
            .map(PeerId)
            .filter(|other| group_of(*other) == group);
        if of_group
            .clone()
            .all(|other| self.members[other.index()].place == Place::Out)
        {
            for worker in (0..WORKERS).rev() {
                self.apply(worker);
            }
            self.event(0, ShardEvent::GroupGone(group));
            self.apply(0);
            self.model.groups.remove(&group);
        }
    }

    fn apply(&mut self, worker: usize) {
        // A member reads when the shard has said that it knows it.
        for peer in (0..PEERS).filter(|peer| home(PeerId(*peer)) == worker) {
            let member = &mut self.members[usize::from(peer)];
            if member.place == Place::Joins {
                member.place = Place::Waits(Cursor::Start);
            }
        }
        let Some(worker) = self.workers.get_mut(worker) else {
            return;
        };
        worker
            .interner
            .take_freed(ShardId(0), &mut worker.open.freed);
        self.shard.apply(&mut worker.open);
        assert!(worker.open.events.is_empty() && worker.open.nlri4.is_empty());
    }

    fn run_groups(&mut self, budget: u32) -> bool {
        let mut rings = Rings {
            workers: &mut self.workers,
            bound: self.bound,
        };
        self.shard.run_groups(budget, &mut rings)
    }

    /// The worker takes one batch off its ring; some members do not keep up.
    fn consume(&mut self, worker: usize, slow: bool) {
        let Some(batch) = self.workers[worker].ring.pop_front() else {
            return;
        };
        let local = (0..PEERS).map(PeerId).filter(|peer| home(*peer) == worker);
        match batch.stream {
            Stream::Group => {
                for peer in local.filter(|peer| group_of(*peer) == batch.group) {
                    let member = &mut self.members[peer.index()];
                    if member.place != Place::InStep {
                        continue;
                    }
                    if slow {
                        member.place = Place::Waits(Cursor::Log(batch.from));
                    } else {
                        take(member, peer, &batch, true);
                    }
                }
                self.retain(worker);
                let worker = WorkerId(worker as u8);
                self.shard.request(&EgressRequest::Seen {
                    worker,
                    number: batch.number,
                });
            }
            Stream::Reader { reader, next, done } => {
                let peer = PeerId(reader as u16);
                let member = &mut self.members[peer.index()];
                take(member, peer, &batch, false);
                member.place = if done {
                    Place::InStep
                } else {
                    Place::Waits(next)
                };
            }
            Stream::Lost { .. } => panic!("a reader was lost far below the log's bound"),
        }
    }

    fn retain(&mut self, worker: usize) {
        let position = |peer: PeerId| match self.members[peer.index()].place {
            Place::Waits(Cursor::Log(position)) if home(peer) == worker => Some(position),
            Place::Waits(Cursor::Walk { since, .. }) if home(peer) == worker => Some(since),
            _ => None,
        };
        let seq = (0..PEERS)
            .map(PeerId)
            .filter_map(position)
            .min()
            .unwrap_or(u64::MAX);
        self.shard.request(&EgressRequest::Retain {
            worker: WorkerId(worker as u8),
            seq,
        });
    }

    fn pull(&mut self, peer: PeerId, budget: u32) {
        let worker = home(peer);
        let Place::Waits(cursor) = self.members[peer.index()].place else {
            return;
        };
        if self.workers[worker].ring.len() >= self.bound {
            return;
        }
        let request = EgressRequest::Pull {
            worker: WorkerId(worker as u8),
            reader: u32::from(peer.0),
            group: group_of(peer),
            cursor,
            budget,
            withdraw: false,
        };
        let Some(batch) = self.shard.request(&request) else {
            panic!("a pull is answered")
        };
        self.members[peer.index()].place = Place::Reads(cursor);
        self.workers[worker].ring.push_back(batch);
        self.retain(worker);
    }

    fn take_returns(&mut self) {
        for index in 0..WORKERS {
            let Some(mut returns) = self.shard.take_returns(WorkerId(index as u8)) else {
                continue;
            };
            for note in returns.notes.drain(..) {
                if let ShardNote::Swept(peer) = note {
                    self.swept.push(peer);
                }
                self.notes.push(note);
            }
            self.workers[index].returns.push_back(returns);
        }
    }

    fn give_back(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        if let Some(mut returns) = worker.returns.pop_front() {
            worker.interner.returned(&mut returns);
        }
    }

    /// Lets everything that is under way end.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            (0..WORKERS).for_each(|worker| self.apply(worker));
            let sweeps = self.shard.sweep(1000);
            let runs = self.run_groups(1000);
            for worker in 0..WORKERS {
                self.consume(worker, false);
                self.give_back(worker);
            }
            (0..PEERS).map(PeerId).for_each(|peer| self.pull(peer, 100));
            self.take_returns();
            let rings = self
                .workers
                .iter()
                .all(|w| w.ring.is_empty() && w.returns.is_empty());
            let waits = self
                .members
                .iter()
                .any(|m| !matches!(m.place, Place::Out | Place::InStep));
            if !sweeps && !runs && rings && !waits && self.shard.idle() {
                return;
            }
        }
        panic!("the shard does not come to rest: {:?}", self.members);
    }

    /// At rest: everything is as the model says.
    pub(super) fn check(&self) {
        let prefixes = self.model.prefixes();
        for peer in (0..PEERS).map(PeerId) {
            self.check_counts(peer);
            if self.members[peer.index()].place == Place::InStep {
                self.check_member(peer, &prefixes);
            }
        }
        for prefix in &prefixes {
            self.check_best(*prefix);
        }
        let held: u32 = self.shard.counters().prefixes.iter().sum();
        assert_eq!(held as usize, prefixes.len(), "prefixes in the table");
        assert_eq!(self.shard.counters().log, 0, "at rest the log is empty");
    }

    fn check_counts(&self, peer: PeerId) {
        for family in Family::ALL {
            let counters = self.shard.peer_counters(peer, family);
            let counts = (counters.received, counters.accepted, counters.stale);
            assert_eq!(
                counts,
                self.model.counts(peer, family),
                "counts of {peer:?} {family}"
            );
            if let Some(held) = self.shard.limit_held(peer, family) {
                assert_eq!(held, counters.received, "{peer:?} against its limit");
            }
        }
    }

    fn check_member(&self, peer: PeerId, prefixes: &[Prefix]) {
        let group = group_of(peer);
        let mut holds: BTreeMap<Prefix, Vec<Vec<u8>>> = BTreeMap::new();
        for ((prefix, _), set) in &self.members[peer.index()].holds {
            holds.entry(*prefix).or_default().push(set.clone());
        }
        let mut count = [0; 2];
        let (mut advertised, mut missing) = ([0; 2], [0; 2]);
        let limits = self.model.groups.get(&group);
        let limits = limits.and_then(|group| group.limits.as_ref());
        for prefix in prefixes {
            let mut has = holds.remove(prefix).unwrap_or_default();
            has.sort();
            let should = self.model.advertised(group, peer, *prefix);
            let family = prefix.family().index();
            if limits.is_some() && has.is_empty() && !should.is_empty() {
                missing[family] += 1;
            } else {
                assert_eq!(has, should, "{peer:?} of {group:?} holds of {prefix}");
            }
            advertised[family] += u32::from(!has.is_empty());
            count[family] += has.len() as u32;
        }
        for (family, limit) in Family::ALL.into_iter().zip(limits.into_iter().flatten()) {
            let (advertised, missing) = (advertised[family.index()], missing[family.index()]);
            assert_eq!(
                advertised,
                limit.held.load(Relaxed),
                "advertised to {peer:?}"
            );
            assert_eq!(missing, self.shard.held_back(group, family));
            let full = limit.action != LimitAction::Warn && advertised >= limit.max;
            let over = limit.action == LimitAction::Block && advertised > limit.max;
            assert!(!over, "{peer:?} is advertised more than its limit");
            assert!(missing == 0 || full, "{peer:?}: there is room");
        }
        assert!(holds.is_empty(), "{peer:?} holds what is gone: {holds:?}");
        for family in Family::ALL {
            let advertised = self.shard.advertised(group, peer, family);
            assert_eq!(advertised, count[family.index()], "advertised to {peer:?}");
            let query = Query::Advertised {
                peer,
                group,
                filter: Filter::All(Some(family)),
            };
            let mut rows = Vec::new();
            assert!(
                self.shard
                    .query(&query, &mut QueryCursor::default(), 1_000_000, &mut rows)
            );
            assert_eq!(rows.len() as u32, advertised);
        }
    }

    fn check_best(&self, prefix: Prefix) {
        let mut rows = Vec::new();
        let query = Query::Explain { prefix, to: None };
        assert!(
            self.shard
                .query(&query, &mut QueryCursor::default(), 10, &mut rows)
        );
        let best: Vec<_> = rows
            .iter()
            .filter(|row| row.best)
            .map(|row| (row.peer, row.path_id))
            .collect();
        assert_eq!(
            best,
            Vec::from_iter(self.model.best(prefix)),
            "best of {prefix}"
        );
        for row in &rows {
            let reasons = [row.best, row.lost.is_some(), row.rejection.is_some()];
            assert_eq!(
                reasons.iter().filter(|reason| **reason).count(),
                1,
                "{row:?}"
            );
        }
    }

    /// Everyone goes: nothing may be left, here or with the owners.
    pub(super) fn take_down(mut self) {
        for peer in (0..PEERS).map(PeerId) {
            self.leave(peer);
            let (retain, forget) = (FamilySet::EMPTY, true);
            self.event(
                home(peer),
                ShardEvent::PeerDown {
                    peer,
                    retain,
                    forget,
                },
            );
            self.model.down(peer, retain, forget);
        }
        self.settle();
        for worker in &mut self.workers {
            assert_eq!(worker.interner.stats().sets, 0, "grants that nobody holds");
            worker
                .interner
                .take_freed(ShardId(0), &mut worker.open.freed);
            self.shard.apply(&mut worker.open);
        }
        let counters = self.shard.counters();
        assert_eq!((counters.sets, counters.derived), (0, 0));
        assert_eq!(
            (counters.prefixes, counters.paths, counters.log),
            ([0; 2], [0; 2], 0)
        );
        let held = self.held.iter().flatten();
        assert!(held.into_iter().all(|held| held.load(Relaxed) == 0));
        assert!((0..PEERS).all(|peer| self.swept.contains(&PeerId(peer))));
    }
}

/// A member takes what of a batch is for it.
fn take(member: &mut Member, peer: PeerId, batch: &EgressBatch, strict: bool) {
    let mut seen = std::collections::BTreeMap::new();
    for run in &batch.runs {
        let mine = match run.audience {
            Audience::All => true,
            Audience::AllBut(other) => other != peer,
            Audience::Only(one) => one == peer,
        };
        if !mine {
            continue;
        }
        let range = run.start as usize..run.start as usize + run.count as usize;
        let keys: Vec<(Prefix, u32)> = match run.family {
            Family::Ipv4 => keys::<Ipv4Prefix>(&batch.nlri4[range]),
            Family::Ipv6 => keys::<Ipv6Prefix>(&batch.nlri6[range]),
        };
        for key in keys {
            let says = run
                .handle
                .is_some()
                .then(|| batch.sets[run.set as usize].as_ref().bytes.to_vec());
            if let Some(said) = seen.insert(key, says.clone()) {
                assert!(!strict && said == says, "{key:?} twice in a batch");
            }
            match says {
                Some(set) => {
                    assert!(!strict || run.source != peer, "its own path");
                    member.holds.insert(key, set);
                }
                None => {
                    let had = member.holds.remove(&key).is_some();
                    assert!(had || !strict, "{peer:?} was never advertised {key:?}");
                }
            }
        }
    }
}

fn keys<P: Copy + Into<Prefix>>(nlri: &[Nlri<P>]) -> Vec<(Prefix, u32)> {
    nlri.iter()
        .map(|nlri| (nlri.prefix.into(), nlri.path_id))
        .collect()
}
