//! The kernel's routing tables by rtnetlink.
//!
//! Requests go on one socket, many in a datagram; the kernel works them off within the send and
//! answers what fails, and the last one in any case. Another socket ([`monitor`]) hears what changes:
//! routes, links, addresses, rules. What our own requests cause is told apart by the first socket's
//! port. The whole table is read on a socket of its own, a new one each time: of a reading that broke
//! off nothing is left in the next one's way, and what waits on the other two does not matter to it.

mod message;
mod monitor;
mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteType;
use thruway_api::KernelTable;
use thruway_wire::{Family, Prefix};

use self::message::{Route, Way};
use self::monitor::Monitor;
pub(super) use self::monitor::Notes;
use self::socket::{Netlink, Source};
use super::limits::{BATCH_OCTETS, COMMAND_BUFFER};
use super::table::{Change, ChangeKind, Found, Gateway, Hop, Lookup, Owner, Refusal};

/// Lookups in one datagram: their answers take several kilobytes each while they wait.
const LOOKUPS: usize = 16;
/// A dump that changed underway is taken again this often at most.
const DUMPS: usize = 3;
/// The link that every network namespace has.
const LOOPBACK: u32 = 1;

/// What [`super::routing`] needs of a kernel.
pub(super) trait Fib {
    /// The same table, with other bounds.
    fn set_target(&mut self, target: KernelTable);

    /// Reads what others did.
    fn heard(&mut self) -> Notes;

    /// Makes changes; gives what became of each, in their order. Takes as many of them as fit into
    /// a datagram. After an error nobody knows how much of it was done.
    fn write(&mut self, changes: &[Change]) -> io::Result<Vec<Result<(), Refusal>>>;

    /// Returns when the kernel has done what it has told of already: it says that a link goes down,
    /// or an address away, before it takes the routes out.
    fn settle(&mut self) -> io::Result<()>;

    /// Goes through all routes of our table that are ours, or stand in the way of one that is. False
    /// where the table changed underway in a way that may have hidden some.
    fn installed(&mut self, take: &mut dyn FnMut(Found<'_>)) -> io::Result<bool>;

    /// Looks next hops up: the neighbours that the kernel would send to, by routes that are not ours.
    fn resolve(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<(IpAddr, Lookup)>>;
}

/// The kernel, as far as one table of it is ours.
pub(super) struct Kernel {
    monitor: Monitor,
    command: Netlink,
    target: KernelTable,
    sequence: u32,
    requests: Vec<u8>,
}

impl AsFd for Kernel {
    /// What others change, to wait for.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

impl Kernel {
    /// Opens the sockets.
    ///
    /// # Errors
    /// There are none to have.
    pub(super) fn open(target: KernelTable) -> io::Result<Self> {
        Ok(Kernel {
            // First: what happens from now on is heard.
            monitor: Monitor::open()?,
            command: Netlink::open(&[], COMMAND_BUFFER)?,
            target,
            sequence: 0,
            requests: Vec::new(),
        })
    }

    /// Writes a datagram of changes and reads what became of them.
    fn exchange(&mut self, changes: &[Change]) -> io::Result<Vec<Result<(), Refusal>>> {
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

    fn request(&self, change: &Change) -> (RouteNetlinkMessage, u16) {
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
            ChangeKind::Clear { metric, tos } => {
                let removal = message::removal_of(change.prefix, &self.target, *metric, *tos);
                (removal, 0)
            }
        }
    }

    fn push(&mut self, request: RouteNetlinkMessage, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = flags | NLM_F_REQUEST;
        message::append(&mut self.requests, request, flags, self.sequence);
    }

    /// Looks next hops up, by routes that are not ours.
    fn look_all_up(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<Result<Route, String>>> {
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
        Ok(routes)
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
        for _ in 0..DUMPS {
            others.clear();
            let whole = dump_all(&target, &mut |route| {
                let covers = |addr: &IpAddr| route.prefix.covers(Prefix::host(*addr));
                if !route.is_ours(&target) && route.tos == 0 && addrs.iter().any(covers) {
                    others.push(route);
                }
            })?;
            if whole {
                break;
            }
        }
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

impl Fib for Kernel {
    fn set_target(&mut self, target: KernelTable) {
        self.target = target;
    }

    fn heard(&mut self) -> Notes {
        self.monitor.read(&self.target, self.command.port())
    }

    fn write(&mut self, changes: &[Change]) -> io::Result<Vec<Result<(), Refusal>>> {
        let outcomes = self.exchange(changes);
        if outcomes.is_err() {
            self.command.empty();
        }
        outcomes
    }

    fn settle(&mut self) -> io::Result<()> {
        self.requests.clear();
        // The question after a link waits for the lock under which links and addresses change.
        self.push(message::link(LOOPBACK), 0);
        self.command.send(&self.requests)?;
        self.command.empty();
        Ok(())
    }

    fn installed(&mut self, take: &mut dyn FnMut(Found<'_>)) -> io::Result<bool> {
        let target = self.target;
        let mut hops = Vec::new();
        dump_all(&target, &mut |route| {
            let owner = match (route.is_ours(&target), route.is_in_place(&target)) {
                (true, true) => Owner::Ours,
                (false, true) => Owner::Foreign,
                (true, false) => Owner::Stray {
                    metric: route.metric,
                    tos: route.tos,
                },
                (false, false) => return,
            };
            route.hops(&mut hops);
            take(Found {
                prefix: route.prefix,
                owner,
                hops: &hops,
            });
        })
    }

    fn resolve(&mut self, addrs: &[IpAddr]) -> io::Result<Vec<(IpAddr, Lookup)>> {
        let routes = self.look_all_up(addrs);
        if routes.is_err() {
            self.command.empty();
        }
        let answers = addrs.iter().zip(routes?);
        Ok(answers
            .map(|(addr, route)| (*addr, self.judge(*addr, route)))
            .collect())
    }
}

/// Goes through a table, both families. False where it changed underway in a way that may have hidden
/// routes.
fn dump_all(target: &KernelTable, take: &mut dyn FnMut(Route)) -> io::Result<bool> {
    let mut socket = Netlink::open(&[], COMMAND_BUFFER)?;
    let mut whole = true;
    for (sequence, family) in (1..).zip(Family::ALL) {
        let mut request = Vec::new();
        let flags = NLM_F_DUMP | NLM_F_REQUEST;
        let question = message::dump(family, target.table);
        message::append(&mut request, question, flags, sequence);
        socket.send(&request)?;
        whole &= dump(&mut socket, sequence, target.table, take)?;
    }
    Ok(whole)
}

/// Reads one family of a table, which was asked for under this number.
fn dump<S: Source>(
    socket: &mut S,
    sequence: u32,
    table: u32,
    take: &mut dyn FnMut(Route),
) -> io::Result<bool> {
    let mut whole = true;
    loop {
        let Some(messages) = socket.receive()? else {
            return Err(io::Error::other("the kernel did not end its table"));
        };
        for message in messages {
            if message.sequence_number() != sequence {
                continue;
            }
            whole &= message.flags() & NLM_F_DUMP_INTR == 0;
            match message.message_type() {
                NLMSG_DONE | NLMSG_ERROR => {
                    return match message::outcome(&message) {
                        // A table that nobody has used is none.
                        Ok(()) | Err(Refusal::Missing) => Ok(whole),
                        Err(Refusal::Busy(why) | Refusal::Other(why)) => Err(io::Error::other(why)),
                        Err(Refusal::Exists) => Err(io::Error::other("the kernel is odd")),
                    };
                }
                _ => {}
            }
            let route = message::read_route(message.payload()).unwrap_or_default();
            if let Some(route) = route
                && route.table == table
                && !route.cloned
            {
                take(route);
            }
        }
    }
}

fn read_answer(message: &NetlinkBuffer<&[u8]>) -> Result<Route, String> {
    if message.message_type() == NLMSG_ERROR {
        return match message::outcome(message) {
            Err(Refusal::Busy(text) | Refusal::Other(text)) => Err(text),
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
