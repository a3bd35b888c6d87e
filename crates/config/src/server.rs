//! `[server]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thruway_rib::DecisionConfig;
use thruway_rib::limits::WORKERS_MAX;
use thruway_wire::{Asn, RouterId};

use super::reader::{Reader, Section, Spot, keys};
use super::value::{BGP_PORT, FileMode, HostName, Listen, Many};
use super::{ApiTls, LogLevel, Mode, Server, Transport};

keys! {
    /// Keys of `[server]`.
    pub(super) struct ServerKeys {
        mode: Mode = "mode",
        asn: Asn = "asn",
        router_id: RouterId = "router-id",
        listen: Many<Listen> = "listen",
        api: SocketAddr = "api",
        api_hosts: Many<HostName> = "api-hosts",
        api_tokens: PathBuf = "api-tokens",
        api_certificate: PathBuf = "api-certificate",
        api_key: PathBuf = "api-key",
        api_client_ca: PathBuf = "api-client-ca",
        api_socket: PathBuf = "api-socket",
        api_socket_mode: FileMode = "api-socket-mode",
        api_socket_group: String = "api-socket-group",
        state: PathBuf = "state",
        workers: u16 = "workers",
        pin_workers: bool = "pin-workers",
        transport: Transport = "transport",
        log: LogLevel = "log",
        cluster_id: RouterId = "cluster-id",
        always_compare_med: bool = "always-compare-med",
        missing_med_worst: bool = "missing-med-worst",
    }
}

/// Reads and checks the table; `None` where what the rest depends on is missing.
pub(super) fn read(section: Option<&Section<'_>>, reader: &mut Reader) -> Option<Server> {
    let Some(section) = section else {
        reader.error(0, "server", "the table [server] is missing");
        return None;
    };
    section.check_keys(&[ServerKeys::KEYS], reader);
    let keys = ServerKeys::read(section, reader);
    let mode = match (&keys.mode, section.value("mode")) {
        (None, Some(_)) => return None,
        (mode, _) => mode.as_ref().map_or(Mode::Plain, |mode| mode.value),
    };
    let exchange = mode == Mode::Exchange;
    for key in ["asn", "router-id"] {
        if section.value(key).is_none() && !(exchange && key == "asn") {
            reader.error(section.line, &section.key(key), "the key is missing");
        }
    }
    let listen = listen(keys.listen, reader);
    let api_hosts = api_hosts(keys.api_hosts, reader);
    let workers = workers(keys.workers, reader);
    let asn = match keys.asn {
        None if exchange && section.value("asn").is_none() => EXCHANGE_AS,
        asn => asn?.value,
    };
    let router_id = keys.router_id?.value;
    let mode_of_socket = if keys.api_socket_group.is_some() {
        0o660
    } else {
        0o600
    };
    Some(Server {
        mode,
        asn,
        router_id,
        listen,
        api: api(
            keys.api,
            keys.api_tokens.is_some() || keys.api_client_ca.is_some(),
            reader,
        ),
        api_tls: tls(
            keys.api_certificate,
            keys.api_key,
            keys.api_client_ca,
            reader,
        ),
        api_hosts,
        api_tokens: keys.api_tokens.map(|path| reader.folder().join(path.value)),
        api_socket: value(keys.api_socket).unwrap_or_else(default_api_socket),
        api_socket_mode: keys
            .api_socket_mode
            .map_or(mode_of_socket, |mode| mode.value.0),
        api_socket_group: value(keys.api_socket_group),
        state: state(keys.state, reader),
        workers,
        pin_workers: value(keys.pin_workers).unwrap_or(false),
        transport: value(keys.transport).unwrap_or_default(),
        log: value(keys.log).unwrap_or(LogLevel::Info),
        cluster_id: value(keys.cluster_id).unwrap_or(router_id),
        decision: DecisionConfig {
            always_compare_med: value(keys.always_compare_med).unwrap_or(false),
            missing_med_worst: value(keys.missing_med_worst).unwrap_or(false),
        },
    })
}

/// The AS of virtual networks' route servers.
const EXCHANGE_AS: Asn = Asn(65515);

/// Where the switch's position is kept: beside the configuration file, unless it says otherwise.
fn state(key: Option<Spot<PathBuf>>, reader: &Reader) -> PathBuf {
    match key {
        Some(path) => reader.folder().join(path.value),
        None => {
            let mut path = reader.path().as_os_str().to_owned();
            path.push(".state");
            path.into()
        }
    }
}

fn value<T>(spot: Option<Spot<T>>) -> Option<T> {
    spot.map(|spot| spot.value)
}

/// Where to listen; every address of both families where nothing is said.
fn listen(keys: Option<Spot<Many<Listen>>>, reader: &mut Reader) -> Vec<SocketAddr> {
    let Some(keys) = keys else {
        let all = [
            IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::from(Ipv6Addr::UNSPECIFIED),
        ];
        return all.map(|addr| SocketAddr::new(addr, BGP_PORT)).to_vec();
    };
    let mut listen = Vec::new();
    for spot in keys.value.0 {
        let addr = spot.value.0;
        if listen.contains(&addr) {
            reader.error_at(&spot, format!("{addr} stands twice"));
        }
        listen.push(addr);
    }
    listen
}

/// The server's own certificate, and the CA of its clients'.
fn tls(
    certificate: Option<Spot<PathBuf>>,
    key: Option<Spot<PathBuf>>,
    client_ca: Option<Spot<PathBuf>>,
    reader: &mut Reader,
) -> Option<ApiTls> {
    let path = |spot: Spot<PathBuf>| reader.folder().join(spot.value);
    match (certificate, key, client_ca) {
        (Some(certificate), Some(key), ca) => Some(ApiTls {
            certificate: path(certificate),
            key: path(key),
            client_ca: ca.map(path),
        }),
        (None, None, None) => None,
        (Some(spot), None, _) => {
            reader.error_at(&spot, "it needs `api-key` beside it");
            None
        }
        (None, Some(spot), _) | (None, None, Some(spot)) => {
            reader.error_at(&spot, "it needs `api-certificate` and `api-key` beside it");
            None
        }
    }
}

/// Where to listen for HTTP: on the machine itself, or for who shows a token.
fn api(key: Option<Spot<SocketAddr>>, tokens: bool, reader: &mut Reader) -> Option<SocketAddr> {
    let spot = key?;
    let addr = spot.value;
    if !tokens && !addr.ip().to_canonical().is_loopback() {
        let message = format!(
            "anybody who reaches {addr} could ask: name a file of tokens with `api-tokens` (`thruway token add` \
             makes them) or a CA of certificates with `api-client-ca`, or listen on a loopback address, which serves readers only"
        );
        reader.error_at(&spot, message);
    }
    Some(addr)
}

/// Names of the API, each once.
fn api_hosts(keys: Option<Spot<Many<HostName>>>, reader: &mut Reader) -> Vec<String> {
    let mut names = Vec::new();
    for spot in keys.map(|keys| keys.value.0).unwrap_or_default() {
        let name = spot.value.0.clone();
        if names.contains(&name) {
            reader.error_at(&spot, format!("{name} stands twice"));
        }
        names.push(name);
    }
    names
}

fn workers(key: Option<Spot<u16>>, reader: &mut Reader) -> usize {
    match key {
        Some(spot) if !(1..=WORKERS_MAX).contains(&spot.value.into()) => {
            let message = format!("expected 1 to {WORKERS_MAX} workers, found {}", spot.value);
            reader.error_at(&spot, message);
            1
        }
        Some(spot) => spot.value.into(),
        None => default_workers(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// One worker for two cores. The kernel's part of the work, and an appliance's packets, want the
/// others; and what several workers share costs more than a worker more on a busy machine brings:
/// docs/performance.md has the figures.
fn default_workers(cores: usize) -> usize {
    (cores / 2).clamp(1, WORKERS_MAX)
}

/// Where the API's Unix socket is unless the configuration says otherwise, for the daemon and for
/// those who ask it: `/run/thruway.sock` for root, else `thruway.sock` in the user's runtime folder.
#[must_use]
pub fn default_api_socket() -> PathBuf {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !root && !folder.is_empty());
    folder
        .map_or_else(|| PathBuf::from("/run"), PathBuf::from)
        .join("thruway.sock")
}
