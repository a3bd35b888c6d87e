//! A virtual network with three sites behind it, in network namespaces, with other people's routers.
//!
//! ```text
//!  site 1 ── NVA (FRR) ─────────┐
//!  site 2 ── ExpressRoute (BIRD)┼── 10.0.0.0/16, fd00:10::/64 ── server, which is a host, too
//!  site 3 ══ VPN (two of FRR) ══┘
//! ```

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde_json::Value;
use thruway_tests::daemon::{Bird, Daemon, Frr, GoBgp, Neighbor, Speaker, Thruway};
use thruway_tests::lab::{Host, Lab, output, wait_until};
use thruway_wire::Family;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Where the server is.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
pub(crate) const SERVER_AS: u32 = 65515;
/// The sites, by number.
pub(crate) const SITES: [u8; 3] = [1, 2, 3];

/// Namespaces and links; daemons come later.
pub(crate) struct Net {
    pub(crate) server: Host,
    pub(crate) nva: Host,
    pub(crate) expressroute: Host,
    pub(crate) vpn: [Host; 2],
    /// A host in each site, by number less one.
    pub(crate) sites: [Host; 3],
    // Last: it removes the namespaces of those above.
    _lab: Lab,
}

impl Net {
    pub(crate) fn new(test: &str) -> Option<Net> {
        let mut lab = Lab::new(test)?;
        let mut vnet = |c, d, v6| {
            let v6 = Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, v6);
            lab.host_at(Ipv4Addr::new(10, 0, c, d), v6)
        };
        let server = vnet(1, 4, 0x104);
        let nva = vnet(2, 4, 0x204);
        let expressroute = vnet(255, 4, 0xff04);
        let vpn = [vnet(255, 20, 0xff14), vnet(255, 21, 0xff15)];
        let sites = SITES.map(|site| {
            lab.network(&format!("site{site}"));
            let v6 = Ipv6Addr::new(0xfd00, site.into(), 0, 0, 0, 0, 0, 10);
            let host = lab.bare_host(Ipv4Addr::new(192, 168, site, 10), v6);
            plug(&lab, &host, "eth0", site, 10);
            host.ip(&[
                "route",
                "add",
                "default",
                "via",
                &format!("192.168.{site}.1"),
            ]);
            host.ip(&["route", "add", "default", "via", &format!("fd00:{site}::1")]);
            host
        });
        for (router, site, number) in [
            (&nva, 1, 1),
            (&expressroute, 2, 1),
            (&vpn[0], 3, 1),
            (&vpn[1], 3, 2),
        ] {
            plug(&lab, router, "eth1", site, number);
            router.forward();
        }
        Some(Net {
            server,
            nva,
            expressroute,
            vpn,
            sites,
            _lab: lab,
        })
    }

    /// The configuration of the picture, with these further keys for gateways and NVA.
    pub(crate) fn config(&self, switch: &str) -> String {
        format!(
            r#"[server]
mode = "exchange"
router-id = "10.0.1.4"
listen = ["10.0.1.4:179", "[fd00:10::104]:179"]
workers = 2
[vnet]
prefixes = ["10.0.0.0/16", "fd00:10::/48"]
next-hop = ["10.0.0.1", "fd00:10::1"]
peered = [ {{ name = "spoke-a", prefixes = ["10.1.0.0/16"] }} ]
[route-exchange]
{switch}
[[nva]]
name = "sdwan"
asn = 65001
addresses = ["10.0.2.4"]
[gateway.expressroute]
subnet = "10.0.255.0/28"
[gateway.vpn]
mode = "active-active"
subnet = "10.0.255.16/28"
[hosts]
table = 254
"#
        )
    }

    /// Starts the server with the switch off.
    pub(crate) fn thruway(&self, transport: &str) -> Thruway {
        Thruway::start(&self.server, transport, &self.config("enabled = false"))
    }

    /// The same, but the VPN gateway comes over IPv6.
    fn thruway_with_vpn_over_ipv6(&self) -> Thruway {
        let config = self.config("enabled = false");
        let config = config.replace("10.0.255.16/28", "fd00:10::ff10/124");
        Thruway::start(&self.server, "auto", &config)
    }

    /// The NVA: FRR as a router, with `more` prefixes of 11.1.0.0/16 upward.
    pub(crate) fn start_nva(&self, more: usize) -> Frr {
        Frr::router(&self.nva, &frr(&self.nva, 65001, 1, more))
    }

    /// A VPN gateway's instance of FRR.
    pub(crate) fn start_vpn(&self, instance: usize, more: usize) -> Frr {
        let host = &self.vpn[instance];
        Frr::router(host, &frr(host, SERVER_AS, 3, more))
    }

    /// A VPN gateway's instance of GoBGP over IPv6, which forwards nothing.
    pub(crate) fn start_gobgp(&self, instance: usize) -> GoBgp {
        let mut neighbor = Neighbor::new(self.server.addr(true), SERVER_AS);
        neighbor.families = Family::ALL.to_vec();
        let speaker = Speaker {
            asn: SERVER_AS,
            neighbors: vec![neighbor],
            originate: site_prefixes(3)
                .map(|text| text.parse().expect("a prefix"))
                .to_vec(),
            community: None,
        };
        GoBgp::start(&self.vpn[instance], &speaker)
    }

    /// The ExpressRoute gateway: BIRD as a router.
    pub(crate) fn start_expressroute(&self, more: usize) -> Bird {
        Bird::with_config(&self.expressroute, &bird(&self.expressroute, more))
    }

    /// An address in a site.
    pub(crate) fn site(&self, site: u8, v6: bool) -> IpAddr {
        self.sites[usize::from(site) - 1].addr(v6)
    }

    /// True where a packet of one site comes to the other, and its answer back.
    pub(crate) fn reaches(&self, from: u8, to: u8, v6: bool) -> bool {
        self.sites[usize::from(from) - 1].reaches(self.site(to, v6))
    }

    /// Waits until the server's kernel and the hosts of all these sites have ways to each other.
    pub(crate) fn wait_host_reaches(&self, sites: &[u8]) {
        for site in sites {
            for v6 in [false, true] {
                let to = self.site(*site, v6);
                wait_until(&format!("the host reaches {to}"), PATIENCE, || {
                    self.server.reaches(to)
                });
            }
        }
    }

    /// Pings between all pairs of these sites, both ways, both families, until they pass.
    pub(crate) fn wait_sites_reach(&self, sites: &[u8]) {
        for (from, to) in pairs(sites) {
            for v6 in [false, true] {
                wait_until(
                    &format!("site {from} reaches site {to}, v6 {v6}"),
                    PATIENCE,
                    || self.reaches(from, to, v6),
                );
            }
        }
    }

    /// None of these sites reaches another.
    #[track_caller]
    pub(crate) fn assert_sites_apart(&self, sites: &[u8]) {
        for (from, to) in pairs(sites) {
            for v6 in [false, true] {
                assert!(
                    !self.reaches(from, to, v6),
                    "site {from} reaches {to}, v6 {v6}"
                );
            }
        }
    }

    /// Waits until a router has no kernel route to a site.
    pub(crate) fn wait_no_route(&self, router: &Host, site: u8) {
        for (family, prefix) in ["-4", "-6"].iter().zip(site_prefixes(site)) {
            wait_until(&format!("no route to {prefix}"), PATIENCE, || {
                router
                    .ask_ip(&[family, "route", "show", &prefix])
                    .is_empty()
            });
        }
    }
}

/// All ordered pairs.
fn pairs(sites: &[u8]) -> impl Iterator<Item = (u8, u8)> + '_ {
    let pair = |from: u8| sites.iter().map(move |to| (from, *to));
    sites
        .iter()
        .flat_map(move |from| pair(*from))
        .filter(|(from, to)| from != to)
}

fn plug(lab: &Lab, host: &Host, device: &str, site: u8, number: u8) {
    let v4 = format!("192.168.{site}.{number}/24");
    let v6 = format!("fd00:{site}::{number:x}/64");
    lab.plug(host, device, &format!("site{site}"), &[&v4, &v6]);
}

/// What a site's gateway announces.
pub(crate) fn site_prefixes(site: u8) -> [String; 2] {
    [format!("192.168.{site}.0/24"), format!("fd00:{site}::/48")]
}

/// Further prefixes of a site, which lead nowhere.
fn more_prefixes(site: u8, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!("1{site}.{}.{}.0/24", n / 256, n % 256))
}

fn frr(host: &Host, asn: u32, site: u8, more: usize) -> String {
    let (v4, v6) = (host.v4(), host.v6());
    let [prefix4, prefix6] = site_prefixes(site);
    let multihop = if asn == SERVER_AS {
        ""
    } else {
        " neighbor 10.0.1.4 ebgp-multihop\n"
    };
    let mut text = format!(
        "hostname frr\nrouter bgp {asn}\n bgp router-id {v4}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n \
         neighbor 10.0.1.4 remote-as {SERVER_AS}\n{multihop} neighbor 10.0.1.4 timers connect 2\n \
         neighbor 10.0.1.4 update-source {v4}\n address-family ipv4 unicast\n  \
         neighbor 10.0.1.4 activate\n  neighbor 10.0.1.4 route-map out out\n  network {prefix4}\n"
    );
    for prefix in more_prefixes(site, more) {
        let _ = writeln!(text, "  network {prefix}");
    }
    let _ = write!(
        text,
        " exit-address-family\n address-family ipv6 unicast\n  neighbor 10.0.1.4 activate\n  \
         neighbor 10.0.1.4 route-map out out\n  network {prefix6}\n exit-address-family\nexit\n\
         route-map out permit 10\n set ipv6 next-hop global {v6}\nexit\n"
    );
    text
}

fn bird(host: &Host, more: usize) -> String {
    let (v4, v6) = (host.v4(), host.v6());
    let [prefix4, prefix6] = site_prefixes(2);
    let mut text = format!(
        "router id {v4};\nprotocol device {{ scan time 1; }}\n\
         protocol direct {{ ipv4; ipv6; interface \"eth0\"; }}\n\
         protocol kernel k4 {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}\n\
         protocol kernel k6 {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}\n\
         filter own {{\n if source != RTS_STATIC then reject;\n bgp_path.prepend(65002);\n accept;\n}}\n\
         protocol bgp server {{\n local {v4} as {SERVER_AS};\n neighbor {SERVER} as {SERVER_AS};\n \
         connect delay time 1;\n \
         ipv4 {{ import all; export filter own; next hop address {v4}; }};\n \
         ipv6 {{ import all; export filter own; next hop address {v6}; }};\n}}\n\
         protocol static s6 {{ ipv6; route {prefix6} unreachable; }}\n\
         protocol static s4 {{ ipv4; route {prefix4} unreachable;\n"
    );
    for prefix in more_prefixes(2, more) {
        let _ = writeln!(text, " route {prefix} unreachable;");
    }
    text.push_str("}\n");
    text
}

/// `thruway exchange on|off --json`.
pub(crate) fn switch(thruway: &Thruway, to: &str) -> Value {
    let text = output(thruway.command("exchange", &[to]).arg("--json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("exchange {to}: {error}: {text:?}"))
}

/// Sessions of all four, up.
pub(crate) fn wait_sessions(thruway: &Thruway, names: &[&str]) {
    for name in names {
        thruway.wait_established(name);
    }
}

/// How often sessions were lost, and how many ROUTE-REFRESH were sent, in sum.
pub(crate) fn disturbances(thruway: &Thruway) -> (u64, u64) {
    let peers = thruway.show(&["peers"]);
    let peers = peers.as_array().cloned().unwrap_or_default();
    let sum = |pointer: &str| {
        let of = |peer: &Value| peer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        peers.iter().map(of).sum()
    };
    (sum("/flaps"), sum("/messagesOut/4"))
}

pub(crate) const NAMES: [&str; 4] = [
    "sdwan-10.0.2.4",
    "expressroute-10.0.255.4",
    "vpn-10.0.255.20",
    "vpn-10.0.255.21",
];

fn packets(transport: &str) {
    let Some(net) = Net::new(&format!("exchange: packets over {transport}")) else {
        return;
    };
    let thruway = net.thruway(transport);
    let (_nva, _er) = (net.start_nva(0), net.start_expressroute(0));
    let (_vpn0, vpn1) = (net.start_vpn(0, 0), net.start_vpn(1, 0));
    wait_sessions(&thruway, &NAMES);

    net.wait_host_reaches(&SITES);
    net.assert_sites_apart(&SITES);
    let before = disturbances(&thruway);

    switch(&thruway, "on");
    net.wait_sites_reach(&SITES);
    net.wait_host_reaches(&SITES);

    switch(&thruway, "off");
    for (router, own) in [
        (&net.nva, 1),
        (&net.expressroute, 2),
        (&net.vpn[0], 3),
        (&net.vpn[1], 3),
    ] {
        for site in SITES.into_iter().filter(|site| *site != own) {
            net.wait_no_route(router, site);
        }
    }
    net.assert_sites_apart(&SITES);
    net.wait_host_reaches(&SITES);
    assert_eq!(
        disturbances(&thruway),
        before,
        "sessions lost, refreshes sent"
    );

    // One VPN instance goes: the gateway is degraded, and packets flow by the other one.
    drop(vpn1);
    wait_until("the VPN gateway is degraded", PATIENCE, || {
        let members = thruway.show(&["exchange"])["members"].take();
        let mut members = members.as_array().into_iter().flatten();
        members.any(|member| member["name"] == "vpn" && member["state"] == "degraded")
    });
    switch(&thruway, "on");
    net.wait_sites_reach(&SITES);
    net.wait_host_reaches(&SITES);
}

#[test]
fn packets_follow_the_switch_over_io_uring() {
    packets("io-uring");
}

#[test]
fn packets_follow_the_switch_over_epoll() {
    packets("epoll");
}

/// The second run: GoBGP is the VPN gateway, over IPv6.
#[test]
fn gobgp_is_a_vpn_gateway() {
    let Some(net) = Net::new("exchange: GoBGP") else {
        return;
    };
    let mut thruway = net.thruway_with_vpn_over_ipv6();
    let (mut nva, mut er) = (net.start_nva(0), net.start_expressroute(0));
    let mut vpn = [net.start_gobgp(0), net.start_gobgp(1)];
    wait_sessions(&thruway, &NAMES[..2]);
    wait_sessions(&thruway, &["vpn-fd00:10::ff14", "vpn-fd00:10::ff15"]);
    // The network's own: 10.0.0.0/16, 10.1.0.0/16 and fd00:10::/48; then those of two sites more.
    for (position, v4, v6) in [("off", 2, 1), ("on", 4, 3), ("off", 2, 1)] {
        switch(&thruway, position);
        let has = |daemon: &mut dyn Daemon, from: IpAddr| {
            for (family, count) in [(Family::Ipv4, v4), (Family::Ipv6, v6)] {
                let what = format!("{} has {count} {family} routes, {position}", daemon.name());
                wait_until(&what, PATIENCE, || daemon.count(family, from) == count);
            }
        };
        has(&mut nva, net.server.addr(false));
        has(&mut er, net.server.addr(false));
        vpn.iter_mut()
            .for_each(|instance| has(instance, net.server.addr(true)));
        net.wait_host_reaches(&[1, 2]);
    }
    assert_eq!(disturbances(&thruway).0, 0);
    assert_eq!(thruway.terminate(), Some(0), "{}", thruway.log());
    let left = net.server.ask_ip(&["route", "show", "proto", "179"]);
    assert!(
        left.is_empty(),
        "routes that the server left behind: {left}"
    );
}
