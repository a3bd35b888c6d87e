//! Routes that hosts are not given.

use thruway_policy::{PeerMatch, PolicyDef, PrefixEntry, SetMatch, StatementDef, Verdict};
use thruway_wire::Prefix;

use crate::Vnet;

/// Name of the policy that [`host_policy`] makes. No policy of the operator may have it.
pub const HOST_POLICY: &str = "hosts-exclusions";

/// The exclusions, as the export policy toward hosts. An NVA's route that is equal to one of the
/// network's prefixes, own or peered, or lies within one, is held back: a host's neighbours are not
/// behind an appliance. A less specific one passes.
///
/// `nvas` are the names of NVAs' sessions.
#[must_use]
pub fn host_policy(vnet: &Vnet, nvas: &[String]) -> PolicyDef {
    let mut policy = PolicyDef {
        name: HOST_POLICY.into(),
        default_accept: true,
        statements: Vec::new(),
    };
    let inside: Vec<PrefixEntry> = vnet.all_prefixes().filter_map(all_within).collect();
    // An empty condition holds for every route.
    if nvas.is_empty() || inside.is_empty() {
        return policy;
    }
    let mut statement = StatementDef {
        name: "inside the virtual network".into(),
        then: Verdict::Reject,
        ..StatementDef::default()
    };
    statement.matches.prefix = SetMatch {
        values: inside,
        sets: Vec::new(),
    };
    statement.matches.peer = PeerMatch {
        name: nvas.to_vec(),
        ..PeerMatch::default()
    };
    policy.statements.push(statement);
    policy
}

/// The prefix and all that it covers.
fn all_within(prefix: Prefix) -> Option<PrefixEntry> {
    let longest = match prefix {
        Prefix::V4(_) => 32,
        Prefix::V6(_) => 128,
    };
    PrefixEntry::new(prefix, prefix.prefix_len(), longest).ok()
}
