//! The listeners of a transport.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use thruway_wire::Prefix;

use crate::limits::LISTENERS;
use crate::{ListenOptions, ListenerId, Md5Key, md5, socket};

/// A listening socket and the address that it got.
pub(crate) struct Listener {
    fd: OwnedFd,
    addr: SocketAddr,
    /// Has a request with the kernel (io_uring).
    pub(crate) armed: bool,
}

/// Listeners by id. An id is never used twice, so a late event of an ended one finds nothing.
#[derive(Default)]
pub(crate) struct Listeners {
    list: Vec<(ListenerId, Listener)>,
    next: u32,
}

impl Listeners {
    /// Opens a listener.
    pub(crate) fn open(&mut self, options: &ListenOptions) -> io::Result<ListenerId> {
        if self.list.len() >= LISTENERS {
            return Err(io::Error::other(format!(
                "{LISTENERS} listeners are the limit"
            )));
        }
        let fd = OwnedFd::from(socket::listening(options)?);
        let addr = socket::local_addr(fd.as_fd())?;
        let id = ListenerId(self.next);
        self.next += 1;
        self.list.push((
            id,
            Listener {
                fd,
                addr,
                armed: false,
            },
        ));
        Ok(id)
    }

    pub(crate) fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.list
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, listener)| listener)
    }

    pub(crate) fn get_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.list
            .iter_mut()
            .find(|(other, _)| *other == id)
            .map(|(_, listener)| listener)
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        let at = self.list.iter().position(|(other, _)| *other == id)?;
        Some(self.list.swap_remove(at).1)
    }

    /// The address of a listener.
    pub(crate) fn addr(&self, id: ListenerId) -> io::Result<SocketAddr> {
        Ok(self.known(id)?.addr)
    }

    /// Takes keys away, then sets keys.
    pub(crate) fn set_md5(
        &self,
        id: ListenerId,
        remove: &[Prefix],
        add: &[Md5Key],
    ) -> io::Result<()> {
        let listener = self.known(id)?;
        md5::remove(listener.fd(), listener.addr, remove)?;
        md5::set_all(listener.fd(), listener.addr, add)
    }

    fn known(&self, id: ListenerId) -> io::Result<&Listener> {
        self.get(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Listener {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
