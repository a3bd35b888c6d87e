//! The network's own address space.

use std::net::{Ipv4Addr, Ipv6Addr};

use thruway_wire::{Family, NextHop, Prefix};

/// The virtual network: its prefixes, and where they point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vnet {
    /// Its own prefixes.
    pub prefixes: Vec<Prefix>,
    /// Networks peered with it. Their prefixes are told like its own.
    pub peered: Vec<PeeredVnet>,
    /// Next hop of IPv4 prefixes.
    pub next_hop_v4: Option<Ipv4Addr>,
    /// Next hop of IPv6 prefixes.
    pub next_hop_v6: Option<Ipv6Addr>,
}

/// A network that is peered with the VNet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeeredVnet {
    /// Its name, for people.
    pub name: String,
    /// Its prefixes.
    pub prefixes: Vec<Prefix>,
}

impl Vnet {
    /// Its own prefixes, then the peered networks'.
    pub fn all_prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        let peered = self.peered.iter().flat_map(|peered| &peered.prefixes);
        self.prefixes.iter().chain(peered).copied()
    }

    /// What the network announces. A family without a next hop announces nothing; the configuration
    /// refuses one that has prefixes.
    pub fn routes(&self) -> impl Iterator<Item = (Prefix, NextHop)> + '_ {
        self.all_prefixes()
            .filter_map(|prefix| Some((prefix, self.next_hop(prefix.family())?)))
    }

    /// The next hop of a family's prefixes.
    #[must_use]
    pub fn next_hop(&self, family: Family) -> Option<NextHop> {
        match family {
            Family::Ipv4 => self.next_hop_v4.map(NextHop::V4),
            Family::Ipv6 => self.next_hop_v6.map(NextHop::V6),
        }
    }
}
