//! The IPv6 subnets of this machine's links, to tell whether a neighbour shares one (RFC 2545 §3).

use std::ffi::CStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use thruway_wire::{Ipv6Prefix, Link, Prefix, PrefixKey};

/// How long what was read of the interfaces counts: many sessions come up at once, addresses change
/// seldom.
const FRESH: Duration = Duration::from_secs(1);

/// One address of one interface that is a link: not loopback, which has no link-local addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LinkAddr {
    interface: Vec<u8>,
    subnet: Prefix,
    addr: IpAddr,
}

/// The links of this machine, read when they are asked for.
#[derive(Debug, Default)]
pub struct Links {
    list: Vec<LinkAddr>,
    read: Option<Instant>,
}

impl Links {
    /// The link that a neighbour shares with our end of its connection. Over IPv4 its subnet is one of the interface that the neighbour is connected to. `None` for a neighbour behind a
    /// router, on loopback, or where the system does not say.
    pub fn shared(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<Link> {
        let old = |read: Instant| read.elapsed() > FRESH;
        if self.read.is_none_or(old) {
            self.list = read();
            self.read = Some(Instant::now());
        }
        shared(
            &self.list,
            local.ip().to_canonical(),
            remote.ip().to_canonical(),
        )
    }
}

fn shared(links: &[LinkAddr], local: IpAddr, remote: IpAddr) -> Option<Link> {
    let host = Prefix::host(remote);
    let ours = links.iter().find(|link| link.addr == local)?;
    let covers = |link: &&LinkAddr| link.interface == ours.interface && link.subnet.covers(host);
    let on_link = links.iter().find(covers)?;
    let global = |link: &LinkAddr| {
        let subnet = Ipv6Prefix::from_prefix(link.subnet)?;
        (!subnet.addr().is_unicast_link_local()).then_some(subnet)
    };
    let mut same = links.iter().filter(|link| link.interface == ours.interface);
    let subnet = global(on_link).or_else(|| same.clone().find_map(global))?;
    let own = same.find_map(|link| match link.addr {
        IpAddr::V6(addr) => addr.is_unicast_link_local().then_some(addr),
        IpAddr::V4(_) => None,
    });
    Some(Link { subnet, own })
}

/// All addresses of all links; empty where the system does not say.
fn read() -> Vec<LinkAddr> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `first` is a place for one pointer, which the call fills with a list of its own.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let mut list = Vec::new();
    let mut next = first;
    // SAFETY: each pointer of the list is null or points to an entry that lives until `freeifaddrs`.
    while let Some(entry) = unsafe { next.as_ref() } {
        list.extend(link_addr(entry));
        next = entry.ifa_next;
    }
    // SAFETY: `first` came from `getifaddrs`, and nothing of the list is used from here on.
    unsafe { libc::freeifaddrs(first) };
    list
}

fn link_addr(entry: &libc::ifaddrs) -> Option<LinkAddr> {
    let flags = libc::c_uint::try_from(libc::IFF_LOOPBACK).ok()?;
    if entry.ifa_flags & flags != 0 {
        return None;
    }
    let (addr, mask) = (ip(entry.ifa_addr)?, ip(entry.ifa_netmask)?);
    let len = match mask {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    };
    // SAFETY: an entry's name is a string that ends with a zero octet.
    let interface = unsafe { CStr::from_ptr(entry.ifa_name) };
    Some(LinkAddr {
        interface: interface.to_bytes().to_vec(),
        subnet: Prefix::new(addr, u8::try_from(len).ok()?)?,
        addr,
    })
}

fn ip(addr: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: an address of the list is null or begins with its family.
    let family = unsafe { addr.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: of this family it is a `sockaddr_in`, aligned as the list has it.
            let addr = unsafe { addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::from(addr.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => {
            // SAFETY: of this family it is a `sockaddr_in6`, aligned as the list has it.
            let addr = unsafe { addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::V6(Ipv6Addr::from(addr.sin6_addr.s6_addr)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(interface: &str, addr: &str, len: u8) -> LinkAddr {
        let addr: IpAddr = addr.parse().unwrap();
        LinkAddr {
            interface: interface.into(),
            subnet: Prefix::new(addr, len).unwrap(),
            addr,
        }
    }

    #[test]
    fn a_neighbour_shares_the_subnet_of_its_own_interface() {
        let links = [
            link("lan", "192.0.2.1", 24),
            link("lan", "fe80::1", 64),
            link("lan", "2001:db8:1::1", 64),
            link("wan", "198.51.100.1", 24),
            link("wan", "2001:db8:2::1", 64),
        ];
        let shared = |local: &str, remote: &str| {
            let found = shared(&links, local.parse().unwrap(), remote.parse().unwrap());
            found.map(|link| {
                let own = link.own.map(|own| own.to_string());
                assert_eq!(own.as_deref(), Some("fe80::1"));
                link.subnet.to_string()
            })
        };
        let lan = Some("2001:db8:1::/64".to_owned());
        assert_eq!(shared("2001:db8:1::1", "2001:db8:1::9"), lan);
        assert_eq!(shared("192.0.2.1", "192.0.2.9"), lan, "over IPv4");
        assert_eq!(shared("fe80::1", "fe80::9"), lan, "over the link itself");
        assert_eq!(shared("192.0.2.1", "203.0.113.9"), None, "behind a router");
        assert_eq!(shared("2001:db8:1::1", "2001:db8:2::9"), None);
        assert_eq!(shared("10.0.0.1", "10.0.0.2"), None, "no address of ours");
    }

    #[test]
    fn loopback_is_no_link() {
        let mut links = Links::default();
        let end = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
        assert_eq!(links.shared(end(179), end(40_000)), None);
        assert!(links.read.is_some());
        assert!(links.list.iter().all(|link| !link.addr.is_loopback()));
    }
}
