//! From the input to the output: what kind of input it is, and each of its records in turn.

use std::io::{self, BufReader, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use thruway_replay::mrt_file::{Input, MrtFile, MrtItem};
use thruway_wire::mrt::MrtRecord;

use super::args::DecodeArgs;
use super::assumed::Said;
use super::hex::{HexError, HexMessage, HexMessages};
use super::line::{self, Lines};
use super::packet::Packet;
use super::raw::{RawError, RawMessages};
use super::scratch::Scratch;
use super::{faults, json, text};

/// Octets of the input that tell its kind.
const PROBE_LEN: usize = 512;
/// Octets of output that are gathered before they are written.
const OUTPUT_CHUNK: usize = 64 * 1024;

/// Runs the command: standard output and error output. A reader that goes away ends it quietly.
///
/// # Errors
/// The input cannot be opened, the output cannot be written, or something in the input was damaged.
pub fn run(args: &DecodeArgs) -> anyhow::Result<()> {
    let damaged = run_to(args, &mut io::stdout().lock(), &mut io::stderr().lock())?;
    let file = args.file.display();
    match damaged {
        0 => Ok(()),
        1 => bail!("{file}: 1 place is damaged"),
        _ => bail!("{file}: {damaged} places are damaged"),
    }
}

/// Runs the command with other outputs; returns how many places in the input are damaged. Each has
/// its line in `errors`.
///
/// # Errors
/// The input cannot be opened, holds nothing but records that are not supported, or the output
/// cannot be written. `out` going away is no error.
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
    if let (Some(skipped), 0) = (decoder.only_skipped, decoder.damaged) {
        bail!(
            "{name}: nothing to show: all its records are of types that are not supported ({skipped})"
        );
    }
    Ok(decoder.damaged)
}

struct Decoder<'a> {
    args: &'a DecodeArgs,
    said: Said,
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    damaged: u64,
    /// What the file's records are, where none is of a supported type.
    only_skipped: Option<String>,
    buffer: Vec<u8>,
    lines: Lines,
    scratch: Scratch,
}

impl<'a> Decoder<'a> {
    fn new(args: &'a DecodeArgs, out: &'a mut dyn Write, errors: &'a mut dyn Write) -> Self {
        Decoder {
            args,
            said: Said::from(args),
            out,
            errors,
            damaged: 0,
            only_skipped: None,
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
            let hint = no_mrt(probe);
            self.records(input, &hint)?;
        }
        let assumptions = self.scratch.notes.assumptions;
        if !assumptions.is_empty() {
            self.tell(assumptions)?;
        }
        self.write_out()?;
        self.out.flush()
    }

    /// An MRT file; `hint` says what it looks like if it is none.
    fn records(&mut self, input: Input, hint: &str) -> io::Result<()> {
        let mut file = MrtFile::new(input);
        let (mut any, mut supported, mut recognized) = (false, false, false);
        while let Some(next) = file.next() {
            match next {
                Ok(item) => {
                    any = true;
                    supported |= !matches!(item.record, MrtRecord::Unsupported(_));
                    self.record(&item);
                    let (number, offset) = (item.number, item.offset);
                    self.faults(format_args!("record {number} at offset {offset}"))?;
                }
                Err(error) => {
                    recognized |= error.is_in_known_record();
                    self.damage(error)?;
                }
            }
            self.flush()?;
        }
        for line in file.skipped().lines() {
            self.tell(line)?;
        }
        if file.skipped().total() > 0 && !supported {
            self.only_skipped = Some(file.skipped().names());
        }
        if !any && !recognized && self.damaged > 0 {
            // What was damaged says little about a file of another kind.
            self.tell(hint)?;
        }
        Ok(())
    }

    fn record(&mut self, item: &MrtItem<'_>) {
        let (out, header, scratch) = (&mut self.buffer, &item.header, &mut self.scratch);
        if let MrtRecord::PeerIndexTable(table) = &item.record {
            scratch.peers.clear();
            scratch.peers.extend(table.peers());
        }
        faults::record(item, &scratch.peers, &mut scratch.notes.faults);
        let packet = match &item.record {
            MrtRecord::Message(message) => {
                let packet = Packet::recorded(*header, message, self.said);
                packet.check(&mut scratch.notes.faults);
                Some(packet)
            }
            _ => None,
        };
        if self.args.json {
            return json::record(out, item, packet.as_ref(), scratch);
        }
        if !self.args.lines {
            return text::record(out, item, packet.as_ref(), scratch);
        }
        match &item.record {
            MrtRecord::TableDump(dump) => self.lines.table_dump(out, header, dump),
            MrtRecord::Rib(rib) => self.lines.rib(out, header, rib, &scratch.peers),
            MrtRecord::StateChange(change) => line::state_change(out, header, change),
            _ => {}
        }
        if let Some(packet) = packet {
            self.lines.packet(out, &packet, scratch);
        }
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
    fn raw(&mut self, input: Input) -> io::Result<()> {
        let mut messages = RawMessages::new(input);
        while let Some(next) = messages.next() {
            match next {
                Ok(found) => self.message(&found)?,
                Err(RawError::Io(error)) => return Err(error),
                Err(error) => self.damage(error)?,
            }
        }
        Ok(())
    }

    fn message(&mut self, found: &HexMessage<'_>) -> io::Result<()> {
        let packet = Packet::bare(found.bytes, self.said);
        let (out, scratch) = (&mut self.buffer, &mut self.scratch);
        packet.check(&mut scratch.notes.faults);
        if self.args.json {
            json::message(out, found, &packet, scratch);
        } else if self.args.lines {
            self.lines.packet(out, &packet, scratch);
        } else {
            text::message(out, found, &packet, scratch);
        }
        let (number, line, offset) = (found.number, found.line, found.offset);
        match line {
            0 => self.faults(format_args!("message {number} at offset {offset}"))?,
            _ => self.faults(format_args!("message {number} (line {line})"))?,
        }
        self.flush()
    }

    /// Tells what is wrong in what was shown last, as one damaged place.
    fn faults(&mut self, place: impl std::fmt::Display) -> io::Result<()> {
        if self.scratch.notes.faults.is_empty() {
            return Ok(());
        }
        let faults: Vec<_> = self.scratch.notes.faults.drain(..).collect();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        self.damage(format_args!("{place}: {}", faults.join("; ")))
    }

    /// Tells a damaged place.
    fn damage(&mut self, what: impl std::fmt::Display) -> io::Result<()> {
        self.damaged += 1;
        self.tell(what)
    }

    /// Tells something on the error output, behind all that could be read so far.
    fn tell(&mut self, what: impl std::fmt::Display) -> io::Result<()> {
        self.write_out()?;
        self.out.flush()?;
        // Without an error output the count must do.
        let _ = writeln!(self.errors, "thruway decode: {what}");
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.len() >= OUTPUT_CHUNK {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// What a file without a record is, as far as its first octets tell.
fn no_mrt(probe: &[u8]) -> String {
    const READS: &str = "decode reads MRT files, raw BGP messages, and BGP messages in hex";
    let kinds: [(&[u8], &str); 8] = [
        (&[0xd4, 0xc3, 0xb2, 0xa1], "a packet capture (pcap)"),
        (&[0xa1, 0xb2, 0xc3, 0xd4], "a packet capture (pcap)"),
        (&[0x4d, 0x3c, 0xb2, 0xa1], "a packet capture (pcap)"),
        (&[0xa1, 0xb2, 0x3c, 0x4d], "a packet capture (pcap)"),
        (&[0x0a, 0x0d, 0x0d, 0x0a], "a packet capture (pcapng)"),
        (&[0xfd, b'7', b'z', b'X', b'Z'], "compressed with xz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd"),
        (b"PK\x03\x04", "a zip archive"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(magic, _)| probe.starts_with(magic)) {
        return format!("no record was found: the file is {kind}; {READS}");
    }
    let first = probe.iter().take(12).map(|octet| format!("{octet:02x}"));
    let first = first.collect::<Vec<_>>().join(" ");
    format!("no record was found: the file begins with {first}, which is no MRT header; {READS}")
}

/// True for octets that a person may have typed or pasted: MRT headers always hold a zero.
fn is_text(probe: &[u8]) -> bool {
    !probe
        .iter()
        .any(|octet| matches!(octet, 0..=8 | 14..=31 | 127))
}
