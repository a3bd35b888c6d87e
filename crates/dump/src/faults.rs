//! What is wrong in records and messages that can be shown all the same.
//!
//! Lengths that contradict each other keep a record from being read, and the reader says so. What
//! stands here is told besides: a value that its RFC does not have, a peer that no table has, or a
//! part that does not read to its end.

use std::fmt;

use thruway_replay::mrt_file::MrtItem;
use thruway_wire::AfiSafi;
use thruway_wire::attrs::Attrs;
use thruway_wire::limits::EXTENDED_MESSAGE_LEN_MAX;
use thruway_wire::message;
use thruway_wire::mrt::{MrtName, MrtPeer, MrtRecord};

/// Octets of a message's marker (RFC 4271 §4.1).
pub(super) const MARKER_LEN: usize = 16;

/// Microseconds of a second.
const SECOND: u32 = 1_000_000;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The type or subtype is registered nowhere.
    UnknownRecord(MrtName),
    /// Microseconds of a second or more.
    Micros(u32),
    /// A peer of a table has a type with unknown bits: place and type.
    PeerType(usize, u8),
    /// A state change from or to a number that is no state.
    State(u16),
    /// A RIB entry names a peer that no table has.
    NoPeer(u16),
    /// The marker of a message.
    Marker([u8; MARKER_LEN]),
    /// The header or a field of a message: what a session would answer.
    Refused(String),
    /// The lengths in an UPDATE contradict each other.
    Lengths,
    /// So many octets at the end of the path attributes make no whole one.
    Attributes(usize),
    /// NLRI that do not read to their end.
    Nlri(AfiSafi),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::UnknownRecord(name) => write!(f, "{name} is not known, skipped"),
            Fault::Micros(micros) => write!(f, "{micros} microseconds are more than a second has"),
            Fault::PeerType(place, kind) => {
                write!(f, "peer {place} is of the unknown type {kind:#04x}")
            }
            Fault::State(state) => write!(f, "no state of a session has the number {state}"),
            Fault::NoPeer(index) => write!(f, "no peer has the index {index} of a RIB entry"),
            Fault::Marker(octets) => {
                f.write_str("the message's marker is not sixteen ff but ")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Fault::Refused(answer) => write!(f, "a session would answer {answer}"),
            Fault::Lengths => f.write_str("the lengths in the UPDATE exceed the message"),
            Fault::Attributes(octets) => {
                write!(
                    f,
                    "{octets} octets of path attributes make no whole attribute"
                )
            }
            Fault::Nlri(family) => write!(f, "the NLRI of {family} do not read to their end"),
        }
    }
}

/// Finds what is wrong around and in a record, but for the body of its message.
pub(super) fn record(item: &MrtItem<'_>, peers: &[MrtPeer], faults: &mut Vec<Fault>) {
    let micros = item.header.micros.filter(|micros| *micros >= SECOND);
    match &item.record {
        MrtRecord::Unsupported(_) => {
            let name = item.header.name();
            faults.extend((!name.is_registered()).then_some(Fault::UnknownRecord(name)));
            return;
        }
        MrtRecord::PeerIndexTable(table) => {
            let wrong = table.wrong_peer_type();
            faults.extend(wrong.map(|(place, kind)| Fault::PeerType(place, kind)));
        }
        MrtRecord::StateChange(change) => faults.extend(change.wrong_state().map(Fault::State)),
        MrtRecord::Rib(rib) => {
            let mut indices = rib.entries().map(|entry| entry.peer_index);
            let nobody = indices.find(|index| usize::from(*index) >= peers.len());
            faults.extend(nobody.map(Fault::NoPeer));
            faults.extend(torn(rib.entries().map(|entry| entry.attrs)));
        }
        MrtRecord::TableDump(dump) => {
            faults.extend(torn(dump.entries().map(|entry| entry.attrs)));
        }
        _ => {}
    }
    faults.extend(micros.map(Fault::Micros));
}

/// The first of some blocks of path attributes that does not read to its end.
fn torn<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> Option<Fault> {
    let mut left = blocks.map(|block| {
        let mut attrs = Attrs::new(block);
        attrs.by_ref().for_each(drop);
        attrs.rest().len()
    });
    left.find(|left| *left > 0).map(Fault::Attributes)
}

/// Finds what is wrong in the header of a message: marker, type, and the bounds on its length.
pub(super) fn header(bytes: &[u8], faults: &mut Vec<Fault>) {
    let Some((marker, rest)) = bytes.split_first_chunk::<MARKER_LEN>() else {
        return;
    };
    let framed = if *marker == [0xff; MARKER_LEN] {
        message::frame(bytes, EXTENDED_MESSAGE_LEN_MAX)
    } else {
        faults.push(Fault::Marker(*marker));
        // Behind a right marker the rest is judged too.
        let whole = [&[0xff; MARKER_LEN][..], rest].concat();
        message::frame(&whole, EXTENDED_MESSAGE_LEN_MAX).map(|_| None)
    };
    faults.extend(
        framed
            .err()
            .map(|answer| Fault::Refused(answer.to_string())),
    );
}
