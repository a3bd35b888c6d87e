//! Plays the peers of a dump into a neighbour, one session each, and holds the sessions until its
//! standard input ends. For tests that need a table to stand while they look at it.
//!
//! `feed FILE REMOTE PEERS AS LOCAL…`: the first PEERS peers with the most routes; AS is `own` (each
//! peer's own) or a number; one LOCAL address for each session. Prints `sent` when the kernel has
//! everything.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use thruway_replay::speaker::{Speaker, SpeakerOptions};
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_tests::dump::feeds;
use thruway_wire::{Family, RouterId};

const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, remote, count, asn, locals @ ..] = args.as_slice() else {
        panic!("feed FILE REMOTE PEERS AS LOCAL…");
    };
    let remote: SocketAddr = remote.parse().expect("REMOTE is an address and a port");
    let count: usize = count.parse().expect("PEERS is a number");
    assert!(
        locals.len() >= count,
        "a LOCAL address for each of {count} sessions"
    );
    let mut speakers = Vec::new();
    let feeds = feeds(Path::new(file));
    for (n, (feed, local)) in feeds.iter().take(count).zip(locals).enumerate() {
        let asn = if asn == "own" {
            feed.asn
        } else {
            asn.parse().expect("AS is own or a number")
        };
        let local: IpAddr = local.parse().expect("LOCAL is an address");
        let id = Ipv4Addr::new(198, 51, 100, u8::try_from(n + 1).expect("few peers"));
        let peer = PeerOptions::new(asn, RouterId::from(id));
        let link = Link::Connect {
            remote,
            local: Some(local),
        };
        let session = SessionOptions {
            name: feed.addr.to_string(),
            link,
            peer,
            md5: None,
        };
        let speaker = Speaker::spawn(SpeakerOptions::new(session)).expect("a speaker");
        speakers.push((speaker, feed.table(asn, local)));
    }
    for (speaker, _) in &speakers {
        speaker.established(PATIENCE).expect("the session comes up");
    }
    let speakers = speakers.into_iter().map(|(speaker, table)| {
        speaker.announce(table);
        speaker.end_of_rib(Family::Ipv4);
        speaker
    });
    let speakers: Vec<Speaker> = speakers.collect();
    for speaker in &speakers {
        speaker
            .wait_until_sent(PATIENCE)
            .expect("everything is sent");
    }
    println!("sent");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
