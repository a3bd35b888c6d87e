//! What an evaluation is given and what it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thruway_wire::attrs::AttrSetRef;
use thruway_wire::{Asn, Family, Prefix, RouterId};

use crate::Policy;

/// What policies know of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFacts {
    /// The configured name.
    pub name: Arc<str>,
    /// Its AS.
    pub asn: Asn,
    /// Its address.
    pub addr: IpAddr,
    /// Its BGP identifier, 0.0.0.0 until the OPEN was seen.
    pub router_id: RouterId,
    /// Our IPv4 address toward it: what `next-hop = "self"` means for IPv4 routes.
    pub local_v4: Option<Ipv4Addr>,
    /// Our IPv6 address toward it: what `next-hop = "self"` means for IPv6 routes.
    pub local_v6: Option<Ipv6Addr>,
}

impl PeerFacts {
    /// Facts without local addresses.
    #[must_use]
    pub fn new(name: &str, asn: Asn, addr: IpAddr, router_id: RouterId) -> Self {
        PeerFacts {
            name: name.into(),
            asn,
            addr,
            router_id,
            local_v4: None,
            local_v6: None,
        }
    }
}

/// One route before a policy.
#[derive(Clone, Copy, Debug)]
pub struct RouteContext<'a> {
    /// The peer that the route came from.
    pub peer: &'a PeerFacts,
    /// The route's family.
    pub family: Family,
    /// Its destination.
    pub prefix: Prefix,
    /// Its attributes.
    pub set: AttrSetRef<'a>,
    /// The peer it would go to; `None` on import.
    pub to: Option<&'a PeerFacts>,
}

/// What a policy says of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted as it is.
    Accept,
    /// Accepted with the attributes that the evaluation left in its buffer.
    AcceptChanged,
    /// Rejected.
    Reject {
        /// The statement's index, or [`Outcome::DEFAULT`].
        statement: u16,
    },
}

impl Outcome {
    /// Stands for the end of the policy where a statement's index is expected.
    pub const DEFAULT: u16 = u16::MAX;
}

/// Plain counters of one policy: how often each statement's conditions held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// One a statement.
    pub statements: Vec<u64>,
    /// Routes that came to the policy's end.
    pub default: u64,
}

impl Hits {
    /// Zeros for `policy`.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        Hits {
            statements: vec![0; policy.statement_count()],
            default: 0,
        }
    }

    /// Adds another shard's counts of the same policy.
    pub fn add(&mut self, other: &Hits) {
        for (mine, theirs) in self.statements.iter_mut().zip(&other.statements) {
            *mine += theirs;
        }
        self.default += other.default;
    }

    #[inline]
    pub(crate) fn count(&mut self, statement: u16) {
        match self.statements.get_mut(usize::from(statement)) {
            Some(counter) => *counter += 1,
            None => self.default += 1,
        }
    }
}
