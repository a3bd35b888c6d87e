//! The hosts' side of the server alone, in this process's network namespace, with a scripted route
//! server at the other end of its session. For tests of what it writes to the kernel.
//!
//! `hosts TABLE METRIC MAX-PATHS [keep]`; TABLE `-`: none. Takes orders from standard input, one a
//! line, and answers each with one line:
//!
//! - `announce PREFIX ID NEXT-HOP`, `withdraw PREFIX ID`, `end` (of both families' tables)
//! - `fill COUNT NEXT-HOP…`: as many prefixes, each with a path for each next hop
//! - `empty COUNT PATHS`: withdraws what `fill` announced
//! - `move TABLE`: another table; `network PREFIX NEXT-HOP…`: other prefixes of the network
//! - `heard`: what the network announces; `view`, `totals`: how the routes stand, as JSON
//! - `deaf`: the kernel tells nothing of what others do any more; `room OCTETS`: it can tell only so
//!   much at a time, the rest is lost
//! - `break`: the session breaks, and there is a new one; `stop`

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use thruway_api::KernelTable;
use thruway_hosts::{HostsHandle, Settings};
use thruway_wire::attrs::{AttrSetBuf, RawAttr, TRANSITIVE, code};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::message::{self, MessageType};
use thruway_wire::open::{Capability, Open};
use thruway_wire::update::{UpdateContext, UpdateView};
use thruway_wire::{Asn, Family, FamilySet, NextHop, Nlri, Prefix, PrefixKey, RouterId};

const ASN: Asn = Asn(65515);
const PROTOCOL: u8 = 179;

const REWRITE: Rewrite = Rewrite {
    local_pref: true,
    ..Rewrite::TRANSPARENT
};

const ENCODING: Encoding = Encoding {
    as4: true,
    add_path: true,
    max_len: u16::MAX,
    extended_next_hop: true,
    link: None,
};

/// Prefix by prefix what the network announced, as text.
type Heard = Arc<Mutex<BTreeMap<Prefix, String>>>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [table, metric, max_paths, keep @ ..] = args.as_slice() else {
        panic!("hosts TABLE METRIC MAX-PATHS [keep]");
    };
    let mut settings = Settings {
        asn: ASN,
        router_id: RouterId::from(Ipv4Addr::new(245, 255, 254, 251)),
        routes: Vec::new(),
        kernel: table.parse().ok().map(|table| KernelTable {
            table,
            protocol: PROTOCOL,
            metric: metric.parse().expect("METRIC is a number"),
            max_paths: max_paths.parse().expect("MAX-PATHS is a number"),
            keep_on_exit: !keep.is_empty(),
        }),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let heard = Heard::default();
    let (theirs, ours) = UnixStream::pair().expect("a pair");
    let hosts =
        thruway_hosts::start(theirs, settings.clone(), || {}).expect("the hosts' side starts");
    let mut server = Server::establish(ours, &heard);
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut answer = "ok".to_owned();
        match words.as_slice() {
            ["view"] => answer = json(&hosts.view()),
            ["totals"] => answer = json(&hosts.totals()),
            ["heard"] => answer = json(&*heard.lock().expect("no panic")),
            ["deaf"] => deafen(),
            ["room", octets] => narrow(parse(octets)),
            ["break"] => {
                server
                    .stream
                    .shutdown(std::net::Shutdown::Both)
                    .expect("it was open");
                runtime.block_on(hosts.broken());
                let (theirs, ours) = UnixStream::pair().expect("a pair");
                runtime.block_on(hosts.attach(theirs));
                server = Server::establish(ours, &heard);
            }
            ["move", table] => {
                let kernel = settings.kernel.as_mut().expect("there is a table");
                kernel.table = table.parse().expect("a number");
                runtime.block_on(hosts.update(settings.clone()));
            }
            ["network", routes @ ..] => {
                let route =
                    |pair: &[&str]| (parse(pair[0]), NextHop::from(parse::<IpAddr>(pair[1])));
                settings.routes = routes.chunks(2).map(route).collect();
                runtime.block_on(hosts.update(settings.clone()));
            }
            ["stop"] => {
                stop(&runtime, &hosts);
                println!("ok");
                return;
            }
            order => server.tell(order),
        }
        println!("{answer}");
    }
}

/// This process's sockets that hear what happens in the kernel, with their ports.
fn monitors() -> Vec<(OwnedFd, u32)> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).expect("it is there");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").expect("it is there") {
        let name = entry.expect("a name").file_name();
        let number = parse(&name.to_string_lossy());
        let Ok(fd) = pidfd_getfd(&this, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let addr = rustix::net::getsockname(&fd).ok();
        let addr = addr.and_then(|addr| SocketAddrNetlink::try_from(addr).ok());
        if let Some(addr) = addr
            && addr.groups() != 0
        {
            found.push((fd, addr.pid()));
        }
    }
    assert_eq!(found.len(), 1, "one socket hears what others do");
    found
}

fn deafen() {
    for (socket, port) in monitors() {
        let none = SocketAddrNetlink::new(port, 0);
        rustix::net::bind(&socket, &none).expect("it leaves its groups");
    }
}

fn narrow(octets: usize) {
    for (socket, _) in monitors() {
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, octets)
            .expect("it takes a size");
    }
}

fn stop(runtime: &tokio::runtime::Runtime, hosts: &HostsHandle) {
    runtime.block_on(hosts.stop());
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it serialises")
}

fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` does not parse"))
}

/// The route server's end.
struct Server {
    stream: UnixStream,
}

impl Server {
    fn establish(stream: UnixStream, heard: &Heard) -> Self {
        let mut out = Vec::new();
        let pairs = Family::ALL.map(Family::to_wire);
        let mut capabilities = pairs.map(Capability::Multiprotocol).to_vec();
        capabilities.extend([
            Capability::FourOctetAs(ASN),
            Capability::ExtendedMessage,
            Capability::AddPath(pairs.map(|pair| (pair, 2)).to_vec()),
        ]);
        let open = Open {
            version: 4,
            my_as: ASN.to_as2(),
            hold_time: 90,
            router_id: RouterId::from(Ipv4Addr::new(10, 0, 1, 4)),
            capabilities,
        };
        open.encode(&mut out);
        message::encode_keepalive(&mut out);
        let mut server = Server { stream };
        server.send(&out);
        let reader = server.stream.try_clone().expect("a second handle");
        let heard = Arc::clone(heard);
        std::thread::spawn(move || listen(reader, &heard));
        server
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the hosts' side reads");
    }

    fn tell(&mut self, order: &[&str]) {
        let mut out = Vec::new();
        match order {
            ["announce", prefix, id, hop] => {
                announce(&mut out, &[(parse(prefix), parse(id))], parse(hop));
            }
            ["withdraw", prefix, id] => withdraw(&mut out, &[(parse(prefix), parse(id))]),
            ["end"] => {
                for family in Family::ALL {
                    encode::end_of_rib(&mut out, family);
                }
            }
            ["fill", count, hops @ ..] => {
                for (id, hop) in hops.iter().enumerate() {
                    let hop: IpAddr = parse(hop);
                    let all = prefixes(parse(count), hop.is_ipv6());
                    let all: Vec<_> = all.map(|prefix| (prefix, id as u32)).collect();
                    announce(&mut out, &all, hop);
                }
            }
            ["empty", count, paths] => {
                for id in 0..parse::<u32>(paths) {
                    let all = prefixes(parse(count), false).map(|prefix| (prefix, id));
                    withdraw(&mut out, &all.collect::<Vec<_>>());
                }
            }
            _ => panic!("no such order: {order:?}"),
        }
        self.send(&out);
    }
}

/// 16.0.0.0/24, 16.0.1.0/24, …, or 2400::/48, 2400:0:1::/48, …
fn prefixes(count: u32, v6: bool) -> impl Iterator<Item = Prefix> {
    (0..count).map(move |n| {
        let prefix = if v6 {
            let bits = 0x2400_u128 << 112 | u128::from(n) << 80;
            Prefix::new(Ipv6Addr::from_bits(bits).into(), 48)
        } else {
            Prefix::new(Ipv4Addr::from_bits(16 << 24 | n << 8).into(), 24)
        };
        prefix.expect("a length that there is")
    })
}

fn nlri<P: PrefixKey>(list: &[(Prefix, u32)]) -> impl Iterator<Item = Nlri<P>> + '_ {
    list.iter().filter_map(|(prefix, path_id)| {
        let prefix = P::from_prefix(*prefix)?;
        let path_id = *path_id;
        Some(Nlri { path_id, prefix })
    })
}

fn announce(out: &mut Vec<u8>, list: &[(Prefix, u32)], hop: IpAddr) {
    let attr = |code, value| RawAttr {
        flags: TRANSITIVE,
        code,
        value,
    };
    let attrs = [
        attr(code::ORIGIN, &[0]),
        attr(code::AS_PATH, &[2, 1, 0, 0, 0xfd, 0xe9]),
        attr(code::LOCAL_PREF, &[0, 0, 0, 100]),
    ];
    let set = AttrSetBuf::from_parts(Some(hop.into()), attrs.into_iter());
    let v4 = nlri::<thruway_wire::Ipv4Prefix>(list);
    let v6 = nlri::<thruway_wire::Ipv6Prefix>(list);
    encode::announce(out, set.as_ref(), &REWRITE, &ENCODING, v4).expect("it can be told");
    encode::announce(out, set.as_ref(), &REWRITE, &ENCODING, v6).expect("it can be told");
}

fn withdraw(out: &mut Vec<u8>, list: &[(Prefix, u32)]) {
    encode::withdraw(out, &ENCODING, nlri::<thruway_wire::Ipv4Prefix>(list));
    encode::withdraw(out, &ENCODING, nlri::<thruway_wire::Ipv6Prefix>(list));
}

/// Notes what the network announces, until the stream ends.
fn listen(mut stream: UnixStream, heard: &Heard) {
    let context = UpdateContext {
        as4: true,
        external: false,
        families: FamilySet::ALL,
        add_path: FamilySet::EMPTY,
    };
    let mut inbox = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut piece) {
        inbox.extend_from_slice(&piece[..len]);
        while let Some(message) = message::frame(&inbox, 4096).expect("well-formed messages") {
            let len = message.bytes.len();
            if message.kind == MessageType::Update {
                let view = UpdateView::parse(message.body(), &context);
                note(&view, &mut heard.lock().expect("no panic"));
            }
            inbox.drain(..len);
        }
    }
}

fn note(view: &UpdateView<'_>, heard: &mut BTreeMap<Prefix, String>) {
    let gone4 = view.withdrawn4().map(|nlri| nlri.prefix.into());
    let gone6 = view.withdrawn6().map(|nlri| nlri.prefix.into());
    gone4.chain(gone6).for_each(|prefix: Prefix| {
        heard.remove(&prefix);
    });
    for (part, family) in view.announced() {
        let mut set = AttrSetBuf::default();
        let set = view.canonical(part, &mut set);
        let text = format!(
            "{} local-pref {} path {}",
            view.next_hop(part).expect("a next hop"),
            set.local_pref().expect("LOCAL_PREF"),
            set.as_path().as_bytes().len(),
        );
        let prefixes: Vec<Prefix> = match family {
            Family::Ipv4 => view.announced4(part).map(|n| n.prefix.into()).collect(),
            Family::Ipv6 => view.announced6().map(|n| n.prefix.into()).collect(),
        };
        for prefix in prefixes {
            heard.insert(prefix, text.clone());
        }
    }
}
