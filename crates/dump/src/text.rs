//! The readable form: a line for what and when, indented lines for what it holds.

use std::fmt::Display;
use std::io::Write as _;

use thruway_replay::mrt_file::MrtItem;
use thruway_wire::attrs;
use thruway_wire::mrt::{Bgp4mpMessage, MrtHeader, MrtRecord, PeerIndexTable, Rib, TableDump};
use thruway_wire::open::{Capability, Open};
use thruway_wire::{AfiSafi, NextHop};

use super::facts::{Facts, Fields, IPV4, NlriRun, Shape, is_ipv6};
use super::faults::Fault;
use super::hex::HexMessage;
use super::packet::{Meaning, Packet, kind_name, origin_name, state_name, verdict_name};
use super::put;
use super::scratch::Scratch;

/// Columns that a list of prefixes or communities is broken at.
const WIDTH: usize = 100;

/// Appends a record; `packet` is its message.
pub(super) fn record(
    out: &mut Vec<u8>,
    item: &MrtItem<'_>,
    packet: Option<&Packet<'_>>,
    scratch: &mut Scratch,
) {
    let header = &item.header;
    if let MrtRecord::TableDump(dump) = &item.record {
        table_dump(out, header, dump, scratch);
        return faults(out, &scratch.notes.faults);
    }
    head(out, header);
    // Writing to a Vec cannot fail, here and below.
    let _ = match &item.record {
        MrtRecord::PeerIndexTable(table) => {
            peers(out, table);
            Ok(())
        }
        MrtRecord::Rib(rib) => {
            let (s, paths) = (if rib.len() == 1 { "" } else { "s" }, rib.len());
            let (prefix, sequence) = (rib.prefix, rib.sequence);
            let _ = writeln!(out, "  {prefix}  #{sequence}, {paths} path{s}");
            rib_paths(out, rib, scratch);
            Ok(())
        }
        MrtRecord::Message(message) => {
            recorded(out, message, packet, scratch);
            Ok(())
        }
        MrtRecord::StateChange(change) => {
            let (addr, asn) = (change.session.peer_addr, change.session.peer_as);
            let _ = write!(out, "  {addr} AS{asn}  ");
            state(out, change.old);
            let _ = write!(out, " -> ");
            state(out, change.new);
            writeln!(out)
        }
        _ => {
            let (octets, offset) = (header.len, item.offset);
            writeln!(
                out,
                " record, not supported, skipped, {octets} octets at offset {offset}"
            )
        }
    };
    faults(out, &scratch.notes.faults);
}

fn recorded(
    out: &mut Vec<u8>,
    message: &Bgp4mpMessage<'_>,
    read: Option<&Packet<'_>>,
    scratch: &mut Scratch,
) {
    let Some(read) = read else { return };
    let from_to = &message.session;
    let arrow = if message.local { "<-" } else { "->" };
    let _ = writeln!(
        out,
        "  {} AS{} {arrow} {} AS{}  {}",
        from_to.peer_addr,
        from_to.peer_as,
        from_to.local_addr,
        from_to.local_as,
        kind_name(read.kind())
    );
    packet(out, read, scratch);
}

fn state(out: &mut Vec<u8>, state: u16) {
    let _ = match state_name(state) {
        Some(name) => out.write_all(name.as_bytes()),
        None => write!(out, "state {state}"),
    };
}

/// What is wrong in what was shown.
fn faults(out: &mut Vec<u8>, faults: &[Fault]) {
    for fault in faults {
        let _ = writeln!(out, "  error: {fault}");
    }
}

fn table_dump(out: &mut Vec<u8>, header: &MrtHeader, dump: &TableDump<'_>, scratch: &mut Scratch) {
    for entry in dump.entries() {
        head(out, header);
        let (prefix, addr, asn) = (entry.prefix, entry.peer_addr, entry.peer_as);
        let _ = write!(out, "  {prefix}  from {addr} AS{asn} since ");
        time(out, entry.originated);
        out.push(b'\n');
        let shape = Shape {
            rib: true,
            as2: true,
        };
        attributes(
            out,
            "  ",
            &Facts::read(entry.attrs, shape, &mut scratch.wide),
        );
    }
}

fn peers(out: &mut Vec<u8>, table: &PeerIndexTable<'_>) {
    let view = String::from_utf8_lossy(table.view_name);
    let (collector, count) = (table.collector, table.len());
    let _ = writeln!(out, "  collector {collector}, view {view:?}, {count} peers");
    for (index, peer) in table.peers().enumerate() {
        let (addr, asn, id) = (peer.addr, peer.asn, peer.router_id);
        let _ = writeln!(out, "  {index:5}  {addr} AS{asn} id {id}");
    }
}

/// Appends a message from text.
pub(super) fn message(
    out: &mut Vec<u8>,
    found: &HexMessage<'_>,
    bare: &Packet<'_>,
    scratch: &mut Scratch,
) {
    let _ = write!(out, "message {}", found.number);
    if found.line > 0 {
        let _ = write!(out, ", line {}", found.line);
    }
    let _ = write!(out, "  {}", kind_name(bare.kind()));
    if !found.caption.is_empty() {
        let _ = write!(out, "  ({})", found.caption);
    }
    out.push(b'\n');
    packet(out, bare, scratch);
    faults(out, &scratch.notes.faults);
}

fn head(out: &mut Vec<u8>, header: &MrtHeader) {
    time(out, header.timestamp);
    if let Some(micros) = header.micros {
        let _ = write!(out, ".{micros:06}");
    }
    let _ = write!(out, "  {}", header.name());
}

fn time(out: &mut Vec<u8>, secs: u32) {
    let (year, month, day, hour, minute, second) = put::civil(secs);
    let _ = write!(
        out,
        "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
    );
}

fn rib_paths(out: &mut Vec<u8>, rib: &Rib<'_>, scratch: &mut Scratch) {
    for entry in rib.entries() {
        let _ = match scratch.peers.get(usize::from(entry.peer_index)) {
            Some(peer) => write!(out, "  from {} AS{} since ", peer.addr, peer.asn),
            None => write!(
                out,
                "  from peer {}, not in the table, since ",
                entry.peer_index
            ),
        };
        time(out, entry.originated);
        if rib.add_path {
            let _ = write!(out, ", path {}", entry.path_id);
        }
        out.push(b'\n');
        let shape = Shape {
            rib: true,
            as2: false,
        };
        attributes(
            out,
            "    ",
            &Facts::read(entry.attrs, shape, &mut scratch.wide),
        );
    }
}

fn packet(out: &mut Vec<u8>, packet: &Packet<'_>, scratch: &mut Scratch) {
    let _ = match packet.meaning() {
        Meaning::Open(read) => {
            open(out, &read);
            Ok(())
        }
        Meaning::Update(fields) => {
            update(out, packet, &fields, scratch);
            Ok(())
        }
        Meaning::Notification(told) => writeln!(out, "  {told}"),
        Meaning::Keepalive => Ok(()),
        Meaning::RouteRefresh(refresh) => {
            let what = match refresh.subtype {
                0 => "request",
                1 => "begin",
                2 => "end",
                _ => "unknown",
            };
            writeln!(out, "  {} {what}", refresh.family)
        }
        Meaning::Unknown(body) => writeln!(out, "  {} octets that are not read", body.len()),
        // Told as faults.
        Meaning::Torn | Meaning::Refused(_) => Ok(()),
    };
}

fn open(out: &mut Vec<u8>, open: &Open) {
    let _ = writeln!(
        out,
        "  version {}, AS{}, hold time {} s, identifier {}",
        open.version, open.my_as, open.hold_time, open.router_id
    );
    for capability in &open.capabilities {
        let _ = write!(out, "  capability ");
        capability_line(out, capability);
        out.push(b'\n');
    }
}

fn capability_line(out: &mut Vec<u8>, capability: &Capability) {
    let _ = match capability {
        Capability::Multiprotocol(family) => write!(out, "multiprotocol {family}"),
        Capability::RouteRefresh => write!(out, "route refresh"),
        Capability::ExtendedNextHop(families) => {
            let _ = write!(out, "extended next hop");
            each(out, families, |out, (family, afi)| {
                write!(out, "{family} by afi {afi}")
            })
        }
        Capability::ExtendedMessage => write!(out, "extended message"),
        Capability::Role(role) => write!(out, "role {role}"),
        Capability::GracefulRestart {
            restarting,
            notification,
            restart_time,
            families,
        } => {
            let _ = write!(out, "graceful restart {restart_time} s");
            let _ = out.write_all(if *restarting { b", restarting" } else { b"" });
            let _ = out.write_all(if *notification {
                b", notification"
            } else {
                b""
            });
            each(out, families, |out, (family, kept)| {
                kept_family(out, *family, *kept)
            })
        }
        Capability::FourOctetAs(asn) => write!(out, "four-octet AS{asn}"),
        Capability::AddPath(families) => {
            let _ = write!(out, "add-path");
            each(out, families, |out, (family, mode)| {
                let mode = match mode {
                    1 => "receive",
                    2 => "send",
                    3 => "send and receive",
                    _ => "unknown",
                };
                write!(out, "{family} {mode}")
            })
        }
        Capability::EnhancedRouteRefresh => write!(out, "enhanced route refresh"),
        Capability::LongLivedGracefulRestart(families) => {
            let _ = write!(out, "long-lived graceful restart");
            each(out, families, |out, (family, kept, secs)| {
                kept_family(out, *family, *kept)?;
                write!(out, " {secs} s")
            })
        }
        Capability::Fqdn(host, domain) => write!(out, "fqdn {host:?} {domain:?}"),
        Capability::Unknown { code, value } => write!(out, "{code}, {} octets", value.len()),
        other => write!(out, "{other:?}"),
    };
}

fn kept_family(out: &mut Vec<u8>, family: AfiSafi, kept: bool) -> std::io::Result<()> {
    write!(out, "{family}{}", if kept { " kept" } else { "" })
}

fn each<T>(
    out: &mut Vec<u8>,
    items: &[T],
    put: impl Fn(&mut Vec<u8>, &T) -> std::io::Result<()>,
) -> std::io::Result<()> {
    for (index, item) in items.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b": " } else { b", " });
        put(out, item)?;
    }
    Ok(())
}

fn update(out: &mut Vec<u8>, packet: &Packet<'_>, fields: &Fields<'_>, scratch: &mut Scratch) {
    let update = packet.update(fields, &mut scratch.wide, &mut scratch.notes);
    let (facts, add_path) = (update.facts, update.add_path);
    if fields.withdrawn.is_empty() && fields.nlri.is_empty() {
        let end_of_rib = match facts.mp_unreach {
            None if fields.attrs.is_empty() => Some(IPV4),
            Some((family, [])) if facts.mp_reach.is_none() => Some(family),
            _ => None,
        };
        if let Some(family) = end_of_rib {
            let _ = writeln!(out, "  end of RIB, {family}");
            return;
        }
    }
    run(out, "withdrawn", IPV4, fields.withdrawn, add_path);
    if let Some((family, octets)) = facts.mp_unreach {
        run(out, "withdrawn", family, octets, add_path);
    }
    attributes(out, "  ", &facts);
    run(out, "announced", IPV4, fields.nlri, add_path);
    if let Some(reach) = facts.mp_reach
        && let Some(family) = reach.family
    {
        run(out, "announced", family, reach.nlri, add_path);
    }
    if let Some((found, error)) = packet.verdict(&update) {
        let _ = write!(out, "  verdict       {}", verdict_name(found));
        if let Some(error) = error {
            let _ = write!(out, ": {error}");
        }
        out.push(b'\n');
    }
}

/// A run of NLRI, broken into lines; nothing where it is empty.
fn run(out: &mut Vec<u8>, what: &str, family: AfiSafi, octets: &[u8], add_path: bool) {
    if octets.is_empty() {
        return;
    }
    let Some(ipv6) = is_ipv6(family) else {
        let _ = writeln!(out, "  {what:<13} {family}, {} octets", octets.len());
        return;
    };
    let mut nlri = NlriRun::new(octets, ipv6, add_path);
    list(out, "  ", what, nlri.by_ref(), |out, (path_id, prefix)| {
        put::prefix(out, prefix);
        if add_path {
            let _ = write!(out, " path {path_id}");
        }
    });
    if !nlri.is_done() {
        let _ = writeln!(out, "  {:<13} the rest does not read", "");
    }
}

/// A named value.
fn fact(out: &mut Vec<u8>, indent: &str, name: &str, value: impl Display) {
    let _ = writeln!(out, "{indent}{name:<13} {value}");
}

/// A named list, broken into lines.
fn list<T>(
    out: &mut Vec<u8>,
    indent: &str,
    name: &str,
    items: impl Iterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    let _ = write!(out, "{indent}{name:<13}");
    let mut line = out.len();
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if out.len() - line > WIDTH - 16 {
            let _ = write!(out, "\n{indent}{:<13}", "");
            line = out.len();
        }
        out.push(b' ');
        put(out, item);
    }
    out.push(b'\n');
}

fn attributes(out: &mut Vec<u8>, indent: &str, facts: &Facts<'_>) {
    if let Some(origin) = facts.origin {
        fact(out, indent, "origin", origin_name(origin));
    }
    match facts.as_path {
        Some(path) if path.is_empty() => fact(out, indent, "AS path", "(empty)"),
        Some(path) => fact(out, indent, "AS path", path),
        None => {}
    }
    for next_hop in [facts.next_hop, facts.mp_next_hop()].into_iter().flatten() {
        match next_hop {
            NextHop::V6LinkLocal { global, link_local } => {
                fact(
                    out,
                    indent,
                    "next hop",
                    format_args!("{global} {link_local}"),
                );
            }
            next_hop => fact(out, indent, "next hop", next_hop),
        }
    }
    let numbers = [("MED", facts.med), ("local pref", facts.local_pref)];
    for (name, value) in numbers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    {
        fact(out, indent, name, value);
    }
    if facts.atomic_aggregate {
        let _ = writeln!(out, "{indent}atomic aggregate");
    }
    if let Some((asn, addr)) = facts.aggregator {
        fact(out, indent, "aggregator", format_args!("AS{asn} {addr}"));
    }
    values(out, indent, "communities", facts.communities());
    values(out, indent, "extended", facts.extended());
    values(out, indent, "extended", facts.extended6());
    values(out, indent, "large", facts.large());
    if let Some(id) = facts.originator_id {
        fact(out, indent, "originator", id);
    }
    values(out, indent, "cluster list", facts.clusters());
    if let Some(asn) = facts.otc {
        fact(out, indent, "OTC", format_args!("AS{asn}"));
    }
    for attr in facts.others() {
        let name = attrs::name(attr.code).unwrap_or("unknown");
        let len = attr.value.len();
        let _ = writeln!(
            out,
            "{indent}attribute {} ({name}), flags {:#04x}, {len} octets",
            attr.code, attr.flags
        );
    }
    if facts.torn() > 0 {
        let _ = writeln!(
            out,
            "{indent}{} octets that are no whole attribute",
            facts.torn()
        );
    }
}

fn values<T: Display>(
    out: &mut Vec<u8>,
    indent: &str,
    name: &str,
    values: impl Iterator<Item = T>,
) {
    let mut values = values.peekable();
    if values.peek().is_some() {
        list(out, indent, name, values, |out, value| {
            let _ = write!(out, "{value}");
        });
    }
}
