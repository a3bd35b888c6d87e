//! BGP messages one behind the other, as they come out of a session.

use std::io::{self, Read};

use thruway_wire::limits::{EXTENDED_MESSAGE_LEN_MAX, HEADER_LEN};

use super::faults::MARKER_LEN;
use super::hex::HexMessage;

/// Octets that are looked at at a time: the longest message and the header behind it.
const WINDOW: usize = EXTENDED_MESSAGE_LEN_MAX + HEADER_LEN;

/// The messages of a stream.
#[derive(Debug)]
pub(super) struct RawMessages<R> {
    input: R,
    /// What is unread, but for the first `done` octets.
    bytes: Vec<u8>,
    done: usize,
    offset: u64,
    number: u64,
    eof: bool,
}

/// Octets that make no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum RawError {
    #[error("message {number} at offset {offset}: {what}")]
    Message {
        number: u64,
        offset: u64,
        what: String,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: Read> RawMessages<R> {
    pub(super) fn new(input: R) -> Self {
        RawMessages {
            input,
            bytes: Vec::new(),
            done: 0,
            offset: 0,
            number: 0,
            eof: false,
        }
    }

    /// The next message, or what stands there instead; `None` at the end. Behind what is no message
    /// the next header is looked for.
    pub(super) fn next(&mut self) -> Option<Result<HexMessage<'_>, RawError>> {
        if let Err(error) = self.fill() {
            return Some(Err(error.into()));
        }
        if self.bytes.is_empty() {
            return None;
        }
        self.number += 1;
        let (number, offset) = (self.number, self.offset);
        match extent(&self.bytes) {
            Ok(len) => {
                self.done = len;
                Some(Ok(HexMessage {
                    number,
                    line: 0,
                    offset,
                    caption: "",
                    bytes: &self.bytes[..len],
                }))
            }
            Err(what) => {
                let found = RawError::Message {
                    number,
                    offset,
                    what,
                };
                Some(Err(self.skip().err().map_or(found, RawError::Io)))
            }
        }
    }

    /// Lets go of what is done with, and reads on.
    fn fill(&mut self) -> io::Result<()> {
        self.bytes.drain(..self.done);
        self.offset += self.done as u64;
        self.done = 0;
        let wanted = WINDOW.saturating_sub(self.bytes.len()) as u64;
        if !self.eof {
            let read = self
                .input
                .by_ref()
                .take(wanted)
                .read_to_end(&mut self.bytes)?;
            self.eof = (read as u64) < wanted;
        }
        Ok(())
    }

    /// Steps over octets up to the next header, or the end.
    fn skip(&mut self) -> io::Result<()> {
        self.done = 1;
        loop {
            self.fill()?;
            if let Some(at) = self.bytes.windows(HEADER_LEN).position(is_header) {
                self.done = at;
                return Ok(());
            }
            if self.eof {
                self.done = self.bytes.len();
                return Ok(());
            }
            // The last octets may begin a header.
            self.done = self.bytes.len() - (HEADER_LEN - 1);
        }
    }
}

/// The length of the message at the start of `bytes`, or why there is none. Without its marker it
/// counts where the end, or the next header, stands behind it.
fn extent(bytes: &[u8]) -> Result<usize, String> {
    let left = bytes.len();
    let Some((marker, &[high, low, _, ..])) = bytes.split_first_chunk::<MARKER_LEN>() else {
        return Err(format!("cut short, {left} octets are left"));
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let marked = *marker == [0xff; MARKER_LEN];
    let rest = bytes.get(len..);
    if len >= HEADER_LEN && (marked || rest.is_some_and(begins)) && rest.is_some() {
        return Ok(len);
    }
    if !marked {
        let octets: String = marker.iter().map(|octet| format!("{octet:02x}")).collect();
        return Err(format!("{octets} where a marker of sixteen ff should be"));
    }
    if len < HEADER_LEN {
        return Err(format!("a message length of {len}"));
    }
    Err(format!("cut short, {left} of its {len} octets are left"))
}

/// True at the end and where a header stands.
fn begins(rest: &[u8]) -> bool {
    rest.is_empty() || rest.get(..HEADER_LEN).is_some_and(is_header)
}

/// True for a marker, a length and a type.
fn is_header(octets: &[u8]) -> bool {
    let Some((marker, [high, low, kind])) = octets.split_first_chunk::<MARKER_LEN>() else {
        return false;
    };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    *marker == [0xff; MARKER_LEN] && len >= HEADER_LEN && matches!(kind, 1..=5)
}
