//! What a neighbour is to the network.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of neighbour: a row of the matrix as a source of routes, a column as a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The network itself. As a source: its own prefixes and those of networks peered with it. As a
    /// receiver: its hosts, that is the kernel's table.
    Network,
    /// A network virtual appliance: eBGP, an AS of its own.
    Nva,
    /// An ExpressRoute gateway: iBGP.
    ExpressRoute,
    /// A VPN gateway, of two instances: iBGP.
    Vpn,
}

impl Kind {
    /// All of them, in the order of the matrix.
    pub const ALL: [Kind; 4] = [Kind::Network, Kind::Nva, Kind::ExpressRoute, Kind::Vpn];

    /// Its class in the RIB's eligibility matrix: 8 to 11. Lower classes are those of plain BGP.
    #[must_use]
    pub const fn class(self) -> u8 {
        8 + self as u8
    }

    /// The kind of a class, if it is one of the exchange's.
    #[must_use]
    pub fn from_class(class: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.class() == class)
    }

    /// True for those that are reached over iBGP and need no `[[nva]]`.
    #[must_use]
    pub const fn is_gateway(self) -> bool {
        matches!(self, Kind::ExpressRoute | Kind::Vpn)
    }

    /// Its name in files and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Network => "network",
            Kind::Nva => "nva",
            Kind::ExpressRoute => "expressroute",
            Kind::Vpn => "vpn",
        }
    }

    /// What people call it as a source of routes.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Kind::Network => "VNet prefixes",
            Kind::Nva => "NVA",
            Kind::ExpressRoute => "ExpressRoute gateway",
            Kind::Vpn => "VPN gateway",
        }
    }

    /// What people call it as a receiver of routes.
    #[must_use]
    pub const fn receiver(self) -> &'static str {
        match self {
            Kind::Network => "hosts",
            _ => self.source(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
