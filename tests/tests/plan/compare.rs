//! What was foretold against what happened.

use std::collections::{BTreeMap, BTreeSet};

use thruway_engine::PeerConfig;
use thruway_rib::{ExportCount, Foreseen, ImportCount, LimitAction, PeerId, PlanRow};
use thruway_tests::sim::host::Key;
use thruway_tests::sim::model::octets;
use thruway_tests::sim::world::{Station, World};
use thruway_wire::{Family, Prefix};

use crate::{Seen, Taken, Told};

/// What every host had, and what was taken from it.
pub(super) type Tables = (Vec<Told>, BTreeMap<PeerId, Taken>);

/// A change that was foretold and made.
pub(super) struct Comparison<'a> {
    pub(super) foreseen: &'a [Foreseen],
    pub(super) rows: &'a [PlanRow],
    /// Whose routes are in `rows`.
    pub(super) listed: PeerId,
    pub(super) before: &'a Tables,
    pub(super) after: &'a Tables,
    /// A sender of several paths numbered them anew when it came back.
    pub(super) renumbered: bool,
    pub(super) what: &'a str,
}

impl Comparison<'_> {
    pub(super) fn check(&self, world: &World) -> Seen {
        let mut seen = Seen::default();
        for (at, station) in world.stations.iter().enumerate() {
            let (old, new) = (&self.before.0[at], &self.after.0[at]);
            let limited = station.config.max_advertised[0].is_some();
            for family in Family::ALL {
                self.exports(&mut seen, station, family, (old, new));
            }
            let many = !station.host.config.add_path_receive.is_empty();
            if station.peer == self.listed && !limited && !(self.renumbered && many) {
                check_rows(self.rows, old, new, self.what);
            }
            for family in Family::ALL {
                self.imports(&mut seen, station.peer, family);
            }
        }
        seen
    }

    fn exports(
        &self,
        seen: &mut Seen,
        station: &Station,
        family: Family,
        (old, new): (&Told, &Told),
    ) {
        let what = self.what;
        let expected = exports(old, new, family);
        let counts = sum_exports(self.foreseen, station.peer, family);
        seen.announced += expected.announced;
        seen.changed += expected.changed;
        seen.withdrawn += expected.withdrawn;
        if station.config.max_advertised[0].is_some() && family == Family::Ipv4 {
            seen.limited += 1;
            return under_limit(&station.config, counts, old, new);
        }
        if self.renumbered && !station.host.config.add_path_receive.is_empty() {
            let of = |told: &Told| told.keys().filter(|key| key.0.family() == family).count();
            let (had, has) = (of(old) as u64, of(new) as u64);
            assert_eq!(
                had + counts.announced - counts.withdrawn,
                has,
                "{what}: routes of {family} to {:?}{}",
                station.peer,
                differences(old, new)
            );
            return;
        }
        assert_eq!(
            (counts.announced, counts.changed, counts.withdrawn),
            (expected.announced, expected.changed, expected.withdrawn),
            "{what}: announced, changed, withdrawn of {family} to {:?}{}",
            station.peer,
            differences(old, new)
        );
    }

    fn imports(&self, seen: &mut Seen, peer: PeerId, family: Family) {
        let none = Taken::new();
        let old = self.before.1.get(&peer).unwrap_or(&none);
        let new = self.after.1.get(&peer).unwrap_or(&none);
        let expected = imports(old, new, family);
        let mut counts = ImportCount::default();
        for shard in self.foreseen {
            for (_, families) in shard.imports.iter().filter(|it| it.0 == peer) {
                let more = families[family.index()];
                counts.accepted += more.accepted;
                counts.rejected += more.rejected;
                counts.changed += more.changed;
                counts.gone += more.gone;
            }
        }
        seen.accepted += expected.0;
        seen.rejected += expected.1;
        let ImportCount {
            accepted,
            rejected,
            changed,
            gone,
            ..
        } = counts;
        assert_eq!(
            (accepted, rejected, changed, gone),
            expected,
            "{}: accepted, rejected, changed, gone of {family} from {peer:?}",
            self.what
        );
    }
}

/// What a host had and has, where that differs.
fn differences(old: &Told, new: &Told) -> String {
    let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
    let differ = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    differ
        .map(|key| format!("\n{key:?}: {:?} -> {:?}", old.get(key), new.get(key)))
        .collect()
}

fn sum_exports(foreseen: &[Foreseen], peer: PeerId, family: Family) -> ExportCount {
    let mut sum = ExportCount::default();
    for shard in foreseen {
        for (_, families) in shard.exports.iter().filter(|it| it.0 == peer) {
            let more = families[family.index()];
            sum.announced += more.announced;
            sum.changed += more.changed;
            sum.withdrawn += more.withdrawn;
            sum.prefixes_new += more.prefixes_new;
            sum.prefixes_gone += more.prefixes_gone;
        }
    }
    sum
}

/// With a limit the numbers are foretold, which routes they are is not.
fn under_limit(config: &PeerConfig, counts: ExportCount, old: &Told, new: &Told) {
    let prefixes = |told: &Told| {
        let own = told
            .keys()
            .filter(|(prefix, _)| prefix.family() == Family::Ipv4);
        own.map(|(prefix, _)| *prefix)
            .collect::<BTreeSet<Prefix>>()
            .len() as u64
    };
    let Some(limit) = config.max_advertised[0] else {
        return;
    };
    let kept = prefixes(old) - counts.prefixes_gone;
    let wanted = kept + counts.prefixes_new;
    let then = match limit.action {
        LimitAction::Warn => wanted,
        _ => wanted.min(u64::from(limit.max)),
    };
    assert_eq!(
        prefixes(new),
        then,
        "prefixes under {limit:?}, {counts:?}, to {:?}{}",
        config.id,
        differences(old, new)
    );
}

fn exports(old: &Told, new: &Told, family: Family) -> ExportCount {
    let of = |key: &&Key| key.0.family() == family;
    ExportCount {
        announced: new
            .keys()
            .filter(of)
            .filter(|key| !old.contains_key(key))
            .count() as u64,
        withdrawn: old
            .keys()
            .filter(of)
            .filter(|key| !new.contains_key(key))
            .count() as u64,
        changed: new
            .keys()
            .filter(of)
            .filter(|key| old.get(key).is_some_and(|set| *set != new[key]))
            .count() as u64,
        ..ExportCount::default()
    }
}

/// (accepted, rejected, changed, gone).
fn imports(old: &Taken, new: &Taken, family: Family) -> (u64, u64, u64, u64) {
    let mut sum = (0, 0, 0, 0);
    for (key, was) in old.iter().filter(|(key, _)| key.0.family() == family) {
        match (was, new.get(key)) {
            (_, None) => sum.3 += 1,
            (None, Some(Some(_))) => sum.0 += 1,
            (Some(_), Some(None)) => sum.1 += 1,
            (Some(a), Some(Some(b))) if a != b => sum.2 += 1,
            _ => {}
        }
    }
    sum
}

/// The rows of the listed peer are the differences, with what it had and has.
fn check_rows(rows: &[PlanRow], old: &Told, new: &Told, what: &str) {
    type Sides = (Option<Vec<u8>>, Option<Vec<u8>>);
    let mut listed: BTreeMap<Key, Sides> = BTreeMap::new();
    for row in rows {
        if let PlanRow::Export {
            prefix,
            path_id,
            now,
            then,
        } = row
        {
            let set = |side: &Option<(PeerId, thruway_wire::attrs::AttrSet)>| {
                side.as_ref().map(|(_, set)| octets(set))
            };
            let before = listed.insert((*prefix, *path_id), (set(now), set(then)));
            assert!(
                before.is_none(),
                "{what}: {prefix} {path_id} is listed twice"
            );
        }
    }
    let keys: BTreeSet<Key> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let (was, is) = (old.get(&key), new.get(&key));
        let differs = was != is;
        let row = listed.remove(&key);
        assert_eq!(
            row.is_some(),
            differs,
            "{what}: {key:?} {was:?} {is:?} {row:?}"
        );
        if let Some((now, then)) = row {
            assert_eq!((now.as_ref(), then.as_ref()), (was, is), "{what}: {key:?}");
        }
    }
    assert!(listed.is_empty(), "{what}: {listed:?}");
}
