//! The engine as a whole: scripted hosts around workers in memory, every scene with roomy queues and
//! with queues of one.

use std::time::Duration;

use thruway_engine::{
    Command, ConnId, Event, Input, LimitConfig, LimitDirection, LimitEvent, PeerRole, PolicyRef,
    QueryId, RangeConfig, Refusal, Reply, Reset,
};
use thruway_policy::Policy;
use thruway_rib::{Eligibility, Filter, LimitAction, NotAdvertised, Query, Rejection, Step};
use thruway_session::{GrOffer, RemoteAs};
use thruway_tests::sim::host::{HostConfig, Key, Phase, Route};
use thruway_tests::sim::model;
use thruway_tests::sim::world::{SERVER_AS, Shape, World};
use thruway_wire::{Asn, Community, Family, FamilySet, Prefix};

const CLIENT: PeerRole = PeerRole::RouteServerClient;

/// Runs a scene in worlds of several shapes.
fn scene(play: impl Fn(&mut World)) {
    let shapes = [
        Shape {
            workers: 1,
            shards: 1,
            ..Shape::default()
        },
        Shape {
            workers: 4,
            shards: 3,
            ..Shape::default()
        },
        Shape::tight(1, 1),
        Shape::tight(3, 2),
    ];
    for (index, shape) in shapes.into_iter().enumerate() {
        for seed in 0..3 {
            let mut world = World::new(shape, seed + 100 * index as u64);
            play(&mut world);
        }
    }
}

fn v4(n: u32) -> Key {
    // Spread over first octets, so that every shard has some.
    (
        format!("{}.{}.{}.0/24", 20 + n % 90, n >> 8, n & 255)
            .parse()
            .expect("a prefix"),
        0,
    )
}

fn v6(n: u32) -> Key {
    (
        format!("2a{:02x}:{n:x}::/32", n % 64)
            .parse()
            .expect("a prefix"),
        0,
    )
}

fn route(n: u8, tail: &[u32]) -> Route {
    let mut path = vec![64_600 + u32::from(n)];
    // AS 0 is a test of its own.
    path.extend(tail.iter().map(|asn| asn + 1));
    Route {
        path,
        next_hop: [10, 9, 0, n].into(),
        origin: 0,
        med: None,
        local_pref: None,
        communities: Vec::new(),
    }
}

fn route6(n: u8, tail: &[u32]) -> Route {
    let next_hop = format!("2001:db8:ffff::{n}").parse().expect("an address");
    Route {
        next_hop,
        ..route(n, tail)
    }
}

/// Two clients with `count` routes of each family, and a third without.
fn exchange(world: &mut World, count: u32) {
    for n in 1..=3 {
        world.add(HostConfig::new(n), CLIENT, |_| {});
    }
    for n in 0..count {
        world.host(0).announce(v4(n), route(1, &[n % 7]));
        world.host(0).announce(v6(n), route6(1, &[n % 5 + 100]));
        world
            .host(1)
            .announce(v4(n + count / 2), route(2, &[n % 3, 9]));
    }
    world.settle();
    world.check("after the exchange");
}

#[test]
fn clients_exchange_tables_and_end_of_rib() {
    scene(|world| {
        exchange(world, 40);
        assert_eq!(world.host(2).end_of_rib, [true, true]);
        assert_eq!(world.host(2).table.len(), 40 + 20 + 40);
        let sent = |event: &&(usize, Event)| matches!(event.1, Event::TableSent { .. });
        assert_eq!(world.events.iter().filter(sent).count(), 6);
    });
}

#[test]
fn changes_and_withdrawals_follow() {
    scene(|world| {
        exchange(world, 30);
        for n in 0..30 {
            world.host(0).announce(v4(n), route(1, &[n % 4, 11, 12]));
        }
        world.host(0).withdraw(v6(3));
        world.host(1).withdraw(v4(20));
        world.run();
        world.check("after the changes");
    });
}

#[test]
fn a_lost_peer_takes_its_routes_along() {
    scene(|world| {
        exchange(world, 30);
        world.stations[0].online = false;
        world.cut(0);
        world.run();
        world.check("after the loss");
        assert_eq!(world.host(2).table.len(), 30);
        world.stations[0].online = true;
        world.settle();
        world.check("after the return");
    });
}

#[test]
fn a_slow_reader_holds_nobody_up_and_catches_up() {
    let bounds = Shape::tight(1, 1).bounds;
    scene(|world| {
        exchange(world, 20);
        world.host(2).rate = 0;
        for turn in 0..60 {
            for n in 0..20 {
                world.host(0).announce(v4(n), route(1, &[n, turn, 77, 78]));
            }
            world.host(0).withdraw(v4(turn % 20));
            world.run();
        }
        let told = model::expected(&world.stations, &world.matrix, 1);
        assert_eq!(
            model::actual(&world.stations[1]),
            told,
            "the others are up to date"
        );
        world.host(2).rate = 50;
        world.run();
        world.check("after catching up");
    });
    // Where queues are short, the reader must have left the stream.
    let mut world = World::new(
        Shape {
            bounds,
            ..Shape::default()
        },
        5,
    );
    exchange(&mut world, 20);
    world.host(2).rate = 0;
    for turn in 0..400 {
        for n in 0..20 {
            world.host(0).announce(v4(n), route(1, &[n, turn, 77]));
        }
        world.run();
    }
    let left = |e: &(usize, Event)| matches!(e.1, Event::Slow { behind: true, .. });
    assert!(world.events.iter().any(left));
    world.host(2).rate = usize::MAX;
    world.run();
    world.check("after catching up");
    let back = |e: &(usize, Event)| matches!(e.1, Event::Slow { behind: false, .. });
    assert!(world.events.iter().any(back));
}

#[test]
fn a_refresh_tells_the_family_again() {
    scene(|world| {
        for n in 1..=3 {
            let enhanced_refresh = n != 3;
            world.add(
                HostConfig {
                    enhanced_refresh,
                    ..HostConfig::new(n)
                },
                CLIENT,
                |_| {},
            );
        }
        for n in 0..25 {
            world.host(0).announce(v4(n), route(1, &[n]));
            world.host(0).announce(v6(n), route6(1, &[n]));
        }
        world.settle();
        for host in [1, 2] {
            world.host(host).table.clear();
            world.host(host).ask_again(Family::Ipv4);
            world.host(host).ask_again(Family::Ipv6);
            world.host(host).ask_again(Family::Ipv6);
        }
        world.run();
        world.check("after the refresh");
        assert_eq!((world.host(1).refreshed, world.host(2).refreshed), (3, 0));
        // Ours, in and out.
        let (first, second) = (world.stations[0].peer, world.stations[1].peer);
        world.command_for(
            0,
            Command::Reset {
                peer: first,
                kind: Reset::SoftIn,
            },
        );
        world.command_for(
            1,
            Command::Reset {
                peer: second,
                kind: Reset::SoftOut,
            },
        );
        world.run();
        world.check("after soft resets");
        assert_eq!(world.host(1).refreshed, 5);
    });
}

#[test]
fn add_path_carries_every_path_both_ways() {
    scene(|world| {
        let many = HostConfig {
            add_path_send: FamilySet::ALL,
            add_path_receive: FamilySet::ALL,
            ..HostConfig::new(1)
        };
        world.add(many.clone(), CLIENT, |_| {});
        world.add(HostConfig::new(2), CLIENT, |_| {});
        world.add(
            HostConfig {
                add_path_send: FamilySet::EMPTY,
                ..HostConfig {
                    addr: [10, 9, 0, 3].into(),
                    asn: Asn(64_603),
                    router_id: HostConfig::new(3).router_id,
                    ..many
                }
            },
            CLIENT,
            |_| {},
        );
        for n in 0..15 {
            for id in 1..=3 {
                world.host(0).announce((v4(n).0, id), route(1, &[n, id]));
            }
            world.host(1).announce(v4(n), route(2, &[5]));
        }
        world.settle();
        world.check("with ADD-PATH");
        assert_eq!(world.host(2).table.len(), 15 * 4);
        world.host(0).withdraw((v4(2).0, 2));
        world
            .host(0)
            .announce((v4(3).0, 1), route(1, &[1, 2, 3, 4]));
        world.run();
        world.check("after changes with ADD-PATH");
    });
}

#[test]
fn without_policy_nothing_passes() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.add(HostConfig::new(2), PeerRole::External, |peer| {
            peer.import = None;
            peer.export.policy = None;
        });
        world.host(0).announce(v4(1), route(1, &[]));
        world.host(1).announce(v4(2), route(2, &[]));
        world.settle();
        assert!(world.host(0).table.is_empty() && world.host(1).table.is_empty());
        let peer = world.stations[1].peer;
        let said = world.events.iter().any(|(_, event)| {
            matches!(event, Event::NoPolicy { peer: said, import: true, export: true } if *said == peer)
        });
        assert!(said);
        let rows = world.ask(Query::Rejected(peer, Filter::All(None)));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].rejection, Some(Rejection::NoPolicy));
    });
}

#[test]
fn hygiene_keeps_bad_paths_out_and_says_why() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.add(HostConfig::new(2), CLIENT, |_| {});
        world
            .host(0)
            .announce(v4(1), route(1, &[SERVER_AS.0 - 1, 5]));
        world.host(0).announce(
            v4(2),
            Route {
                path: vec![7, 8],
                ..route(1, &[])
            },
        );
        world.host(0).announce(
            v4(3),
            Route {
                path: vec![64_601, 0],
                ..route(1, &[])
            },
        );
        world.host(0).announce(v4(4), route(1, &[5]));
        world.settle();
        assert_eq!(world.host(1).table.len(), 1);
        let peer = world.stations[0].peer;
        let mut rows = world.ask(Query::Learned(peer, Filter::All(Some(Family::Ipv4))));
        rows.sort_by_key(|row| row.prefix);
        let why: Vec<_> = rows.into_iter().map(|row| row.rejection).collect();
        assert_eq!(why.len(), 4);
        assert_eq!(why[0], Some(Rejection::AsLoop(SERVER_AS)));
        let first = Rejection::FirstAs {
            found: Asn(7),
            expected: Asn(64_601),
        };
        assert_eq!(why[1], Some(first));
        assert_eq!(why[2], Some(Rejection::AsZero));
        assert_eq!(why[3], None);
    });
}

fn limited(world: &mut World, action: LimitAction) {
    world.add(HostConfig::new(1), CLIENT, |peer| {
        peer.limits[0] = Some(LimitConfig {
            max: 10,
            warn_at: 8,
            action,
            accepted_only: false,
            restart_after: Some(Duration::from_secs(30)),
        });
    });
    world.add(HostConfig::new(2), CLIENT, |_| {});
    for n in 0..10 {
        world.host(0).announce(v4(n), route(1, &[]));
    }
    world.settle();
    assert_eq!(world.host(1).table.len(), 10);
    assert_eq!(limits(world), [LimitEvent::Near]);
    // The same routes again are no more routes.
    for n in 0..10 {
        world.host(0).announce(v4(n), route(1, &[5]));
    }
    world.run();
    assert_eq!(limits(world), [LimitEvent::Near]);
    world.host(0).announce(v4(10), route(1, &[]));
    world.run();
}

fn limits(world: &World) -> Vec<LimitEvent> {
    let events = world.events.iter().filter_map(|(_, event)| match event {
        Event::Limit { limit, .. } => Some(*limit),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_limit_warns() {
    scene(|world| {
        limited(world, LimitAction::Warn);
        assert_eq!(limits(world), [LimitEvent::Near, LimitEvent::Over]);
        world.check("over the limit");
    });
}

#[test]
fn a_limit_blocks_and_refills() {
    scene(|world| {
        limited(world, LimitAction::Block);
        assert_eq!(limits(world).last(), Some(&LimitEvent::Blocking));
        assert_eq!(world.host(1).table.len(), 10);
        world.host(0).withdraw(v4(3));
        world.pass(Duration::from_secs(2));
        assert!(limits(world).contains(&LimitEvent::Room));
        world.check("with room again");
        assert_eq!(world.host(1).table.len(), 10);
    });
}

/// A host that may be told 10 IPv4 prefixes, another that tells 14, and one that tells two of them too.
fn limited_out(world: &mut World, action: LimitAction) {
    world.add(HostConfig::new(1), CLIENT, |peer| {
        peer.max_advertised[0] = Some(LimitConfig {
            max: 10,
            warn_at: 8,
            action,
            accepted_only: false,
            restart_after: Some(Duration::from_secs(30)),
        });
    });
    world.add(HostConfig::new(2), CLIENT, |_| {});
    world.add(HostConfig::new(3), CLIENT, |_| {});
    for n in 0..10 {
        world.host(1).announce(v4(n), route(2, &[]));
        world.host(1).announce(v6(n), route6(2, &[]));
    }
    for n in 0..30 {
        world.host(0).announce(v4(100 + n), route(1, &[]));
    }
    world.settle();
    assert_eq!(world.host(0).table.len(), 10 + 10);
    assert_eq!(advertised_of(world), [LimitEvent::Near]);
    // Other paths of the same prefixes are no more prefixes.
    for n in 0..10 {
        world.host(2).announce(v4(n), route(3, &[]));
        world.host(1).announce(v4(n), route(2, &[5]));
    }
    world.run();
    assert_eq!(advertised_of(world), [LimitEvent::Near]);
    for n in 10..14 {
        world.host(1).announce(v4(n), route(2, &[]));
    }
    world.run();
}

/// News of limits on what a host is told.
fn advertised_of(world: &World) -> Vec<LimitEvent> {
    let events = world.events.iter().filter_map(|(_, event)| match event {
        Event::Limit {
            direction: LimitDirection::Advertised,
            limit,
            max: 10 | 12,
            family: Family::Ipv4,
            ..
        } => Some(*limit),
        _ => None,
    });
    events.collect()
}

/// Sessions that ended.
fn downs(world: &World) -> usize {
    let down = |event: &&(usize, Event)| matches!(event.1, Event::Down { .. });
    world.events.iter().filter(down).count()
}

fn held_back(world: &mut World) -> u64 {
    let statuses = world.status();
    let tables = statuses.iter().flat_map(|status| &status.tables);
    tables
        .map(|table| table.family(Family::Ipv4).held_back)
        .sum()
}

#[test]
fn a_limit_on_what_is_told_holds_back_and_fills_up() {
    scene(|world| {
        limited_out(world, LimitAction::Block);
        assert_eq!(advertised_of(world).last(), Some(&LimitEvent::Blocking));
        assert_eq!((world.host(0).table.len(), held_back(world)), (10 + 10, 4));
        world.check("over the limit");
        for host in [1, 2] {
            world.host(host).withdraw(v4(3));
        }
        // Another shard may have made the room.
        world.pass(Duration::from_secs(2));
        assert_eq!((world.host(0).table.len(), held_back(world)), (10 + 10, 3));
        world.check("with room again");
        // More in place.
        let limit = world.stations[0].config.max_advertised[0].as_mut();
        limit.expect("it has one").max = 12;
        world.reconfigure(0);
        world.pass(Duration::from_secs(2));
        assert_eq!((world.host(0).table.len(), held_back(world)), (12 + 10, 1));
        world.host(1).withdraw(v4(13));
        world.pass(Duration::from_secs(2));
        assert_eq!(advertised_of(world).last(), Some(&LimitEvent::Room));
        assert_eq!((world.host(0).table.len(), held_back(world)), (12 + 10, 0));
        assert_eq!(downs(world), 0);
        world.check_counts("below the limit");
    });
}

#[test]
fn a_limit_on_what_is_told_warns() {
    scene(|world| {
        limited_out(world, LimitAction::Warn);
        assert_eq!(advertised_of(world), [LimitEvent::Near, LimitEvent::Over]);
        assert_eq!(world.host(0).table.len(), 14 + 10);
        world.check("over the limit");
    });
}

#[test]
fn a_limit_on_what_is_told_restarts_the_session() {
    scene(|world| {
        limited_out(world, LimitAction::Restart);
        assert_eq!(advertised_of(world).last(), Some(&LimitEvent::Restarting));
        let last = world.host(0).notifications.last().cloned();
        let last = last.expect("it was told why");
        assert_eq!((last.code, last.subcode), (6, 1));
        assert_eq!(world.host(0).phase, Phase::Down);
        for n in 10..14 {
            world.host(1).withdraw(v4(n));
        }
        world.pass(Duration::from_secs(60));
        world.settle();
        world.check("when it came back");
        assert_eq!(world.host(0).table.len(), 10 + 10);
    });
}

#[test]
fn a_local_preference_takes_the_place_of_the_peers() {
    scene(|world| {
        let internal = |n: u8| HostConfig {
            asn: SERVER_AS,
            ..HostConfig::new(n)
        };
        let role = PeerRole::ReflectorClient;
        for n in 1..=2 {
            world.add(internal(n), role, |peer| peer.local_pref = Some(100));
        }
        world.add(internal(3), PeerRole::Local, |_| {});
        for n in 1..=3 {
            let route = Route {
                path: vec![70],
                local_pref: Some(100 + u32::from(n)),
                ..route(n, &[])
            };
            world
                .host(usize::from(n) - 1)
                .announce(v4(n.into()), route.clone());
            world.host(usize::from(n) - 1).announce(v4(0), route);
        }
        world.settle();
        world.check("with gateways");
        let of = |world: &World, host: usize, n: u32| {
            let set = world.stations[host].host.table[&v4(n)].as_ref();
            (set.local_pref(), set.originator_id().is_some())
        };
        assert_eq!(of(world, 2, 1), (Some(100), false), "hosts");
        assert_eq!(of(world, 0, 2), (Some(100), true));
        assert_eq!(of(world, 0, 3), (Some(103), false), "the server's own");
        // It changes in place: the peer is asked to tell its routes anew.
        world.stations[1].config.local_pref = Some(300);
        world.reconfigure(1);
        world.run();
        world.check("with another preference");
        assert_eq!(of(world, 0, 2).0, Some(300));
        assert_eq!(downs(world), 0);
    });
}

#[test]
fn a_limit_restarts_the_session() {
    scene(|world| {
        limited(world, LimitAction::Restart);
        assert_eq!(limits(world).last(), Some(&LimitEvent::Restarting));
        let cease = world
            .host(0)
            .notifications
            .last()
            .cloned()
            .expect("a NOTIFICATION");
        assert_eq!((cease.code, cease.subcode), (6, 1));
        assert_eq!(cease.data, [0, 1, 1, 0, 0, 0, 10]);
        assert!(world.host(1).table.is_empty());
        world.host(0).withdraw(v4(10));
        world.pass(Duration::from_secs(40));
        world.settle();
        world.check("after the restart");
        assert_eq!(world.host(1).table.len(), 10);
    });
}

#[test]
fn old_and_long_speakers_get_what_they_understand() {
    scene(|world| {
        world.add(
            HostConfig {
                as4: false,
                ..HostConfig::new(1)
            },
            CLIENT,
            |_| {},
        );
        world.add(
            HostConfig {
                extended: true,
                ..HostConfig::new(2)
            },
            CLIENT,
            |_| {},
        );
        world.add(HostConfig::new(3), CLIENT, |_| {});
        world.host(0).announce(v4(1), route(1, &[4_200_000_000]));
        world.host(1).announce(v4(2), route(2, &[4_200_000_001, 3]));
        let communities = (0..1500).map(|n| Community(0x1000_0000 + n)).collect();
        world.host(1).announce(
            v4(3),
            Route {
                communities,
                ..route(2, &[])
            },
        );
        for n in 100..2000 {
            world.host(2).announce(v4(n), route(3, &[]));
        }
        world.settle();
        assert!(
            world.host(0).table.contains_key(&v4(2)),
            "over AS_TRANS and AS4_PATH"
        );
        assert!(
            !world.host(2).table.contains_key(&v4(3)),
            "6,000 octets do not fit"
        );
        assert!(
            world
                .events
                .iter()
                .any(|(_, e)| matches!(e, Event::Unsendable { .. }))
        );
        let long = world.host(1).table.len();
        assert!(long >= 1901, "{long}");
    });
}

#[test]
fn graceful_restart_keeps_routes_for_a_while() {
    scene(|world| {
        for n in 1..=2 {
            let restart_time = Some(60);
            let host = HostConfig {
                restart_time,
                ..HostConfig::new(n)
            };
            world.add(host, CLIENT, |peer| {
                peer.session.graceful_restart = Some(GrOffer::default());
            });
        }
        for n in 0..20 {
            world.host(0).announce(v4(n), route(1, &[n]));
        }
        world.settle();
        let full = world.host(1).table.len();
        assert_eq!(full, 20);
        world.cut(0);
        world.host(0).announces.retain(|key, _| *key != v4(7));
        let updates = world.host(1).updates;
        world.run();
        assert_eq!(world.host(1).table.len(), full, "stale routes stay");
        world.settle();
        world.check("swept after End-of-RIB");
        assert_eq!(world.host(1).table.len(), full - 1);
        assert!(
            world.host(1).updates <= updates + 1,
            "nothing but one withdrawal"
        );
        world.stations[0].online = false;
        world.cut(0);
        world.pass(Duration::from_secs(30));
        assert_eq!(world.host(1).table.len(), full - 1);
        world.pass(Duration::from_secs(60));
        assert!(world.host(1).table.is_empty(), "the restart time is over");
    });
}

#[test]
fn a_removed_peer_leaves_nothing() {
    scene(|world| {
        exchange(world, 20);
        let peer = world.stations[0].peer;
        world.stations[0].online = false;
        world.command_for(0, Command::RemovePeer(peer));
        world.run();
        let cease = world
            .host(0)
            .notifications
            .last()
            .cloned()
            .expect("a NOTIFICATION");
        assert_eq!((cease.code, cease.subcode), (6, 3));
        world.check("after the removal");
        assert!(
            world
                .events
                .iter()
                .any(|(_, e)| matches!(e, Event::PeerGone(id) if *id == peer))
        );
        assert!(
            world
                .ask(Query::Learned(peer, Filter::All(None)))
                .is_empty()
        );
        assert!(
            world
                .status()
                .iter()
                .all(|status| status.peers.iter().all(|p| p.peer != peer))
        );
    });
}

#[test]
fn a_range_makes_peers_and_forgets_them() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.host(0).announce(v4(1), route(1, &[]));
        world.settle();
        let template = world.stations[0].config.clone();
        world.command_all(&Command::SetRange(RangeConfig {
            name: "any".into(),
            prefix: "10.9.0.0/24".parse().expect("a prefix"),
            asns: RemoteAs::Any,
            peers_max: 2,
            template: Box::new(template),
        }));
        let stranger = world.add_stranger(HostConfig::new(9));
        world.host(stranger).announce(v4(9), route(9, &[]));
        world.settle();
        assert!(world.host(stranger).table.contains_key(&v4(1)));
        assert!(world.host(0).table.contains_key(&v4(9)));
        world.stations[stranger].online = false;
        world.run();
        assert!(world.host(0).table.is_empty());
        assert!(
            world
                .events
                .iter()
                .any(|(_, e)| matches!(e, Event::PeerGone(_)))
        );
        let outside = HostConfig {
            addr: [10, 8, 0, 1].into(),
            ..HostConfig::new(8)
        };
        let outside = world.add_stranger(outside);
        world.run();
        assert_eq!(world.host(outside).phase, Phase::Down);
        let refused = |e: &(usize, Event)| {
            matches!(
                e.1,
                Event::Refused {
                    why: Refusal::Unknown,
                    ..
                }
            )
        };
        assert!(world.events.iter().any(refused));
    });
}

#[test]
fn shutdown_tells_everyone_and_drains() {
    scene(|world| {
        exchange(world, 20);
        world.command_all(&Command::Shutdown("back at noon".into()));
        world.run();
        for station in 0..3 {
            let cease = world
                .host(station)
                .notifications
                .last()
                .cloned()
                .expect("a Cease");
            assert_eq!((cease.code, cease.subcode), (6, 2));
            assert_eq!(cease.shutdown_text(), Some("back at noon"));
        }
        let drained = world
            .events
            .iter()
            .filter(|(_, e)| matches!(e, Event::Drained))
            .count();
        assert_eq!(drained, world.status().len());
    });
}

#[test]
fn policies_change_in_place() {
    scene(|world| {
        exchange(world, 20);
        let flaps = |world: &World| {
            world
                .events
                .iter()
                .filter(|(_, e)| matches!(e, Event::Down { .. }))
                .count()
        };
        let with_import = |world: &mut World, policy: PolicyRef| {
            world.stations[0].config.import = Some(policy);
            let config = world.stations[0].config.clone();
            world.command_for(0, Command::UpdatePeer(config));
            world.run();
        };
        with_import(world, PolicyRef::new(Policy::reject()));
        assert_eq!(world.host(2).table.len(), 20, "host 1's routes alone");
        with_import(world, PolicyRef::new(Policy::accept()));
        world.check("with imports again");
        // Another export: the member moves to another group, and is told the difference.
        let with_export = |world: &mut World, policy: PolicyRef| {
            world.stations[2].config.export.policy = Some(policy);
            let config = world.stations[2].config.clone();
            world.command_for(2, Command::UpdatePeer(config));
            world.run();
        };
        with_export(world, PolicyRef::new(Policy::reject()));
        assert!(world.host(2).table.is_empty());
        with_export(world, PolicyRef::new(Policy::accept()));
        world.check("with exports again");
        assert_eq!(flaps(world), 0);
    });
}

#[test]
fn the_matrix_changes_in_place() {
    scene(|world| {
        exchange(world, 20);
        let mut closed = PeerRole::eligibility();
        closed.0[0] = 0;
        world.set_matrix(closed);
        world.run();
        assert!(
            world
                .stations
                .iter()
                .all(|station| station.host.table.is_empty())
        );
        world.set_matrix(Eligibility([u32::MAX; 32]));
        world.run();
        world.check("with the matrix open again");
    });
}

#[test]
fn malformed_updates_are_treated_as_the_rfc_says() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.add(HostConfig::new(2), CLIENT, |_| {});
        world.host(0).announce(v4(1), route(1, &[]));
        world.settle();
        assert_eq!(world.host(1).table.len(), 1);
        // ORIGIN 9 for 21.0.1.0/24: treated as withdrawn (RFC 7606 §7.1).
        let body = [
            0, 0, 0, 20, 0x40, 1, 1, 9, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x59, 0x40, 3, 4, 10, 9, 0,
            1, 24, 21, 0, 1,
        ];
        send_update(world, &body);
        assert!(world.host(1).table.is_empty());
        assert_eq!(world.host(0).phase, Phase::Up);
        // Withdrawn Routes longer than the message: reset (RFC 7606 §3, RFC 4271 §6.3).
        send_update(world, &[0xff, 0, 0, 0]);
        let last = world
            .host(0)
            .notifications
            .last()
            .cloned()
            .expect("a NOTIFICATION");
        assert_eq!((last.code, last.subcode), (3, 1));
        let errors = world
            .events
            .iter()
            .filter(|(_, e)| matches!(e, Event::UpdateError { .. }));
        assert_eq!(errors.count(), 2);
    });
}

fn send_update(world: &mut World, body: &[u8]) {
    let len = 19 + body.len() as u16;
    let output = &mut world.host(0).output;
    output.extend_from_slice(&[0xff; 16]);
    output.extend_from_slice(&len.to_be_bytes());
    output.push(2);
    output.extend_from_slice(body);
    world.run();
}

#[test]
fn explain_says_at_which_step_a_path_lost() {
    scene(|world| {
        for n in 1..=3 {
            world.add(HostConfig::new(n), CLIENT, |_| {});
        }
        world.host(0).announce(v4(1), route(1, &[5]));
        world.host(1).announce(v4(1), route(2, &[5, 6]));
        world.settle();
        let prefix: Prefix = v4(1).0;
        let rows = world.ask(Query::Explain { prefix, to: None });
        assert_eq!(rows.len(), 2);
        let first = world.stations[0].peer;
        for row in &rows {
            assert_eq!(row.best, row.peer == first);
            let lost = (row.peer != first).then_some((Step::AsPathLen, first));
            assert_eq!(row.lost, lost);
        }
        let statuses = world.status();
        let mut peers = statuses.iter().flat_map(|status| &status.peers);
        let group = peers
            .find(|peer| peer.peer == first)
            .and_then(|peer| peer.group);
        let to = group.map(|group| (first, group));
        let rows = world.ask(Query::Explain { prefix, to });
        for row in rows {
            let told = if row.peer == first {
                Err(NotAdvertised::OwnPath)
            } else {
                Ok(())
            };
            assert_eq!(row.advertised, Some(told));
        }
    });
}

#[test]
fn external_and_internal_peers_get_what_their_kind_gets() {
    scene(|world| {
        let internal = |n: u8| HostConfig {
            asn: SERVER_AS,
            ..HostConfig::new(n)
        };
        world.add(HostConfig::new(1), PeerRole::External, |_| {});
        world.add(HostConfig::new(2), PeerRole::External, |_| {});
        world.add(internal(3), PeerRole::Internal, |_| {});
        world.add(internal(4), PeerRole::Internal, |_| {});
        world.add(internal(5), PeerRole::ReflectorClient, |_| {});
        world.host(0).announce(
            v4(1),
            Route {
                med: Some(7),
                ..route(1, &[5])
            },
        );
        let inside = |n: u8, pref: u32| Route {
            path: vec![70, 71],
            local_pref: Some(pref),
            ..route(n, &[])
        };
        world.host(2).announce(v4(2), inside(3, 200));
        world.host(4).announce(v4(3), inside(5, 50));
        world.host(4).announce(v4(1), inside(5, 50));
        let communities = vec![Community::NO_EXPORT];
        world.host(4).announce(
            v4(4),
            Route {
                communities,
                ..inside(5, 100)
            },
        );
        world.settle();
        world.check("with all kinds of peers");
        assert!(!world.host(3).table.contains_key(&v4(2)), "iBGP to iBGP");
        assert!(world.host(4).table.contains_key(&v4(2)), "iBGP to a client");
        assert!(!world.host(1).table.contains_key(&v4(4)), "NO_EXPORT");
    });
}

#[test]
fn a_family_that_one_side_lacks_is_not_told() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.add(
            HostConfig {
                families: FamilySet::IPV4,
                ..HostConfig::new(2)
            },
            CLIENT,
            |_| {},
        );
        world.host(0).announce(v4(1), route(1, &[]));
        world.host(0).announce(v6(1), route6(1, &[]));
        world.settle();
        world.check("with one family");
    });
}

#[test]
fn the_server_connects_to_passive_hosts() {
    scene(|world| {
        world.add(
            HostConfig {
                passive: true,
                ..HostConfig::new(1)
            },
            CLIENT,
            |_| {},
        );
        world.add(
            HostConfig {
                passive: true,
                ..HostConfig::new(2)
            },
            CLIENT,
            |_| {},
        );
        world.host(0).announce(v4(1), route(1, &[]));
        world.settle();
        world.check("over our connections");
        world.cut(0);
        world.settle();
        world.check("after reconnecting");
    });
}

#[test]
fn counters_tell_what_peers_have() {
    scene(|world| {
        exchange(world, 20);
        let statuses = world.status();
        let mut sum = [0; 3];
        for table in statuses.iter().flat_map(|status| &status.tables) {
            let counts = table.family(Family::Ipv4);
            sum = [
                sum[0] + counts.received,
                sum[1] + counts.accepted,
                sum[2] + counts.advertised,
            ];
        }
        let told: usize = world
            .stations
            .iter()
            .map(|s| {
                s.host
                    .table
                    .keys()
                    .filter(|(p, _)| p.family() == Family::Ipv4)
                    .count()
            })
            .sum();
        assert_eq!(sum, [40, 40, told as u64]);
        let established = statuses
            .iter()
            .flat_map(|s| &s.peers)
            .filter(|p| p.since.is_some());
        assert_eq!(established.count(), 3);
    });
}

#[test]
fn a_question_waits_for_its_asker() {
    scene(|world| {
        exchange(world, 30);
        world.room = false;
        world.ask_aside(Query::Routes(Filter::All(None)));
        world.run();
        let rows = |world: &World| {
            let rows = world.replies.iter().map(|(_, reply)| match reply {
                Reply::Rows(rows) => rows.len(),
                _ => 0,
            });
            rows.sum::<usize>()
        };
        assert_eq!(rows(world), 0, "nobody has room");
        world.room = true;
        world.wake();
        world.run();
        assert_eq!(rows(world), 30 + 30 + 30);
    });
}

#[test]
fn inputs_can_be_written_down() {
    let bytes = vec![0xff; 40];
    let inputs = [
        Input::Received {
            conn: ConnId(7),
            bytes: bytes.into(),
        },
        Input::Closed {
            conn: ConnId(7),
            error: Some("reset".into()),
        },
        Input::Command(Box::new(Command::Query {
            id: QueryId(1),
            query: Query::Routes(Filter::Longest(v4(3).0)),
        })),
    ];
    for input in &inputs {
        let text = serde_json::to_string(input).expect("it can be written");
        let back: Input<'_> = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(format!("{back:?}"), format!("{input:?}"));
    }
    let mut world = World::new(Shape::default(), 1);
    world.add(HostConfig::new(1), CLIENT, |_| {});
    let peer = Command::AddPeer(world.stations[0].config.clone());
    let text = serde_json::to_string(&peer).expect("it can be written");
    let Command::AddPeer(mut back) = serde_json::from_str(&text).expect("it can be read") else {
        panic!("another command");
    };
    // Policies travel by name.
    let import = back.import.as_mut().expect("a policy");
    assert_eq!(import.policy().name(), "reject");
    import.resolve(|name| (name == "accept").then(Policy::accept));
    assert_eq!(import.policy().name(), "accept");
}

#[test]
fn a_lowered_limit_acts_on_what_is_there() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.add(HostConfig::new(2), CLIENT, |_| {});
        for n in 0..10 {
            world.host(0).announce(v4(n), route(1, &[]));
        }
        world.settle();
        let limit = |max, action| {
            Some(LimitConfig {
                max,
                warn_at: max,
                action,
                accepted_only: false,
                restart_after: None,
            })
        };
        world.stations[0].config.limits[0] = limit(4, LimitAction::Warn);
        world.reconfigure(0);
        world.run();
        assert_eq!(limits(world).last(), Some(&LimitEvent::Over));
        assert_eq!(world.host(1).table.len(), 10);
        world.stations[0].config.limits[0] = limit(4, LimitAction::Restart);
        world.reconfigure(0);
        world.run();
        let last = world.host(0).notifications.last().cloned();
        let last = last.expect("it was told why");
        assert_eq!((last.code, last.subcode), (6, 1));
        assert_eq!(world.host(1).table.len(), 0);
        // It stays down for good, until there is room.
        world.pass(Duration::from_secs(600));
        assert_eq!(world.host(0).phase, Phase::Down);
        world.stations[0].config.limits[0] = limit(10, LimitAction::Restart);
        world.reconfigure(0);
        world.pass(Duration::from_secs(60));
        world.settle();
        assert_eq!(world.host(1).table.len(), 10);
        world.check("with room again");
    });
}

#[test]
fn a_lowered_limit_on_what_is_told_takes_routes_back() {
    scene(|world| {
        limited_out(world, LimitAction::Block);
        assert_eq!((world.host(0).table.len(), held_back(world)), (10 + 10, 4));
        for (max, told, back) in [(3, 3, 11), (5, 5, 9), (0, 0, 14), (14, 14, 0)] {
            let limit = world.stations[0].config.max_advertised[0].as_mut();
            limit.expect("it has one").max = max;
            world.reconfigure(0);
            world.pass(Duration::from_secs(3));
            let now = (world.host(0).table.len(), held_back(world));
            assert_eq!(now, (told + 10, back), "{max}");
            world.check_counts("after the change");
        }
        assert_eq!(downs(world), 0);
    });
}

#[test]
fn another_way_to_connect_ends_the_session() {
    scene(|world| {
        world.add(HostConfig::new(1), CLIENT, |_| {});
        world.settle();
        let changes: [fn(&mut thruway_engine::PeerConfig); 4] = [
            |peer| peer.transport.md5 = Some(b"another".to_vec()),
            |peer| peer.transport.ttl = Some(9),
            |peer| peer.transport.gtsm_hops = Some(1),
            |peer| peer.role = PeerRole::External,
        ];
        for (done, change) in changes.into_iter().enumerate() {
            change(&mut world.stations[0].config);
            world.reconfigure(0);
            world.settle();
            assert_eq!(downs(world), done + 1);
            let last = world.host(0).notifications.last().cloned();
            let last = last.expect("it was told why");
            assert_eq!((last.code, last.subcode), (6, 6));
            world.pass(Duration::from_secs(10));
            world.settle();
            assert_eq!(world.host(0).phase, Phase::Up);
        }
    });
}
