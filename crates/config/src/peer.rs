//! `[[peer]]` and `[peer-group.NAME]` as they are written.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thruway_engine::PeerRole;
use thruway_rib::LimitAction;
use thruway_session::Role;
use thruway_wire::{Family, Prefix};
use toml::Spanned;
use toml::de::DeValue;

use super::reader::{FromValue, Reader, Section, Spot, keys, tables_of};
use super::value::{CountedPrefixes, Many, NextHopWord, PathCount, PeerAs, RestartAfter};

keys! {
    /// Keys that only a peer has.
    pub(super) struct PeerOnly {
        name: String = "name",
        group: String = "group",
        address: IpAddr = "address",
        prefix: Prefix = "prefix",
    }
}

keys! {
    /// Keys of a peer that it may also inherit from its group.
    pub(super) struct PeerKeys inherits {
        role: PeerRole = "role",
        asn: PeerAs = "asn",
        description: String = "description",
        shutdown: bool = "shutdown",
        port: u16 = "port",
        peers_max: u32 = "peers-max",
        local_address: IpAddr = "local-address",
        passive: bool = "passive",
        connect_retry: Duration = "connect-retry",
        idle_hold: Duration = "idle-hold",
        idle_hold_max: Duration = "idle-hold-max",
        md5: Md5 = "md5",
        gtsm: u8 = "gtsm",
        ttl: u8 = "ttl",
        families: Many<Family> = "families",
        hold_time: u16 = "hold-time",
        send_hold: Duration = "send-hold",
        add_path: AddPathKeys = "add-path",
        extended_message: bool = "extended-message",
        extended_next_hop: bool = "extended-next-hop",
        graceful_restart: Restart = "graceful-restart",
        long_lived: u32 = "long-lived",
        bgp_role: Role = "bgp-role",
        bgp_role_strict: bool = "bgp-role-strict",
        import: String = "import",
        export: String = "export",
        max_prefixes: MaxPrefixKeys = "max-prefixes",
        max_advertised: MaxAdvertisedKeys = "max-advertised",
        interpret_communities: bool = "interpret-communities",
        allow_as_sets: bool = "allow-as-sets",
        allow_own_as: u8 = "allow-own-as",
        allow_martians: Many<Prefix> = "allow-martians",
        enforce_first_as: bool = "enforce-first-as",
        as_path_max: u16 = "as-path-max",
        next_hop: NextHopWord = "next-hop",
        subnets: Many<Prefix> = "subnets",
        next_hop_self: bool = "next-hop-self",
        own_next_hop: Many<IpAddr> = "own-next-hop",
        prepend_own_as: bool = "prepend-own-as",
        send_med: bool = "send-med",
        alternatives: bool = "alternatives",
    }
}

/// A TCP MD5 key, or where it is kept.
#[derive(Clone)]
pub(super) enum Md5 {
    Password(String),
    File(PathBuf),
}

impl std::fmt::Debug for Md5 {
    // A key must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Md5::Password(_) => f.write_str("Password(…)"),
            Md5::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

keys! {
    /// Keys of `md5`, where it is a table.
    pub(super) struct Md5Keys {
        password: String = "password",
        password_file: PathBuf = "password-file",
    }
}

impl FromValue for Md5 {
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self> {
        if let Some(text) = value.get_ref().as_str() {
            return Some(Md5::Password(text.into()));
        }
        let section = Section::new(value, key.into(), reader)?;
        section.check_keys(&[Md5Keys::KEYS], reader);
        let keys = Md5Keys::read(&section, reader);
        match (keys.password, keys.password_file) {
            (Some(password), None) => Some(Md5::Password(password.value)),
            (None, Some(file)) => Some(Md5::File(file.value)),
            (None, None) | (Some(_), Some(_)) => {
                let message = "expected either `password` or `password-file`";
                reader.error(section.line, key, message);
                None
            }
        }
    }
}

keys! {
    /// Keys of `add-path`.
    pub(super) struct AddPathKeys {
        receive: bool = "receive",
        send: PathCount = "send",
    }
}

keys! {
    /// Keys of `graceful-restart`, where it is a table.
    pub(super) struct RestartKeys {
        restart_time: u16 = "restart-time",
        helper_time_max: u16 = "helper-time-max",
        notification: bool = "notification",
    }
}

/// `graceful-restart`: on or off, or on with these times.
#[derive(Clone, Debug)]
pub(super) enum Restart {
    Off,
    On(Box<RestartKeys>),
}

impl FromValue for Restart {
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_bool() {
            Some(false) => Some(Restart::Off),
            Some(true) => Some(Restart::On(Box::default())),
            None => {
                RestartKeys::from_value(value, key, reader).map(|keys| Restart::On(Box::new(keys)))
            }
        }
    }
}

keys! {
    /// Keys of `max-prefixes`.
    pub(super) struct MaxPrefixKeys {
        limit: u32 = "limit",
        ipv4: u32 = "ipv4",
        ipv6: u32 = "ipv6",
        threshold: u8 = "threshold",
        action: LimitAction = "action",
        restart_after: RestartAfter = "restart-after",
        count: CountedPrefixes = "count",
    }
}

keys! {
    /// Keys of `max-advertised`.
    pub(super) struct MaxAdvertisedKeys {
        limit: u32 = "limit",
        ipv4: u32 = "ipv4",
        ipv6: u32 = "ipv6",
        threshold: u8 = "threshold",
        action: LimitAction = "action",
        restart_after: RestartAfter = "restart-after",
    }
}

impl From<MaxAdvertisedKeys> for MaxPrefixKeys {
    /// Only what passed the policy is told.
    fn from(keys: MaxAdvertisedKeys) -> Self {
        MaxPrefixKeys {
            limit: keys.limit,
            ipv4: keys.ipv4,
            ipv6: keys.ipv6,
            threshold: keys.threshold,
            action: keys.action,
            restart_after: keys.restart_after,
            count: None,
        }
    }
}

/// Tables whose keys are read as they stand.
macro_rules! tables {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(
                value: &Spanned<DeValue<'_>>,
                key: &str,
                reader: &mut Reader,
            ) -> Option<Self> {
                let section = Section::new(value, key.into(), reader)?;
                section.check_keys(&[<$type>::KEYS], reader);
                Some(<$type>::read(&section, reader))
            }
        }
    )*};
}
pub(super) use tables;
tables!(AddPathKeys, RestartKeys, MaxPrefixKeys, MaxAdvertisedKeys);

/// A `[peer-group.NAME]`.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) keys: PeerKeys,
}

/// Reads `[peer-group.NAME]` tables.
pub(super) fn read_groups(section: Option<&Section<'_>>, reader: &mut Reader) -> Vec<Group> {
    let Some(section) = section else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    for (name, section) in section.named(reader) {
        for key in section.table.keys() {
            let key_name = key.get_ref().as_ref();
            if PeerOnly::KEYS.contains(&key_name) {
                let line = reader.line(key.span());
                let message = "this key belongs to a [[peer]], not to a group";
                reader.error(line, &section.key(key_name), message);
            }
        }
        section.check_keys(&[PeerKeys::KEYS, PeerOnly::KEYS], reader);
        let keys = PeerKeys::read(&section, reader);
        groups.push(Group {
            name,
            line: section.line,
            keys,
        });
    }
    groups
}

/// A `[[peer]]` before it inherits.
#[derive(Debug)]
pub(super) struct RawPeer {
    pub(super) only: PeerOnly,
    pub(super) keys: PeerKeys,
    pub(super) line: usize,
    /// `peer.NAME`, or `peer[3]` without a name, counted from 1.
    pub(super) path: String,
    /// True where the table holds this key, be it right or wrong.
    pub(super) has_target: bool,
    pub(super) has_group: bool,
}

/// Reads `[[peer]]` tables.
pub(super) fn read_peers(
    value: Option<&Spanned<DeValue<'_>>>,
    reader: &mut Reader,
) -> Vec<RawPeer> {
    let Some(value) = value else {
        return Vec::new();
    };
    let list = tables_of(value, ("peer", "peers"), reader);
    let mut peers = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let name = value
            .get_ref()
            .get("name")
            .and_then(|name| name.get_ref().as_str());
        let path = match name {
            Some(name) => format!("peer.{name}"),
            None => format!("peer[{}]", index + 1),
        };
        let Some(section) = Section::new(value, path, reader) else {
            continue;
        };
        section.check_keys(&[PeerOnly::KEYS, PeerKeys::KEYS], reader);
        peers.push(RawPeer {
            only: PeerOnly::read(&section, reader),
            keys: PeerKeys::read(&section, reader),
            line: section.line,
            has_target: ["address", "prefix"]
                .iter()
                .any(|key| section.value(key).is_some()),
            has_group: section.value("group").is_some(),
            path: section.path,
        });
    }
    peers
}

impl<T> Spot<T> {
    /// The value, where there is one.
    pub(super) fn value(spot: Option<Self>) -> Option<T> {
        spot.map(|spot| spot.value)
    }
}
