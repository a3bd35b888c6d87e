//! `/metrics`: OpenMetrics text from counters that are kept as things happen. No table is walked.

use std::sync::atomic::AtomicU64;

use anyhow::Result;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Metric;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use thruway_api::{ExpectationState, Expectations, Peer, RouteCounts, Status};

use super::door::Site;
use super::server::{Figures, NetworkFigures};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
    address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FamilyLabels {
    peer: String,
    family: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PrefixLabels {
    family: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    peer: String,
    family: String,
    direction: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpectationLabels {
    expectation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemberLabels {
    name: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    over: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    over: &'static str,
    reason: &'static str,
}

type Number = Gauge<i64, std::sync::atomic::AtomicI64>;
type Real = Gauge<f64, AtomicU64>;

/// `figures` in OpenMetrics' text form.
pub(super) fn text(site: &Site, figures: Figures) -> Result<String> {
    let mut registry = Registry::with_prefix("thruway");
    server(&figures, &mut registry);
    former(&figures, &mut registry);
    peers(figures.peers, &mut registry);
    expectations(&figures.expectations, &mut registry);
    if let Some(figures) = &figures.network {
        network(figures, &mut registry);
    }
    doors(site, &mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The whole server. A name and a unit for each; what only grows ends in `_total`.
fn server(figures: &Figures, registry: &mut Registry) {
    let status = &figures.status;
    let prefixes = Metric::<PrefixLabels, Number>::default();
    for (family, count) in [
        ("ipv4", status.ipv4_prefixes),
        ("ipv6", status.ipv6_prefixes),
    ] {
        let labels = PrefixLabels { family };
        prefixes.get_or_create(&labels).set(clamp(count));
    }
    registry.register("prefixes", "Prefixes with at least one path", prefixes);
    levels(status, registry);
    growing(figures, registry);
}

/// What must stay true: nothing where nothing is expected.
fn expectations(expected: &Expectations, registry: &mut Registry) {
    let (holds, broken) = (
        Metric::<ExpectationLabels, Number>::default(),
        Counter::<u64>::default(),
    );
    if expected.expectations.is_empty() {
        return;
    }
    for one in &expected.expectations {
        let labels = ExpectationLabels {
            expectation: one.name.clone(),
        };
        let value = match one.state {
            ExpectationState::Holds => 1,
            ExpectationState::Broken => 0,
            ExpectationState::Unjudged => continue,
        };
        holds.get_or_create(&labels).set(value);
    }
    broken
        .inner()
        .store(expected.broken_total, std::sync::atomic::Ordering::Relaxed);
    registry.register(
        "expectation_holds",
        "1 where an expectation holds, 0 where it is broken",
        holds,
    );
    registry.register(
        "expectations_broken",
        "How often one that held was broken",
        broken,
    );
}

/// What goes up and down.
fn levels(status: &Status, registry: &mut Registry) {
    for (name, help, value) in [
        (
            "peers",
            "Peers, those of ranges included",
            status.peers as u64,
        ),
        (
            "peers_established",
            "Established sessions",
            status.established as u64,
        ),
        ("paths", "Paths, rejected ones included", status.paths),
        (
            "attribute_sets",
            "Distinct attribute sets",
            status.attribute_sets,
        ),
        ("resident_memory_bytes", "Resident memory", status.memory),
        (
            "queued_bytes",
            "Bytes that wait for peers' sockets",
            status.queued,
        ),
        (
            "uptime_seconds",
            "Seconds since the start",
            status.uptime_seconds,
        ),
    ] {
        let number = Number::default();
        number.set(clamp(value));
        registry.register(name, help, number);
    }
}

/// What only grows.
fn growing(figures: &Figures, registry: &mut Registry) {
    let status = &figures.status;
    for (name, help, value) in [
        (
            "messages_received",
            "BGP messages received",
            status.messages_in,
        ),
        ("updates_received", "UPDATEs received", status.updates_in),
        (
            "received_bytes",
            "Bytes received from peers",
            status.bytes_in,
        ),
        (
            "updates_encoded",
            "UPDATEs encoded; one may go to many peers",
            status.updates_encoded,
        ),
        ("sent_bytes", "Bytes sent to peers", status.bytes_out),
        (
            "connections_refused",
            "Connections to the BGP port that no peer wanted",
            figures.refused,
        ),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

/// The names of release 0.1, for one release more: `server{kind}` and `peer_flaps` without `_total`.
fn former(figures: &Figures, registry: &mut Registry) {
    let status = &figures.status;
    let all = Metric::<KindLabels, Number>::default();
    for (kind, value) in [
        ("peers", status.peers as u64),
        ("peers_established", status.established as u64),
        ("prefixes_ipv4", status.ipv4_prefixes),
        ("prefixes_ipv6", status.ipv6_prefixes),
        ("paths", status.paths),
        ("attribute_sets", status.attribute_sets),
        ("memory_bytes", status.memory),
        ("messages_in", status.messages_in),
        ("updates_in", status.updates_in),
        ("bytes_in", status.bytes_in),
        ("updates_encoded", status.updates_encoded),
        ("bytes_out", status.bytes_out),
        ("bytes_queued", status.queued),
    ] {
        all.get_or_create(&KindLabels { kind }).set(clamp(value));
    }
    registry.register("server", "Deprecated: each kind has a name of its own", all);
    let flaps = Metric::<PeerLabels, Number>::default();
    for peer in &figures.peers {
        flaps.get_or_create(&labels(peer)).set(clamp(peer.flaps));
    }
    let help = "Deprecated: thruway_peer_session_losses_total";
    registry.register("peer_flaps", help, flaps);
}

fn labels(peer: &Peer) -> PeerLabels {
    PeerLabels {
        peer: peer.name.clone(),
        address: peer.address.to_string(),
    }
}

fn peers(list: Vec<Peer>, registry: &mut Registry) {
    let up = Metric::<PeerLabels, Number>::default();
    let losses = Metric::<PeerLabels, Counter>::default();
    let queued = Metric::<PeerLabels, Number>::default();
    let silence = Metric::<PeerLabels, Real>::default();
    let routes = Metric::<FamilyLabels, Number>::default();
    limits(&list, registry);
    for peer in list {
        let labels = labels(&peer);
        up.get_or_create(&labels)
            .set(i64::from(peer.uptime_seconds.is_some()));
        losses.get_or_create(&labels).inc_by(peer.flaps);
        queued.get_or_create(&labels).set(clamp(peer.queued as u64));
        silence.get_or_create(&labels).set(peer.longest_silence);
        for (family, counts) in [("ipv4", peer.ipv4), ("ipv6", peer.ipv6)] {
            for (kind, value) in kinds(counts) {
                let labels = FamilyLabels {
                    peer: peer.name.clone(),
                    family,
                    kind,
                };
                routes.get_or_create(&labels).set(clamp(value));
            }
        }
    }
    registry.register("peer_up", "1 where the session is Established", up);
    registry.register("peer_session_losses", "Times the session was lost", losses);
    registry.register(
        "peer_queued_bytes",
        "Bytes that wait for the peer's socket",
        queued,
    );
    registry.register(
        "peer_longest_silence_seconds",
        "Longest silence of the session",
        silence,
    );
    registry.register("peer_routes", "Routes by peer, family and kind", routes);
}

/// Connections of the API, and what was turned away.
fn doors(site: &Site, registry: &mut Registry) {
    let open = Metric::<DoorLabels, Number>::default();
    let refused = Metric::<RefusalLabels, Counter>::default();
    for door in &site.doors {
        let connections = i64::try_from(door.connections()).unwrap_or(i64::MAX);
        let over = door.name;
        open.get_or_create(&DoorLabels { over }).set(connections);
        for (reason, count) in door.refused() {
            let labels = RefusalLabels { over, reason };
            refused.get_or_create(&labels).inc_by(count);
        }
    }
    registry.register("api_connections", "Open connections of the API", open);
    let help = "Connections and requests of the API that were turned away";
    registry.register("api_refused", help, refused);
}

/// Peers' limits: the largest count, where it warns, and what counts.
fn limits(peers: &[Peer], registry: &mut Registry) {
    let largest = Metric::<LimitLabels, Number>::default();
    let threshold = Metric::<LimitLabels, Number>::default();
    let count = Metric::<LimitLabels, Number>::default();
    for peer in peers {
        for limit in &peer.limits {
            let labels = LimitLabels {
                peer: peer.name.clone(),
                family: limit.family.clone(),
                direction: limit.direction.clone(),
            };
            largest.get_or_create(&labels).set(limit.limit.into());
            threshold.get_or_create(&labels).set(limit.warn_at.into());
            count.get_or_create(&labels).set(clamp(limit.count));
        }
    }
    registry.register("peer_limit", "Largest number of prefixes", largest);
    registry.register("peer_limit_threshold", "Where a limit warns", threshold);
    registry.register("peer_limit_count", "What counts against a limit", count);
}

/// The switch, NVAs and gateways, and hosts' routes.
fn network(figures: &NetworkFigures, registry: &mut Registry) {
    let enabled = Number::default();
    enabled.set(i64::from(figures.enabled));
    registry.register("exchange_enabled", "1 where route exchange is on", enabled);
    let sessions = Metric::<MemberLabels, Number>::default();
    let healthy = Metric::<MemberLabels, Number>::default();
    for member in &figures.members {
        let labels = MemberLabels {
            name: member.name.clone(),
            kind: member.kind.as_str(),
        };
        let up = member.sessions.iter();
        let up = up.filter(|session| session.uptime_seconds.is_some());
        let count = i64::try_from(up.count()).unwrap_or(i64::MAX);
        sessions.get_or_create(&labels).set(count);
        let value = i64::from(member.state == "up");
        healthy.get_or_create(&labels).set(value);
    }
    registry.register("member_sessions_up", "Established sessions", sessions);
    let help = "1 where an NVA or gateway has all sessions that it needs";
    registry.register("member_healthy", help, healthy);
    let routes = Metric::<KindLabels, Number>::default();
    let totals = figures.hosts;
    for (kind, value) in [
        ("known", totals.routes),
        ("in_kernel", totals.in_kernel),
        ("error", totals.errors),
        ("waiting", totals.waiting),
        ("leftover", totals.leftovers),
    ] {
        routes.get_or_create(&KindLabels { kind }).set(clamp(value));
    }
    registry.register("hosts_routes", "Routes of hosts by state", routes);
}

fn kinds(counts: RouteCounts) -> [(&'static str, u64); 7] {
    [
        ("received", counts.received),
        ("accepted", counts.accepted),
        ("rejected", counts.rejected),
        ("stale", counts.stale),
        ("blocked", counts.blocked),
        ("advertised", counts.advertised),
        ("held_back", counts.held_back),
    ]
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
