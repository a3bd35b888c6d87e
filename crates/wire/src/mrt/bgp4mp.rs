//! BGP4MP: messages and state changes as a collector saw them (RFC 6396 §4.4, RFC 8050 §3).

use std::net::IpAddr;

use super::code::bgp4mp as subtype;
use super::peers::{address, as_number};
use crate::limits::HEADER_LEN;
use crate::reader::{IResult, be_u16, error, located, octets};
use crate::{Asn, Field, WireError, WireErrorKind};

/// Octets of a message's marker.
const MARKER_LEN: usize = 16;

/// The session that a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bgp4mpSession {
    /// The peer's AS number.
    pub peer_as: Asn,
    /// The collector's AS number.
    pub local_as: Asn,
    /// Index of the collector's interface, 0 where unknown.
    pub interface: u16,
    /// The peer's address.
    pub peer_addr: IpAddr,
    /// The collector's address, of the same family.
    pub local_addr: IpAddr,
}

/// A message that the collector received (or sent).
#[derive(Clone, Copy, Debug)]
pub struct Bgp4mpMessage<'a> {
    /// Whose it is.
    pub session: Bgp4mpSession,
    /// AS numbers in AS_PATH and AGGREGATOR have four octets.
    pub as4: bool,
    /// NLRI carry path identifiers (RFC 8050).
    pub add_path: bool,
    /// The collector sent it (the _LOCAL subtypes).
    pub local: bool,
    /// The message, header included; its length field holds its length.
    pub message: &'a [u8],
}

/// A session's change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose it is.
    pub session: Bgp4mpSession,
    /// State before: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 Established. Quagga
    /// also writes 7 (Clearing) and 8 (Deleted).
    pub old: u16,
    /// State after.
    pub new: u16,
}

/// The largest number of a state, Quagga's Deleted.
const STATE_MAX: u16 = 8;

impl<'a> Bgp4mpMessage<'a> {
    /// The marker, where it is not the sixteen `ff` that it has to be (RFC 4271 §4.1). The lengths
    /// around it fit, so what follows can be read all the same.
    #[must_use]
    pub fn wrong_marker(&self) -> Option<&'a [u8; MARKER_LEN]> {
        let marker = self.message.first_chunk::<MARKER_LEN>()?;
        (*marker != [0xff; MARKER_LEN]).then_some(marker)
    }

    pub(super) fn parse(code: u16, body: &'a [u8]) -> Result<Self, WireError> {
        let as4 = matches!(
            code,
            subtype::MESSAGE_AS4
                | subtype::MESSAGE_AS4_LOCAL
                | subtype::MESSAGE_AS4_ADDPATH
                | subtype::MESSAGE_AS4_LOCAL_ADDPATH
        );
        let local = matches!(
            code,
            subtype::MESSAGE_LOCAL
                | subtype::MESSAGE_AS4_LOCAL
                | subtype::MESSAGE_LOCAL_ADDPATH
                | subtype::MESSAGE_AS4_LOCAL_ADDPATH
        );
        let add_path = code >= subtype::MESSAGE_ADDPATH;
        let (message, session) = session(as4)(body)
            .and_then(|(message, session)| whole(message).map(|()| (message, session)))
            .map_err(|error| located(&error, body, Field::MrtBody))?;
        Ok(Bgp4mpMessage {
            session,
            as4,
            add_path,
            local,
            message,
        })
    }
}

impl StateChange {
    /// The first of the two states that has a number of none.
    #[must_use]
    pub fn wrong_state(&self) -> Option<u16> {
        [self.old, self.new]
            .into_iter()
            .find(|state| !(1..=STATE_MAX).contains(state))
    }

    pub(super) fn parse(code: u16, body: &[u8]) -> Result<Self, WireError> {
        Self::read(code == subtype::STATE_CHANGE_AS4, body)
            .map_err(|error| located(&error, body, Field::MrtBody))
    }

    fn read(as4: bool, body: &[u8]) -> Result<Self, nom::Err<WireError>> {
        let (rest, session) = session(as4)(body)?;
        let (rest, old) = be_u16(rest)?;
        let (rest, new) = be_u16(rest)?;
        if !rest.is_empty() {
            let kind = WireErrorKind::TrailingBytes;
            return Err(nom::Err::Error(error(rest, Field::MrtBody, kind)));
        }
        Ok(StateChange { session, old, new })
    }
}

/// Checks that `message` is as long as its header says: else the record lies about its own length.
fn whole(message: &[u8]) -> Result<(), nom::Err<WireError>> {
    let (rest, _marker) = octets::<MARKER_LEN>(message)?;
    let (_, len) = be_u16(rest)?;
    if usize::from(len) != message.len() || message.len() < HEADER_LEN {
        return Err(nom::Err::Error(error(
            rest,
            Field::MrtBody,
            WireErrorKind::BadLength,
        )));
    }
    Ok(())
}

fn session(as4: bool) -> impl Fn(&[u8]) -> IResult<'_, Bgp4mpSession> {
    move |input| {
        let (rest, peer_as) = as_number(as4)(input)?;
        let (rest, local_as) = as_number(as4)(rest)?;
        let (rest, interface) = be_u16(rest)?;
        let (addresses, afi) = be_u16(rest)?;
        if !matches!(afi, 1 | 2) {
            let kind = WireErrorKind::BadValue;
            return Err(nom::Err::Error(error(rest, Field::MrtBody, kind)));
        }
        let (rest, peer_addr) = address(afi == 2)(addresses)?;
        let (rest, local_addr) = address(afi == 2)(rest)?;
        Ok((
            rest,
            Bgp4mpSession {
                peer_as,
                local_as,
                interface,
                peer_addr,
                local_addr,
            },
        ))
    }
}
