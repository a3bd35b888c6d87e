//! What is read off the sockets, with answers that are made up.

use std::collections::VecDeque;

use rustix::io::Errno;

use super::message::{DELROUTE, NEWROUTE};
use super::monitor::Monitor;
use super::socket::Datagram;
use super::*;

const TARGET: KernelTable = KernelTable {
    table: 100,
    protocol: 179,
    metric: 20,
    max_paths: 4,
    keep_on_exit: false,
};
/// Our own requests' port.
const OWN: u32 = 7;
/// Somebody else's.
const OTHER: u32 = 8;

/// Datagrams and errors, one after the other.
struct Script {
    rest: VecDeque<Result<Vec<u8>, Errno>>,
    buffer: Vec<u8>,
}

fn script(all: impl IntoIterator<Item = Result<Vec<u8>, Errno>>) -> Script {
    Script {
        rest: all.into_iter().collect(),
        buffer: Vec::new(),
    }
}

impl Source for Script {
    fn receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        match self.rest.pop_front() {
            None => Ok(None),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(octets)) => {
                self.buffer = octets;
                Ok(Some(Datagram::new(&self.buffer)))
            }
        }
    }
}

/// A message about a route of ours.
fn told(network: &str, kind: u16, flags: u16, port: u32) -> Vec<u8> {
    let hop = Hop {
        via: "198.18.0.2".parse().unwrap(),
        link: 3,
    };
    let mut octets = Vec::new();
    let route = message::route(network.parse().unwrap(), &[hop], &TARGET);
    message::append(&mut octets, route, flags, 1);
    let mut header = NetlinkBuffer::new(&mut octets[..]);
    header.set_message_type(kind);
    header.set_port_number(port);
    octets
}

/// The end of a table, with an error or 0.
fn end(kind: u16, flags: u16, code: i32) -> Vec<u8> {
    let mut octets = vec![0; 20];
    let mut header = NetlinkBuffer::new(&mut octets[..]);
    header.set_length(20);
    header.set_message_type(kind);
    header.set_flags(flags);
    header.set_sequence_number(1);
    octets[16..].copy_from_slice(&code.to_ne_bytes());
    octets
}

fn link(index: u32, up: bool) -> Vec<u8> {
    let mut octets = Vec::new();
    message::append(&mut octets, message::link(index), 0, 1);
    let mut header = NetlinkBuffer::new(&mut octets[..]);
    header.set_message_type(message::NEWLINK);
    header.set_port_number(0);
    octets[24..28].copy_from_slice(&u32::from(up).to_ne_bytes());
    octets
}

fn lost(notes: &Notes) -> Vec<String> {
    let mut lost: Vec<String> = notes.lost.iter().map(Prefix::to_string).collect();
    lost.sort();
    lost
}

#[test]
fn a_removal_older_than_our_own_addition_is_no_loss() {
    let (a, b) = ("10.1.0.0/16", "10.2.0.0/16");
    let mut monitor = Monitor::new(script([
        Ok(told(a, DELROUTE, 0, OTHER)),
        Ok(told(b, NEWROUTE, 0, OWN)),
        Ok(told(a, NEWROUTE, 0, OWN)),
        Ok(told(b, DELROUTE, 0, OTHER)),
        // Our own removal is none.
        Ok(told("10.3.0.0/16", DELROUTE, 0, OWN)),
    ]));
    let notes = monitor.read(&TARGET, OWN);
    assert_eq!(lost(&notes), [b]);
    assert!(!notes.resync && !notes.more);
}

#[test]
fn an_overrun_makes_everything_uncertain_and_the_rest_is_read() {
    let mut monitor = Monitor::new(script([
        Err(Errno::NOBUFS),
        Ok(told("10.1.0.0/16", DELROUTE, 0, OTHER)),
        Err(Errno::NOBUFS),
        Ok(told("10.2.0.0/16", DELROUTE, 0, OTHER)),
    ]));
    let notes = monitor.read(&TARGET, OWN);
    assert_eq!(lost(&notes), ["10.1.0.0/16", "10.2.0.0/16"]);
    assert!(notes.resync && notes.resolve && !notes.more);
}

#[test]
fn a_link_is_news_after_an_overrun_though_it_is_as_it_was() {
    let mut monitor = Monitor::new(script([Ok(link(3, true)), Ok(link(3, true))]));
    assert!(monitor.read(&TARGET, OWN).resync);
    let socket = script([Ok(link(3, true)), Err(Errno::NOBUFS)]);
    let mut monitor = Monitor::new(socket);
    assert!(monitor.read(&TARGET, OWN).resync);
    // It had gone down and come up again, and only the latter was heard.
    monitor.socket_mut().rest.push_back(Ok(link(3, true)));
    assert!(monitor.read(&TARGET, OWN).resync);
    monitor.socket_mut().rest.push_back(Ok(link(3, true)));
    assert!(!monitor.read(&TARGET, OWN).resync);
}

#[test]
fn what_others_put_in_our_place_makes_it_uncertain() {
    for (port, flags, uncertain) in [(OTHER, 0, true), (OWN, 0, false)] {
        let socket = script([Ok(told("10.1.0.0/16", NEWROUTE, flags, port))]);
        let notes = Monitor::new(socket).read(&TARGET, OWN);
        assert_eq!(notes.resync, uncertain);
    }
}

fn read(all: impl IntoIterator<Item = Result<Vec<u8>, Errno>>) -> io::Result<(usize, bool)> {
    let mut count = 0;
    let whole = dump(&mut script(all), 1, TARGET.table, &mut |_| count += 1)?;
    Ok((count, whole))
}

#[test]
fn a_table_counts_only_where_it_is_whole() {
    let route = || Ok(told("10.1.0.0/16", NEWROUTE, 0, OWN));
    let done = |flags| Ok(end(NLMSG_DONE, flags, 0));
    assert_eq!(read([route(), route(), done(0)]).unwrap(), (2, true));
    assert_eq!(read([route(), done(NLM_F_DUMP_INTR)]).unwrap(), (1, false));
    let marked = Ok(told("10.1.0.0/16", NEWROUTE, NLM_F_DUMP_INTR, OWN));
    assert_eq!(read([marked, route(), done(0)]).unwrap(), (2, false));
    // It breaks off, in three ways.
    assert!(read([route()]).is_err());
    assert!(read([route(), Err(Errno::NOBUFS), done(0)]).is_err());
    let busy = -Errno::BUSY.raw_os_error();
    assert!(read([route(), Ok(end(NLMSG_ERROR, 0, busy))]).is_err());
    // A table that nobody has used is none.
    let missing = -Errno::NOENT.raw_os_error();
    assert_eq!(read([Ok(end(NLMSG_ERROR, 0, missing))]).unwrap(), (0, true));
}

#[test]
fn errors_are_told_apart() {
    let said = |errno: Errno| {
        let octets = end(NLMSG_ERROR, 0, -errno.raw_os_error());
        let message = Datagram::new(&octets).next().expect("a message");
        message::outcome(&message).expect_err("an error")
    };
    assert_eq!(said(Errno::EXIST), Refusal::Exists);
    assert_eq!(said(Errno::SRCH), Refusal::Missing);
    assert_eq!(said(Errno::NOENT), Refusal::Missing);
    for errno in [Errno::NOBUFS, Errno::NOMEM, Errno::BUSY, Errno::AGAIN] {
        assert!(matches!(said(errno), Refusal::Busy(_)), "{errno:?}");
    }
    assert!(matches!(said(Errno::NETUNREACH), Refusal::Other(_)));
    assert!(matches!(said(Errno::INVAL), Refusal::Other(_)));
}
