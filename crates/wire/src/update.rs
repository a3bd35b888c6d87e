//! UPDATE as a view over the received bytes, with its RFC 7606 verdict.
//!
//! ```text
//! | withdrawn length (2) | withdrawn NLRI | attributes length (2) | attributes | NLRI |
//! ```

mod nlri;
mod parse;
#[cfg(test)]
mod tests;

pub use nlri::NlriIter;

use crate::attrs::table::Source;
use crate::attrs::{AttrSetBuf, AttrSetRef, Attrs, Codes};
use crate::notification::Notification;
use crate::{Family, FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, WireError};

/// What the session negotiated, as far as reading an UPDATE needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateContext {
    /// AS numbers have four octets (RFC 6793).
    pub as4: bool,
    /// From another AS: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are discarded (RFC 7606 §7).
    pub external: bool,
    /// Families in use; others are ignored with a verdict of `Disable` only when malformed.
    pub families: FamilySet,
    /// Families whose NLRI carry a path identifier (RFC 7911).
    pub add_path: FamilySet,
}

/// What an UPDATE's errors demand, weakest first (RFC 7606 §2). The strongest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No error.
    Ok,
    /// An attribute was dropped, the rest stands.
    Discard,
    /// Announced routes count as withdrawn.
    Withdraw,
    /// The family can no longer be trusted.
    Disable(Family),
    /// The session ends; see [`UpdateView::notification`].
    Reset,
}

/// A parsed UPDATE: ranges into the message, checked once, iterated without failure.
#[derive(Clone, Debug)]
pub struct UpdateView<'a> {
    /// The attribute block, up to the first attribute that does not parse.
    attrs: &'a [u8],
    /// Classic fields; empty where their family is not in use or they do not parse.
    withdrawn: &'a [u8],
    nlri: &'a [u8],
    /// NEXT_HOP's value, if it is well-formed.
    next_hop: &'a [u8],
    reach: Multiprotocol<'a>,
    unreach: Multiprotocol<'a>,
    /// Known attributes that the set must do without.
    discarded: Codes,
    source: Source,
    add_path: FamilySet,
    end_of_rib: Option<Family>,
    verdict: Verdict,
    error: Option<WireError>,
    /// Subcode and data of the NOTIFICATION for `error`.
    subcode: u8,
    data: &'a [u8],
}

/// MP_REACH_NLRI or MP_UNREACH_NLRI of a family in use.
#[derive(Clone, Copy, Debug, Default)]
struct Multiprotocol<'a> {
    family: Option<Family>,
    next_hop: &'a [u8],
    nlri: &'a [u8],
}

impl<'a> Multiprotocol<'a> {
    fn nlri_of(&self, family: Family) -> &'a [u8] {
        if self.family == Some(family) {
            self.nlri
        } else {
            &[]
        }
    }
}

/// A run of announced NLRI of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The classic field: IPv4 with NEXT_HOP.
    Classic,
    /// MP_REACH_NLRI.
    Multiprotocol,
}

impl<'a> UpdateView<'a> {
    /// Reads an UPDATE's body (the message without its header). Never fails: what is wrong is in
    /// [`UpdateView::verdict`].
    #[must_use]
    pub fn parse(body: &'a [u8], ctx: &UpdateContext) -> Self {
        parse::parse(body, ctx)
    }

    /// What the errors demand.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The error behind the verdict (the first of the strongest), for the log.
    #[must_use]
    pub fn error(&self) -> Option<WireError> {
        self.error
    }

    /// The NOTIFICATION of a `Reset` verdict (RFC 4271 §6.3).
    #[must_use]
    pub fn notification(&self) -> Option<Notification> {
        let reset = self.verdict == Verdict::Reset;
        reset.then(|| Notification::new(3, self.subcode).with_data(self.data))
    }

    /// The family whose End-of-RIB this is (RFC 4724 §2).
    #[must_use]
    pub fn end_of_rib(&self) -> Option<Family> {
        self.end_of_rib
    }

    /// True where the announced NLRI count as announced.
    fn stands(&self) -> bool {
        self.verdict < Verdict::Withdraw
    }

    /// Announced runs: at most one a part. Empty under a verdict of `Withdraw` and above
    /// ([`UpdateView::withdrawn4`] and `withdrawn6` then hold them too).
    pub fn announced(&self) -> impl Iterator<Item = (Part, Family)> + use<> {
        let classic = (self.stands() && !self.nlri.is_empty()).then_some(Family::Ipv4);
        let reach = self
            .reach
            .family
            .filter(|_| self.stands() && !self.reach.nlri.is_empty());
        let classic = classic.map(|family| (Part::Classic, family));
        let reach = reach.map(|family| (Part::Multiprotocol, family));
        [classic, reach].into_iter().flatten()
    }

    /// Announced IPv4 NLRI of a part.
    #[must_use]
    pub fn announced4(&self, part: Part) -> NlriIter<'a, Ipv4Prefix> {
        let field = match part {
            _ if !self.stands() => &[],
            Part::Classic => self.nlri,
            Part::Multiprotocol => self.reach.nlri_of(Family::Ipv4),
        };
        NlriIter::new(field, self.add_path.contains(Family::Ipv4))
    }

    /// Announced IPv6 NLRI.
    #[must_use]
    pub fn announced6(&self) -> NlriIter<'a, Ipv6Prefix> {
        let field = if self.stands() {
            self.reach.nlri_of(Family::Ipv6)
        } else {
            &[]
        };
        NlriIter::new(field, self.add_path.contains(Family::Ipv6))
    }

    /// Withdrawn IPv4 NLRI: the classic field, MP_UNREACH_NLRI, and what the verdict withdraws.
    #[must_use]
    pub fn withdrawn4(&self) -> NlriIter<'a, Ipv4Prefix> {
        let mut fields = [self.withdrawn, self.unreach.nlri_of(Family::Ipv4), &[], &[]];
        if !self.stands() {
            let [.., classic, reach] = &mut fields;
            (*classic, *reach) = (self.nlri, self.reach.nlri_of(Family::Ipv4));
        }
        NlriIter::of(fields, self.add_path.contains(Family::Ipv4))
    }

    /// Withdrawn IPv6 NLRI: MP_UNREACH_NLRI, and what the verdict withdraws.
    #[must_use]
    pub fn withdrawn6(&self) -> NlriIter<'a, Ipv6Prefix> {
        let mut fields = [self.unreach.nlri_of(Family::Ipv6), &[], &[], &[]];
        if !self.stands() {
            let [.., reach] = &mut fields;
            *reach = self.reach.nlri_of(Family::Ipv6);
        }
        NlriIter::of(fields, self.add_path.contains(Family::Ipv6))
    }

    /// The next hop of a part, if it has one that is well-formed.
    #[must_use]
    pub fn next_hop(&self, part: Part) -> Option<NextHop> {
        NextHop::from_octets(self.next_hop_octets(part))
    }

    fn next_hop_octets(&self, part: Part) -> &'a [u8] {
        match part {
            Part::Classic => self.next_hop,
            Part::Multiprotocol => self.reach.next_hop,
        }
    }

    /// The path attributes as received, up to the first that does not parse.
    #[must_use]
    pub fn attributes(&self) -> Attrs<'a> {
        Attrs::new(self.attrs)
    }

    /// Writes the canonical set of a part's routes into `out` and returns it. `out` is scratch: it
    /// is cleared first and its storage reused. Empty where the verdict lets no announcement stand.
    pub fn canonical<'s>(&self, part: Part, out: &'s mut AttrSetBuf) -> AttrSetRef<'s> {
        if self.stands() {
            out.build(
                self.next_hop_octets(part),
                self.attrs,
                self.source,
                &self.discarded,
            );
        } else {
            out.clear();
        }
        out.as_ref()
    }
}

/// The prefixes of a family's announced and withdrawn NLRI, for code that is generic over it.
pub trait NlriOf<'a, P> {
    /// Announced in a part.
    fn announced(&self, part: Part) -> NlriIter<'a, P>;
    /// Withdrawn, wherever.
    fn withdrawn(&self) -> NlriIter<'a, P>;
}

impl<'a> NlriOf<'a, Ipv4Prefix> for UpdateView<'a> {
    fn announced(&self, part: Part) -> NlriIter<'a, Ipv4Prefix> {
        self.announced4(part)
    }

    fn withdrawn(&self) -> NlriIter<'a, Ipv4Prefix> {
        self.withdrawn4()
    }
}

impl<'a> NlriOf<'a, Ipv6Prefix> for UpdateView<'a> {
    fn announced(&self, part: Part) -> NlriIter<'a, Ipv6Prefix> {
        match part {
            Part::Classic => NlriIter::new(&[], false),
            Part::Multiprotocol => self.announced6(),
        }
    }

    fn withdrawn(&self) -> NlriIter<'a, Ipv6Prefix> {
        self.withdrawn6()
    }
}
