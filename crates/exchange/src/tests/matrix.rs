//! Every cell, by name, in both positions of the switch and both families, against a table that was
//! written from the specification and not from the code.

use std::net::{IpAddr, Ipv4Addr};

use thruway_policy::Outcome;
use thruway_wire::Family;

use super::hosts::{compiled, facts, judged, vnet};
use crate::{Kind, eligibility, why_not};

/// One cell: its name, from, to, routes flow with the switch off, and on.
type Row = (&'static str, u8, u8, bool, bool);

/// Classes by hand: 8 the network, 9 NVA, 10 ExpressRoute, 11 VPN.
const BY_HAND: [Row; 16] = [
    ("VNet prefixes to hosts", 8, 8, false, false),
    ("VNet prefixes to an NVA", 8, 9, true, true),
    ("VNet prefixes to ExpressRoute", 8, 10, true, true),
    ("VNet prefixes to VPN", 8, 11, true, true),
    ("NVA to hosts", 9, 8, true, true),
    ("NVA to another NVA", 9, 9, true, true),
    ("NVA to ExpressRoute", 9, 10, false, true),
    ("NVA to VPN", 9, 11, false, true),
    ("ExpressRoute to hosts", 10, 8, true, true),
    ("ExpressRoute to an NVA", 10, 9, false, true),
    ("ExpressRoute to ExpressRoute", 10, 10, false, false),
    ("ExpressRoute to VPN", 10, 11, false, true),
    ("VPN to hosts", 11, 8, true, true),
    ("VPN to an NVA", 11, 9, false, true),
    ("VPN to ExpressRoute", 11, 10, false, true),
    ("VPN to VPN", 11, 11, false, false),
];

fn allows(rows: &[u32; 32], from: u8, to: u8) -> bool {
    rows[usize::from(from)] >> to & 1 == 1
}

#[test]
fn every_cell_in_both_positions() {
    for (on, rows) in [(false, eligibility(false)), (true, eligibility(true))] {
        for (name, from, to, when_off, when_on) in BY_HAND {
            let expected = if on { when_on } else { when_off };
            assert_eq!(allows(&rows, from, to), expected, "{name}, switch {on}");
            let kind = |class| Kind::from_class(class).unwrap();
            let reason = why_not(kind(from), kind(to), on);
            assert_eq!(
                reason.is_none(),
                expected,
                "{name}, switch {on}: {reason:?}"
            );
        }
    }
}

/// The rows and columns of no kind are empty: whoever is none of the network's hears nothing.
#[test]
fn nobody_else_is_told_anything() {
    for on in [false, true] {
        let rows = eligibility(on);
        for from in 0..32 {
            for to in 0..32 {
                if !(8..12).contains(&from) || !(8..12).contains(&to) {
                    assert!(!allows(&rows, from, to), "{from} {to}");
                }
            }
        }
    }
}

#[test]
fn the_switch_changes_six_cells_and_takes_none_away() {
    let (off, on) = (eligibility(false), eligibility(true));
    let changed: u32 = (0..32).map(|row| (off[row] ^ on[row]).count_ones()).sum();
    assert_eq!(changed, 6);
    assert!((0..32).all(|row| off[row] & !on[row] == 0));
}

/// The matrix knows no family: a route of either goes where its cell says, and where that is the
/// hosts, through the exclusions.
#[test]
fn every_cell_in_both_families() {
    let exclusions = compiled(&vnet(), &["nva"]);
    let routes = [
        (Family::Ipv4, "192.0.2.0/24"),
        (Family::Ipv6, "2001:db8:1::/48"),
    ];
    let names = [
        (8, "network"),
        (9, "nva"),
        (10, "expressroute"),
        (11, "vpn"),
    ];
    for on in [false, true] {
        let rows = eligibility(on);
        for (family, prefix) in routes {
            for (name, from, to, when_off, when_on) in BY_HAND {
                let (_, source) = names.iter().find(|(class, _)| *class == from).unwrap();
                let source = facts(source, IpAddr::from(Ipv4Addr::new(10, 0, 2, 4)));
                let outcome = judged(&exclusions, &source, prefix);
                let passes = to != 8 || outcome == Outcome::Accept;
                let told = allows(&rows, from, to) && passes;
                let expected = if on { when_on } else { when_off };
                assert_eq!(told, expected, "{name}, {family}, switch {on}");
            }
        }
    }
}
