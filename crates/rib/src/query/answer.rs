//! Answers to queries, a slice of slots at a time.

use thruway_policy::{Hits, Outcome, RouteContext};
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::encode::Unsendable;
use thruway_wire::{Family, Prefix};

use crate::adj_rib_in::import::{reason, rejecting};
use crate::adj_rib_in::peers::Life;
use crate::adj_rib_out::export::{held_back, sendable};
use crate::adj_rib_out::group::Group;
use crate::adj_rib_out::groups::Tables;
use crate::adj_rib_out::on_wire::OnWire;
use crate::limits::ROW_SLOTS;
use crate::table::paths::Path;
use crate::table::{Table, TableKey};
use crate::{
    Filter, GroupId, NotAdvertised, PeerId, Query, QueryCursor, RouteRow, Shard, Staleness, Step,
};

impl Shard {
    /// Appends rows to `out`; each slot that is looked at takes 1 of `budget`, each row [`ROW_SLOTS`]. True
    /// where the answer is complete.
    pub fn query(
        &self,
        query: &Query,
        cursor: &mut QueryCursor,
        budget: u32,
        out: &mut Vec<RouteRow>,
    ) -> bool {
        let filter = match query {
            Query::Routes(filter) | Query::Learned(_, filter) | Query::Rejected(_, filter) => {
                *filter
            }
            Query::Advertised { filter, .. } => *filter,
            Query::Explain { prefix, .. } => Filter::Exact(*prefix),
            // It has no rows: `Shard::tally` answers it.
            Query::Tally { .. } => return true,
        };
        let Tables { v4, v6 } = &self.tables;
        match filter {
            Filter::Exact(Prefix::V4(prefix)) => self.exact(v4, query, prefix, out),
            Filter::Exact(Prefix::V6(prefix)) => self.exact(v6, query, prefix, out),
            Filter::Longest(Prefix::V4(prefix)) => self.longest(v4, query, prefix, out),
            Filter::Longest(Prefix::V6(prefix)) => self.longest(v6, query, prefix, out),
            Filter::All(_) | Filter::Longer(_) => {
                return self.walk(query, filter, cursor, budget, out);
            }
        }
        true
    }

    fn exact<P: TableKey>(
        &self,
        table: &Table<P>,
        query: &Query,
        prefix: P,
        out: &mut Vec<RouteRow>,
    ) {
        if let Some(slot) = table.find(table.hash(&prefix), &prefix) {
            self.rows(table, query, slot, out);
        }
    }

    fn longest<P: TableKey>(
        &self,
        table: &Table<P>,
        query: &Query,
        prefix: P,
        out: &mut Vec<RouteRow>,
    ) {
        let octets = prefix.octets();
        for len in (0..=prefix.prefix_len()).rev() {
            let Some(shorter) = P::from_octets(&octets, len) else {
                continue;
            };
            let before = out.len();
            self.exact(table, query, shorter, out);
            if out.len() > before {
                return;
            }
        }
    }

    fn walk(
        &self,
        query: &Query,
        filter: Filter,
        cursor: &mut QueryCursor,
        budget: u32,
        out: &mut Vec<RouteRow>,
    ) -> bool {
        let wants = |family: Family| match filter {
            Filter::All(only) => only.is_none_or(|only| only == family),
            Filter::Exact(within) | Filter::Longest(within) | Filter::Longer(within) => {
                within.family() == family
            }
        };
        let within = match filter {
            Filter::Longer(within) => Some(within),
            _ => None,
        };
        let mut budget = budget;
        if cursor.family == 0 {
            if wants(Family::Ipv4)
                && !self.slice(&self.tables.v4, query, within, cursor, &mut budget, out)
            {
                return false;
            }
            *cursor = QueryCursor { family: 1, slot: 0 };
        }
        !wants(Family::Ipv6) || self.slice(&self.tables.v6, query, within, cursor, &mut budget, out)
    }

    /// True at the table's end.
    fn slice<P: TableKey>(
        &self,
        table: &Table<P>,
        query: &Query,
        within: Option<Prefix>,
        cursor: &mut QueryCursor,
        budget: &mut u32,
        out: &mut Vec<RouteRow>,
    ) -> bool {
        while cursor.slot < table.len() {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let slot = cursor.slot;
            cursor.slot += 1;
            let Some(known) = table.slot(slot).filter(|slot| slot.is_used()) else {
                continue;
            };
            if within.is_none_or(|within| within.covers(known.prefix().into())) {
                let before = out.len();
                self.rows(table, query, slot, out);
                let rows = u32::try_from(out.len() - before).unwrap_or(u32::MAX);
                *budget = budget.saturating_sub(rows.saturating_mul(ROW_SLOTS));
            }
        }
        true
    }

    /// The rows of one slot.
    fn rows<P: TableKey>(
        &self,
        table: &Table<P>,
        query: &Query,
        slot: u32,
        out: &mut Vec<RouteRow>,
    ) {
        let (peer, only_rejected, to) = match query {
            Query::Advertised { peer, group, .. } => {
                return self.advertised_rows(table, *peer, *group, slot, out);
            }
            Query::Routes(_) => (None, false, None),
            Query::Learned(peer, _) => (Some(*peer), false, None),
            Query::Rejected(peer, _) => (Some(*peer), true, None),
            Query::Explain { to, .. } => (None, false, *to),
            Query::Tally { .. } => return,
        };
        let wanted = |path: &Path| {
            peer.is_none_or(|peer| path.peer == peer)
                && (!only_rejected || path.accepted.is_none())
                && self.core.peers.life(P::INDEX, path.peer, path.tag) != Life::Dead
        };
        let paths = table.paths(slot);
        if !paths.iter().any(wanted) {
            return;
        }
        let path_id = |index: u32| {
            paths
                .get(index as usize)
                .map_or(0, |path| table.path_id(slot, path))
        };
        let judge = self.core.judge(P::INDEX);
        let (best, lost) = judge.explain(paths, |path| judge.visible(path), &path_id);
        let first = out.len();
        for (index, (path, lost)) in paths.iter().zip(lost).enumerate() {
            if !wanted(path) {
                continue;
            }
            let Some(mut row) = self.row(table, slot, path) else {
                continue;
            };
            row.best = best == Some(index);
            row.lost = lost.and_then(|(step, to): (Step, usize)| Some((step, paths.get(to)?.peer)));
            row.advertised = to
                .and_then(|(peer, group)| self.why_not_advertised(table, slot, path, peer, group));
            out.push(row);
        }
        if let Some(rows) = out.get_mut(first..) {
            rows.sort_by_key(|row| (!row.best, row.rejection.is_some(), row.peer, row.path_id));
        }
    }

    fn row<P: TableKey>(&self, table: &Table<P>, slot: u32, path: &Path) -> Option<RouteRow> {
        let prefix: Prefix = table.slot(slot)?.prefix().into();
        let peer = self.core.peers.get(path.peer)?;
        let attrs = self.core.sets.get(path.received)?.clone();
        let rejection = path
            .accepted
            .is_none()
            .then(|| reason(peer, P::FAMILY, prefix, attrs.as_ref()));
        let accepted = (path.accepted != path.received)
            .then(|| self.core.sets.get(path.accepted).cloned())
            .flatten();
        Some(RouteRow {
            prefix,
            peer: path.peer,
            path_id: table.path_id(slot, path),
            attrs,
            accepted,
            best: false,
            stale: self
                .core
                .peers
                .life(P::INDEX, path.peer, path.tag)
                .staleness(),
            rejection,
            lost: None,
            advertised: None,
        })
    }

    /// What a member was advertised of a slot.
    fn advertised_rows<P: TableKey>(
        &self,
        table: &Table<P>,
        peer: PeerId,
        group: GroupId,
        slot: u32,
        out: &mut Vec<RouteRow>,
    ) {
        let Some(group) = self
            .groups
            .get(group)
            .filter(|group| group.members.has(peer))
        else {
            return;
        };
        let Some(prefix) = table.slot(slot).map(|slot| slot.prefix().into()) else {
            return;
        };
        let wire = OnWire::new(&self.core, &group.profile);
        let mut push = |handle, source, path_id| {
            let Some(attrs) = wire.set(handle).cloned() else {
                return;
            };
            out.push(RouteRow {
                prefix,
                peer: source,
                path_id,
                attrs,
                accepted: wire.arriving::<P>(handle, source),
                best: false,
                stale: Staleness::Fresh,
                rejection: None,
                lost: None,
                advertised: None,
            });
        };
        if group.is_many(P::INDEX) {
            let sent = group
                .sent
                .get(P::INDEX)
                .map_or(&[][..], |sent| sent.get(slot));
            for sent in sent.iter().filter(|sent| sent.source != peer) {
                push(sent.handle, sent.source, sent.id());
            }
        } else if let Some(advertised) = group.advertised.get(P::INDEX)
            && let Some((handle, source)) = advertised.get(slot).of(peer)
        {
            push(handle, source, 0);
        }
    }

    /// Whether a member is advertised a path, and if not, why; in the order in which egress asks.
    fn why_not_advertised<P: TableKey>(
        &self,
        table: &Table<P>,
        slot: u32,
        path: &Path,
        member: PeerId,
        group: GroupId,
    ) -> Option<Result<(), NotAdvertised>> {
        let group = self.groups.get(group)?;
        let prefix = table.slot(slot)?.prefix();
        let fault = self.held_from(group, path, member, prefix);
        Some(match fault {
            Some(fault) => Err(fault),
            None if is_advertised::<P>(group, slot, path, member) => Ok(()),
            None if group.waits(P::INDEX, slot) => Err(NotAdvertised::Limit),
            None => Err(NotAdvertised::NotBest),
        })
    }

    fn held_from<P: TableKey>(
        &self,
        group: &Group,
        path: &Path,
        member: PeerId,
        prefix: P,
    ) -> Option<NotAdvertised> {
        let profile = &group.profile;
        let source = self.core.peers.get(path.peer)?;
        if path.accepted.is_none() {
            return Some(NotAdvertised::Rejected);
        }
        if path.peer == member {
            return Some(NotAdvertised::OwnPath);
        }
        if !profile.families.contains(P::FAMILY) {
            return Some(NotAdvertised::Family);
        }
        if !profile
            .eligibility
            .allows(source.profile.class, profile.class)
        {
            return Some(NotAdvertised::Matrix);
        }
        if path.digest.is_long_lived() && !profile.long_lived {
            return Some(NotAdvertised::LongLived);
        }
        if held_back(profile, self.core.sets.flags(path.accepted)) {
            return Some(NotAdvertised::Community);
        }
        let Some(policy) = &profile.export else {
            return Some(NotAdvertised::NoPolicy);
        };
        let route = RouteContext {
            peer: &source.facts,
            family: P::FAMILY,
            prefix: prefix.into(),
            set: self.core.sets.get(path.accepted)?.as_ref(),
            to: group.exports.to(),
        };
        let mut changed = AttrSetBuf::default();
        let set = match policy.evaluate(&route, &mut changed, &mut Hits::new(policy)) {
            Outcome::Reject { statement } => {
                let (policy, statement) = rejecting(policy, statement);
                return Some(NotAdvertised::Policy { policy, statement });
            }
            Outcome::Accept => route.set,
            Outcome::AcceptChanged => changed.as_ref(),
        };
        let sent = sendable::<P>(&mut Vec::new(), profile, &self.core, path.peer, set);
        sent.err().map(|why| match why {
            Unsendable::TooLarge => NotAdvertised::TooLarge,
            Unsendable::NextHop => NotAdvertised::NextHop,
        })
    }
}

fn is_advertised<P: TableKey>(group: &Group, slot: u32, path: &Path, member: PeerId) -> bool {
    if group.is_many(P::INDEX) {
        let sent = group
            .sent
            .get(P::INDEX)
            .map_or(&[][..], |sent| sent.get(slot));
        return sent
            .iter()
            .any(|sent| sent.key() == (path.peer, path.tag.sub()));
    }
    // A group with one path a prefix is advertised the best of the source's paths, if any.
    let advertised = group
        .advertised
        .get(P::INDEX)
        .and_then(|advertised| advertised.get(slot).of(member));
    advertised.is_some_and(|(handle, source)| {
        source == path.peer
            && (handle == path.accepted || handle.owner() >= crate::limits::WORKERS_MAX)
    })
}
