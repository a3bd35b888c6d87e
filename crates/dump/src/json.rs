//! One JSON object a line for each record or message.
//!
//! Written straight into the output: a full table has millions of objects, and no value of them is
//! needed as a whole.

use std::fmt::Display;
use std::io::Write as _;

use thruway_replay::mrt_file::MrtItem;
use thruway_wire::attrs;
use thruway_wire::mrt::{Bgp4mpSession, MrtHeader, MrtPeer, MrtRecord, Rib, TableDump};
use thruway_wire::notification::Notification;
use thruway_wire::update::Verdict;
use thruway_wire::{AfiSafi, NextHop, WireError};

use super::facts::{Facts, Fields, IPV4, NlriRun, Shape, is_ipv6};
use super::faults::Fault;
use super::hex::HexMessage;
use super::packet::{Meaning, Packet, Update, kind_name, origin_name, state_name, verdict_name};
use super::put;
use super::scratch::Scratch;

/// An object that is being written; it ends with [`Object::end`].
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true }
    }

    fn end(self) -> &'a mut Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    /// Starts a member; its value comes next.
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        quoted(self.out, name);
        self.out.push(b':');
        self.out
    }

    fn number(&mut self, name: &str, value: impl Into<u32>) {
        put::number(self.key(name), value.into());
    }

    /// A member whose text needs no escapes.
    fn plain(&mut self, name: &str, value: impl Display) {
        quoted(self.key(name), value);
    }

    /// A member of any text.
    fn text(&mut self, name: &str, value: &str) {
        escaped(self.key(name), value);
    }

    fn truth(&mut self, name: &str) {
        self.key(name).extend_from_slice(b"true");
    }

    fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object::begin(self.key(name));
        fill(&mut object);
        object.end();
    }

    /// A member that is a list.
    fn list<T>(
        &mut self,
        name: &str,
        items: impl Iterator<Item = T>,
        mut put: impl FnMut(&mut Vec<u8>, T),
    ) {
        let out = self.key(name);
        out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            put(out, item);
        }
        out.push(b']');
    }
}

/// Text that needs no escapes: numbers, addresses, names.
fn quoted(out: &mut Vec<u8>, value: impl Display) {
    // Writing to a Vec cannot fail, here and below.
    let _ = write!(out, "\"{value}\"");
}

fn escaped(out: &mut Vec<u8>, value: &str) {
    let _ = serde_json::to_writer(out, value);
}

fn hex(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    for octet in octets {
        let _ = write!(out, "{octet:02x}");
    }
    out.push(b'"');
}

/// Appends the line of a record, whose message is `packet`; a TABLE_DUMP record has one for each
/// entry.
pub(super) fn record(
    out: &mut Vec<u8>,
    item: &MrtItem<'_>,
    message: Option<&Packet<'_>>,
    scratch: &mut Scratch,
) {
    let (header, offset) = (&item.header, item.offset);
    if let MrtRecord::TableDump(dump) = &item.record {
        return table_dump(out, header, offset, dump, scratch);
    }
    let mut line = head(out, header, offset);
    match &item.record {
        MrtRecord::PeerIndexTable(table) => {
            line.plain("collector", table.collector);
            line.text("view", &String::from_utf8_lossy(table.view_name));
            line.list("peers", table.peers(), |out, known| {
                let mut object = Object::begin(out);
                peer(&mut object, &known);
                object.end();
            });
        }
        MrtRecord::Rib(rib) => {
            line.number("sequence", rib.sequence);
            line.plain("family", rib.family);
            line.plain("prefix", rib.prefix);
            rib_paths(&mut line, rib, scratch);
        }
        MrtRecord::Message(recorded) => {
            session(&mut line, &recorded.session);
            if recorded.local {
                line.truth("sent");
            }
            if let Some(message) = message {
                packet(&mut line, message, scratch);
            }
        }
        MrtRecord::StateChange(change) => {
            session(&mut line, &change.session);
            state(&mut line, "old_state", change.old);
            state(&mut line, "new_state", change.new);
        }
        _ => line.truth("unsupported"),
    }
    faults(&mut line, &scratch.notes.faults);
    line.end().push(b'\n');
}

/// A state by its name, or by its number where it has none.
fn state(line: &mut Object<'_>, key: &str, state: u16) {
    match state_name(state) {
        Some(name) => line.plain(key, name),
        None => line.number(key, state),
    }
}

fn faults(line: &mut Object<'_>, faults: &[Fault]) {
    if !faults.is_empty() {
        line.list("faults", faults.iter(), |out, fault| {
            escaped(out, &fault.to_string());
        });
    }
}

/// The lines of a TABLE_DUMP record.
fn table_dump(
    out: &mut Vec<u8>,
    header: &MrtHeader,
    offset: u64,
    dump: &TableDump<'_>,
    scratch: &mut Scratch,
) {
    for entry in dump.entries() {
        let shape = Shape {
            rib: true,
            as2: true,
        };
        let facts = Facts::read(entry.attrs, shape, &mut scratch.wide);
        let mut line = head(out, header, offset);
        line.number("view", dump.view);
        line.number("sequence", dump.sequence);
        line.plain("prefix", entry.prefix);
        line.object("peer", |peer| {
            peer.plain("address", entry.peer_addr);
            peer.number("asn", entry.peer_as.0);
        });
        line.number("originated", entry.originated);
        line.object("attributes", |object| attributes(object, &facts));
        line.end().push(b'\n');
    }
}

/// Appends the line of a message from text.
pub(super) fn message(
    out: &mut Vec<u8>,
    found: &HexMessage<'_>,
    bare: &Packet<'_>,
    scratch: &mut Scratch,
) {
    let mut line = Object::begin(out);
    put_u64(line.key("number"), found.number);
    if found.line > 0 {
        put_u64(line.key("line"), found.line);
    }
    if !found.caption.is_empty() {
        line.text("caption", found.caption);
    }
    packet(&mut line, bare, scratch);
    faults(&mut line, &scratch.notes.faults);
    line.end().push(b'\n');
}

fn head<'a>(out: &'a mut Vec<u8>, header: &MrtHeader, offset: u64) -> Object<'a> {
    let mut line = Object::begin(out);
    match header.type_name() {
        None => line.number("record", header.kind),
        Some(kind) => line.plain("record", kind),
    }
    match header.subtype_name() {
        None => line.number("subtype", header.subtype),
        Some(subtype) => line.plain("subtype", subtype),
    }
    put_u64(line.key("offset"), offset);
    line.number("time", header.timestamp);
    if let Some(micros) = header.micros {
        line.number("micros", micros);
    }
    line
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    let _ = write!(out, "{value}");
}

fn peer(object: &mut Object<'_>, known: &MrtPeer) {
    object.plain("address", known.addr);
    object.number("asn", known.asn.0);
    object.plain("router_id", known.router_id);
}

fn rib_paths(line: &mut Object<'_>, rib: &Rib<'_>, scratch: &mut Scratch) {
    line.list("paths", rib.entries(), |out, entry| {
        let mut path = Object::begin(out);
        match scratch.peers.get(usize::from(entry.peer_index)) {
            Some(known) => path.object("peer", |object| peer(object, known)),
            None => path.number("peer_index", entry.peer_index),
        }
        path.number("originated", entry.originated);
        if rib.add_path {
            path.number("path_id", entry.path_id);
        }
        let shape = Shape {
            rib: true,
            as2: false,
        };
        let facts = Facts::read(entry.attrs, shape, &mut scratch.wide);
        path.object("attributes", |object| attributes(object, &facts));
        path.end();
    });
}

fn session(line: &mut Object<'_>, session: &Bgp4mpSession) {
    line.object("peer", |peer| {
        peer.plain("address", session.peer_addr);
        peer.number("asn", session.peer_as.0);
    });
    line.object("local", |local| {
        local.plain("address", session.local_addr);
        local.number("asn", session.local_as.0);
    });
    if session.interface != 0 {
        line.number("interface", session.interface);
    }
}

/// The members of a message.
fn packet(line: &mut Object<'_>, packet: &Packet<'_>, scratch: &mut Scratch) {
    line.plain("message", kind_name(packet.kind()));
    match packet.meaning() {
        Meaning::Open(open) => {
            // Serialising plain data cannot fail.
            let _ = serde_json::to_writer(line.key("open"), &open);
        }
        Meaning::Update(fields) => update(line, packet, &fields, scratch),
        Meaning::Notification(told) => line.object("notification", |told_| {
            notification(told_, &told);
        }),
        Meaning::Keepalive => {}
        Meaning::RouteRefresh(refresh) => {
            line.plain("family", refresh.family);
            line.number("refresh_subtype", refresh.subtype);
        }
        Meaning::Unknown(body) => {
            line.number("type_code", packet.kind());
            hex(line.key("octets"), body);
        }
        Meaning::Torn => line.plain("error", Fault::Lengths),
        Meaning::Refused(answer) => line.object("refused_with", |object| {
            notification(object, &answer);
        }),
    }
}

fn notification(object: &mut Object<'_>, told: &Notification) {
    object.number("code", told.code);
    object.number("subcode", told.subcode);
    object.text("meaning", &told.to_string());
    if !told.data.is_empty() {
        hex(object.key("data"), &told.data);
    }
}

fn update(line: &mut Object<'_>, packet: &Packet<'_>, fields: &Fields<'_>, scratch: &mut Scratch) {
    let update = packet.update(fields, &mut scratch.wide, &mut scratch.notes);
    let (facts, add_path) = (update.facts, update.add_path);
    let classic = (!fields.withdrawn.is_empty()).then_some((IPV4, fields.withdrawn));
    let withdrawn = classic.into_iter().chain(facts.mp_unreach);
    line.list("withdrawn", withdrawn, |out, (family, octets)| {
        run(out, family, None, octets, add_path);
    });
    let classic = (!fields.nlri.is_empty()).then_some((IPV4, facts.next_hop.map(Ok), fields.nlri));
    let reach = facts.mp_reach.and_then(|reach| {
        let next_hop = facts.mp_next_hop().ok_or(reach.next_hop);
        Some((reach.family?, Some(next_hop), reach.nlri))
    });
    line.list(
        "announced",
        classic.into_iter().chain(reach),
        |out, (family, next_hop, octets)| {
            run(out, family, next_hop, octets, add_path);
        },
    );
    if !fields.attrs.is_empty() {
        line.object("attributes", |object| attributes(object, &facts));
    }
    if let Some((found, error)) = packet.verdict(&update) {
        line.object("verdict", |object| verdict(object, found, error));
    }
    assumed(line, &update);
}

/// What was assumed to read an UPDATE, unless nothing was.
fn assumed(line: &mut Object<'_>, update: &Update<'_>) {
    let assumed = update.assumed;
    let members = [("as4", assumed.as4), ("add_path", assumed.add_path)];
    if members.iter().all(|(_, value)| value.is_none()) {
        return;
    }
    line.object("assumed", |object| {
        for (name, value) in members {
            if let Some(value) = value {
                let _ = write!(object.key(name), "{value}");
            }
        }
    });
}

fn verdict(object: &mut Object<'_>, found: Verdict, error: Option<WireError>) {
    object.plain("action", verdict_name(found));
    if let Some(error) = error {
        object.text("error", &error.to_string());
    }
}

/// A run of NLRI of one family, and its next hop or that one's octets.
fn run(
    out: &mut Vec<u8>,
    family: AfiSafi,
    next_hop: Option<Result<NextHop, &[u8]>>,
    octets: &[u8],
    add_path: bool,
) {
    let mut object = Object::begin(out);
    object.plain("family", family);
    match next_hop {
        None => {}
        Some(Ok(NextHop::V6LinkLocal { global, link_local })) => {
            object.plain("next_hop", global);
            object.plain("link_local", link_local);
        }
        Some(Ok(next_hop)) => object.plain("next_hop", next_hop),
        // Of another length: with a route distinguisher (RFC 4364), or malformed.
        Some(Err(octets)) => hex(object.key("next_hop_octets"), octets),
    }
    match is_ipv6(family) {
        None => hex(object.key("octets"), octets),
        Some(ipv6) => {
            let mut nlri = NlriRun::new(octets, ipv6, add_path);
            object.list("nlri", nlri.by_ref(), |out, (path_id, prefix)| {
                let mut nlri = Object::begin(out);
                nlri.plain("prefix", prefix);
                if add_path {
                    nlri.number("path_id", path_id);
                }
                nlri.end();
            });
            if !nlri.is_done() {
                object.truth("torn");
            }
        }
    }
    object.end();
}

fn attributes(object: &mut Object<'_>, facts: &Facts<'_>) {
    if let Some(origin) = facts.origin {
        object.plain("origin", origin_name(origin));
    }
    if let Some(path) = facts.as_path {
        object.plain("as_path", path);
    }
    if let Some(next_hop) = facts.next_hop.or_else(|| facts.mp_next_hop()) {
        object.plain("next_hop", next_hop);
    }
    if let Some(med) = facts.med {
        object.number("med", med);
    }
    if let Some(local_pref) = facts.local_pref {
        object.number("local_pref", local_pref);
    }
    if facts.atomic_aggregate {
        object.truth("atomic_aggregate");
    }
    if let Some((asn, address)) = facts.aggregator {
        object.object("aggregator", |object| {
            object.number("asn", asn.0);
            object.plain("address", address);
        });
    }
    some(object, "communities", facts.communities());
    some(object, "extended_communities", facts.extended());
    some(object, "ipv6_extended_communities", facts.extended6());
    some(object, "large_communities", facts.large());
    if let Some(id) = facts.originator_id {
        object.plain("originator_id", id);
    }
    some(object, "cluster_list", facts.clusters());
    if let Some(asn) = facts.otc {
        object.number("only_to_customer", asn.0);
    }
    if facts.others().next().is_some() {
        object.list("other", facts.others(), |out, attr| {
            let mut other = Object::begin(out);
            other.number("code", attr.code);
            if let Some(name) = attrs::name(attr.code) {
                other.plain("name", name);
            }
            other.number("flags", attr.flags);
            hex(other.key("value"), attr.value);
            other.end();
        });
    }
    if facts.torn() > 0 {
        object.number(
            "torn_octets",
            u32::try_from(facts.torn()).unwrap_or(u32::MAX),
        );
    }
}

/// A member that is a list, unless it is empty.
fn some<T: Display>(object: &mut Object<'_>, name: &str, values: impl Iterator<Item = T>) {
    let mut values = values.peekable();
    if values.peek().is_some() {
        object.list(name, values, quoted);
    }
}
