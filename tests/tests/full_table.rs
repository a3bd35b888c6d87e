//! The real full table (577,706 prefixes) through Thruway into other daemons, against the same table
//! fed to them directly: route by route with all attributes. And seven real feeds contested, where
//! the best path of each prefix must be BIRD's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use thruway_tests::daemon::{Bird, Daemon, Kind, Neighbor, Speaker, Thruway};
use thruway_tests::data::data_dir;
use thruway_tests::dump::feeds;
use thruway_tests::lab::{Host, Lab, wait_slowly, wait_until};
use thruway_tests::route::{Table, differences};
use thruway_wire::{Family, Prefix};

/// In no path of the real tables: some hold AS 64500.
const SERVER_AS: u32 = 4_200_000_500;
const FEED_AS: u32 = 64601;
const FULL_TABLE: &str = "mrt/bgpdump/updates.et-header.2015.gz";
const SEVEN_FEEDS: &str = "mrt/derived/rrc00.bview.20000111.0032.tdv2.mrt.gz";

/// A `feed` that holds its sessions while it lives.
struct Feed(Child);

impl Feed {
    fn start(host: &Host, file: &PathBuf, remote: SocketAddr, peers: usize, asn: &str) -> Feed {
        let mut command = host.command(env!("CARGO_BIN_EXE_feed"));
        command
            .arg(file)
            .args([&remote.to_string(), &peers.to_string(), asn]);
        command.args((0..peers).map(|n| local(host, n).to_string()));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("feed starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is ours");
        BufReader::new(out).read_line(&mut line).expect("it prints");
        assert_eq!(line, "sent\n", "the feed failed");
        Feed(child)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The address of a host's nth session: its own, then further ones of 198.18.1.0/24.
fn local(host: &Host, n: usize) -> IpAddr {
    match u8::try_from(n).expect("few sessions") {
        0 => host.addr(false),
        n => IpAddr::from([198, 18, 1, n]),
    }
}

fn add_addresses(host: &Host, count: usize) {
    for n in 1..count {
        let addr = format!("{}/16", local(host, n));
        let mut command = std::process::Command::new("ip");
        command.args(["-n", &host.namespace, "addr", "add", &addr, "dev", "eth0"]);
        assert!(
            command.status().is_ok_and(|status| status.success()),
            "ip addr add {addr}"
        );
    }
}

fn config(server: &Host, peers: &[(String, IpAddr, u32)], keys: &str) -> String {
    let mut text = format!(
        "[server]\nasn = {SERVER_AS}\nrouter-id = \"{0}\"\nlisten = [\"{0}:179\"]\nworkers = 2\n\
         [peer-group.clients]\nrole = \"route-server-client\"\nimport = \"accept\"\n\
         export = \"accept\"\npassive = true\nnext-hop = \"any\"\nallow-as-sets = true\n\
         allow-martians = [\"0.0.0.0/0\", \"::/0\"]\n{keys}",
        server.v4()
    );
    for (name, addr, asn) in peers {
        let _ = writeln!(
            text,
            "[[peer]]\nname = \"{name}\"\naddress = \"{addr}\"\nasn = {asn}\ngroup = \"clients\""
        );
    }
    text
}

fn receiver(neighbor: IpAddr, asn: u32) -> Speaker {
    Speaker {
        asn: 64602,
        neighbors: vec![Neighbor::new(neighbor, asn)],
        originate: Vec::new(),
        community: None,
    }
}

fn bgp(host: &Host) -> SocketAddr {
    SocketAddr::new(host.addr(false), 179)
}

/// The table straight from the feed, by daemon: the same for both transports.
static DIRECT: Mutex<Vec<(Kind, Arc<Table>)>> = Mutex::new(Vec::new());
/// A table has come to rest when so many looks, over so long a time, found the same.
const STILL_LOOKS: u32 = 3;
const STILL: Duration = Duration::from_secs(1);
/// Between these looks.
const LOOK: Duration = Duration::from_millis(500);
/// How many routes the full table has.
static ROUTES: OnceLock<usize> = OnceLock::new();

/// What a daemon holds of the table when it comes straight from the feed.
fn direct(kind: Kind, file: &PathBuf, routes: usize) -> Option<Arc<Table>> {
    let mut known = DIRECT.lock().expect("no test failed in it");
    if let Some((_, table)) = known.iter().find(|(other, _)| *other == kind) {
        return Some(Arc::clone(table));
    }
    let table = Arc::new(load_direct(kind, file, routes)?);
    known.push((kind, Arc::clone(&table)));
    Some(table)
}

fn load_direct(kind: Kind, file: &PathBuf, routes: usize) -> Option<Table> {
    let mut lab = Lab::new("full_table")?;
    // The first host stands where the server will: the feed has the same address in both.
    let (_, feed, receiver_host) = (lab.host(), lab.host(), lab.host());
    let mut daemon = kind.start(&receiver_host, &receiver(feed.addr(false), FEED_AS));
    let _feed = Feed::start(&feed, file, bgp(&receiver_host), 1, &FEED_AS.to_string());
    Some(settled(&mut *daemon, feed.addr(false), routes))
}

/// What a daemon has of a neighbour's table when it has come to rest. A daemon may refuse a few routes
/// (BIRD one of these), so the count is near `routes`.
fn settled(daemon: &mut dyn Daemon, neighbor: IpAddr, routes: usize) -> Table {
    // GoBGP takes seconds for an answer, BIRD none: so both looks and time count.
    let (mut last, mut still, mut since) = (0, 0, Instant::now());
    let limit = Duration::from_secs(120);
    wait_slowly("the daemon has the table", limit, LOOK, || {
        let asked = Instant::now();
        let count = daemon.count(Family::Ipv4, neighbor);
        if count != last || count + 100 <= routes {
            (last, still, since) = (count, 0, asked);
            return false;
        }
        still += 1;
        still >= STILL_LOOKS && since.elapsed() >= STILL
    });
    daemon.wait_routes(Family::Ipv4, neighbor, last)
}

fn through(
    kind: Kind,
    transport: &str,
    file: &PathBuf,
    routes: usize,
) -> Option<(Table, Vec<Prefix>)> {
    let mut lab = Lab::new("full_table")?;
    let (server, feed, receiver_host) = (lab.host(), lab.host(), lab.host());
    let peers = [
        ("feed".to_owned(), feed.addr(false), FEED_AS),
        ("receiver".to_owned(), receiver_host.addr(false), 64602),
    ];
    let thruway = Thruway::start(&server, transport, &config(&server, &peers, ""));
    let mut daemon = kind.start(&receiver_host, &receiver(server.addr(false), SERVER_AS));
    daemon.wait_established(server.addr(false));
    let _feed = Feed::start(&feed, file, bgp(&server), 1, &FEED_AS.to_string());
    // Answers come while the table loads.
    let asked = std::time::Instant::now();
    let _ = thruway.show(&["peers"]);
    println!("show peers while the table loads: {:?}", asked.elapsed());
    thruway.wait_count("feed", "ipv4", "received", routes as u64);
    // What the server refuses, and why: AS 0 in a path is an error (RFC 7607).
    let rejected = thruway.show(&["peer", "feed", "rejected"]);
    let rejected = rejected.as_array().cloned().unwrap_or_default();
    let why = |route: &Value| route["rejected"].as_str().unwrap_or_default().to_owned();
    assert!(
        rejected.iter().all(|route| why(route).contains("AS 0")),
        "{rejected:?}"
    );
    let prefix = |route: &Value| route["network"].as_str().and_then(|text| text.parse().ok());
    let refused: Vec<Prefix> = rejected.iter().filter_map(prefix).collect();
    let table = settled(&mut *daemon, server.addr(false), routes);
    assert_eq!(thruway.peer("feed")["flaps"], 0);
    assert_eq!(thruway.peer("receiver")["flaps"], 0);
    Some((table, refused))
}

fn equals_direct(kind: Kind, transport: &str) {
    let Some(file) = data_dir().map(|dir| dir.join(FULL_TABLE)) else {
        return;
    };
    let routes = *ROUTES.get_or_init(|| feeds(&file)[0].routes.len());
    let Some(expected) = direct(kind, &file, routes) else {
        return;
    };
    let Some((got, refused)) = through(kind, transport, &file, routes) else {
        return;
    };
    println!("{} routes with AS 0 are refused (RFC 7607)", refused.len());
    let mut expected = Table::clone(&expected);
    expected.retain(|prefix, _| !refused.contains(prefix));
    let lines = differences(&expected, &got);
    assert!(
        lines.is_empty(),
        "{kind:?} over {transport}:\n{}",
        lines.join("\n")
    );
    println!("{kind:?} over {transport}: {} routes equal", got.len());
}

#[test]
fn bird_over_io_uring() {
    equals_direct(Kind::Bird, "io-uring");
}

#[test]
fn bird_over_epoll() {
    equals_direct(Kind::Bird, "epoll");
}

#[test]
fn frr_over_io_uring() {
    equals_direct(Kind::Frr, "io-uring");
}

#[test]
fn frr_over_epoll() {
    equals_direct(Kind::Frr, "epoll");
}

#[test]
fn gobgp_over_io_uring() {
    equals_direct(Kind::GoBgp, "io-uring");
}

#[test]
fn gobgp_over_epoll() {
    equals_direct(Kind::GoBgp, "epoll");
}

/// The best path of each prefix, by the address of its source.
type Best = BTreeMap<Prefix, IpAddr>;

fn birds_choice(file: &PathBuf, peers: &[(String, IpAddr, u32)], lab: &mut Lab) -> Best {
    let (bird_host, feed) = (lab.host(), lab.host());
    add_addresses(&feed, peers.len());
    let mut text = format!(
        "router id {};\nprotocol device {{}}\ntemplate bgp feeds {{\n local {} as {SERVER_AS};\n \
         multihop; passive; rs client; deterministic med on;\n \
         ipv4 {{ import all; export none; }};\n}}\n",
        bird_host.v4(),
        bird_host.v4()
    );
    for (n, (name, _, asn)) in peers.iter().enumerate() {
        let addr = local(&feed, n);
        let _ = writeln!(
            text,
            "protocol bgp {name} from feeds {{ neighbor {addr} as {asn}; }}"
        );
    }
    let mut bird = Bird::with_config(&bird_host, &text);
    let _feed = Feed::start(&feed, file, bgp(&bird_host), peers.len(), "own");
    let prefixes: usize = feeds(file)
        .iter()
        .take(peers.len())
        .flat_map(|f| f.routes.keys())
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    let mut best = Best::new();
    wait_until("BIRD has all feeds", Duration::from_secs(120), || {
        best = parse_primary(&bird.ask("show route primary"), peers, &feed);
        best.len() == prefixes
            && bird
                .ask("show route count")
                .contains(&format!("{prefixes} networks"))
    });
    best
}

/// `198.51.100.0/24 unreachable [n2 19:18:29.125 from 198.18.1.1] * (100) [AS65001i]`
fn parse_primary(text: &str, peers: &[(String, IpAddr, u32)], feed: &Host) -> Best {
    let line = |line: &str| {
        let (prefix, rest) = line.split_once(' ')?;
        let name = rest.split_once('[')?.1.split(' ').next()?;
        let n = peers.iter().position(|(peer, ..)| peer == name)?;
        Some((prefix.parse().ok()?, local(feed, n)))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn seven_feeds_are_decided_as_bird_does() {
    let Some(file) = data_dir().map(|dir| dir.join(SEVEN_FEEDS)) else {
        return;
    };
    let count = 7;
    let peers: Vec<(String, IpAddr, u32)> = feeds(&file)
        .iter()
        .take(count)
        .enumerate()
        .map(|(n, feed)| (format!("n{n}"), IpAddr::from([198, 18, 1, 250]), feed.asn.0))
        .collect();
    let Some(mut lab) = Lab::new("seven_feeds") else {
        return;
    };
    let expected = birds_choice(&file, &peers, &mut lab);
    drop(lab);
    let Some(mut lab) = Lab::new("seven_feeds") else {
        return;
    };
    let (server, feed) = (lab.host(), lab.host());
    add_addresses(&feed, count);
    let placed: Vec<_> = peers
        .iter()
        .enumerate()
        .map(|(n, (name, _, asn))| (name.clone(), local(&feed, n), *asn))
        .collect();
    let thruway = Thruway::start(&server, "auto", &config(&server, &placed, ""));
    let _feed = Feed::start(&feed, &file, bgp(&server), count, "own");
    for ((name, ..), feed) in peers.iter().zip(feeds(&file)) {
        thruway.wait_count(name, "ipv4", "received", feed.routes.len() as u64);
    }
    let routes = thruway.show(&["routes"]);
    let mut got = Best::new();
    for route in routes
        .as_array()
        .expect("a list")
        .iter()
        .filter(|route| route["best"] == true)
    {
        let prefix = route["network"]
            .as_str()
            .expect("a prefix")
            .parse()
            .expect("a prefix");
        let source = route["sourcePeer"]
            .as_str()
            .expect("a peer")
            .parse()
            .expect("an address");
        got.insert(prefix, source);
    }
    let mut lines = Vec::new();
    for (prefix, source) in &expected {
        if got.get(prefix) != Some(source) {
            lines.push(format!(
                "{prefix}: {:?}, BIRD has {source}",
                got.get(prefix)
            ));
        }
    }
    println!("{} prefixes, {} differ", expected.len(), lines.len());
    lines.truncate(20);
    assert!(
        lines.is_empty() && got.len() == expected.len(),
        "{}",
        lines.join("\n")
    );
}
