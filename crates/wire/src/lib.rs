//! The vocabulary of BGP and its bytes.
//!
//! Views borrow the received buffer and never allocate; owned types exist only where something is
//! stored. No function of this crate panics on any input bytes. The crate names no socket, file,
//! thread or clock.
//!
//! - vocabulary: [`Asn`], [`Family`], [`Prefix`], [`NextHop`], communities, [`RouterId`], [`Time`]
//! - messages: [`message`] frames them, [`open`], [`update`], [`notification`], [`refresh`] read
//!   them
//! - [`attrs`]: the attribute table, the canonical set ([`attrs::AttrSet`]) and its editor
//! - [`encode`]: UPDATEs for every kind of peer
//! - [`mrt`]: dump files, read and written
//! - [`fuzzing`]: entry points that assert properties of all of it
#![forbid(unsafe_code)]

mod asn;
pub mod attrs;
mod community;
pub mod encode;
mod error;
mod family;
pub mod fuzzing;
mod header;
pub mod limits;
pub mod message;
pub mod mrt;
mod next_hop;
pub mod notification;
pub mod open;
mod prefix;
mod reader;
pub mod refresh;
mod time;
pub mod update;

pub use asn::{Asn, RouterId};
pub use community::{
    Community, CommunityParseError, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity,
};
pub use error::{Field, WireError, WireErrorKind};
pub use family::{AfiSafi, Family, FamilySet};
pub use next_hop::{Link, NextHop};
pub use prefix::{Ipv4Prefix, Ipv6Prefix, Nlri, Prefix, PrefixKey, PrefixParseError};
pub use time::Time;
