//! The 19-octet header of every message (RFC 4271 §4.1).

use crate::limits::{HEADER_LEN, MESSAGE_LEN_MAX};

/// Message types (RFC 4271 §4.1, RFC 2918).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Type 1.
    Open = 1,
    /// Type 2.
    Update = 2,
    /// Type 3.
    Notification = 3,
    /// Type 4.
    Keepalive = 4,
    /// Type 5.
    RouteRefresh = 5,
}

impl MessageType {
    /// The type of a code, if it is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(MessageType::Open),
            2 => Some(MessageType::Update),
            3 => Some(MessageType::Notification),
            4 => Some(MessageType::Keepalive),
            5 => Some(MessageType::RouteRefresh),
            _ => None,
        }
    }

    /// Smallest and largest whole message of this type where messages may have `max_len` octets
    /// (RFC 4271 §6.1; RFC 8654 §4 leaves OPEN and KEEPALIVE at 4,096).
    pub(crate) const fn bounds(self, max_len: usize) -> (usize, usize) {
        match self {
            MessageType::Open => (HEADER_LEN + 10, MESSAGE_LEN_MAX),
            MessageType::Update => (HEADER_LEN + 4, max_len),
            MessageType::Notification => (HEADER_LEN + 2, max_len),
            MessageType::Keepalive => (HEADER_LEN, HEADER_LEN),
            // A wrong length is RFC 7313's own error.
            MessageType::RouteRefresh => (HEADER_LEN, max_len),
        }
    }
}

/// Appends a header whose length is not known yet; returns where it stands.
pub(crate) fn begin(out: &mut Vec<u8>, kind: MessageType) -> usize {
    let start = out.len();
    let mut header = [0xff; HEADER_LEN];
    let [.., high, low, code] = &mut header;
    (*high, *low, *code) = (0, 0, kind as u8);
    out.extend_from_slice(&header);
    start
}

/// Writes the length of the message that began at `start`.
pub(crate) fn finish(out: &mut [u8], start: usize) {
    let len = u16::try_from(out.len().saturating_sub(start));
    debug_assert!(
        len.is_ok(),
        "the caller keeps messages within 65,535 octets"
    );
    let at = start.saturating_add(16);
    put_u16(out, at, len.unwrap_or(u16::MAX));
}

/// Overwrites two octets at `at`.
pub(crate) fn put_u16(out: &mut [u8], at: usize, value: u16) {
    if let Some(field) = out
        .get_mut(at..)
        .and_then(|tail| tail.first_chunk_mut::<2>())
    {
        *field = value.to_be_bytes();
    }
}
