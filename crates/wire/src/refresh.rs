//! ROUTE-REFRESH (RFC 2918, RFC 7313).

use crate::AfiSafi;
use crate::header::{self, MessageType};
use crate::limits::HEADER_LEN;
use crate::notification::Notification;

/// A ROUTE-REFRESH message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family asked for or announced.
    pub family: AfiSafi,
    /// 0 request, 1 beginning of refresh, 2 end of refresh (RFC 7313 §3.2); others are ignored.
    pub subtype: u8,
}

impl RouteRefresh {
    /// A request for all routes of the family.
    pub const REQUEST: u8 = 0;
    /// Beginning of Route Refresh (BoRR).
    pub const BEGIN: u8 = 1;
    /// End of Route Refresh (EoRR).
    pub const END: u8 = 2;

    /// Reads a body.
    ///
    /// # Errors
    /// Code 7 subcode 1 with the message as data, for peers with enhanced route refresh (RFC 7313 §5):
    /// where a BoRR or EoRR is not 4 octets, and where there are too few to name a family. Another
    /// subtype, and a request with something behind it (filters, RFC 5291 §4), is `None` (ignored).
    pub fn parse(body: &[u8]) -> Result<Option<RouteRefresh>, Notification> {
        if let &[high, low, subtype, safi] = body {
            let family = AfiSafi {
                afi: u16::from_be_bytes([high, low]),
                safi,
            };
            return Ok(Some(RouteRefresh { family, subtype }));
        }
        match body.get(2) {
            Some(&Self::REQUEST) if body.len() > 4 => return Ok(None),
            Some(subtype) if *subtype > Self::END => return Ok(None),
            _ => {}
        }
        // The data is the whole message (RFC 7313 §5); its header is known but for the length.
        let mut whole = Vec::with_capacity(HEADER_LEN.saturating_add(body.len()));
        let start = header::begin(&mut whole, MessageType::RouteRefresh);
        whole.extend_from_slice(body);
        header::finish(&mut whole, start);
        Err(Notification::bad_refresh_length().with_data(whole))
    }

    /// Appends the whole message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = header::begin(out, MessageType::RouteRefresh);
        let [high, low] = self.family.afi.to_be_bytes();
        out.extend_from_slice(&[high, low, self.subtype, self.family.safi]);
        header::finish(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    #[test]
    fn round_trip() {
        let begin = RouteRefresh {
            family: Family::Ipv6.to_wire(),
            subtype: RouteRefresh::BEGIN,
        };
        let mut out = Vec::new();
        begin.encode(&mut out);
        assert_eq!(out[16..], [0, 23, 5, 0, 2, 1, 1]);
        assert_eq!(RouteRefresh::parse(&out[19..]), Ok(Some(begin)));
    }

    #[test]
    fn wrong_lengths() {
        assert_eq!(RouteRefresh::parse(&[0, 1, 0, 1, 9]), Ok(None));
        for wrong in [&[][..], &[0, 1], &[0, 1, 0], &[0, 1, 1], &[0, 1, 2, 1, 9]] {
            let note = RouteRefresh::parse(wrong).unwrap_err();
            assert_eq!((note.code, note.subcode), (7, 1), "{wrong:?}");
            assert_eq!(note.data[19..], *wrong);
        }
        assert_eq!(RouteRefresh::parse(&[0, 1, 3]), Ok(None));
        let note = RouteRefresh::parse(&[0, 1, 2, 1, 9]).unwrap_err();
        assert_eq!((note.code, note.subcode), (7, 1));
        assert_eq!(note.data[16..], [0, 24, 5, 0, 1, 2, 1, 9]);
    }
}
