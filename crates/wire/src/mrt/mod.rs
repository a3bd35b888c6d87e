//! MRT dump files (RFC 6396, RFC 8050), read and written.
//!
//! [`MrtReader`] finds records in bytes that arrive in pieces and says where the damaged ones are.
//! [`MrtRecord`] is the view of one: TABLE_DUMP, TABLE_DUMP_V2, BGP4MP and BGP4MP_ET; everything
//! else is stepped over as [`MrtRecord::Unsupported`], and has an [`MrtName`] all the same.
//! [`rib_entry_attrs`] makes a canonical set of a RIB entry's path attributes. [`mod@write`] is the way
//! back.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

mod attrs;
mod bgp4mp;
pub mod code;
pub mod fuzzing;
mod header;
mod names;
mod peers;
mod reader;
mod record;
mod rib;
mod table_dump;
#[cfg(test)]
mod tests;
pub mod write;

pub use attrs::{MpReach, rib_entry_attrs};
pub use bgp4mp::{Bgp4mpMessage, Bgp4mpSession, StateChange};
pub use header::{MRT_HEADER_LEN, MrtHeader};
pub use names::MrtName;
pub use peers::{MrtPeer, PeerIndexTable};
pub use reader::{Frame, Framed, MrtReader, Step};
pub use record::MrtRecord;
pub use rib::{Rib, RibEntry};
pub use table_dump::{TableDump, TableDumpEntry};
