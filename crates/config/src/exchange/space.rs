//! Every address of a virtual network has one owner.

use std::collections::BTreeMap;
use std::net::IpAddr;

use thruway_wire::Prefix;

use super::super::reader::{Reader, Spot};
use super::Server;
use super::keys::VnetKeys;
use super::sites::{RawGateway, RawNva};

/// Notes what overlaps.
pub(super) fn check(
    vnet: &VnetKeys,
    gateways: &[RawGateway],
    nvas: &[RawNva],
    server: &Server,
    reader: &mut Reader,
) {
    check_networks(vnet, reader);
    check_addresses(gateways, nvas, reader);
    check_subnets(gateways, reader);
    let nvas = nvas.iter().flat_map(|nva| &nva.addresses);
    let subnets = gateways.iter().flat_map(|gateway| &gateway.subnets);
    for nva in nvas.clone() {
        if let Some(subnet) = subnets.clone().find(|subnet| holds(subnet, nva.value)) {
            let message = format!(
                "{} lies in a gateway's subnet, {} (line {}): its session would be the gateway's",
                nva.value, subnet.value, subnet.line
            );
            reader.error_at(nva, message);
        }
    }
    for subnet in subnets {
        for listen in server.listen.iter().map(|addr| addr.ip()) {
            if holds(subnet, listen) && !listen.is_unspecified() {
                let message = format!(
                    "{} holds {listen}, which the server listens on: a gateway's subnet is its own",
                    subnet.value
                );
                reader.error_at(subnet, message);
            }
        }
    }
    check_own(gateways, nvas, server, reader);
}

fn holds(subnet: &Spot<Prefix>, addr: IpAddr) -> bool {
    subnet.value.covers(Prefix::host(addr))
}

fn overlap(one: Prefix, other: Prefix) -> bool {
    one.covers(other) || other.covers(one)
}

/// The network's prefixes, and those of networks peered with it: a packet goes to one of them.
fn check_networks(vnet: &VnetKeys, reader: &mut Reader) {
    let own = vnet.prefixes.iter().flat_map(|prefixes| &prefixes.value.0);
    let own = own.map(|spot| (spot, "the network's own"));
    let peered = vnet.peered.iter().flat_map(|peered| &peered.value.0);
    let peered = peered.filter_map(|peered| peered.value.prefixes.as_ref());
    let peered = peered.flat_map(|prefixes| &prefixes.value.0);
    let peered = peered.map(|spot| (spot, "a peered network's"));
    let all: Vec<_> = own.chain(peered).collect();
    for (index, (spot, _)) in all.iter().enumerate() {
        if spot.value.is_martian() {
            let message = format!("{} is a martian: no network may route it", spot.value);
            reader.error_at(*spot, message);
        }
        let before = all.iter().take(index);
        let other = before.filter(|(other, _)| overlap(other.value, spot.value));
        for (other, whose) in other {
            let message = format!(
                "{} overlaps {whose} {} (line {})",
                spot.value, other.value, other.line
            );
            reader.error_at(*spot, message);
        }
    }
}

/// Every address is one session's. What stands a second time is left out of the sessions.
fn check_addresses(gateways: &[RawGateway], nvas: &[RawNva], reader: &mut Reader) {
    let nvas = nvas.iter().flat_map(|nva| &nva.addresses);
    let all = nvas.chain(gateways.iter().flat_map(|gateway| &gateway.instances));
    let mut first: BTreeMap<IpAddr, &Spot<IpAddr>> = BTreeMap::new();
    for spot in all {
        let Some(other) = first.get(&spot.value) else {
            first.insert(spot.value, spot);
            continue;
        };
        let place = match other.key == spot.key {
            true => format!("twice here (line {})", other.line),
            false => format!("in {} (line {}), too", other.key, other.line),
        };
        let message = format!("{} stands {place}: an address is one session's", spot.value);
        reader.error_at(spot, message);
    }
}

/// Gateways' subnets and instances. A session's address says whose it is.
fn check_subnets(gateways: &[RawGateway], reader: &mut Reader) {
    let subnets = gateways.iter().flat_map(|gateway| &gateway.subnets);
    let subnets: Vec<&Spot<Prefix>> = subnets.collect();
    for (index, subnet) in subnets.iter().enumerate() {
        let before = subnets.iter().take(index);
        for other in before.filter(|other| overlap(other.value, subnet.value)) {
            let message = format!(
                "{} overlaps {} ({}, line {}): a session's address says which gateway it is of",
                subnet.value, other.value, other.key, other.line
            );
            reader.error_at(*subnet, message);
        }
        let instances = gateways.iter().flat_map(|gateway| &gateway.instances);
        for instance in instances.filter(|instance| holds(subnet, instance.value)) {
            let message = format!(
                "{} lies in {} ({}, line {}): a session's address says which gateway it is of",
                instance.value, subnet.value, subnet.key, subnet.line
            );
            reader.error_at(instance, message);
        }
    }
}

/// The server's own addresses are no neighbour's.
fn check_own<'k>(
    gateways: &'k [RawGateway],
    nvas: impl Iterator<Item = &'k Spot<IpAddr>>,
    server: &Server,
    reader: &mut Reader,
) {
    let instances = gateways.iter().flat_map(|gateway| &gateway.instances);
    for spot in nvas.chain(instances) {
        if server.listen.iter().any(|addr| addr.ip() == spot.value) {
            let message = format!("{} is an address that the server listens on", spot.value);
            reader.error_at(spot, message);
        }
    }
}
