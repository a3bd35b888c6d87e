//! MRT files played into a BGP speaker: one session for each peer of the dump.
//!
//! What a collector recorded seldom fits a session as it stands. The defaults make it fit an
//! external one: each session has the AS number of its MRT peer; a path that does not begin with it
//! (an iBGP capture, a route server's peer) gets it in front; LOCAL_PREF, ORIGINATOR_ID and
//! CLUSTER_LIST, which have no place there, go. The next hop is kept, so that a route server's
//! output can be compared with the dump; a server that takes only its neighbours' own next hops
//! needs `NextHopChoice::Own`.

mod convert;
mod feeds;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thruway_net::TransportChoice;
use thruway_wire::{Asn, FamilySet, RouterId};

pub use convert::{NextHopChoice, Prepend};
pub use feeds::{Feed, Feeds, PeerChoice};

use crate::endpoint::{Link, SessionOptions};
use crate::load::{self, ChurnOptions, Expect, LoadError, LoadOptions, Patience, Report, Speed};
use crate::peer::PeerOptions;
use crate::progress::Progress;
use crate::relay::{Relay, RelayOptions};
use convert::Conversion;

/// AS number of the relay that finds the tool's ceiling: the last private 16-bit one (RFC 6996).
const RELAY_ASN: Asn = Asn(65_534);

/// What to play, and to whom.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// MRT files, in order; gzip and bzip2 are read as they are.
    pub files: Vec<PathBuf>,
    /// The speaker.
    pub to: SocketAddr,
    /// Addresses of our sessions, the senders' first; the kernel chooses where there are none.
    pub local: Option<LocalPool>,
    /// Wait for the speaker to connect to our addresses at this port, instead of connecting.
    pub passive: Option<u16>,
    /// Peers of the dump to play; all where empty.
    pub peers: Vec<PeerChoice>,
    /// At most so many of them, in the order of the dump.
    pub peers_max: usize,
    /// AS number of every sender, instead of its MRT peer's.
    pub local_as: Option<Asn>,
    /// Whether the session's AS goes in front of paths.
    pub prepend: Prepend,
    /// What becomes of next hops.
    pub next_hop: NextHopChoice,
    /// Sessions that take the table back.
    pub receivers: u32,
    /// Their AS number.
    pub receiver_as: Asn,
    /// Compare attributes too, not only count prefixes.
    pub verify: bool,
    /// What the speaker does to routes.
    pub expect: Expect,
    /// How fast a trace's time passes.
    pub speed: Speed,
    /// Updates without end, after the files.
    pub churn: Option<ChurnOptions>,
    /// Measure the tool itself too.
    pub ceiling: bool,
    /// Keep the sessions up so long at the end.
    pub stay: Duration,
    /// TCP MD5 key of every session.
    pub md5: Option<Vec<u8>>,
    /// Hold time to offer, seconds.
    pub hold_time: u16,
    /// Sockets.
    pub transport: TransportChoice,
    /// Bounds on waiting.
    pub patience: Patience,
}

impl ReplayOptions {
    /// `files` to `to`, with the defaults of the command line.
    #[must_use]
    pub fn new(files: Vec<PathBuf>, to: SocketAddr) -> Self {
        ReplayOptions {
            files,
            to,
            local: LocalPool::default_for(to.ip()),
            passive: None,
            peers: Vec::new(),
            peers_max: usize::MAX,
            local_as: None,
            prepend: Prepend::Auto,
            next_hop: NextHopChoice::Keep,
            receivers: 0,
            receiver_as: Asn(65_000),
            verify: true,
            expect: Expect::Transparent,
            speed: Speed::Max,
            churn: None,
            ceiling: false,
            stay: Duration::ZERO,
            md5: None,
            hold_time: 180,
            transport: TransportChoice::Auto,
            patience: Patience::default(),
        }
    }
}

/// Addresses for sessions, in order; in text an address with a prefix length: `127.1.0.1/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPool {
    first: IpAddr,
    len: u8,
}

impl LocalPool {
    /// On loopback any address of 127.0.0.0/8 will do; elsewhere the kernel must choose.
    #[must_use]
    pub fn default_for(to: IpAddr) -> Option<Self> {
        let is_loopback = to.is_loopback() && to.is_ipv4();
        is_loopback.then_some(LocalPool {
            first: Ipv4Addr::new(127, 1, 0, 1).into(),
            len: 16,
        })
    }

    /// The address of the session `index`; `None` behind the end of the pool.
    #[must_use]
    pub fn address(&self, index: usize) -> Option<IpAddr> {
        let index = u128::try_from(index).ok()?;
        let pool = thruway_wire::Prefix::new(self.first, self.len)?;
        let addr: IpAddr = match self.first {
            IpAddr::V4(first) => {
                let bits = u128::from(first.to_bits()).checked_add(index)?;
                Ipv4Addr::from_bits(u32::try_from(bits).ok()?).into()
            }
            IpAddr::V6(first) => {
                std::net::Ipv6Addr::from_bits(first.to_bits().checked_add(index)?).into()
            }
        };
        pool.covers(thruway_wire::Prefix::host(addr))
            .then_some(addr)
    }
}

impl FromStr for LocalPool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why| format!("`{text}` is no pool of addresses, as 127.1.0.1/24: {why}");
        let (first, len) = text
            .split_once('/')
            .map_or((text, None), |(a, l)| (a, Some(l)));
        let first: IpAddr = first.parse().map_err(|_| fail("bad address"))?;
        let whole = if first.is_ipv4() { 32 } else { 128 };
        let len = match len {
            Some(len) => len.parse().map_err(|_| fail("bad length"))?,
            None => whole,
        };
        if len > whole {
            return Err(fail("length too large"));
        }
        Ok(LocalPool { first, len })
    }
}

/// Why nothing was played.
#[derive(Debug)]
pub enum ReplayError {
    /// A file cannot be read.
    File(PathBuf, io::Error),
    /// No route in the files, or none of the chosen peers.
    Nothing(String),
    /// More sessions than local addresses: so many of them.
    PoolTooSmall(usize),
    /// The tool's own sockets.
    Load(LoadError),
    /// The relay for the ceiling.
    Relay(io::Error),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::File(path, error) => write!(f, "{}: {error}", path.display()),
            ReplayError::Nothing(why) => f.write_str(why),
            ReplayError::PoolTooSmall(sessions) => {
                write!(
                    f,
                    "{sessions} sessions need more local addresses: see --local"
                )
            }
            ReplayError::Load(error) => error.fmt(f),
            ReplayError::Relay(error) => write!(f, "the relay for the ceiling: {error}"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Plays the files and reports.
///
/// # Errors
/// [`ReplayError`]. A session that fails, and a difference, are in the report.
pub fn run(options: &ReplayOptions, progress: &mut dyn Progress) -> Result<Report, ReplayError> {
    let began = Instant::now();
    let feeds = Feeds::read(
        &options.files,
        &options.peers,
        options.peers_max,
        progress,
        began,
    )?;
    let senders = feeds.feeds.iter().enumerate();
    let senders: Result<Vec<_>, _> = senders
        .map(|(index, feed)| sender(options, index, feed))
        .collect();
    let senders = senders?;
    let receivers: Result<Vec<_>, _> = (0..options.receivers as usize)
        .map(|n| receiver(options, senders.len(), n))
        .collect();
    let load = LoadOptions {
        senders,
        receivers: receivers?,
        exchange: false,
        transport: options.transport,
        pause: Duration::ZERO,
        speed: options.speed,
        verify: options.verify,
        best: false,
        expect: options.expect,
        flap: 0,
        churn: options.churn,
        stay: options.stay,
        patience: options.patience,
    };
    let ceiling = match options.ceiling {
        true => Some(Box::new(ceiling(&load, options, progress)?)),
        false => None,
    };
    let mut report = load::run(&load, progress).map_err(ReplayError::Load)?;
    report.ceiling = ceiling;
    let missing = report
        .differences
        .as_ref()
        .is_some_and(|differences| differences.missing > 0);
    if missing && options.next_hop == NextHopChoice::Keep {
        report.notes.push(
            "next hops are those of the dump; a server that takes only its neighbours' own drops \
             them: see --next-hop"
                .to_owned(),
        );
    }
    report.notes.splice(0..0, feeds.notes);
    Ok(report)
}

/// The same load against a relay on loopback, its sessions' BGP side unchanged.
fn ceiling(
    load: &LoadOptions,
    options: &ReplayOptions,
    progress: &mut dyn Progress,
) -> Result<Report, ReplayError> {
    let relay = Relay::spawn(RelayOptions {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        asn: RELAY_ASN,
        sink_asn: options.receiver_as,
        sinks: load.receivers.len(),
        exchange: false,
        transport: options.transport,
        tamper: None,
    })
    .map_err(ReplayError::Relay)?;
    let mut load = load.clone();
    let senders = load.senders.iter_mut().map(|sender| &mut sender.session);
    for session in senders.chain(&mut load.receivers) {
        session.link = Link::Connect {
            remote: relay.addr(),
            local: None,
        };
        session.md5 = None;
    }
    load.churn = None;
    load.stay = Duration::ZERO;
    load.expect = Expect::Transparent;
    load::run(&load, progress).map_err(ReplayError::Load)
}

fn sender(options: &ReplayOptions, index: usize, feed: &Feed) -> Result<load::Sender, ReplayError> {
    let asn = options.local_as.unwrap_or(feed.asn);
    let local = local(options, index)?;
    let mut session = session(options, index, local, asn);
    session.name = format!("{} AS{}", feed.addr, feed.asn);
    let table = Conversion {
        asn,
        prepend: options.prepend,
        next_hop: options.next_hop,
        local: local.or_else(|| kernels_choice(options.to)),
    }
    .table(&feed.table);
    session.peer.families = table.families().collect();
    if table.has_path_ids() {
        session.peer.add_path_send = FamilySet::ALL;
    }
    Ok(load::Sender {
        session,
        table: Arc::new(table),
    })
}

/// The address that the kernel would connect from. Nothing is sent: a connected datagram socket
/// has one already.
fn kernels_choice(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn receiver(
    options: &ReplayOptions,
    senders: usize,
    number: usize,
) -> Result<SessionOptions, ReplayError> {
    let index = senders + number;
    let local = local(options, index)?;
    let mut session = session(options, index, local, options.receiver_as);
    session.name = format!("receiver {}", number + 1);
    Ok(session)
}

fn local(options: &ReplayOptions, index: usize) -> Result<Option<IpAddr>, ReplayError> {
    match options.local {
        Some(pool) => {
            let addr = pool
                .address(index)
                .ok_or(ReplayError::PoolTooSmall(index + 1))?;
            Ok(Some(addr))
        }
        None => Ok(None),
    }
}

fn session(
    options: &ReplayOptions,
    index: usize,
    local: Option<IpAddr>,
    asn: Asn,
) -> SessionOptions {
    let any: IpAddr = match options.to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let link = match options.passive {
        Some(port) => Link::Listen {
            local: SocketAddr::new(local.unwrap_or(any), port),
            remote: Some(options.to.ip()),
        },
        None => Link::Connect {
            remote: options.to,
            local,
        },
    };
    // Where there is an address of the session's own it makes the better identifier.
    let router_id = match local {
        Some(IpAddr::V4(addr)) => RouterId::from(addr),
        _ => RouterId(0x0aff_0001 + index as u32),
    };
    let mut peer = PeerOptions::new(asn, router_id);
    peer.hold_time = options.hold_time;
    SessionOptions {
        name: String::new(),
        link,
        peer,
        md5: options.md5.clone(),
    }
}
