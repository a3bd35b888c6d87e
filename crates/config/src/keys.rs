//! Every key with what a change of it does: the one source for `reload`, `plan`, `check` and the reference.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::shown::Shown;
use super::{ApiTls, Exchange, HostsConfig, MaxPrefixes, Peer, Server};

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// At once: it is read whenever it is needed.
    AtOnce,
    /// On the routes that are there, by a second look at them; sessions go on.
    Routes,
    /// By the end of that peer's session, which comes back under the new key.
    Session,
    /// When the server is started again; a reload is refused.
    Restart,
}
use Effect::{AtOnce, Restart, Routes, Session};

impl Effect {
    /// Its name in texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            AtOnce => "at once",
            Routes => "routes",
            Session => "session",
            Restart => "restart",
        }
    }
}

/// One key of a table.
pub(super) struct Key<T> {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    /// True where a change from the first to the second needs nothing of `effect`.
    pub(super) same: fn(&T, &T) -> bool,
    /// Its value as people write it.
    pub(super) show: fn(&T) -> String,
}

/// A key that is one field.
macro_rules! key {
    ($name:literal, $effect:ident, $($field:ident).+) => {
        Key {
            name: $name,
            effect: $effect,
            same: |old, new| old.$($field).+ == new.$($field).+,
            show: |of| of.$($field).+.shown(),
        }
    };
    ($name:literal, $effect:ident, $same:expr, $show:expr) => {
        Key {
            name: $name,
            effect: $effect,
            same: $same,
            show: $show,
        }
    };
}

/// Every key of a peer. A key stands twice where some changes of it do less than others.
pub(super) const PEER: &[Key<Peer>] = &[
    key!(
        "address",
        Session,
        |old, new| old.target.address() == new.target.address(),
        |of| of.target.address().shown()
    ),
    key!(
        "prefix",
        Session,
        |old, new| new.target.takes_all_of(&old.target),
        |of| of.target.prefix().shown()
    ),
    // A wider one disturbs nobody who is there.
    key!(
        "prefix",
        AtOnce,
        |old, new| {
            old.target.prefix() == new.target.prefix() || !new.target.takes_all_of(&old.target)
        },
        |of| of.target.prefix().shown()
    ),
    key!(
        "port",
        Session,
        |old, new| old.target.port() == new.target.port(),
        |of| of.target.port().shown()
    ),
    key!(
        "peers-max",
        AtOnce,
        |old, new| old.target.peers_max() == new.target.peers_max(),
        |of| of.target.peers_max().shown()
    ),
    key!("role", Session, role),
    key!("kind", Session, kind),
    key!("site", AtOnce, site),
    key!("preference", Routes, rank),
    key!("asn", Session, |old, new| new.asn.covers(&old.asn), |of| of
        .asn
        .shown()),
    // More AS numbers than before disturb nobody who is there.
    key!(
        "asn",
        AtOnce,
        |old, new| old.asn == new.asn || !new.asn.covers(&old.asn),
        |of| of.asn.shown()
    ),
    key!("description", AtOnce, description),
    key!(
        "shutdown",
        Session,
        |old, new| old.shutdown || !new.shutdown,
        |of| of.shutdown.shown()
    ),
    key!(
        "shutdown",
        AtOnce,
        |old, new| !old.shutdown || new.shutdown,
        |of| of.shutdown.shown()
    ),
    key!("local-address", Session, connection.local_address),
    key!("passive", AtOnce, connection.passive),
    key!("connect-retry", AtOnce, connection.connect_retry),
    key!("idle-hold", AtOnce, connection.idle_hold),
    key!("idle-hold-max", AtOnce, connection.idle_hold_max),
    key!("md5", Session, connection.md5),
    key!("gtsm", Session, connection.gtsm_hops),
    key!("ttl", Session, connection.ttl),
    key!("families", Session, session.families),
    key!("hold-time", Session, session.hold_time),
    key!("send-hold", AtOnce, session.send_hold),
    key!(
        "add-path",
        Session,
        |old, new| {
            old.session.add_path_receive == new.session.add_path_receive
                && old.export.add_path == new.export.add_path
        },
        |of| {
            let receive = of.session.add_path_receive;
            format!(
                "{{ receive = {receive}, send = {} }}",
                of.export.add_path.shown()
            )
        }
    ),
    key!("extended-message", Session, session.extended_message),
    key!("extended-next-hop", Session, session.extended_next_hop),
    key!("graceful-restart", Session, session.graceful_restart),
    key!("long-lived", Session, session.long_lived),
    key!("bgp-role", Session, session.bgp_role),
    key!("bgp-role-strict", Session, session.bgp_role_strict),
    key!("import", Routes, import.policy),
    key!("export", Routes, export.policy),
    key!("max-prefixes", AtOnce, import.max_prefixes),
    key!(
        "max-advertised",
        Routes,
        |old, new| old.export.max_advertised == new.export.max_advertised,
        |of| {
            // What is advertised was accepted in any case.
            let plain = |limit: MaxPrefixes| MaxPrefixes {
                accepted_only: false,
                ..limit
            };
            of.export
                .max_advertised
                .map(|limit| limit.map(plain))
                .shown()
        }
    ),
    key!(
        "interpret-communities",
        Routes,
        export.interpret_communities
    ),
    key!("allow-as-sets", Routes, import.allow_as_sets),
    key!("allow-own-as", Routes, import.allow_own_as),
    key!("allow-martians", Routes, import.allow_martians),
    key!("enforce-first-as", Routes, import.enforce_first_as),
    key!("as-path-max", Routes, import.as_path_max),
    key!("next-hop", Routes, import.next_hop),
    key!("next-hop-self", Routes, export.next_hop_self),
    key!(
        "own-next-hop",
        Routes,
        |old, new| (old.export.own_v4, old.export.own_v6) == (new.export.own_v4, new.export.own_v6),
        |of| format!(
            "[{}, {}]",
            of.export.own_v4.shown(),
            of.export.own_v6.shown()
        )
    ),
    key!("prepend-own-as", Routes, export.prepend_own_as),
    key!("send-med", Routes, export.send_med),
    key!("alternatives", Routes, export.alternatives),
];

fn tls(of: &Server, file: impl Fn(&ApiTls) -> &PathBuf) -> Option<PathBuf> {
    of.api_tls.as_ref().map(|tls| file(tls).clone())
}

fn client_ca(of: &Server) -> Option<PathBuf> {
    of.api_tls.as_ref()?.client_ca.clone()
}

/// Every key of the server.
pub(super) const SERVER: &[Key<Server>] = &[
    key!("mode", Restart, mode),
    key!("asn", Restart, asn),
    key!("router-id", Restart, router_id),
    key!("listen", Restart, listen),
    key!("api", Restart, api),
    key!("api-hosts", AtOnce, api_hosts),
    key!("api-tokens", AtOnce, api_tokens),
    key!(
        "api-certificate",
        AtOnce,
        |old, new| tls(old, |it| &it.certificate) == tls(new, |it| &it.certificate),
        |of| tls(of, |it| &it.certificate).shown()
    ),
    key!(
        "api-key",
        AtOnce,
        |old, new| tls(old, |it| &it.key) == tls(new, |it| &it.key),
        |of| tls(of, |it| &it.key).shown()
    ),
    key!(
        "api-client-ca",
        AtOnce,
        |old, new| client_ca(old) == client_ca(new),
        |of| client_ca(of).shown()
    ),
    key!("api-socket", Restart, api_socket),
    key!(
        "api-socket-mode",
        AtOnce,
        |old, new| old.api_socket_mode == new.api_socket_mode,
        |of| format!("{:04o}", of.api_socket_mode)
    ),
    key!("api-socket-group", AtOnce, api_socket_group),
    key!("state", Restart, state),
    key!("workers", Restart, workers),
    key!("pin-workers", Restart, pin_workers),
    key!("transport", Restart, transport),
    key!("log", AtOnce, log),
    key!("cluster-id", Restart, cluster_id),
    key!("always-compare-med", Restart, decision.always_compare_med),
    key!("missing-med-worst", Restart, decision.missing_med_worst),
];

/// What the virtual network's tables say besides their sessions, which are peers.
pub(super) const EXCHANGE: &[Key<Exchange>] = &[
    key!("vnet", Routes, |old, new| old.vnet == new.vnet, |of| {
        let prefixes: Vec<_> = of.vnet.all_prefixes().collect();
        prefixes.shown()
    }),
    key!("enabled", Routes, enabled),
    key!("preference", Routes, preference),
    key!("max-paths", Routes, max_paths),
    key!(
        "hosts",
        Routes,
        |old, new| old.hosts == new.hosts,
        |of| match &of.hosts {
            None => "none".to_owned(),
            Some(hosts) => {
                let HostsConfig {
                    table,
                    protocol,
                    metric,
                    keep_on_exit,
                    ..
                } = hosts;
                format!(
                    "table {table}, protocol {protocol}, metric {metric}, keep-on-exit {keep_on_exit}"
                )
            }
        }
    ),
    key!(
        "gateway",
        AtOnce,
        |old, new| old.gateways == new.gateways,
        |of| of
            .gateways
            .iter()
            .map(|it| it.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    ),
    key!("nva", AtOnce, |old, new| old.nvas == new.nvas, |of| of
        .nvas
        .iter()
        .map(|it| it.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")),
];
