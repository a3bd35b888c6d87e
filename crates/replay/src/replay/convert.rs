//! Making a recorded route fit the session that tells it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thruway_wire::attrs::{AttrSet, AttrSetBuf, AttrSetRef, SegmentType, code};
use thruway_wire::{Asn, NextHop};

use crate::table::Table;

/// Whether the session's AS number goes in front of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Prepend {
    /// Where the path does not begin with it.
    #[default]
    Auto,
    /// Never: first-AS checks of the server may refuse the route.
    Never,
    /// In every path.
    Always,
}

/// What becomes of next hops; in text `keep`, `self` or an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextHopChoice {
    /// As recorded.
    #[default]
    Keep,
    /// The session's local address, for routes of its family; others keep theirs.
    Own,
    /// One address, for routes of its family; others keep theirs.
    Fixed(IpAddr),
}

impl FromStr for NextHopChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(NextHopChoice::Keep),
            "self" => Ok(NextHopChoice::Own),
            _ => text
                .parse()
                .map(NextHopChoice::Fixed)
                .map_err(|_| format!("`{text}` is no next hop: keep, self or an address")),
        }
    }
}

impl fmt::Display for NextHopChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NextHopChoice::Keep => f.write_str("keep"),
            NextHopChoice::Own => f.write_str("self"),
            NextHopChoice::Fixed(addr) => addr.fmt(f),
        }
    }
}

/// What one session's routes need.
pub(super) struct Conversion {
    /// The session's AS number.
    pub(super) asn: Asn,
    pub(super) prepend: Prepend,
    pub(super) next_hop: NextHopChoice,
    /// The session's address, where it is known.
    pub(super) local: Option<IpAddr>,
}

impl Conversion {
    pub(super) fn table(&self, table: &Table) -> Table {
        let mut scratch = AttrSetBuf::new();
        table.with_sets(|_, set| {
            self.set(set, &mut scratch);
            Some(AttrSet::new(scratch.as_ref()))
        })
    }

    fn set(&self, set: AttrSetRef<'_>, out: &mut AttrSetBuf) {
        out.copy_from(set);
        // External sessions do not carry these (RFC 4271 §5.1.5, RFC 4456 §8).
        out.set_local_pref(None);
        out.remove(code::ORIGINATOR_ID);
        out.remove(code::CLUSTER_LIST);
        // Old dumps hold AGGREGATORs of AS 0, which every receiver must discard (RFC 7607 §2).
        if set.aggregator().is_some_and(|(asn, _)| asn == Asn(0)) {
            out.remove(code::AGGREGATOR);
        }
        let prepend = match self.prepend {
            Prepend::Always => true,
            Prepend::Never => false,
            Prepend::Auto => !begins_with(set, self.asn),
        };
        if prepend {
            out.prepend(self.asn, 1);
        }
        let own = match self.next_hop {
            NextHopChoice::Keep => None,
            NextHopChoice::Own => self.local,
            NextHopChoice::Fixed(addr) => Some(addr),
        };
        let is_ipv4 = matches!(set.next_hop(), Some(NextHop::V4(_)));
        if let Some(addr) = own.filter(|addr| addr.is_ipv4() == is_ipv4) {
            out.set_next_hop(Some(addr.into()));
        }
    }
}

fn begins_with(set: AttrSetRef<'_>, asn: Asn) -> bool {
    match set.as_path().segments().next() {
        Some((SegmentType::Sequence, mut asns)) => asns.next() == Some(asn),
        _ => false,
    }
}
