//! Sets of prefixes, each entry with the lengths that it accepts.
//!
//! An entry `10.0.0.0/8 ge 16 le 24` matches a prefix that lies in 10/8 and has 16 to 24 bits. Since
//! an entry accepts no length below its own, an entry that covers a prefix's first address and
//! accepts its length covers the whole prefix. So the set is a map from addresses to accepted
//! lengths: the address space is cut where entries begin and end, each piece has one mask of
//! lengths, and a look-up is a search for the piece, however deep entries are nested. An index over
//! the top bits leaves the search a handful of steps; where many pieces share their top bits, as in
//! IPv6, a second index over the next bits does.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thruway_wire::{Ipv4Prefix, Ipv6Prefix, Prefix, PrefixKey};

use crate::limits::{PREFIX_BUCKET_LEN_MAX, PREFIX_INDEX_BITS_MAX};
use crate::range::number;

/// One entry: a prefix and the lengths that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PrefixEntry {
    prefix: Prefix,
    ge: u8,
    le: u8,
}

impl PrefixEntry {
    /// An entry for lengths `ge` to `le`.
    ///
    /// # Errors
    /// Unless the prefix's own length ≤ `ge` ≤ `le` ≤ 32 (IPv4) or 128 (IPv6).
    pub fn new(prefix: Prefix, ge: u8, le: u8) -> Result<Self, String> {
        let max = max_len(prefix);
        if ge < prefix.prefix_len() {
            return Err(format!(
                "{prefix} ge {ge}: ge is below the prefix's own length"
            ));
        }
        if le > max {
            return Err(format!("{prefix} le {le}: le is above {max}"));
        }
        if ge > le {
            return Err(format!(
                "{prefix} ge {ge} le {le}: no length is in that range"
            ));
        }
        Ok(PrefixEntry { prefix, ge, le })
    }

    /// The prefix.
    #[must_use]
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// True where `prefix` is within the entry and has a length that it accepts.
    #[must_use]
    pub fn matches(&self, prefix: Prefix) -> bool {
        self.prefix.covers(prefix) && (self.ge..=self.le).contains(&prefix.prefix_len())
    }
}

fn max_len(prefix: Prefix) -> u8 {
    match prefix {
        Prefix::V4(_) => Ipv4Prefix::MAX_LEN,
        Prefix::V6(_) => Ipv6Prefix::MAX_LEN,
    }
}

impl From<Prefix> for PrefixEntry {
    /// That prefix alone.
    fn from(prefix: Prefix) -> Self {
        PrefixEntry {
            prefix,
            ge: prefix.prefix_len(),
            le: prefix.prefix_len(),
        }
    }
}

impl fmt::Display for PrefixEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.fmt(f)?;
        if self.ge != self.prefix.prefix_len() {
            write!(f, " ge {}", self.ge)?;
        }
        if self.le != self.ge || self.ge != self.prefix.prefix_len() {
            write!(f, " le {}", self.le)?;
        }
        Ok(())
    }
}

impl FromStr for PrefixEntry {
    type Err = String;

    /// Reads `PREFIX`, `PREFIX ge N`, `PREFIX le N`, `PREFIX ge N le N`. `ge` alone goes up to host
    /// prefixes, `le` alone starts at the prefix's own length.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_ascii_whitespace();
        let prefix = words.next().unwrap_or_default();
        let prefix: Prefix = prefix.parse().map_err(|error| format!("{error}"))?;
        let (mut ge, mut le) = (None, None);
        while let Some(word) = words.next() {
            let slot = match word {
                "ge" => &mut ge,
                "le" => &mut le,
                _ => {
                    return Err(format!(
                        "`{text}`: expected `ge N` or `le N`, found `{word}`"
                    ));
                }
            };
            let value = words
                .next()
                .and_then(number)
                .and_then(|value| u8::try_from(value).ok());
            let value = value.ok_or_else(|| format!("`{text}`: `{word}` needs a length"))?;
            if slot.replace(value).is_some() {
                return Err(format!("`{text}`: `{word}` stands twice"));
            }
        }
        match (ge, le) {
            (None, None) => Ok(prefix.into()),
            _ => PrefixEntry::new(
                prefix,
                ge.unwrap_or(prefix.prefix_len()),
                le.unwrap_or(max_len(prefix)),
            ),
        }
    }
}

impl From<PrefixEntry> for String {
    fn from(entry: PrefixEntry) -> Self {
        entry.to_string()
    }
}

impl TryFrom<String> for PrefixEntry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A compiled set of entries of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixSet {
    v4: Pieces<u32>,
    v6: Pieces<u128>,
}

impl PrefixSet {
    /// True where an entry accepts `prefix`.
    #[inline]
    #[must_use]
    pub fn contains(&self, prefix: Prefix) -> bool {
        match prefix {
            Prefix::V4(prefix) => self.v4.contains(prefix.bits(), prefix.prefix_len()),
            Prefix::V6(prefix) => self.v6.contains(prefix.bits(), prefix.prefix_len()),
        }
    }

    /// True where an entry's prefix holds `addr`, whatever lengths it accepts.
    #[must_use]
    pub fn contains_addr(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => self.v4.lengths(addr.to_bits()) != 0 || self.v4.default,
            IpAddr::V6(addr) => self.v6.lengths(addr.to_bits()) != 0 || self.v6.default,
        }
    }
}

impl FromIterator<PrefixEntry> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = PrefixEntry>>(entries: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for PrefixEntry { prefix, ge, le } in entries {
            match prefix {
                Prefix::V4(prefix) => v4.push((prefix.bits(), prefix.prefix_len(), ge, le)),
                Prefix::V6(prefix) => v6.push((prefix.bits(), prefix.prefix_len(), ge, le)),
            }
        }
        PrefixSet {
            v4: Pieces::build(v4),
            v6: Pieces::build(v6),
        }
    }
}

/// An address as a number.
trait Bits: Copy + Ord {
    const ZERO: Self;
    /// The last address of a prefix that begins here.
    fn last(self, len: u8) -> Self;
    fn next(self) -> Option<Self>;
    /// `bits` bits, at least 1, behind the first `skip`.
    fn window(self, skip: u32, bits: u32) -> usize;
}

impl Bits for u32 {
    const ZERO: Self = 0;

    fn last(self, len: u8) -> Self {
        self | u32::MAX.checked_shr(u32::from(len)).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    #[inline]
    fn window(self, skip: u32, bits: u32) -> usize {
        ((self << skip) >> (32 - bits)) as usize
    }
}

impl Bits for u128 {
    const ZERO: Self = 0;

    fn last(self, len: u8) -> Self {
        self | u128::MAX.checked_shr(u32::from(len)).unwrap_or(0)
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    #[inline]
    fn window(self, skip: u32, bits: u32) -> usize {
        // Indices reach no further than the high half.
        (((self >> 64) as u64) << skip >> (64 - bits)) as usize
    }
}

/// The address space of one family, cut into pieces with equal answers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pieces<A> {
    /// First address of each piece, ascending; the first piece begins at 0.
    starts: Vec<A>,
    /// Each piece's place in `masks`.
    mask_of: Vec<u32>,
    /// The distinct masks: bit n - 1 stands for length n.
    masks: Vec<u128>,
    /// Over the top bits.
    index: Index,
    /// Over the bits behind them, for each value of the top bits; empty where no value has so many
    /// pieces that it pays.
    crowded: Vec<Option<Index>>,
    /// True where length 0 is accepted, for which the masks have no bit.
    default: bool,
}

impl<A: Bits> Pieces<A> {
    /// Cuts the space at the entries' edges. Entries are (first address, length, ge, le).
    fn build(mut entries: Vec<(A, u8, u8, u8)>) -> Self {
        // Outer entries come before those that they hold, so open entries form a stack.
        entries.sort_unstable_by_key(|&(start, len, ..)| (start, len));
        let mut cuts = Cuts {
            starts: vec![A::ZERO],
            masks: vec![0],
        };
        let mut open: Vec<(A, u128)> = Vec::new();
        for &(start, len, ge, le) in &entries {
            close_until(&mut open, &mut cuts, Some(start));
            let mask = open.last().map_or(0, |(_, mask)| *mask) | length_mask(ge, le);
            open.push((start.last(len), mask));
            cuts.cut(start, mask);
        }
        close_until(&mut open, &mut cuts, None);
        let default = entries.iter().any(|&(_, _, ge, _)| ge == 0);
        cuts.index(default)
    }

    #[inline]
    fn contains(&self, addr: A, len: u8) -> bool {
        match len.checked_sub(1) {
            Some(bit) => self.lengths(addr) >> bit & 1 != 0,
            None => self.default,
        }
    }

    /// The mask of lengths accepted at `addr`.
    #[inline]
    fn lengths(&self, addr: A) -> u128 {
        let bucket = addr.window(0, self.index.bits);
        let mut within = self.index.within(bucket);
        if let Some(Some(index)) = self.crowded.get(bucket) {
            within = index.within(addr.window(self.index.bits, index.bits));
        }
        let first = within.start;
        let starts = self.starts.get(within).unwrap_or_default();
        // The piece may begin in an earlier bucket: then it is the last before this one.
        let piece = first + starts.partition_point(|start| *start <= addr);
        let mask = piece
            .checked_sub(1)
            .and_then(|piece| self.mask_of.get(piece));
        mask.and_then(|mask| self.masks.get(*mask as usize))
            .copied()
            .unwrap_or(0)
    }
}

/// For each value of some bits of an address, the first piece that begins there or later.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Index {
    first: Vec<u32>,
    bits: u32,
}

impl Index {
    /// Over the bits behind the first `skip` of the pieces `within`, which agree on those; about one
    /// value for each piece.
    fn build<A: Bits>(starts: &[A], within: Range<usize>, skip: u32) -> Self {
        let bits = (within.len().max(1).ilog2() + 1).min(PREFIX_INDEX_BITS_MAX);
        let mut first = Vec::with_capacity((1 << bits) + 1);
        let mut piece = within.start;
        for bucket in 0..=1 << bits {
            let before = |start: &A| start.window(skip, bits) < bucket;
            while piece < within.end && starts.get(piece).is_some_and(before) {
                piece += 1;
            }
            first.push(piece as u32);
        }
        Index { first, bits }
    }

    /// The pieces that begin in a bucket.
    #[inline]
    fn within(&self, bucket: usize) -> Range<usize> {
        match self.first.get(bucket..) {
            Some([low, high, ..]) => *low as usize..*high as usize,
            _ => 0..0,
        }
    }
}

/// Closes the open entries that end before `start`; all of them where it is `None`.
fn close_until<A: Bits>(open: &mut Vec<(A, u128)>, cuts: &mut Cuts<A>, start: Option<A>) {
    while let Some(&(last, _)) = open.last() {
        if start.is_some_and(|start| last >= start) {
            return;
        }
        open.pop();
        if let Some(next) = last.next() {
            cuts.cut(next, open.last().map_or(0, |(_, mask)| *mask));
        }
    }
}

/// Bits `ge - 1` to `le - 1`; length 0 has no bit.
fn length_mask(ge: u8, le: u8) -> u128 {
    let up_to = |len: u8| u128::MAX.checked_shr(128 - u32::from(len)).unwrap_or(0);
    up_to(le) & !up_to(ge.saturating_sub(1))
}

/// Pieces as they are found, with their masks in full.
struct Cuts<A> {
    starts: Vec<A>,
    masks: Vec<u128>,
}

impl<A: Bits> Cuts<A> {
    /// A piece with `mask` begins at `start`, which is at or behind the last piece's start.
    fn cut(&mut self, start: A, mask: u128) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.masks.pop();
        }
        if self.masks.last() != Some(&mask) {
            self.starts.push(start);
            self.masks.push(mask);
        }
    }

    fn index(mut self, default: bool) -> Pieces<A> {
        // It may be one of thousands, and lives as long as the configuration does.
        self.starts.shrink_to_fit();
        let mut masks = self.masks.clone();
        masks.sort_unstable();
        masks.dedup();
        masks.shrink_to_fit();
        let place = |mask: &u128| masks.binary_search(mask).map_or(0, |place| place as u32);
        let mask_of = self.masks.iter().map(place).collect();
        let index = Index::build(&self.starts, 0..self.starts.len(), 0);
        let buckets = || (0..1 << index.bits).map(|bucket| index.within(bucket));
        let mut crowded = Vec::new();
        if buckets().any(|within| within.len() > PREFIX_BUCKET_LEN_MAX) {
            crowded.extend(buckets().map(|within| {
                let many = within.len() > PREFIX_BUCKET_LEN_MAX;
                many.then(|| Index::build(&self.starts, within, index.bits))
            }));
        }
        Pieces {
            starts: self.starts,
            mask_of,
            masks,
            index,
            crowded,
            default,
        }
    }
}

#[cfg(test)]
mod tests;
