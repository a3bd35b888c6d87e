//! Next hops as routes carry them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Ipv6Prefix;

/// A route's next hop: NEXT_HOP (RFC 4271 §5.1.3) or the one in MP_REACH_NLRI, which for IPv6 may
/// bring a link-local address along (RFC 2545 §3) and may serve IPv4 NLRI too (RFC 8950).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NextHop {
    /// Four octets.
    V4(Ipv4Addr),
    /// Sixteen octets.
    V6(Ipv6Addr),
    /// Thirty-two octets: global (or unspecified) and link-local.
    V6LinkLocal {
        /// The global address.
        global: Ipv6Addr,
        /// The link-local address.
        link_local: Ipv6Addr,
    },
}

impl NextHop {
    /// Octets on the wire: 4, 16 or 32.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            NextHop::V4(_) => 4,
            NextHop::V6(_) => 16,
            NextHop::V6LinkLocal { .. } => 32,
        }
    }

    /// The next hop in `octets`, whose length tells its kind; `None` for any other length.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<NextHop> {
        if let Ok(v4) = <[u8; 4]>::try_from(octets) {
            return Some(NextHop::V4(v4.into()));
        }
        if let Ok(v6) = <[u8; 16]>::try_from(octets) {
            return Some(NextHop::V6(v6.into()));
        }
        let (global, link_local) = octets.split_at_checked(16)?;
        let global = Ipv6Addr::from(<[u8; 16]>::try_from(global).ok()?);
        let link_local = Ipv6Addr::from(<[u8; 16]>::try_from(link_local).ok()?);
        Some(NextHop::V6LinkLocal { global, link_local })
    }

    /// Appends the octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            NextHop::V4(addr) => out.extend_from_slice(&addr.octets()),
            NextHop::V6(addr) => out.extend_from_slice(&addr.octets()),
            NextHop::V6LinkLocal { global, link_local } => {
                out.extend_from_slice(&global.octets());
                out.extend_from_slice(&link_local.octets());
            }
        }
    }

    /// The address that traffic is sent to: the global one, or the link-local one where the global
    /// part is unspecified.
    #[must_use]
    pub fn addr(&self) -> IpAddr {
        match *self {
            NextHop::V4(addr) => addr.into(),
            NextHop::V6(addr) => addr.into(),
            NextHop::V6LinkLocal { global, link_local } if global.is_unspecified() => {
                link_local.into()
            }
            NextHop::V6LinkLocal { global, .. } => global.into(),
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => NextHop::V4(addr),
            IpAddr::V6(addr) => NextHop::V6(addr),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr().fmt(f)
    }
}

/// A link that we share with a neighbour, for next hops on it (RFC 2545 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The IPv6 subnet on it that both are in.
    pub subnet: Ipv6Prefix,
    /// Our own link-local address on it.
    pub own: Option<Ipv6Addr>,
}
