//! MRT files as a stream of records: plain, gzip or bzip2, from a path or standard input.

mod skipped;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use thruway_wire::mrt::{Frame, Framed, MRT_HEADER_LEN, MrtHeader, MrtReader, MrtRecord};
use thruway_wire::{Field, WireError, WireErrorKind};

pub use skipped::Skipped;

use crate::limits::MRT_FILE_BUFFER;

/// A file's octets, decompressed as they are read.
pub struct Input {
    source: Box<dyn Read + Send>,
    head: Vec<u8>,
    progress: Progress,
}

/// How far a file is read; counts as the file is read, and may be shown by another thread.
#[derive(Clone, Debug)]
pub struct Progress {
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Progress {
    /// Octets read of the file as it lies on the disk, compressed or not.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Its size; `None` for standard input and other pipes.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

impl Input {
    /// Opens a file, or standard input for `-`. Its first octets tell gzip and bzip2.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::from_reader(io::stdin(), None);
        }
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Self::from_reader(file, meta.is_file().then_some(meta.len()))
    }

    /// Reads from `reader`, of `total` octets where known.
    ///
    /// # Errors
    /// The first octets cannot be read.
    pub fn from_reader(reader: impl Read + Send + 'static, total: Option<u64>) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut counted = Counted {
            reader,
            read: Arc::clone(&read),
        };
        let mut magic = Vec::with_capacity(4);
        counted.by_ref().take(4).read_to_end(&mut magic)?;
        let kind = magic.clone();
        let whole = io::Cursor::new(magic).chain(counted);
        let source: Box<dyn Read + Send> = match kind.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
            [b'B', b'Z', b'h', b'1'..=b'9'] => Box::new(MultiBzDecoder::new(whole)),
            _ => Box::new(whole),
        };
        Ok(Input {
            source,
            head: Vec::new(),
            progress: Progress { read, total },
        })
    }

    /// The first octets that are still unread, `len` of them unless the file is shorter.
    ///
    /// # Errors
    /// The file cannot be read or decompressed.
    pub fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        let missing = len.saturating_sub(self.head.len());
        let limit = u64::try_from(missing).unwrap_or(u64::MAX);
        self.source
            .by_ref()
            .take(limit)
            .read_to_end(&mut self.head)?;
        Ok(&self.head[..len.min(self.head.len())])
    }

    /// How far the file is read.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() {
            return self.source.read(out);
        }
        let len = self.head.len().min(out.len());
        out[..len].copy_from_slice(&self.head[..len]);
        self.head.drain(..len);
        Ok(len)
    }
}

struct Counted<R> {
    reader: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(out)?;
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

/// The records of a file, one after the other.
pub struct MrtFile {
    input: Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    eof: bool,
    /// Why the stream ended early; told behind the last whole record.
    fault: Option<io::Error>,
    reader: MrtReader,
    /// Records and damaged places so far.
    number: u64,
    skipped: Skipped,
}

/// A record of a file.
#[derive(Clone, Copy, Debug)]
pub struct MrtItem<'a> {
    /// Its place in the file, from 1; damaged ones count.
    pub number: u64,
    /// Offset of its header in the (decompressed) file.
    pub offset: u64,
    /// Its header.
    pub header: MrtHeader,
    /// Its body.
    pub record: MrtRecord<'a>,
}

/// What is wrong in a file. Reading goes on behind a record's error.
#[derive(Debug, thiserror::Error)]
pub enum MrtFileError {
    /// A damaged record.
    #[error("{0}")]
    Record(DamagedRecord),
    /// The file cannot be read or decompressed any further.
    #[error("the file breaks off at offset {offset}: {source}")]
    Stream {
        /// Where the first octets stand that make no whole record.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

impl MrtFileError {
    /// True where a record of a known type is damaged behind its header: then it is an MRT file.
    #[must_use]
    pub fn is_in_known_record(&self) -> bool {
        let MrtFileError::Record(record) = self else {
            return false;
        };
        let known = record.header.is_some_and(|header| header.is_known_type());
        known && record.error.field != Field::MrtHeader
    }
}

/// A record that cannot be read; offsets count decompressed octets.
#[derive(Clone, Copy, Debug)]
pub struct DamagedRecord {
    /// Its place in the file, from 1.
    pub number: u64,
    /// Offset of its header in the file.
    pub offset: u64,
    /// What stands there as its header; `None` where there is too little for one.
    pub header: Option<MrtHeader>,
    /// What is wrong with it.
    pub error: WireError,
    /// The octets at the error's place, as many as there are.
    found: ([u8; FOUND_MAX], usize),
    /// Octets of it that are there.
    left: usize,
}

/// Octets that are shown of what stands in the wrong place.
const FOUND_MAX: usize = 4;

impl DamagedRecord {
    fn new(
        (number, offset): (u64, u64),
        header: Option<MrtHeader>,
        error: WireError,
        unread: &[u8],
    ) -> Self {
        let start = match (error.field, header) {
            (Field::MrtBody, Some(header)) => header.body_start(),
            _ => 0,
        };
        let at = start.saturating_add(usize::try_from(error.offset).unwrap_or(usize::MAX));
        let mut found = [0; FOUND_MAX];
        let end = header.map_or(0, |header| {
            MRT_HEADER_LEN.saturating_add(header.len as usize)
        });
        let record = unread.get(..end).unwrap_or(unread);
        let octets = record.get(at..).unwrap_or_default();
        let len = octets.len().min(FOUND_MAX);
        found[..len].copy_from_slice(&octets[..len]);
        DamagedRecord {
            number,
            offset,
            header,
            error,
            found: (found, len),
            left: unread.len(),
        }
    }
}

impl fmt::Display for DamagedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, offset, error, left) = (self.number, self.offset, self.error, self.left);
        write!(f, "record {number} at offset {offset}")?;
        let Some(header) = self.header else {
            return write!(f, ": {error}: {left} octets are left");
        };
        let (name, len) = (header.name(), header.len);
        match (error.field, error.kind) {
            (Field::MrtHeader, WireErrorKind::TooLarge) => {
                write!(f, ": {name} with a length of {len}, over the limit")
            }
            (Field::MrtHeader, _) if header.type_name().is_some() => {
                write!(
                    f,
                    ": {name} with a length of {len}, behind which no record begins"
                )
            }
            (Field::MrtHeader, _) => {
                write!(
                    f,
                    ": {name} is not known, and behind its length of {len} no record begins"
                )
            }
            (_, WireErrorKind::Truncated) => {
                write!(f, " ({name}, length {len}): {error}")
            }
            _ => {
                write!(f, " ({name}): {error}")?;
                let (octets, count) = self.found;
                for (index, octet) in octets.iter().take(count).enumerate() {
                    f.write_str(if index == 0 { ", where there is " } else { " " })?;
                    write!(f, "{octet:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl MrtFile {
    /// Opens a file, or standard input for `-`; see [`Input::open`].
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Input::open(path.as_ref()).map(Self::new)
    }

    /// The records of an open file.
    #[must_use]
    pub fn new(input: Input) -> Self {
        MrtFile {
            input,
            buffer: vec![0; MRT_FILE_BUFFER],
            start: 0,
            end: 0,
            eof: false,
            fault: None,
            reader: MrtReader::new(),
            number: 0,
            skipped: Skipped::default(),
        }
    }

    /// The records so far of types that are known but not supported.
    #[must_use]
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// How far the file is read.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        self.input.progress()
    }

    /// The next record, or what is wrong at the next place; `None` at the end. Not an [`Iterator`]:
    /// a record borrows the file's buffer.
    #[expect(
        clippy::should_implement_trait,
        reason = "a lending iterator has no trait"
    )]
    pub fn next(&mut self) -> Option<Result<MrtItem<'_>, MrtFileError>> {
        let (framed, at) = loop {
            let at = self.start;
            match self.reader.frame(&self.buffer[at..self.end], self.eof) {
                Frame::Record(framed) => {
                    self.start += framed.consumed;
                    break (framed, at);
                }
                Frame::NeedMore(len) => self.fill(len),
                Frame::Skip(len) => self.start += len,
                Frame::Damage {
                    offset,
                    header,
                    error,
                    consumed,
                } => {
                    self.start += consumed;
                    self.number += 1;
                    // The tail of a stream that broke off: the break is the error, once.
                    if error.kind == WireErrorKind::Truncated
                        && let Some(source) = self.fault.take_if(|_| self.eof)
                    {
                        return Some(Err(MrtFileError::Stream { offset, source }));
                    }
                    let (place, unread) = ((self.number, offset), &self.buffer[at..self.end]);
                    let damaged = DamagedRecord::new(place, header, error, unread);
                    return Some(Err(MrtFileError::Record(damaged)));
                }
                Frame::End => {
                    let source = self.fault.take()?;
                    let offset = self.reader.offset();
                    return Some(Err(MrtFileError::Stream { offset, source }));
                }
            }
        };
        let Framed {
            offset,
            header,
            body,
            ..
        } = framed;
        self.number += 1;
        let number = self.number;
        let unread = &self.buffer[at..self.end];
        Some(match MrtRecord::parse(&header, &unread[body]) {
            Ok(record) => {
                let name = header.name();
                if matches!(record, MrtRecord::Unsupported(_)) && name.is_registered() {
                    self.skipped.count(name, number, offset);
                }
                Ok(MrtItem {
                    number,
                    offset,
                    header,
                    record,
                })
            }
            Err(error) => {
                let damaged = DamagedRecord::new((number, offset), Some(header), error, unread);
                Err(MrtFileError::Record(damaged))
            }
        })
    }

    /// Reads until `len` octets are unread, or the end.
    fn fill(&mut self, len: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        while self.end < len && !self.eof {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.eof = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.fault = Some(error);
                    self.eof = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Ipv4Addr;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use thruway_wire::Asn;
    use thruway_wire::mrt::Bgp4mpSession;
    use thruway_wire::mrt::write::{MrtTime, state_change};

    use super::*;

    const COUNT: u32 = 60_000;

    fn records() -> Vec<u8> {
        let mut out = Vec::new();
        for secs in 0..COUNT {
            let session = Bgp4mpSession {
                peer_as: Asn(secs.wrapping_mul(2_654_435_761)),
                local_as: Asn(2),
                interface: 0,
                peer_addr: Ipv4Addr::LOCALHOST.into(),
                local_addr: Ipv4Addr::LOCALHOST.into(),
            };
            state_change(&mut out, MrtTime::from_secs(secs), &session, 1, 2).unwrap();
        }
        out
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// How many records in order, and the errors.
    fn read(bytes: Vec<u8>) -> (u32, Vec<MrtFileError>, Progress) {
        let total = Some(bytes.len() as u64);
        let input = Input::from_reader(io::Cursor::new(bytes), total).unwrap();
        let progress = input.progress().clone();
        let mut file = MrtFile::new(input);
        let (mut count, mut errors) = (0, Vec::new());
        while let Some(next) = file.next() {
            match next {
                Ok(item) => {
                    assert_eq!(item.header.timestamp, count);
                    count += 1;
                }
                Err(error) => errors.push(error),
            }
        }
        (count, errors, progress)
    }

    #[test]
    fn compression_is_told_by_the_first_octets() {
        let plain = records();
        let (front, back) = plain.split_at(plain.len() / 3);
        let members = [gzip(front), gzip(back)].concat();
        let streams = [bzip2(front), bzip2(back)].concat();
        for file in [plain.clone(), gzip(&plain), members, bzip2(&plain), streams] {
            let (count, errors, progress) = read(file);
            assert_eq!((count, errors.len()), (COUNT, 0), "{errors:?}");
            assert_eq!(
                Some(progress.read()),
                progress.total(),
                "all of the file was read"
            );
        }
    }

    #[test]
    fn a_cut_stream_gives_its_whole_records_and_one_error() {
        let plain = records();
        let record = plain.len() as u64 / u64::from(COUNT);
        for whole in [gzip(&plain), bzip2(&plain)] {
            let cut = whole.len() * 3 / 4;
            let (count, errors, _) = read(whole[..cut].to_vec());
            assert!(count > COUNT / 2, "what decompresses is read: {count}");
            let [MrtFileError::Stream { offset, .. }] = errors[..] else {
                panic!("{errors:?}")
            };
            assert_eq!(offset, u64::from(count) * record);
        }
        let (count, errors, _) = read(plain[..plain.len() - 1].to_vec());
        let [MrtFileError::Record(damaged)] = &errors[..] else {
            panic!("{errors:?}")
        };
        let place = (u64::from(COUNT), u64::from(COUNT - 1) * record);
        assert_eq!(count, COUNT - 1);
        assert_eq!((damaged.number, damaged.offset), place);
    }

    #[test]
    fn what_is_not_supported_is_counted_by_type() {
        let ospf = [0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 1, 7];
        let isis = [0, 0, 0, 1, 0, 32, 0, 0, 0, 0, 0, 0];
        let bytes = [&ospf[..], &isis, &isis].concat();
        let mut file = MrtFile::new(Input::from_reader(io::Cursor::new(bytes), None).unwrap());
        while let Some(next) = file.next() {
            next.unwrap();
        }
        assert_eq!(
            (file.skipped().total(), file.skipped().names().as_str()),
            (3, "1 OSPFv2, 2 ISIS")
        );
        let lines: Vec<_> = file.skipped().lines().collect();
        assert_eq!(
            lines,
            [
                "record 1 at offset 0: OSPFv2 record, not supported, skipped",
                "2 ISIS records, not supported, skipped; the first is record 2 at offset 13",
            ]
        );
    }

    #[test]
    fn peeked_octets_are_read_again() {
        let mut input = Input::from_reader(io::Cursor::new(gzip(b"0123456789")), None).unwrap();
        assert_eq!(input.peek(4).unwrap(), b"0123");
        assert_eq!(input.peek(99).unwrap(), b"0123456789");
        let mut all = Vec::new();
        input.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"0123456789");
    }
}
