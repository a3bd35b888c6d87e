//! A BGP message with what is known around it, from a dump or from text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use thruway_wire::mrt::{Bgp4mpMessage, Bgp4mpSession, MrtHeader};
use thruway_wire::notification::Notification;
use thruway_wire::open::Open;
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::update::{UpdateContext, UpdateView, Verdict};
use thruway_wire::{Asn, FamilySet, WireError, limits};

use super::facts::{Facts, Fields, Shape, guess_as4};

/// Type code of UPDATE.
pub(super) const UPDATE: u8 = 2;

/// What keeps a record or message from being shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The lengths in an UPDATE contradict each other.
    Lengths,
    /// A RIB entry names a peer that no table has.
    NoPeer(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Lengths => f.write_str("the lengths in the UPDATE exceed the message"),
            Failure::NoPeer(index) => write!(f, "no peer has the index {index} of a RIB entry"),
        }
    }
}

/// A whole message, 19 octets at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// When and in what kind of record; all zero for messages from text.
    pub(super) header: MrtHeader,
    /// Between whom; unspecified for messages from text.
    pub(super) session: Bgp4mpSession,
    /// Whether AS numbers have four octets; `None` where nothing tells.
    pub(super) as4: Option<bool>,
    /// NLRI carry path identifiers.
    pub(super) add_path: bool,
    /// Sent by the collector.
    pub(super) local: bool,
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The message of a record.
    pub(super) fn recorded(header: MrtHeader, message: &Bgp4mpMessage<'a>) -> Self {
        Packet {
            header,
            session: message.session,
            as4: Some(message.as4),
            add_path: message.add_path,
            local: message.local,
            bytes: message.message,
        }
    }

    /// A message without anything around it.
    pub(super) fn bare(bytes: &'a [u8], as4: Option<bool>, add_path: bool) -> Self {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Packet {
            header: MrtHeader {
                timestamp: 0,
                micros: None,
                kind: 0,
                subtype: 0,
                len: 0,
            },
            session: Bgp4mpSession {
                peer_as: Asn::ZERO,
                local_as: Asn::ZERO,
                interface: 0,
                peer_addr: nobody,
                local_addr: nobody,
            },
            as4,
            add_path,
            local: false,
            bytes,
        }
    }

    /// Type code (RFC 4271 §4.1); 0 in what is no message.
    pub(super) fn kind(&self) -> u8 {
        self.bytes
            .get(limits::HEADER_LEN - 1)
            .copied()
            .unwrap_or_default()
    }

    /// What follows the header.
    pub(super) fn body(&self) -> &'a [u8] {
        self.bytes.get(limits::HEADER_LEN..).unwrap_or_default()
    }

    /// How to read the attributes of an UPDATE.
    pub(super) fn shape(&self, fields: &Fields<'_>) -> Shape {
        let as4 = self.as4.unwrap_or_else(|| guess_as4(fields.attrs));
        Shape {
            rib: false,
            as2: !as4,
        }
    }

    /// The message by its meaning.
    pub(super) fn meaning(&self) -> Meaning<'a> {
        let body = self.body();
        match self.kind() {
            1 => Open::parse(body).map_or_else(Meaning::Refused, Meaning::Open),
            UPDATE => Fields::locate(body).map_or(Meaning::Torn, Meaning::Update),
            3 => Meaning::Notification(Notification::parse(body)),
            4 => Meaning::Keepalive,
            5 => match RouteRefresh::parse(body) {
                Ok(Some(refresh)) => Meaning::RouteRefresh(refresh),
                Ok(None) => Meaning::Unknown(body),
                Err(refusal) => Meaning::Refused(refusal),
            },
            _ => Meaning::Unknown(body),
        }
    }

    /// What a session would make of an UPDATE's errors (RFC 7606); `None` where there are none.
    /// Without a session, an UPDATE with LOCAL_PREF counts as one from the same AS.
    pub(super) fn verdict(
        &self,
        facts: &Facts<'_>,
        shape: Shape,
        add_path: bool,
    ) -> Option<(Verdict, Option<WireError>)> {
        let known = self.session.peer_as != Asn::ZERO && self.session.local_as != Asn::ZERO;
        let external = if known {
            self.session.peer_as != self.session.local_as
        } else {
            facts.local_pref.is_none()
        };
        let ctx = UpdateContext {
            as4: !shape.as2,
            external,
            families: FamilySet::ALL,
            add_path: if add_path {
                FamilySet::ALL
            } else {
                FamilySet::EMPTY
            },
        };
        let view = UpdateView::parse(self.body(), &ctx);
        (view.verdict() != Verdict::Ok).then(|| (view.verdict(), view.error()))
    }
}

/// A message's body, read.
pub(super) enum Meaning<'a> {
    Open(Open),
    Update(Fields<'a>),
    Notification(Notification),
    Keepalive,
    RouteRefresh(RouteRefresh),
    /// A type or form that is not read here.
    Unknown(&'a [u8]),
    /// An UPDATE whose lengths contradict each other.
    Torn,
    /// What a session would answer with.
    Refused(Notification),
}

/// The name of a message type.
pub(super) fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "OPEN",
        UPDATE => "UPDATE",
        3 => "NOTIFICATION",
        4 => "KEEPALIVE",
        5 => "ROUTE-REFRESH",
        _ => "UNKNOWN",
    }
}

/// A verdict in the RFC's words.
pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Discard => "attribute-discard",
        Verdict::Withdraw => "treat-as-withdraw",
        Verdict::Disable(_) => "afi-safi-disable",
        Verdict::Reset => "session-reset",
    }
}

/// The names of a record's type and subtype (RFC 6396 §4, RFC 8050); empty for one without.
pub(super) fn record_name(header: &MrtHeader) -> (&'static str, &'static str) {
    use thruway_wire::mrt::code;
    let one_of = |names: &[&'static str]| {
        names
            .get(usize::from(header.subtype))
            .copied()
            .unwrap_or_default()
    };
    match header.kind {
        code::OSPF_V2 => ("OSPFv2", ""),
        code::TABLE_DUMP => ("TABLE_DUMP", one_of(&["", "AFI_IPv4", "AFI_IPv6"])),
        code::TABLE_DUMP_V2 => ("TABLE_DUMP_V2", one_of(&TABLE_DUMP_V2)),
        code::BGP4MP => ("BGP4MP", one_of(&BGP4MP)),
        code::BGP4MP_ET => ("BGP4MP_ET", one_of(&BGP4MP)),
        code::ISIS => ("ISIS", ""),
        code::ISIS_ET => ("ISIS_ET", ""),
        code::OSPF_V3 => ("OSPFv3", ""),
        code::OSPF_V3_ET => ("OSPFv3_ET", ""),
        _ => ("", ""),
    }
}

const TABLE_DUMP_V2: [&str; 13] = [
    "",
    "PEER_INDEX_TABLE",
    "RIB_IPV4_UNICAST",
    "RIB_IPV4_MULTICAST",
    "RIB_IPV6_UNICAST",
    "RIB_IPV6_MULTICAST",
    "RIB_GENERIC",
    "GEO_PEER_TABLE",
    "RIB_IPV4_UNICAST_ADDPATH",
    "RIB_IPV4_MULTICAST_ADDPATH",
    "RIB_IPV6_UNICAST_ADDPATH",
    "RIB_IPV6_MULTICAST_ADDPATH",
    "RIB_GENERIC_ADDPATH",
];

const BGP4MP: [&str; 12] = [
    "STATE_CHANGE",
    "MESSAGE",
    "ENTRY",
    "SNAPSHOT",
    "MESSAGE_AS4",
    "STATE_CHANGE_AS4",
    "MESSAGE_LOCAL",
    "MESSAGE_AS4_LOCAL",
    "MESSAGE_ADDPATH",
    "MESSAGE_AS4_ADDPATH",
    "MESSAGE_LOCAL_ADDPATH",
    "MESSAGE_AS4_LOCAL_ADDPATH",
];

/// The name of a session's state, as dumps number them.
pub(super) fn state_name(state: u16) -> &'static str {
    match state {
        1 => "Idle",
        2 => "Connect",
        3 => "Active",
        4 => "OpenSent",
        5 => "OpenConfirm",
        6 => "Established",
        7 => "Clearing",
        8 => "Deleted",
        _ => "Unknown",
    }
}

/// The name of an ORIGIN (RFC 4271 §5.1.1).
pub(super) fn origin_name(origin: u8) -> &'static str {
    match origin {
        0 => "IGP",
        1 => "EGP",
        2 => "INCOMPLETE",
        _ => "UNKNOWN",
    }
}
