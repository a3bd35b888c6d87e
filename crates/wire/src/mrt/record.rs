//! One record as a view over its octets.

use super::{Bgp4mpMessage, MrtHeader, PeerIndexTable, Rib, StateChange, TableDump, code};
use crate::WireError;

/// A record's body, by type and subtype. Open to growth: match with a wildcard.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum MrtRecord<'a> {
    /// TABLE_DUMP (RFC 6396 §4.2).
    TableDump(TableDump<'a>),
    /// PEER_INDEX_TABLE of TABLE_DUMP_V2 (§4.3.1).
    PeerIndexTable(PeerIndexTable<'a>),
    /// One prefix of TABLE_DUMP_V2 (§4.3.2, RFC 8050 §4).
    Rib(Rib<'a>),
    /// A message of BGP4MP or BGP4MP_ET (§4.4.2 to §4.4.4, RFC 8050 §3).
    Message(Bgp4mpMessage<'a>),
    /// A state change of BGP4MP or BGP4MP_ET (§4.4.1).
    StateChange(StateChange),
    /// A type or subtype that is not read here; the octets behind header and microseconds.
    Unsupported(&'a [u8]),
}

impl<'a> MrtRecord<'a> {
    /// Reads the `body` that stands behind `header` (and behind the microseconds). All of the body
    /// is checked, so that the iterators of the views run to their end.
    ///
    /// # Errors
    /// [`WireError`] with the offset in the body: a field or an entry does not fit, or is left
    /// over.
    pub fn parse(header: &MrtHeader, body: &'a [u8]) -> Result<Self, WireError> {
        use code::{bgp4mp, table_dump, table_dump_v2};
        let subtype = header.subtype;
        match header.kind {
            code::TABLE_DUMP if matches!(subtype, table_dump::IPV4 | table_dump::IPV6) => {
                TableDump::parse(subtype, body).map(Self::TableDump)
            }
            code::TABLE_DUMP_V2 if subtype == table_dump_v2::PEER_INDEX_TABLE => {
                PeerIndexTable::parse(body).map(Self::PeerIndexTable)
            }
            code::TABLE_DUMP_V2 => match Rib::kind(subtype) {
                Some((family, add_path)) => Rib::parse(family, add_path, body).map(Self::Rib),
                None => Ok(Self::Unsupported(body)),
            },
            code::BGP4MP | code::BGP4MP_ET => match subtype {
                bgp4mp::STATE_CHANGE | bgp4mp::STATE_CHANGE_AS4 => {
                    StateChange::parse(subtype, body).map(Self::StateChange)
                }
                bgp4mp::ENTRY | bgp4mp::SNAPSHOT => Ok(Self::Unsupported(body)),
                0..=bgp4mp::MESSAGE_AS4_LOCAL_ADDPATH => {
                    Bgp4mpMessage::parse(subtype, body).map(Self::Message)
                }
                _ => Ok(Self::Unsupported(body)),
            },
            _ => Ok(Self::Unsupported(body)),
        }
    }
}
