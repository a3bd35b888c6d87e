//! The configuration as the rest of the daemon sees it: checked, typed, every default filled in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thruway_engine::PeerRole;
use thruway_exchange::{Kind, Preference, Vnet};
use thruway_policy::{Compiled, PolicyDef, SetDefs};
use thruway_rib::{AddPathSend, DecisionConfig, LimitAction};
use thruway_session::{RemoteAs, Role};
use thruway_wire::{Asn, FamilySet, Prefix, RouterId};

use super::{Expect, Problem};

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it came from.
    pub path: PathBuf,
    /// 1, and one more with every reload: the version of policies that changed then.
    pub version: u32,
    /// `[server]`.
    pub server: Server,
    /// `[[peer]]`, in the file's order, with what they inherit from their groups. In exchange mode:
    /// the sessions of NVAs and gateways; an NVA has one for each address.
    pub peers: Vec<Peer>,
    /// The virtual network; in [`Mode::Exchange`] only.
    pub exchange: Option<Exchange>,
    /// `[policy.NAME]`, compiled; `accept` and `reject` are among them, and in exchange mode
    /// [`thruway_exchange::HOST_POLICY`].
    pub policies: Compiled,
    /// The same as they were written, for [`crate::Diff`].
    pub policy_defs: Vec<PolicyDef>,
    /// The sets that they refer to.
    pub sets: SetDefs,
    /// `[[expect]]`: what must stay true, in the file's order.
    pub expect: Vec<Expect>,
    /// What is legal but may not be meant.
    pub warnings: Vec<Problem>,
}

/// TLS of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTls {
    /// The server's certificate and those up to its CA's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CAs of clients' certificates.
    pub client_ca: Option<PathBuf>,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What the server is.
    pub mode: Mode,
    /// Our AS.
    pub asn: Asn,
    /// Our BGP identifier.
    pub router_id: RouterId,
    /// Where to listen for peers.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for HTTP; `None`: on the Unix socket only.
    pub api: Option<SocketAddr>,
    /// Names that requests over TCP may call the server by, besides its addresses; in lower case.
    pub api_hosts: Vec<String>,
    /// The file of those who may come over TCP; `None`: whoever is on the machine may ask.
    pub api_tokens: Option<PathBuf>,
    /// TLS over TCP; `None`: plain HTTP.
    pub api_tls: Option<ApiTls>,
    /// The Unix socket of the API.
    pub api_socket: PathBuf,
    /// Its mode: who may open it may do everything.
    pub api_socket_mode: u32,
    /// Its group.
    pub api_socket_group: Option<String>,
    /// Where the switch's position is kept when a command sets it.
    pub state: PathBuf,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Each worker stays on a core of its own.
    pub pin_workers: bool,
    /// How to talk to the kernel.
    pub transport: Transport,
    /// What to log.
    pub log: LogLevel,
    /// Our cluster (RFC 4456 §8).
    pub cluster_id: RouterId,
    /// How the decision process compares.
    pub decision: DecisionConfig,
}

/// What the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A general BGP speaker: peers are what their roles say.
    #[default]
    Plain,
    /// A virtual network's route server.
    Exchange,
    /// A general BGP speaker whose external peers are route-server clients (RFC 7947), unless they
    /// say otherwise.
    Transparent,
}

impl Mode {
    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Exchange => "exchange",
            Mode::Transparent => "transparent",
        }
    }
}

/// How sockets are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// `io_uring` where the kernel has it, else `epoll`.
    #[default]
    Auto,
    /// `io_uring` or nothing.
    IoUring,
    /// `epoll`.
    Epoll,
}

/// A virtual network and who is in it: the tables of `mode = "exchange"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// `[vnet]`.
    pub vnet: Vnet,
    /// What the file says of the switch.
    pub enabled: bool,
    /// Which kind of source wins for equal prefixes.
    pub preference: Preference,
    /// Paths with equal right to a prefix that hosts use together, at most.
    pub max_paths: u8,
    /// Where hosts' routes are installed; `None`: they are computed and shown only.
    pub hosts: Option<HostsConfig>,
    /// `[gateway.…]`.
    pub gateways: Vec<Gateway>,
    /// `[[nva]]`, in the file's order.
    pub nvas: Vec<Nva>,
}

/// `[hosts]` with a table: the kernel gets the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsConfig {
    /// The kernel's table: 254 is `main`.
    pub table: u32,
    /// The routes stay when the server stops.
    pub keep_on_exit: bool,
    /// What marks routes as ours (rtnetlink's `rtm_protocol`), from 5.
    pub protocol: u8,
    /// Metric of the routes; the kernel takes the lowest. At least 1.
    pub metric: u32,
    /// As [`Exchange::max_paths`].
    pub max_paths: u8,
}

/// A gateway of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Which.
    pub kind: Kind,
    /// Its name: that of its kind.
    pub name: String,
    /// Where its sessions come from; or
    pub subnets: Vec<Prefix>,
    /// its instances' addresses.
    pub instances: Vec<IpAddr>,
}

/// A network virtual appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nva {
    /// Its name.
    pub name: String,
    /// Its AS.
    pub asn: Asn,
    /// Its addresses, with a session each.
    pub addresses: Vec<IpAddr>,
}

/// What to log: this and what is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what needs a hand.
    Error,
    /// What may need one.
    Warn,
    /// Sessions and reloads.
    Info,
    /// Messages other than UPDATE.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name, as `tracing` filters have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// One neighbour, or all neighbours of a prefix: a `[[peer]]`, or a session of an NVA or gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its group's name.
    pub group: Option<String>,
    /// Whom it stands for.
    pub target: Target,
    /// What it is to us.
    pub role: PeerRole,
    /// What it is to the virtual network; in exchange mode only.
    pub kind: Option<Kind>,
    /// The NVA or gateway that it is a session of; in exchange mode only.
    pub site: Option<String>,
    /// The exchange's preference of its kind; 0 elsewhere.
    pub rank: u8,
    /// Its AS.
    pub asn: RemoteAs,
    /// Administratively down.
    pub shutdown: bool,
    /// How the connection is made.
    pub connection: Connection,
    /// What the session offers.
    pub session: Session,
    /// What is taken from it.
    pub import: Import,
    /// What it is told.
    pub export: Export,
}

/// Whom a peer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One neighbour.
    Address(SocketAddr),
    /// Any neighbour in a prefix, up to so many at a time.
    Range {
        /// Whose connections are taken; of several the longest counts.
        prefix: Prefix,
        /// Largest number of sessions.
        peers_max: u32,
    },
}

impl Target {
    /// The neighbour's address, where it is one neighbour.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Target::Address(addr) => Some(addr.ip()),
            Target::Range { .. } => None,
        }
    }

    /// Its TCP port; nobody of a range is called.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Target::Address(addr) => Some(addr.port()),
            Target::Range { .. } => None,
        }
    }

    /// The range's prefix.
    #[must_use]
    pub fn prefix(&self) -> Option<Prefix> {
        match self {
            Target::Address(_) => None,
            Target::Range { prefix, .. } => Some(*prefix),
        }
    }

    /// True where this range, if it is one, takes whoever `older` took.
    #[must_use]
    pub fn takes_all_of(&self, older: &Target) -> bool {
        match (self.prefix(), older.prefix()) {
            (Some(new), Some(old)) => new.covers(old),
            (new, old) => new == old,
        }
    }

    /// Most sessions of the range.
    #[must_use]
    pub fn peers_max(&self) -> Option<u32> {
        match self {
            Target::Address(_) => None,
            Target::Range { peers_max, .. } => Some(*peers_max),
        }
    }
}

/// How a connection is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Our address; `None`: what the kernel picks.
    pub local_address: Option<IpAddr>,
    /// Never connect, wait for the peer.
    pub passive: bool,
    /// Between attempts to connect.
    pub connect_retry: Duration,
    /// How long a session rests after it failed; twice as long after each further failure.
    pub idle_hold: Duration,
    /// And how long at most.
    pub idle_hold_max: Duration,
    /// TCP MD5 key (RFC 2385), 1 to 80 octets.
    pub md5: Option<Secret>,
    /// GTSM (RFC 5082): hops at most. Our packets have TTL 255 then.
    pub gtsm_hops: Option<u8>,
    /// TTL of our packets; `None`: the kernel's default, or 255 with GTSM.
    pub ttl: Option<u8>,
}

/// Octets that must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a session offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Families.
    pub families: FamilySet,
    /// Offered hold time in seconds: 0 (off) or at least 3.
    pub hold_time: u16,
    /// SendHoldTimer (RFC 9687); `None`: 8 minutes or twice the hold time; zero: off.
    pub send_hold: Option<Duration>,
    /// The peer may send several paths a prefix (RFC 7911).
    pub add_path_receive: bool,
    /// Messages up to 65,535 octets (RFC 8654).
    pub extended_message: bool,
    /// IPv4 routes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Graceful restart (RFC 4724); `None`: not offered, a lost session's routes go at once.
    pub graceful_restart: Option<GracefulRestart>,
    /// Seconds that stale routes are kept after the restart time (RFC 9494).
    pub long_lived: Option<u32>,
    /// Our role (RFC 9234).
    pub bgp_role: Option<Role>,
    /// Refuse a peer that does not tell its role.
    pub bgp_role_strict: bool,
}

/// Graceful restart (RFC 4724).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// Seconds that the peer should wait for us; up to 4,095.
    pub restart_time: u16,
    /// Seconds that we wait for the peer, whatever it asks for.
    pub helper_time_max: u16,
    /// A NOTIFICATION starts one, too (RFC 8538).
    pub notification: bool,
}

/// What is taken from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Policy; `None` takes nothing from an external peer (RFC 8212), everything from an internal
    /// one.
    pub policy: Option<String>,
    /// Limits by [`thruway_wire::Family::index`].
    pub max_prefixes: [Option<MaxPrefixes>; 2],
    /// AS_SET and AS_CONFED_SET are accepted (RFC 9774 says no).
    pub allow_as_sets: bool,
    /// Occurrences of our AS to put up with.
    pub allow_own_as: u8,
    /// Prefixes taken, with what lies in them, though no network may route them.
    pub allow_martians: Vec<Prefix>,
    /// The path's first AS must be the peer's.
    pub enforce_first_as: bool,
    /// Longest path accepted, in AS hops.
    pub as_path_max: u16,
    /// Which next hops are accepted.
    pub next_hop: NextHopRule,
}

/// Which next hops a peer may announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHopRule {
    /// Its own address.
    Peer,
    /// Its own, or that of a configured peer of the same AS.
    SameAs,
    /// Any in these prefixes.
    Subnet(Vec<Prefix>),
    /// Any that is unicast.
    Any,
}

/// A limit on a peer's prefixes of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPrefixes {
    /// Largest count.
    pub limit: u32,
    /// Count at which to warn.
    pub warn_at: u32,
    /// What to do above the limit.
    pub action: LimitAction,
    /// Counts after policy, not as received.
    pub accepted_only: bool,
    /// With [`LimitAction::Restart`]: when to come back; `None`: when told to.
    pub restart_after: Option<Duration>,
}

/// What a peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Policy; `None` tells an external peer nothing (RFC 8212), an internal one everything.
    pub policy: Option<String>,
    /// Limits on what is advertised to it, by [`thruway_wire::Family::index`]. They count what passed the
    /// policy.
    pub max_advertised: [Option<MaxPrefixes>; 2],
    /// How many paths a prefix, where the peer takes several (RFC 7911).
    pub add_path: AddPathSend,
    /// Well-known communities are obeyed, in both directions (RFC 1997, RFC 8326).
    pub interpret_communities: bool,
    /// Our address replaces the next hop.
    pub next_hop_self: bool,
    /// Our address as an IPv4 next hop, where it is known: `own-next-hop`, `local-address`, or the
    /// one address that the server listens on.
    pub own_v4: Option<Ipv4Addr>,
    /// Likewise for IPv6.
    pub own_v6: Option<Ipv6Addr>,
    /// Our AS goes in front of the path.
    pub prepend_own_as: bool,
    /// MULTI_EXIT_DISC is advertised onward.
    pub send_med: bool,
    /// A peer that may not have the best path gets the next one (RFC 7947 §2.3.2.1).
    pub alternatives: bool,
}
