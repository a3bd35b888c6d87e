//! `thruway decode`: MRT files and BGP messages in hex, for people, for programs and for scripts.
//!
//! The input's first octets tell what it is: a text is read as hex digits, sixteen `ff` as raw
//! messages, anything else as an MRT file, compressed or not. What is damaged goes to the error
//! output with its offset; reading goes on behind it, and the command fails at the end.

mod facts;
mod hex;
mod json;
mod line;
mod packet;
mod put;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use thruway_replay::mrt_file::{Input, MrtFile, MrtItem};
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::limits::{EXTENDED_MESSAGE_LEN_MAX, HEADER_LEN};
use thruway_wire::message;
use thruway_wire::mrt::{MrtPeer, MrtRecord};

use self::hex::{HexError, HexMessage, HexMessages};
use self::line::Lines;
use self::packet::{Failure, Packet};

/// Octets of the input that tell its kind.
const PROBE_LEN: usize = 512;
/// Octets of output that are gathered before they are written.
const OUTPUT_CHUNK: usize = 64 * 1024;

/// What `thruway decode` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct DecodeArgs {
    /// An MRT file (plain, gzip or bzip2) or a text with BGP messages in hex; - for standard input.
    pub file: PathBuf,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "lines")]
    pub json: bool,
    /// One line a prefix, in the format of `bgpdump -m`.
    #[arg(short = 'm', long = "lines")]
    pub lines: bool,
    /// Messages have two-octet AS numbers; the default is to look. MRT files tell it themselves.
    #[arg(long)]
    pub as2: bool,
    /// NLRI in messages carry path identifiers (RFC 7911). MRT files tell it themselves.
    #[arg(long)]
    pub add_path: bool,
}

/// Runs the command: standard output and error output. A reader that goes away ends it quietly.
///
/// # Errors
/// The input cannot be opened, the output cannot be written, or something in the input was damaged.
pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    let damaged = run_to(args, &mut io::stdout().lock(), &mut io::stderr().lock())?;
    if damaged > 0 {
        let (s, were) = if damaged == 1 {
            ("", "was")
        } else {
            ("s", "were")
        };
        bail!(
            "{}: {damaged} place{s} could not be read and {were} skipped",
            args.file.display()
        );
    }
    Ok(())
}

/// Runs the command with other outputs; returns how many places in the input could not be read.
/// Each has its line in `errors`.
///
/// # Errors
/// The input cannot be opened or the output cannot be written. `out` going away is no error.
pub fn run_to(
    args: &DecodeArgs,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u64> {
    let name = if args.file == Path::new("-") {
        "standard input".to_owned()
    } else {
        args.file.display().to_string()
    };
    let input = Input::open(&args.file).with_context(|| format!("cannot open {name}"))?;
    let mut decoder = Decoder::new(args, out, errors);
    match decoder.input(input) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(error).with_context(|| format!("cannot decode {name}")),
    }
    Ok(decoder.damaged)
}

/// Buffers that are reused from record to record, and the peers of the last PEER_INDEX_TABLE.
#[derive(Debug, Default)]
struct Scratch {
    peers: Vec<MrtPeer>,
    wide: AttrSetBuf,
}

struct Decoder<'a> {
    args: &'a DecodeArgs,
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    damaged: u64,
    buffer: Vec<u8>,
    lines: Lines,
    scratch: Scratch,
}

impl<'a> Decoder<'a> {
    fn new(args: &'a DecodeArgs, out: &'a mut dyn Write, errors: &'a mut dyn Write) -> Self {
        Decoder {
            args,
            out,
            errors,
            damaged: 0,
            buffer: Vec::with_capacity(2 * OUTPUT_CHUNK),
            lines: Lines::default(),
            scratch: Scratch::default(),
        }
    }

    fn input(&mut self, mut input: Input) -> io::Result<()> {
        let probe = input.peek(PROBE_LEN)?;
        if probe.starts_with(&[0xff; 16]) {
            self.raw(input)?;
        } else if is_text(probe) {
            self.text(input)?;
        } else {
            self.records(input)?;
        }
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.out.flush()
    }

    /// An MRT file.
    fn records(&mut self, input: Input) -> io::Result<()> {
        let mut file = MrtFile::new(input);
        let mut any = false;
        while let Some(next) = file.next() {
            match next {
                Ok(item) => {
                    any = true;
                    let start = self.buffer.len();
                    if let Err(failure) = self.record(&item) {
                        self.buffer.truncate(start);
                        self.damage(format_args!("record at offset {}: {failure}", item.offset))?;
                    }
                }
                Err(error) => self.damage(error)?,
            }
            self.flush()?;
        }
        if !any && self.damaged > 0 {
            // What was damaged says little about a file of another kind.
            let _ = writeln!(
                self.errors,
                "thruway decode: no record was found: is it an MRT file?"
            );
        }
        Ok(())
    }

    fn record(&mut self, item: &MrtItem<'_>) -> Result<(), Failure> {
        let (out, header, scratch) = (&mut self.buffer, &item.header, &mut self.scratch);
        if let MrtRecord::PeerIndexTable(table) = &item.record {
            scratch.peers.clear();
            scratch.peers.extend(table.peers());
        }
        if self.args.json {
            return json::record(out, header, item.offset, &item.record, scratch);
        }
        if !self.args.lines {
            return text::record(out, header, item.offset, &item.record, scratch);
        }
        match &item.record {
            MrtRecord::TableDump(dump) => self.lines.table_dump(out, header, dump),
            MrtRecord::Rib(rib) => return self.lines.rib(out, header, rib, &scratch.peers),
            MrtRecord::StateChange(change) => line::state_change(out, header, change),
            MrtRecord::Message(message) => {
                return self.lines.packet(out, &Packet::recorded(*header, message));
            }
            _ => {}
        }
        Ok(())
    }

    /// Messages in hex.
    fn text(&mut self, input: Input) -> io::Result<()> {
        let mut messages = HexMessages::new(BufReader::new(input));
        let mut any = false;
        while let Some(next) = messages.next() {
            any = true;
            match next {
                Ok(found) => self.message(&found)?,
                Err(HexError::Io(error)) => return Err(error),
                Err(error) => self.damage(error)?,
            }
        }
        if !any && !messages.is_blank() {
            self.damage("no message in hex digits was found in the text")?;
        }
        Ok(())
    }

    /// Messages as they come out of a session.
    fn raw(&mut self, mut input: Input) -> io::Result<()> {
        let mut bytes = Vec::new();
        let (mut offset, mut number) = (0_u64, 0);
        loop {
            let wanted = EXTENDED_MESSAGE_LEN_MAX.saturating_sub(bytes.len());
            input.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                return Ok(());
            }
            number += 1;
            let len = match message::frame(&bytes, EXTENDED_MESSAGE_LEN_MAX) {
                Ok(Some(found)) => found.bytes.len(),
                Ok(None) => {
                    let left = bytes.len();
                    let what = format_args!("message {number}: cut short at offset {offset}");
                    return self.damage(format_args!("{what}, {left} octets are left"));
                }
                // An unknown type still has its length; without one the rest is lost.
                Err(answer) => {
                    let what = format_args!("message {number} at offset {offset}: {answer}");
                    return self.damage(what);
                }
            };
            debug_assert!(len >= HEADER_LEN);
            self.message(&HexMessage {
                number,
                line: 0,
                caption: "",
                bytes: &bytes[..len],
            })?;
            offset += len as u64;
            bytes.drain(..len);
        }
    }

    fn message(&mut self, found: &HexMessage<'_>) -> io::Result<()> {
        let as4 = self.args.as2.then_some(false);
        let packet = Packet::bare(found.bytes, as4, self.args.add_path);
        let (out, scratch) = (&mut self.buffer, &mut self.scratch);
        if self.args.json {
            json::message(out, found, &packet, scratch);
        } else if !self.args.lines {
            text::message(out, found, &packet, scratch);
        } else if let Err(failure) = self.lines.packet(out, &packet) {
            self.damage(format_args!("message {}: {failure}", found.number))?;
        }
        self.flush()
    }

    /// Tells what cannot be read, behind all that could be.
    fn damage(&mut self, what: impl std::fmt::Display) -> io::Result<()> {
        self.damaged += 1;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.out.flush()?;
        // Without an error output the count must do.
        let _ = writeln!(self.errors, "thruway decode: {what}");
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.len() >= OUTPUT_CHUNK {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// True for octets that a person may have typed or pasted: MRT headers always hold a zero.
fn is_text(probe: &[u8]) -> bool {
    !probe
        .iter()
        .any(|octet| matches!(octet, 0..=8 | 14..=31 | 127))
}
