//! Capability values (RFC 5492 §4).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use nom::Parser;
use nom::multi::{length_data, many0};

use super::Capability;
use crate::reader::{IResult, be_u8, be_u16, be_u32, octets};
use crate::{AfiSafi, Asn};

/// Capability codes (IANA "Capability Codes").
mod code {
    pub(super) const MULTIPROTOCOL: u8 = 1;
    pub(super) const ROUTE_REFRESH: u8 = 2;
    pub(super) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(super) const EXTENDED_MESSAGE: u8 = 6;
    pub(super) const ROLE: u8 = 9;
    pub(super) const GRACEFUL_RESTART: u8 = 64;
    pub(super) const FOUR_OCTET_AS: u8 = 65;
    pub(super) const ADD_PATH: u8 = 69;
    pub(super) const ENHANCED_ROUTE_REFRESH: u8 = 70;
    pub(super) const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
    pub(super) const FQDN: u8 = 73;
}

/// The R, N and restart time bits of graceful restart (RFC 4724 §3, RFC 8538 §2).
const RESTARTING: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;
const RESTART_TIME: u16 = 0x0fff;
/// The F bit of a family in both kinds of graceful restart.
const FORWARDING: u8 = 0x80;
/// Bits of the long-lived stale time (RFC 9494 §3.1).
const STALE_TIME: u32 = 0x00ff_ffff;

/// Reads one capability. One that is unknown, or known and malformed, is kept as it is.
pub(super) fn parse(input: &[u8]) -> IResult<'_, Capability> {
    let (rest, code) = be_u8(input)?;
    let (rest, value) = length_data(be_u8).parse(rest)?;
    let known = known(code, value).map(|(_, capability)| capability);
    Ok((
        rest,
        known.unwrap_or_else(|_| Capability::Unknown {
            code,
            value: value.to_vec(),
        }),
    ))
}

fn known(code: u8, value: &[u8]) -> IResult<'_, Capability> {
    let (rest, capability) = match code {
        code::MULTIPROTOCOL => multiprotocol(value)?,
        code::ROUTE_REFRESH => (value, Capability::RouteRefresh),
        code::EXTENDED_NEXT_HOP => extended_next_hop(value)?,
        code::EXTENDED_MESSAGE => (value, Capability::ExtendedMessage),
        code::ROLE => be_u8(value).map(|(rest, role)| (rest, Capability::Role(role)))?,
        code::GRACEFUL_RESTART => graceful_restart(value)?,
        code::FOUR_OCTET_AS => four_octet_as(value)?,
        code::ADD_PATH => add_path(value)?,
        code::ENHANCED_ROUTE_REFRESH => (value, Capability::EnhancedRouteRefresh),
        code::LONG_LIVED_GRACEFUL_RESTART => long_lived_graceful_restart(value)?,
        code::FQDN => fqdn(value)?,
        _ => unknown(value)?,
    };
    nom::combinator::eof(rest)?;
    Ok((rest, capability))
}

fn unknown(value: &[u8]) -> IResult<'_, Capability> {
    nom::combinator::fail().parse(value)
}

fn multiprotocol(value: &[u8]) -> IResult<'_, Capability> {
    let (rest, [high, low, _reserved, safi]) = octets(value)?;
    let family = AfiSafi {
        afi: u16::from_be_bytes([high, low]),
        safi,
    };
    Ok((rest, Capability::Multiprotocol(family)))
}

fn family(input: &[u8]) -> IResult<'_, AfiSafi> {
    let (rest, [high, low, safi]) = octets(input)?;
    Ok((
        rest,
        AfiSafi {
            afi: u16::from_be_bytes([high, low]),
            safi,
        },
    ))
}

fn extended_next_hop(value: &[u8]) -> IResult<'_, Capability> {
    // The SAFI has two octets here (RFC 8950 §3).
    let wide_safi = |input| {
        let (rest, safi) = be_u16(input)?;
        match u8::try_from(safi) {
            Ok(safi) => Ok((rest, safi)),
            Err(_) => nom::combinator::fail().parse(input),
        }
    };
    let (rest, families) = many0((be_u16, wide_safi, be_u16)).parse(value)?;
    let families = families
        .into_iter()
        .map(|(afi, safi, hop)| (AfiSafi { afi, safi }, hop));
    Ok((rest, Capability::ExtendedNextHop(families.collect())))
}

fn graceful_restart(value: &[u8]) -> IResult<'_, Capability> {
    let (rest, bits) = be_u16(value)?;
    let (rest, families) = many0((family, be_u8)).parse(rest)?;
    let families = families
        .into_iter()
        .map(|(family, flags)| (family, flags & FORWARDING != 0));
    let capability = Capability::GracefulRestart {
        restarting: bits & RESTARTING != 0,
        notification: bits & NOTIFICATION != 0,
        restart_time: bits & RESTART_TIME,
        families: families.collect(),
    };
    Ok((rest, capability))
}

fn four_octet_as(value: &[u8]) -> IResult<'_, Capability> {
    be_u32(value).map(|(rest, asn)| (rest, Capability::FourOctetAs(Asn(asn))))
}

fn add_path(value: &[u8]) -> IResult<'_, Capability> {
    let (rest, families) = many0((family, be_u8)).parse(value)?;
    // Another value makes the whole capability one that is not understood (RFC 7911 §4).
    if families
        .iter()
        .any(|(_, direction)| !matches!(direction, 1..=3))
    {
        return unknown(value);
    }
    Ok((rest, Capability::AddPath(families)))
}

fn long_lived_graceful_restart(value: &[u8]) -> IResult<'_, Capability> {
    // The F bit and the time share four octets (RFC 9494 §3.1).
    let (rest, families) = many0((family, be_u32)).parse(value)?;
    let families = families.into_iter().map(|(family, word)| {
        let [flags, ..] = word.to_be_bytes();
        (family, flags & FORWARDING != 0, word & STALE_TIME)
    });
    Ok((
        rest,
        Capability::LongLivedGracefulRestart(families.collect()),
    ))
}

fn fqdn(value: &[u8]) -> IResult<'_, Capability> {
    let (rest, (host, domain)) = (length_data(be_u8), length_data(be_u8)).parse(value)?;
    match (str::from_utf8(host), str::from_utf8(domain)) {
        (Ok(host), Ok(domain)) => Ok((rest, Capability::Fqdn(host.into(), domain.into()))),
        _ => unknown(value),
    }
}

/// Appends a capability. Lists are cut to what one octet of length can say.
pub(super) fn encode(capability: &Capability, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[capability.code(), 0]);
    match capability {
        Capability::Multiprotocol(family) => {
            let [high, low] = family.afi.to_be_bytes();
            out.extend_from_slice(&[high, low, 0, family.safi]);
        }
        Capability::RouteRefresh
        | Capability::ExtendedMessage
        | Capability::EnhancedRouteRefresh => {}
        Capability::ExtendedNextHop(families) => {
            for (family, hop) in families.iter().take(255 / 6) {
                let [high, low] = family.afi.to_be_bytes();
                let [hop_high, hop_low] = hop.to_be_bytes();
                out.extend_from_slice(&[high, low, 0, family.safi, hop_high, hop_low]);
            }
        }
        Capability::Role(role) => out.push(*role),
        Capability::GracefulRestart {
            restarting,
            notification,
            restart_time,
            families,
        } => {
            let bits = if *restarting { RESTARTING } else { 0 }
                | if *notification { NOTIFICATION } else { 0 }
                | (restart_time & RESTART_TIME);
            out.extend_from_slice(&bits.to_be_bytes());
            for (family, kept) in families.iter().take(253 / 4) {
                put_family(out, *family, if *kept { FORWARDING } else { 0 });
            }
        }
        Capability::FourOctetAs(asn) => out.extend_from_slice(&asn.0.to_be_bytes()),
        Capability::AddPath(families) => {
            for (family, direction) in families.iter().take(255 / 4) {
                put_family(out, *family, *direction);
            }
        }
        Capability::LongLivedGracefulRestart(families) => {
            for (family, kept, time) in families.iter().take(255 / 7) {
                let [_, time @ ..] = time.min(&STALE_TIME).to_be_bytes();
                put_family(out, *family, if *kept { FORWARDING } else { 0 });
                out.extend_from_slice(&time);
            }
        }
        Capability::Fqdn(host, domain) => {
            let host = put_text(out, host, 253);
            put_text(out, domain, 253usize.saturating_sub(host));
        }
        Capability::Unknown { value, .. } => {
            out.extend_from_slice(value.get(..255).unwrap_or(value));
        }
    }
    let len = out.len().saturating_sub(start).saturating_sub(2);
    debug_assert!(len <= 255, "each arm keeps to one octet of length");
    if let Some(field) = out.get_mut(start.saturating_add(1)) {
        *field = u8::try_from(len).unwrap_or(u8::MAX);
    }
}

fn put_family(out: &mut Vec<u8>, family: AfiSafi, octet: u8) {
    let [high, low] = family.afi.to_be_bytes();
    out.extend_from_slice(&[high, low, family.safi, octet]);
}

/// Appends a length and as much of `text` as `room` has; returns how much.
fn put_text(out: &mut Vec<u8>, text: &str, room: usize) -> usize {
    let cut = text.floor_char_boundary(room);
    out.push(u8::try_from(cut).unwrap_or(u8::MAX));
    out.extend_from_slice(text.get(..cut).unwrap_or_default().as_bytes());
    cut
}

impl Capability {
    /// Its code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Capability::Multiprotocol(_) => code::MULTIPROTOCOL,
            Capability::RouteRefresh => code::ROUTE_REFRESH,
            Capability::ExtendedNextHop(_) => code::EXTENDED_NEXT_HOP,
            Capability::ExtendedMessage => code::EXTENDED_MESSAGE,
            Capability::Role(_) => code::ROLE,
            Capability::GracefulRestart { .. } => code::GRACEFUL_RESTART,
            Capability::FourOctetAs(_) => code::FOUR_OCTET_AS,
            Capability::AddPath(_) => code::ADD_PATH,
            Capability::EnhancedRouteRefresh => code::ENHANCED_ROUTE_REFRESH,
            Capability::LongLivedGracefulRestart(_) => code::LONG_LIVED_GRACEFUL_RESTART,
            Capability::Fqdn(..) => code::FQDN,
            Capability::Unknown { code, .. } => *code,
        }
    }
}
