//! Each daemon's configuration: a route server without policy and without kernel routes.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use super::lab::SERVER;

/// The server's AS number: a private one of four octets (RFC 6996). Recorded paths hold every other
/// kind, those for documentation, too.
pub(super) const SERVER_AS: u32 = 4_200_000_000;

/// What a server should be.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Its clients: address and AS number.
    pub(super) peers: Vec<(Ipv4Addr, u32)>,
    /// IPv6 routes, too, over the same sessions.
    pub(super) ipv6: bool,
    /// What is taken from each of them; `None`: everything.
    pub(super) lists: Option<Lists>,
}

/// By client: the prefixes that are taken.
#[derive(Clone, Debug)]
pub(super) struct Lists(pub(super) Vec<Vec<String>>);

impl Site {
    /// The list of a client.
    fn list(&self, number: usize) -> Option<&[String]> {
        self.lists.as_ref()?.0.get(number).map(Vec::as_slice)
    }
}

pub(super) fn thruway(site: &Site, dir: &Path, transport: &str, workers: Option<usize>) -> String {
    let socket = dir.join("thruway.sock");
    let mut text = format!(
        "[server]\nasn = {SERVER_AS}\nrouter-id = \"{SERVER}\"\nlisten = [\"{SERVER}:179\"]\n\
         api-socket = \"{}\"\ntransport = \"{transport}\"\nlog = \"warn\"\n",
        socket.display()
    );
    if let Some(workers) = workers {
        let _ = writeln!(text, "workers = {workers}");
    }
    let families = match site.ipv6 {
        true => "[\"ipv4\", \"ipv6\"]",
        false => "[\"ipv4\"]",
    };
    let _ = writeln!(
        text,
        "[peer-group.clients]\nrole = \"route-server-client\"\nimport = \"accept\"\n\
         export = \"accept\"\npassive = true\nfamilies = {families}\nallow-as-sets = true"
    );
    for (number, (addr, asn)) in site.peers.iter().enumerate() {
        let _ = writeln!(
            text,
            "[[peer]]\naddress = \"{addr}\"\nasn = {asn}\ngroup = \"clients\""
        );
        if let Some(list) = site.list(number) {
            let list = list.join("\", \"");
            let _ = writeln!(
                text,
                "import = \"p{number}\"\n[prefix-set.s{number}]\nprefixes = [\"{list}\"]\n\
                 [policy.p{number}]\n[[policy.p{number}.statement]]\n\
                 match.prefix-set = \"s{number}\"\nthen = \"accept\""
            );
        }
    }
    text
}

/// BIRD 3 is told to use both cores, and to take AS_SETs as BIRD 2 does of itself, which has neither word.
pub(super) fn bird(site: &Site, threads: Option<usize>) -> String {
    let mut text = format!("log stderr {{ warning, error, fatal, bug }};\nrouter id {SERVER};\n");
    if let Some(threads) = threads {
        let _ = writeln!(text, "threads {threads};");
    }
    let _ = writeln!(
        text,
        "protocol device {{}}\ntemplate bgp rsc {{\n  local {SERVER} as {SERVER_AS};\n  \
         passive;\n  rs client;\n  hold time 180;\n  error wait time 1, 2;\n  \
         ipv4 {{ import all; export all; next hop keep; }};"
    );
    if threads.is_some() {
        text.push_str("  allow as sets on;\n");
    }
    if site.ipv6 {
        text.push_str("  ipv6 { import all; export all; next hop keep; };\n");
    }
    text.push_str("}\n");
    for (number, (addr, asn)) in site.peers.iter().enumerate() {
        let filter = match site.list(number) {
            None => String::new(),
            Some(list) => {
                let list = list.join(", ");
                let _ = writeln!(
                    text,
                    "filter f{number} {{ if net ~ [ {list} ] then accept; reject; }}"
                );
                // What was rejected is kept, or a changed filter could not let it in without asking its
                // sender again.
                format!(" ipv4 {{ import table on; import filter f{number}; }};")
            }
        };
        let _ = writeln!(
            text,
            "protocol bgp p{number} from rsc {{ neighbor {addr} as {asn};{filter} }}"
        );
    }
    text
}

pub(super) fn frr(site: &Site) -> String {
    let mut text = format!(
        "hostname frr\nrouter bgp {SERVER_AS}\n bgp router-id {SERVER}\n \
         no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
         no bgp network import-check\n timers bgp 60 180\n coalesce-time 1000\n"
    );
    // The time that new neighbours' first routes are held back; left alone it grows with their
    // number to ten seconds. At its usual second it is over before the first route comes.
    for (addr, asn) in &site.peers {
        // Without zebra it knows no links, so that the check for one must go.
        let _ = writeln!(
            text,
            " neighbor {addr} remote-as {asn}\n neighbor {addr} disable-connected-check\n \
             neighbor {addr} passive"
        );
    }
    let families: &[&str] = match site.ipv6 {
        true => &["ipv4", "ipv6"],
        false => &["ipv4"],
    };
    for family in families {
        let _ = writeln!(text, " address-family {family} unicast");
        for (addr, _) in &site.peers {
            let _ = writeln!(
                text,
                "  neighbor {addr} activate\n  neighbor {addr} route-server-client"
            );
        }
        text.push_str(" exit-address-family\n");
    }
    text.push_str("exit\n");
    text
}

pub(super) fn openbgpd(site: &Site, dir: &Path) -> String {
    let ipv6 = if site.ipv6 { "unicast" } else { "none" };
    let mut text = format!(
        "AS {SERVER_AS}\nrouter-id {SERVER}\nlisten on {SERVER}\nsocket \"{}\"\nfib-update no\n\
         transparent-as yes\nholdtime 180\n\
         group \"clients\" {{\n passive\n enforce neighbor-as no\n announce IPv4 unicast\n \
         announce IPv6 {ipv6}\n",
        dir.join("openbgpd.sock").display()
    );
    for (addr, asn) in &site.peers {
        let _ = writeln!(text, " neighbor {addr} {{ remote-as {asn} }}");
    }
    text.push_str("}\n");
    if site.lists.is_none() {
        text.push_str("allow from any\n");
    }
    for (number, (addr, _)) in site.peers.iter().enumerate() {
        if let Some(list) = site.list(number) {
            let list = list.join(" ");
            let _ = writeln!(
                text,
                "prefix-set \"s{number}\" {{ {list} }}\nallow from {addr} prefix-set \"s{number}\""
            );
        }
    }
    text.push_str("allow to any\nmatch to any set nexthop no-modify\n");
    text
}

/// GoBGP's file; RustyBGP reads the same.
pub(super) fn gobgp(site: &Site) -> String {
    let mut text = format!(
        "[global.config]\nas = {SERVER_AS}\nrouter-id = \"{SERVER}\"\nport = 179\n\
         local-address-list = [\"{SERVER}\"]\n"
    );
    let families: &[&str] = match site.ipv6 {
        true => &["ipv4-unicast", "ipv6-unicast"],
        false => &["ipv4-unicast"],
    };
    for (addr, asn) in &site.peers {
        let _ = writeln!(
            text,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{addr}\"\npeer-as = {asn}\n\
             [neighbors.transport.config]\npassive-mode = true\n\
             [neighbors.timers.config]\nhold-time = 180\nkeepalive-interval = 60\n\
             [neighbors.route-server.config]\nroute-server-client = true"
        );
        for family in families {
            let _ = writeln!(
                text,
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
                 afi-safi-name = \"{family}\""
            );
        }
    }
    text
}

/// Its neighbours are a range: to one with an address of its own it would connect, and let ours wait
/// meanwhile.
pub(super) fn rustbgpd(site: &Site, dir: &Path) -> String {
    let families = match site.ipv6 {
        true => "[\"ipv4_unicast\", \"ipv6_unicast\"]",
        false => "[\"ipv4_unicast\"]",
    };
    format!(
        "[global]\nasn = {SERVER_AS}\nrouter_id = \"{SERVER}\"\nlisten_port = 179\n\
         runtime_state_dir = \"{0}\"\ndynamic_neighbor_limit = 5000\n\
         [global.telemetry]\nlog_format = \"json\"\n\
         [global.telemetry.grpc_uds]\npath = \"{0}/grpc.sock\"\n\
         [peer_groups.clients]\nroute_server_client = true\nfamilies = {families}\nhold_time = 180\n\
         [[dynamic_neighbors]]\nprefix = \"198.18.0.0/16\"\npeer_group = \"clients\"\n\
         remote_asn = 0\n",
        dir.display()
    )
}
