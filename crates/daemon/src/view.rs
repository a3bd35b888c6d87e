//! From the workers' snapshots to what the API says.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thruway_api::{Lost, Peer, PeerDamped, Route, RouteCounts};
use thruway_engine::PeerRole;
use thruway_engine::status::{PeerStatus, PeerTable, WorkerStatus};
use thruway_policy::Hits;
use thruway_rib::{GroupId, NotAdvertised, PeerId, RouteRow, Staleness, Step};
use thruway_session::{Negotiated, State};
use thruway_wire::{Family, Time};

/// What answers need of peers: one snapshot serves one request.
pub(crate) struct Snapshot {
    /// As the workers said it.
    pub(crate) workers: Vec<WorkerStatus>,
    by_id: HashMap<PeerId, (usize, usize)>,
    tables: HashMap<PeerId, PeerTable>,
}

/// Peers as routes name them: what an answer of many rows keeps of a snapshot.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Names(HashMap<PeerId, PeerName>);

/// One of them.
#[derive(Clone, PartialEq, Eq)]
struct PeerName {
    name: Arc<str>,
    addr: IpAddr,
    local: Option<IpAddr>,
    internal: bool,
    /// It is the network's own session.
    own: bool,
}

impl Snapshot {
    pub(crate) fn new(workers: Vec<WorkerStatus>) -> Self {
        let mut by_id = HashMap::new();
        let mut tables: HashMap<PeerId, PeerTable> = HashMap::new();
        for (w, worker) in workers.iter().enumerate() {
            for (p, peer) in worker.peers.iter().enumerate() {
                by_id.insert(peer.peer, (w, p));
            }
            for table in &worker.tables {
                add(tables.entry(table.peer).or_default(), table);
            }
        }
        Snapshot {
            workers,
            by_id,
            tables,
        }
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &PeerStatus> {
        self.workers.iter().flat_map(|worker| &worker.peers)
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&PeerStatus> {
        let (worker, peer) = *self.by_id.get(&id)?;
        self.workers.get(worker)?.peers.get(peer)
    }

    /// A peer by name or address.
    pub(crate) fn find(&self, wanted: &str) -> Option<&PeerStatus> {
        let addr: Option<IpAddr> = wanted.parse().ok();
        self.peers()
            .find(|peer| &*peer.name == wanted || Some(peer.addr.ip()) == addr)
    }

    /// What routes need of it.
    pub(crate) fn names(&self) -> Names {
        let name = |peer: &PeerStatus| PeerName {
            name: Arc::clone(&peer.name),
            addr: peer.addr.ip(),
            local: peer.ends.map(|(ours, _)| ours.ip()),
            internal: peer.negotiated.as_ref().is_some_and(|n| n.internal),
            own: peer.role == PeerRole::Local,
        };
        Names(self.peers().map(|peer| (peer.peer, name(peer))).collect())
    }

    pub(crate) fn group(&self, id: PeerId) -> Option<GroupId> {
        self.get(id)?.group
    }

    /// When it was taken.
    pub(crate) fn now(&self) -> Time {
        let all = self.workers.iter().map(|worker| worker.now);
        all.max().unwrap_or_default()
    }

    /// What the API says of a peer.
    pub(crate) fn peer(&self, peer: &PeerStatus) -> Peer {
        let now = self.now();
        let negotiated = peer.negotiated.as_ref();
        let table = self.tables.get(&peer.peer).copied().unwrap_or_default();
        let counts = |family| counts(peer, &table, family);
        Peer {
            name: peer.name.to_string(),
            address: peer.addr.ip(),
            asn: negotiated.map(|n| n.peer_as),
            role: format!("{:?}", peer.role),
            state: state_text(peer),
            uptime_seconds: peer.since.map(|since| now.since(since).as_secs()),
            kind: None,
            site: None,
            dynamic: peer.dynamic,
            range: peer.range.as_deref().map(str::to_owned),
            shutdown: peer.shutdown,
            router_id: negotiated.map(|n| n.peer_id),
            local_address: peer.ends.map(|(ours, _)| ours),
            remote_address: peer.ends.map(|(_, theirs)| theirs),
            hold_time: negotiated.map(|n| n.hold_time),
            capabilities: negotiated.map(capabilities).unwrap_or_default(),
            update_group: peer.group.map(|group| group.0),
            ipv4: counts(Family::Ipv4),
            ipv6: counts(Family::Ipv6),
            messages_in: peer.messages.received,
            messages_out: peer.messages.sent,
            bytes_in: peer.bytes_in,
            bytes_out: peer.bytes_out,
            flaps: peer.messages.flaps,
            queued: peer.queued,
            slow: peer.behind,
            update_errors: peer.update_errors,
            unsendable: table.families.iter().map(|family| family.unsendable).sum(),
            last_error: last_error(peer, now),
            damped: damped(peer, now),
            longest_silence: peer.quiet_max.as_secs_f64(),
            notes: notes(peer),
            import_policy: None,
            export_policy: None,
            limits: Vec::new(),
        }
    }

    /// How often statements of a peer's import policy held, over all shards.
    pub(crate) fn import_hits(&self, id: PeerId) -> Hits {
        let all = self.workers.iter().flat_map(|worker| &worker.import_hits);
        sum_hits(all.filter(|(peer, _)| *peer == id).map(|(_, hits)| hits))
    }

    /// Likewise of a group's export policy.
    pub(crate) fn export_hits(&self, id: GroupId) -> Hits {
        let all = self.workers.iter().flat_map(|worker| &worker.export_hits);
        sum_hits(all.filter(|(group, _)| *group == id).map(|(_, hits)| hits))
    }
}

impl Names {
    fn name(&self, id: PeerId) -> PeerName {
        let known = self.0.get(&id).cloned();
        known.unwrap_or_else(|| PeerName {
            name: format!("peer {}", id.0).into(),
            addr: IpAddr::from([0, 0, 0, 0]),
            local: None,
            internal: false,
            own: false,
        })
    }

    /// A peer's name.
    pub(crate) fn name_of(&self, id: PeerId) -> String {
        self.name(id).name.to_string()
    }

    /// True for the network's own session.
    pub(crate) fn is_local(&self, id: PeerId) -> bool {
        self.0.get(&id).is_some_and(|peer| peer.own)
    }

    /// What the API says of a path.
    pub(crate) fn route(&self, row: &RouteRow) -> Route {
        let source = self.name(row.peer);
        let shown = row.accepted.as_ref().unwrap_or(&row.attrs);
        let mut route = Route::from_attrs(row.prefix, shown.as_ref());
        route.origin = if source.internal { "Igp" } else { "EBgp" }.to_owned();
        route.source_peer = Some(source.addr);
        route.local_address = source.local;
        route.peer = source.name.to_string();
        route.path_id = row.path_id;
        route.best = row.best;
        route.changed = row.accepted.is_some();
        route.stale = match row.stale {
            Staleness::Fresh => "fresh",
            Staleness::Stale => "stale",
            Staleness::LongLived => "long-lived",
        }
        .to_owned();
        route.rejected = row.rejection.as_ref().map(ToString::to_string);
        route.lost = row.lost.map(|(step, to)| self.lost(step, to));
        route.told = row.advertised.as_ref().map(|told| match told {
            Ok(()) => "told".to_owned(),
            Err(why) => not_advertised(why),
        });
        route
    }

    fn lost(&self, step: Step, to: PeerId) -> Lost {
        Lost {
            step: step.number(),
            why: step.to_string(),
            to: self.name(to).name.to_string(),
        }
    }
}

fn damped(peer: &PeerStatus, now: Time) -> Option<PeerDamped> {
    let damped = peer.damped?;
    let reason = peer.last_down.as_ref();
    Some(PeerDamped {
        failures: damped.failures,
        since_seconds: now.since(damped.since).as_secs_f64(),
        until_seconds: damped.until.since(now).as_secs_f64(),
        reason: reason.map_or_else(String::new, |(_, reason)| reason.to_string()),
    })
}

fn sum_hits<'a>(mut all: impl Iterator<Item = &'a Hits>) -> Hits {
    let mut sum = all.next().cloned().unwrap_or_default();
    all.for_each(|hits| sum.add(hits));
    sum
}

fn add(sum: &mut PeerTable, part: &PeerTable) {
    sum.peer = part.peer;
    for (sum, part) in sum.families.iter_mut().zip(&part.families) {
        sum.received += part.received;
        sum.accepted += part.accepted;
        sum.stale += part.stale;
        sum.blocked += part.blocked;
        sum.advertised += part.advertised;
        sum.held_back += part.held_back;
        sum.unsendable += part.unsendable;
    }
}

fn counts(peer: &PeerStatus, table: &PeerTable, family: Family) -> RouteCounts {
    let counts = table.family(family);
    let flag = |flags: &[bool; 2]| flags.get(family.index()).copied().unwrap_or_default();
    RouteCounts {
        received: counts.received,
        accepted: counts.accepted,
        rejected: counts.received.saturating_sub(counts.accepted),
        stale: counts.stale,
        blocked: counts.blocked,
        advertised: counts.advertised,
        held_back: counts.held_back,
        received_all: flag(&peer.table_received),
        sent_all: peer.table_sent,
    }
}

fn state_text(peer: &PeerStatus) -> String {
    if peer.shutdown && peer.state == State::Idle {
        return "Idle (shut down)".to_owned();
    }
    peer.state.to_string()
}

fn last_error(peer: &PeerStatus, now: Time) -> Option<(String, u64)> {
    let (at, reason) = peer.last_down.as_ref()?;
    Some((reason.to_string(), now.since(*at).as_secs()))
}

fn notes(peer: &PeerStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if peer.no_import_policy {
        notes.push("no import policy: nothing is accepted (RFC 8212)".to_owned());
    }
    if peer.no_export_policy {
        notes.push("no export policy: nothing is advertised (RFC 8212)".to_owned());
    }
    for family in peer.disabled.iter() {
        notes.push(format!(
            "{family} is disabled after a malformed UPDATE, until the session starts anew (RFC 7606)"
        ));
    }
    if peer.behind {
        notes.push("does not read as fast as it is written to; catching up".to_owned());
    }
    if peer.quiet_max > Duration::from_secs(60) {
        notes.push(format!("was silent for {} s", peer.quiet_max.as_secs()));
    }
    notes
}

fn capabilities(negotiated: &Negotiated) -> Vec<String> {
    let mut list: Vec<String> = negotiated.families.iter().map(|f| f.to_string()).collect();
    let flags = [
        (negotiated.as4, "4-octet AS"),
        (negotiated.route_refresh, "route refresh"),
        (negotiated.enhanced_route_refresh, "enhanced route refresh"),
        (negotiated.extended_message_tx, "extended message"),
        (negotiated.extended_next_hop, "extended next hop"),
        (!negotiated.add_path_rx.is_empty(), "ADD-PATH receive"),
        (!negotiated.add_path_tx.is_empty(), "ADD-PATH send"),
    ];
    list.extend(
        flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| (*name).to_owned()),
    );
    list
}

fn not_advertised(why: &NotAdvertised) -> String {
    match why {
        NotAdvertised::Rejected => "import rejected it".to_owned(),
        NotAdvertised::OwnPath => "it is the peer's own path".to_owned(),
        NotAdvertised::Family => "the peer did not negotiate the family".to_owned(),
        NotAdvertised::Matrix => {
            "routes of this kind of peer are not advertised to that kind".to_owned()
        }
        NotAdvertised::Community => "a well-known community holds it back (RFC 1997)".to_owned(),
        NotAdvertised::NoPolicy => "no export policy (RFC 8212)".to_owned(),
        NotAdvertised::Policy { policy, statement } => {
            format!("export policy {policy} rejects it: {statement}")
        }
        NotAdvertised::LongLived => {
            "it is long-lived stale, and the peer does not know of such routes (RFC 9494)"
                .to_owned()
        }
        NotAdvertised::TooLarge => "it does not fit the peer's messages (RFC 8654)".to_owned(),
        NotAdvertised::NextHop => {
            "the peer cannot be given its next hop (RFC 8950, RFC 2545)".to_owned()
        }
        NotAdvertised::Limit => "max-advertised holds it back".to_owned(),
        NotAdvertised::NotBest => "another path is better".to_owned(),
    }
}
