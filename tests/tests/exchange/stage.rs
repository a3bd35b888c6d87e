//! The cast on loopback: two NVAs, two ExpressRoute sessions, a pair of VPN instances, and the hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use thruway_replay::PeerOptions;
use thruway_replay::speaker::Speaker;
use thruway_tests::lab::{output, wait_until};
use thruway_tests::rig::{PATIENCE, Rig, expect, prefix, set};
use thruway_wire::attrs::{AttrSet, AttrSetBuf, AttrSetRef};
use thruway_wire::{Asn, Community, Prefix, RouterId};

pub(crate) const SERVER_AS: u32 = 65515;
/// Configured for the network's own prefixes.
pub(crate) const NETWORK: &str = r#"
[vnet]
prefixes = ["10.0.0.0/16", "fd00:10::/48"]
next-hop = ["10.0.0.1", "fd00:10::1"]
peered = [ { name = "spoke-a", prefixes = ["10.1.0.0/16"] } ]
"#;
pub(crate) const NVAS: &str = r#"
[[nva]]
name = "sdwan"
asn = 4200000001
addresses = ["127.0.1.1"]
passive = true
[[nva]]
name = "firewall"
asn = 65002
addresses = ["127.0.1.2"]
passive = true
"#;
pub(crate) const GATEWAYS: &str = r#"
[gateway.expressroute]
subnet = "127.0.2.0/28"
[gateway.vpn]
mode = "active-active"
subnet = "127.0.3.0/28"
"#;

/// One neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// How tests call it.
    pub(crate) name: &'static str,
    pub(crate) addr: Ipv4Addr,
    pub(crate) asn: u32,
    /// What lies behind it: the AS path of what it tells.
    pub(crate) path: &'static [u32],
    /// Its number: 172.16.N.0/24 and 2001:db8:N::/48 are its prefixes.
    pub(crate) number: u8,
}

const fn actor(
    name: &'static str,
    net: u8,
    host: u8,
    asn: u32,
    path: &'static [u32],
    number: u8,
) -> Actor {
    Actor {
        name,
        addr: Ipv4Addr::new(127, 0, net, host),
        asn,
        path,
        number,
    }
}

pub(crate) const SDWAN: Actor = actor("sdwan", 1, 1, 4_200_000_001, &[4_200_000_001, 64_999], 1);
pub(crate) const FIREWALL: Actor = actor("firewall", 1, 2, 65_002, &[65_002], 2);
pub(crate) const ER0: Actor = actor("er0", 2, 4, SERVER_AS, &[65_020, 3_356], 3);
pub(crate) const ER1: Actor = actor("er1", 2, 5, SERVER_AS, &[65_021], 4);
pub(crate) const VPN0: Actor = actor("vpn0", 3, 4, SERVER_AS, &[65_030], 5);
pub(crate) const VPN1: Actor = actor("vpn1", 3, 5, SERVER_AS, &[], 6);
pub(crate) const CAST: [Actor; 6] = [SDWAN, FIREWALL, ER0, ER1, VPN0, VPN1];

impl Actor {
    pub(crate) fn is_nva(self) -> bool {
        self.asn != SERVER_AS
    }

    pub(crate) fn id(self) -> RouterId {
        RouterId::from(self.addr)
    }

    pub(crate) fn options(self) -> PeerOptions {
        PeerOptions::new(Asn(self.asn), self.id())
    }

    /// The name of its session.
    pub(crate) fn session(self) -> String {
        let site = match self.name {
            "er0" | "er1" => "expressroute",
            "vpn0" | "vpn1" | "vpn2" => "vpn",
            "second" => "sdwan",
            nva => nva,
        };
        format!("{site}-{}", self.addr)
    }

    pub(crate) fn prefix(self, v6: bool) -> Prefix {
        prefix(&if v6 {
            format!("2001:db8:{}::/48", self.number)
        } else {
            format!("172.16.{}.0/24", self.number)
        })
    }

    /// A third party's: a load balancer in front of the neighbour, say.
    pub(crate) fn next_hop(self, v6: bool) -> IpAddr {
        if v6 {
            Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0x99, self.number.into()).into()
        } else {
            Ipv4Addr::new(10, 0, 99, self.number).into()
        }
    }

    pub(crate) fn communities(self) -> [Community; 2] {
        [
            Community(64_999 << 16 | u32::from(self.number)),
            Community(1 << 16 | 2),
        ]
    }

    /// What it tells: a MED, communities, and a gateway a LOCAL_PREF, which is not believed.
    pub(crate) fn tells(self, v6: bool) -> AttrSet {
        self.tells_with(v6, self.path)
    }

    /// The same with another path.
    pub(crate) fn tells_with(self, v6: bool, path: &[u32]) -> AttrSet {
        let plain = set(path, self.next_hop(v6), &self.communities());
        let mut buf = AttrSetBuf::default();
        buf.copy_from(plain.as_ref());
        buf.set_med(Some(50 + u32::from(self.number)));
        if !self.is_nva() {
            buf.set_local_pref(Some(300));
        }
        AttrSet::new(buf.as_ref())
    }
}

/// The prefixes of the network itself.
pub(crate) fn network() -> [Prefix; 3] {
    ["10.0.0.0/16", "10.1.0.0/16", "fd00:10::/48"].map(prefix)
}

/// A server and those of the cast that are there, in the cast's order.
pub(crate) struct Stage {
    pub(crate) rig: Rig,
    pub(crate) speakers: Vec<(Actor, Speaker)>,
}

/// A configuration with these lines for `[route-exchange]` and `more` after all.
pub(crate) fn config(exchange: &str, more: &str) -> String {
    format!("{NETWORK}[route-exchange]\n{exchange}\n{NVAS}{GATEWAYS}{more}")
}

impl Stage {
    /// With the whole cast connected, and nothing told yet.
    pub(crate) fn open(transport: &str, exchange: &str) -> Stage {
        Stage::with(transport, &config(exchange, ""), &CAST)
    }

    pub(crate) fn with(transport: &str, config: &str, cast: &[Actor]) -> Stage {
        let rig = Rig::exchange(transport, config);
        let mut stage = Stage {
            rig,
            speakers: Vec::new(),
        };
        cast.iter().for_each(|actor| stage.enter(*actor));
        stage
    }

    /// One more of the cast connects, again and again: one that has just left is refused for a while
    /// (RFC 4271 §8.1.1, DampPeerOscillations).
    pub(crate) fn enter(&mut self, actor: Actor) {
        let mut up = None;
        wait_until(&format!("{} is there", actor.name), PATIENCE, || {
            let speaker = self.rig.spawn_at(actor.addr, actor.options(), None);
            up = speaker.established(PATIENCE).is_ok().then_some(speaker);
            up.is_some()
        });
        self.speakers.extend(up.map(|speaker| (actor, speaker)));
    }

    /// One of the cast leaves: its connection breaks off.
    pub(crate) fn leave(&mut self, actor: Actor) {
        self.speakers.retain(|(other, _)| *other != actor);
    }

    pub(crate) fn speaker(&self, actor: Actor) -> &Speaker {
        let (_, speaker) = self
            .speakers
            .iter()
            .find(|(other, _)| *other == actor)
            .expect("it is there");
        speaker
    }

    /// Everyone tells their prefixes of both families.
    pub(crate) fn all_tell(&self) {
        for (actor, speaker) in &self.speakers {
            for v6 in [false, true] {
                speaker.announce_prefixes(&[actor.prefix(v6)], actor.tells(v6).as_ref());
            }
        }
    }

    /// Tells prefixes with one set.
    pub(crate) fn tell(&self, actor: Actor, prefixes: &[Prefix], set: &AttrSet) {
        self.speaker(actor)
            .announce_prefixes(prefixes, set.as_ref());
    }

    /// Waits until a neighbour's whole table is this set of prefixes.
    #[track_caller]
    pub(crate) fn hears(&self, actor: Actor, what: &str, wanted: &BTreeSet<Prefix>) {
        let heard = |table: &thruway_replay::speaker::ReceivedTable| {
            table
                .iter()
                .map(|(nlri, _)| nlri.prefix)
                .collect::<BTreeSet<_>>()
        };
        let speaker = self.speaker(actor);
        let outcome = speaker.wait_for(|table| heard(table) == *wanted, PATIENCE);
        if let Err(error) = outcome {
            let got = speaker.with_table(heard);
            panic!(
                "{what}: {}: {error}\n  wanted {wanted:?}\n  got    {got:?}",
                actor.name
            );
        }
    }

    /// What hosts are told: each route's prefix and next hop.
    pub(crate) fn hosts(&self) -> BTreeSet<(Prefix, IpAddr)> {
        let routes = self.rig.show(&["peer", "network", "advertised"]);
        let routes = routes.as_array().cloned().unwrap_or_default();
        let text = |route: &Value, key: &str| route[key].as_str().unwrap_or_default().to_owned();
        let route = |route: &Value| {
            (
                text(route, "network").parse().expect("a prefix"),
                text(route, "nextHop").parse().expect("an address"),
            )
        };
        routes.iter().map(route).collect()
    }

    /// Waits until hosts are told just this.
    #[track_caller]
    pub(crate) fn hosts_hear(&self, what: &str, wanted: &BTreeSet<(Prefix, IpAddr)>) {
        let mut got = BTreeSet::new();
        let end = std::time::Instant::now() + PATIENCE;
        while got != *wanted {
            let in_time = std::time::Instant::now() < end;
            assert!(
                in_time,
                "{what}: hosts\n  wanted {wanted:?}\n  got    {got:?}"
            );
            got = self.hosts();
        }
    }

    /// Turns the switch, and returns the answer.
    #[track_caller]
    pub(crate) fn switch(&self, to: &str) -> Value {
        let text = output(self.rig.command("exchange", &[to]).arg("--json"));
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("exchange {to}: {error}: {text:?}\n{}", self.rig.log()))
    }

    /// `show exchange --json`.
    pub(crate) fn exchange(&self) -> Value {
        self.rig.show(&["exchange"])
    }

    /// Changes the configuration as it runs.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) {
        let out = self.rig.reload(config);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{error}\n{}", self.rig.log());
    }

    /// Sessions as they stand: none of this may change where nothing is reset, and nobody may be
    /// asked to tell again what the server already holds.
    pub(crate) fn sessions(&self) -> Vec<(String, Value, Value, Value)> {
        let of = |(actor, speaker): &(Actor, Speaker)| {
            let peer = self.rig.peer(&actor.session());
            assert_eq!(peer["state"], "Established", "{}", actor.name);
            assert!(
                speaker.refreshes().is_empty(),
                "{} was asked to refresh",
                actor.name
            );
            // The port is the connection's: it would be another one.
            (
                peer["name"].to_string(),
                peer["remoteAddress"].clone(),
                peer["flaps"].clone(),
                peer["messagesOut"][4].clone(),
            )
        };
        self.speakers.iter().map(of).collect()
    }

    /// Waits until everyone has the same number of `paths` as the server's status says.
    pub(crate) fn wait_paths(&self, count: u64) {
        wait_until(&format!("the server holds {count} paths"), PATIENCE, || {
            self.rig.show(&["status"])["paths"] == count
        });
    }
}

/// The attributes that matter here, in words.
pub(crate) fn facts(set: AttrSetRef<'_>) -> String {
    let next_hop = set
        .next_hop()
        .map(|n| n.addr().to_string())
        .unwrap_or_default();
    let communities: Vec<String> = set.communities().map(|c| c.to_string()).collect();
    let clusters: Vec<String> = set.cluster_list().map(|id| id.to_string()).collect();
    format!(
        "path [{}] via {next_hop} pref {:?} med {:?} communities {communities:?} originator {:?} \
         clusters {clusters:?} origin {}",
        set.as_path(),
        set.local_pref(),
        set.med(),
        set.originator_id().map(|id| id.to_string()),
        set.meta.origin,
    )
}

/// Waits until a neighbour has a prefix with these facts.
#[track_caller]
pub(crate) fn expect_facts(stage: &Stage, actor: Actor, prefix: Prefix, wanted: &str) {
    let speaker = stage.speaker(actor);
    let mut last = String::from("nothing");
    let outcome = speaker.wait_for(
        |table| {
            last = table
                .get(prefix)
                .map_or("nothing".into(), |set| facts(set.as_ref()));
            last == wanted
        },
        PATIENCE,
    );
    if let Err(error) = outcome {
        panic!(
            "{} has {prefix}: {error}\n  wanted {wanted}\n  got    {last}",
            actor.name
        );
    }
}

/// Waits until a neighbour's path for a prefix is this, `None` for no route.
#[track_caller]
pub(crate) fn expect_path(
    stage: &Stage,
    actor: Actor,
    what: &str,
    prefix: Prefix,
    wanted: Option<&str>,
) {
    expect(
        stage.speaker(actor),
        &format!("{what}: {} has {wanted:?}", actor.name),
        |table| {
            let path = table
                .get(prefix)
                .map(|set| set.as_ref().as_path().to_string());
            path.as_deref() == wanted
        },
    );
}
