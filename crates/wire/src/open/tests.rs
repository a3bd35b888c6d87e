//! OPEN in both forms, and what each error is answered with.

use super::*;
use crate::Family;

const IPV4: AfiSafi = Family::Ipv4.to_wire();
const IPV6: AfiSafi = Family::Ipv6.to_wire();

fn open(capabilities: Vec<Capability>) -> Open {
    let router_id = RouterId(0xc000_0201);
    Open {
        version: 4,
        my_as: 23_456,
        hold_time: 90,
        router_id,
        capabilities,
    }
}

fn every_capability() -> Vec<Capability> {
    vec![
        Capability::Multiprotocol(IPV4),
        Capability::Multiprotocol(AfiSafi {
            afi: 16_388,
            safi: 71,
        }),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(IPV4, 2)]),
        Capability::ExtendedMessage,
        Capability::Role(3),
        Capability::GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 4095,
            families: vec![(IPV4, true), (IPV6, false)],
        },
        Capability::FourOctetAs(Asn(4_200_000_000)),
        Capability::AddPath(vec![(IPV4, 3), (IPV6, 1)]),
        Capability::EnhancedRouteRefresh,
        Capability::LongLivedGracefulRestart(vec![(IPV6, true, 0x00ff_fffe)]),
        Capability::Fqdn("rs1".into(), "ix.example".into()),
        Capability::Unknown {
            code: 128,
            value: vec![],
        },
        Capability::Unknown {
            code: 200,
            value: vec![1, 2, 3],
        },
    ]
}

fn encoded(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    open.encode(&mut out);
    assert_eq!(
        usize::from(u16::from_be_bytes([out[16], out[17]])),
        out.len()
    );
    out.split_off(19)
}

/// A body with the given optional parameters as they stand.
fn raw(parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![
        4,
        0xfc,
        0,
        0,
        90,
        192,
        0,
        2,
        1,
        u8::try_from(parameters.len()).unwrap(),
    ];
    body.extend_from_slice(parameters);
    body
}

fn refused(body: &[u8]) -> (u8, u8) {
    let note = Open::parse(body).expect_err("refused");
    (note.code, note.subcode)
}

#[test]
fn every_capability_round_trips() {
    let open = open(every_capability());
    let body = encoded(&open);
    assert_eq!(
        body[9..12],
        [u8::try_from(body.len() - 10).unwrap(), 2, body[9] - 2]
    );
    assert_eq!(Open::parse(&body), Ok(open.clone()));
    assert_eq!(open.asn(), Asn(4_200_000_000));
    assert_eq!(
        Open {
            capabilities: vec![],
            ..open
        }
        .asn(),
        Asn(23_456)
    );
}

#[test]
fn long_parameters_take_the_extended_form() {
    let many = vec![
        Capability::Unknown {
            code: 99,
            value: vec![7; 100]
        };
        10
    ];
    let open = open(many);
    let body = encoded(&open);
    assert_eq!(body[9..14], [255, 255, 0x03, 0xff, 2]);
    assert_eq!(body.len(), 10 + 3 + 3 + 1020);
    assert_eq!(Open::parse(&body), Ok(open));
}

#[test]
fn the_form_turns_at_255_octets() {
    // 2 + 253 octets is the most that the plain form holds.
    for (fill, extended) in [(251, false), (252, true)] {
        let open = open(vec![Capability::Unknown {
            code: 99,
            value: vec![7; fill],
        }]);
        let body = encoded(&open);
        assert_eq!(body[10] == 255, extended);
        assert_eq!(Open::parse(&body), Ok(open));
    }
}

#[test]
fn the_extended_form_may_be_short_and_split() {
    let body = raw(&[255, 0, 10, 2, 0, 2, 2, 0, 2, 0, 2, 6, 0]);
    let open = Open::parse(&body).unwrap();
    assert_eq!(
        open.capabilities,
        [Capability::RouteRefresh, Capability::ExtendedMessage]
    );
    // The plain length has no say there but for zero.
    let mut other = body;
    other[9] = 255;
    assert_eq!(Open::parse(&other), Ok(open));
}

#[test]
fn one_capability_a_parameter_is_read_too() {
    let body = raw(&[2, 2, 2, 0, 2, 6, 65, 4, 0, 1, 0, 0, 2, 0]);
    let open = Open::parse(&body).unwrap();
    assert_eq!(open.asn(), Asn(65_536));
    assert_eq!(open.capabilities.len(), 2);
}

#[test]
fn malformed_capabilities_are_kept_as_unknown() {
    let malformed: [&[u8]; 12] = [
        &[1, 3, 0, 1, 1],
        &[2, 1, 0],
        &[5, 5, 0, 1, 0, 1, 0],
        &[5, 6, 0, 1, 1, 1, 0, 2],
        &[9, 2, 0, 0],
        &[64, 1, 0],
        &[64, 5, 0, 90, 0, 1, 1],
        &[65, 3, 0, 0, 1],
        &[69, 4, 0, 1, 1, 4],
        &[69, 3, 0, 1, 1],
        &[71, 6, 0, 1, 1, 0, 0, 0],
        &[73, 3, 1, 0xff, 0],
    ];
    for capability in malformed {
        let mut parameters = vec![2, u8::try_from(capability.len()).unwrap()];
        parameters.extend_from_slice(capability);
        let open = Open::parse(&raw(&parameters)).unwrap();
        let [Capability::Unknown { code, value }] = &open.capabilities[..] else {
            panic!("{capability:?} became {:?}", open.capabilities);
        };
        assert_eq!((*code, &value[..]), (capability[0], &capability[2..]));
        assert_eq!(Open::parse(&encoded(&open)), Ok(open));
    }
}

#[test]
fn each_error_has_its_notification() {
    let mut body = raw(&[]);
    body[0] = 3;
    let note = Open::parse(&body).unwrap_err();
    assert_eq!(
        (note.code, note.subcode, &note.data[..]),
        (2, 1, &[0, 4][..])
    );
    for seconds in [1, 2] {
        let mut body = raw(&[]);
        body[4] = seconds;
        assert_eq!(refused(&body), (2, 6));
    }
    let mut zero = raw(&[]);
    zero[5..9].fill(0);
    assert_eq!(refused(&zero), (2, 3));
    let mut no_hold = raw(&[]);
    no_hold[4] = 0;
    assert!(
        Open::parse(&no_hold).is_ok(),
        "no keepalives at all is allowed"
    );
    // Authentication (type 1) has gone with RFC 4271.
    assert_eq!(refused(&raw(&[1, 1, 0])), (2, 4));
    assert_eq!(refused(&raw(&[2, 0, 255, 0])), (2, 4));
    // Lengths that contradict each other.
    for parameters in [
        &[2][..],
        &[2, 1],
        &[2, 1, 1],
        &[2, 3, 65, 4, 0],
        &[255, 0],
        &[255, 0, 9],
    ] {
        assert_eq!(refused(&raw(parameters)), (2, 0), "{parameters:?}");
    }
    assert_eq!(refused(&[raw(&[]), vec![0]].concat()), (2, 0));
    assert_eq!(refused(&raw(&[])[..9]), (2, 0));
}

#[test]
fn what_does_not_fit_is_cut_to_whole_entries() {
    let families = vec![(IPV4, 1); 100];
    let long = "é".repeat(300);
    let open = open(vec![
        Capability::AddPath(families),
        Capability::Fqdn(long.clone(), long),
        Capability::Unknown {
            code: 250,
            value: vec![1; 300],
        },
    ]);
    let again = Open::parse(&encoded(&open)).unwrap();
    let [
        Capability::AddPath(families),
        Capability::Fqdn(host, domain),
        last,
    ] = &again.capabilities[..]
    else {
        panic!("{again:?}");
    };
    assert_eq!((families.len(), host.len(), domain.len()), (63, 252, 0));
    assert_eq!(
        *last,
        Capability::Unknown {
            code: 250,
            value: vec![1; 255]
        }
    );
    let many = vec![
        Capability::Unknown {
            code: 250,
            value: vec![1; 255]
        };
        40
    ];
    let body = encoded(&Open {
        capabilities: many,
        ..again
    });
    assert!(body.len() <= 4096 - 19 && Open::parse(&body).unwrap().capabilities.len() == 15);
}
