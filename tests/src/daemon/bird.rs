//! BIRD 2.

use std::fmt::Write;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use thruway_wire::Family;

use super::{Daemon, Neighbor, Speaker, v4, v6};
use crate::lab::{Host, Process, output, wait_until, wait_written};
use crate::route::{Table, read_mrt_rib};

/// A running BIRD.
pub struct Bird {
    host: Host,
    process: Process,
}

impl Bird {
    /// Starts one and waits for its control socket.
    #[must_use]
    pub fn start(host: &Host, speaker: &Speaker) -> Self {
        Self::with_config(host, &config(host, speaker))
    }

    /// Starts one with a configuration of the caller's.
    #[must_use]
    pub fn with_config(host: &Host, config: &str) -> Self {
        Self::run(host, config, &["-f"])
    }

    /// Starts one after a crash: it tells its neighbours that it was restarted (RFC 4724 §4.1).
    #[must_use]
    pub fn recover(host: &Host, config: &str) -> Self {
        Self::run(host, config, &["-f", "-R"])
    }

    fn run(host: &Host, config: &str, args: &[&str]) -> Self {
        let file = host.write("bird.conf", config);
        let mut command = host.command("bird");
        command.args(args).arg("-c").arg(file);
        command
            .arg("-s")
            .arg(host.file("bird.ctl"))
            .arg("-P")
            .arg(host.file("bird.pid"));
        let process = host.spawn("bird", &mut command);
        let mut bird = Bird {
            host: host.clone(),
            process,
        };
        wait_until("BIRD answers", Duration::from_secs(20), || {
            assert!(
                bird.process.is_alive(),
                "BIRD ended: {}",
                bird.process.log()
            );
            bird.ask("show status").contains("up")
        });
        bird
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it, as a machine that hangs would, or lets it go on.
    pub fn hang(&mut self, hangs: bool) {
        self.process.signal(if hangs { "STOP" } else { "CONT" });
    }

    /// What `birdc` answers.
    pub fn ask(&mut self, question: &str) -> String {
        output(
            Command::new("birdc")
                .arg("-s")
                .arg(self.host.file("bird.ctl"))
                .arg(question),
        )
    }

    /// The whole table of a family, by way of an MRT dump of BIRD's own making: (peer, route).
    pub fn dump(&mut self, family: Family) -> Vec<(IpAddr, Table)> {
        let table = if family == Family::Ipv4 {
            "master4"
        } else {
            "master6"
        };
        let file = self.host.file(&format!("{table}.mrt"));
        let _ = std::fs::remove_file(&file);
        let answer = self.ask(&format!("mrt dump table {table} to \"{}\"", file.display()));
        assert!(!answer.contains("rror"), "BIRD refuses to dump: {answer}");
        wait_written(&file);
        read_mrt_rib(&file)
    }
}

impl Daemon for Bird {
    fn name(&self) -> &'static str {
        "BIRD"
    }

    fn established(&mut self, neighbor: IpAddr) -> bool {
        let answer = self.ask("show protocols all");
        let blocks = answer.split("\n\n");
        let wanted = format!("Neighbor address: {neighbor}\n");
        blocks
            .filter(|block| block.contains(&wanted))
            .any(|block| block.contains("Established"))
    }

    fn count(&mut self, family: Family, neighbor: IpAddr) -> usize {
        let answer = self.ask("show protocols all");
        let wanted = format!("Neighbor address: {neighbor}\n");
        let Some(block) = answer.split("\n\n").find(|block| block.contains(&wanted)) else {
            return 0;
        };
        // `Channel ipv4` and its `Routes: 12 imported, …` further down.
        let channel = format!("Channel {family}");
        let lines = block.lines().skip_while(|line| !line.contains(&channel));
        let routes = lines
            .map(str::trim)
            .find_map(|line| line.strip_prefix("Routes:"));
        let number = routes.and_then(|routes| routes.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    fn table(&mut self, family: Family, neighbor: IpAddr) -> Table {
        let tables = self.dump(family);
        tables
            .into_iter()
            .find(|(peer, _)| *peer == neighbor)
            .map(|(_, t)| t)
            .unwrap_or_default()
    }
}

fn config(host: &Host, speaker: &Speaker) -> String {
    let mut text = format!("router id {};\nprotocol device {{}}\n", host.v4());
    let community = match speaker.community {
        Some((high, low)) => format!("{{ bgp_community.add(({high},{low})); }}"),
        None => String::new(),
    };
    for (name, prefixes) in [
        ("ipv4", v4(&speaker.originate).collect::<Vec<_>>()),
        ("ipv6", v6(&speaker.originate).collect::<Vec<_>>()),
    ] {
        let _ = writeln!(text, "protocol static s{name} {{ {name};");
        for prefix in prefixes {
            let _ = writeln!(text, "  route {prefix} unreachable {community};");
        }
        text.push_str("}\n");
    }
    for (number, neighbor) in speaker.neighbors.iter().enumerate() {
        text.push_str(&protocol(host, speaker, number, neighbor));
    }
    text
}

fn protocol(host: &Host, speaker: &Speaker, number: usize, neighbor: &Neighbor) -> String {
    let local = host.addr(neighbor.addr.is_ipv6());
    let mut text = format!(
        "protocol bgp n{number} {{\n  local {local} as {};\n  neighbor {} as {};\n  multihop;\n  \
         connect delay time 1;\n",
        speaker.asn, neighbor.addr, neighbor.asn,
    );
    if let Some(password) = &neighbor.password {
        let _ = writeln!(text, "  password \"{password}\";");
    }
    for family in &neighbor.families {
        let own = host.addr(*family == Family::Ipv6);
        let _ = writeln!(
            text,
            "  {family} {{ import all; export where source = RTS_STATIC; next hop address {own}; }};"
        );
    }
    text.push_str("}\n");
    text
}
