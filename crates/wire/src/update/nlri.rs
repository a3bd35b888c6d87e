//! NLRI fields: checked once, then iterated without failure (RFC 4271 §4.3, RFC 7911 §3).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use std::hint::cold_path;
use std::marker::PhantomData;

use crate::{Nlri, PrefixKey};

/// Checks a field of NLRI with prefixes of at most `len_max` bits; `Err` is what begins with the
/// first that does not parse.
#[inline]
pub(crate) fn check(field: &[u8], len_max: u8, add_path: bool) -> Result<(), &[u8]> {
    let ahead = if add_path { 4 } else { 0 };
    let mut rest = field;
    while !rest.is_empty() {
        let Some(len) = rest.get(ahead) else {
            return Err(rest);
        };
        let behind_len = ahead.wrapping_add(1);
        match skip(rest, behind_len, *len) {
            Some(tail) if *len <= len_max => rest = tail,
            _ => return Err(rest),
        }
    }
    Ok(())
}

/// What follows a prefix of `len` bits that begins at `at`.
///
/// Nearly all of IPv4 takes three octets. Told apart by a branch, the next prefix's place is
/// known before this one's length is loaded; computed from it, each step waits for the one
/// before.
#[inline(always)]
fn skip(rest: &[u8], at: usize, len: u8) -> Option<&[u8]> {
    if matches!(len, 17..=24) {
        return rest.get(at.wrapping_add(3)..);
    }
    cold_path();
    rest.get(at.wrapping_add(usize::from(len).wrapping_add(7) >> 3)..)
}

/// Iterator over the NLRI of checked fields, one field behind the other.
#[derive(Clone, Debug)]
pub struct NlriIter<'a, P> {
    rest: &'a [u8],
    fields: [&'a [u8]; 3],
    add_path: bool,
    family: PhantomData<P>,
}

impl<'a, P: PrefixKey> NlriIter<'a, P> {
    /// Over NLRI as on the wire; `add_path` tells whether each has a path identifier in front. Ends
    /// at what does not parse.
    #[must_use]
    pub fn new(field: &'a [u8], add_path: bool) -> Self {
        Self::of([field, &[], &[], &[]], add_path)
    }

    #[inline]
    pub(super) fn of([rest, fields @ ..]: [&'a [u8]; 4], add_path: bool) -> Self {
        NlriIter {
            rest,
            fields,
            add_path,
            family: PhantomData,
        }
    }

    #[inline]
    fn read(&mut self) -> Option<Nlri<P>> {
        let (path_id, rest) = if self.add_path {
            let (id, rest) = self.rest.split_first_chunk::<4>()?;
            (u32::from_be_bytes(*id), rest)
        } else {
            (0, self.rest)
        };
        let (&len, rest) = rest.split_first()?;
        let prefix = P::from_octets(rest, len)?;
        self.rest = skip(rest, 0, len)?;
        Some(Nlri { path_id, prefix })
    }
}

impl<P: PrefixKey> Iterator for NlriIter<'_, P> {
    type Item = Nlri<P>;

    #[inline]
    fn next(&mut self) -> Option<Nlri<P>> {
        while self.rest.is_empty() {
            let next = self.fields.iter_mut().find(|field| !field.is_empty())?;
            self.rest = std::mem::take(next);
        }
        let item = self.read();
        if item.is_none() {
            self.rest = &[];
            self.fields = [&[]; 3];
        }
        item
    }
}
