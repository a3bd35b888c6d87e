//! The walk: slot by slot, what was advertised against what would be.
//!
//! The shard's slices call `foresee`. It reads the live tables and writes the shadow alone; a slot costs its share of
//! the slice, with every group that finds its answer and every watch that counts it.

use thruway_wire::Prefix;
use thruway_wire::attrs::AttrSet;

use crate::adj_rib_in::import::reason;
use crate::adj_rib_in::peers::{Life, Peers};
use crate::adj_rib_out::add_path::Sent;
use crate::adj_rib_out::group::Group;
use crate::adj_rib_out::groups::Tables;
use crate::adj_rib_out::on_wire::OnWire;
use crate::adj_rib_out::one_path::Advertised;
use crate::core::Core;
use crate::limits::WORKERS_MAX;
use crate::plan::shadow::{Shadow, ShadowGroup, ShadowKey, Verdict, same_bytes};
use crate::plan::{Foresight, PlanRow, place};
use crate::table::{Table, TableKey};
use crate::watch::{self, Facts};
use crate::{Handle, PeerId, QueryCursor, Rejection, Shard, shard_of};

/// A route that a receiver has or would have: its identifier, its set, whose it is.
type Route = (u32, Handle, PeerId);

impl Shard {
    /// Goes on with a walk, `budget` slots at most. True where it is complete.
    pub fn foresee(&self, walk: &mut Foresight, budget: u32) -> bool {
        if !self.watch_now(walk, budget) {
            return false;
        }
        let proposal = walk.proposal.clone();
        if proposal.is_nothing() {
            return true;
        }
        let kept = walk.shadow.take().filter(|shadow| shadow.still_holds(self));
        let mut shadow = kept.unwrap_or_else(|| Box::new(Shadow::new(self, &proposal)));
        let done = self.foresee_slice(&mut shadow, walk, budget);
        walk.shadow = (!done).then_some(shadow);
        done
    }

    /// Goes on with the count of what is watched as it is. True where it is complete.
    fn watch_now(&self, walk: &mut Foresight, budget: u32) -> bool {
        let Some(watching) = &mut walk.watching else {
            return true;
        };
        if walk.counted.is_none() {
            let stirred = self.stirred();
            let known = walk.proposal.stirred.get(self.id().index()).copied();
            if stirred.is_some() && known.flatten() == stirred {
                walk.watching = None;
                return true;
            }
            (walk.counted, walk.stirred) = (Some(self.id()), stirred);
        }
        let watches = &walk.proposal.watches;
        let done = self.watch(watching, watches, &mut walk.watched, budget);
        if done {
            walk.watching = None;
        }
        done
    }

    fn foresee_slice(&self, shadow: &mut Shadow, walk: &mut Foresight, budget: u32) -> bool {
        let proposal = walk.proposal.clone();
        let mut budget = budget;
        let Tables { v4, v6 } = &self.tables;
        if walk.cursor.family == 0 {
            if !self.foresee_slots(v4, shadow, walk, &mut budget) {
                return false;
            }
            walk.cursor = QueryCursor { family: 1, slot: 0 };
        }
        if walk.cursor.family == 1 {
            if !self.foresee_slots(v6, shadow, walk, &mut budget) {
                return false;
            }
            walk.cursor = QueryCursor { family: 2, slot: 0 };
        }
        while let Some(route) = proposal.routes.get(walk.fresh) {
            if budget == 0 {
                return false;
            }
            budget -= 1;
            walk.fresh += 1;
            match route.prefix {
                Prefix::V4(prefix) => self.foresee_new(v4, shadow, walk, prefix),
                Prefix::V6(prefix) => self.foresee_new(v6, shadow, walk, prefix),
            }
        }
        true
    }

    fn foresee_slots<P: ShadowKey>(
        &self,
        table: &Table<P>,
        shadow: &mut Shadow,
        walk: &mut Foresight,
        budget: &mut u32,
    ) -> bool {
        while walk.cursor.slot < table.len() {
            if *budget == 0 {
                return false;
            }
            let looked = self.foresee_slot(table, shadow, walk, walk.cursor.slot);
            let cost = if looked { shadow.looked() } else { 1 };
            let watched = std::mem::take(&mut walk.watch_cost);
            *budget = budget.saturating_sub(cost.saturating_add(watched));
            walk.cursor.slot += 1;
        }
        true
    }

    /// A prefix that a peer would announce and nobody does.
    fn foresee_new<P: ShadowKey>(
        &self,
        table: &Table<P>,
        shadow: &mut Shadow,
        walk: &mut Foresight,
        prefix: P,
    ) {
        let (seed, shards) = walk.split;
        let here = shard_of(&prefix, seed, shards) == self.id();
        if !here || table.find(table.hash(&prefix), &prefix).is_some() {
            return;
        }
        let verdicts = self.announced(shadow, walk, prefix);
        self.weigh(shadow, walk, (prefix, None), &verdicts, true);
    }

    /// Paths that peers would announce of a prefix.
    fn announced<P: ShadowKey>(
        &self,
        shadow: &mut Shadow,
        walk: &Foresight,
        prefix: P,
    ) -> Vec<Verdict> {
        let wanted: Prefix = prefix.into();
        let routes = walk.proposal.routes.iter();
        routes
            .filter(|route| route.prefix == wanted)
            .filter_map(|route| Some(shadow.announced(route.peer, prefix, route.set.as_ref()?)))
            .collect()
    }

    /// One slot; true where its answers were found anew.
    fn foresee_slot<P: ShadowKey>(
        &self,
        table: &Table<P>,
        shadow: &mut Shadow,
        walk: &mut Foresight,
        slot: u32,
    ) -> bool {
        let Some(prefix) = table
            .slot(slot)
            .filter(|slot| slot.is_used())
            .map(|slot| slot.prefix())
        else {
            return false;
        };
        let paths = table.paths(slot);
        let touched = paths.iter().any(|path| shadow.concerns(path.peer));
        if !touched && !shadow.any_group && walk.proposal.routes.is_empty() {
            return false;
        }
        let wanted: Prefix = prefix.into();
        let network = |peer: PeerId| {
            let mut routes = walk.proposal.routes.iter();
            routes.any(|route| route.prefix == wanted && route.peer == peer)
        };
        let rerouted = walk.proposal.routes.iter().any(|it| it.prefix == wanted);
        let alive = paths
            .iter()
            .filter(|path| self.core.peers.life(P::INDEX, path.peer, path.tag) != Life::Dead);
        let mut verdicts = Vec::with_capacity(paths.len());
        for path in alive {
            let mut verdict = shadow.judge(self, table, slot, path, prefix);
            if rerouted && network(path.peer) {
                verdict.then = None;
            }
            verdicts.push(verdict);
        }
        if rerouted {
            verdicts.extend(self.announced(shadow, walk, prefix));
        }
        let differs = verdicts
            .iter()
            .any(|verdict| self.path_differs(shadow, verdict));
        if !differs && !shadow.any_group {
            return true;
        }
        self.weigh(shadow, walk, (prefix, Some(slot)), &verdicts, differs);
        true
    }

    /// True where a path would be another one to those who choose.
    fn path_differs(&self, shadow: &Shadow, verdict: &Verdict) -> bool {
        let Some(then) = verdict.then else {
            return true;
        };
        let now = verdict.now.accepted;
        if now.is_none() || then.is_none() {
            return now.is_some() != then.is_some();
        }
        let alike = alike(self.core.sets.get(now), shadow.core.sets.get(then));
        !alike || shadow.moves(verdict.now.peer)
    }

    /// Counts what becomes of a prefix: of its paths, and of what receivers get of it.
    fn weigh<P: ShadowKey>(
        &self,
        shadow: &mut Shadow,
        walk: &mut Foresight,
        (prefix, live): (P, Option<u32>),
        verdicts: &[Verdict],
        differs: bool,
    ) {
        if differs {
            for verdict in verdicts {
                self.count_import(shadow, walk, prefix.into(), verdict);
            }
        }
        let slot = shadow.fill(prefix, verdicts);
        let watches = walk.proposal.clone();
        let watched = watches
            .watches
            .iter()
            .any(|it| it.extent.has(prefix.into()));
        shadow.told.clear();
        let mut groups = std::mem::take(&mut shadow.groups);
        for group in groups.iter_mut().filter(|group| differs || group.differs) {
            self.weigh_group(shadow, walk, (prefix, live, slot), group);
        }
        shadow.groups = groups;
        if watched {
            walk.watch_cost = watch::cost(&watches.watches, prefix.into()).saturating_mul(2);
            self.watch_then(shadow, walk, (prefix, live, slot));
        }
        if let Some(slot) = slot {
            shadow.clear::<P>(slot);
        }
        if let Some(live) = live {
            let leaving = walk.proposal.clone();
            for (peer, group) in &leaving.leaving {
                if let Some(today) = self.groups.get(*group) {
                    let now = routes_now::<P>(today, live, *peer);
                    self.count_export(shadow, walk, prefix, *peer, (today, &now), None);
                }
            }
        }
    }

    /// Counts what is watched of a prefix out as it is, and in as it would be.
    fn watch_then<P: ShadowKey>(
        &self,
        shadow: &mut Shadow,
        walk: &mut Foresight,
        (prefix, live, slot): (P, Option<u32>, Option<u32>),
    ) {
        let proposal = walk.proposal.clone();
        let told = |receiver| live.map_or_else(Vec::new, |live| self.told::<P>(live, receiver));
        let mut candidates = Vec::new();
        let (accepted, best) = match (live, P::live(&self.tables)) {
            (Some(live), table) => watch::sources(&self.core, table, live, &mut candidates),
            (None, _) => (Vec::new(), None),
        };
        let now = Facts {
            prefix: prefix.into(),
            accepted: &accepted,
            best,
            told: &told,
        };
        watch::count(&mut walk.watched_then, &proposal.watches, &now, -1);
        let told_then = std::mem::take(&mut shadow.told);
        let then = |receiver: (PeerId, Option<crate::GroupId>)| {
            let is = |(peer, _): &&(PeerId, _)| *peer == receiver.0;
            if proposal.leaving.iter().any(|it| it.0 == receiver.0) {
                return Vec::new();
            }
            let known = told_then.iter().find(is);
            known.map_or_else(
                || told(receiver),
                |(_, sources): &(_, Vec<PeerId>)| sources.clone(),
            )
        };
        let (table, core, _) = P::room(shadow);
        let (accepted, best) = match slot {
            Some(slot) => watch::sources(core, table, slot, &mut candidates),
            None => (Vec::new(), None),
        };
        let facts = Facts {
            prefix: prefix.into(),
            accepted: &accepted,
            best,
            told: &then,
        };
        watch::count(&mut walk.watched_then, &proposal.watches, &facts, 1);
    }

    fn count_import(&self, shadow: &Shadow, walk: &mut Foresight, prefix: Prefix, path: &Verdict) {
        let (peer, family) = (path.now.peer, prefix.family());
        // What the network would announce besides has a set of the shadow's own.
        let was_there = path.now.received.owner() < WORKERS_MAX;
        let now = path.now.accepted;
        let Some(count) = place(&mut walk.imports, peer, family.index()) else {
            return;
        };
        let same = match path.then {
            None => {
                count.gone += 1;
                count.gone_accepted += u64::from(now.is_some());
                false
            }
            Some(then) if !was_there => {
                count.new += 1;
                count.accepted += u64::from(then.is_some());
                false
            }
            Some(then) if now.is_none() && then.is_some() => {
                count.accepted += 1;
                false
            }
            Some(then) if now.is_some() && then.is_none() => {
                count.rejected += 1;
                false
            }
            Some(then) => {
                let same =
                    then.is_none() || alike(self.core.sets.get(now), shadow.core.sets.get(then));
                count.changed += u64::from(!same);
                same
            }
        };
        if same || walk.proposal.list != Some(peer) {
            return;
        }
        let received = match was_there {
            true => self.core.sets.get(path.now.received),
            false => shadow.core.sets.get(path.now.received),
        };
        let Some(received) = received.cloned() else {
            return;
        };
        let verdict = |core: &Core, accepted: Handle| match core.sets.get(accepted) {
            Some(set) => Ok(set.clone()),
            None => Err(why(&core.peers, peer, prefix, &received)),
        };
        walk.rows.push(PlanRow::Import {
            prefix,
            path_id: path.path_id,
            now: was_there.then(|| verdict(&self.core, now)),
            then: path.then.map(|then| verdict(&shadow.core, then)),
            received,
        });
    }

    fn weigh_group<P: ShadowKey>(
        &self,
        shadow: &mut Shadow,
        walk: &mut Foresight,
        (prefix, live, slot): (P, Option<u32>, Option<u32>),
        group: &mut ShadowGroup,
    ) {
        let many = group.group.is_many(P::INDEX);
        let mut one = Advertised::default();
        let mut list: Vec<Sent> = Vec::new();
        if let Some(slot) = slot {
            let (table, core, _) = P::room(shadow);
            if many {
                list = group.group.list_of(table, core, slot, prefix).to_vec();
            } else {
                one = group.group.answer(table, core, slot, prefix);
            }
        }
        for (today, peers) in &group.members {
            let Some(today) = self.groups.get(*today) else {
                continue;
            };
            if !many
                && !today.is_many(P::INDEX)
                && same_bytes(&today.profile, &group.group.profile)
                && self.same_answer::<P>(shadow, today, live, &one)
            {
                continue;
            }
            for peer in peers {
                let now = live.map_or_else(Vec::new, |live| routes_now::<P>(today, live, *peer));
                let then: Vec<Route> = if many {
                    routes_sent(&list, *peer)
                } else {
                    routes_of(&one, *peer)
                };
                if !walk.watched.is_empty() {
                    let sources = then.iter().map(|(_, _, source)| *source).collect();
                    shadow.told.push((*peer, sources));
                }
                let then = (&group.group, then);
                self.count_export(shadow, walk, prefix, *peer, (today, &now), Some(&then));
            }
        }
    }

    /// True where all members of a group would have what they have.
    fn same_answer<P: ShadowKey>(
        &self,
        shadow: &Shadow,
        today: &Group,
        live: Option<u32>,
        then: &Advertised,
    ) -> bool {
        let table = today.advertised.get(P::INDEX);
        let now = live.and_then(|live| Some(table?.get(live)));
        let now = now.unwrap_or_default();
        let same = |now: Handle, then: Handle| {
            now.is_none() && then.is_none()
                || alike(self.core.sets.get(now), shadow.core.sets.get(then))
        };
        let sources = now.source == then.source
            && (now.alternate.is_none() || now.alternate_source == then.alternate_source);
        let moved = |peer: PeerId| today.profile.cluster.is_some() && shadow.moves(peer);
        same(now.handle, then.handle)
            && same(now.alternate, then.alternate)
            && (now.is_nothing() || sources)
            && !moved(then.source)
            && !moved(then.alternate_source)
    }

    /// Counts what a receiver would have otherwise of a prefix.
    fn count_export<P: ShadowKey>(
        &self,
        shadow: &Shadow,
        walk: &mut Foresight,
        prefix: P,
        peer: PeerId,
        (today, now): (&Group, &[Route]),
        then: Option<&(&Group, Vec<Route>)>,
    ) {
        let side_now = Some(OnWire::new(&self.core, &today.profile));
        let side_then = then.map(|(group, _)| OnWire::new(&shadow.core, &group.profile));
        let next: &[Route] = then.map_or(&[], |(_, routes)| routes);
        let Some(count) = place(&mut walk.exports, peer, P::INDEX) else {
            return;
        };
        count.prefixes_new += u64::from(now.is_empty() && !next.is_empty());
        count.prefixes_gone += u64::from(!now.is_empty() && next.is_empty());
        let mut ids: Vec<u32> = now.iter().chain(next).map(|route| route.0).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let find = |list: &[Route]| list.iter().find(|route| route.0 == id).copied();
            let (was, is) = (find(now), find(next));
            match (was, is) {
                (Some(was), Some(is)) => {
                    if same_on_wire::<P>((side_now, was), (side_then, is)) {
                        continue;
                    }
                    count.changed += 1;
                }
                (Some(_), None) => count.withdrawn += 1,
                _ => count.announced += 1,
            }
            if walk.proposal.list == Some(peer) {
                let show = |side: Option<OnWire<'_>>, route: Option<Route>| {
                    let (_, handle, source) = route?;
                    Some((source, side?.arriving::<P>(handle, source)?))
                };
                walk.rows.push(PlanRow::Export {
                    prefix: prefix.into(),
                    path_id: id,
                    now: show(side_now, was),
                    then: show(side_then, is),
                });
            }
        }
    }
}

/// True where both are there and are one set.
fn alike(a: Option<&AttrSet>, b: Option<&AttrSet>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a.as_ref() == b.as_ref())
}

fn same_on_wire<P: ShadowKey>(
    (side_now, now): (Option<OnWire<'_>>, Route),
    (side_then, then): (Option<OnWire<'_>>, Route),
) -> bool {
    let (Some(side_now), Some(side_then)) = (side_now, side_then) else {
        return false;
    };
    let sets = alike(side_now.set(now.1), side_then.set(then.1));
    let plain = side_now.profile().cluster.is_none() && side_then.profile().cluster.is_none();
    if sets && plain && same_bytes(side_now.profile(), side_then.profile()) {
        return true;
    }
    side_now.octets::<P>(now.1, now.2) == side_then.octets::<P>(then.1, then.2)
}

/// What a member of a group was advertised of a slot.
pub(crate) fn routes_now<P: TableKey>(group: &Group, slot: u32, peer: PeerId) -> Vec<Route> {
    if group.is_many(P::INDEX) {
        let sent = group.sent.get(P::INDEX).map_or(&[][..], |it| it.get(slot));
        return routes_sent(sent, peer);
    }
    let advertised = group.advertised.get(P::INDEX);
    advertised.map_or_else(Vec::new, |it| routes_of(&it.get(slot), peer))
}

fn routes_sent(sent: &[Sent], peer: PeerId) -> Vec<Route> {
    let others = sent.iter().filter(|sent| sent.source != peer);
    others
        .map(|sent| (sent.id(), sent.handle, sent.source))
        .collect()
}

fn routes_of(advertised: &Advertised, peer: PeerId) -> Vec<Route> {
    let of = advertised.of(peer);
    of.map(|(handle, source)| (0, handle, source))
        .into_iter()
        .collect()
}

/// Why a path is rejected.
fn why(peers: &Peers, peer: PeerId, prefix: Prefix, set: &AttrSet) -> Rejection {
    peers.get(peer).map_or(Rejection::NoPolicy, |peer| {
        reason(peer, prefix.family(), prefix, set.as_ref())
    })
}
