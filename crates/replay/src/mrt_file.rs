//! MRT files as a stream of records: plain, gzip or bzip2, from a path or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use thruway_wire::WireErrorKind;
use thruway_wire::mrt::{Frame, Framed, MrtHeader, MrtReader, MrtRecord};

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
}

/// A record of a file.
#[derive(Clone, Copy, Debug)]
pub struct MrtItem<'a> {
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
    /// A damaged record; offsets count decompressed octets.
    #[error("record at offset {offset}: {error}")]
    Record {
        /// Offset of its header in the file.
        offset: u64,
        /// What is wrong with it.
        error: thruway_wire::WireError,
    },
    /// The file cannot be read or decompressed any further.
    #[error("the file breaks off at offset {offset}: {source}")]
    Stream {
        /// Where the first octets stand that make no whole record.
        offset: u64,
        /// Why.
        source: io::Error,
    },
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
        }
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
                    error,
                    consumed,
                } => {
                    self.start += consumed;
                    // The tail of a stream that broke off: the break is the error, once.
                    if error.kind == WireErrorKind::Truncated
                        && let Some(source) = self.fault.take_if(|_| self.eof)
                    {
                        return Some(Err(MrtFileError::Stream { offset, source }));
                    }
                    return Some(Err(MrtFileError::Record { offset, error }));
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
        let body = &self.buffer[at + body.start..at + body.end];
        Some(match MrtRecord::parse(&header, body) {
            Ok(record) => Ok(MrtItem {
                offset,
                header,
                record,
            }),
            Err(error) => Err(MrtFileError::Record { offset, error }),
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
        let [MrtFileError::Record { offset, .. }] = errors[..] else {
            panic!("{errors:?}")
        };
        assert_eq!((count, offset), (COUNT - 1, u64::from(COUNT - 1) * record));
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
