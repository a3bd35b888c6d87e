//! FRR's bgpd, with zebra where packets are to flow.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use thruway_wire::Family;

use super::{Daemon, Speaker, v4, v6};
use crate::lab::{Host, Process, output, wait_until, wait_written};
use crate::route::{Table, read_mrt_rib};

/// A running bgpd.
pub struct Frr {
    host: Host,
    bgpd: Process,
    _zebra: Option<Process>,
    dumps: u32,
}

impl Frr {
    /// Starts one and waits for its vty.
    #[must_use]
    pub fn start(host: &Host, speaker: &Speaker) -> Self {
        Self::with_config(host, &config(host, speaker))
    }

    /// Starts one with a configuration of the caller's.
    #[must_use]
    pub fn with_config(host: &Host, config: &str) -> Self {
        let file = host.write("frr.conf", config);
        // bgpd takes two addresses to listen on as two `-l`.
        let mut command = bgpd(host, &file);
        command.args(["-n", "-Z", "-S"]);
        command.args(["-l", &host.v4().to_string(), "-l", &host.v6().to_string()]);
        Frr::run(host, &mut command, None)
    }

    /// Starts one that is a router: zebra installs in the kernel what bgpd learns.
    #[must_use]
    pub fn router(host: &Host, config: &str) -> Self {
        let socket = host.file("zserv.api");
        let mut command = host.command("/usr/lib/frr/zebra");
        command
            .arg("-f")
            .arg(host.write("zebra.conf", "hostname frr\n"));
        command.arg("-i").arg(host.file("zebra.pid"));
        command.arg("-z").arg(&socket).arg("--vty_socket");
        command.arg(&host.dir).args(["-P", "0"]);
        let zebra = host.spawn("zebra", &mut command);
        wait_until("zebra listens", Duration::from_secs(20), || socket.exists());
        let mut command = bgpd(host, &host.write("frr.conf", config));
        command.arg("-z").arg(socket);
        Frr::run(host, &mut command, Some(zebra))
    }

    fn run(host: &Host, command: &mut Command, zebra: Option<Process>) -> Self {
        let bgpd = host.spawn("frr", command);
        let mut frr = Frr {
            host: host.clone(),
            bgpd,
            _zebra: zebra,
            dumps: 0,
        };
        wait_until("FRR answers", Duration::from_secs(20), || {
            frr.ask("show version").contains("FRR")
        });
        frr
    }

    /// Ends bgpd as a crash would. What it had zebra install stays.
    pub fn kill(&mut self) {
        self.bgpd.kill();
    }

    /// What `vtysh` answers.
    pub fn ask(&mut self, question: &str) -> String {
        output(
            Command::new("vtysh")
                .arg("--vty_socket")
                .arg(&self.host.dir)
                .args(["-c", question]),
        )
    }

    fn dump(&mut self) -> Vec<(IpAddr, Table)> {
        // A new name each time: bgpd does not write the same file again at once.
        self.dumps += 1;
        let file = self.host.file(&format!("frr{}.mrt", self.dumps));
        let line = format!("dump bgp routes-mrt {}", file.display());
        let socket = self.host.dir.clone();
        let mut vtysh = Command::new("vtysh");
        vtysh
            .arg("--vty_socket")
            .arg(socket)
            .args(["-c", "configure terminal", "-c", &line]);
        let _ = output(&mut vtysh);
        wait_written(&file);
        read_mrt_rib(&file)
    }
}

impl Daemon for Frr {
    fn name(&self) -> &'static str {
        "FRR"
    }

    fn established(&mut self, neighbor: IpAddr) -> bool {
        let answer = self.ask(&format!("show bgp neighbors {neighbor} json"));
        answer.contains("\"bgpState\":\"Established\"")
    }

    fn count(&mut self, family: Family, neighbor: IpAddr) -> usize {
        let answer = self.ask(&format!("show bgp {family} unicast summary json"));
        let Ok(summary) = serde_json::from_str::<serde_json::Value>(&answer) else {
            return 0;
        };
        let peer = &summary["peers"][neighbor.to_string()];
        peer["pfxRcd"]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0)
    }

    fn table(&mut self, family: Family, neighbor: IpAddr) -> Table {
        // One dump holds both families.
        let mut table = Table::new();
        for (peer, routes) in self.dump() {
            if peer == neighbor {
                table.extend(
                    routes
                        .into_iter()
                        .filter(|(prefix, _)| prefix.family() == family),
                );
            }
        }
        table
    }
}

fn bgpd(host: &Host, config: &Path) -> Command {
    let mut command = host.command("/usr/lib/frr/bgpd");
    command.arg("-f").arg(config);
    command.arg("-i").arg(host.file("frr.pid"));
    command.arg("--vty_socket").arg(&host.dir);
    command.args(["-p", "179", "-P", "0"]);
    command
}

fn config(host: &Host, speaker: &Speaker) -> String {
    let mut text = format!(
        "hostname frr\nrouter bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n timers bgp 30 90\n",
        speaker.asn,
        host.v4(),
    );
    for neighbor in &speaker.neighbors {
        let addr = neighbor.addr;
        let _ = writeln!(text, " neighbor {addr} remote-as {}", neighbor.asn);
        let _ = writeln!(text, " neighbor {addr} ebgp-multihop");
        let _ = writeln!(text, " neighbor {addr} timers connect 2");
        let _ = writeln!(
            text,
            " neighbor {addr} update-source {}",
            host.addr(addr.is_ipv6())
        );
        // A route server's routes do not begin with its own AS.
        let _ = writeln!(text, " no neighbor {addr} enforce-first-as");
        if let Some(password) = &neighbor.password {
            let _ = writeln!(text, " neighbor {addr} password {password}");
        }
    }
    for (family, prefixes) in [
        (Family::Ipv4, v4(&speaker.originate).collect::<Vec<_>>()),
        (Family::Ipv6, v6(&speaker.originate).collect::<Vec<_>>()),
    ] {
        let _ = writeln!(text, " address-family {family} unicast");
        for neighbor in speaker
            .neighbors
            .iter()
            .filter(|n| n.families.contains(&family))
        {
            let _ = writeln!(text, "  neighbor {} activate", neighbor.addr);
            let _ = writeln!(text, "  neighbor {} route-map out out", neighbor.addr);
        }
        for prefix in prefixes {
            let _ = writeln!(text, "  network {prefix}");
        }
        text.push_str(" exit-address-family\n");
    }
    text.push_str("exit\n");
    let _ = writeln!(text, "bgp as-path access-list own permit ^$");
    let _ = writeln!(text, "route-map out permit 10\n match as-path own");
    if let Some((high, low)) = speaker.community {
        let _ = writeln!(text, " set community {high}:{low}");
    }
    let _ = writeln!(text, " set ipv6 next-hop global {}", host.v6());
    text.push_str("exit\n");
    text
}
