//! BGP messages of packet captures decode as the texts beside the captures say: tcpdump's `.out`
//! and NetGauze's `.json`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;
use thruway_dump::{AddPath, DecodeArgs, run_to};
use thruway_tests::capture::bgp_messages;
use thruway_tests::data::data_dir;
use thruway_wire::update::{UpdateContext, UpdateView, Verdict};
use thruway_wire::{ExtendedCommunity, FamilySet, Prefix};

/// What is compared of a message. Everything that the other side says must be said by us.
type Facts = BTreeMap<&'static str, Vec<String>>;

/// A capture and what is particular about it.
struct Row {
    file: &'static str,
    /// BGP messages in it.
    messages: usize,
    /// UPDATEs on which a session would act (RFC 7606): not well formed, or without what it needs.
    faulty: usize,
    /// NLRI carry path identifiers.
    add_path: bool,
    /// The packets are no stream.
    apart: bool,
    /// Messages whose facts differ.
    differ: usize,
}

const fn row(file: &'static str, messages: usize, faulty: usize) -> Row {
    Row {
        file,
        messages,
        faulty,
        add_path: false,
        apart: false,
        differ: 0,
    }
}

/// Captures with a tcpdump text.
const TCPDUMP: [Row; 17] = [
    row("bgp-4byte-asn.pcap", 35, 0),
    // Made by hand: NEXT_HOP of no octets, two MP_REACH_NLRI and two MP_UNREACH_NLRI. tcpdump shows
    // all of them; for us the first of a kind counts and a session ends (RFC 7606 §3 g).
    Row {
        add_path: true,
        differ: 1,
        ..row("bgp-addpath.pcap", 1, 1)
    },
    row("bgp-aigp.pcap", 2, 0),
    row("bgp-aigp-2.pcap", 1, 0),
    row("bgp-bfd-cease.pcap", 1, 0),
    // BGPsec_PATH stands in for AS_PATH (RFC 8205 §4), which a session without BGPsec misses.
    row("bgp-bgpsec.pcap", 32, 20),
    row("bgp-enhanced-route-refresh.pcapng", 1, 0),
    row("bgp-enhanced-route-refresh-subtype.pcapng", 8, 0),
    row("bgp-extended-msg.pcapng", 1, 0),
    row("bgp-large-community.pcap", 5, 0),
    row("bgp-link-bw-extcommunity.pcapng", 6, 0),
    row("bgp-lu-multiple-labels.pcap", 20, 0),
    row("bgp-orf.pcapng", 2, 0),
    row("bgp-ovs.pcapng", 4, 0),
    row("bgp-rt-prefix.pcap", 8, 0),
    // Its two packets have one sequence number.
    Row {
        apart: true,
        ..row("bgp-shutdown-communication.pcapng", 2, 0)
    },
    row("mpbgp-linklocal-nexthop.pcap", 1, 0),
];

/// Captures with a NetGauze text: routers that speak the VPN families.
const NETGAUZE: [Row; 7] = [
    row("300-BGP-IPv6-CISCO-extNH_enc/traffic-00", 47, 0),
    row("301-BGP-CISCO-pretag/traffic-00", 22, 0),
    row("302-BGP-IPv6-multiple-sources/traffic-00", 26, 0),
    row("302-BGP-IPv6-multiple-sources/traffic-01", 28, 0),
    row("302-BGP-IPv6-multiple-sources/traffic-02", 10, 0),
    row("305-BGP-mem-leak-test/bgp-multi-sources-open", 8, 0),
    row(
        "305-BGP-mem-leak-test/bgp-multi-sources-update-keepalive",
        448,
        0,
    ),
];

#[test]
fn messages_are_what_tcpdump_says() {
    let Some(data) = data_dir() else { return };
    let mut said = [0; 3];
    for row in &TCPDUMP {
        let capture = data.join("pcap/tcpdump").join(row.file);
        let text = std::fs::read_to_string(capture.with_extension("out")).unwrap();
        let theirs = tcpdump::messages(&text);
        count(&mut said, &theirs);
        check(row, &capture, &theirs);
    }
    assert_eq!(
        said,
        [111, 41, 60],
        "prefixes, AS paths and next hops that were compared"
    );
}

#[test]
fn messages_are_what_netgauze_says() {
    let Some(data) = data_dir() else { return };
    let mut said = [0; 3];
    for row in &NETGAUZE {
        let path = data.join("pcap/netgauze/pmacct-tests").join(row.file);
        let text = std::fs::read_to_string(format!("{}-bgp.json", path.display())).unwrap();
        let theirs: Vec<Facts> = text
            .lines()
            .map(|line| netgauze::message(&serde_json::from_str(line).unwrap()))
            .collect();
        count(&mut said, &theirs);
        check(row, &path.with_extension("pcap"), &theirs);
    }
    assert_eq!(
        said,
        [0, 519, 519],
        "prefixes, AS paths and next hops that were compared"
    );
}

/// How much the other side says: a text that is not understood must not pass for one that agrees.
fn count(said: &mut [usize; 3], theirs: &[Facts]) {
    let keys: [&[&str]; 3] = [&["announced", "withdrawn"], &["as_path"], &["next_hops"]];
    for (sum, keys) in said.iter_mut().zip(keys) {
        let values = theirs
            .iter()
            .flat_map(|facts| keys.iter().filter_map(|key| facts.get(key)));
        *sum += values.map(Vec::len).sum::<usize>();
    }
}

fn check(row: &Row, capture: &Path, theirs: &[Facts]) {
    let messages = bgp_messages(&std::fs::read(capture).unwrap(), row.apart).unwrap();
    let messages: Vec<Vec<u8>> = messages.into_iter().map(|(_, message)| message).collect();
    assert_eq!(
        (messages.len(), theirs.len()),
        (row.messages, row.messages),
        "{}",
        row.file
    );
    let shown = decoded(&messages.concat(), row.add_path);
    assert_eq!(
        shown.len(),
        row.messages,
        "{}: one object a message",
        row.file
    );
    let (mut differ, mut faulty) = (Vec::new(), Vec::new());
    for (index, theirs) in theirs.iter().enumerate() {
        let ours = ours(&shown[index], &messages[index]);
        for (key, value) in theirs {
            if ours.get(key) != Some(value) {
                differ.push(format!(
                    "message {}: {key}: ours {:?}, theirs {value:?}",
                    index + 1,
                    ours.get(key)
                ));
                break;
            }
        }
        if let Some(verdict) = verdict(&shown[index], &messages[index], row.add_path) {
            faulty.push(format!("message {}: {verdict:?}", index + 1));
        }
    }
    assert_eq!(differ.len(), row.differ, "{}: {differ:#?}", row.file);
    assert_eq!(faulty.len(), row.faulty, "{}: {faulty:#?}", row.file);
}

/// `decode --json` of messages one behind the other.
fn decoded(messages: &[u8], add_path: bool) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), messages).unwrap();
    let args = DecodeArgs {
        file: file.path().to_owned(),
        json: true,
        lines: false,
        add_path: if add_path {
            AddPath::Yes
        } else {
            AddPath::Auto
        },
        ..DecodeArgs::default()
    };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    run_to(&args, &mut out, &mut errors).unwrap();
    // A capture's messages say nothing of what their session negotiated.
    let errors = String::from_utf8_lossy(&errors);
    let assumed = "thruway decode: assumed ";
    assert!(
        errors.lines().all(|line| line.starts_with(assumed)),
        "{errors}"
    );
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The verdict on an UPDATE that `decode` must tell too; `None` without fault.
fn verdict(shown: &Value, message: &[u8], add_path: bool) -> Option<Verdict> {
    if shown["message"] != "UPDATE" {
        return None;
    }
    let told = shown["verdict"]["action"].as_str();
    let path = shown["attributes"]["as_path"].as_str();
    let any = |as4| {
        let ctx = UpdateContext {
            as4,
            external: shown["attributes"]["local_pref"].is_null(),
            families: FamilySet::ALL,
            add_path: if add_path {
                FamilySet::ALL
            } else {
                FamilySet::EMPTY
            },
        };
        UpdateView::parse(&message[19..], &ctx).verdict()
    };
    let verdict = any(true).min(any(false));
    assert_eq!(
        told.is_some(),
        verdict != Verdict::Ok,
        "{told:?} {verdict:?} {path:?}"
    );
    told.map(|_| verdict)
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn one(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// Prefixes of all runs of `withdrawn` or `announced`, sorted, with their path identifiers.
fn nlri(runs: &Value) -> Vec<String> {
    let runs = runs.as_array().into_iter().flatten();
    let nlri = runs.flat_map(|run| run["nlri"].as_array().into_iter().flatten());
    sorted(nlri.map(|nlri| match nlri["path_id"].as_u64() {
        Some(id) => format!("{} path {id}", nlri["prefix"].as_str().unwrap()),
        None => nlri["prefix"].as_str().unwrap().to_owned(),
    }))
}

fn sorted(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items
}

/// A message as `decode --json` shows it.
fn ours(shown: &Value, message: &[u8]) -> Facts {
    let mut facts = Facts::new();
    facts.insert("kind", one(&shown["message"]));
    facts.insert("length", vec![message.len().to_string()]);
    match shown["message"].as_str().unwrap() {
        "OPEN" => our_open(&mut facts, &shown["open"]),
        "UPDATE" => our_update(&mut facts, shown, message),
        "NOTIFICATION" => {
            let told = &shown["notification"];
            facts.insert(
                "code",
                vec![format!("{} {}", told["code"], told["subcode"])],
            );
            let text = told["meaning"].as_str().unwrap().split('"').nth(1);
            facts.insert("text", text.into_iter().map(str::to_owned).collect());
        }
        "ROUTE-REFRESH" if !shown["family"].is_null() => {
            let family = shown["family"].as_str().unwrap();
            facts.insert(
                "refresh",
                vec![format!("{family} {}", shown["refresh_subtype"])],
            );
        }
        _ => {}
    }
    facts
}

fn our_open(facts: &mut Facts, open: &Value) {
    for key in ["version", "my_as", "hold_time", "router_id"] {
        facts.insert(key, one(&open[key]));
    }
    let capabilities = open["capabilities"].as_array().unwrap();
    facts.insert("capabilities", vec![capabilities.len().to_string()]);
    let each = |name: &'static str| {
        capabilities
            .iter()
            .map(move |capability| &capability[name])
            .filter(|v| !v.is_null())
    };
    facts.insert("as4", each("FourOctetAs").map(Value::to_string).collect());
    let restart = each("GracefulRestart").map(|restart| restart["restart_time"].to_string());
    facts.insert("restart_time", restart.collect());
    facts.insert(
        "families",
        sorted(each("Multiprotocol").map(|pair| {
            family(
                pair["afi"].as_u64().unwrap(),
                pair["safi"].as_u64().unwrap(),
            )
        })),
    );
}

fn our_update(facts: &mut Facts, shown: &Value, message: &[u8]) {
    let attrs = &shown["attributes"];
    for key in ["origin", "as_path", "med", "local_pref", "originator_id"] {
        facts.insert(key, one(&attrs[key]));
    }
    for key in [
        "communities",
        "large_communities",
        "cluster_list",
        "extended_communities",
    ] {
        facts.insert(key, strings(&attrs[key]));
    }
    let aggregator = &attrs["aggregator"];
    if let (Some(asn), Some(addr)) = (aggregator["asn"].as_u64(), aggregator["address"].as_str()) {
        facts.insert("aggregator", vec![format!("{asn} {addr}")]);
    }
    facts.insert("atomic", one(&attrs["atomic_aggregate"]));
    facts.insert("withdrawn", nlri(&shown["withdrawn"]));
    facts.insert("announced", nlri(&shown["announced"]));
    let runs = |key: &str| shown[key].as_array().cloned().unwrap_or_default();
    let families = [runs("withdrawn"), runs("announced")].concat();
    facts.insert(
        "families",
        sorted(families.iter().flat_map(|run| one(&run["family"]))),
    );
    facts.insert(
        "next_hops",
        sorted(runs("announced").iter().flat_map(next_hops)),
    );
    let others = attrs["other"].as_array().into_iter().flatten();
    facts.insert(
        "others",
        others.map(|attr| attr["code"].to_string()).collect(),
    );
    assert!(message.len() >= 23, "an UPDATE has its lengths");
}

/// The next hop of a run; that of a VPN family has a route distinguisher in front (RFC 4659
/// §3.2.1).
fn next_hops(run: &Value) -> Vec<String> {
    if let Some(octets) = run["next_hop_octets"].as_str() {
        let octets: Vec<u8> = (0..octets.len() / 2)
            .map(|at| u8::from_str_radix(&octets[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let addr = match &octets[8..] {
            addr @ [_, _, _, _] => IpAddr::from(<[u8; 4]>::try_from(addr).unwrap()),
            addr => IpAddr::from(<[u8; 16]>::try_from(addr).unwrap()),
        };
        return vec![addr.to_string()];
    }
    [one(&run["next_hop"]), one(&run["link_local"])].concat()
}

/// A family's name as `decode` has it.
fn family(afi: u64, safi: u64) -> String {
    match (afi, safi) {
        (1, 1) => "ipv4".to_owned(),
        (2, 1) => "ipv6".to_owned(),
        _ => format!("afi {afi} safi {safi}"),
    }
}

/// tcpdump's text: a tab and a heading for each message, a tab and blanks for what it holds.
mod tcpdump {
    use super::{Facts, IpAddr, Prefix, family};

    pub(super) fn messages(text: &str) -> Vec<Facts> {
        let mut found = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(kind) = heading(line) else { continue };
            let mut body = Vec::new();
            while let Some(line) =
                lines.next_if(|line| line.starts_with("\t ") || line.starts_with("\t\t"))
            {
                body.push(line);
            }
            found.push(message(kind, line, &body));
        }
        found
    }

    fn heading(line: &str) -> Option<&'static str> {
        let (name, _) = line.strip_prefix('\t')?.split_once(" Message (")?;
        Some(match name {
            "Open" => "OPEN",
            "Update" => "UPDATE",
            "Notification" => "NOTIFICATION",
            "Keepalive" => "KEEPALIVE",
            "Route Refresh" => "ROUTE-REFRESH",
            other => panic!("a message called {other}"),
        })
    }

    fn message(kind: &'static str, heading: &str, body: &[&str]) -> Facts {
        let mut facts = Facts::new();
        facts.insert("kind", vec![kind.to_owned()]);
        facts.insert("length", vec![between(heading, "length: ", ",").to_owned()]);
        match kind {
            "OPEN" => open(&mut facts, body),
            "UPDATE" => update(&mut facts, body),
            "NOTIFICATION" => {
                let codes = parens(heading);
                facts.insert("code", vec![format!("{} {}", codes[1], codes[2])]);
                let text = heading.split('"').nth(1);
                facts.insert("text", text.into_iter().map(str::to_owned).collect());
            }
            // Longer ones carry filters (RFC 5291).
            "ROUTE-REFRESH" if heading.contains("length: 23") => {
                let codes = parens(body[0]);
                let family = family(codes[0], codes[1]);
                facts.insert("refresh", vec![format!("{family} {}", codes[2])]);
            }
            _ => {}
        }
        facts
    }

    fn between<'a>(line: &'a str, before: &str, behind: &str) -> &'a str {
        let (_, rest) = line
            .split_once(before)
            .unwrap_or_else(|| panic!("{before:?} in {line:?}"));
        rest.split(behind).next().unwrap().trim()
    }

    /// The numbers in parentheses.
    fn parens(line: &str) -> Vec<u64> {
        line.split('(')
            .skip(1)
            .filter_map(|rest| rest.split(')').next()?.parse().ok())
            .collect()
    }

    fn open(facts: &mut Facts, body: &[&str]) {
        facts.insert(
            "version",
            vec![between(body[0], "Version ", ",").to_owned()],
        );
        facts.insert("my_as", vec![between(body[0], "my AS ", ",").to_owned()]);
        facts.insert(
            "hold_time",
            vec![between(body[0], "Holdtime ", "s,").to_owned()],
        );
        facts.insert("router_id", vec![between(body[0], "ID ", ",").to_owned()]);
        let (mut as4, mut families, mut restart) = (Vec::new(), Vec::new(), Vec::new());
        let mut multiprotocol = false;
        for line in body {
            if line.contains("Multiprotocol Extensions (1)") {
                multiprotocol = true;
            } else if line.contains("AFI ") && std::mem::take(&mut multiprotocol) {
                let codes = parens(line);
                families.push(family(codes[0], codes[1]));
            } else if line.contains("4 Byte AS ") {
                as4.push(between(line, "4 Byte AS ", ",").to_owned());
            } else if line.contains("Restart Time ") {
                restart.push(between(line, "Restart Time ", "s").to_owned());
            }
        }
        families.sort();
        facts.insert("as4", as4);
        facts.insert("families", families);
        facts.insert("restart_time", restart);
    }

    /// Which list the lines of prefixes belong to.
    #[derive(Clone, Copy, PartialEq)]
    enum List {
        None,
        Withdrawn,
        Announced,
    }

    fn update(facts: &mut Facts, body: &[&str]) {
        let mut list = List::None;
        let (mut withdrawn, mut announced) = (Vec::new(), Vec::new());
        let (mut next_hops, mut families) = (Vec::new(), Vec::new());
        let (mut path, mut path4) = (None, None);
        for line in body {
            let text = line.trim();
            if line.starts_with("\t  ") && !line.starts_with("\t   ") {
                list = match text {
                    "Withdrawn routes:" => List::Withdrawn,
                    "Updated routes:" => List::Announced,
                    _ if text.starts_with("Multi-Protocol Reach") => List::Announced,
                    _ if text.starts_with("Multi-Protocol Unreach") => List::Withdrawn,
                    _ => List::None,
                };
                if text == "Withdrawn routes:" || text == "Updated routes:" {
                    families.push(family(1, 1));
                }
                match text.split(" (").next().unwrap() {
                    "AS Path" => path = Some(attr(text)),
                    "AS4 Path" => path4 = Some(attr(text)),
                    "Next Hop" => next_hops.extend(attr(text).parse::<IpAddr>()),
                    _ => single(facts, text),
                }
            } else if list != List::None && text.starts_with("AFI: ") {
                let codes = parens(text);
                families.push(family(codes[0], codes[1]));
            } else if let Some(rest) = text.strip_prefix("nexthop: ") {
                let parts = rest.split(", nh-length").next().unwrap().split(", ");
                next_hops.extend(parts.filter_map(|part| part.parse::<IpAddr>().ok()));
            } else if let Some(prefix) = prefix(text) {
                match list {
                    List::Withdrawn => withdrawn.push(prefix),
                    List::Announced => announced.push(prefix),
                    List::None => {}
                }
            } else if line.starts_with("\t    ") && text.split(", ").all(is_large) {
                let values = text.split(", ").map(str::to_owned).collect();
                facts.insert("large_communities", values);
            }
        }
        if let Some(path) = path {
            facts.insert("as_path", vec![merged(path, path4)]);
        }
        drop_idle_next_hop(body, &mut next_hops);
        for (key, mut values) in [
            ("withdrawn", withdrawn),
            ("announced", announced),
            ("families", families),
            (
                "next_hops",
                next_hops.iter().map(ToString::to_string).collect(),
            ),
        ] {
            values.sort();
            facts.insert(key, values);
        }
    }

    /// The classic NEXT_HOP beside an MP_REACH_NLRI alone serves no prefix: we show no run for it.
    fn drop_idle_next_hop(body: &[&str], next_hops: &mut Vec<IpAddr>) {
        let classic = body.iter().any(|line| line.trim() == "Updated routes:");
        let first = body
            .iter()
            .position(|line| line.trim().starts_with("Next Hop"));
        let reach = body.iter().position(|line| line.contains("nexthop: "));
        match (first, reach) {
            _ if classic => {}
            (Some(first), Some(reach)) => {
                next_hops.remove(usize::from(first > reach));
            }
            (_, Some(_)) => {}
            (_, None) => next_hops.clear(),
        }
    }

    fn attr(line: &str) -> &str {
        line.split_once("]: ").map_or("", |(_, value)| value.trim())
    }

    fn single(facts: &mut Facts, text: &str) {
        let value = attr(text).to_owned();
        match text.split(" (").next().unwrap() {
            "Origin" => facts.insert("origin", vec![value.to_uppercase()]),
            "Multi Exit Discriminator" => facts.insert("med", vec![value]),
            "Local Preference" => facts.insert("local_pref", vec![value]),
            "Originator ID" => facts.insert("originator_id", vec![value]),
            "Community" => facts.insert(
                "communities",
                value.split(", ").map(str::to_owned).collect(),
            ),
            "Cluster List" => facts.insert(
                "cluster_list",
                value.split(", ").map(str::to_owned).collect(),
            ),
            _ => None,
        };
    }

    /// tcpdump shows AS_PATH and AS4_PATH apart (RFC 6793 §4.2.3).
    fn merged(path: &str, path4: Option<&str>) -> String {
        let old: Vec<_> = path
            .split_whitespace()
            .filter(|asn| *asn != "empty")
            .collect();
        let new: Vec<_> = path4.unwrap_or_default().split_whitespace().collect();
        let front = old.len().saturating_sub(new.len());
        old[..front]
            .iter()
            .chain(&new)
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn prefix(text: &str) -> Option<String> {
        let (prefix, id) = match text.split_once("Path Id: ") {
            Some((prefix, id)) => (prefix.trim(), Some(id)),
            None => (text, None),
        };
        prefix.split_once('/')?;
        let prefix: Prefix = prefix.parse().ok()?;
        Some(id.map_or(prefix.to_string(), |id| format!("{prefix} path {id}")))
    }

    fn is_large(text: &str) -> bool {
        let mut parts = text.split(':').map(|part| part.parse::<u32>().is_ok());
        parts.by_ref().take(3).eq([true, true, true]) && parts.next().is_none()
    }
}

/// NetGauze's JSON: a schema of its own.
mod netgauze {
    use super::{ExtendedCommunity, Facts, Value, family, one, sorted};

    pub(super) fn message(message: &Value) -> Facts {
        let mut facts = Facts::new();
        let kind = match message {
            Value::String(name) if name == "KeepAlive" => "KEEPALIVE",
            Value::Object(object) if object.contains_key("Open") => {
                open(&mut facts, &message["Open"]);
                "OPEN"
            }
            Value::Object(object) if object.contains_key("Update") => {
                update(&mut facts, &message["Update"]);
                "UPDATE"
            }
            other => panic!("a message {other}"),
        };
        facts.insert("kind", vec![kind.to_owned()]);
        facts
    }

    fn open(facts: &mut Facts, open: &Value) {
        for (ours, theirs) in [
            ("version", "version"),
            ("my_as", "my_as"),
            ("hold_time", "hold_time"),
            ("router_id", "bgp_id"),
        ] {
            facts.insert(ours, one(&open[theirs]));
        }
        let params = open["params"].as_array().unwrap();
        let capabilities: Vec<&Value> = params
            .iter()
            .flat_map(|param| param["Capabilities"].as_array().unwrap())
            .collect();
        facts.insert("capabilities", vec![capabilities.len().to_string()]);
        let each = |name: &'static str| {
            capabilities
                .iter()
                .map(move |value| &value[name])
                .filter(|value| !value.is_null())
        };
        facts.insert(
            "as4",
            each("FourOctetAs")
                .map(|value| value["asn4"].to_string())
                .collect(),
        );
        let restart = each("GracefulRestartCapability").map(|value| value["time"].to_string());
        facts.insert("restart_time", restart.collect());
        let families = each("MultiProtocolExtensions");
        let families = families.map(|value| known(value["address_type"].as_str().unwrap()));
        facts.insert("families", sorted(families));
    }

    /// A family by NetGauze's name.
    fn known(name: &str) -> String {
        match name {
            "Ipv4Unicast" => family(1, 1),
            "Ipv6Unicast" => family(2, 1),
            "Ipv4MplsLabeledVpn" | "Ipv4MplsVpnUnicast" => family(1, 128),
            "Ipv6MplsLabeledVpn" | "Ipv6MplsVpnUnicast" => family(2, 128),
            other => panic!("a family {other}"),
        }
    }

    fn update(facts: &mut Facts, update: &Value) {
        assert_eq!(
            update["nlri"],
            Value::Array(Vec::new()),
            "no classic routes in these captures"
        );
        assert_eq!(update["withdrawn_routes"], Value::Array(Vec::new()));
        let (mut families, mut next_hops) = (Vec::new(), Vec::new());
        for attr in update["path_attributes"].as_array().unwrap() {
            let (name, value) = attr["value"].as_object().unwrap().iter().next().unwrap();
            match name.as_str() {
                "MpReach" | "MpUnreach" => {
                    let (name, value) = value.as_object().unwrap().iter().next().unwrap();
                    families.push(known(name));
                    if let Some(next_hop) = value["next_hop"].as_object() {
                        let (_, next_hop) = next_hop.iter().next().unwrap();
                        next_hops.push(next_hop["next_hop"].as_str().unwrap().to_owned());
                    }
                }
                _ => single(facts, name, value),
            }
        }
        facts.insert("families", sorted(families.into_iter()));
        facts.insert("next_hops", sorted(next_hops.into_iter()));
        facts.insert("announced", Vec::new());
        facts.insert("withdrawn", Vec::new());
    }

    fn single(facts: &mut Facts, name: &str, value: &Value) {
        match name {
            "Origin" => facts.insert("origin", vec![value.as_str().unwrap().to_uppercase()]),
            "AsPath" => facts.insert("as_path", vec![path(&value["As4PathSegments"])]),
            "MultiExitDiscriminator" => facts.insert("med", one(&value["metric"])),
            "LocalPreference" => facts.insert("local_pref", one(&value["metric"])),
            "AtomicAggregate" => facts.insert("atomic", vec!["true".to_owned()]),
            "Aggregator" => {
                let value = &value["As4Aggregator"];
                let origin = value["origin"].as_str().unwrap();
                facts.insert("aggregator", vec![format!("{} {origin}", value["asn"])])
            }
            "Communities" => {
                let values = value["communities"].as_array().unwrap().iter();
                let text = |value: u64| format!("{}:{}", value >> 16, value & 0xffff);
                facts.insert(
                    "communities",
                    values.map(|v| text(v.as_u64().unwrap())).collect(),
                )
            }
            "LargeCommunities" => {
                let values = value["communities"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|value| {
                        let part = |name: &str| value[name].as_u64().unwrap();
                        let (global, data1) = (part("global_admin"), part("local_data1"));
                        format!("{global}:{data1}:{}", part("local_data2"))
                    });
                facts.insert("large_communities", values.collect())
            }
            "ExtendedCommunities" => {
                let values = value["communities"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(extended);
                facts.insert("extended_communities", values.collect())
            }
            // Its type code (RFC 8669).
            "PrefixSegmentIdentifier" => facts.insert("others", vec!["40".to_owned()]),
            other => panic!("an attribute {other}"),
        };
    }

    fn path(segments: &Value) -> String {
        let segments = segments.as_array().unwrap().iter().map(|segment| {
            assert_eq!(segment["segment_type"], "AsSequence");
            let asns = segment["as_numbers"]
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string);
            asns.collect::<Vec<_>>().join(" ")
        });
        segments.collect::<Vec<_>>().join(" ")
    }

    fn extended(community: &Value) -> String {
        let (kind, value) = community.as_object().unwrap().iter().next().unwrap();
        let number = |value: &Value| value.as_u64().unwrap();
        if kind == "Unknown" {
            let head = [&value["code"], &value["sub_type"]];
            let octets = head.into_iter().chain(value["value"].as_array().unwrap());
            let octets: Vec<u8> = octets.map(|v| u8::try_from(number(v)).unwrap()).collect();
            return ExtendedCommunity(octets.try_into().unwrap()).to_string();
        }
        let (name, value) = value.as_object().unwrap().iter().next().unwrap();
        let sub = match name.as_str() {
            "RouteTarget" => 2,
            "RouteOrigin" => 3,
            other => panic!("an extended community {other}"),
        };
        let [a, b, c, d] = u32::try_from(number(&value["global_admin"]))
            .unwrap()
            .to_be_bytes();
        let [e, f, g, h] = u32::try_from(number(&value["local_admin"]))
            .unwrap()
            .to_be_bytes();
        ExtendedCommunity(match kind.as_str() {
            "TransitiveTwoOctet" => [0, sub, c, d, e, f, g, h],
            "TransitiveFourOctet" => [2, sub, a, b, c, d, g, h],
            other => panic!("an extended community {other}"),
        })
        .to_string()
    }
}
