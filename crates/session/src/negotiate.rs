//! From two OPENs to what both sides agreed on.
//!
//! The session calls it when the second OPEN is there; `again` says what another configuration would have agreed on
//! with the same neighbour, which is how a reload and a plan know whether a session must end (RFC 5492).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::{AfiSafi, Asn, Family, FamilySet, RouterId};

use crate::direction::Direction;
use crate::limits::{HOLD_TIME_MIN, KEEPALIVE_MIN, LONG_LIVED_TIME_MAX, RESTART_TIME_MAX};
use crate::timers::Jitter;
use crate::{AddPathOffer, RemoteAs, Role, SessionConfig};

/// What the peer said about its own restarts (RFC 4724, RFC 9494).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerGr {
    /// The R bit: it has just restarted and waits for nobody's End-of-RIB.
    pub restarting: bool,
    /// A NOTIFICATION starts a graceful restart, too: both sides set the N bit (RFC 8538).
    pub notification: bool,
    /// Seconds that its routes may stay without it.
    pub restart_time: u16,
    /// Families that it listed: their routes are kept when it goes.
    pub families: FamilySet,
    /// Of these, the ones whose forwarding state it kept (the F bit).
    pub preserved: FamilySet,
    /// Long-lived stale time in seconds by family index; 0 where it did not list the family.
    pub long_lived: [u32; 2],
    /// Families whose forwarding state it kept, by its long-lived capability.
    pub long_lived_preserved: FamilySet,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiated {
    /// The peer's AS number.
    pub peer_as: Asn,
    /// Its BGP identifier.
    pub peer_id: RouterId,
    /// It is in our AS.
    pub internal: bool,
    /// We opened the connection.
    pub outgoing: bool,
    /// The smaller of both hold times, seconds; 0 is off.
    pub hold_time: u16,
    /// Between KEEPALIVEs, seconds, before jitter: a third of the hold time; 0 is off.
    pub keepalive: u16,
    /// AS numbers have four octets on this session (RFC 6793).
    pub as4: bool,
    /// The peer may send messages up to 65,535 octets (RFC 8654).
    pub extended_message_rx: bool,
    /// We may.
    pub extended_message_tx: bool,
    /// Families of both; not empty.
    pub families: FamilySet,
    /// Families that arrive with a path identifier (RFC 7911).
    pub add_path_rx: FamilySet,
    /// Families that leave with one.
    pub add_path_tx: FamilySet,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// The peer answers a ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// Refreshes stand between markers, both ways (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// The peer sent the capability of RFC 4724: it ends each family's table with End-of-RIB.
    pub ends_tables: bool,
    /// The peer knows of long-lived stale routes, which others are not told (RFC 9494 §4.3).
    pub long_lived: bool,
    /// The peer's graceful restart, where we offer to help.
    pub peer_gr: Option<PeerGr>,
    /// Our role, where it applies (RFC 9234).
    pub role: Option<Role>,
    /// The peer's role, where it told one. With `role` it decides on OTC.
    pub peer_role: Option<Role>,
    /// Its OPEN as received, for `show`.
    pub open: Open,
}

impl Negotiated {
    /// What the same OPEN of the peer's would come to under another configuration of ours.
    ///
    /// # Errors
    /// The NOTIFICATION that it would be answered with.
    pub fn again(&self, config: &SessionConfig) -> Result<Negotiated, Notification> {
        let direction = if self.outgoing {
            Direction::Outgoing
        } else {
            Direction::Incoming
        };
        negotiate(config, direction, self.open.clone())
    }

    /// Until the next KEEPALIVE, with jitter (RFC 4271 §4.4, §10).
    pub(crate) fn keepalive_interval(&self, jitter: &mut Jitter) -> Duration {
        match self.keepalive {
            0 => Duration::MAX,
            seconds => jitter
                .shorten(Duration::from_secs(u64::from(seconds)))
                .max(KEEPALIVE_MIN),
        }
    }
}

/// AFI of IPv6, as the next hop's family in RFC 8950.
const AFI_IPV6: u16 = 2;

/// Our OPEN; a bare one has no capabilities.
pub(crate) fn our_open(config: &SessionConfig, bare: bool) -> Open {
    Open {
        version: 4,
        my_as: config.local_as.to_as2(),
        hold_time: config.hold_time,
        router_id: config.router_id,
        capabilities: if bare {
            Vec::new()
        } else {
            our_capabilities(config)
        },
    }
}

fn our_capabilities(config: &SessionConfig) -> Vec<Capability> {
    let internal = config.remote_as == RemoteAs::One(config.local_as);
    let ipv4 = Family::Ipv4.to_wire();
    let next_hop = config.extended_next_hop && config.families.contains(Family::Ipv4);
    let add_path: Vec<_> = config
        .families
        .iter()
        .filter_map(|f| add_path(config, f))
        .collect();
    let restart = config
        .graceful_restart
        .map(|offer| Capability::GracefulRestart {
            restarting: false,
            notification: offer.notification,
            restart_time: offer.restart_time.min(RESTART_TIME_MAX),
            families: offer
                .families
                .iter()
                .map(|family| (family.to_wire(), true))
                .collect(),
        });
    // RFC 9494 §4.1: not without the other one. No family: we only help.
    let long_lived = restart
        .as_ref()
        .and(config.long_lived)
        .map(|_| Capability::LongLivedGracefulRestart(Vec::new()));
    let role = config
        .role
        .filter(|_| !internal)
        .map(|role| Capability::Role(role as u8));
    let fqdn = config
        .fqdn
        .clone()
        .map(|(host, domain)| Capability::Fqdn(host, domain));

    let multiprotocol = |family: Family| Capability::Multiprotocol(family.to_wire());
    let families = config.families.iter().map(multiprotocol);
    families
        .chain(config.route_refresh.then_some(Capability::RouteRefresh))
        .chain(next_hop.then(|| Capability::ExtendedNextHop(vec![(ipv4, AFI_IPV6)])))
        .chain(
            config
                .extended_message
                .then_some(Capability::ExtendedMessage),
        )
        .chain(role)
        .chain(restart)
        .chain(
            config
                .as4
                .then_some(Capability::FourOctetAs(config.local_as)),
        )
        .chain((!add_path.is_empty()).then_some(Capability::AddPath(add_path)))
        .chain(offers_enhanced(config).then_some(Capability::EnhancedRouteRefresh))
        .chain(long_lived)
        .chain(fqdn)
        .collect()
}

/// RFC 7911 §4: 1 receive, 2 send, 3 both.
fn add_path(config: &SessionConfig, family: Family) -> Option<(AfiSafi, u8)> {
    match offered_paths(config, family) {
        AddPathOffer {
            receive: false,
            send: false,
        } => None,
        offer => Some((
            family.to_wire(),
            u8::from(offer.receive) | u8::from(offer.send) << 1,
        )),
    }
}

fn offered_paths(config: &SessionConfig, family: Family) -> AddPathOffer {
    config
        .add_path
        .get(family.index())
        .copied()
        .unwrap_or_default()
}

/// RFC 7313 §3.1: enhanced route refresh builds on the plain one.
fn offers_enhanced(config: &SessionConfig) -> bool {
    config.route_refresh && config.enhanced_route_refresh
}

/// What both OPENs have in common.
///
/// # Errors
/// The NOTIFICATION to answer the peer's OPEN with (RFC 4271 §6.2).
pub(crate) fn negotiate(
    config: &SessionConfig,
    direction: Direction,
    open: Open,
) -> Result<Negotiated, Notification> {
    let peer_as = peer_as(config, &open)?;
    let internal = peer_as == config.local_as;
    // RFC 6286 §2.2: zero, or, within our AS, the same as ours.
    if open.router_id == RouterId(0) || internal && open.router_id == config.router_id {
        return Err(Notification::bad_bgp_identifier());
    }
    if (1..HOLD_TIME_MIN).contains(&open.hold_time) {
        return Err(Notification::unacceptable_hold_time());
    }
    let (role, peer_role) = if internal {
        (None, None)
    } else {
        roles(config, &open)?
    };
    let peer = Offer::read(&open);
    let families = config.families.intersection(peer.families());
    if families.is_empty() {
        return Err(no_common_family(config.families));
    }
    let hold_time = config.hold_time.min(open.hold_time);
    let paths = |pick: fn(AddPathOffer) -> bool, theirs: FamilySet| {
        let ours = families
            .iter()
            .filter(|f| pick(offered_paths(config, *f)))
            .collect();
        theirs.intersection(ours)
    };
    Ok(Negotiated {
        peer_as,
        peer_id: open.router_id,
        internal,
        outgoing: direction == Direction::Outgoing,
        hold_time,
        keepalive: hold_time / 3,
        as4: config.as4 && peer.as4,
        extended_message_rx: config.extended_message,
        extended_message_tx: config.extended_message && peer.extended_message,
        families,
        add_path_rx: paths(|ours| ours.receive, peer.add_path_send),
        add_path_tx: paths(|ours| ours.send, peer.add_path_receive),
        extended_next_hop: config.extended_next_hop
            && peer.extended_next_hop
            && families.contains(Family::Ipv4),
        route_refresh: peer.route_refresh,
        enhanced_route_refresh: offers_enhanced(config) && peer.enhanced_route_refresh,
        ends_tables: peer.restart.is_some(),
        // RFC 9494 §4.1: without the other capability it does not count.
        long_lived: peer.restart.is_some() && peer.knows_long_lived,
        peer_gr: peer_gr(config, &peer),
        role,
        peer_role,
        open,
    })
}

/// The peer's AS number, if it may have that (RFC 4271 §6.2, RFC 6793 §4.1, RFC 7607 §2).
fn peer_as(config: &SessionConfig, open: &Open) -> Result<Asn, Notification> {
    let in_capability = open
        .capabilities
        .iter()
        .rev()
        .find_map(|capability| match capability {
            Capability::FourOctetAs(asn) if config.as4 => Some(*asn),
            _ => None,
        });
    let in_header = Asn(u32::from(open.my_as));
    let asn = in_capability.unwrap_or(in_header);
    // The header says the same, as far as two octets can.
    let agree = in_header == asn || in_header == Asn::TRANS;
    // An old speaker knows a peer with a large number by the stand-in, nobody else does.
    let real = asn != Asn::ZERO && (asn != Asn::TRANS || !config.as4);
    if agree && real && config.remote_as.allows(asn) {
        Ok(asn)
    } else {
        Err(Notification::bad_peer_as())
    }
}

/// Our role and the peer's, if they go together (RFC 9234 §4.2). A peer that tells two different
/// ones, or an unassigned one, fits nobody.
fn roles(
    config: &SessionConfig,
    open: &Open,
) -> Result<(Option<Role>, Option<Role>), Notification> {
    let mut told = open
        .capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::Role(value) => Some(*value),
            _ => None,
        });
    let Some(ours) = config.role else {
        return Ok((None, told.next().and_then(Role::from_wire)));
    };
    let first = told.next();
    let theirs = first.and_then(Role::from_wire);
    let fits = match first {
        None => !config.role_strict,
        Some(value) => theirs == Some(ours.counterpart()) && told.all(|more| more == value),
    };
    if fits {
        Ok((Some(ours), theirs))
    } else {
        Err(Notification::role_mismatch())
    }
}

/// RFC 5492 §5: the data lists the capabilities that are missing, as they would stand in an OPEN.
fn no_common_family(families: FamilySet) -> Notification {
    let mut data = Vec::new();
    for AfiSafi { afi, safi } in families.iter().map(Family::to_wire) {
        let [high, low] = afi.to_be_bytes();
        data.extend_from_slice(&[1, 4, high, low, 0, safi]);
    }
    Notification::unsupported_capability().with_data(data)
}

/// The capabilities of the peer's OPEN that have no parameters worth a look of their own.
#[derive(Default)]
struct Offer {
    multiprotocol: Option<FamilySet>,
    as4: bool,
    extended_message: bool,
    extended_next_hop: bool,
    route_refresh: bool,
    enhanced_route_refresh: bool,
    add_path_receive: FamilySet,
    add_path_send: FamilySet,
    restart: Option<PeerGr>,
    knows_long_lived: bool,
    long_lived: [u32; 2],
    long_lived_preserved: FamilySet,
}

impl Offer {
    fn read(open: &Open) -> Self {
        let mut offer = Offer::default();
        open.capabilities
            .iter()
            .for_each(|capability| offer.add(capability));
        offer
    }

    /// RFC 4760 §8: without a word of families it is IPv4 unicast.
    fn families(&self) -> FamilySet {
        self.multiprotocol.unwrap_or(FamilySet::IPV4)
    }

    fn add(&mut self, capability: &Capability) {
        match capability {
            Capability::Multiprotocol(pair) => {
                let families = self.multiprotocol.get_or_insert(FamilySet::EMPTY);
                Family::from_wire(*pair)
                    .into_iter()
                    .for_each(|family| families.insert(family));
            }
            Capability::RouteRefresh => self.route_refresh = true,
            Capability::ExtendedNextHop(list) => {
                self.extended_next_hop |= list.contains(&(Family::Ipv4.to_wire(), AFI_IPV6));
            }
            Capability::ExtendedMessage => self.extended_message = true,
            Capability::FourOctetAs(_) => self.as4 = true,
            Capability::AddPath(list) => self.add_paths(list),
            Capability::EnhancedRouteRefresh => self.enhanced_route_refresh = true,
            Capability::GracefulRestart {
                restarting,
                notification,
                restart_time,
                families,
            } => {
                self.restart = Some(PeerGr {
                    restarting: *restarting,
                    notification: *notification,
                    restart_time: *restart_time,
                    families: known(families.iter().map(|(pair, _)| *pair)),
                    preserved: known(families.iter().filter(|(_, kept)| *kept).map(|(p, _)| *p)),
                    long_lived: [0; 2],
                    long_lived_preserved: FamilySet::EMPTY,
                });
            }
            Capability::LongLivedGracefulRestart(list) => self.set_long_lived(list),
            _ => {}
        }
    }

    /// RFC 7911 §4: another value than 1, 2 or 3 is ignored.
    fn add_paths(&mut self, list: &[(AfiSafi, u8)]) {
        for (pair, mode) in list {
            let Some(family) = Family::from_wire(*pair) else {
                continue;
            };
            if matches!(mode, 1 | 3) {
                self.add_path_receive.insert(family);
            }
            if matches!(mode, 2 | 3) {
                self.add_path_send.insert(family);
            }
        }
    }

    /// Like the plain capability, the last one counts (RFC 4724 §3).
    fn set_long_lived(&mut self, list: &[(AfiSafi, bool, u32)]) {
        self.knows_long_lived = true;
        self.long_lived = [0; 2];
        self.long_lived_preserved = known(
            list.iter()
                .filter(|(_, kept, _)| *kept)
                .map(|(pair, ..)| *pair),
        );
        for (pair, _, seconds) in list {
            let slot = Family::from_wire(*pair).and_then(|f| self.long_lived.get_mut(f.index()));
            slot.into_iter()
                .for_each(|slot| *slot = (*seconds).min(LONG_LIVED_TIME_MAX));
        }
    }
}

fn known(pairs: impl Iterator<Item = AfiSafi>) -> FamilySet {
    pairs.filter_map(Family::from_wire).collect()
}

/// The peer's restarts, as far as we offered to help (RFC 4724 §4, RFC 8538 §2, RFC 9494 §4.1).
fn peer_gr(config: &SessionConfig, peer: &Offer) -> Option<PeerGr> {
    let ours = config.graceful_restart?;
    let theirs = peer.restart?;
    let mut merged = PeerGr {
        notification: theirs.notification && ours.notification,
        ..theirs
    };
    if config.long_lived.is_some() {
        merged.long_lived = peer.long_lived;
        merged.long_lived_preserved = peer.long_lived_preserved;
    }
    Some(merged)
}
