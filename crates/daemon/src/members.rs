//! What the API says of the virtual network: the switch, the matrix of now, NVAs and gateways, the hosts'
//! routes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thruway_api::{
    ExchangeView, HostRoute, HostsSummary, HostsView, MatrixCell, Member, MemberSession, Peer,
    PeeredView, RouteCounts, VnetView, Wanted,
};
use thruway_config::{self as config, Config};
use thruway_control::Refused;
use thruway_engine::status::PeerStatus;
use thruway_exchange::{Health, Instance, Kind, SetBy, cell, why_not};
use thruway_rib::TallyRow;
use thruway_wire::Family;

use super::daemon::Daemon;
use super::exchange::Exchange;
use super::local::kernel_table;
use super::switch::file_of;
use super::view::Snapshot;
use thruway_api::time_text;

/// The running network, or why there is none.
pub(super) fn running(daemon: &Daemon) -> Result<(&Exchange, Arc<Config>), Refused> {
    let config = daemon.config();
    match daemon.network() {
        Some(exchange) => Ok((exchange, config)),
        None => Err(Refused::bad(format!(
            "the server runs in {} mode: there is no virtual network ([server] mode = \"exchange\")",
            config.server.mode.as_str()
        ))),
    }
}

/// The virtual network as it is now.
pub(super) async fn view(daemon: &Daemon) -> Result<ExchangeView, Refused> {
    let (exchange, config) = running(daemon)?;
    let Some(file) = &config.exchange else {
        return Err(Refused::bad("the configuration has no virtual network"));
    };
    let snapshot = daemon.snapshot().await?;
    let tally = daemon.bus().tally(None).await?;
    let position = exchange.position();
    let enabled = position.switch.enabled;
    let set_by = match position.switch.set_by {
        SetBy::File => "file",
        SetBy::Command { .. } => "command",
    };
    let hosts = exchange.hosts().map(|handle| handle.totals());
    Ok(ExchangeView {
        enabled,
        set_by: set_by.to_owned(),
        since: position.since,
        file_says: file.enabled,
        config: config.path.display().to_string(),
        state_file: config.server.state.display().to_string(),
        warning: position.warning,
        preference: file.preference.as_str().to_owned(),
        asn: config.server.asn,
        vnet: vnet(file),
        members: members(daemon, &config, file, exchange, &snapshot),
        matrix: matrix(&tally, enabled),
        hosts: HostsSummary {
            kernel: kernel_table(&config),
            totals: hosts.unwrap_or_default(),
        },
    })
}

fn vnet(file: &config::Exchange) -> VnetView {
    let hops = [Family::Ipv4, Family::Ipv6].map(|family| file.vnet.next_hop(family));
    VnetView {
        prefixes: file.vnet.prefixes.clone(),
        peered: file
            .vnet
            .peered
            .iter()
            .map(|peered| PeeredView {
                name: peered.name.clone(),
                prefixes: peered.prefixes.clone(),
            })
            .collect(),
        next_hops: hops.into_iter().flatten().map(|hop| hop.addr()).collect(),
    }
}

/// The whole matrix, also where nothing flows.
pub(super) fn matrix(tally: &[TallyRow], enabled: bool) -> Vec<MatrixCell> {
    let mut cells = Vec::new();
    for from in Kind::ALL {
        for to in Kind::ALL {
            let of = |row: &&TallyRow| (row.from.0, row.to.0) == (from.class(), to.class());
            let row = tally.iter().find(of);
            cells.push(MatrixCell {
                from,
                to,
                allowed: cell(from, to).allows(enabled),
                prefixes: row.map_or(0, |row| row.prefixes),
                kept_back: row.map_or(0, |row| row.kept_back),
                beaten: row.map_or(0, |row| row.beaten),
                why_not: why_not(from, to, enabled).map(str::to_owned),
            });
        }
    }
    cells
}

fn members(
    daemon: &Daemon,
    config: &Config,
    file: &config::Exchange,
    exchange: &Exchange,
    snapshot: &Snapshot,
) -> Vec<Member> {
    let nvas = file.nvas.iter().map(|nva| (Kind::Nva, nva.name.as_str()));
    let gateways = file.gateways.iter();
    let gateways = gateways.map(|gateway| (gateway.kind, gateway.name.as_str()));
    nvas.chain(gateways)
        .map(|(kind, name)| {
            let sessions = sessions(daemon, config, exchange, snapshot, name);
            member(kind, name, sessions)
        })
        .collect()
}

/// Sessions of a site: configured ones, those from its subnet, and those that were there.
fn sessions(
    daemon: &Daemon,
    config: &Config,
    exchange: &Exchange,
    snapshot: &Snapshot,
    site: &str,
) -> Vec<MemberSession> {
    let mut list: BTreeMap<IpAddr, MemberSession> = BTreeMap::new();
    for status in snapshot.peers() {
        let file = file_of(config, &status.name, status.range.as_deref());
        if file.is_none_or(|file| file.site.as_deref() != Some(site)) {
            continue;
        }
        let mut peers = [snapshot.peer(status)];
        daemon.fill_in_configured(&mut peers);
        let [peer] = peers;
        list.insert(peer.address, session(peer, down_since(snapshot, status)));
    }
    for (name, seen) in exchange.seen(site) {
        let missing = || MemberSession {
            name: name.to_string(),
            address: seen.addr,
            asn: Some(config.server.asn),
            state: "gone".to_owned(),
            uptime_seconds: None,
            down_since: None,
            learned: 0,
            advertised: 0,
            held_back: 0,
        };
        let session = list.entry(seen.addr).or_insert_with(missing);
        if let (None, Some(at)) = (session.uptime_seconds, seen.down) {
            session.down_since = Some(time_text(at));
        }
    }
    list.into_values().collect()
}

fn session(peer: Peer, down_since: Option<String>) -> MemberSession {
    let sum = |pick: fn(&RouteCounts) -> u64| pick(&peer.ipv4) + pick(&peer.ipv6);
    MemberSession {
        learned: sum(|counts| counts.accepted),
        advertised: sum(|counts| counts.advertised),
        held_back: sum(|counts| counts.held_back),
        name: peer.name,
        address: peer.address,
        asn: peer.asn,
        state: peer.state,
        uptime_seconds: peer.uptime_seconds,
        down_since,
    }
}

/// When a session was lost, where it has not come back.
fn down_since(snapshot: &Snapshot, peer: &PeerStatus) -> Option<String> {
    if peer.since.is_some() || peer.messages.flaps == 0 {
        return None;
    }
    let (at, _) = peer.last_down.as_ref()?;
    let ago: Duration = snapshot.now().since(*at);
    SystemTime::now().checked_sub(ago).map(time_text)
}

fn member(kind: Kind, name: &str, sessions: Vec<MemberSession>) -> Member {
    let instances: Vec<Instance<'_>> = sessions
        .iter()
        .map(|session| Instance {
            name: &session.name,
            up: session.uptime_seconds.is_some(),
            since: session.down_since.as_deref(),
        })
        .collect();
    let health = Health::of(kind, &instances);
    let state = health.as_str().to_owned();
    let reason = match health {
        Health::Degraded { reason } => Some(reason),
        Health::Up | Health::Down => None,
    };
    Member {
        kind,
        name: name.to_owned(),
        state,
        reason,
        sessions,
    }
}

/// Gateways and NVAs by state, for metrics: kind, name, state.
pub(super) fn states(daemon: &Daemon, snapshot: &Snapshot) -> Vec<Member> {
    let config = daemon.config();
    match (daemon.network(), &config.exchange) {
        (Some(exchange), Some(file)) => members(daemon, &config, file, exchange, snapshot),
        _ => Vec::new(),
    }
}

/// The hosts' routes: all, those within a prefix, or the longest match of one.
pub(super) async fn hosts(daemon: &Daemon, wanted: Wanted) -> Result<HostsView, Refused> {
    let (exchange, config) = running(daemon)?;
    let Some(handle) = exchange.hosts() else {
        return Err(anyhow::anyhow!("the hosts' side has not started yet").into());
    };
    let mut view = tokio::task::spawn_blocking(move || handle.view())
        .await
        .map_err(anyhow::Error::from)?;
    let most = config.exchange.as_ref().map_or(1, |file| file.max_paths);
    for route in &mut view.routes {
        keep_hops(route, most);
    }
    let routes = &mut view.routes;
    match wanted {
        Wanted::All(None) => {}
        Wanted::All(Some(family)) => routes.retain(|route| route.network.family() == family),
        Wanted::Exact(prefix) => routes.retain(|route| route.network == prefix),
        Wanted::Longer(prefix) => routes.retain(|route| prefix.covers(route.network)),
        Wanted::Longest(host) => {
            routes.retain(|route| route.network.covers(host));
            let longest = routes.iter().map(|route| route.network.prefix_len()).max();
            routes.retain(|route| Some(route.network.prefix_len()) == longest);
        }
    }
    Ok(view)
}

/// Keeps the next hops that count: at most so many of those that can be used.
fn keep_hops(route: &mut HostRoute, most: u8) {
    let mut left = most;
    route.next_hops.retain(|hop| {
        let counts = hop.error.is_none();
        let kept = !counts || left > 0;
        left -= u8::from(counts && kept);
        kept
    });
}
