//! Reading an UPDATE in one pass (RFC 4271 §6.3, RFC 7606).

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used
    )
)]

use nom::Parser;
use nom::multi::length_data;

use super::{Multiprotocol, UpdateContext, UpdateView, Verdict, nlri};
use crate::attrs::table::{self, Fault, Place, Severity, Source};
use crate::attrs::{Codes, OPTIONAL, RawAttr, code};
use crate::reader::{IResult, attribute, be_u8, be_u16, located, octets, take};
use crate::{AfiSafi, Family, FamilySet, Field, WireError, WireErrorKind};

/// Subcodes of an UPDATE error that arise here (RFC 4271 §6.3); attributes' own are in the table.
mod subcode {
    pub(super) const MALFORMED_LIST: u8 = 1;
    pub(super) const UNRECOGNIZED_WELL_KNOWN: u8 = 2;
    pub(super) const MISSING_WELL_KNOWN: u8 = 3;
    pub(super) const OPTIONAL_ATTRIBUTE: u8 = 9;
    pub(super) const INVALID_NETWORK: u8 = 10;
}

/// The view with what only parsing needs.
struct Parse<'a> {
    view: UpdateView<'a>,
    body_len: usize,
    /// Where the attribute block ends in the body.
    attrs_end: usize,
    families: FamilySet,
    seen: Codes,
    /// Some attribute other than MP_UNREACH_NLRI is there.
    others: bool,
    /// Some NLRI is announced, of whatever family (RFC 7606 §5.2).
    reachable: bool,
}

pub(super) fn parse<'a>(body: &'a [u8], ctx: &UpdateContext) -> UpdateView<'a> {
    let mut parse = Parse::new(body.len(), ctx);
    match sections(body) {
        Ok((nlri, (withdrawn, attrs))) => {
            parse.attrs_end = body.len().saturating_sub(nlri.len());
            parse.classic_nlri(withdrawn, nlri);
            parse.attributes(attrs);
            parse.whole(withdrawn, attrs, nlri);
        }
        Err(error) => {
            // A length contradicts the message (RFC 4271 §6.3, RFC 7606 §3 a).
            let error = located(&error, body, Field::PathAttributes);
            let error = WireError {
                kind: WireErrorKind::BadLength,
                ..error
            };
            parse.record(Verdict::Reset, error, subcode::MALFORMED_LIST, &[]);
        }
    }
    parse.view
}

/// Withdrawn routes and attributes; what remains is NLRI.
#[inline]
fn sections(body: &[u8]) -> IResult<'_, (&[u8], &[u8])> {
    let (rest, withdrawn) = length_data(be_u16).parse(body)?;
    let (rest, attrs) = length_data(be_u16).parse(rest)?;
    Ok((rest, (withdrawn, attrs)))
}

#[inline]
fn family_of(input: &[u8]) -> IResult<'_, AfiSafi> {
    let (rest, [high, low, safi]) = octets(input)?;
    Ok((
        rest,
        AfiSafi {
            afi: u16::from_be_bytes([high, low]),
            safi,
        },
    ))
}

/// MP_REACH_NLRI behind its family: next hop and NLRI, a reserved octet between (RFC 4760 §3).
#[inline]
fn reach(input: &[u8]) -> IResult<'_, &[u8]> {
    let (rest, len) = be_u8(input)?;
    let (rest, next_hop) = take(usize::from(len))(rest)?;
    let (rest, _reserved) = be_u8(rest)?;
    Ok((rest, next_hop))
}

const fn len_max(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

impl<'a> Parse<'a> {
    #[inline]
    fn new(body_len: usize, ctx: &UpdateContext) -> Self {
        let view = UpdateView {
            attrs: &[],
            withdrawn: &[],
            nlri: &[],
            next_hop: &[],
            reach: Multiprotocol::default(),
            unreach: Multiprotocol::default(),
            discarded: Codes::default(),
            source: Source {
                as4: ctx.as4,
                external: ctx.external,
            },
            add_path: ctx.add_path,
            end_of_rib: None,
            verdict: Verdict::Ok,
            error: None,
            subcode: 0,
            data: &[],
        };
        Parse {
            view,
            body_len,
            attrs_end: body_len,
            families: ctx.families,
            seen: Codes::default(),
            others: false,
            reachable: false,
        }
    }

    /// Both classic fields (RFC 7606 §5.3). `nlri` ends the body.
    #[inline]
    fn classic_nlri(&mut self, withdrawn: &'a [u8], nlri: &'a [u8]) {
        let add_path = self.view.add_path.contains(Family::Ipv4);
        let used = self.families.contains(Family::Ipv4);
        self.reachable = !nlri.is_empty();
        match nlri::check(withdrawn, 32, add_path) {
            Ok(()) if used => self.view.withdrawn = withdrawn,
            Ok(()) => {}
            Err(rest) => {
                // Withdrawn routes begin behind their two octets of length.
                let offset = withdrawn.len().saturating_sub(rest.len()).saturating_add(2);
                self.bad_network(Field::WithdrawnRoutes, offset);
            }
        }
        match nlri::check(nlri, 32, add_path) {
            Ok(()) if used => self.view.nlri = nlri,
            Ok(()) => {}
            Err(rest) => self.bad_network(Field::Nlri, self.body_len.saturating_sub(rest.len())),
        }
    }

    #[inline]
    fn attributes(&mut self, block: &'a [u8]) {
        self.view.attrs = block;
        let mut rest = block;
        while !rest.is_empty() {
            let Ok((next, attr)) = attribute(rest) else {
                self.overrun(block, rest);
                return;
            };
            self.others |= attr.code != code::MP_UNREACH_NLRI;
            if self.seen.insert(attr.code) {
                self.attribute(&attr, rest, next);
            } else {
                self.duplicate(&attr, rest);
            }
            rest = next;
        }
    }

    /// One attribute; it begins where `here` does and ends where `next` begins.
    #[inline]
    fn attribute(&mut self, attr: &RawAttr<'a>, here: &'a [u8], next: &'a [u8]) {
        let row = table::lookup(attr.code);
        if let Some(fault) = row.check(attr.flags, attr.value, self.view.source) {
            self.attribute_fault(attr, fault, here, next);
        }
        match row.place {
            Place::NextHop if attr.value.len() == 4 => self.view.next_hop = attr.value,
            Place::Multiprotocol => self.multiprotocol(attr, here, next),
            Place::Unknown if attr.flags & OPTIONAL == 0 => {
                let error = self.attribute_error(attr.code, WireErrorKind::Unsupported, here);
                let data = up_to(here, next);
                self.record(
                    Verdict::Reset,
                    error,
                    subcode::UNRECOGNIZED_WELL_KNOWN,
                    data,
                );
            }
            _ => {}
        }
    }

    #[cold]
    fn attribute_fault(
        &mut self,
        attr: &RawAttr<'a>,
        fault: Fault,
        here: &'a [u8],
        next: &'a [u8],
    ) {
        let error = self.attribute_error(attr.code, fault.kind, here);
        // NEXT_HOP has no say where no classic NLRI needs it (RFC 4760 §3).
        let idle = attr.code == code::NEXT_HOP && self.view.nlri.is_empty();
        let verdict = match fault.severity {
            Severity::Withdraw if !idle => Verdict::Withdraw,
            _ => Verdict::Discard,
        };
        self.view.discarded.insert(attr.code);
        self.record(verdict, error, fault.subcode, up_to(here, next));
    }

    /// All but the first are discarded; of the two that carry NLRI there may be only one each
    /// (RFC 7606 §3 g).
    #[cold]
    fn duplicate(&mut self, attr: &RawAttr<'a>, here: &'a [u8]) {
        let error = self.attribute_error(attr.code, WireErrorKind::Duplicate, here);
        let verdict = match table::lookup(attr.code).place {
            Place::Multiprotocol => Verdict::Reset,
            _ => Verdict::Discard,
        };
        self.record(verdict, error, subcode::MALFORMED_LIST, &[]);
    }

    /// The last attribute runs over the block's end, or too few octets are left for one: the
    /// classic NLRI are still found by the block's length (RFC 7606 §4), those in the attribute
    /// are not.
    #[cold]
    fn overrun(&mut self, block: &'a [u8], rest: &'a [u8]) {
        self.view.attrs = up_to(block, rest);
        self.others = true;
        let offset = self.offset(rest);
        let mut error = WireError {
            field: Field::PathAttributes,
            kind: WireErrorKind::Truncated,
            offset,
        };
        match rest.get(1) {
            Some(&code @ (code::MP_REACH_NLRI | code::MP_UNREACH_NLRI)) => {
                error.field = Field::Attribute(code);
                self.record(Verdict::Reset, error, subcode::OPTIONAL_ATTRIBUTE, rest);
            }
            _ => self.record(Verdict::Withdraw, error, subcode::MALFORMED_LIST, &[]),
        }
    }

    #[inline]
    fn multiprotocol(&mut self, attr: &RawAttr<'a>, here: &'a [u8], next: &'a [u8]) {
        let reaches = attr.code == code::MP_REACH_NLRI;
        let Ok((rest, pair)) = family_of(attr.value) else {
            self.reachable |= reaches;
            return self.bad_multiprotocol(None, attr.code, here, next);
        };
        let Some(family) = Family::from_wire(pair) else {
            self.reachable |= reaches; // not ours to read, and not an error
            return;
        };
        let (nlri, next_hop) = match reaches.then(|| reach(rest)) {
            None => (rest, &[][..]),
            Some(Ok((nlri, next_hop))) if next_hop_fits(family, next_hop.len()) => (nlri, next_hop),
            Some(_) => {
                self.reachable = true;
                return self.bad_multiprotocol(Some(family), attr.code, here, next);
            }
        };
        self.reachable |= reaches && !nlri.is_empty();
        if nlri::check(nlri, len_max(family), self.view.add_path.contains(family)).is_err() {
            return self.bad_multiprotocol(Some(family), attr.code, here, next);
        }
        let part = if reaches {
            &mut self.view.reach
        } else {
            &mut self.view.unreach
        };
        if self.families.contains(family) {
            *part = Multiprotocol {
                family: Some(family),
                next_hop,
                nlri,
            };
        }
    }

    /// NLRI cannot be found: the family is given up, or the session where even that is not known
    /// (RFC 7606 §3 j, §5.3, §7.11).
    #[cold]
    fn bad_multiprotocol(
        &mut self,
        family: Option<Family>,
        code: u8,
        here: &'a [u8],
        next: &'a [u8],
    ) {
        let error = self.attribute_error(code, WireErrorKind::BadLength, here);
        let verdict = match (family, self.view.verdict) {
            // Two families at once are one too many to go on.
            (Some(family), Verdict::Disable(other)) if family != other => Verdict::Reset,
            (Some(family), _) => Verdict::Disable(family),
            (None, _) => Verdict::Reset,
        };
        self.record(
            verdict,
            error,
            subcode::OPTIONAL_ATTRIBUTE,
            up_to(here, next),
        );
    }

    /// What only the whole message shows: End-of-RIB, missing attributes, missing NLRI.
    #[inline]
    fn whole(&mut self, withdrawn: &[u8], attrs: &[u8], nlri: &[u8]) {
        if self.reachable {
            self.mandatory(nlri);
            return;
        }
        if self.others {
            // Withdrawal is no answer to errors where the NLRI may have been missed
            // (RFC 7606 §5.2).
            if matches!(self.view.verdict, Verdict::Withdraw | Verdict::Disable(_)) {
                self.view.verdict = Verdict::Reset;
            }
        } else if withdrawn.is_empty() && self.view.verdict == Verdict::Ok {
            let family = match attrs {
                [] => self.families.contains(Family::Ipv4).then_some(Family::Ipv4),
                _ => self
                    .view
                    .unreach
                    .family
                    .filter(|_| self.view.unreach.nlri.is_empty()),
            };
            self.view.end_of_rib = family;
        }
    }

    /// Attributes that announced routes must have (RFC 4271 §5, RFC 7606 §3 d).
    #[inline]
    fn mandatory(&mut self, nlri: &[u8]) {
        const ORIGIN: &[u8] = &[code::ORIGIN];
        const AS_PATH: &[u8] = &[code::AS_PATH];
        const NEXT_HOP: &[u8] = &[code::NEXT_HOP];
        const LOCAL_PREF: &[u8] = &[code::LOCAL_PREF];
        let required = [
            (ORIGIN, true),
            (AS_PATH, true),
            (NEXT_HOP, !nlri.is_empty()),
            (LOCAL_PREF, !self.view.source.external),
        ];
        for (data, wanted) in required {
            let Some(&code) = data.first() else { continue };
            if wanted && !self.seen.has(code) {
                let error = self.attribute_error(code, WireErrorKind::Missing, &[]);
                self.record(Verdict::Withdraw, error, subcode::MISSING_WELL_KNOWN, data);
            }
        }
    }

    #[cold]
    fn bad_network(&mut self, field: Field, offset: usize) {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let error = WireError {
            field,
            kind: WireErrorKind::BadValue,
            offset,
        };
        self.record(Verdict::Reset, error, subcode::INVALID_NETWORK, &[]);
    }

    /// An error of the attribute that begins where `here` does.
    fn attribute_error(&self, code: u8, kind: WireErrorKind, here: &[u8]) -> WireError {
        WireError {
            field: Field::Attribute(code),
            kind,
            offset: self.offset(here),
        }
    }

    /// Octets before `here`, which ends with the attribute block.
    fn offset(&self, here: &[u8]) -> u32 {
        u32::try_from(self.attrs_end.saturating_sub(here.len())).unwrap_or(u32::MAX)
    }

    /// The strongest verdict stands, with the first error that demanded it.
    #[cold]
    fn record(&mut self, verdict: Verdict, error: WireError, subcode: u8, data: &'a [u8]) {
        if verdict > self.view.verdict {
            self.view.verdict = verdict;
            self.view.error = Some(error);
            self.view.subcode = subcode;
            self.view.data = data;
        }
    }
}

/// RFC 4271 §5.1.3 and RFC 8950 §4 for IPv4, RFC 2545 §3 for IPv6.
const fn next_hop_fits(family: Family, len: usize) -> bool {
    match family {
        Family::Ipv4 => matches!(len, 4 | 16 | 32),
        Family::Ipv6 => matches!(len, 16 | 32),
    }
}

/// The octets from where `here` begins to where `next` does.
fn up_to<'a>(here: &'a [u8], next: &[u8]) -> &'a [u8] {
    here.get(..here.len().saturating_sub(next.len()))
        .unwrap_or_default()
}
