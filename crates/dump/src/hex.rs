//! BGP messages written as hex digits in a text, as people paste them.
//!
//! Lines of hex digits make messages; blanks, commas, `0x`, `\x`, a leading `offset:` and what
//! stands behind a `|` do not count. Every other line is a caption and ends a run of digits, as an
//! empty line does. A message may lack its marker of sixteen `ff`; a run may hold several messages.

use std::io::{self, BufRead};

use thruway_wire::limits::{EXTENDED_MESSAGE_LEN_MAX, HEADER_LEN};

/// Octets of the marker (RFC 4271 §4.1).
const MARKER_LEN: usize = 16;

/// The messages of a text, as a stream.
#[derive(Debug)]
pub(super) struct HexMessages<R> {
    text: R,
    line: Vec<u8>,
    line_number: u64,
    blank: bool,
    run: Run,
    /// Where the run's next message starts.
    at: usize,
    count: u64,
    message: Vec<u8>,
}

/// Lines of digits that belong together.
#[derive(Debug, Default)]
struct Run {
    first_line: u64,
    digits: Vec<u8>,
    octets: Vec<u8>,
    caption: String,
    /// The caption that ended the run: the next one's.
    ending: String,
}

/// A message of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct HexMessage<'a> {
    /// Counts from 1.
    pub(super) number: u64,
    /// Line in which its run of digits starts, from 1; 0 where there are no lines.
    pub(super) line: u64,
    /// Where it starts in a file without lines.
    pub(super) offset: u64,
    /// The line in front of it, if that is none of digits.
    pub(super) caption: &'a str,
    /// All of it, marker included.
    pub(super) bytes: &'a [u8],
}

/// Digits that make no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum HexError {
    #[error("message {number} (line {line}): {what} at offset {offset}")]
    Message {
        number: u64,
        line: u64,
        offset: usize,
        what: String,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: BufRead> HexMessages<R> {
    pub(super) fn new(text: R) -> Self {
        HexMessages {
            text,
            line: Vec::new(),
            line_number: 0,
            blank: true,
            run: Run::default(),
            at: 0,
            count: 0,
            message: Vec::new(),
        }
    }

    /// True where nothing was read but blank lines.
    pub(super) fn is_blank(&self) -> bool {
        self.blank
    }

    /// The next message, or what is wrong with it; `None` at the end. What is left of a run behind
    /// a wrong message is given up.
    pub(super) fn next(&mut self) -> Option<Result<HexMessage<'_>, HexError>> {
        while self.at >= self.run.octets.len() {
            match self.next_run() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        self.count += 1;
        let rest = self.run.octets.get(self.at..).unwrap_or_default();
        let (offset, what) = match take(rest, &mut self.message) {
            Ok(consumed) => {
                self.at += consumed;
                return Some(Ok(HexMessage {
                    number: self.count,
                    line: self.run.first_line,
                    offset: 0,
                    caption: &self.run.caption,
                    bytes: &self.message,
                }));
            }
            Err(failure) => failure,
        };
        self.at = self.run.octets.len();
        Some(Err(HexError::Message {
            number: self.count,
            line: self.run.first_line,
            offset,
            what,
        }))
    }

    /// Reads the next run of digits; false at the end of the text.
    fn next_run(&mut self) -> Result<bool, HexError> {
        self.at = 0;
        let run = &mut self.run;
        run.octets.clear();
        run.digits.clear();
        std::mem::swap(&mut run.caption, &mut run.ending);
        run.ending.clear();
        run.first_line = 0;
        loop {
            self.line.clear();
            let end = self.text.read_until(b'\n', &mut self.line)? == 0;
            self.line_number += 1;
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim();
            self.blank &= line.is_empty();
            if !end && digits(line, &mut run.digits) {
                if run.first_line == 0 {
                    run.first_line = self.line_number;
                }
                continue;
            }
            if run.digits.is_empty() {
                if end {
                    return Ok(false);
                }
                if !line.is_empty() {
                    run.caption.clear();
                    run.caption.push_str(line);
                }
                continue;
            }
            run.ending.push_str(line);
            break;
        }
        let number = self.count + 1;
        let odd = run.digits.len() % 2 == 1;
        if odd {
            self.count += 1;
            let line = std::mem::take(&mut run.first_line);
            let offset = run.digits.len() / 2;
            let what = "half an octet".to_owned();
            return Err(HexError::Message {
                number,
                line,
                offset,
                what,
            });
        }
        run.octets.extend(
            run.digits
                .chunks_exact(2)
                .map(|pair| pair[0] << 4 | pair[1]),
        );
        Ok(true)
    }
}

/// Appends the digits of a line, one a byte; false, and nothing, where the line holds anything
/// else.
fn digits(line: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // A dump's columns: offset in front, text behind.
    let (line, barred) = line
        .split_once('|')
        .map_or((line, false), |(octets, _)| (octets, true));
    let mut line = match line.split_once(':') {
        Some((offset, octets)) if is_hex(offset.trim_start_matches("0x")) => {
            let octets = octets.trim_start();
            octets.split_once("  ").map_or(octets, |(octets, _)| octets)
        }
        _ => line,
    };
    if barred && let Some((_offset, octets)) = line.split_once(' ') {
        line = octets;
    }
    let tokens = line.split(|c: char| c.is_whitespace() || c == ',' || c == '-' || c == ';');
    for token in tokens.flat_map(|token| token.split("\\x")) {
        let token = token.trim_start_matches("0x").trim_matches('"');
        if !token.is_empty() && !is_hex(token) {
            out.truncate(start);
            return false;
        }
        out.extend(
            token
                .chars()
                .filter_map(|c| c.to_digit(16))
                .filter_map(|d| u8::try_from(d).ok()),
        );
    }
    out.len() > start
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Puts the first message of `octets` into `message`; returns how many octets it took, or the
/// offset of what is wrong.
fn take(octets: &[u8], message: &mut Vec<u8>) -> Result<usize, (usize, String)> {
    message.clear();
    let marker = octets
        .iter()
        .take_while(|octet| **octet == 0xff)
        .count()
        .min(MARKER_LEN);
    let bare = match marker {
        MARKER_LEN => &octets[MARKER_LEN..],
        0 => octets,
        _ => return Err((marker, format!("a marker of {marker} octets, not 16"))),
    };
    let skipped = octets.len() - bare.len();
    let [high, low, _kind, ..] = *bare else {
        return Err((octets.len(), "the digits end inside the header".to_owned()));
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !(HEADER_LEN..=EXTENDED_MESSAGE_LEN_MAX).contains(&len) {
        return Err((skipped, format!("a message length of {len}")));
    }
    let wanted = len - MARKER_LEN;
    let Some(body) = bare.get(..wanted) else {
        let what = format!(
            "the digits end, {} octets short of the length",
            wanted - bare.len()
        );
        return Err((octets.len(), what));
    };
    message.extend_from_slice(&[0xff; MARKER_LEN]);
    message.extend_from_slice(body);
    Ok(skipped + wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "ffffffffffffffffffffffffffffffff";

    fn read(text: &str) -> Vec<Result<(u64, String, usize), String>> {
        let mut messages = HexMessages::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(next) = messages.next() {
            found.push(match next {
                Ok(message) => Ok((
                    message.line,
                    message.caption.to_owned(),
                    message.bytes.len(),
                )),
                Err(error) => Err(error.to_string()),
            });
        }
        found
    }

    #[test]
    fn digits_come_in_many_dresses() {
        let keepalive = Ok((1, String::new(), 19));
        for text in [
            format!("{MARKER}001304"),
            format!("{}\n00 13\n04", MARKER.replace("ff", "ff ")),
            format!("0x{MARKER} 0x00,0x13,0x04;"),
            format!("{}\\x00\\x13\\x04", MARKER.replace("ff", "\\xff")),
            "001304".to_owned(),
            "0000: 0013 04  ...".to_owned(),
            "00000000  00 13 04  |...|".to_owned(),
            "0x0010:  0013 04".to_owned(),
        ] {
            assert_eq!(read(&text), std::slice::from_ref(&keepalive), "{text}");
        }
    }

    #[test]
    fn captions_and_blank_lines_part_messages() {
        let text =
            format!("A keepalive:\n\n{MARKER}001304\n\n001304\n# last\n{MARKER}001304001304\n");
        let found = read(&text);
        let expected = [(3, "A keepalive:"), (5, ""), (7, "# last"), (7, "# last")];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, (line, caption)) in found.iter().zip(expected) {
            assert_eq!(found, &Ok((line, caption.to_owned(), 19)));
        }
    }

    #[test]
    fn a_text_without_digits_is_told_from_an_empty_one() {
        for (text, blank) in [("", true), ("\n \n", true), ("hello\n", false)] {
            let mut messages = HexMessages::new(text.as_bytes());
            assert!(messages.next().is_none());
            assert_eq!(messages.is_blank(), blank, "{text:?}");
        }
    }

    #[test]
    fn errors_name_message_line_and_offset() {
        let text = format!("001304\n\n{MARKER}001504\n\nffff001304\n\n00130\n\n001204\n\n001304");
        let found = read(&text);
        let errors: Vec<_> = found[1..5]
            .iter()
            .map(|found| found.clone().unwrap_err())
            .collect();
        assert_eq!(
            errors,
            [
                "message 2 (line 3): the digits end, 2 octets short of the length at offset 19",
                "message 3 (line 5): a marker of 2 octets, not 16 at offset 2",
                "message 4 (line 7): half an octet at offset 2",
                "message 5 (line 9): a message length of 18 at offset 0",
            ]
        );
        assert_eq!(found[5], Ok((11, String::new(), 19)), "reading goes on");
    }
}
