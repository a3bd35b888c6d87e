//! Answers as tables for people.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;
use thruway_api::{Peer, PeerDamped, PeerLimit, Route, RouteCounts, Status};
use thruway_wire::Asn;

pub(super) fn table(heading: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !heading.is_empty() {
        table.set_header(heading);
    }
    table
}

pub(super) fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A span in the two largest units.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

pub(super) fn octets(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        format!("{count} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

/// The file, and which configuration runs where that is not simply what the file says.
fn configuration(status: &Status) -> String {
    let mut text = status.config.clone();
    if status.revision.number > 0 {
        text += &format!(", number {}", status.revision.number);
    }
    if let Some(pending) = &status.revision.pending {
        text += &format!(
            "; change {} by {} is taken back in {} s unless `thruway confirm` keeps it",
            pending.number, pending.author, pending.seconds
        );
    }
    if status.revision.file_differs {
        text += "; the file says something else (`thruway diff`)";
    }
    text
}

pub(super) fn status(status: &Status) -> String {
    let listen: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    let mut table = table(&[]);
    for (name, value) in [
        ("version", status.version.clone()),
        ("AS", status.asn.to_string()),
        ("router id", status.router_id.to_string()),
        ("listens at", listen.join(", ")),
        ("configuration", configuration(status)),
        ("up", span(status.uptime_seconds)),
        (
            "workers",
            format!(
                "{}, {} shards, {}",
                status.workers, status.shards, status.transport
            ),
        ),
        (
            "peers",
            format!("{} of {} established", status.established, status.peers),
        ),
        (
            "prefixes",
            format!(
                "{} IPv4, {} IPv6",
                status.ipv4_prefixes, status.ipv6_prefixes
            ),
        ),
        (
            "paths",
            format!("{}, {} attribute sets", status.paths, status.attribute_sets),
        ),
        ("memory", octets(status.memory)),
        (
            "received",
            format!("{} UPDATEs, {}", status.updates_in, octets(status.bytes_in)),
        ),
        (
            "sent",
            format!(
                "{} UPDATEs encoded, {}",
                status.updates_encoded,
                octets(status.bytes_out)
            ),
        ),
        ("waiting", octets(status.queued)),
    ] {
        table.add_row([name, &value]);
    }
    let mut text = trim(&table);
    for warning in &status.warnings {
        text += &format!("\nwarning: {warning}");
    }
    text
}

pub(super) fn peers(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no peers".to_owned();
    }
    let in_network = peers.iter().any(|peer| peer.kind.is_some());
    let mut table = table(&[
        "name",
        "address",
        "AS",
        if in_network { "kind" } else { "role" },
        "state",
        "up",
        "received",
        "accepted",
        "advertised",
        "notes",
    ]);
    for peer in peers {
        let sum = |pick: fn(&RouteCounts) -> u64| (pick(&peer.ipv4) + pick(&peer.ipv6)).to_string();
        table.add_row([
            peer.name.clone(),
            peer.address.to_string(),
            asn_text(peer.asn),
            kind(peer),
            peer.state.clone(),
            peer.uptime_seconds.map_or_else(|| "-".to_owned(), span),
            sum(|counts| counts.received),
            sum(|counts| counts.accepted),
            sum(|counts| counts.advertised),
            peer.notes.first().cloned().unwrap_or_default(),
        ]);
    }
    align_right(&mut table, 6..9);
    trim(&table)
}

/// What a peer is: to the virtual network with its site, or in plain BGP.
fn kind(peer: &Peer) -> String {
    match (peer.kind, &peer.site) {
        (Some(kind), Some(site)) if kind.as_str() != site => format!("{kind} {site}"),
        (Some(kind), _) => kind.to_string(),
        (None, _) => peer.role.clone(),
    }
}

pub(super) fn peer(peer: &Peer) -> String {
    let dash = || "-".to_owned();
    let mut table = table(&[]);
    let mut add = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    add("name", peer.name.clone());
    add("address", peer.address.to_string());
    add("AS", asn_text(peer.asn));
    if peer.kind.is_some() {
        add("kind", kind(peer));
    }
    add("role", peer.role.clone());
    add("state", peer.state.clone());
    add("up", peer.uptime_seconds.map_or_else(dash, span));
    add(
        "router id",
        peer.router_id.map_or_else(dash, |id| id.to_string()),
    );
    let ends = (peer.local_address, peer.remote_address);
    if let (Some(ours), Some(theirs)) = ends {
        add("connection", format!("{ours} to {theirs}"));
    }
    add(
        "hold time",
        peer.hold_time
            .map_or_else(dash, |seconds| format!("{seconds} s")),
    );
    add("agreed on", peer.capabilities.join(", "));
    add("flaps", peer.flaps.to_string());
    if let Some((error, ago)) = &peer.last_error {
        add("last ended", format!("{} ago: {error}", span(*ago)));
    }
    if let Some(damped) = &peer.damped {
        add("refused", damped_text(damped));
    }
    add("messages in", messages(&peer.messages_in));
    add("messages out", messages(&peer.messages_out));
    add(
        "octets",
        format!(
            "{} in, {} out",
            octets(peer.bytes_in),
            octets(peer.bytes_out)
        ),
    );
    add("waiting", octets(peer.queued as u64));
    for (name, counts) in [("IPv4", &peer.ipv4), ("IPv6", &peer.ipv6)] {
        add(name, counts_text(counts));
    }
    for limit in &peer.limits {
        add("limit", limit_text(limit));
    }
    if peer.update_errors != [0; 4] {
        add("malformed UPDATEs", update_errors(peer.update_errors));
    }
    for (name, value) in policies(peer) {
        add(&name, value);
    }
    let mut text = trim(&table);
    for note in &peer.notes {
        text += &format!("\nnote: {note}");
    }
    text
}

fn update_errors([discarded, withdrawn, disabled, reset]: [u64; 4]) -> String {
    format!(
        "{discarded} attribute discarded, {withdrawn} withdrawn, {disabled} family disabled, \
         {reset} reset"
    )
}

/// Why a peer's connections are refused, and for how long.
fn damped_text(damped: &PeerDamped) -> String {
    format!(
        "for {:.0} s, and for {:.0} s more: {} failures in a row, the last: {} (thruway reset NAME start ends it)",
        damped.since_seconds, damped.until_seconds, damped.failures, damped.reason
    )
}

/// Rows of a peer's policies and how often their statements held.
fn policies(peer: &Peer) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let pairs = [
        ("import", &peer.import_policy),
        ("export", &peer.export_policy),
    ];
    for (name, policy) in pairs {
        let Some(policy) = policy else { continue };
        rows.push((format!("{name} policy"), policy.policy.clone()));
        let hits = policy
            .statements
            .iter()
            .map(|s| format!("{}: {} hits", s.statement, s.hits));
        rows.extend(hits.map(|line| (String::new(), line)));
    }
    rows
}

fn messages(counts: &[u64; 5]) -> String {
    let [open, update, notification, keepalive, refresh] = counts;
    format!(
        "{update} UPDATE, {keepalive} KEEPALIVE, {open} OPEN, {notification} NOTIFICATION, \
         {refresh} ROUTE-REFRESH"
    )
}

fn counts_text(counts: &RouteCounts) -> String {
    let mut text = format!(
        "{} received, {} accepted, {} rejected, {} advertised",
        counts.received, counts.accepted, counts.rejected, counts.advertised
    );
    if counts.blocked > 0 {
        text += &format!(", {} of them held back by max-prefixes", counts.blocked);
    }
    if counts.held_back > 0 {
        text += &format!(", {} held back by max-advertised", counts.held_back);
    }
    if counts.stale > 0 {
        text += &format!(", {} stale", counts.stale);
    }
    text
}

fn limit_text(limit: &PeerLimit) -> String {
    let key = match limit.direction.as_str() {
        "received" => "max-prefixes",
        _ => "max-advertised",
    };
    let mut text = format!(
        "{key} {}: {} of {}, warns at {}, then {}",
        limit.family, limit.count, limit.limit, limit.warn_at, limit.action
    );
    if limit.held_back > 0 {
        text += &format!("; {} held back", limit.held_back);
    } else if limit.count >= u64::from(limit.warn_at) {
        text += "; over the threshold";
    }
    text
}

/// Column widths that hold most routes; longer values push the rest of their line.
pub(super) fn route_heading() -> String {
    format!(
        "   {:<20} {:<16} {:<24} {:>5} {:>6}  {}",
        "prefix", "next hop", "peer", "MED", "pref", "path"
    )
}

pub(super) fn route_line(route: &Route) -> String {
    let mark = match (route.rejected.is_some(), route.best, route.stale.as_str()) {
        (true, ..) => "x",
        (false, true, _) => "*",
        (false, false, "fresh") => " ",
        (false, false, _) => "s",
    };
    let number = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    let next_hop = route
        .next_hop
        .map_or_else(|| "-".to_owned(), |addr| addr.to_string());
    let mut line = format!(
        " {mark} {:<20} {:<16} {:<24} {:>5} {:>6}  {} {}",
        route.network.to_string(),
        next_hop,
        route.peer,
        number(route.med),
        number(route.local_pref),
        route.as_path,
        origin_letter(&route.origin_code),
    );
    if let Some(why) = &route.rejected {
        line += &format!("  rejected: {why}");
    }
    line
}

fn origin_letter(origin: &str) -> &'static str {
    match origin {
        "IGP" => "i",
        "EGP" => "e",
        _ => "?",
    }
}

pub(super) fn explain(prefix: &str, to: Option<&str>, routes: &[Route]) -> String {
    if routes.is_empty() {
        return format!("{prefix}: no path");
    }
    let mut text = format!(
        "{prefix}: {} {}\n",
        routes.len(),
        plural(routes.len(), "path")
    );
    for route in routes {
        let next_hop = route
            .next_hop
            .map_or_else(|| "-".to_owned(), |addr| addr.to_string());
        let mark = if route.best { "*" } else { " " };
        text += &format!(
            "\n{mark} from {} via {next_hop}, path {}",
            route.peer,
            path(route)
        );
        text += &match (&route.rejected, &route.lost) {
            (Some(why), _) => format!("\n    rejected: {why}"),
            (None, Some(lost)) => {
                format!(
                    "\n    lost to {} at step {}: {}",
                    lost.to, lost.step, lost.why
                )
            }
            (None, None) if route.best => "\n    best".to_owned(),
            (None, None) => String::new(),
        };
        if let (Some(to), Some(told)) = (to, &route.told) {
            text += &match told.as_str() {
                "told" => format!("\n    {to} is advertised this path"),
                why => format!("\n    {to} is not advertised this path: {why}"),
            };
        }
        let communities: Vec<String> = route.communities.iter().map(ToString::to_string).collect();
        if !communities.is_empty() {
            text += &format!("\n    communities {}", communities.join(" "));
        }
    }
    text
}

fn path(route: &Route) -> &str {
    if route.as_path.is_empty() {
        "(empty)"
    } else {
        &route.as_path
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}

/// Without the blanks that fill the last column.
pub(super) fn trim(table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}
/// One event as a line.
pub(super) fn event(event: &Value) -> String {
    let text = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    if let Some(missed) = event.get("missed") {
        return format!("{missed} events were missed");
    }
    let field = |name: &str| event.get(name).map(text).unwrap_or_default();
    let mut line = format!("{} {:>5}", field("timestamp"), field("level"));
    let fields = event.get("fields").and_then(Value::as_object);
    if let Some(message) = fields.and_then(|fields| fields.get("message")) {
        line += &format!(" {}", text(message));
    }
    for (name, value) in fields.into_iter().flatten() {
        if name != "message" {
            line += &format!(" {name}={}", text(value));
        }
    }
    line
}

/// AS of a session.
fn asn_text(asn: Option<Asn>) -> String {
    asn.map_or_else(|| "-".to_owned(), |asn| asn.to_string())
}
