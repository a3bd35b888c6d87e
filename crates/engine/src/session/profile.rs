//! From a peer's configuration and its session to what shards are told about it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use thruway_policy::Policy;
use thruway_rib::{
    AddPathSend, AdvertisedLimit, Eligibility, GroupId, GroupProfile, LimitAction, PeerProfile,
    PrefixLimit, WorkerId,
};
use thruway_session::Negotiated;
use thruway_wire::encode::{Encoding, NextHopRewrite, Rewrite};
use thruway_wire::limits::{EXTENDED_MESSAGE_LEN_MAX, MESSAGE_LEN_MAX};
use thruway_wire::{Family, Link};

use crate::shared::registry::GroupKey;
use crate::{LimitConfig, PeerConfig, PolicyRef};

/// A policy in effect: an internal peer without one has all (RFC 8212 §1 is about external ones).
fn effective(policy: Option<&PolicyRef>, internal: bool) -> Option<Arc<Policy>> {
    match policy {
        Some(policy) => Some(policy.policy()),
        None if internal => Some(Policy::accept()),
        None => None,
    }
}

/// The import side.
pub(crate) fn peer_profile(
    config: &PeerConfig,
    negotiated: &Negotiated,
    home: WorkerId,
    local: IpAddr,
    link: Option<Link>,
    limits: [Option<Arc<PrefixLimit>>; 2],
) -> PeerProfile {
    PeerProfile {
        id: config.id,
        name: config.name.to_string(),
        asn: negotiated.peer_as,
        addr: config.addr.ip(),
        router_id: negotiated.peer_id,
        local: own_addresses(config, local),
        link_local: link.and_then(|link| link.own),
        internal: negotiated.internal,
        class: config.class,
        rank: config.rank,
        home,
        add_path_rx: negotiated.add_path_rx,
        import: effective(config.import.as_ref(), negotiated.internal),
        hygiene: config.hygiene.clone(),
        limits,
    }
}

/// A fresh count for a configured limit.
pub(crate) fn prefix_limit(config: &LimitConfig) -> Arc<PrefixLimit> {
    Arc::new(PrefixLimit {
        max: config.max,
        warn_at: config.warn_at,
        action: config.action,
        accepted_only: config.accepted_only,
        held: 0.into(),
    })
}

/// Fresh counts for the limits on what is advertised to a peer. A family without one is counted too, so that it
/// can get one.
pub(crate) fn advertised_limits(config: &PeerConfig) -> [AdvertisedLimit; 2] {
    config.max_advertised.map(|limit| AdvertisedLimit {
        max: limit.map_or(u32::MAX, |limit| limit.max),
        warn_at: limit.map_or(u32::MAX, |limit| limit.warn_at),
        action: limit.map_or(LimitAction::Warn, |limit| limit.action),
        held: Arc::default(),
    })
}

/// True where a limit's count can go on under the new configuration.
pub(crate) fn same_limit(limit: Option<&Arc<PrefixLimit>>, config: Option<&LimitConfig>) -> bool {
    match (limit, config) {
        (Some(limit), Some(config)) => {
            let shape = |max: u32, warn_at: u32, action: LimitAction, accepted: bool| {
                (max, warn_at, action, accepted)
            };
            shape(limit.max, limit.warn_at, limit.action, limit.accepted_only)
                == shape(
                    config.max,
                    config.warn_at,
                    config.action,
                    config.accepted_only,
                )
        }
        (None, None) => true,
        _ => false,
    }
}

/// The update group that a session belongs to. `local` is our end of its connection, `link` the
/// subnet that both ends share.
pub(crate) fn group_key(
    config: &PeerConfig,
    negotiated: &Negotiated,
    local: IpAddr,
    link: Option<Link>,
) -> GroupKey {
    let export = &config.export;
    let policy = effective(export.policy.as_ref(), negotiated.internal);
    let uses_to = policy.as_ref().is_some_and(|policy| policy.uses_to());
    let limited = config.max_advertised.iter().any(Option::is_some);
    GroupKey {
        families: negotiated.families,
        class: config.class,
        external: !negotiated.internal,
        alternatives: export.alternatives,
        interpret_communities: export.interpret_communities,
        long_lived: negotiated.long_lived,
        export: policy.map(|policy| policy.name().into()),
        alone: (uses_to || limited).then_some(config.id),
        limited,
        add_path: Family::ALL.map(|family| add_path(config, negotiated, family)),
        rewrite: rewrite(config, negotiated, local),
        cluster: export.cluster.filter(|_| negotiated.internal),
        encoding: Encoding {
            as4: negotiated.as4,
            add_path: !negotiated.add_path_tx.is_empty(),
            max_len: max_len(negotiated),
            extended_next_hop: negotiated.extended_next_hop,
            // Next hops of ours bring no link-local address along.
            link: link
                .map(|link| link.subnet)
                .filter(|_| !export.next_hop_self),
        },
    }
}

fn max_len(negotiated: &Negotiated) -> u16 {
    let octets = if negotiated.extended_message_tx {
        EXTENDED_MESSAGE_LEN_MAX
    } else {
        MESSAGE_LEN_MAX
    };
    u16::try_from(octets).unwrap_or(u16::MAX)
}

/// Once negotiated, NLRI must carry identifiers, also where the operator wants one path only.
fn add_path(config: &PeerConfig, negotiated: &Negotiated, family: Family) -> AddPathSend {
    if !negotiated.add_path_tx.contains(family) {
        return AddPathSend::Off;
    }
    match config.export.add_path.get(family.index()) {
        None | Some(AddPathSend::Off) => AddPathSend::Best(1),
        Some(paths) => *paths,
    }
}

/// Our addresses toward a peer: as configured, else our end of its session.
fn own_addresses(config: &PeerConfig, local: IpAddr) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let (v4, v6) = (config.export.next_hop_v4, config.export.next_hop_v6);
    match local {
        IpAddr::V4(addr) => (v4.or(Some(addr)), v6),
        IpAddr::V6(addr) => (v4, v6.or(Some(addr))),
    }
}

fn rewrite(config: &PeerConfig, negotiated: &Negotiated, local: IpAddr) -> Rewrite {
    let export = &config.export;
    let next_hop = if export.next_hop_self {
        let (v4, v6) = own_addresses(config, local);
        NextHopRewrite::Own(v4, v6)
    } else {
        NextHopRewrite::Keep
    };
    Rewrite {
        prepend: export.prepend_own_as.then_some(config.session.local_as),
        next_hop,
        local_pref: negotiated.internal,
        med: export.med,
        reflect: None,
        otc: None,
    }
}

/// The export side of a group that `config` is the first member of.
pub(crate) fn group_profile(
    id: GroupId,
    key: &GroupKey,
    eligibility: Eligibility,
    config: &PeerConfig,
    profile: &Arc<PeerProfile>,
) -> GroupProfile {
    GroupProfile {
        id,
        families: key.families,
        class: key.class,
        eligibility,
        external: key.external,
        alternatives: key.alternatives,
        interpret_communities: key.interpret_communities,
        long_lived: key.long_lived,
        export: effective(config.export.policy.as_ref(), !key.external),
        to: key.alone.is_some().then(|| profile.clone()),
        limits: key.limited.then(|| advertised_limits(config)),
        add_path: key.add_path,
        rewrite: key.rewrite,
        cluster: key.cluster,
        encoding: key.encoding,
    }
}

/// An external session without policies keeps routes out (RFC 8212): (import, export) missing.
pub(crate) fn missing_policies(config: &PeerConfig, internal: bool) -> (bool, bool) {
    (
        effective(config.import.as_ref(), internal).is_none(),
        effective(config.export.policy.as_ref(), internal).is_none(),
    )
}
