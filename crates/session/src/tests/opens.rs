//! What two OPENs make of each other (RFC 4271 §6.2 and the capabilities' RFCs).

use std::time::Duration;

use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::{AfiSafi, Asn, Family, FamilySet, RouterId};

use super::script::{Script, THEM, US, config, gr, llgr, open, open_with};
use crate::direction::Direction;
use crate::negotiate::{negotiate, our_open};
use crate::{AddPathOffer, Negotiated, RemoteAs, Role, SessionConfig};

fn meet(config: &SessionConfig, open: &Open) -> Result<Negotiated, (u8, u8)> {
    negotiate(config, Direction::Incoming, open.clone())
        .map_err(|error| (error.code, error.subcode))
}

const IPV6: AfiSafi = Family::Ipv6.to_wire();
const IPV4: AfiSafi = Family::Ipv4.to_wire();

#[test]
fn plain_peer() {
    let met = meet(&config(), &open()).unwrap();
    assert_eq!((met.peer_as, met.peer_id), (THEM, RouterId(0x0a00_0001)));
    assert!(!met.internal && !met.outgoing && met.as4 && met.route_refresh);
    assert_eq!((met.hold_time, met.keepalive), (90, 30));
    assert_eq!(met.families, FamilySet::ALL);
    assert!(met.extended_message_rx && !met.extended_message_tx);
    assert!(!met.enhanced_route_refresh && !met.extended_next_hop);
    assert!(met.add_path_rx.is_empty() && met.add_path_tx.is_empty());
    assert!(met.peer_gr.is_none() && met.role.is_none() && met.peer_role.is_none());
}

#[test]
fn each_bad_open_has_its_notification() {
    type Change = fn(&mut SessionConfig, &mut Open);
    let table: &[(&str, (u8, u8), Change)] = &[
        ("another AS", (2, 2), |c, _| {
            c.remote_as = RemoteAs::One(Asn(64502));
        }),
        ("none of the list", (2, 2), |c, _| {
            c.remote_as = RemoteAs::OneOf(vec![Asn(1), Asn(2)]);
        }),
        ("AS 0", (2, 2), |c, o| {
            c.remote_as = RemoteAs::Any;
            o.my_as = 0;
            o.capabilities.pop();
        }),
        ("AS 0 in the capability", (2, 2), |c, o| {
            c.remote_as = RemoteAs::Any;
            o.my_as = 0;
            o.capabilities.push(Capability::FourOctetAs(Asn(0)));
        }),
        ("AS_TRANS for real", (2, 2), |c, o| {
            c.remote_as = RemoteAs::Any;
            o.my_as = 23456;
            o.capabilities.pop();
        }),
        ("header and capability disagree", (2, 2), |c, o| {
            c.remote_as = RemoteAs::Any;
            o.my_as = 64777;
        }),
        ("identifier 0", (2, 3), |_, o| o.router_id = RouterId(0)),
        ("our identifier, internal", (2, 3), |c, o| {
            c.remote_as = RemoteAs::One(US);
            o.my_as = 64500;
            o.capabilities.push(Capability::FourOctetAs(US));
            o.router_id = c.router_id;
        }),
        ("hold time 1", (2, 6), |_, o| o.hold_time = 1),
        ("hold time 2", (2, 6), |_, o| o.hold_time = 2),
        ("no common family", (2, 7), |c, o| {
            c.families = FamilySet::IPV4;
            o.capabilities.remove(0);
        }),
        ("no family said, ours is IPv6", (2, 7), |c, o| {
            c.families = [Family::Ipv6].into_iter().collect();
            o.capabilities.clear();
        }),
        ("wrong role", (2, 11), |c, o| {
            c.role = Some(Role::RouteServer);
            o.capabilities.push(Capability::Role(1));
        }),
        ("unassigned role", (2, 11), |c, o| {
            c.role = Some(Role::Peer);
            o.capabilities.push(Capability::Role(9));
        }),
        ("two roles", (2, 11), |c, o| {
            c.role = Some(Role::Peer);
            o.capabilities
                .extend([Capability::Role(4), Capability::Role(3)]);
        }),
        ("no role, strict", (2, 11), |c, _| {
            c.role = Some(Role::Provider);
            c.role_strict = true;
        }),
    ];
    for (what, error, change) in table {
        let (mut config, mut open) = (config(), open());
        change(&mut config, &mut open);
        assert_eq!(meet(&config, &open).unwrap_err(), *error, "{what}");
    }
}

#[test]
fn a_bad_open_on_the_wire_is_answered() {
    let mut t = Script::started(config());
    t.accept(1);
    let mut bytes = Vec::new();
    open().encode(&mut bytes);
    bytes[19] = 5;
    t.bytes(1, &bytes);
    t.expect(&[
        "1: OPEN",
        "Active > OpenSent",
        "1: NOTIFICATION 2/1",
        "1: close",
        "1: failed: sent 2/1",
        "OpenSent > Idle",
    ]);
    assert_eq!(t.session.last_sent().unwrap().1.data, [0, 4]);
}

#[test]
fn missing_families_are_listed() {
    let mut config = config();
    config.families = [Family::Ipv6].into_iter().collect();
    let mut open = open();
    open.capabilities
        .retain(|c| *c != Capability::Multiprotocol(IPV6));
    let error = negotiate(&config, Direction::Incoming, open).unwrap_err();
    assert_eq!(
        error,
        Notification::unsupported_capability().with_data([1, 4, 0, 2, 0, 1])
    );
}

#[test]
fn as_numbers() {
    let mut wide = open();
    wide.my_as = 23456;
    wide.capabilities
        .push(Capability::FourOctetAs(Asn(400_000)));
    let mut config = config();
    config.remote_as = RemoteAs::OneOf(vec![THEM, Asn(400_000)]);
    assert_eq!(meet(&config, &wide).unwrap().peer_as, Asn(400_000));

    let mut narrow = open();
    narrow.capabilities.pop();
    let met = meet(&config, &narrow).unwrap();
    assert_eq!((met.peer_as, met.as4), (THEM, false));

    config.as4 = false;
    assert!(!meet(&config, &open()).unwrap().as4);
    config.remote_as = RemoteAs::One(Asn::TRANS);
    assert_eq!(meet(&config, &wide).unwrap().peer_as, Asn::TRANS);

    config.local_as = Asn(400_001);
    assert_eq!(our_open(&config, false).my_as, 23456);
}

#[test]
fn internal_by_as_number_and_ids_may_repeat_outside() {
    let mut config = config();
    config.remote_as = RemoteAs::Any;
    config.role = Some(Role::RouteServer);
    let mut open = open_with([Capability::FourOctetAs(US), Capability::Role(1)]);
    open.my_as = 64500;
    let met = meet(&config, &open).unwrap();
    assert!(met.internal);
    assert_eq!(
        (met.role, met.peer_role),
        (None, None),
        "RFC 9234 is for external sessions"
    );

    let mut twin = super::script::open();
    twin.router_id = config.router_id;
    config.role = None;
    assert_eq!(meet(&config, &twin).unwrap().peer_id, config.router_id);
}

#[test]
fn hold_times() {
    for (ours, theirs, hold, keepalive) in [
        (90, 180, 90, 30),
        (90, 3, 3, 1),
        (0, 90, 0, 0),
        (90, 0, 0, 0),
        (90, 10, 10, 3),
    ] {
        let (mut config, mut open) = (config(), open());
        config.hold_time = ours;
        open.hold_time = theirs;
        let met = meet(&config, &open).unwrap();
        assert_eq!((met.hold_time, met.keepalive), (hold, keepalive));
    }
}

#[test]
fn roles() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    for ours in [Provider, RouteServer, RouteServerClient, Customer, Peer] {
        for theirs in 0..=5 {
            let mut config = config();
            config.role = Some(ours);
            let met = meet(&config, &open_with(vec![Capability::Role(theirs); 2]));
            let fits = matches!(
                (ours, theirs),
                (Provider, 3)
                    | (Customer, 0)
                    | (RouteServer, 2)
                    | (RouteServerClient, 1)
                    | (Peer, 4)
            );
            assert_eq!(met.is_ok(), fits, "{ours:?} {theirs}");
        }
    }
    let mut config = config();
    assert_eq!(
        meet(&config, &open_with([Capability::Role(0)]))
            .unwrap()
            .peer_role,
        Some(Provider)
    );
    config.role = Some(Peer);
    let met = meet(&config, &open()).unwrap();
    assert_eq!((met.role, met.peer_role), (Some(Peer), None));
}

#[test]
fn add_path_is_what_one_sends_and_the_other_receives() {
    let mut config = config();
    config.add_path = [
        AddPathOffer {
            receive: true,
            send: true,
        },
        AddPathOffer {
            receive: false,
            send: true,
        },
    ];
    let both = |mode4, mode6| open_with([Capability::AddPath(vec![(IPV4, mode4), (IPV6, mode6)])]);
    let ipv4: FamilySet = [Family::Ipv4].into_iter().collect();
    let ipv6: FamilySet = [Family::Ipv6].into_iter().collect();
    let table = [
        ((1, 1), FamilySet::EMPTY, FamilySet::ALL),
        ((2, 2), ipv4, FamilySet::EMPTY),
        ((3, 3), ipv4, FamilySet::ALL),
        ((2, 3), ipv4, ipv6),
        ((0, 4), FamilySet::EMPTY, FamilySet::EMPTY),
    ];
    for ((mode4, mode6), rx, tx) in table {
        let met = meet(&config, &both(mode4, mode6)).unwrap();
        assert_eq!(
            (met.add_path_rx, met.add_path_tx),
            (rx, tx),
            "{mode4} {mode6}"
        );
    }
    config.families = FamilySet::IPV4;
    let met = meet(&config, &both(3, 3)).unwrap();
    assert_eq!((met.add_path_rx, met.add_path_tx), (ipv4, ipv4));
}

#[test]
fn the_rest_takes_two() {
    let mut config = config();
    config.extended_next_hop = true;
    let full = open_with([
        Capability::ExtendedMessage,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedNextHop(vec![(IPV4, 2)]),
    ]);
    let met = meet(&config, &full).unwrap();
    assert!(met.extended_message_tx && met.enhanced_route_refresh && met.extended_next_hop);
    let met = meet(
        &config,
        &open_with([Capability::ExtendedNextHop(vec![(IPV6, 1)])]),
    )
    .unwrap();
    assert!(!met.extended_next_hop);
    config.extended_next_hop = false;
    config.extended_message = false;
    config.route_refresh = false;
    let met = meet(&config, &full).unwrap();
    assert!(!met.extended_message_tx && !met.extended_message_rx);
    assert!(!met.enhanced_route_refresh && !met.extended_next_hop);
}

#[test]
fn graceful_restart_takes_an_offer() {
    let mut config = config();
    let both = open_with([gr(120, true, true), llgr(3600, false)]);
    let peer = meet(&config, &both).unwrap().peer_gr.unwrap();
    assert_eq!((peer.restart_time, peer.notification), (120, true));
    assert_eq!(
        (peer.families, peer.preserved),
        (FamilySet::IPV4, FamilySet::IPV4)
    );
    assert_eq!(peer.long_lived, [0; 2], "not offered");
    config.long_lived = Some(7200);
    let peer = meet(&config, &both).unwrap().peer_gr.unwrap();
    assert_eq!(
        (peer.long_lived, peer.long_lived_preserved),
        ([3600, 0], FamilySet::EMPTY)
    );
    let alone = open_with([llgr(3600, true)]);
    assert!(
        meet(&config, &alone).unwrap().peer_gr.is_none(),
        "RFC 9494 §4.1"
    );
    config.graceful_restart.as_mut().unwrap().notification = false;
    assert!(!meet(&config, &both).unwrap().peer_gr.unwrap().notification);
    config.graceful_restart = None;
    assert!(meet(&config, &both).unwrap().peer_gr.is_none());
}

#[test]
fn our_open_says_what_the_configuration_says() {
    let mut config = config();
    config.long_lived = Some(600);
    config.role = Some(Role::RouteServer);
    config.fqdn = Some(("rs1".to_owned(), "example.org".to_owned()));
    config.extended_next_hop = true;
    config.add_path = [AddPathOffer {
        receive: true,
        send: false,
    }; 2];
    let open = our_open(&config, false);
    let mut bytes = Vec::new();
    open.encode(&mut bytes);
    assert_eq!(Open::parse(&bytes[19..]).unwrap(), open);
    assert_eq!(open.asn(), US);
    assert!(open.capabilities.contains(&Capability::Role(1)));
    assert!(
        open.capabilities
            .contains(&Capability::AddPath(vec![(IPV4, 1), (IPV6, 1)]))
    );
    assert!(
        open.capabilities
            .contains(&Capability::LongLivedGracefulRestart(Vec::new()))
    );
    let restart = Capability::GracefulRestart {
        restarting: false,
        notification: true,
        restart_time: 120,
        families: Vec::new(),
    };
    assert!(
        open.capabilities.contains(&restart),
        "a helper names no family"
    );

    config.graceful_restart = None;
    config.remote_as = RemoteAs::One(US);
    let open = our_open(&config, false);
    assert!(!open.capabilities.iter().any(|capability| {
        matches!(
            capability,
            Capability::LongLivedGracefulRestart(_) | Capability::Role(_)
        )
    }));
}

#[test]
fn a_peer_that_knows_no_capabilities_gets_an_open_without() {
    let mut config = config();
    config.passive = false;
    config.role = Some(Role::Peer);
    let mut t = Script::started(config);
    t.connected(1);
    t.notification(1, &Notification::unsupported_optional_parameter());
    t.wait(2);
    t.connected(2);
    let mut old = open();
    old.capabilities.clear();
    t.open(2, &old);
    t.keepalive(2);
    let negotiated = t.session.negotiated().unwrap();
    assert_eq!(negotiated.families, FamilySet::IPV4);
    assert!(!negotiated.as4 && negotiated.peer_gr.is_none());
    t.close(2);
    t.wait(2);
    t.log.0.clear();
    let config = t.session.config();
    assert!(!our_open(config, false).capabilities.is_empty());
    assert!(our_open(config, true).capabilities.is_empty());
    assert!(t.session.deadline() < t.now + Duration::from_secs(200));
}

#[test]
fn an_open_without_capabilities_asks_for_nothing_that_takes_one() {
    let on = AddPathOffer {
        receive: true,
        send: true,
    };
    let full = SessionConfig {
        families: FamilySet::ALL,
        add_path: [on; 2],
        extended_message: true,
        route_refresh: true,
        enhanced_route_refresh: true,
        graceful_restart: Some(crate::GrOffer::default()),
        long_lived: Some(60),
        role: Some(Role::Peer),
        role_strict: true,
        fqdn: Some(("a".to_owned(), "b".to_owned())),
        extended_next_hop: true,
        as4: true,
        hold_time: 33,
        ..config()
    };
    let bare = full.without_capabilities();
    assert_eq!(bare.families, FamilySet::IPV4);
    assert_eq!(bare.add_path, [AddPathOffer::default(); 2]);
    assert!(!bare.extended_message && !bare.route_refresh && !bare.enhanced_route_refresh);
    assert_eq!((bare.graceful_restart, bare.long_lived), (None, None));
    assert_eq!((bare.role, bare.fqdn.clone()), (None, None));
    assert!(!bare.extended_next_hop && !bare.as4);
    // What takes no capability stays.
    assert_eq!((bare.hold_time, bare.role_strict), (33, true));
    let ipv6 = SessionConfig {
        families: [Family::Ipv6].into_iter().collect(),
        ..full
    };
    assert!(ipv6.without_capabilities().families.is_empty());
}

/// RFC 4271 §6.8 and RFC 6286 §2.3, with the identifiers and AS numbers both ways round.
#[test]
fn of_two_connections_the_higher_identifier_s_stays() {
    use crate::collision::{Collision, judge};
    use crate::conn::{Conn, Phase};
    use crate::open_sent::OpenSent;
    let now = thruway_wire::Time::default();
    let conn = |id, direction| Conn {
        id: crate::ConnId(id),
        direction,
        bare: false,
        phase: Phase::OpenSent(OpenSent::new(now)),
    };
    let (theirs, ours) = (Direction::Incoming, Direction::Outgoing);
    let them = (RouterId(0x0a00_0001), THEM);
    for (router_id, local_as, winner) in [
        (RouterId(0x0a00_0002), US, ours),
        (RouterId(0x0a00_0000), US, theirs),
        (them.0, Asn(THEM.0 + 1), ours),
        (them.0, Asn(THEM.0 - 1), theirs),
    ] {
        let config = SessionConfig {
            router_id,
            local_as,
            ..config()
        };
        let met = meet(&config, &open()).unwrap();
        assert_eq!((met.peer_id, met.peer_as), them);
        for (this, other) in [
            (theirs, ours),
            (ours, theirs),
            (ours, ours),
            (theirs, theirs),
        ] {
            let verdict = judge(now, &config, &conn(1, this), &conn(2, other), &met);
            let stays = this == winner || this == other;
            let expected = if stays {
                Collision::None
            } else {
                Collision::Defer
            };
            assert_eq!(
                verdict, expected,
                "{router_id} {local_as}: {this:?} {other:?}"
            );
        }
    }
}

#[test]
fn message_lengths_follow_what_was_offered() {
    let conn = crate::ConnId(1);
    let mut t = Script::started(config());
    t.accept(1);
    t.open(1, &open());
    assert_eq!(t.session.receive_len_max(conn), 4096);
    t.keepalive(1);
    assert_eq!(t.session.receive_len_max(conn), 65_535);
    assert_eq!(t.session.receive_len_max(crate::ConnId(2)), 4096);
    let mut small = config();
    small.extended_message = false;
    let t = Script::established(small, &open_with([Capability::ExtendedMessage]));
    assert_eq!(t.session.receive_len_max(conn), 4096);
}
