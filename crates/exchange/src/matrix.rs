//! Who is advertised whose routes.

use serde::{Deserialize, Serialize};

use crate::Kind;

/// Whether routes of one kind of source go to one kind of receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Whatever the switch says.
    Always,
    /// While route exchange is on.
    WhenOn,
    /// Whatever the switch says, they do not.
    Never,
}
use Cell::{Always, Never, WhenOn};

impl Cell {
    /// True where routes flow with the switch in this position.
    #[must_use]
    pub const fn allows(self, exchange_on: bool) -> bool {
        match self {
            Always => true,
            WhenOn => exchange_on,
            Never => false,
        }
    }
}

/// The rule of the whole product: `MATRIX[from][to]`, in the order of [`Kind::ALL`].
///
/// An NVA always hears the other NVAs and the network. What it hears of the gateways, and the
/// gateways of it and of each other, is what the switch is for. Hosts hear everyone; the network's
/// own prefixes are routes that hosts have without us.
#[rustfmt::skip]
pub const MATRIX: [[Cell; 4]; 4] = [
    // told to:          hosts   NVA     ExpressRoute  VPN
    /* VNet prefixes */ [Never,  Always, Always,       Always],
    /* NVA           */ [Always, Always, WhenOn,       WhenOn],
    /* ExpressRoute  */ [Always, WhenOn, Never,        WhenOn],
    /* VPN           */ [Always, WhenOn, WhenOn,       Never],
];

/// The cell for routes that came from `from`, toward `to`.
#[must_use]
pub const fn cell(from: Kind, to: Kind) -> Cell {
    MATRIX[from as usize][to as usize]
}

/// The matrix in one position of the switch, as the RIB wants it: bit `to.class()` of row
/// `from.class()`. The rows of plain BGP's classes are empty: in a virtual network there is no peer
/// outside of it.
#[must_use]
pub fn eligibility(exchange_on: bool) -> [u32; 32] {
    let mut rows = [0; 32];
    for from in Kind::ALL {
        let told = Kind::ALL
            .into_iter()
            .filter(|to| cell(from, *to).allows(exchange_on));
        rows[usize::from(from.class())] = told.fold(0, |row, to| row | 1 << to.class());
    }
    rows
}

/// Why no route goes from `from` to `to`; `None` where they do.
#[must_use]
pub const fn why_not(from: Kind, to: Kind, exchange_on: bool) -> Option<&'static str> {
    match (cell(from, to), from) {
        (Always, _) => None,
        (WhenOn, _) if exchange_on => None,
        (WhenOn, _) => Some("route exchange is off"),
        (Never, Kind::Network) => Some("hosts have these as system routes"),
        (Never, Kind::Vpn) => Some("a VPN gateway's instances talk among themselves"),
        (Never, _) => Some("ExpressRoute to ExpressRoute is never carried"),
    }
}
