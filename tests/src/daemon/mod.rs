//! Other people's BGP daemons, each on a host of its own, behind one face.

mod bird;
mod exabgp;
mod frr;
mod gobgp;
mod openbgpd;
mod thruway;

use std::net::IpAddr;
use std::time::Duration;

use thruway_wire::{Family, Prefix};

pub use self::bird::Bird;
pub use self::exabgp::ExaBgp;
pub use self::frr::Frr;
pub use self::gobgp::GoBgp;
pub use self::openbgpd::OpenBgpd;
pub use self::thruway::{Thruway, binary};
use crate::lab::{Host, wait_until};
use crate::route::Table;

/// What a daemon is to be.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// Its AS.
    pub asn: u32,
    /// Its neighbours.
    pub neighbors: Vec<Neighbor>,
    /// What it announces, with itself as next hop.
    pub originate: Vec<Prefix>,
    /// A standard community on all of that.
    pub community: Option<(u16, u16)>,
}

/// A neighbour of a daemon.
#[derive(Clone, Debug)]
pub struct Neighbor {
    /// Where.
    pub addr: IpAddr,
    /// Its AS.
    pub asn: u32,
    /// TCP MD5 (RFC 2385).
    pub password: Option<String>,
    /// Families to speak; an IPv6 session may carry IPv4 and the other way round.
    pub families: Vec<Family>,
}

impl Neighbor {
    /// A neighbour that speaks the family of its address.
    #[must_use]
    pub fn new(addr: IpAddr, asn: u32) -> Self {
        let family = if addr.is_ipv6() {
            Family::Ipv6
        } else {
            Family::Ipv4
        };
        Neighbor {
            addr,
            asn,
            password: None,
            families: vec![family],
        }
    }
}

/// A daemon under test's eyes.
pub trait Daemon {
    /// For messages.
    fn name(&self) -> &'static str;

    /// The session with `neighbor` is Established.
    fn established(&mut self, neighbor: IpAddr) -> bool;

    /// What it learned from `neighbor`, LOCAL_PREF left out: daemons add their own.
    fn table(&mut self, family: Family, neighbor: IpAddr) -> Table;

    /// How many routes it learned from `neighbor`; cheaper than [`Daemon::table`] where it can be.
    fn count(&mut self, family: Family, neighbor: IpAddr) -> usize {
        self.table(family, neighbor).len()
    }

    /// Waits for the session.
    fn wait_established(&mut self, neighbor: IpAddr) {
        let what = format!("{} has a session with {neighbor}", self.name());
        wait_until(&what, Duration::from_secs(60), || {
            self.established(neighbor)
        });
    }

    /// Waits until it learned `count` routes from `neighbor`, and returns them.
    fn wait_routes(&mut self, family: Family, neighbor: IpAddr, count: usize) -> Table {
        let what = format!("{} has {count} {family} routes of {neighbor}", self.name());
        wait_until(&what, Duration::from_secs(180), || {
            self.count(family, neighbor) == count
        });
        // A dump may still be under way when the daemon says that it is written.
        let mut table = Table::new();
        wait_until(
            &format!("{what} in its table"),
            Duration::from_secs(120),
            || {
                table = self.table(family, neighbor);
                table.len() == count
            },
        );
        table
    }
}

/// Which daemon to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// BIRD 2.
    Bird,
    /// FRR's bgpd.
    Frr,
    /// GoBGP.
    GoBgp,
    /// OpenBGPD, portable.
    OpenBgpd,
    /// ExaBGP.
    ExaBgp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [
        Kind::Bird,
        Kind::Frr,
        Kind::GoBgp,
        Kind::OpenBgpd,
        Kind::ExaBgp,
    ];

    /// Starts one.
    #[must_use]
    pub fn start(self, host: &Host, speaker: &Speaker) -> Box<dyn Daemon> {
        match self {
            Kind::Bird => Box::new(Bird::start(host, speaker)),
            Kind::Frr => Box::new(Frr::start(host, speaker)),
            Kind::GoBgp => Box::new(GoBgp::start(host, speaker)),
            Kind::OpenBgpd => Box::new(OpenBgpd::start(host, speaker)),
            Kind::ExaBgp => Box::new(ExaBgp::start(host, speaker)),
        }
    }
}

fn v4(prefixes: &[Prefix]) -> impl Iterator<Item = &Prefix> {
    prefixes
        .iter()
        .filter(|prefix| prefix.family() == Family::Ipv4)
}

fn v6(prefixes: &[Prefix]) -> impl Iterator<Item = &Prefix> {
    prefixes
        .iter()
        .filter(|prefix| prefix.family() == Family::Ipv6)
}
