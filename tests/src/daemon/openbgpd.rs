//! OpenBGPD, portable.

use std::fmt::Write;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use thruway_wire::Family;

use super::{Daemon, Speaker};
use crate::lab::{Host, Process, output, wait_until};
use crate::route::{Parts, Table};

/// A running bgpd of OpenBGPD.
pub struct OpenBgpd {
    host: Host,
    _process: Process,
}

impl OpenBgpd {
    /// Starts one and waits for its control socket.
    #[must_use]
    pub fn start(host: &Host, speaker: &Speaker) -> Self {
        // Its children change their root to their user's home, which systemd would have made.
        let _ = std::fs::create_dir_all("/run/openbgpd");
        let file = host.write("openbgpd.conf", &config(host, speaker));
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("the file is ours");
        let mut command = host.command("/usr/sbin/bgpd");
        command.arg("-d").arg("-f").arg(file);
        let process = host.spawn("openbgpd", &mut command);
        let mut bgpd = OpenBgpd {
            host: host.clone(),
            _process: process,
        };
        wait_until("OpenBGPD answers", Duration::from_secs(20), || {
            bgpd.ask(&["show"]).contains("neighbors")
        });
        bgpd
    }

    fn ask(&mut self, args: &[&str]) -> String {
        let socket = self.host.file("openbgpd.sock");
        output(
            Command::new("bgpctl")
                .arg("-j")
                .arg("-s")
                .arg(socket)
                .args(args),
        )
    }
}

impl Daemon for OpenBgpd {
    fn name(&self) -> &'static str {
        "OpenBGPD"
    }

    fn established(&mut self, neighbor: IpAddr) -> bool {
        let text = self.ask(&["show", "neighbor", &neighbor.to_string()]);
        text.contains("\"state\": \"Established\"")
    }

    fn table(&mut self, family: Family, neighbor: IpAddr) -> Table {
        let addr = neighbor.to_string();
        let text = self.ask(&[
            "show",
            "rib",
            &family.to_string(),
            "neighbor",
            &addr,
            "detail",
        ]);
        let Ok(answer) = serde_json::from_str::<Value>(&text) else {
            return Table::new();
        };
        let routes = answer["rib"].as_array().cloned().unwrap_or_default();
        let prefix = |route: &Value| route["prefix"].as_str().and_then(|text| text.parse().ok());
        routes
            .iter()
            .filter_map(|route| Some((prefix(route)?, parts(route).route())))
            .collect()
    }
}

fn parts(route: &Value) -> Parts {
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let med = route["metric"]
        .as_u64()
        .and_then(|med| u32::try_from(med).ok());
    Parts {
        as_path: words(&route["aspath"])
            .split(' ')
            .filter_map(|asn| asn.parse().ok())
            .collect(),
        next_hop: words(&route["exit_nexthop"]).parse().ok(),
        origin: match words(&route["origin"]).as_str() {
            "IGP" => 0,
            "EGP" => 1,
            _ => 2,
        },
        // It prints 0 where there is none.
        med: med.filter(|med| *med != 0),
        communities: list(&route["communities"])
            .iter()
            .filter_map(|text| words(text).parse().ok())
            .collect(),
        large_communities: list(&route["large_communities"])
            .iter()
            .filter_map(|text| words(text).parse().ok())
            .collect(),
        ..Parts::default()
    }
}

fn config(host: &Host, speaker: &Speaker) -> String {
    let (v4, v6) = (host.v4(), host.v6());
    let socket = host.file("openbgpd.sock");
    let mut text = format!(
        "AS {}\nrouter-id {v4}\nlisten on {v4}\nlisten on {v6}\nsocket \"{}\"\nfib-update no\n",
        speaker.asn,
        socket.display()
    );
    let community = match speaker.community {
        Some((high, low)) => format!("set community {high}:{low}"),
        None => String::new(),
    };
    for prefix in &speaker.originate {
        let _ = writeln!(text, "network {prefix} {community}");
    }
    for neighbor in &speaker.neighbors {
        let local = host.addr(neighbor.addr.is_ipv6());
        let _ = writeln!(
            text,
            "neighbor {} {{\n remote-as {}\n multihop 64\n local-address {local}\n \
             enforce neighbor-as no\n announce IPv4 none",
            neighbor.addr, neighbor.asn
        );
        for family in &neighbor.families {
            let name = if *family == Family::Ipv4 {
                "IPv4"
            } else {
                "IPv6"
            };
            let _ = writeln!(text, " announce {name} unicast");
        }
        if let Some(password) = &neighbor.password {
            let _ = writeln!(text, " tcp md5sig password {password}");
        }
        text.push_str("}\n");
    }
    text.push_str("allow from any\nallow to any\n");
    for neighbor in &speaker.neighbors {
        let _ = writeln!(text, "match to {} set nexthop self", neighbor.addr);
    }
    text
}
