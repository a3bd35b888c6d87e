//! What others change in the kernel, as it tells everybody who listens.
//!
//! A socket whose queue is full loses what comes next. The kernel says so once, and from then on
//! drops in silence until the queue has been emptied. So what was lost is known only after the queue
//! was read to its end: [`Notes::more`] says that it was not.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLM_F_REPLACE, NetlinkBuffer};
use netlink_packet_route::link::LinkHeader;
use thruway_api::KernelTable;
use thruway_wire::Prefix;

use super::message;
use super::socket::{Netlink, Source};
use crate::limits::{MONITOR_BUFFER, NOTES_MAX};

/// RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE.
const GROUPS: [u32; 7] = [1, 5, 7, 8, 9, 11, 19];
/// IFF_UP, IFF_RUNNING, IFF_LOWER_UP: what of a link's flags routes depend on.
const LINK_FLAGS: u32 = 0x1_0041;

/// Hears what changes.
pub(super) struct Monitor<S = Netlink> {
    socket: S,
    /// State of each link, as far as it was told.
    links: HashMap<u32, u32>,
}

/// What changed, in short.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Routes of ours that somebody else took out, and that we have not put back since.
    pub(crate) lost: HashSet<Prefix>,
    /// Routes of others that went.
    pub(crate) cleared: Vec<Prefix>,
    /// Routes of others that came or went: next hops inside may resolve otherwise now.
    pub(crate) moved: Vec<Prefix>,
    /// All next hops may.
    pub(crate) resolve: bool,
    /// What is installed is uncertain.
    pub(crate) resync: bool,
    /// More is waiting.
    pub(crate) more: bool,
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Monitor {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Monitor::new(Netlink::open(&GROUPS, MONITOR_BUFFER)?))
    }
}

impl<S: Source> Monitor<S> {
    pub(super) fn new(socket: S) -> Self {
        Monitor {
            socket,
            links: HashMap::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Reads what is waiting, within bounds. `own` is the port of our requests.
    pub(super) fn read(&mut self, target: &KernelTable, own: u32) -> Notes {
        let mut notes = Notes::default();
        for _ in 0..NOTES_MAX {
            match self.socket.receive() {
                Ok(Some(messages)) => {
                    for message in messages {
                        if message.port_number() == own {
                            note_own(&message, &mut notes);
                        } else {
                            note(&message, target, &mut self.links, &mut notes);
                        }
                    }
                }
                Ok(None) => return notes,
                // ENOBUFS: there was no room for some of what happened, links' state included.
                Err(_) => {
                    self.links.clear();
                    notes.resolve = true;
                    notes.resync = true;
                }
            }
        }
        notes.more = true;
        notes
    }
}

/// Our own change: what somebody else had done to the prefix before is older.
fn note_own(message: &NetlinkBuffer<&[u8]>, notes: &mut Notes) {
    if notes.lost.is_empty() || message.message_type() != message::NEWROUTE {
        return;
    }
    if let Ok(Some(route)) = message::read_route(message.payload()) {
        notes.lost.remove(&route.prefix);
    }
}

fn note(
    message: &NetlinkBuffer<&[u8]>,
    target: &KernelTable,
    links: &mut HashMap<u32, u32>,
    notes: &mut Notes,
) {
    match message.message_type() {
        message::NEWROUTE | message::DELROUTE => note_route(message, target, notes),
        kind @ (message::NEWLINK | message::DELLINK) => {
            let Ok(link) = LinkHeader::parse(message.payload()) else {
                return;
            };
            let flags = link.flags.bits() & LINK_FLAGS;
            let changed = match kind {
                message::DELLINK => links.remove(&link.index) != Some(0),
                _ => links.insert(link.index, flags) != Some(flags),
            };
            // With a link that goes down its IPv4 routes go without a word, after this one.
            notes.resolve |= changed;
            notes.resync |= changed;
        }
        message::NEWADDR | message::NEWRULE | message::DELRULE => notes.resolve = true,
        // With a link's last address, too.
        message::DELADDR => {
            notes.resolve = true;
            notes.resync = true;
        }
        _ => {}
    }
}

fn note_route(message: &NetlinkBuffer<&[u8]>, target: &KernelTable, notes: &mut Notes) {
    let route = match message::read_route(message.payload()) {
        Ok(Some(route)) if !route.cloned => route,
        Ok(_) => return,
        Err(_) => {
            notes.resolve = true;
            notes.resync = true;
            return;
        }
    };
    let gone = message.message_type() == message::DELROUTE;
    if route.is_ours(target) {
        match (gone, route.is_in_place(target)) {
            (true, true) => {
                notes.lost.insert(route.prefix);
            }
            // Somebody else says that it is ours.
            (false, true) => notes.resync = true,
            (_, false) => {}
        }
        return;
    }
    if route.is_in_place(target) {
        if gone {
            notes.cleared.push(route.prefix);
        } else {
            // It may have taken the place of ours.
            notes.resync |= message.flags() & NLM_F_REPLACE != 0;
        }
    }
    notes.moved.push(route.prefix);
}
