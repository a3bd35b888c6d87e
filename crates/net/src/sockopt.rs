//! The socket options that no safe binding has: TCP MD5 keys and the smallest TTL taken.

use std::ffi::c_int;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use thruway_wire::Prefix;

use crate::limits::MD5_KEY;

/// `tcpm_flags`: the prefix length counts (TCP_MD5SIG_FLAG_PREFIX).
const FLAG_PREFIX: u8 = 1;

/// The kernel's `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct TcpMd5Sig {
    addr: SockAddrStorage,
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    ifindex: c_int,
    key: [u8; MD5_KEY],
}

const _: () = assert!(
    size_of::<TcpMd5Sig>() == 216,
    "the kernel's struct has this size"
);

/// `struct sockaddr_storage`, as octets, aligned like the kernel's.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct SockAddrStorage([u8; 128]);

impl SockAddrStorage {
    /// An address without a port. `sockaddr_in` has the address at octet 4, `sockaddr_in6` at 8.
    fn new(addr: IpAddr) -> Self {
        let (family, offset) = match addr {
            IpAddr::V4(_) => (libc::AF_INET, 4),
            IpAddr::V6(_) => (libc::AF_INET6, 8),
        };
        let mut storage = [0; 128];
        storage[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
        match addr {
            IpAddr::V4(addr) => storage[offset..offset + 4].copy_from_slice(&addr.octets()),
            IpAddr::V6(addr) => storage[offset..offset + 16].copy_from_slice(&addr.octets()),
        }
        SockAddrStorage(storage)
    }
}

/// Sets the MD5 key for the neighbours in `prefix`, or takes it away where `key` is empty.
pub(crate) fn set_md5(fd: BorrowedFd<'_>, prefix: Prefix, key: &[u8]) -> io::Result<()> {
    let mut request = TcpMd5Sig {
        addr: SockAddrStorage::new(prefix.addr()),
        flags: FLAG_PREFIX,
        prefix_len: prefix.prefix_len(),
        key_len: key.len() as u16,
        ifindex: 0,
        key: [0; MD5_KEY],
    };
    let Some(room) = request.key.get_mut(..key.len()) else {
        let text = format!(
            "a TCP MD5 key has at most {MD5_KEY} octets, not {}",
            key.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    room.copy_from_slice(key);
    set(fd, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &request)
}

/// Drops packets that come with a TTL (hop limit) below `ttl` (RFC 5082).
pub(crate) fn set_min_ttl(fd: BorrowedFd<'_>, v6: bool, ttl: u8) -> io::Result<()> {
    let value = c_int::from(ttl);
    if v6 {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &value)
    } else {
        set(fd, libc::IPPROTO_IP, libc::IP_MINTTL, &value)
    }
}

/// Leaves the choice of the local port to `connect`, which knows the remote end: `bind` alone
/// would give each port to one connection only.
pub(crate) fn set_bind_address_no_port(fd: BorrowedFd<'_>) -> io::Result<()> {
    let on: c_int = 1;
    set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &on)
}

/// `T` must be the type that the option takes, without padding.
fn set<T: Copy>(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives through the call; the kernel
    // only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
