//! Kinds, preference, reserved AS numbers, health and the switch.

use thruway_wire::Asn;

use crate::{Health, Instance, Kind, Preference, SetBy, Switch, SwitchState, reserved_as};

#[test]
fn a_kind_is_known_by_its_class() {
    let classes = Kind::ALL.map(Kind::class);
    assert_eq!(classes, [8, 9, 10, 11]);
    for kind in Kind::ALL {
        assert_eq!(Kind::from_class(kind.class()), Some(kind));
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(json, format!("\"{kind}\""));
    }
    assert_eq!((Kind::from_class(7), Kind::from_class(12)), (None, None));
}

/// Files, the API and people's scripts have these.
#[test]
fn kinds_and_states_have_their_names() {
    let rows = Kind::ALL.map(|kind| {
        let names = (kind.as_str(), kind.source(), kind.receiver());
        (kind, names, kind.is_gateway())
    });
    let expected = [
        (Kind::Network, ("network", "VNet prefixes", "hosts"), false),
        (Kind::Nva, ("nva", "NVA", "NVA"), false),
        (
            Kind::ExpressRoute,
            (
                "expressroute",
                "ExpressRoute gateway",
                "ExpressRoute gateway",
            ),
            true,
        ),
        (Kind::Vpn, ("vpn", "VPN gateway", "VPN gateway"), true),
    ];
    assert_eq!(rows, expected);
    let reason = String::new();
    let states = [Health::Up, Health::Degraded { reason }, Health::Down];
    let names = states.each_ref().map(Health::as_str);
    assert_eq!(names, ["up", "degraded", "down"]);
}

/// Network, NVA, ExpressRoute, VPN.
#[test]
fn preference_ranks_kinds() {
    for (preference, ranks) in [
        (Preference::ExpressRoute, [7, 0, 1, 0]),
        (Preference::Vpn, [7, 1, 0, 1]),
        (Preference::AsPath, [7, 0, 0, 0]),
    ] {
        let kinds = [Kind::Network, Kind::Nva, Kind::ExpressRoute, Kind::Vpn];
        assert_eq!(kinds.map(|kind| preference.rank(kind)), ranks);
        let json = serde_json::to_string(&preference).unwrap();
        assert_eq!(json, format!("\"{}\"", preference.as_str()));
    }
    assert_eq!(Preference::default(), Preference::ExpressRoute);
}

#[test]
fn reserved_numbers_say_why() {
    let reserved = [8074, 8075, 12076, 23456, 65515, 65535]
        .into_iter()
        .chain(64496..=64511)
        .chain(65517..=65520)
        .chain(65536..=65551);
    for asn in reserved {
        assert!(reserved_as(Asn(asn)).is_some(), "{asn}");
    }
    for asn in [
        1,
        8073,
        8076,
        12075,
        12077,
        23455,
        23457,
        64495,
        64512,
        65001,
        65514,
        65516,
        65521,
        65534,
        65552,
        4_200_000_000,
    ] {
        assert_eq!(reserved_as(Asn(asn)), None, "{asn}");
    }
    for (asn, word) in [
        (23456, "RFC 6793"),
        (64500, "RFC 5398"),
        (12076, "ExpressRoute"),
    ] {
        let why = reserved_as(Asn(asn)).unwrap();
        assert!(why.contains(word), "{asn}: {why}");
    }
}

const fn up(name: &str) -> Instance<'_> {
    Instance {
        name,
        up: true,
        since: None,
    }
}

const fn down<'a>(name: &'a str, since: &'a str) -> Instance<'a> {
    Instance {
        name,
        up: false,
        since: Some(since),
    }
}

fn degraded(reason: &str) -> Health {
    Health::Degraded {
        reason: reason.into(),
    }
}

#[test]
fn a_vpn_gateway_needs_two_instances() {
    let of = |instances: &[Instance<'_>]| Health::of(Kind::Vpn, instances);
    assert_eq!(of(&[up("vpn-a"), up("vpn-b")]), Health::Up);
    assert_eq!(
        of(&[up("vpn-a"), down("vpn-b", "12:00:07")]),
        degraded("vpn-b is down since 12:00:07")
    );
    assert_eq!(
        of(&[up("vpn-a")]),
        degraded("the second instance has never connected")
    );
    let never = Instance {
        up: false,
        ..up("vpn-b")
    };
    assert_eq!(
        of(&[never, up("vpn-a")]),
        degraded("vpn-b has never connected")
    );
    assert_eq!(of(&[down("vpn-a", "1"), down("vpn-b", "2")]), Health::Down);
    assert_eq!(of(&[]), Health::Down);
}

#[test]
fn one_session_is_enough_for_expressroute() {
    let of = |instances: &[Instance<'_>]| Health::of(Kind::ExpressRoute, instances);
    assert_eq!(of(&[up("er-a")]), Health::Up);
    assert_eq!(of(&[]), Health::Down);
    assert_eq!(of(&[down("er-a", "noon")]), Health::Down);
    assert_eq!(
        of(&[down("er-a", "noon"), up("er-b")]),
        degraded("er-a is down since noon")
    );
    assert_eq!(
        serde_json::to_string(&of(&[up("er-a")])).unwrap(),
        r#"{"state":"up"}"#
    );
}

fn command(enabled: bool, file_said: bool) -> SwitchState {
    SwitchState {
        enabled,
        set_at: "noon".into(),
        file_said,
    }
}

#[test]
fn the_newer_word_sets_the_switch() {
    let by_command = SetBy::Command { at: "noon".into() };
    for (file, state, enabled, set_by) in [
        (false, None, false, SetBy::File),
        (true, None, true, SetBy::File),
        // The file says what it said when the command came.
        (false, Some(command(true, false)), true, by_command.clone()),
        (true, Some(command(false, true)), false, by_command.clone()),
        (true, Some(command(true, true)), true, by_command),
        // Somebody changed it since.
        (true, Some(command(true, false)), true, SetBy::File),
        (true, Some(command(false, false)), true, SetBy::File),
        (false, Some(command(true, true)), false, SetBy::File),
    ] {
        let switch = Switch::decide(file, state.as_ref());
        let expected = Switch { enabled, set_by };
        assert_eq!(switch, expected, "{file} {state:?}");
    }
    assert!(Switch::decide(false, Some(&command(true, false))).by_command());
    assert!(!Switch::decide(false, None).by_command());
}
