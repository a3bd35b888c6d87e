//! Message framing: whole messages off a stream (RFC 4271 §4.1, §6.1).

pub use crate::header::MessageType;
use crate::header::{begin, finish};
use crate::limits::HEADER_LEN;
use crate::notification::Notification;

/// A whole message, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    /// What it is.
    pub kind: MessageType,
    /// All of it, header included.
    pub bytes: &'a [u8],
}

impl<'a> RawMessage<'a> {
    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// Takes the first whole message off `input`.
///
/// `Ok(None)`: more octets are needed. `max_len` is 4,096, or 65,535 after RFC 8654 was negotiated
/// (never for OPEN and KEEPALIVE).
///
/// # Errors
/// The NOTIFICATION to answer with (RFC 4271 §6.1): marker, length or type is wrong. Checked as
/// soon as the header is there, without waiting for the body.
#[inline]
pub fn frame(input: &[u8], max_len: usize) -> Result<Option<RawMessage<'_>>, Notification> {
    let Some((header, _)) = input.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [marker @ .., high, low, code] = *header;
    if marker != [0xff; 16] {
        return Err(Notification::connection_not_synchronized());
    }
    let len = usize::from(u16::from_be_bytes([high, low]));
    let Some(kind) = MessageType::from_code(code) else {
        return Err(unknown_type(len, max_len, [high, low], code));
    };
    let (least, most) = kind.bounds(max_len);
    if len < least || len > most {
        return Err(Notification::bad_message_length().with_data([high, low]));
    }
    Ok(input.get(..len).map(|bytes| RawMessage { kind, bytes }))
}

/// The length is judged before the type (RFC 4271 §6.1 in its order).
#[cold]
fn unknown_type(len: usize, max_len: usize, length: [u8; 2], code: u8) -> Notification {
    if len < HEADER_LEN || len > max_len {
        Notification::bad_message_length().with_data(length)
    } else {
        Notification::bad_message_type().with_data([code])
    }
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let start = begin(out, MessageType::Keepalive);
    finish(out, start);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: u16, code: u8, octets: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; 16];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.push(code);
        bytes.resize(octets.max(19), 0);
        bytes
    }

    fn refused(bytes: &[u8], max_len: usize) -> (u8, u8, Vec<u8>) {
        let note = frame(bytes, max_len).expect_err("a wrong header");
        (note.code, note.subcode, note.data)
    }

    #[test]
    fn waits_for_whole_messages() {
        let mut bytes = Vec::new();
        encode_keepalive(&mut bytes);
        bytes.extend(message(23, 2, 23));
        for cut in 0..19 {
            assert!(matches!(frame(&bytes[..cut], 4096), Ok(None)));
        }
        let first = frame(&bytes, 4096).unwrap().unwrap();
        assert_eq!(
            (first.kind, first.body()),
            (MessageType::Keepalive, &[][..])
        );
        assert!(matches!(frame(&bytes[19..41], 4096), Ok(None)));
        assert_eq!(frame(&bytes[19..], 4096).unwrap().unwrap().body(), [0; 4]);
    }

    #[test]
    fn each_header_error_has_its_notification() {
        let mut bytes = message(19, 4, 19);
        bytes[15] = 0xfe;
        assert_eq!(refused(&bytes, 4096), (1, 1, vec![]));
        for (len, code) in [
            (18, 4),
            (20, 4),
            (28, 1),
            (22, 2),
            (20, 3),
            (4097, 2),
            (18, 9),
        ] {
            let data = u16::to_be_bytes(len).to_vec();
            assert_eq!(
                refused(&message(len, code, 19), 4096),
                (1, 2, data),
                "{len} {code}"
            );
        }
        assert_eq!(refused(&message(19, 0, 19), 4096), (1, 3, vec![0]));
        assert_eq!(refused(&message(19, 6, 19), 4096), (1, 3, vec![6]));
    }

    #[test]
    fn extended_messages_are_not_for_open() {
        assert!(frame(&message(65_535, 2, 19), 65_535).is_ok());
        assert_eq!(refused(&message(4097, 1, 19), 65_535).1, 2);
    }
}
