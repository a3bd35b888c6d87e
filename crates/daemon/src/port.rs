//! Who has a TCP port, for an error that helps.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// LISTEN in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that listens where `addr` would, as `NAME (pid N)`. `None` where nobody is seen: it may
/// belong to somebody else, or only be on its way out.
pub(crate) fn owner(addr: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let inodes: Vec<String> = texts.flat_map(|text| listeners(&text, addr)).collect();
    inodes.iter().find_map(|inode| process_of(inode))
}

/// Inodes of sockets that listen where `addr` would.
fn listeners(table: &str, addr: SocketAddr) -> Vec<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
        let there = address(local)?;
        let meets =
            there.ip() == addr.ip() || there.ip().is_unspecified() || addr.ip().is_unspecified();
        (state == LISTEN && there.port() == addr.port() && meets).then(|| inode.to_owned())
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// `0100007F:00B3`: each group of 32 bits in the machine's order.
fn address(text: &str) -> Option<SocketAddr> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let group = |at: usize| u32::from_str_radix(addr.get(at * 8..at * 8 + 8)?, 16).ok();
    let ip = match addr.len() {
        8 => IpAddr::V4(Ipv4Addr::from(group(0)?.to_ne_bytes())),
        32 => {
            let mut octets = [0; 16];
            for (at, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&group(at)?.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn process_of(inode: &str) -> Option<String> {
    let link = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().into_string().unwrap_or_default();
        if pid.parse::<u32>().is_err() {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue; // somebody else's, or gone
        };
        let holds = |file: fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link.as_str())
        };
        if files.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_is_found_with_its_process() {
        for addr in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(addr).expect("a port is free");
            let addr = listener.local_addr().expect("it is bound");
            let pid = format!("(pid {})", std::process::id());
            let owner = owner(addr).unwrap_or_default();
            assert!(owner.ends_with(&pid), "{addr}: {owner}");
            let mut other = addr;
            other.set_port(addr.port() ^ 1);
            let is_us = super::owner(other).is_some_and(|owner| owner.ends_with(&pid));
            assert!(!is_us || TcpListener::bind(other).is_err());
        }
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(address("0100007F:00B3"), Some(([127, 0, 0, 1], 179).into()));
        assert_eq!(address("0100007F"), None);
        assert_eq!(address("01:00B3"), None);
        let loopback = "00000000000000000000000001000000:00B3";
        assert_eq!(
            address(loopback),
            Some("[::1]:179".parse().expect("it is one"))
        );
    }
}
