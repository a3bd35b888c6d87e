//! The virtual network's own session: one more BGP peer, inside the process. It tells the network's
//! prefixes, and what is advertised to it is what hosts get.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use thruway_api::KernelTable;
use thruway_config::Config;
use thruway_engine::{ExportConfig, PeerConfig, PeerRole, PolicyRef, TransportConfig};
use thruway_exchange::{HOST_POLICY, Kind};
use thruway_hosts::{self as hosts, HostsHandle, Settings};
use thruway_net::Accepted;
use thruway_rib::{AddPathSend, Hygiene, NextHopCheck, PeerClass, PeerId};
use thruway_session::{AddPathOffer, RemoteAs, SessionConfig};
use thruway_wire::{FamilySet, RouterId};

use super::daemon::Daemon;
use super::panic;
use super::worker::Order;

/// Its name among the peers.
pub(crate) const LOCAL_NAME: &str = "network";
/// Its address: no neighbour has it, and it is never on the wire.
pub(super) const LOCAL_ADDR: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Between attempts to bring the session back.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// How long the peer stays Idle after its session broke: nobody attacks it from outside.
const IDLE_HOLD: Duration = Duration::from_millis(100);

/// The network as a peer. `None` outside of exchange mode.
pub(super) fn peer(config: &Config, id: PeerId) -> Option<PeerConfig> {
    let exchange = config.exchange.as_ref()?;
    let asn = config.server.asn;
    let policy = config.policies.get(HOST_POLICY).map(Arc::clone);
    // The hosts' side takes as many as it is set to; were the number told here, another one would
    // take another session, and the network's prefixes would go for as long.
    let paths = AddPathSend::Multipath(u8::MAX);
    let offer = AddPathOffer {
        receive: false,
        send: true,
    };
    Some(PeerConfig {
        id,
        name: LOCAL_NAME.into(),
        addr: SocketAddr::new(LOCAL_ADDR, 0),
        transport: TransportConfig::default(),
        session: SessionConfig {
            passive: true,
            hold_time: 0,
            idle_hold: IDLE_HOLD,
            idle_hold_max: IDLE_HOLD,
            graceful_restart: None,
            families: FamilySet::ALL,
            add_path: [offer; 2],
            ..SessionConfig::new(asn, config.server.router_id, RemoteAs::One(asn))
        },
        role: PeerRole::Local,
        class: PeerClass(Kind::Network.class()),
        rank: exchange.preference.rank(Kind::Network),
        import: None,
        local_pref: None,
        hygiene: hygiene(config),
        limits: [None, None],
        max_advertised: [None, None],
        export: ExportConfig {
            interpret_communities: false,
            add_path: [paths; 2],
            alternatives: true,
            med: true,
            ..ExportConfig::for_role(PeerRole::Local, policy.map(PolicyRef::new), None)
        },
        shutdown: false,
    })
}

fn hygiene(config: &Config) -> Hygiene {
    Hygiene {
        local_as: config.server.asn,
        allow_own_as: 0,
        martians: [].into(),
        router_id: config.server.router_id,
        cluster_id: config.server.cluster_id,
        enforce_first_as: false,
        allow_as_sets: true,
        as_path_max: u16::MAX,
        next_hop: NextHopCheck::Any,
        interpret_communities: false,
    }
}

/// Where hosts' routes are installed, if anywhere.
pub(crate) fn kernel_table(config: &Config) -> Option<KernelTable> {
    let hosts = config.exchange.as_ref()?.hosts.as_ref()?;
    Some(KernelTable {
        table: hosts.table,
        protocol: hosts.protocol,
        metric: hosts.metric,
        max_paths: hosts.max_paths,
        keep_on_exit: hosts.keep_on_exit,
    })
}

/// What the other end of the session says, and where it puts what it hears.
fn settings(config: &Config) -> Option<Settings> {
    let exchange = config.exchange.as_ref()?;
    let kernel = kernel_table(config);
    Some(Settings {
        asn: config.server.asn,
        router_id: RouterId(!config.server.router_id.0),
        routes: exchange.vnet.routes().collect(),
        kernel,
    })
}

impl Daemon {
    /// Starts the network's session, and keeps it going.
    pub(super) fn start_network(self: &Arc<Self>) -> Result<()> {
        let (Some(exchange), Some(settings)) = (&self.exchange, settings(&self.config())) else {
            return Ok(());
        };
        let stream = self.connect_network()?;
        let handle = hosts::start(stream, settings, || panic::here("hosts"))
            .context("cannot start the hosts' side")?;
        exchange.set_hosts(handle.clone());
        let daemon = Arc::clone(self);
        tokio::spawn(async move { daemon.keep_network(handle).await });
        Ok(())
    }

    /// A new stream, one end of it with the worker that serves it.
    fn connect_network(&self) -> Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a pair of sockets")?;
        let order = Order::Adopt(Accepted::from_unix(ours));
        self.bus.order(self.home(LOCAL_ADDR), order)?;
        Ok(theirs)
    }

    async fn keep_network(&self, handle: HostsHandle) {
        loop {
            let why = handle.broken().await;
            if self.exchange.as_ref().is_none_or(|it| it.is_stopping()) {
                return;
            }
            tracing::warn!(%why, "the network's own session broke; it starts again");
            tokio::time::sleep(RESTART_PAUSE).await;
            match self.connect_network() {
                Ok(stream) => handle.attach(stream).await,
                Err(error) => tracing::error!("{error:#}"),
            }
        }
    }

    /// Puts what a reload changed of the network and its hosts in force.
    pub(super) async fn update_network(&self, config: &Config) {
        let handle = self.exchange.as_ref().and_then(|it| it.hosts());
        if let (Some(handle), Some(settings)) = (handle, settings(config)) {
            handle.update(settings).await;
        }
    }

    /// Takes hosts' routes out of the kernel, unless they are to stay.
    pub(super) async fn stop_network(&self) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        exchange.stop();
        if let Some(handle) = exchange.hosts() {
            handle.stop().await;
        }
    }
}
