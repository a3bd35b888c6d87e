//! Values as people write them in the file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use thruway_engine::PeerRole;
use thruway_exchange::{Kind, Preference};
use thruway_rib::{AddPathSend, LimitAction};
use thruway_session::{RemoteAs, Role};
use thruway_wire::{Asn, FamilySet, Prefix, RouterId};

use super::{GracefulRestart, LogLevel, MaxPrefixes, Mode, NextHopRule, Secret, Transport};

/// A value that a plan shows.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

/// As `Display` has them.
macro_rules! as_displayed {
    ($($type:ty),+) => {
        $(impl Shown for $type {
            fn shown(&self) -> String {
                self.to_string()
            }
        })+
    };
}

/// By their names in the file.
macro_rules! by_name {
    ($($type:ty: $($value:path => $name:literal),+;)+) => {
        $(impl Shown for $type {
            fn shown(&self) -> String {
                match self {
                    $($value => $name,)+
                }
                .to_owned()
            }
        })+
    };
}

as_displayed!(
    bool, u8, u16, u32, usize, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, Asn, Prefix, RouterId, Kind
);

by_name! {
    PeerRole: PeerRole::RouteServerClient => "route-server-client", PeerRole::External => "external",
        PeerRole::Internal => "internal", PeerRole::ReflectorClient => "route-reflector-client",
        PeerRole::Local => "local";
    Role: Role::Provider => "provider", Role::RouteServer => "route-server",
        Role::RouteServerClient => "route-server-client", Role::Customer => "customer",
        Role::Peer => "peer";
    Transport: Transport::Auto => "auto", Transport::IoUring => "io-uring",
        Transport::Epoll => "epoll";
    LimitAction: LimitAction::Warn => "warn", LimitAction::Block => "block",
        LimitAction::Restart => "restart";
}

impl Shown for String {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> String {
        self.display().to_string()
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        format!("{} s", self.as_secs())
    }
}

impl Shown for Mode {
    fn shown(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Shown for LogLevel {
    fn shown(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Shown for Preference {
    fn shown(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Shown for Secret {
    fn shown(&self) -> String {
        "(a key)".to_owned()
    }
}

impl Shown for FamilySet {
    fn shown(&self) -> String {
        let names: Vec<String> = self.iter().map(|family| family.to_string()).collect();
        format!("[{}]", names.join(", "))
    }
}

impl Shown for RemoteAs {
    fn shown(&self) -> String {
        match self {
            RemoteAs::One(asn) => asn.shown(),
            RemoteAs::OneOf(list) => list.shown(),
            RemoteAs::Any => "any".to_owned(),
        }
    }
}

impl Shown for AddPathSend {
    fn shown(&self) -> String {
        match self {
            AddPathSend::Off => "false".to_owned(),
            AddPathSend::All => "all".to_owned(),
            AddPathSend::Best(most) => most.to_string(),
            AddPathSend::Multipath(most) => format!("multipath {most}"),
        }
    }
}

impl Shown for GracefulRestart {
    fn shown(&self) -> String {
        let GracefulRestart {
            restart_time,
            helper_time_max,
            notification,
        } = self;
        format!("{restart_time} s, for a peer {helper_time_max} s, by NOTIFICATION {notification}")
    }
}

impl Shown for MaxPrefixes {
    fn shown(&self) -> String {
        let of = if self.accepted_only { " accepted" } else { "" };
        format!("{}{of}, {}", self.limit, self.action.shown())
    }
}

impl Shown for [Option<MaxPrefixes>; 2] {
    fn shown(&self) -> String {
        let [v4, v6] = self;
        if v4 == v6 {
            return v4.shown();
        }
        format!("ipv4 {}; ipv6 {}", v4.shown(), v6.shown())
    }
}

impl Shown for NextHopRule {
    fn shown(&self) -> String {
        match self {
            NextHopRule::Peer => "peer".to_owned(),
            NextHopRule::SameAs => "same-as".to_owned(),
            NextHopRule::Subnet(prefixes) => format!("subnet {}", prefixes.shown()),
            NextHopRule::Any => "any".to_owned(),
        }
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref()
            .map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

/// Members of a list that are shown.
const LIST_MAX: usize = 8;

impl<T: Shown> Shown for Vec<T> {
    fn shown(&self) -> String {
        let mut list: Vec<String> = self.iter().take(LIST_MAX).map(Shown::shown).collect();
        if self.len() > LIST_MAX {
            list.push(format!("and {} more", self.len() - LIST_MAX));
        }
        format!("[{}]", list.join(", "))
    }
}
