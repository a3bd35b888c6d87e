//! Contested prefixes, told and withdrawn at random while neighbours come and go and the switch and the
//! preference change: in the end everyone has what a plain model says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use thruway_replay::speaker::ReceivedTable;
use thruway_tests::on_both;
use thruway_tests::rig::{PATIENCE, prefix, set};
use thruway_tests::sim::rng::Rng;
use thruway_wire::attrs::AttrSet;
use thruway_wire::{Asn, Family, Prefix};

use crate::stage::{Actor, CAST, Stage, config, network};

on_both! {
    everyone_has_the_best_that_may_be_told,
    limits_hold_whatever_comes,
}

const PREFIXES: usize = 60;
const ROUNDS: u64 = 8;
const TOLD_PER_ROUND: u32 = 150;

/// What was told last, by prefix and actor: the AS path.
type Told = BTreeMap<(Prefix, u8), Vec<u32>>;

#[derive(Clone, Copy)]
struct Rules {
    on: bool,
    preference: &'static str,
}

fn kind(actor: Actor) -> &'static str {
    if actor.is_nva() {
        "nva"
    } else {
        &actor.name[..2]
    }
}

impl Rules {
    fn allows(self, from: Actor, to: Actor) -> bool {
        match (kind(from), kind(to)) {
            ("nva", "nva") => from != to,
            (from, to) => self.on && from != to,
        }
    }

    /// Lower is better; what makes two equal in the eyes of hosts.
    fn order(self, actor: Actor, path: &[u32]) -> (bool, usize, bool) {
        let first = match self.preference {
            "expressroute" => kind(actor) == "er",
            "vpn" => kind(actor) != "er",
            _ => false,
        };
        (!first, path.len(), !actor.is_nva())
    }

    /// The best path for a receiver, and the router id decides what is left.
    fn best(self, told: &Told, prefix: Prefix, to: Actor) -> Option<Vec<u32>> {
        let mine = candidates(told, prefix).filter(|(from, _)| self.allows(*from, to));
        let key = |(from, path): &(Actor, &Vec<u32>)| (self.order(*from, path), from.addr);
        mine.min_by_key(key).map(|(_, path)| path.clone())
    }

    fn hosts(self, told: &Told, prefix: Prefix) -> Vec<IpAddr> {
        let order = |(from, path): &(Actor, &Vec<u32>)| self.order(*from, path);
        let Some(best) = candidates(told, prefix).map(|found| order(&found)).min() else {
            return Vec::new();
        };
        let equal = candidates(told, prefix).filter(|found| order(found) == best);
        equal
            .map(|(from, _)| from.next_hop(is_v6(prefix)))
            .collect()
    }
}

fn candidates(told: &Told, prefix: Prefix) -> impl Iterator<Item = (Actor, &Vec<u32>)> {
    let mine = told.range((prefix, 0)..=(prefix, u8::MAX));
    mine.map(|((_, number), path)| (CAST[usize::from(*number) - 1], path))
}

fn is_v6(prefix: Prefix) -> bool {
    matches!(prefix, Prefix::V6(_))
}

fn contested(n: usize) -> Prefix {
    prefix(&if n.is_multiple_of(2) {
        format!("172.24.{n}.0/24")
    } else {
        format!("2001:db8:100:{n:x}::/64")
    })
}

fn advertise_or_withdraw(stage: &Stage, rng: &mut Rng, told: &mut Told) {
    let (actor, speaker) = &stage.speakers[rng.below(stage.speakers.len())];
    let prefix = contested(rng.below(PREFIXES));
    if rng.one_in(3) {
        speaker.withdraw(&[prefix]);
        told.remove(&(prefix, actor.number));
        return;
    }
    // Each has a first AS of its own, so that no MED and no loop decides.
    let first = if actor.is_nva() {
        actor.asn
    } else {
        65_100 + u32::from(actor.number)
    };
    let mut path = vec![first];
    path.extend([65_200, 65_201].iter().take(rng.below(3)));
    let set = set(&path, actor.next_hop(is_v6(prefix)), &[]);
    speaker.announce_prefixes(&[prefix], set.as_ref());
    told.insert((prefix, actor.number), path);
}

/// What a neighbour may be told of the contested prefixes, as AS paths.
fn model(rules: Rules, told: &Told, to: Actor) -> BTreeMap<Prefix, String> {
    let path = |prefix: Prefix| {
        let mut path = rules.best(told, prefix, to)?;
        if to.is_nva() {
            path.insert(0, 65_515);
        }
        let path: Vec<String> = path.iter().map(|asn| Asn(*asn).to_string()).collect();
        Some((prefix, path.join(" ")))
    };
    (0..PREFIXES).map(contested).filter_map(path).collect()
}

fn heard(table: &ReceivedTable) -> BTreeMap<Prefix, String> {
    let path = |set: &AttrSet| set.as_ref().as_path().to_string();
    let all = table.iter().map(|(nlri, set)| (nlri.prefix, path(set)));
    let own = network();
    all.filter(|(prefix, _)| !own.contains(prefix)).collect()
}

fn assert_as_the_model(stage: &Stage, rules: Rules, told: &Told, what: &str) {
    let all: Vec<Prefix> = (0..PREFIXES).map(contested).collect();
    for (actor, speaker) in &stage.speakers {
        let wanted = model(rules, told, *actor);
        let mut got = BTreeMap::new();
        let outcome = speaker.wait_for(
            |table| {
                got = heard(table);
                got == wanted
            },
            PATIENCE,
        );
        if let Err(error) = outcome {
            let mut lines = Vec::new();
            for prefix in all
                .iter()
                .filter(|prefix| wanted.get(prefix) != got.get(prefix))
            {
                let (wanted, got) = (wanted.get(prefix), got.get(prefix));
                lines.push(format!("{prefix}: wanted {wanted:?}, got {got:?}"));
            }
            panic!("{what}: {}: {error}\n{}", actor.name, lines.join("\n"));
        }
    }
    let hosts = |prefix: &Prefix| {
        let hops = rules.hosts(told, *prefix);
        let prefix = *prefix;
        hops.into_iter().map(move |hop| (prefix, hop))
    };
    let wanted: BTreeSet<(Prefix, IpAddr)> = all.iter().flat_map(hosts).collect();
    stage.hosts_hear(what, &wanted);
}

fn everyone_has_the_best_that_may_be_told(transport: &str) {
    let text = |preference: &str| {
        config(
            &format!("enabled = false\npreference = \"{preference}\""),
            "",
        )
    };
    let mut stage = Stage::with(transport, &text("expressroute"), &CAST);
    let mut rng = Rng::new(65_515);
    let mut told = Told::new();
    let mut rules = Rules {
        on: false,
        preference: "expressroute",
    };
    for round in 0..ROUNDS {
        // One of them is away in some rounds, and its routes with it.
        let away = rng.one_in(2).then(|| CAST[rng.below(CAST.len())]);
        if let Some(actor) = away {
            stage.leave(actor);
            told.retain(|(_, number), _| *number != actor.number);
        }
        // The order of what is told and of the commands is the workers' matter: both go on together.
        let (scene, text) = (&stage, &text);
        std::thread::scope(|scope| {
            let on = rng.one_in(2);
            let preference = ["expressroute", "vpn", "as-path"][rng.below(3)];
            let commands = scope.spawn(move || {
                for position in ["on", "off", if on { "on" } else { "off" }] {
                    scene.switch(position);
                }
                scene.reload(&text(preference));
            });
            for _ in 0..TOLD_PER_ROUND {
                advertise_or_withdraw(scene, &mut rng, &mut told);
            }
            commands.join().expect("the commands pass");
            rules = Rules { on, preference };
        });
        let what = format!("round {round}, on {}, {}", rules.on, rules.preference);
        assert_as_the_model(&stage, rules, &told, &what);
        if let Some(actor) = away {
            stage.enter(actor);
        }
    }
}

/// Prefixes of a family that the limited neighbour may be told.
const LIMIT: usize = 12;

fn limits_hold_whatever_comes(transport: &str) {
    let keys = format!("max-advertised = {{ limit = {LIMIT}, action = \"block\" }}");
    let text = config("enabled = false", "");
    let text = text.replace(
        "addresses = [\"127.0.1.2\"]",
        &format!("addresses = [\"127.0.1.2\"]\n{keys}"),
    );
    let text = text.replace("\"127.0.2.0/28\"", &format!("\"127.0.2.0/28\"\n{keys}"));
    let stage = Stage::with(transport, &text, &CAST);
    let mut rng = Rng::new(4_000);
    let mut told = Told::new();
    for round in 0..ROUNDS {
        for _ in 0..TOLD_PER_ROUND {
            advertise_or_withdraw(&stage, &mut rng, &mut told);
        }
        let on = rng.one_in(2);
        stage.switch(if on { "on" } else { "off" });
        let rules = Rules {
            on,
            preference: "expressroute",
        };
        for (actor, speaker) in &stage.speakers {
            let limit = match kind(*actor) {
                "er" => LIMIT,
                "nva" if actor.number == 2 => LIMIT,
                _ => usize::MAX,
            };
            let may = model(rules, &told, *actor);
            let own = network();
            let count = |family: Family| {
                let own = own.iter().filter(|prefix| prefix.family() == family);
                let may = may.keys().filter(|prefix| prefix.family() == family);
                (own.count() + may.count()).min(limit)
            };
            let wanted = Family::ALL.map(count);
            let outcome = speaker.wait_for(
                |table| {
                    let right = heard(table)
                        .iter()
                        .all(|(prefix, path)| may.get(prefix) == Some(path));
                    right && Family::ALL.map(|family| table.len_of(family)) == wanted
                },
                PATIENCE,
            );
            if let Err(error) = outcome {
                let got = speaker.with_table(heard);
                panic!(
                    "round {round}: {}: {error}\n  may {may:?}\n  got {got:?}",
                    actor.name
                );
            }
        }
    }
}
