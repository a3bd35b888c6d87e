//! MRT types and subtypes (IANA "Multi-threaded Routing Toolkit (MRT)").

/// The last of the types 0 to 10, which were deprecated before RFC 6396 (its appendix B).
pub const DEPRECATED_MAX: u16 = 10;
/// OSPFv2 (RFC 6396 §4.1).
pub const OSPF_V2: u16 = 11;
/// One entry a record, two-octet AS numbers (RFC 6396 §4.2).
pub const TABLE_DUMP: u16 = 12;
/// One prefix a record, behind a table of peers (RFC 6396 §4.3).
pub const TABLE_DUMP_V2: u16 = 13;
/// Messages and state changes (RFC 6396 §4.4).
pub const BGP4MP: u16 = 16;
/// The same with microseconds (RFC 6396 §3).
pub const BGP4MP_ET: u16 = 17;
/// IS-IS (RFC 6396 §4.5).
pub const ISIS: u16 = 32;
/// IS-IS with microseconds.
pub const ISIS_ET: u16 = 33;
/// OSPFv3 (RFC 6396 §4.6).
pub const OSPF_V3: u16 = 48;
/// OSPFv3 with microseconds.
pub const OSPF_V3_ET: u16 = 49;

/// Subtypes of TABLE_DUMP: the AFI.
pub mod table_dump {
    /// IPv4.
    pub const IPV4: u16 = 1;
    /// IPv6.
    pub const IPV6: u16 = 2;
}

/// Subtypes of TABLE_DUMP_V2 (RFC 6396 §4.3, RFC 8050 §4).
pub mod table_dump_v2 {
    /// The peers that the RIB records point at.
    pub const PEER_INDEX_TABLE: u16 = 1;
    /// IPv4 unicast.
    pub const RIB_IPV4_UNICAST: u16 = 2;
    /// IPv4 multicast.
    pub const RIB_IPV4_MULTICAST: u16 = 3;
    /// IPv6 unicast.
    pub const RIB_IPV6_UNICAST: u16 = 4;
    /// IPv6 multicast.
    pub const RIB_IPV6_MULTICAST: u16 = 5;
    /// Any other family.
    pub const RIB_GENERIC: u16 = 6;
    /// Peers' places (RFC 6397).
    pub const GEO_PEER_TABLE: u16 = 7;
    /// IPv4 unicast with path identifiers.
    pub const RIB_IPV4_UNICAST_ADDPATH: u16 = 8;
    /// IPv4 multicast with path identifiers.
    pub const RIB_IPV4_MULTICAST_ADDPATH: u16 = 9;
    /// IPv6 unicast with path identifiers.
    pub const RIB_IPV6_UNICAST_ADDPATH: u16 = 10;
    /// IPv6 multicast with path identifiers.
    pub const RIB_IPV6_MULTICAST_ADDPATH: u16 = 11;
    /// Any other family, with path identifiers.
    pub const RIB_GENERIC_ADDPATH: u16 = 12;
}

/// Subtypes of BGP4MP and BGP4MP_ET (RFC 6396 §4.4, RFC 8050 §3).
pub mod bgp4mp {
    /// State change, two-octet AS numbers.
    pub const STATE_CHANGE: u16 = 0;
    /// Message, two-octet AS numbers.
    pub const MESSAGE: u16 = 1;
    /// Deprecated.
    pub const ENTRY: u16 = 2;
    /// Deprecated.
    pub const SNAPSHOT: u16 = 3;
    /// Message, four-octet AS numbers.
    pub const MESSAGE_AS4: u16 = 4;
    /// State change, four-octet AS numbers.
    pub const STATE_CHANGE_AS4: u16 = 5;
    /// As MESSAGE, sent by the collector.
    pub const MESSAGE_LOCAL: u16 = 6;
    /// As MESSAGE_AS4, sent by the collector.
    pub const MESSAGE_AS4_LOCAL: u16 = 7;
    /// As MESSAGE, NLRI with path identifiers.
    pub const MESSAGE_ADDPATH: u16 = 8;
    /// As MESSAGE_AS4, NLRI with path identifiers.
    pub const MESSAGE_AS4_ADDPATH: u16 = 9;
    /// As MESSAGE_LOCAL, NLRI with path identifiers.
    pub const MESSAGE_LOCAL_ADDPATH: u16 = 10;
    /// As MESSAGE_AS4_LOCAL, NLRI with path identifiers.
    pub const MESSAGE_AS4_LOCAL_ADDPATH: u16 = 11;
}
