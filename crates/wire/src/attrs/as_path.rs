//! AS_PATH as a view (RFC 4271 §4.3, §5.1.2; RFC 5065 for confederations).

use std::fmt;

use crate::Asn;

/// A four-octet AS_PATH value, checked once when its set was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsPath<'a> {
    bytes: &'a [u8],
}

/// Kinds of path segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SegmentType {
    /// Unordered, counts as one (RFC 4271 §9.1.2.2).
    Set = 1,
    /// Ordered, each counts.
    Sequence = 2,
    /// RFC 5065 §3, counts nothing.
    ConfedSequence = 3,
    /// RFC 5065 §3, counts nothing.
    ConfedSet = 4,
}

impl SegmentType {
    /// The type of a code, if it is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(SegmentType::Set),
            2 => Some(SegmentType::Sequence),
            3 => Some(SegmentType::ConfedSequence),
            4 => Some(SegmentType::ConfedSet),
            _ => None,
        }
    }

    /// True for the two kinds of RFC 5065.
    #[must_use]
    pub const fn is_confederation(self) -> bool {
        matches!(self, SegmentType::ConfedSequence | SegmentType::ConfedSet)
    }

    /// What a segment of `asns` numbers counts in a path's length (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3).
    pub(super) const fn path_len(self, asns: usize) -> usize {
        match self {
            SegmentType::Sequence => asns,
            SegmentType::Set => 1,
            SegmentType::ConfedSequence | SegmentType::ConfedSet => 0,
        }
    }
}

impl<'a> AsPath<'a> {
    /// A view of an AS_PATH value with four-octet numbers. What does not parse ends the view.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        AsPath { bytes }
    }

    /// The value's octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// True without segments: a route of our own AS.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The segments, nearest first.
    #[must_use]
    pub const fn segments(&self) -> Segments<'a> {
        Segments { rest: self.bytes }
    }

    /// All numbers, those in sets included, nearest first.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + Clone + 'a {
        self.segments().flat_map(|(_, asns)| asns)
    }

    /// True where `asn` is anywhere in the path.
    #[must_use]
    pub fn contains(&self, asn: Asn) -> bool {
        self.asns().any(|member| member == asn)
    }

    /// Length for comparison (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3): a set counts 1, confederation
    /// segments 0.
    #[must_use]
    pub fn path_len(&self) -> usize {
        self.segments()
            .map(|(kind, asns)| kind.path_len(asns.len()))
            .sum()
    }
}

/// Appends `path` with `asn` in front `count` times (RFC 4271 §5.1.2 b): into the first sequence as
/// far as it has room, else as a segment of its own.
pub(crate) fn write_prepended(out: &mut Vec<u8>, path: AsPath<'_>, asn: Asn, count: u8) {
    let mut segments = path.segments();
    let first = segments
        .next()
        .filter(|(kind, _)| *kind == SegmentType::Sequence);
    let first = first.map(|(_, asns)| (u8::try_from(asns.len()).unwrap_or(u8::MAX), asns));
    let room = first
        .as_ref()
        .map_or(0, |(len, _)| u8::MAX.saturating_sub(*len));
    let merged = count.min(room);
    let apart = count.saturating_sub(merged);
    let mut write = |len: u8, count: u8| {
        out.extend_from_slice(&[SegmentType::Sequence as u8, len]);
        for _ in 0..count {
            out.extend_from_slice(&asn.0.to_be_bytes());
        }
    };
    if apart > 0 {
        write(apart, apart);
    }
    match first {
        Some((len, asns)) => {
            write(len.saturating_add(merged), merged);
            out.extend_from_slice(asns.as_bytes());
            out.extend_from_slice(segments.rest);
        }
        None => out.extend_from_slice(path.as_bytes()),
    }
}

/// Iterator over a path's segments.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Segments<'a> {
    type Item = (SegmentType, Asns<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, count], rest) = self.rest.split_first_chunk()?;
        let kind = SegmentType::from_code(kind)?;
        let (asns, rest) = rest.split_at_checked(usize::from(count).wrapping_mul(4))?;
        self.rest = rest;
        Some((kind, Asns { bytes: asns }))
    }
}

/// Iterator over a segment's numbers.
#[derive(Clone, Debug)]
pub struct Asns<'a> {
    bytes: &'a [u8],
}

impl<'a> Asns<'a> {
    /// What is left of them, four octets each.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Iterator for Asns<'_> {
    type Item = Asn;

    #[inline]
    fn next(&mut self) -> Option<Asn> {
        let (&octets, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(Asn(u32::from_be_bytes(octets)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.len() / 4;
        (count, Some(count))
    }
}

impl DoubleEndedIterator for Asns<'_> {
    fn next_back(&mut self) -> Option<Asn> {
        let (rest, &octets) = self.bytes.split_last_chunk()?;
        self.bytes = rest;
        Some(Asn(u32::from_be_bytes(octets)))
    }
}

impl ExactSizeIterator for Asns<'_> {}

impl fmt::Display for AsPath<'_> {
    /// The field's notation: `1 2 {3,4} (5 6) [7,8]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, asns)) in self.segments().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            let (open, between, close) = match kind {
                SegmentType::Sequence => ("", " ", ""),
                SegmentType::Set => ("{", ",", "}"),
                SegmentType::ConfedSequence => ("(", " ", ")"),
                SegmentType::ConfedSet => ("[", ",", "]"),
            };
            f.write_str(open)?;
            for (index, asn) in asns.enumerate() {
                if index > 0 {
                    f.write_str(between)?;
                }
                asn.fmt(f)?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}
