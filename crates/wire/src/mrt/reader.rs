//! Finding records in a stream that arrives in pieces.
//!
//! A record that is torn, too large or contradicts itself is reported once, with its offset in the
//! file. Its length is trusted where another header follows it; else the reader looks for the next
//! place where a header stands and a second one stands at the end of its record.

use std::ops::Range;

use super::header::MICROS_LEN;
use super::{MRT_HEADER_LEN, MrtHeader, MrtRecord, code, table_dump};
use crate::{Field, WireError, WireErrorKind};

/// Finds the records of one file or stream. It holds no octets: the caller shows it what is unread,
/// from the same place again until an answer consumes it.
#[derive(Clone, Debug, Default)]
pub struct MrtReader {
    offset: u64,
    lost: bool,
}

/// What stands at the start of the unread octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole record, checked; `consumed` octets are done with.
    Record(Framed),
    /// Call again with at least so many octets, or with all there are at the end of the file.
    NeedMore(usize),
    /// A damaged record.
    Damage {
        /// Where it starts in the file.
        offset: u64,
        /// What stands there as its header; `None` where there is too little for one.
        header: Option<MrtHeader>,
        /// What is wrong; its offset counts from the record's header or body.
        error: WireError,
        /// Octets that are done with.
        consumed: usize,
    },
    /// Octets behind a damaged record in which no other was found.
    Skip(usize),
    /// The end of the file.
    End,
}

/// Where a record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// Offset of its header in the file.
    pub offset: u64,
    /// Its header.
    pub header: MrtHeader,
    /// Its body in the octets shown, behind header and microseconds.
    pub body: Range<usize>,
    /// Octets that are done with.
    pub consumed: usize,
}

/// [`Frame`] with the record's view.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// See [`Frame::Record`].
    Record {
        /// Offset of the header in the file.
        offset: u64,
        /// The header.
        header: MrtHeader,
        /// The body.
        record: MrtRecord<'a>,
        /// Octets that are done with.
        consumed: usize,
    },
    /// See [`Frame::NeedMore`].
    NeedMore(usize),
    /// See [`Frame::Damage`].
    Damage {
        /// Where the record starts in the file.
        offset: u64,
        /// See [`Frame::Damage`].
        header: Option<MrtHeader>,
        /// What is wrong.
        error: WireError,
        /// Octets that are done with.
        consumed: usize,
    },
    /// See [`Frame::Skip`].
    Skip(usize),
    /// See [`Frame::End`].
    End,
}

impl MrtReader {
    /// A reader at the start of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where in the file the unread octets start.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What stands at the start of `unread`, with the record's view. `eof`: nothing follows
    /// `unread`.
    pub fn next<'a>(&mut self, unread: &'a [u8], eof: bool) -> Step<'a> {
        match self.frame(unread, eof) {
            Frame::Record(Framed {
                offset,
                header,
                body,
                consumed,
            }) => {
                let body = unread.get(body).unwrap_or_default();
                match MrtRecord::parse(&header, body) {
                    Ok(record) => Step::Record {
                        offset,
                        header,
                        record,
                        consumed,
                    },
                    Err(error) => Step::Damage {
                        offset,
                        header: Some(header),
                        error,
                        consumed,
                    },
                }
            }
            Frame::NeedMore(len) => Step::NeedMore(len),
            Frame::Damage {
                offset,
                header,
                error,
                consumed,
            } => Step::Damage {
                offset,
                header,
                error,
                consumed,
            },
            Frame::Skip(len) => Step::Skip(len),
            Frame::End => Step::End,
        }
    }

    /// What stands at the start of `unread`. `eof`: nothing follows `unread`.
    ///
    /// Every answer but `NeedMore` and `End` moves the reader on by the octets that it consumes.
    /// `NeedMore` asks for more than `unread` holds and is never given at `eof`.
    pub fn frame(&mut self, unread: &[u8], eof: bool) -> Frame {
        let answer = match (self.lost, unread.is_empty()) {
            (_, true) if eof => Frame::End,
            (true, _) => match self.resync(unread, eof) {
                // Found, right here.
                Frame::Skip(0) => self.record(unread, eof),
                answer => answer,
            },
            (false, _) => self.record(unread, eof),
        };
        let consumed = match &answer {
            Frame::Record(Framed { consumed, .. })
            | Frame::Damage { consumed, .. }
            | Frame::Skip(consumed) => *consumed,
            Frame::NeedMore(_) | Frame::End => 0,
        };
        debug_assert!(consumed <= unread.len());
        self.offset = self.offset.saturating_add(consumed as u64);
        answer
    }

    fn record(&mut self, unread: &[u8], eof: bool) -> Frame {
        let Some(mut header) = MrtHeader::read(unread) else {
            return self.torn(MRT_HEADER_LEN, Field::MrtHeader, unread, eof);
        };
        let Some(len) = header.body_len() else {
            return self.damage(Field::MrtHeader, WireErrorKind::TooLarge, unread);
        };
        let mut end = MRT_HEADER_LEN.saturating_add(len);
        if !header.is_known_type() {
            match follows_unread(&header, unread, end, eof) {
                Some(true) => {}
                Some(false) => {
                    return self.damage(Field::MrtHeader, WireErrorKind::Unsupported, unread);
                }
                None => return Frame::NeedMore(end.saturating_add(MRT_HEADER_LEN)),
            }
        }
        if unread.len() < end {
            return self.torn(end, Field::MrtBody, unread, eof);
        }
        if header.kind == code::TABLE_DUMP {
            let rest = unread.get(MRT_HEADER_LEN..).unwrap_or_default();
            match table_dump::extent(header.subtype, rest, len) {
                Some(extent) => end = MRT_HEADER_LEN.saturating_add(extent),
                None if !eof && rest.len() < len.saturating_add(table_dump::EXTENT_SLACK) => {
                    return Frame::NeedMore(end.saturating_add(table_dump::EXTENT_SLACK));
                }
                None => {}
            }
        }
        let mut start = MRT_HEADER_LEN;
        if header.is_extended() {
            let micros = unread
                .get(start..end)
                .and_then(<[u8]>::first_chunk::<MICROS_LEN>);
            header.micros = micros.map(|octets| u32::from_be_bytes(*octets));
            start = header.body_start().min(end);
        }
        match parse(&header, unread.get(start..end).unwrap_or_default()) {
            Ok(()) => Frame::Record(Framed {
                offset: self.offset,
                header,
                body: start..end,
                consumed: end,
            }),
            Err(error) => self.wrong(header, error, end, follows(unread, end, eof)),
        }
    }

    /// A body with something wrong in it, which `trusted` says ends where another header stands:
    /// where none does the length lies too.
    fn wrong(
        &mut self,
        header: MrtHeader,
        error: WireError,
        end: usize,
        trusted: Option<bool>,
    ) -> Frame {
        let consumed = match trusted {
            None => return Frame::NeedMore(end.saturating_add(MRT_HEADER_LEN)),
            Some(true) => end,
            Some(false) => 1,
        };
        self.lost = consumed < end;
        Frame::Damage {
            offset: self.offset,
            header: Some(header),
            error,
            consumed,
        }
    }

    /// The record reaches past what there is: more of it will come, or the file ends inside it.
    fn torn(&mut self, wanted: usize, field: Field, unread: &[u8], eof: bool) -> Frame {
        if eof {
            self.damage(field, WireErrorKind::Truncated, unread)
        } else {
            Frame::NeedMore(wanted)
        }
    }

    /// Nothing in the header helps to find the next record.
    fn damage(&mut self, field: Field, kind: WireErrorKind, unread: &[u8]) -> Frame {
        self.lost = true;
        let offset = u32::try_from(unread.len()).unwrap_or(u32::MAX);
        let offset = if kind == WireErrorKind::Truncated {
            offset
        } else {
            0
        };
        Frame::Damage {
            offset: self.offset,
            header: MrtHeader::read(unread),
            error: WireError {
                field,
                kind,
                offset,
            },
            consumed: 1,
        }
    }

    /// Looks for the next header: `Skip(0)` where one stands at the start.
    fn resync(&mut self, unread: &[u8], eof: bool) -> Frame {
        for (at, window) in unread.windows(MRT_HEADER_LEN).enumerate() {
            let Some(header) = MrtHeader::read(window) else {
                continue;
            };
            if !header.is_plausible() || !header.is_bgp() {
                continue;
            }
            let rest = unread.get(at..).unwrap_or_default();
            match is_record(&header, rest, eof) {
                Some(false) => {}
                // Perhaps one: what is in front of it goes first, so that the caller's buffer need
                // hold no more than one record.
                None if at == 0 => return Frame::NeedMore(wanted_to_judge(&header)),
                None => return Frame::Skip(at),
                Some(true) => {
                    self.lost = false;
                    return Frame::Skip(at);
                }
            }
        }
        match unread.len().checked_sub(MRT_HEADER_LEN.saturating_sub(1)) {
            _ if eof => Frame::Skip(unread.len()),
            Some(done) if done > 0 => Frame::Skip(done),
            _ => Frame::NeedMore(MRT_HEADER_LEN),
        }
    }
}

/// Checks a body; microseconds that are not there make it too short.
fn parse(header: &MrtHeader, body: &[u8]) -> Result<(), WireError> {
    if header.is_extended() && header.micros.is_none() {
        return Err(WireError {
            field: Field::MrtBody,
            kind: WireErrorKind::Truncated,
            offset: 0,
        });
    }
    MrtRecord::parse(header, body).map(|_| ())
}

/// True where a record with this header stands at the start of `rest`: its body is well formed and
/// another header, or the end of the file, follows it. `None`: more octets are needed.
fn is_record(header: &MrtHeader, rest: &[u8], eof: bool) -> Option<bool> {
    if !eof && rest.len() < wanted_to_judge(header) {
        return None;
    }
    let mut probe = MrtReader {
        offset: 0,
        lost: false,
    };
    let Frame::Record(framed) = probe.record(rest, true) else {
        return Some(false);
    };
    follows(rest, framed.consumed, eof)
}

/// Octets that [`is_record`] needs in the worst case.
fn wanted_to_judge(header: &MrtHeader) -> usize {
    let len = header.body_len().unwrap_or_default();
    len.saturating_add(2 * MRT_HEADER_LEN)
        .saturating_add(table_dump::EXTENT_SLACK)
}

/// True where a header or the end of the file stands at `end`; `None`: more octets are needed.
fn follows(unread: &[u8], end: usize, eof: bool) -> Option<bool> {
    match unread.get(end..) {
        Some([]) if eof => Some(true),
        Some(rest) => match MrtHeader::read(rest) {
            Some(header) => Some(header.is_plausible()),
            // A torn header at the very end: nothing speaks against it.
            None => eof.then_some(true),
        },
        None => eof.then_some(false),
    }
}

/// The same for a type that is deprecated or unknown, where there is less to go by: a whole header
/// has to follow, of a type in use or of its own one. Zeros alone are no record.
fn follows_unread(header: &MrtHeader, unread: &[u8], end: usize, eof: bool) -> Option<bool> {
    if header.is_blank() {
        return Some(false);
    }
    let rest = unread.get(end..);
    let Some(next) = rest.and_then(MrtHeader::read) else {
        let is_end = rest.is_some_and(<[u8]>::is_empty);
        return eof.then_some(is_end);
    };
    let alike = next.is_known_type() || (next.kind == header.kind && !next.is_blank());
    Some(next.is_plausible() || (alike && next.body_len().is_some()))
}
