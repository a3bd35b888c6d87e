//! OPEN and its capabilities (RFC 4271 §4.2, RFC 5492, RFC 9072).

use serde::{Deserialize, Serialize};

use crate::notification::Notification;
use crate::{AfiSafi, Asn, RouterId};

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

impl Open {
    /// Reads an OPEN's body.
    ///
    /// # Errors
    /// The NOTIFICATION to answer with (RFC 4271 §6.2): unsupported version (with the largest that
    /// we speak), unacceptable hold time, bad identifier, unspecific where lengths contradict. AS
    /// numbers are the session's to judge.
    pub fn parse(body: &[u8]) -> Result<Open, Notification> {
        let _ = body;
        todo!()
    }

    /// Appends the whole message; parameters over 255 octets take the RFC 9072 form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }

    /// The AS number: from the 4-octet capability where there is one.
    #[must_use]
    pub fn asn(&self) -> Asn {
        todo!()
    }
}
