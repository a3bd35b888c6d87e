//! OPEN and its capabilities (RFC 4271 §4.2, RFC 5492, RFC 9072).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

mod capability;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::header::{self, MessageType, put_u16};
use crate::limits::MESSAGE_LEN_MAX;
use crate::notification::Notification;
use crate::reader::{IResult, be_u8, be_u16, be_u32, take};
use crate::{AfiSafi, Asn, RouterId};

/// The only version there is (RFC 4271 §4.2).
pub const VERSION: u8 = 4;

/// Parameter type of capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// Stands where the first parameter's type would, and as the length, in the extended form
/// (RFC 9072 §2).
const EXTENDED: u8 = 255;
/// Octets before the optional parameters in a whole message: header, fixed part, both lengths of
/// the extended form and one parameter's header.
const PARAMETERS_AT: usize = 19 + 10 + 3 + 3;

/// An OPEN message, owned: it arrives once a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Protocol version, 4.
    pub version: u8,
    /// The two-octet field as it stands: `AS_TRANS` where the number needs four.
    pub my_as: u16,
    /// Seconds: 0 or at least 3.
    pub hold_time: u16,
    /// BGP identifier.
    pub router_id: RouterId,
    /// In the order of the message.
    pub capabilities: Vec<Capability>,
}

/// One capability. Unknown ones are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Capability {
    /// Code 1 (RFC 4760 §8).
    Multiprotocol(AfiSafi),
    /// Code 2 (RFC 2918).
    RouteRefresh,
    /// Code 5 (RFC 8950): (NLRI family, next hop AFI).
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// Code 6 (RFC 8654).
    ExtendedMessage,
    /// Code 9 (RFC 9234).
    Role(u8),
    /// Code 64 (RFC 4724).
    GracefulRestart {
        /// The R bit: restarting, state was lost.
        restarting: bool,
        /// The N bit (RFC 8538).
        notification: bool,
        /// Seconds, 12 bits.
        restart_time: u16,
        /// (family, forwarding state kept).
        families: Vec<(AfiSafi, bool)>,
    },
    /// Code 65 (RFC 6793).
    FourOctetAs(Asn),
    /// Code 69 (RFC 7911): (family, 1 receive | 2 send | 3 both).
    AddPath(Vec<(AfiSafi, u8)>),
    /// Code 70 (RFC 7313).
    EnhancedRouteRefresh,
    /// Code 71 (RFC 9494): (family, forwarding state kept, stale time in seconds).
    LongLivedGracefulRestart(Vec<(AfiSafi, bool, u32)>),
    /// Code 73 (draft-walton-bgp-hostname-capability): host and domain.
    Fqdn(String, String),
    /// Any other, or a known one whose value is malformed.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// The fixed part and the optional parameters' octets, with the width of their lengths.
struct Fixed<'a> {
    open: Open,
    parameters: &'a [u8],
    extended: bool,
}

fn fixed(body: &[u8]) -> IResult<'_, Fixed<'_>> {
    let (rest, version) = be_u8(body)?;
    let (rest, my_as) = be_u16(rest)?;
    let (rest, hold_time) = be_u16(rest)?;
    let (rest, router_id) = be_u32(rest)?;
    let (rest, len) = be_u8(rest)?;
    // Type 255 in the first parameter marks the extended form, whatever the length says but zero
    // (RFC 9072 §2).
    let extended = len != 0 && rest.first() == Some(&EXTENDED);
    let (rest, parameters) = if extended {
        let (rest, _marker) = be_u8(rest)?;
        let (rest, len) = be_u16(rest)?;
        take(usize::from(len))(rest)?
    } else {
        take(usize::from(len))(rest)?
    };
    let capabilities = Vec::new();
    let router_id = RouterId(router_id);
    let open = Open {
        version,
        my_as,
        hold_time,
        router_id,
        capabilities,
    };
    // Octets behind the parameters contradict the length as much as missing ones do.
    nom::combinator::eof(rest)?;
    Ok((
        rest,
        Fixed {
            open,
            parameters,
            extended,
        },
    ))
}

/// Type and value of one optional parameter.
fn parameter(input: &[u8], extended: bool) -> IResult<'_, (u8, &[u8])> {
    let (rest, kind) = be_u8(input)?;
    let (rest, len) = if extended {
        be_u16(rest)?
    } else {
        be_u8(rest).map(|(rest, len)| (rest, u16::from(len)))?
    };
    let (rest, value) = take(usize::from(len))(rest)?;
    Ok((rest, (kind, value)))
}

impl Open {
    /// Reads an OPEN's body.
    ///
    /// # Errors
    /// The NOTIFICATION to answer with (RFC 4271 §6.2): unsupported version (with the largest that
    /// we speak), unacceptable hold time, bad identifier, unspecific where lengths contradict. AS
    /// numbers are the session's to judge.
    pub fn parse(body: &[u8]) -> Result<Open, Notification> {
        // The version first: another one's message need not have this shape.
        if let Some(version) = body.first()
            && *version != VERSION
        {
            return Err(Notification::unsupported_version().with_data([0, VERSION]));
        }
        let unspecific = |_| Notification::open_unspecific();
        let (
            _,
            Fixed {
                mut open,
                parameters,
                extended,
            },
        ) = fixed(body).map_err(unspecific)?;
        if matches!(open.hold_time, 1 | 2) {
            return Err(Notification::unacceptable_hold_time());
        }
        if open.router_id == RouterId(0) {
            return Err(Notification::bad_bgp_identifier());
        }
        let mut rest = parameters;
        while !rest.is_empty() {
            let (behind, (kind, mut value)) = parameter(rest, extended).map_err(unspecific)?;
            if kind != CAPABILITIES {
                return Err(Notification::unsupported_optional_parameter());
            }
            while !value.is_empty() {
                let (behind, capability) = capability::parse(value).map_err(unspecific)?;
                open.capabilities.push(capability);
                value = behind;
            }
            rest = behind;
        }
        Ok(open)
    }

    /// Appends the whole message; parameters over 255 octets take the RFC 9072 form. Capabilities
    /// that would exceed the message size are left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(out, MessageType::Open);
        out.push(self.version);
        out.extend_from_slice(&self.my_as.to_be_bytes());
        out.extend_from_slice(&self.hold_time.to_be_bytes());
        out.extend_from_slice(&self.router_id.0.to_be_bytes());
        let mut values = Vec::new();
        for capability in &self.capabilities {
            let whole = values.len();
            capability::encode(capability, &mut values);
            if PARAMETERS_AT.saturating_add(values.len()) > MESSAGE_LEN_MAX {
                values.truncate(whole);
                break;
            }
        }
        match u8::try_from(values.len().saturating_add(2)) {
            Ok(2) => out.push(0),
            Ok(len) => out.extend_from_slice(&[len, CAPABILITIES, len.saturating_sub(2)]),
            Err(_) => {
                out.extend_from_slice(&[EXTENDED, EXTENDED, 0, 0, CAPABILITIES, 0, 0]);
                let len = u16::try_from(values.len()).unwrap_or(u16::MAX);
                let at = out.len();
                put_u16(out, at.saturating_sub(5), len.saturating_add(3));
                put_u16(out, at.saturating_sub(2), len);
            }
        }
        out.extend_from_slice(&values);
        header::finish(out, start);
    }

    /// The AS number: from the 4-octet capability where there is one.
    #[must_use]
    pub fn asn(&self) -> Asn {
        let four_octet = self
            .capabilities
            .iter()
            .find_map(|capability| match capability {
                Capability::FourOctetAs(asn) => Some(*asn),
                _ => None,
            });
        four_octet.unwrap_or(Asn(u32::from(self.my_as)))
    }
}
