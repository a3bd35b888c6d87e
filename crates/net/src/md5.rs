//! TCP MD5 keys (RFC 2385), and the kernel's limit on them in words.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use thruway_wire::{Family, Prefix};

use crate::Md5Key;
use crate::error::during;
use crate::limits::MD5_KEY;
use crate::sockopt;

/// Where the kernel says how much option memory a socket may take, in octets.
const OPTMEM_MAX: &str = "/proc/sys/net/core/optmem_max";

/// Octets of option memory that a key takes: 136 as measured on Linux 6.18 (the kernel's `struct
/// tcp_md5sig_key`), and a little more for kernels where it is larger.
const KEY_OPTMEM: usize = 144;

/// How many MD5 keys one listener can hold here, by net.core.optmem_max; `None` where that cannot
/// be read. An estimate on the safe side: ask at start, and say so before `listen` fails.
#[must_use]
pub fn md5_key_limit() -> Option<usize> {
    optmem_max().map(|octets| octets / KEY_OPTMEM)
}

/// Sets the keys of a listener. Those of the other family can never match on it and are skipped,
/// so a caller may give all its keys to all its listeners.
pub(crate) fn set_all(fd: BorrowedFd<'_>, listen: SocketAddr, keys: &[Md5Key]) -> io::Result<()> {
    let fit = || keys.iter().filter(|key| same_family(listen, key.prefix));
    for (done, key) in fit().enumerate() {
        set(fd, key.prefix, &key.key).map_err(|error| explain(error, done, fit().count()))?;
    }
    Ok(())
}

/// Sets the key of one connection.
pub(crate) fn set_one(fd: BorrowedFd<'_>, remote: SocketAddr, key: &[u8]) -> io::Result<()> {
    set(fd, Prefix::host(remote.ip()), key).map_err(|error| explain(error, 0, 1))
}

/// Takes keys away; one that is not there is no error.
pub(crate) fn remove(
    fd: BorrowedFd<'_>,
    listen: SocketAddr,
    prefixes: &[Prefix],
) -> io::Result<()> {
    for &prefix in prefixes
        .iter()
        .filter(|prefix| same_family(listen, **prefix))
    {
        match sockopt::set_md5(fd, prefix, &[]) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                let what = format_args!("cannot remove the TCP MD5 key for {prefix}");
                return Err(during(what, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn set(fd: BorrowedFd<'_>, prefix: Prefix, key: &[u8]) -> io::Result<()> {
    if key.is_empty() || key.len() > MD5_KEY {
        let len = key.len();
        let text = format!("the TCP MD5 key for {prefix} has {len} octets, not 1 to {MD5_KEY}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    sockopt::set_md5(fd, prefix, key).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOMEM) => error,
        _ => during(
            format_args!("cannot set the TCP MD5 key for {prefix}"),
            error,
        ),
    })
}

fn same_family(end: SocketAddr, prefix: Prefix) -> bool {
    end.is_ipv6() == (prefix.family() == Family::Ipv6)
}

/// Out of option memory: names the limit and how to raise it.
fn explain(error: io::Error, done: usize, wanted: usize) -> io::Error {
    if error.raw_os_error() != Some(libc::ENOMEM) {
        return error;
    }
    let now = optmem_max().map_or_else(|| "unknown".to_owned(), |octets| octets.to_string());
    let need = (wanted + 1) * KEY_OPTMEM;
    let text = format!(
        "the kernel took {done} of {wanted} TCP MD5 keys: net.core.optmem_max is {now}; \
         set it to {need} or more (sysctl -w net.core.optmem_max={need}), or use prefix keys"
    );
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

fn optmem_max() -> Option<usize> {
    std::fs::read_to_string(OPTMEM_MAX)
        .ok()?
        .trim()
        .parse()
        .ok()
}
