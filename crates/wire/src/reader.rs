//! The checked reader: nom `complete` parsers over one error type.
//!
//! BGP and MRT are length-framed, so input is always whole and only `complete` parsers appear.
//! While parsing, a [`WireError`]'s offset counts the octets that were left; [`located`] turns it
//! round.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use nom::error::{ErrorKind, ParseError};

use crate::attrs::{EXTENDED_LENGTH, RawAttr};
use crate::{Field, WireError, WireErrorKind};

/// What every parser of this crate returns.
pub(crate) type IResult<'a, T> = nom::IResult<&'a [u8], T, WireError>;

impl<'a> ParseError<&'a [u8]> for WireError {
    fn from_error_kind(input: &'a [u8], kind: ErrorKind) -> Self {
        let kind = match kind {
            ErrorKind::Eof => WireErrorKind::Truncated,
            ErrorKind::Verify | ErrorKind::Tag => WireErrorKind::BadValue,
            _ => WireErrorKind::BadLength,
        };
        error(input, Field::PathAttributes, kind)
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// An error where `rest` begins; its offset is still counted from the end.
pub(crate) fn error(rest: &[u8], field: Field, kind: WireErrorKind) -> WireError {
    WireError {
        field,
        kind,
        offset: u32::try_from(rest.len()).unwrap_or(u32::MAX),
    }
}

/// The plain error of a parser that ran over `whole`, named `field`, its offset from the start.
pub(crate) fn located(error: &nom::Err<WireError>, whole: &[u8], field: Field) -> WireError {
    let (nom::Err::Error(error) | nom::Err::Failure(error)) = error else {
        return WireError {
            field,
            kind: WireErrorKind::Truncated,
            offset: 0,
        };
    };
    let total = u32::try_from(whole.len()).unwrap_or(u32::MAX);
    WireError {
        field,
        kind: error.kind,
        offset: total.saturating_sub(error.offset),
    }
}

/// Takes `N` octets as an array: what numbers and fixed fields are made of.
#[inline]
pub(crate) fn octets<const N: usize>(input: &[u8]) -> IResult<'_, [u8; N]> {
    match input.split_first_chunk::<N>() {
        Some((octets, rest)) => Ok((rest, *octets)),
        None => Err(short(input)),
    }
}

/// One octet.
#[inline]
pub(crate) fn be_u8(input: &[u8]) -> IResult<'_, u8> {
    octets(input).map(|(rest, [octet])| (rest, octet))
}

/// Two octets, network order.
#[inline]
pub(crate) fn be_u16(input: &[u8]) -> IResult<'_, u16> {
    octets(input).map(|(rest, octets)| (rest, u16::from_be_bytes(octets)))
}

/// Four octets, network order.
#[inline]
pub(crate) fn be_u32(input: &[u8]) -> IResult<'_, u32> {
    octets(input).map(|(rest, octets)| (rest, u32::from_be_bytes(octets)))
}

/// `len` octets.
#[inline]
pub(crate) fn take(len: usize) -> impl Fn(&[u8]) -> IResult<'_, &[u8]> {
    move |input| match input.split_at_checked(len) {
        Some((taken, rest)) => Ok((rest, taken)),
        None => Err(short(input)),
    }
}

/// The path attribute at the start of `input`: flags, type code, a length of one or two octets,
/// value (RFC 4271 §4.3).
#[inline]
pub(crate) fn attribute(input: &[u8]) -> IResult<'_, RawAttr<'_>> {
    let (rest, [flags, code, short]) = octets(input)?;
    let (len, rest) = if flags & EXTENDED_LENGTH == 0 {
        (usize::from(short), rest)
    } else {
        let (rest, low) = be_u8(rest)?;
        (usize::from(u16::from_be_bytes([short, low])), rest)
    };
    let (rest, value) = take(len)(rest)?;
    Ok((rest, RawAttr { flags, code, value }))
}

#[cold]
fn short(input: &[u8]) -> nom::Err<WireError> {
    nom::Err::Error(error(
        input,
        Field::PathAttributes,
        WireErrorKind::Truncated,
    ))
}
