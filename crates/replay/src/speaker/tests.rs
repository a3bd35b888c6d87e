//! Two speakers, one with the other.

use std::net::Ipv4Addr;
use std::time::Duration;

use thruway_wire::attrs::{AttrSetBuf, RawAttr, code};
use thruway_wire::{Asn, FamilySet, NextHop, RouterId};

use super::*;
use crate::endpoint::Link;
use crate::peer::PeerOptions;

const WAIT: Duration = Duration::from_secs(10);

fn options(name: &str, link: Link, asn: u32) -> SpeakerOptions {
    let peer = PeerOptions::new(Asn(asn), RouterId(asn));
    let session = SessionOptions {
        name: name.to_owned(),
        link,
        peer,
        md5: None,
    };
    SpeakerOptions::new(session)
}

fn listener() -> SpeakerOptions {
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    options(
        "passive",
        Link::Listen {
            local,
            remote: None,
        },
        64_501,
    )
}

fn connecting(to: &Speaker) -> SpeakerOptions {
    let remote = to.listening_on().unwrap();
    options(
        "active",
        Link::Connect {
            remote,
            local: None,
        },
        64_502,
    )
}

/// A session between two speakers.
fn pair(change: impl Fn(&mut SpeakerOptions)) -> (Speaker, Speaker) {
    let mut passive = listener();
    change(&mut passive);
    let passive = Speaker::spawn(passive).unwrap();
    let mut active = connecting(&passive);
    change(&mut active);
    let active = Speaker::spawn(active).unwrap();
    active.established(WAIT).unwrap();
    passive.established(WAIT).unwrap();
    (passive, active)
}

fn set(asn: u32) -> AttrSetBuf {
    let [a, b, c, d] = asn.to_be_bytes();
    let path = [2, 1, a, b, c, d];
    let attrs = [
        RawAttr {
            flags: 0x40,
            code: code::ORIGIN,
            value: &[0],
        },
        RawAttr {
            flags: 0x40,
            code: code::AS_PATH,
            value: &path,
        },
    ];
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    AttrSetBuf::from_parts(Some(next_hop), attrs.into_iter())
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn routes_come_and_go() {
    let (passive, active) = pair(|_| {});
    assert_eq!(passive.established(WAIT).unwrap().remote_asn, Asn(64_502));
    let all = prefixes(&["192.0.2.0/24", "198.51.100.0/24"]);
    active.announce_prefixes(&all, set(64_502).as_ref());
    active.end_of_rib(Family::Ipv4);
    passive
        .wait_for(|table| table.has_end_of_rib(Family::Ipv4), WAIT)
        .unwrap();
    let table = passive.table();
    assert_eq!((table.len(), table.len_of(Family::Ipv4)), (2, 2));
    let path = table.get(all[0]).unwrap().as_ref().as_path().to_string();
    assert_eq!(path, "64502");
    active.withdraw(&all[..1]);
    passive.wait_for(|table| table.len() == 1, WAIT).unwrap();
    assert!(passive.with_table(|table| table.get(all[0]).is_none()));
    let stats = passive.stats();
    assert_eq!(
        (stats.announced, stats.withdrawn, stats.malformed),
        (2, 1, 0)
    );
}

#[test]
fn both_transports_and_a_full_table() {
    for transport in [TransportChoice::Epoll, TransportChoice::Auto] {
        let (passive, active) = pair(|options| options.transport = transport);
        let options = crate::generate::GenerateOptions {
            ipv4: 30_000,
            ..Default::default()
        };
        active.announce(crate::generate::Generator::new(options).unwrap().table());
        active.wait_until_sent(WAIT).unwrap();
        passive
            .wait_for(|table| table.len() == 30_000, WAIT)
            .unwrap();
    }
}

#[test]
fn several_paths_of_a_prefix() {
    let (passive, active) = pair(|options| {
        options.session.peer.add_path_send = FamilySet::IPV4;
        options.session.peer.add_path_receive = FamilySet::IPV4;
    });
    let prefix = prefixes(&["192.0.2.0/24"])[0];
    let mut table = Table::new();
    for path_id in [7, 9] {
        let set = thruway_wire::attrs::AttrSet::new(set(path_id).as_ref());
        table.push(
            Duration::ZERO,
            Some(set),
            Family::Ipv4,
            [Nlri { path_id, prefix }],
        );
    }
    active.announce(table);
    passive
        .wait_for(|table| table.paths(prefix).count() == 2, WAIT)
        .unwrap();
    active.withdraw_paths(vec![Nlri { path_id: 7, prefix }]);
    passive
        .wait_for(
            |table| table.path(Nlri { path_id: 7, prefix }).is_none(),
            WAIT,
        )
        .unwrap();
    assert!(passive.table().path(Nlri { path_id: 9, prefix }).is_some());
}

#[test]
fn a_refresh_is_seen_and_a_notification_ends_it() {
    let (passive, active) = pair(|_| {});
    passive.route_refresh(Family::Ipv6);
    let ipv6 = Family::Ipv6.to_wire();
    active
        .wait("for a refresh", WAIT, |state| state.refreshes == [ipv6])
        .map(drop)
        .unwrap();
    active.close(Some(Notification::new(6, 4)));
    let end = passive.wait_until_ended(WAIT).unwrap();
    assert_eq!(end, SessionEnd::Notified(Notification::new(6, 4)));
    assert_eq!(active.ended(), Some(SessionEnd::Finished));
}

#[test]
fn garbage_is_refused_and_a_break_is_told() {
    let (passive, active) = pair(|_| {});
    active.send(vec![0; 19]);
    let SessionEnd::Refused(notification) = passive.wait_until_ended(WAIT).unwrap() else {
        panic!("{:?}", passive.ended());
    };
    assert_eq!((notification.code, notification.subcode), (1, 1));
    let (passive, active) = pair(|_| {});
    drop(active);
    let end = passive.wait_until_ended(WAIT).unwrap();
    assert!(matches!(end, SessionEnd::Closed(_)), "{end}");
}

#[test]
fn md5_keys_must_agree() {
    let keyed = |options: &mut SpeakerOptions| options.session.md5 = Some(b"secret".to_vec());
    let (passive, _active) = pair(keyed);
    assert!(passive.established(WAIT).is_ok());
}

#[test]
fn a_wait_that_fails_says_for_what() {
    let speaker = Speaker::spawn(listener()).unwrap();
    let error = speaker.established(Duration::from_millis(20)).unwrap_err();
    assert!(error.to_string().contains("for the session"), "{error}");
}
