//! GoBGP.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use thruway_wire::{Community, ExtendedCommunity, Family, LargeCommunity, Prefix};

use super::{Daemon, Speaker};
use crate::lab::{Host, Process, output, wait_until};
use crate::route::{Parts, Table};

/// A running gobgpd.
pub struct GoBgp {
    host: Host,
    _process: Process,
}

impl GoBgp {
    /// Starts one and waits for its API.
    #[must_use]
    pub fn start(host: &Host, speaker: &Speaker) -> Self {
        let file = host.write("gobgp.toml", &config(host, speaker));
        let mut command = host.command("gobgpd");
        command.arg("-f").arg(file).args(["--log-level", "warn"]);
        let process = host.spawn("gobgp", &mut command);
        let mut gobgp = GoBgp {
            host: host.clone(),
            _process: process,
        };
        wait_until("GoBGP answers", Duration::from_secs(20), || {
            gobgp.ask(&["neighbor"]).contains("Peer")
        });
        for prefix in &speaker.originate {
            let prefix_text = prefix.to_string();
            let family = prefix.family().to_string();
            let next_hop = host.addr(prefix.family() == Family::Ipv6).to_string();
            let mut args = vec![
                "global",
                "rib",
                "add",
                "-a",
                &family,
                &prefix_text,
                "nexthop",
                &next_hop,
            ];
            args.extend(["origin", "igp"]);
            let community = speaker.community.map(|(high, low)| format!("{high}:{low}"));
            if let Some(community) = &community {
                args.extend(["community", community]);
            }
            gobgp.ask(&args);
        }
        gobgp
    }

    fn ask(&mut self, args: &[&str]) -> String {
        output(self.host.command("gobgp").args(args))
    }
}

impl Daemon for GoBgp {
    fn name(&self) -> &'static str {
        "GoBGP"
    }

    fn established(&mut self, neighbor: IpAddr) -> bool {
        let answer = self.ask(&["neighbor", &neighbor.to_string()]);
        answer.contains("BGP state = ESTABLISHED") || answer.contains("BGP_FSM_ESTABLISHED")
    }

    fn count(&mut self, family: Family, neighbor: IpAddr) -> usize {
        let (addr, family) = (neighbor.to_string(), family.to_string());
        let answer = self.ask(&["neighbor", &addr, "adj-in", "summary", "-a", &family]);
        // `Destination: 12, Path: 12`
        let number = answer.split("Path: ").nth(1).map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        });
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    fn table(&mut self, family: Family, neighbor: IpAddr) -> Table {
        let (addr, family) = (neighbor.to_string(), family.to_string());
        let text = self.ask(&["neighbor", &addr, "adj-in", "-j", "-a", &family]);
        let Ok(prefixes) = serde_json::from_str::<BTreeMap<Prefix, Vec<Printed>>>(&text) else {
            return Table::new();
        };
        let mut table = Table::new();
        for (prefix, paths) in prefixes {
            for path in paths {
                table.insert(prefix, parts(&path.attrs).route());
            }
        }
        table
    }
}

/// What counts of a path that GoBGP prints.
#[derive(Deserialize)]
struct Printed {
    attrs: Vec<Value>,
}

fn parts(attrs: &[Value]) -> Parts {
    let mut parts = Parts::default();
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap_or_default()).unwrap_or(0);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for attr in attrs {
        match attr["type"].as_u64() {
            Some(1) => parts.origin = u8::try_from(number(&attr["value"])).unwrap_or(255),
            Some(2) => {
                let segments = list(&attr["as_paths"]);
                let asns = segments.iter().flat_map(|segment| list(&segment["asns"]));
                parts.as_path = asns.map(|asn| number(&asn)).collect();
            }
            Some(3 | 14) => parts.next_hop = attr["nexthop"].as_str().and_then(|a| a.parse().ok()),
            Some(4) => parts.med = Some(number(&attr["metric"])),
            Some(6) => parts.atomic_aggregate = true,
            Some(7) => {
                let addr = attr["address"].as_str().and_then(|addr| addr.parse().ok());
                parts.aggregator = addr.map(|addr| (number(&attr["as"]), addr));
            }
            Some(8) => {
                let values = list(&attr["communities"]);
                parts.communities = values.iter().map(|c| Community(number(c))).collect();
            }
            Some(16) => {
                let values = list(&attr["value"]);
                parts.extended_communities = values.iter().filter_map(extended).collect();
            }
            Some(32) => {
                let large = |value: &Value| LargeCommunity {
                    global: number(&value["ASN"]),
                    local1: number(&value["LocalData1"]),
                    local2: number(&value["LocalData2"]),
                };
                parts.large_communities = list(&attr["value"]).iter().map(large).collect();
            }
            _ => {}
        }
    }
    parts
}

/// GoBGP prints type, subtype and a text of the rest.
fn extended(value: &Value) -> Option<ExtendedCommunity> {
    let name = match value["subtype"].as_u64()? {
        2 => "rt",
        3 => "soo",
        _ => return None,
    };
    let text = value["value"].as_str()?;
    // Four-octet AS numbers are printed as asdot.
    let text = match (value["type"].as_u64()?, text.split_once(':')) {
        (2, Some((admin, local))) => {
            let (high, low) = admin.split_once('.')?;
            let asn = high.parse::<u32>().ok()? << 16 | low.parse::<u32>().ok()?;
            format!("{asn}L:{local}")
        }
        _ => text.to_owned(),
    };
    format!("{name}:{text}").parse().ok()
}

fn config(host: &Host, speaker: &Speaker) -> String {
    let (v4, v6) = (host.v4(), host.v6());
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{v4}\"\nport = 179\n\
         local-address-list = [\"{v4}\", \"{v6}\"]\n",
        speaker.asn
    );
    for neighbor in &speaker.neighbors {
        let _ = writeln!(
            text,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}",
            neighbor.addr, neighbor.asn
        );
        if let Some(password) = &neighbor.password {
            let _ = writeln!(text, "auth-password = \"{password}\"");
        }
        let _ = writeln!(
            text,
            "[neighbors.transport.config]\nlocal-address = \"{}\"\n\
             [neighbors.timers.config]\nconnect-retry = 5\nidle-hold-time-after-reset = 1\n\
             [neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 64",
            host.addr(neighbor.addr.is_ipv6())
        );
        for family in &neighbor.families {
            let _ = writeln!(
                text,
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
                 afi-safi-name = \"{family}-unicast\""
            );
        }
    }
    text
}
