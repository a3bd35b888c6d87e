//! Two servers that run alike: `thruway check instances` names every difference between them.

use std::net::TcpListener;
use std::process::Command;

use thruway_replay::speaker::Speaker;
use thruway_tests::daemon::binary;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{PATIENCE, Rig, prefix};
use thruway_wire::attrs::AttrSet;

use crate::stage::{Actor, ER0, FIREWALL, SDWAN, SERVER_AS, VPN0, VPN1, config};

on_both! {
    equal_instances_are_equal,
    every_difference_is_named,
    a_session_that_one_lacks_is_named,
}

/// Two servers with the same configuration, and neighbours with a session to each.
struct Pair {
    rigs: [Rig; 2],
    apis: [String; 2],
    speakers: Vec<(Actor, [Speaker; 2])>,
}

impl Pair {
    fn open(transport: &str) -> Pair {
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let apis = free
            .each_ref()
            .map(|free| free.local_addr().expect("bound").to_string());
        drop(free);
        let text = config("enabled = true", "");
        let rigs = apis
            .each_ref()
            .map(|api| Rig::exchange_with(transport, &format!("api = \"{api}\""), &text));
        let mut speakers = Vec::new();
        for actor in [SDWAN, FIREWALL, ER0, VPN0, VPN1] {
            let both = rigs
                .each_ref()
                .map(|rig| rig.spawn_at(actor.addr, actor.options(), None));
            for speaker in &both {
                let up = speaker.established(PATIENCE);
                assert!(up.is_ok(), "{}: {up:?}", actor.name);
            }
            speakers.push((actor, both));
        }
        let pair = Pair {
            rigs,
            apis,
            speakers,
        };
        for (actor, _) in &pair.speakers {
            let prefix = actor.prefix(false).to_string();
            pair.tell(*actor, 0, &prefix, &actor.tells(false));
            pair.tell(*actor, 1, &prefix, &actor.tells(false));
        }
        pair
    }

    fn tell(&self, actor: Actor, instance: usize, text: &str, set: &AttrSet) {
        let both = self.speakers.iter().find(|(other, _)| *other == actor);
        let (_, both) = both.expect("it is there");
        both[instance].announce_prefixes(&[prefix(text)], set.as_ref());
    }

    fn wait_paths(&self, counts: [u64; 2]) {
        for (rig, count) in self.rigs.iter().zip(counts) {
            wait_until(&format!("{count} paths"), PATIENCE, || {
                rig.show(&["status"])["paths"] == count
            });
        }
    }

    /// What the comparison prints, and whether it is content.
    fn check(&self) -> (String, bool) {
        let [a, b] = &self.apis;
        let out = Command::new(binary())
            .args(["check", "instances", a, b])
            .output();
        let out = out.expect("thruway runs");
        let text = [out.stdout, out.stderr].concat();
        (
            String::from_utf8_lossy(&text).into_owned(),
            out.status.success(),
        )
    }
}

fn equal_instances_are_equal(transport: &str) {
    let pair = Pair::open(transport);
    pair.wait_paths([8, 8]);
    let mut said = String::new();
    // What one was told may still be on its way to the other's neighbours.
    wait_until("both are alike", PATIENCE, || {
        let (text, good) = pair.check();
        said = text;
        good
    });
    println!("{said}");
}

fn every_difference_is_named(transport: &str) {
    let pair = Pair::open(transport);
    let plain = SDWAN.tells(false);
    pair.tell(SDWAN, 0, "172.20.1.0/24", &plain);
    pair.tell(SDWAN, 1, "172.20.2.0/24", &plain);
    pair.tell(SDWAN, 0, "172.20.3.0/24", &plain);
    pair.tell(
        SDWAN,
        1,
        "172.20.3.0/24",
        &SDWAN.tells_with(false, &[SDWAN.asn, 64_901]),
    );
    pair.tell(SDWAN, 0, "172.20.4.0/24", &plain);
    pair.tell(
        SDWAN,
        1,
        "172.20.4.0/24",
        &thruway_tests::rig::set(SDWAN.path, FIREWALL.next_hop(false), &SDWAN.communities()),
    );
    let refused = &[SDWAN.asn, SERVER_AS];
    pair.tell(SDWAN, 0, "172.20.5.0/24", &plain);
    pair.tell(SDWAN, 1, "172.20.5.0/24", &SDWAN.tells_with(false, refused));
    let wanted = [
        ("172.20.1.0/24", "missing"),
        ("172.20.2.0/24", "missing"),
        ("172.20.3.0/24", "AS path"),
        ("172.20.4.0/24", "next hop"),
        ("172.20.5.0/24", "missing"),
    ];
    let mut said = String::new();
    wait_until("all differences are named", PATIENCE, || {
        let (text, good) = pair.check();
        said = text;
        // Both who tells it and who is told of it.
        !good
            && wanted.iter().all(|(prefix, word)| {
                let line = |actor: Actor| {
                    let has = |line: &str| {
                        line.contains(prefix)
                            && line.contains(word)
                            && line.contains(&actor.session())
                    };
                    said.lines().any(has)
                };
                let teller = line(SDWAN) || *prefix == "172.20.5.0/24";
                teller && [FIREWALL, ER0, VPN0, VPN1].into_iter().all(line)
            })
    });
    println!("{said}");
    let same = SDWAN.prefix(false).to_string();
    assert!(!said.contains(&same), "it is the same: {said}");
}

fn a_session_that_one_lacks_is_named(transport: &str) {
    let mut pair = Pair::open(transport);
    pair.speakers.retain(|(actor, _)| *actor != SDWAN);
    // It comes back to one of them only.
    let back = pair.rigs[0].spawn_at(SDWAN.addr, SDWAN.options(), None);
    back.established(PATIENCE).expect("it comes back");
    let mut said = String::new();
    wait_until("the session is named", PATIENCE, || {
        let (text, good) = pair.check();
        said = text;
        let has = |line: &str| line.contains(&SDWAN.session()) && line.contains("session");
        !good && said.lines().any(has)
    });
    println!("{said}");
}
