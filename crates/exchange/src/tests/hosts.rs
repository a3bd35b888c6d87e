//! What hosts are not given, and what the network announces.

use std::net::IpAddr;
use std::sync::Arc;

use thruway_policy::{
    CompileOptions, Hits, Outcome, PeerFacts, Policy, RouteContext, SetDefs, compile,
};
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::{Asn, NextHop, Prefix, RouterId};

use crate::{HOST_POLICY, PeeredVnet, Vnet, host_policy};

pub(super) fn facts(name: &str, addr: IpAddr) -> PeerFacts {
    PeerFacts::new(name, Asn(65001), addr, RouterId(1))
}

/// What a policy says of an empty route to `prefix`.
pub(super) fn judged(policy: &Policy, peer: &PeerFacts, prefix: &str) -> Outcome {
    let prefix: Prefix = prefix.parse().unwrap();
    let set = AttrSetBuf::from_parts(Some(NextHop::from(peer.addr)), [].into_iter());
    let to = facts("network", "0.0.0.0".parse().unwrap());
    let ctx = RouteContext {
        peer,
        family: prefix.family(),
        prefix,
        set: set.as_ref(),
        to: Some(&to),
    };
    policy.evaluate(&ctx, &mut AttrSetBuf::default(), &mut Hits::new(policy))
}

pub(super) fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(super) fn vnet() -> Vnet {
    Vnet {
        prefixes: prefixes(&["10.0.0.0/16", "fd00:10::/48"]),
        peered: vec![PeeredVnet {
            name: "spoke".into(),
            prefixes: prefixes(&["10.1.0.0/16", "fd00:11::/48"]),
        }],
        next_hop_v4: Some("10.0.0.1".parse().unwrap()),
        next_hop_v6: None,
    }
}

pub(super) fn compiled(vnet: &Vnet, nvas: &[&str]) -> Arc<Policy> {
    let nvas: Vec<String> = nvas.iter().map(|name| (*name).into()).collect();
    let options = CompileOptions {
        version: 1,
        own_as: Asn(65515),
    };
    let all = compile(&[host_policy(vnet, &nvas)], &SetDefs::default(), options).unwrap();
    Arc::clone(all.get(HOST_POLICY).unwrap())
}

#[test]
fn an_nvas_routes_inside_the_network_are_not_for_hosts() {
    let policy = compiled(&vnet(), &["a-10.0.2.4", "b-10.0.2.6"]);
    let nva = facts("b-10.0.2.6", "10.0.2.6".parse().unwrap());
    for (what, prefix, given) in [
        ("equal", "10.0.0.0/16", false),
        ("more specific", "10.0.7.0/24", false),
        ("a host", "10.0.2.4/32", false),
        ("less specific", "10.0.0.0/15", true),
        ("much less specific", "10.0.0.0/8", true),
        ("the default route", "0.0.0.0/0", true),
        ("beside it", "10.2.0.0/16", true),
        ("equal to a peered network", "10.1.0.0/16", false),
        ("inside a peered network", "10.1.128.0/17", false),
        ("equal, IPv6", "fd00:10::/48", false),
        ("more specific, IPv6", "fd00:10:0:1::/64", false),
        ("less specific, IPv6", "fd00::/8", true),
        ("the default route, IPv6", "::/0", true),
        ("inside a peered network, IPv6", "fd00:11:0:7::/64", false),
        ("elsewhere, IPv6", "2001:db8::/32", true),
    ] {
        let outcome = judged(&policy, &nva, prefix);
        let expected = if given {
            Outcome::Accept
        } else {
            Outcome::Reject { statement: 0 }
        };
        assert_eq!(outcome, expected, "{what}: {prefix}");
    }
}

#[test]
fn gateways_routes_are_not_excluded() {
    let policy = compiled(&vnet(), &["a-10.0.2.4"]);
    let gateway = facts("vpn-10.0.255.20", "10.0.255.20".parse().unwrap());
    for prefix in ["10.0.0.0/16", "10.0.7.0/24", "192.0.2.0/24"] {
        assert_eq!(judged(&policy, &gateway, prefix), Outcome::Accept);
    }
}

#[test]
fn without_nvas_or_prefixes_nothing_is_excluded() {
    let someone = facts("vpn", "10.0.255.20".parse().unwrap());
    let nobody = compiled(&vnet(), &[]);
    assert_eq!(judged(&nobody, &someone, "10.0.0.0/16"), Outcome::Accept);
    let nothing = compiled(&Vnet::default(), &["vpn"]);
    assert_eq!(judged(&nothing, &someone, "10.0.0.0/16"), Outcome::Accept);
}

#[test]
fn the_network_announces_its_own_and_peered_prefixes() {
    let mut vnet = vnet();
    let told = |vnet: &Vnet| {
        let routes = vnet.routes();
        let texts = routes.map(|(prefix, next_hop)| format!("{prefix} {next_hop}"));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(
        told(&vnet),
        ["10.0.0.0/16 10.0.0.1", "10.1.0.0/16 10.0.0.1"]
    );
    vnet.next_hop_v6 = Some("fd00:10::1".parse().unwrap());
    assert_eq!(
        told(&vnet),
        [
            "10.0.0.0/16 10.0.0.1",
            "fd00:10::/48 fd00:10::1",
            "10.1.0.0/16 10.0.0.1",
            "fd00:11::/48 fd00:10::1"
        ]
    );
}
