//! What the types and subtypes of records are called (RFC 6396 §4 and appendix B, RFC 6397, RFC 8050).

use std::fmt;

use super::{MrtHeader, code};

/// A record's type and subtype in words: `BGP4MP MESSAGE_AS4`, `OSPFv2`, `type 70 subtype 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MrtName {
    /// Type, see [`code`].
    pub kind: u16,
    /// Subtype; 0 for types whose subtypes have no names, so that they are one name.
    pub subtype: u16,
}

impl MrtHeader {
    /// The name of the type; `None` where none is registered.
    #[must_use]
    pub fn type_name(&self) -> Option<&'static str> {
        type_name(self.kind)
    }

    /// The name of the subtype; `None` where it has none.
    #[must_use]
    pub fn subtype_name(&self) -> Option<&'static str> {
        subtype_name(self.kind, self.subtype)
    }

    /// Type and subtype in words.
    #[must_use]
    pub fn name(&self) -> MrtName {
        let nameless = type_name(self.kind).is_some() && subtypes(self.kind).is_empty();
        MrtName {
            kind: self.kind,
            subtype: if nameless { 0 } else { self.subtype },
        }
    }
}

impl MrtName {
    /// True where type and subtype are registered.
    #[must_use]
    pub fn is_registered(self) -> bool {
        let subtypes = subtypes(self.kind);
        let known = subtypes.is_empty() || subtype_name(self.kind, self.subtype).is_some();
        type_name(self.kind).is_some() && known
    }
}

impl fmt::Display for MrtName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MrtName { kind, subtype } = *self;
        match (type_name(kind), subtype_name(kind, subtype)) {
            (Some(kind), Some(subtype)) => write!(f, "{kind} {subtype}"),
            (Some(name), None) if subtypes(kind).is_empty() => f.write_str(name),
            (Some(name), None) => write!(f, "{name} subtype {subtype}"),
            (None, _) => write!(f, "type {kind} subtype {subtype}"),
        }
    }
}

fn type_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        0..=code::DEPRECATED_MAX => DEPRECATED.get(usize::from(kind))?,
        code::OSPF_V2 => "OSPFv2",
        code::TABLE_DUMP => "TABLE_DUMP",
        code::TABLE_DUMP_V2 => "TABLE_DUMP_V2",
        code::BGP4MP => "BGP4MP",
        code::BGP4MP_ET => "BGP4MP_ET",
        code::ISIS => "ISIS",
        code::ISIS_ET => "ISIS_ET",
        code::OSPF_V3 => "OSPFv3",
        code::OSPF_V3_ET => "OSPFv3_ET",
        _ => return None,
    })
}

/// The names of a type's subtypes, empty for numbers without one; none where the type has none.
fn subtypes(kind: u16) -> &'static [&'static str] {
    match kind {
        code::TABLE_DUMP => &TABLE_DUMP,
        code::TABLE_DUMP_V2 => &TABLE_DUMP_V2,
        code::BGP4MP | code::BGP4MP_ET => &BGP4MP,
        _ => &[],
    }
}

fn subtype_name(kind: u16, subtype: u16) -> Option<&'static str> {
    let name = subtypes(kind).get(usize::from(subtype)).copied();
    name.filter(|name| !name.is_empty())
}

const DEPRECATED: [&str; 11] = [
    "NULL",
    "START",
    "DIE",
    "I_AM_DEAD",
    "PEER_DOWN",
    "BGP",
    "RIP",
    "IDRP",
    "RIPNG",
    "BGP4PLUS",
    "BGP4PLUS_01",
];

/// 3 and 4 are registered nowhere; Quagga wrote them for four-octet AS numbers.
const TABLE_DUMP: [&str; 5] = [
    "",
    "AFI_IPv4",
    "AFI_IPv6",
    "AFI_IPv4_32BIT_AS",
    "AFI_IPv6_32BIT_AS",
];

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
