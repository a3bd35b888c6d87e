//! The kernel's routing tables by rtnetlink.
//!
//! Requests go on one socket, many in a datagram; the kernel works them off within the send and
//! answers what fails, and the last one in any case. Another socket hears what changes: routes,
//! links, addresses, rules. What our own requests cause is told apart by the first socket's port.

mod message;
mod socket;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
};
use netlink_packet_route::link::LinkHeader;
use netlink_packet_route::route::RouteType;
use thruway_wire::{Family, Prefix};

use self::message::{Route, Way};
use self::socket::Netlink;
use super::limits::{BATCH_OCTETS, COMMAND_BUFFER, MONITOR_BUFFER, NOTES_MAX};
use super::table::{Change, ChangeKind, Found, Gateway, Hop, Lookup, Refusal};
use super::view::KernelTable;

/// RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE.
const GROUPS: [u32; 7] = [1, 5, 7, 8, 9, 11, 19];
/// Lookups in one datagram: their answers take several kilobytes each while they wait.
const LOOKUPS: usize = 16;
/// A dump that changed underway is taken again this often at most.
const DUMPS: usize = 3;
/// IFF_UP, IFF_RUNNING, IFF_LOWER_UP: what of a link's flags routes depend on.
const LINK_FLAGS: u32 = 0x1_0041;

/// The kernel, as far as one table of it is ours.
pub(super) struct Kernel {
    command: Netlink,
    target: KernelTable,
    sequence: u32,
    requests: Vec<u8>,
}

/// Hears what changes.
pub(super) struct Monitor {
    socket: Netlink,
    /// State of each link, as far as it was told.
    links: HashMap<u32, u32>,
}

/// What changed, in short.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Routes of ours that somebody else took out.
    pub(super) lost: Vec<Prefix>,
    /// Routes of others that went.
    pub(super) cleared: Vec<Prefix>,
    /// Routes of others that came or went: next hops inside may resolve otherwise now.
    pub(super) moved: Vec<Prefix>,
    /// All next hops may.
    pub(super) resolve: bool,
    /// What is installed is uncertain.
    pub(super) resync: bool,
    /// More is waiting.
    pub(super) more: bool,
}

impl Kernel {
    pub(super) fn open(target: KernelTable) -> io::Result<Self> {
        Ok(Kernel {
            command: Netlink::open(&[], COMMAND_BUFFER)?,
            target,
            sequence: 0,
            requests: Vec::new(),
        })
    }

    pub(super) fn set_target(&mut self, target: KernelTable) {
        self.target = target;
    }

    /// The port that marks what our own requests cause.
    pub(super) fn port(&self) -> u32 {
        self.command.port()
    }

    /// Makes changes; gives what became of each, in their order. Takes as many of them as fit into
    /// a datagram.
    pub(super) fn write(&mut self, changes: &[Change]) -> io::Result<Vec<Result<(), Refusal>>> {
        self.requests.clear();
        let first = self.sequence.wrapping_add(1);
        let mut last = 0;
        let mut count = 0;
        for change in changes {
            if self.requests.len() > BATCH_OCTETS {
                break;
            }
            last = self.requests.len();
            count += 1;
            let (request, flags) = self.request(change);
            self.push(request, flags);
        }
        message::add_flag(&mut self.requests, last, NLM_F_ACK);
        self.command.send(&self.requests)?;
        let mut outcomes = vec![Ok(()); count];
        let mut answered = 0;
        while answered < count {
            let Some(answers) = self.command.receive()? else {
                return Err(io::Error::other("the kernel did not answer"));
            };
            for answer in answers {
                // An answer to an earlier request that was given up has a number of its own.
                let index = answer.sequence_number().wrapping_sub(first) as usize;
                if let Some(place) = outcomes.get_mut(index) {
                    *place = message::outcome(&answer);
                    answered = index + 1;
                }
            }
        }
        Ok(outcomes)
    }

    fn request(&self, change: &Change) -> (netlink_packet_route::RouteNetlinkMessage, u16) {
        match &change.kind {
            ChangeKind::Add(hops) => (
                message::route(change.prefix, hops, &self.target),
                NLM_F_CREATE | NLM_F_EXCL,
            ),
            ChangeKind::Replace(hops) => (
                message::route(change.prefix, hops, &self.target),
                NLM_F_REPLACE,
            ),
            ChangeKind::Remove => (message::removal(change.prefix, &self.target), 0),
        }
    }

    fn push(&mut self, request: netlink_packet_route::RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = flags | NLM_F_REQUEST;
        message::append(&mut self.requests, request, flags, self.sequence);
    }

    /// All routes of our table that have our protocol, or stand in the way of one that has.
    pub(super) fn installed(&mut self) -> io::Result<Vec<Found>> {
        let target = self.target;
        let mut found = Vec::new();
        self.each_route(&mut |route| {
            if route.is_in_place(&target) {
                found.push(Found {
                    prefix: route.prefix,
                    ours: route.is_ours(&target),
                    hops: route.hops(),
                });
            }
        })?;
        // Where both are there, ours counts.
        found.sort_by_key(|route| route.ours);
        Ok(found)
    }

    /// Goes through our table, both families.
    fn each_route(&mut self, take: &mut dyn FnMut(Route)) -> io::Result<()> {
        for family in Family::ALL {
            let mut routes = Vec::new();
            for attempt in 1..=DUMPS {
                routes.clear();
                if self.dump(family, &mut routes)? || attempt == DUMPS {
                    break;
                }
            }
            routes.into_iter().for_each(&mut *take);
        }
        Ok(())
    }

    /// One dump. False where the table changed underway in a way that may have hidden routes.
    fn dump(&mut self, family: Family, out: &mut Vec<Route>) -> io::Result<bool> {
        self.requests.clear();
        let table = self.target.table;
        self.push(message::dump(family, table), NLM_F_DUMP);
        self.command.send(&self.requests)?;
        let mut whole = true;
        loop {
            let Some(messages) = self.command.receive()? else {
                return Err(io::Error::other("the kernel did not end its table"));
            };
            for message in messages {
                if message.sequence_number() != self.sequence {
                    continue;
                }
                whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match message::outcome(&message) {
                            // A table that nobody has used is none.
                            Ok(()) | Err(Refusal::Missing) => Ok(whole),
                            Err(Refusal::Other(why)) => Err(io::Error::other(why)),
                            Err(Refusal::Exists) => Err(io::Error::other("the kernel is odd")),
                        };
                    }
                    _ => {}
                }
                let route = message::read_route(message.payload()).unwrap_or_default();
                out.extend(route.filter(|route| route.table == table && !route.cloned));
            }
        }
    }

    /// Looks next hops up: the neighbours that the kernel would send to, by routes that are not ours.
    pub(super) fn resolve(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<(IpAddr, Lookup)>> {
        let mut routes = Vec::with_capacity(addrs.len());
        for group in addrs.chunks(LOOKUPS) {
            routes.extend(self.look_up(group)?);
        }
        let target = self.target;
        let own = |route: &Result<Route, String>| route.as_ref().is_ok_and(|r| r.is_ours(&target));
        if routes.iter().any(own) {
            let others = self.other_routes(addrs)?;
            for (addr, route) in addrs.iter().zip(&mut routes) {
                if own(route) {
                    *route = longest(&others, *addr);
                }
            }
        }
        let answers = addrs.iter().zip(routes);
        Ok(answers
            .map(|(addr, route)| (*addr, self.judge(*addr, route)))
            .collect())
    }

    /// One datagram of lookups.
    fn look_up(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<Result<Route, String>>> {
        self.requests.clear();
        let first = self.sequence.wrapping_add(1);
        for addr in addrs {
            self.push(message::lookup(*addr), 0);
        }
        self.command.send(&self.requests)?;
        let mut answers = vec![None; addrs.len()];
        while answers.iter().any(Option::is_none) {
            let Some(messages) = self.command.receive()? else {
                return Err(io::Error::other("the kernel did not answer"));
            };
            for message in messages {
                let index = message.sequence_number().wrapping_sub(first) as usize;
                if let Some(place) = answers.get_mut(index) {
                    *place = Some(read_answer(&message));
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Routes of others in our table that cover one of these addresses.
    fn other_routes(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<Route>> {
        let target = self.target;
        let mut others = Vec::new();
        self.each_route(&mut |route| {
            let covers = |addr: &IpAddr| route.prefix.covers(Prefix::host(*addr));
            if !route.is_ours(&target) && route.tos == 0 && addrs.iter().any(covers) {
                others.push(route);
            }
        })?;
        Ok(others)
    }

    /// The neighbours of a route, as next hop `addr` needs them.
    fn judge(&self, addr: IpAddr, route: Result<Route, String>) -> Lookup {
        if matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local()) {
            return Err(format!("next hop {addr} is link-local and names no link"));
        }
        let route = route.map_err(|why| format!("next hop {addr}: {why}"))?;
        match route.kind {
            RouteType::Unicast => {}
            RouteType::Local => return Err(format!("next hop {addr} is this host's own")),
            _ => return Err(format!("no neighbour has next hop {addr}")),
        }
        let gateway = |way: &Way| Gateway {
            hop: Hop {
                via: way.via.unwrap_or(addr),
                link: way.link,
            },
            interface: Arc::from(self.command.link_name(way.link)),
        };
        let up = route.hops.iter().filter(|way| !way.down);
        let mut gateways: Vec<Gateway> = up.map(gateway).collect();
        gateways.sort_unstable_by_key(|gateway| gateway.hop);
        match (gateways.first(), route.hops.first()) {
            (Some(_), _) => Ok(gateways),
            (None, Some(way)) => {
                let link = self.command.link_name(way.link);
                Err(format!("the way to next hop {addr}, {link}, is down"))
            }
            (None, None) => Err(format!("no link leads to next hop {addr}")),
        }
    }
}

fn read_answer(message: &NetlinkBuffer<&[u8]>) -> Result<Route, String> {
    if message.message_type() == NLMSG_ERROR {
        return match message::outcome(message) {
            Err(Refusal::Other(text)) => Err(text),
            _ => Err("no route".to_owned()),
        };
    }
    message::read_route(message.payload())?.ok_or_else(|| "no route".to_owned())
}

/// The route of the longest prefix over `addr`, of the least metric.
fn longest(routes: &[Route], addr: IpAddr) -> Result<Route, String> {
    let host = Prefix::host(addr);
    let covering = routes.iter().filter(|route| route.prefix.covers(host));
    let best = covering.max_by_key(|route| {
        let preferred = std::cmp::Reverse(route.metric);
        (route.prefix.prefix_len(), preferred)
    });
    best.cloned()
        .ok_or_else(|| "only routes of this server lead to it".to_owned())
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Monitor {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Monitor {
            socket: Netlink::open(&GROUPS, MONITOR_BUFFER)?,
            links: HashMap::new(),
        })
    }

    /// Reads what is waiting, within bounds. `own` is the port of our requests.
    pub(super) fn read(&mut self, target: &KernelTable, own: u32) -> Notes {
        let mut notes = Notes::default();
        for _ in 0..NOTES_MAX {
            match self.socket.receive() {
                Ok(Some(messages)) => {
                    for message in messages.filter(|message| message.port_number() != own) {
                        note(&message, target, &mut self.links, &mut notes);
                    }
                }
                Ok(None) => return notes,
                // ENOBUFS: there was no room for some of what happened.
                Err(_) => {
                    notes.resolve = true;
                    notes.resync = true;
                }
            }
        }
        notes.more = true;
        notes
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
            // With a link that goes down its IPv4 routes go without a word.
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
            (true, true) => notes.lost.push(route.prefix),
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
