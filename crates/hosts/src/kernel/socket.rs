//! Routing sockets. They never block: the kernel has answered when a request's send returns.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLMSG_ALIGNTO, NetlinkBuffer};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::limits::{DATAGRAM_MAX, STALE_MAX};

/// What a socket gives, one datagram after the other.
pub(super) trait Source {
    /// The next datagram; `None` where none waits. ENOBUFS: some were lost.
    fn receive(&mut self) -> io::Result<Option<Datagram<'_>>>;
}

/// One socket with its receive buffer.
pub(super) struct Netlink {
    socket: Socket,
    port: u32,
    buffer: Vec<u8>,
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Netlink {
    /// A socket that hears `groups`, with room for `receive` octets.
    pub(super) fn open(groups: &[u32], receive: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        // Beyond the system's limit where this process may; what is refused is no error.
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, receive).is_err() {
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, receive);
        }
        socket.set_non_blocking(true)?;
        // Errors in words, without the request; dumps of one table only. Older kernels lack them.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        let port = socket.bind_auto()?.port_number();
        for group in groups {
            socket.add_membership(*group)?;
        }
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Netlink {
            socket,
            port,
            buffer: Vec::with_capacity(DATAGRAM_MAX),
        })
    }

    /// The kernel's name for it, in what its requests cause.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    pub(super) fn send(&self, requests: &[u8]) -> io::Result<()> {
        self.socket.send(requests, 0).map(|_| ())
    }

    /// Forgets what waits: answers that nobody wants any more. A queue that was full takes nothing
    /// before it is empty.
    pub(super) fn empty(&mut self) {
        for _ in 0..STALE_MAX {
            if matches!(self.receive(), Ok(None)) {
                return;
            }
        }
    }

    /// The name of a link; its number where it has gone.
    pub(super) fn link_name(&self, index: u32) -> String {
        rustix::net::netdevice::index_to_name(&self.socket, index)
            .unwrap_or_else(|_| format!("link {index}"))
    }
}

impl Source for Netlink {
    fn receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        self.buffer.clear();
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(Some(Datagram::new(&self.buffer))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The messages of a datagram.
pub(super) struct Datagram<'a> {
    rest: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Datagram { rest: octets }
    }
}

impl<'a> Iterator for Datagram<'a> {
    type Item = NetlinkBuffer<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = NetlinkBuffer::new_checked(self.rest).ok()?;
        let len = (message.length() as usize).next_multiple_of(usize::from(NLMSG_ALIGNTO));
        self.rest = self.rest.get(len..).unwrap_or_default();
        Some(message)
    }
}
