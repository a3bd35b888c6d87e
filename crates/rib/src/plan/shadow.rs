//! A shard's surroundings as a proposal would have them: peers, groups, and room for one slot.

use std::collections::HashMap;
use std::sync::Arc;

use thruway_wire::{FamilySet, Ipv4Prefix, Ipv6Prefix, Nlri};

use crate::adj_rib_in::peers::{Life, Peers};
use crate::adj_rib_out::group::Group;
use crate::adj_rib_out::groups::Tables;
use crate::core::Core;
use crate::plan::{Fate, Proposal, ProposedGroup};
use crate::table::paths::{Digest, Path, Tag};
use crate::table::{Table, TableKey};
use crate::{GroupId, GroupProfile, Handle, PeerId, PeerProfile, Shard, ShardConfig, WorkerId};

/// What a slot whose answers are found anew takes of a slice's budget, beside one that is passed.
const LOOK_SLOTS: u32 = 4;
/// Slots that a shadow looks at before it is made anew, so that what it remembers has an end.
const LOOKS_MAX: u32 = 8192;

/// What the shard would be, around one slot. Made anew where peers have come, gone or changed since.
#[derive(Debug)]
pub(super) struct Shadow {
    /// The live peers that it was made of.
    of: Vec<Seen>,
    /// Sets of the shard that are known here, by their numbers there.
    brought: Vec<Handle>,
    looks: u32,
    pub(super) core: Core,
    pub(super) groups: Vec<ShadowGroup>,
    /// Whose routes receivers would be advertised of the slot, where that was found anew.
    pub(super) told: Vec<(PeerId, Vec<PeerId>)>,
    v4: Table<Ipv4Prefix>,
    v6: Table<Ipv6Prefix>,
    /// By peer: what changes.
    changes: HashMap<PeerId, Change>,
    /// Some group's answer can differ where no path does.
    pub(super) any_group: bool,
}

/// A live peer as it was: its profile, and what has become of its sessions.
type Seen = (Arc<PeerProfile>, [u32; 2]);

/// A proposed group.
#[derive(Debug)]
pub(super) struct ShadowGroup {
    pub(super) group: Group,
    /// Its members, by the group that they are in today.
    pub(super) members: Vec<(GroupId, Vec<PeerId>)>,
    /// Its answer can differ where no path does.
    pub(super) differs: bool,
}

/// What changes for a peer's paths.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Those that stay.
    families: FamilySet,
    /// What followers see of the peer itself is another: its rank, its kind, its name.
    moved: bool,
}

/// A path of the slot as it is, and as it would be.
pub(super) struct Verdict {
    pub(super) now: Path,
    pub(super) path_id: u32,
    /// `None`: it goes.
    pub(super) then: Option<Handle>,
}

/// A family's table in the shadow.
pub(super) trait ShadowKey: TableKey {
    fn room(shadow: &mut Shadow) -> (&mut Table<Self>, &mut Core, &mut Vec<ShadowGroup>);
    /// The live one.
    fn live(tables: &Tables) -> &Table<Self>;
}

impl ShadowKey for Ipv4Prefix {
    fn room(shadow: &mut Shadow) -> (&mut Table<Self>, &mut Core, &mut Vec<ShadowGroup>) {
        (&mut shadow.v4, &mut shadow.core, &mut shadow.groups)
    }

    fn live(tables: &Tables) -> &Table<Self> {
        &tables.v4
    }
}

impl ShadowKey for Ipv6Prefix {
    fn room(shadow: &mut Shadow) -> (&mut Table<Self>, &mut Core, &mut Vec<ShadowGroup>) {
        (&mut shadow.v6, &mut shadow.core, &mut shadow.groups)
    }

    fn live(tables: &Tables) -> &Table<Self> {
        &tables.v6
    }
}

impl Shadow {
    pub(super) fn new(shard: &Shard, proposal: &Proposal) -> Self {
        let config = ShardConfig {
            id: shard.id(),
            workers: 1,
            decision: shard.core.decision,
            seed: 0,
        };
        let mut core = Core::new(&config);
        core.peers = shadow_peers(&shard.core.peers, proposal);
        let changes = proposal.peers.iter().filter_map(|(peer, fate)| {
            let before = &shard.core.peers.get(*peer)?.profile;
            Some((*peer, change(before, fate)))
        });
        let changes = changes.collect();
        let groups: Vec<ShadowGroup> = proposal
            .groups
            .iter()
            .map(|group| shadow_group(shard, group))
            .collect();
        Shadow {
            of: shard.core.peers.seen().collect(),
            brought: Vec::new(),
            looks: 0,
            core,
            any_group: groups.iter().any(|group| group.differs) || !proposal.leaving.is_empty(),
            groups,
            told: Vec::new(),
            v4: Table::new(0),
            v6: Table::new(0),
            changes,
        }
    }

    /// True where the shard is still what this was made of, and it has not seen too much of it.
    pub(super) fn still_holds(&self, shard: &Shard) -> bool {
        let same =
            |((was, lives), (is, now)): (&Seen, Seen)| Arc::ptr_eq(was, &is) && *lives == now;
        // A number may stand for another set by now.
        let known = |handle: &Handle| {
            let (here, there) = (self.core.sets.get(*handle), shard.core.sets.get(*handle));
            here.zip(there)
                .is_some_and(|(here, there)| here.is_same(there))
        };
        self.looks < LOOKS_MAX
            && self.brought.iter().all(known)
            && self.of.len() == shard.core.peers.seen().count()
            && self.of.iter().zip(shard.core.peers.seen()).all(same)
    }

    /// Counts a slot that was looked at; what that takes of a slice's budget.
    pub(super) fn looked(&mut self) -> u32 {
        self.looks += 1;
        // Each group finds its answer.
        LOOK_SLOTS + u32::try_from(self.groups.len()).unwrap_or(u32::MAX) / 2
    }

    /// True where something changes for a peer's paths.
    pub(super) fn concerns(&self, peer: PeerId) -> bool {
        self.changes.contains_key(&peer)
    }

    /// True where a path that stays as it is is another one to those who choose.
    pub(super) fn moves(&self, peer: PeerId) -> bool {
        self.changes.get(&peer).is_some_and(|change| change.moved)
    }

    /// What would become of a live path.
    pub(super) fn judge<P: ShadowKey>(
        &mut self,
        shard: &Shard,
        table: &Table<P>,
        slot: u32,
        path: &Path,
        prefix: P,
    ) -> Verdict {
        let path_id = table.path_id(slot, path);
        let life = shard.core.peers.life(P::INDEX, path.peer, path.tag);
        let change = self.changes.get(&path.peer).copied();
        let then = match change {
            Some(change) if !change.families.contains(P::FAMILY) => None,
            // A limit may hold it back, which no policy says.
            None if path.accepted.is_none() => Some(Handle::NONE),
            _ if self.core.keeps_out(path.peer, prefix) => Some(Handle::NONE),
            _ => {
                self.bring(shard, path.received);
                Some(self.core.import(path.peer, path.received, prefix, life))
            }
        };
        Verdict {
            now: *path,
            path_id,
            then,
        }
    }

    /// A set that came is known by its number here too.
    fn bring(&mut self, shard: &Shard, handle: Handle) {
        if self.core.sets.get(handle).is_none()
            && let Some(set) = shard.core.sets.get(handle)
        {
            self.brought.push(handle);
            self.core.sets.put(handle, set.clone());
        }
    }

    /// Puts paths into the one slot and decides; `None` where there are none.
    pub(super) fn fill<P: ShadowKey>(&mut self, prefix: P, paths: &[Verdict]) -> Option<u32> {
        let (table, core, _) = P::room(self);
        let hash = table.hash(&prefix);
        let mut slot = None;
        for verdict in paths {
            let Some(accepted) = verdict.then else {
                continue;
            };
            let now = verdict.now;
            let (digest, odd) = core.digest(now.peer, P::FAMILY, accepted);
            let path = Path {
                accepted,
                digest,
                tag: now.tag.with_odd(odd),
                ..now
            };
            if let Some(slot) = slot {
                table.push(slot, path, verdict.path_id);
                continue;
            }
            let nlri = Nlri {
                path_id: verdict.path_id,
                prefix,
            };
            if table.begin(hash, &nlri, path, None) {
                slot = table.find(hash, &prefix);
            }
        }
        let slot = slot?;
        core.decide(table, slot);
        Some(slot)
    }

    /// Empties the slot.
    pub(super) fn clear<P: ShadowKey>(&mut self, slot: u32) {
        let (table, ..) = P::room(self);
        while table.remove(slot, 0).is_some() {}
        table.free(slot);
    }

    /// A route that a peer would announce, as a path in no session's generation but the living one.
    pub(super) fn announced<P: ShadowKey>(
        &mut self,
        peer: PeerId,
        prefix: P,
        set: &thruway_wire::attrs::AttrSet,
    ) -> Verdict {
        let received = self.core.sets.derive(set.as_ref());
        let then = match self.core.keeps_out(peer, prefix) {
            true => Handle::NONE,
            false => self.core.import(peer, received, prefix, Life::Fresh),
        };
        let generation = self.core.peers.current(peer, P::INDEX);
        Verdict {
            now: Path {
                received,
                accepted: Handle::NONE,
                peer,
                tag: Tag::new(generation, 0, false),
                digest: Digest::REJECTED,
            },
            path_id: 0,
            then: Some(then),
        }
    }
}

fn shadow_peers(live: &Peers, proposal: &Proposal) -> Peers {
    let fates: HashMap<PeerId, &Fate> = proposal
        .peers
        .iter()
        .map(|(peer, fate)| (*peer, fate))
        .collect();
    live.shadow(|profile| match fates.get(&profile.id) {
        Some(Fate::Becomes { profile, .. }) => profile.clone(),
        _ => profile.clone(),
    })
}

fn change(before: &PeerProfile, fate: &Fate) -> Change {
    match fate {
        Fate::Gone => Change {
            families: FamilySet::EMPTY,
            moved: true,
        },
        Fate::Becomes { profile, families } => {
            let seen = |profile: &PeerProfile| {
                let PeerProfile {
                    rank,
                    class,
                    internal,
                    router_id,
                    addr,
                    asn,
                    local,
                    ..
                } = profile;
                (*rank, *class, *internal, *router_id, *addr, *asn, *local)
            };
            Change {
                families: *families,
                moved: seen(before) != seen(profile) || before.name != profile.name,
            }
        }
    }
}

fn shadow_group(shard: &Shard, proposed: &ProposedGroup) -> ShadowGroup {
    let mut group = Group::new(proposed.profile.clone(), 0);
    let mut members: Vec<(GroupId, Vec<PeerId>)> = Vec::new();
    for (peer, today) in &proposed.members {
        group.members.join(*peer, WorkerId(0));
        match members.iter_mut().find(|(id, _)| id == today) {
            Some((_, peers)) => peers.push(*peer),
            None => members.push((*today, vec![*peer])),
        }
    }
    let same = match members.as_slice() {
        [(today, peers)] => shard.groups.get(*today).is_some_and(|live| {
            // What a limit holds back takes the place of what goes, wherever that is.
            let waits = (0..2).any(|family| live.waiting(family) > 0);
            !waits && live.members.len() == peers.len() && same(&live.profile, &proposed.profile)
        }),
        _ => false,
    };
    ShadowGroup {
        group,
        members,
        differs: !same,
    }
}

/// True where two profiles make the same answers and the same bytes.
pub(super) fn same(a: &GroupProfile, b: &GroupProfile) -> bool {
    let policy = |profile: &GroupProfile| profile.export.as_ref().map(Arc::as_ptr);
    let to = |profile: &GroupProfile| {
        let to = profile.to.as_deref()?;
        let PeerProfile {
            id,
            asn,
            addr,
            router_id,
            local,
            ..
        } = to;
        Some((*id, to.name.clone(), *asn, *addr, *router_id, *local))
    };
    let limits = |profile: &GroupProfile| {
        let limits = profile.limits.as_ref();
        limits.map(|limits| limits.each_ref().map(|limit| (limit.max, limit.action)))
    };
    let column = |profile: &GroupProfile| {
        profile
            .eligibility
            .0
            .map(|row| row >> (profile.class.0 & 31) & 1)
    };
    let flags = |profile: &GroupProfile| {
        let GroupProfile {
            families,
            external,
            alternatives,
            interpret_communities,
            ..
        } = profile;
        (
            *families,
            *external,
            *alternatives,
            *interpret_communities,
            profile.long_lived,
        )
    };
    policy(a) == policy(b)
        && to(a) == to(b)
        && limits(a) == limits(b)
        && column(a) == column(b)
        && flags(a) == flags(b)
        && same_bytes(a, b)
}

/// True where two profiles make the same bytes of a set.
pub(super) fn same_bytes(a: &GroupProfile, b: &GroupProfile) -> bool {
    let form = |profile: &GroupProfile| {
        let GroupProfile {
            add_path,
            rewrite,
            cluster,
            encoding,
            ..
        } = profile;
        (*add_path, *rewrite, *cluster, *encoding)
    };
    form(a) == form(b)
}
