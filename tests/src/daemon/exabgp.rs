//! ExaBGP: a speaker without a table, so the test keeps one from what it reports.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;
use thruway_wire::{Family, LargeCommunity, Prefix};

use super::{Daemon, Neighbor, Speaker};
use crate::lab::{Host, Process};
use crate::route::{Parts, Table};

/// A running ExaBGP.
pub struct ExaBgp {
    report: PathBuf,
    _process: Process,
}

/// ExaBGP's helper: copies what is advertised to it to a file. Its standard input does not block.
const SINK: &str = "\
import os, select, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
while True:
    select.select([0], [], [])
    try:
        data = os.read(0, 65536)
    except BlockingIOError:
        continue
    if not data:
        break
    os.write(out, data)
";

impl ExaBgp {
    /// Starts one.
    #[must_use]
    pub fn start(host: &Host, speaker: &Speaker) -> Self {
        let sink = host.write("sink.py", SINK);
        let report = host.file("exabgp.json");
        let run = format!("/usr/bin/python3 {} {}", sink.display(), report.display());
        let file = host.write("exabgp.conf", &config(host, speaker, &run));
        let mut command = host.command("env");
        command.args([
            "exabgp.daemon.user=root",
            "exabgp.tcp.bind=",
            "exabgp.api.cli=false",
        ]);
        command.arg("exabgp").arg(file);
        let process = host.spawn("exabgp", &mut command);
        ExaBgp {
            report,
            _process: process,
        }
    }

    fn reports(&self, neighbor: IpAddr) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.report).unwrap_or_default();
        let peer = neighbor.to_string();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|report| report["neighbor"]["address"]["peer"] == peer.as_str())
            .collect()
    }
}

impl Daemon for ExaBgp {
    fn name(&self) -> &'static str {
        "ExaBGP"
    }

    fn established(&mut self, neighbor: IpAddr) -> bool {
        let reports = self.reports(neighbor);
        let last = reports.iter().rfind(|report| report["type"] == "state");
        last.is_some_and(|report| report["neighbor"]["state"] == "up")
    }

    fn table(&mut self, family: Family, neighbor: IpAddr) -> Table {
        let mut table = Table::new();
        for report in self.reports(neighbor) {
            if report["type"] == "state" {
                table.clear();
            }
            let update = &report["neighbor"]["message"]["update"];
            if update.is_object() {
                apply(update, family, &mut table);
            }
        }
        table
    }
}

fn apply(update: &Value, family: Family, table: &mut Table) {
    let key = format!("{family} unicast");
    for withdrawn in update["withdraw"][&key].as_array().into_iter().flatten() {
        if let Some(prefix) = nlri(withdrawn) {
            table.remove(&prefix);
        }
    }
    let announced = update["announce"][&key].as_object();
    for (next_hop, prefixes) in announced.into_iter().flatten() {
        let mut parts = parts(&update["attribute"]);
        parts.next_hop = next_hop.parse().ok();
        for prefix in prefixes.as_array().into_iter().flatten().filter_map(nlri) {
            table.insert(prefix, parts.route());
        }
    }
}

fn nlri(value: &Value) -> Option<Prefix> {
    value["nlri"].as_str()?.parse().ok()
}

fn parts(attrs: &Value) -> Parts {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap_or_default()).unwrap_or(0);
    let numbers = |value: &Value| list(value).iter().map(number).collect::<Vec<u32>>();
    Parts {
        origin: match attrs["origin"].as_str() {
            Some("igp") => 0,
            Some("egp") => 1,
            _ => 2,
        },
        as_path: numbers(&attrs["as-path"]),
        med: attrs["med"]
            .as_u64()
            .and_then(|med| u32::try_from(med).ok()),
        communities: list(&attrs["community"])
            .iter()
            .map(&numbers)
            .map(|pair| thruway_wire::Community(pair[0] << 16 | pair[1]))
            .collect(),
        large_communities: list(&attrs["large-community"])
            .iter()
            .map(&numbers)
            .map(|n| LargeCommunity {
                global: n[0],
                local1: n[1],
                local2: n[2],
            })
            .collect(),
        ..Parts::default()
    }
}

fn config(host: &Host, speaker: &Speaker, run: &str) -> String {
    let mut text = format!("process sink {{ run {run}; encoder json; }}\n");
    for neighbor in &speaker.neighbors {
        text.push_str(&neighbor_config(host, speaker, neighbor));
    }
    text
}

fn neighbor_config(host: &Host, speaker: &Speaker, neighbor: &Neighbor) -> String {
    let mut text = format!(
        "neighbor {} {{ router-id {}; local-address {}; local-as {}; peer-as {}; outgoing-ttl 64;\n",
        neighbor.addr,
        host.v4(),
        host.addr(neighbor.addr.is_ipv6()),
        speaker.asn,
        neighbor.asn
    );
    if let Some(password) = &neighbor.password {
        let _ = writeln!(text, "  md5-password \"{password}\";");
    }
    text.push_str("  family {");
    for family in &neighbor.families {
        let _ = write!(text, " {family} unicast;");
    }
    text.push_str(
        " }\n  api { processes [ sink ]; neighbor-changes; receive { parsed; update; } }\n",
    );
    text.push_str("  static {\n");
    let community = match speaker.community {
        Some((high, low)) => format!(" community [ {high}:{low} ]"),
        None => String::new(),
    };
    for prefix in &speaker.originate {
        if neighbor.families.contains(&prefix.family()) {
            let next_hop = host.addr(prefix.family() == Family::Ipv6);
            let _ = writeln!(text, "    route {prefix} next-hop {next_hop}{community};");
        }
    }
    text.push_str("  }\n}\n");
    text
}
