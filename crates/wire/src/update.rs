//! UPDATE as a view over the received bytes, with its RFC 7606 verdict.

use crate::attrs::{AttrSetBuf, AttrSetRef, Attrs};
use crate::notification::Notification;
use crate::{Family, FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, Nlri, WireError};

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
    body: &'a [u8],
    // W: ranges, verdict, first error(s)
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
        let _ = ctx;
        let _ = body;
        todo!()
    }

    /// What the errors demand.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        todo!()
    }

    /// The error behind the verdict (the first of the strongest), for the log.
    #[must_use]
    pub fn error(&self) -> Option<WireError> {
        todo!()
    }

    /// The NOTIFICATION of a `Reset` verdict (RFC 4271 §6.3).
    #[must_use]
    pub fn notification(&self) -> Option<Notification> {
        todo!()
    }

    /// The family whose End-of-RIB this is (RFC 4724 §2).
    #[must_use]
    pub fn end_of_rib(&self) -> Option<Family> {
        todo!()
    }

    /// Announced runs: at most one a part. Empty under a verdict of `Withdraw` and above
    /// ([`UpdateView::withdrawn4`] and `withdrawn6` then hold them too).
    pub fn announced(&self) -> impl Iterator<Item = (Part, Family)> + '_ {
        std::iter::empty()
    }

    /// Announced IPv4 NLRI of a part.
    pub fn announced4(&self, part: Part) -> impl Iterator<Item = Nlri<Ipv4Prefix>> + '_ {
        let _ = part;
        std::iter::empty()
    }

    /// Announced IPv6 NLRI.
    pub fn announced6(&self) -> impl Iterator<Item = Nlri<Ipv6Prefix>> + '_ {
        std::iter::empty()
    }

    /// Withdrawn IPv4 NLRI: the classic field, MP_UNREACH_NLRI, and what the verdict withdraws.
    pub fn withdrawn4(&self) -> impl Iterator<Item = Nlri<Ipv4Prefix>> + '_ {
        std::iter::empty()
    }

    /// Withdrawn IPv6 NLRI: MP_UNREACH_NLRI, and what the verdict withdraws.
    pub fn withdrawn6(&self) -> impl Iterator<Item = Nlri<Ipv6Prefix>> + '_ {
        std::iter::empty()
    }

    /// The next hop of a part, if it has one that is well-formed.
    #[must_use]
    pub fn next_hop(&self, part: Part) -> Option<NextHop> {
        let _ = part;
        todo!()
    }

    /// The path attributes as received, up to the first that does not parse.
    #[must_use]
    pub fn attributes(&self) -> Attrs<'a> {
        Attrs::new(self.body)
    }

    /// Writes the canonical set of a part's routes into `out` and returns it. `out` is scratch: it
    /// is cleared first and its storage reused.
    pub fn canonical<'s>(&self, part: Part, out: &'s mut AttrSetBuf) -> AttrSetRef<'s> {
        let _ = (part, self.body);
        out.as_ref()
    }
}
