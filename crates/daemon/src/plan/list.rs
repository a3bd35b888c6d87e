//! The routes of one peer that a plan lists.

use thruway_api::{AttributeChange, PlannedRoute};
use thruway_rib::{PeerId, PlanRow, Rejection};
use thruway_wire::attrs::{AttrSet, code};

use crate::limits::PLAN_ROWS_MAX;
use crate::view::Names;

/// Rows so far, up to a bound.
pub(super) struct Listed {
    names: Names,
    rows: Vec<PlannedRoute>,
    more: u64,
}

/// One attribute of a set as a text.
type Attribute = (&'static str, fn(&AttrSet) -> Option<String>);

/// Attributes in the order in which they are shown.
const ATTRIBUTES: [Attribute; 10] = [
    ("next hop", |set| {
        Some(set.as_ref().next_hop()?.addr().to_string())
    }),
    ("AS path", |set| Some(set.as_ref().as_path().to_string())),
    ("origin", |set| {
        let names = ["IGP", "EGP", "INCOMPLETE"];
        Some((*names.get(usize::from(set.meta().origin))?).to_owned())
    }),
    ("MED", |set| Some(set.as_ref().med()?.to_string())),
    ("local preference", |set| {
        Some(set.as_ref().local_pref()?.to_string())
    }),
    ("communities", |set| joined(set.as_ref().communities())),
    ("extended communities", |set| {
        joined(set.as_ref().extended_communities())
    }),
    ("large communities", |set| {
        joined(set.as_ref().large_communities())
    }),
    ("originator", |set| {
        Some(set.as_ref().originator_id()?.to_string())
    }),
    ("other attributes", others),
];

fn joined<T: std::fmt::Display>(list: impl Iterator<Item = T>) -> Option<String> {
    let texts: Vec<String> = list.map(|one| one.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// Attributes without a line of their own, by code.
fn others(set: &AttrSet) -> Option<String> {
    let shown = [
        code::ORIGIN,
        code::AS_PATH,
        code::NEXT_HOP,
        code::MED,
        code::LOCAL_PREF,
        code::COMMUNITIES,
        code::EXTENDED_COMMUNITIES,
        code::LARGE_COMMUNITIES,
        code::ORIGINATOR_ID,
    ];
    let rest = set.as_ref().attrs();
    let rest = rest.filter(|attr| !shown.contains(&attr.code));
    joined(rest.map(|attr| {
        let octets: String = attr
            .value
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        format!("{}={octets}", attr.code)
    }))
}

impl Listed {
    pub(super) fn new(names: Names) -> Self {
        Listed {
            names,
            rows: Vec::new(),
            more: 0,
        }
    }

    pub(super) fn push(&mut self, row: &PlanRow) {
        if self.rows.len() >= PLAN_ROWS_MAX {
            self.more += 1;
            return;
        }
        let row = self.shown(row);
        self.rows.push(row);
    }

    /// The rows by prefix, and how many more there are.
    pub(super) fn into_rows(mut self) -> (Vec<PlannedRoute>, u64) {
        self.rows.sort_by(|a, b| {
            (&a.direction, a.network, a.path_id).cmp(&(&b.direction, b.network, b.path_id))
        });
        (self.rows, self.more)
    }

    fn shown(&self, row: &PlanRow) -> PlannedRoute {
        match row {
            PlanRow::Export {
                prefix,
                path_id,
                now,
                then,
            } => {
                let from = then
                    .as_ref()
                    .or(now.as_ref())
                    .map(|(peer, _)| self.name(*peer));
                let set =
                    |side: &Option<(PeerId, AttrSet)>| side.as_ref().map(|(_, set)| set.clone());
                let (now, then) = (set(now), set(then));
                PlannedRoute {
                    mark: mark(now.is_some(), then.is_some()),
                    direction: "advertised".to_owned(),
                    network: *prefix,
                    path_id: *path_id,
                    from,
                    why: None,
                    attributes: differences(now.as_ref(), then.as_ref()),
                }
            }
            PlanRow::Import {
                prefix,
                path_id,
                now,
                then,
                ..
            } => {
                let set = |side: &Option<Result<AttrSet, Rejection>>| {
                    side.as_ref().and_then(|it| it.as_ref().ok().cloned())
                };
                let why = |side: &Option<Result<AttrSet, Rejection>>| {
                    side.as_ref()
                        .and_then(|it| it.as_ref().err().map(ToString::to_string))
                };
                let gone = then.is_none().then(|| "the route goes".to_owned());
                let was = || Some(format!("was rejected: {}", why(now)?));
                let (before, after) = (set(now), set(then));
                PlannedRoute {
                    mark: mark(before.is_some(), after.is_some()),
                    direction: "learned".to_owned(),
                    network: *prefix,
                    path_id: *path_id,
                    from: None,
                    why: gone.or_else(|| why(then)).or_else(was),
                    attributes: differences(before.as_ref(), after.as_ref()),
                }
            }
        }
    }

    fn name(&self, peer: PeerId) -> String {
        self.names.name_of(peer)
    }
}

fn mark(now: bool, then: bool) -> char {
    match (now, then) {
        (false, true) => '+',
        (true, true) => '~',
        _ => '-',
    }
}

/// Attributes that differ.
fn differences(now: Option<&AttrSet>, then: Option<&AttrSet>) -> Vec<AttributeChange> {
    let of = |set: Option<&AttrSet>, read: fn(&AttrSet) -> Option<String>| set.and_then(read);
    let changes = ATTRIBUTES.iter().map(|(name, read)| AttributeChange {
        name: (*name).to_owned(),
        now: of(now, *read),
        then: of(then, *read),
    });
    changes.filter(|change| change.now != change.then).collect()
}
