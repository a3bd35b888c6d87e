//! The tables of a virtual network as they are written.

use std::net::IpAddr;

use thruway_exchange::Preference;
use thruway_wire::{Asn, Prefix};
use toml::Spanned;
use toml::de::DeValue;

use super::super::peer::{PeerKeys, tables};
use super::super::reader::{FromValue, Reader, Section, keys};
use super::super::value::Many;

keys! {
    /// Keys of `[vnet]`.
    pub(in super::super) struct VnetKeys {
        prefixes: Many<Prefix> = "prefixes",
        next_hop: Many<IpAddr> = "next-hop",
        peered: Many<PeeredKeys> = "peered",
    }
}

keys! {
    /// Keys of a member of `vnet.peered`.
    pub(in super::super) struct PeeredKeys {
        name: String = "name",
        prefixes: Many<Prefix> = "prefixes",
    }
}

keys! {
    /// Keys of `[route-exchange]`.
    pub(in super::super) struct SwitchKeys {
        enabled: bool = "enabled",
        preference: Preference = "preference",
    }
}

keys! {
    /// Keys of `[[nva]]`, besides those of its sessions.
    pub(in super::super) struct NvaKeys {
        name: String = "name",
        asn: Asn = "asn",
        addresses: Many<IpAddr> = "addresses",
    }
}

keys! {
    /// Keys of `[gateway.expressroute]` and `[gateway.vpn]`, besides those of its sessions.
    pub(in super::super) struct GatewayKeys {
        mode: String = "mode",
        subnet: Many<Prefix> = "subnet",
        instances: Many<IpAddr> = "instances",
    }
}

keys! {
    /// Keys of `[hosts]`.
    pub(in super::super) struct HostsKeys {
        table: u32 = "table",
        protocol: u8 = "protocol",
        metric: u32 = "metric",
        max_paths: u8 = "max-paths",
        keep_on_exit: bool = "keep-on-exit",
    }
}

tables!(PeeredKeys);

/// Keys of `[[peer]]` that sessions of NVAs and gateways have, too. The others say what the matrix
/// and the kind say already.
pub(in super::super) const SESSION_KEYS: &[&str] = &[
    "description",
    "shutdown",
    "port",
    "peers-max",
    "local-address",
    "passive",
    "connect-retry",
    "idle-hold",
    "idle-hold-max",
    "md5",
    "gtsm",
    "ttl",
    "families",
    "hold-time",
    "send-hold",
    "add-path",
    "extended-message",
    "extended-next-hop",
    "graceful-restart",
    "long-lived",
    "import",
    "export",
    "max-prefixes",
    "max-advertised",
    "allow-as-sets",
    "allow-martians",
    "enforce-first-as",
    "as-path-max",
    "next-hop",
    "subnets",
];

/// Reads the keys of sessions, and notes keys that are neither these nor among `own`.
pub(super) fn session_keys(section: &Section<'_>, own: &[&str], reader: &mut Reader) -> PeerKeys {
    let mut noted = Vec::new();
    for key in section.table.keys() {
        let name = key.get_ref().as_ref();
        if own.contains(&name) || SESSION_KEYS.contains(&name) || !PeerKeys::KEYS.contains(&name) {
            continue;
        }
        let line = reader.line(key.span());
        let message = "this key of a [[peer]] has no place here: what the neighbour is to the \
                       virtual network decides it";
        reader.error(line, &section.key(name), message);
        noted.push(name);
    }
    section.check_keys(&[own, SESSION_KEYS, &noted], reader);
    PeerKeys::read(section, reader)
}
