//! Import: hygiene, then the peer's policy (RFC 4271 §9.1.1, RFC 8212).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thruway_policy::{Hits, Outcome, Policy, RouteContext};
use thruway_wire::attrs::{AttrFlags, AttrSetBuf, AttrSetRef};
use thruway_wire::{Asn, Community, Family, NextHop, Prefix, RouterId};

use crate::adj_rib_in::peers::Peer;
use crate::table::sets::Sets;
use crate::{Handle, Hygiene, NextHopCheck, PeerProfile};

/// Why a path is not accepted; in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejection {
    /// No network may route the prefix ([`Prefix::is_martian`]).
    Martian,
    /// Our AS stands in the path too often (RFC 4271 §9.1.2).
    AsLoop(Asn),
    /// AS 0 in the path or AGGREGATOR (RFC 7607 §2).
    AsZero,
    /// AS_SET or AS_CONFED_SET (RFC 9774 §3).
    AsSet,
    /// A confederation segment from outside (RFC 5065 §5).
    Confederation,
    /// The path's first AS is not the peer's (RFC 4271 §6.3).
    FirstAs {
        /// What stands there; 0 where no sequence does.
        found: Asn,
        /// The peer's.
        expected: Asn,
    },
    /// AS_PATH too long.
    PathTooLong {
        /// Hops.
        len: u16,
        /// Most.
        max: u16,
    },
    /// ORIGINATOR_ID is ours (RFC 4456 §8).
    OriginatorLoop(RouterId),
    /// CLUSTER_LIST holds our cluster (RFC 4456 §8).
    ClusterLoop(RouterId),
    /// The next hop is missing, or not one that the peer may announce.
    NextHop(Option<IpAddr>),
    /// No import policy is configured (RFC 8212 §2).
    NoPolicy,
    /// The import policy says no.
    Policy {
        /// Its name.
        policy: String,
        /// Label of the statement.
        statement: String,
    },
    /// Over the limit on accepted prefixes.
    OverLimit,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Martian => f.write_str("martian: no network may route this prefix"),
            Rejection::AsLoop(asn) => write!(f, "AS loop: {asn} is in the path"),
            Rejection::AsZero => f.write_str("AS 0 in the path"),
            Rejection::AsSet => f.write_str("AS_SET in the path"),
            Rejection::Confederation => f.write_str("confederation segment in the path"),
            Rejection::FirstAs { found, expected } => {
                write!(f, "first AS is {found}, not the peer's {expected}")
            }
            Rejection::PathTooLong { len, max } => {
                write!(f, "AS path of {len} hops, {max} at most")
            }
            Rejection::OriginatorLoop(id) => write!(f, "originator id {id} is ours"),
            Rejection::ClusterLoop(id) => write!(f, "cluster list holds our cluster {id}"),
            Rejection::NextHop(Some(addr)) => match unresolvable(*addr) {
                Some(kind) => write!(f, "next hop {addr} cannot be resolved: {kind}"),
                None => write!(f, "next hop {addr} is not allowed"),
            },
            Rejection::NextHop(None) => f.write_str("no next hop"),
            Rejection::NoPolicy => f.write_str("no import policy"),
            Rejection::Policy { policy, statement } => {
                write!(f, "policy {policy}, statement {statement}")
            }
            Rejection::OverLimit => f.write_str("over the prefix limit"),
        }
    }
}

/// The checks before the policy, in the order of [`Rejection`].
pub(crate) fn hygiene(profile: &PeerProfile, set: AttrSetRef<'_>) -> Option<Rejection> {
    let check = &profile.hygiene;
    let meta = set.meta;
    path_fault(profile, set)
        .or_else(|| {
            let wrong = profile.hygiene.enforce_first_as
                && !profile.internal
                && meta.neighbor_as != profile.asn;
            let (found, expected) = (meta.neighbor_as, profile.asn);
            wrong.then_some(Rejection::FirstAs { found, expected })
        })
        .or_else(|| {
            let (len, max) = (meta.path_len, check.as_path_max);
            (len > max).then_some(Rejection::PathTooLong { len, max })
        })
        .or_else(|| reflection_loop(check, set))
        .or_else(|| {
            let next_hop = set.next_hop();
            let good = next_hop.is_some_and(|next_hop| next_hop_fits(profile, next_hop));
            (!good).then(|| Rejection::NextHop(next_hop.map(|next_hop| next_hop.addr())))
        })
}

fn path_fault(profile: &PeerProfile, set: AttrSetRef<'_>) -> Option<Rejection> {
    let check = &profile.hygiene;
    let own = set
        .as_path()
        .asns()
        .filter(|asn| *asn == check.local_as)
        .count();
    if own > usize::from(check.allow_own_as) {
        return Some(Rejection::AsLoop(check.local_as));
    }
    let flags = set.meta.flags;
    if flags.has(AttrFlags::AS_ZERO) {
        return Some(Rejection::AsZero);
    }
    if flags.has(AttrFlags::AS_SET) && !check.allow_as_sets {
        return Some(Rejection::AsSet);
    }
    flags
        .has(AttrFlags::CONFEDERATION)
        .then_some(Rejection::Confederation)
}

fn reflection_loop(check: &Hygiene, set: AttrSetRef<'_>) -> Option<Rejection> {
    if set.originator_id() == Some(check.router_id) {
        return Some(Rejection::OriginatorLoop(check.router_id));
    }
    let looped = set.meta.cluster_len > 0 && set.cluster_list().any(|id| id == check.cluster_id);
    looped.then_some(Rejection::ClusterLoop(check.cluster_id))
}

/// What an address is that no packet can be sent to, from anywhere; loopback is for the machine itself.
fn unresolvable(addr: IpAddr) -> Option<&'static str> {
    match addr.to_canonical() {
        addr if addr.is_loopback() => Some("a loopback address"),
        addr if addr.is_multicast() => Some("a multicast address"),
        IpAddr::V4(addr) => match addr.octets() {
            [0, ..] => Some("an address of \"this network\""),
            [255, 255, 255, 255] => Some("the broadcast address"),
            [first, ..] if first >= 240 => Some("a reserved address (class E)"),
            _ => None,
        },
        IpAddr::V6(addr) if addr.is_unspecified() => Some("the unspecified address"),
        IpAddr::V6(_) => None,
    }
}

/// True for addresses of this machine alone, which only a peer on it can mean.
fn is_local(addr: IpAddr) -> bool {
    addr.to_canonical().is_loopback()
}

fn next_hop_fits(profile: &PeerProfile, next_hop: NextHop) -> bool {
    let addr = next_hop.addr();
    // IPv6 over an IPv4 session may name the peer in its mapped form.
    let is = |known: &IpAddr| *known == addr || known.to_canonical() == addr.to_canonical();
    let link_local = match next_hop {
        NextHop::V6LinkLocal { link_local, .. } => Some(IpAddr::V6(link_local)),
        _ => None,
    };
    let own = is(&profile.addr) || link_local == Some(profile.addr);
    // Ours is nobody else's way (RFC 4271 §6.3). A peer on our own machine may have our address.
    let ours = match addr.to_canonical() {
        IpAddr::V4(addr) => profile.local.0 == Some(addr),
        IpAddr::V6(addr) => [profile.local.1, profile.link_local].contains(&Some(addr)),
    };
    let ours =
        ours || link_local.is_some_and(|addr| profile.link_local.map(IpAddr::V6) == Some(addr));
    let known = unresolvable(addr).is_none() || is_local(addr) && is_local(profile.addr);
    known
        && (own || !ours)
        && match &profile.hygiene.next_hop {
            NextHopCheck::Peer => own,
            NextHopCheck::SameAs(peers) => own || peers.iter().any(is),
            NextHopCheck::Subnet(nets) => {
                let host = Prefix::host(addr);
                nets.iter().any(|net| net.covers(host))
            }
            NextHopCheck::Any => true,
        }
}

/// What judging a path needs and changes.
pub(crate) struct Importer<'a> {
    pub(crate) peer: &'a mut Peer,
    pub(crate) sets: &'a mut Sets,
    pub(crate) scratch: &'a mut AttrSetBuf,
    pub(crate) family: Family,
    /// The path is long-lived stale: it says so onward (RFC 9494 §4.3).
    pub(crate) long_lived: bool,
}

impl Importer<'_> {
    /// The set after import, `NONE` where rejected. The answer is remembered beside the set where the
    /// prefix plays no part.
    pub(crate) fn judge(&mut self, received: Handle, prefix: impl FnOnce() -> Prefix) -> Handle {
        let context =
            self.peer.context << 2 | (self.family as u32) << 1 | u32::from(self.long_lived);
        if let Some(answer) = self.sets.memo(received, context) {
            return answer;
        }
        let answer = self.evaluate(received, prefix());
        if !self.uses_prefix() {
            self.sets.remember(received, context, answer);
        }
        answer
    }

    /// True where the verdict must be found for each prefix.
    pub(crate) fn uses_prefix(&self) -> bool {
        self.peer
            .profile
            .import
            .as_ref()
            .is_some_and(|policy| policy.uses_prefix())
    }

    fn evaluate(&mut self, received: Handle, prefix: Prefix) -> Handle {
        let Some(set) = self.sets.get(received) else {
            return Handle::NONE;
        };
        let set = set.as_ref();
        if hygiene(&self.peer.profile, set).is_some() {
            return Handle::NONE;
        }
        let Some(policy) = &self.peer.profile.import else {
            return Handle::NONE;
        };
        let context = RouteContext {
            peer: &self.peer.facts,
            family: self.family,
            prefix,
            set,
            to: None,
        };
        let changed = match policy.evaluate(&context, self.scratch, &mut self.peer.hits) {
            Outcome::Reject { .. } => return Handle::NONE,
            Outcome::Accept => false,
            Outcome::AcceptChanged => true,
        };
        let flags = if changed {
            self.scratch.as_ref().meta.flags
        } else {
            set.meta.flags
        };
        let (last_choice, mark_stale) = self.finish(flags);
        if !changed && !last_choice && !mark_stale {
            return received;
        }
        if !changed {
            self.scratch.copy_from(set);
        }
        if last_choice {
            self.scratch.set_local_pref(Some(0));
        }
        if mark_stale {
            self.scratch.add_community(Community::LLGR_STALE);
        }
        self.sets.derive(self.scratch.as_ref())
    }

    /// What holds after every policy: is LOCAL_PREF 0, since the path is about to go (RFC 8326 §4.1),
    /// and is it to be marked as long-lived stale (RFC 9494 §4.2).
    fn finish(&self, flags: AttrFlags) -> (bool, bool) {
        let profile = &self.peer.profile;
        let last_choice = profile.hygiene.interpret_communities
            && !profile.internal
            && flags.has(AttrFlags::GRACEFUL_SHUTDOWN);
        (
            last_choice,
            self.long_lived && !flags.has(AttrFlags::LLGR_STALE),
        )
    }
}

/// Why a path is rejected, found again: verdicts are kept, reasons are not.
pub(crate) fn reason(
    peer: &Peer,
    family: Family,
    prefix: Prefix,
    set: AttrSetRef<'_>,
) -> Rejection {
    if prefix.is_martian() && !peer.profile.hygiene.admits_martian(prefix) {
        return Rejection::Martian;
    }
    if let Some(fault) = hygiene(&peer.profile, set) {
        return fault;
    }
    let Some(policy) = &peer.profile.import else {
        return Rejection::NoPolicy;
    };
    let context = RouteContext {
        peer: &peer.facts,
        family,
        prefix,
        set,
        to: None,
    };
    let mut scratch = AttrSetBuf::default();
    match policy.evaluate(&context, &mut scratch, &mut Hits::new(policy)) {
        Outcome::Reject { statement } => {
            let (policy, statement) = rejecting(policy, statement);
            Rejection::Policy { policy, statement }
        }
        Outcome::Accept | Outcome::AcceptChanged => Rejection::OverLimit,
    }
}

/// The names of a policy and of its statement that rejects.
pub(crate) fn rejecting(policy: &Policy, statement: u16) -> (String, String) {
    (policy.name().to_owned(), policy.statement_label(statement))
}

#[cfg(test)]
mod tests;
