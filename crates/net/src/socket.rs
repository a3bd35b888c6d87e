//! Makes sockets: listening, connecting, accepted; the same for both transports.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::error::during;
use crate::limits::NOTSENT_LOWAT;
use crate::md5;
use crate::sockopt;
use crate::{AcceptOptions, ConnectOptions, ListenOptions};

/// What a GTSM speaker sends with (RFC 5082 §3).
const TTL_MAX: u8 = 255;

/// A listening socket. Its keys stand before the first SYN can come.
pub(crate) fn listening(options: &ListenOptions) -> io::Result<Socket> {
    let addr = options.addr;
    let socket = new(addr)?;
    let v6 = addr.is_ipv6();
    // Not for two servers on one port (Linux refuses that), but for connections of the last run
    // that still wait in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // A neighbour with GTSM drops a SYN-ACK of less (RFC 5082 §3), and which neighbours have it changes
    // while we listen. An accepted socket gets a TTL of its own.
    set_ttl(&socket, v6, Some(TTL_MAX))?;
    socket
        .bind(&SockAddr::from(addr))
        .map_err(|error| during(format_args!("cannot bind {addr}"), error))?;
    md5::set_all(socket.as_fd(), addr, &options.md5)?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    socket
        .listen(backlog)
        .map_err(|error| during(format_args!("cannot listen on {addr}"), error))?;
    Ok(socket)
}

/// A socket that is ready for `connect`.
pub(crate) fn connecting(options: &ConnectOptions) -> io::Result<Socket> {
    let remote = options.remote;
    let socket = new(remote)?;
    let ttl = if options.gtsm_hops.is_some() {
        Some(TTL_MAX)
    } else {
        options.ttl
    };
    set_ttl(&socket, remote.is_ipv6(), ttl)?;
    if let Some(hops) = options.gtsm_hops {
        min_ttl(hops)?; // a bad value is an error now, not after the handshake
    }
    if let Some(key) = &options.md5 {
        md5::set_one(socket.as_fd(), remote, key)?;
    }
    if let Some(local) = options.local {
        sockopt::set_bind_address_no_port(socket.as_fd())?;
        let mut local = SocketAddr::new(local, 0);
        if let (SocketAddr::V6(local), SocketAddr::V6(remote)) = (&mut local, remote) {
            local.set_scope_id(remote.scope_id()); // a link-local address needs its link
        }
        socket
            .bind(&SockAddr::from(local))
            .map_err(|error| during(format_args!("cannot bind {}", local.ip()), error))?;
    }
    Ok(socket)
}

/// What a connecting socket gets once it is connected, with both its addresses, ours first.
///
/// GTSM starts here and not before `connect`: many speakers set TTL 255 only on the connection
/// that they accepted, so their SYN-ACK would be dropped.
pub(crate) fn connected(
    fd: BorrowedFd<'_>,
    options: &ConnectOptions,
) -> io::Result<(SocketAddr, SocketAddr)> {
    let socket = SockRef::from(&fd);
    let local = address(socket.local_addr())?;
    if let Some(hops) = options.gtsm_hops {
        sockopt::set_min_ttl(fd, local.is_ipv6(), min_ttl(hops)?)?;
    }
    Ok((local, options.remote))
}

/// Readies an accepted socket for its session.
pub(crate) fn adopted(
    fd: BorrowedFd<'_>,
    local: SocketAddr,
    options: &AcceptOptions,
) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    // A Unix socket has neither hops nor TCP's options.
    if socket.local_addr()?.as_socket().is_none() {
        return socket.set_nonblocking(true);
    }
    let v6 = local.is_ipv6();
    let ttl = if options.gtsm_hops.is_some() {
        Some(TTL_MAX)
    } else {
        options.ttl
    };
    set_ttl(&socket, v6, ttl)?;
    if let Some(hops) = options.gtsm_hops {
        sockopt::set_min_ttl(fd, v6, min_ttl(hops)?)?;
    }
    socket.set_nonblocking(true)?;
    tune(&socket)
}

/// Both addresses of a connected socket, ours first.
pub(crate) fn addresses(fd: BorrowedFd<'_>) -> io::Result<(SocketAddr, SocketAddr)> {
    let socket = SockRef::from(&fd);
    Ok((address(socket.local_addr())?, address(socket.peer_addr())?))
}

/// The address that a socket is bound to.
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    address(SockRef::from(&fd).local_addr())
}

/// The error that a socket holds, taken away.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> Option<io::Error> {
    SockRef::from(&fd).take_error().unwrap_or_else(Some)
}

/// Ends our direction: the neighbour sees FIN once everything before it is through.
pub(crate) fn shut_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::shutdown(fd, rustix::net::Shutdown::Write)?)
}

/// Ends both directions, which also ends whatever request waits on the socket.
pub(crate) fn shut_both(fd: BorrowedFd<'_>) {
    // ENOTCONN where the connection is gone already: as wanted.
    let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
}

/// Octets that the kernel holds for us.
pub(crate) fn unread(fd: BorrowedFd<'_>) -> usize {
    rustix::io::ioctl_fionread(fd).map_or(0, |octets| octets as usize)
}

/// True for what means "not now": try again when the kernel says so.
pub(crate) fn is_retry(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::INTR)
}

fn new(addr: SocketAddr) -> io::Result<Socket> {
    // `Socket::new` sets close-on-exec.
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
        .map_err(|error| during("cannot make a socket", error))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit these from their listener, and `adopted` sets them again on those
    // that come from elsewhere.
    tune(&socket)?;
    Ok(socket)
}

/// Messages leave when they are written; the kernel's queue stays short.
fn tune(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)
}

/// `None`: what the kernel takes by itself, which -1 stands for (ip(7), ipv6(7)).
fn set_ttl(socket: &Socket, v6: bool, ttl: Option<u8>) -> io::Result<()> {
    let ttl = ttl.map_or(u32::MAX, u32::from);
    if v6 {
        socket.set_unicast_hops_v6(ttl)
    } else {
        socket.set_ttl_v4(ttl)
    }
}

/// The smallest TTL of a neighbour `hops` away (RFC 5082 §3): 255 for a direct one.
fn min_ttl(hops: u8) -> io::Result<u8> {
    if hops == 0 {
        let text = "GTSM hops count from 1, the direct neighbour";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(TTL_MAX - (hops - 1))
}

fn address(addr: io::Result<SockAddr>) -> io::Result<SocketAddr> {
    addr?
        .as_socket()
        .ok_or_else(|| io::Error::other("a socket of another family"))
}
