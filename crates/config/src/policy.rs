//! `[policy.NAME]` with its `[[policy.NAME.statement]]`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use thruway_policy::{
    AnyCommunity, AsPathChange, AsPathExpression, AsnRange, ChangeDef, CommunityChange,
    CommunityPattern, CompileError, Item, LengthMatch, MatchDef, MedChange, NextHopChange,
    PeerMatch, PolicyDef, PrefixEntry, Prepend, PrependAs, SetDefs, SetMatch, StatementDef,
    Verdict,
};
use thruway_wire::{Family, Prefix};
use toml::Spanned;
use toml::de::DeValue;

use super::peer::tables;
use super::reader::{FromValue, Reader, Section, Spot, keys, sections_of};
use super::suggest::hint;
use super::trial::{Trial, Trials};
use super::value::{Many, PolicyDefault, ReplacedAs};

keys! {
    /// Keys of `[policy.NAME]`.
    pub(super) struct PolicyKeys {
        default: PolicyDefault = "default",
        statement: Statements = "statement",
        test: Trials = "test",
    }
}

keys! {
    /// Keys of `[[policy.NAME.statement]]`.
    pub(super) struct StatementKeys {
        name: String = "name",
        matches: MatchKeys = "match",
        set: ChangeKeys = "set",
        then: Verdict = "then",
    }
}

keys! {
    /// Keys of `match`.
    pub(super) struct MatchKeys {
        family: Family = "family",
        prefix: Many<PrefixEntry> = "prefix",
        prefix_set: Many<String> = "prefix-set",
        next_hop: Many<PrefixEntry> = "next-hop",
        next_hop_set: Many<String> = "next-hop-set",
        as_path: Many<AsPathExpression> = "as-path",
        as_path_set: Many<String> = "as-path-set",
        as_path_contains: Many<AsnRange> = "as-path-contains",
        as_path_contains_set: Many<String> = "as-path-contains-set",
        as_path_length: LengthKeys = "as-path-length",
        origin_as: Many<AsnRange> = "origin-as",
        origin_as_set: Many<String> = "origin-as-set",
        neighbor_as: Many<AsnRange> = "neighbor-as",
        neighbor_as_set: Many<String> = "neighbor-as-set",
        community: Many<CommunityPattern> = "community",
        community_all: Many<CommunityPattern> = "community-all",
        community_set: Many<String> = "community-set",
        peer: PeerMatchKeys = "peer",
        to: PeerMatchKeys = "to",
    }
}

keys! {
    /// Keys of `match.as-path-length`.
    pub(super) struct LengthKeys {
        ge: u16 = "ge",
        le: u16 = "le",
    }
}

keys! {
    /// Keys of `match.peer` and `match.to`.
    pub(super) struct PeerMatchKeys {
        name: Many<String> = "name",
        asn: Many<AsnRange> = "asn",
        address: Many<Prefix> = "address",
    }
}

keys! {
    /// Keys of `set`.
    pub(super) struct ChangeKeys {
        local_pref: u32 = "local-pref",
        med: MedChange = "med",
        as_path: AsPathKeys = "as-path",
        prepend: PrependKeys = "prepend",
        community: CommunityKeys = "community",
        next_hop: NextHopChange = "next-hop",
    }
}

keys! {
    /// Keys of `set.as-path`.
    pub(super) struct AsPathKeys {
        replace: Many<ReplacedAs> = "replace",
        remove_private: bool = "remove-private",
        keep_last: u8 = "keep-last",
    }
}

keys! {
    /// Keys of `set.prepend`.
    pub(super) struct PrependKeys {
        asn: PrependAs = "asn",
        count: u8 = "count",
    }
}

keys! {
    /// Keys of `set.community`.
    pub(super) struct CommunityKeys {
        replace: Many<AnyCommunity> = "replace",
        remove: Many<CommunityPattern> = "remove",
        remove_set: Many<String> = "remove-set",
        add: Many<AnyCommunity> = "add",
    }
}

tables!(
    MatchKeys,
    LengthKeys,
    PeerMatchKeys,
    ChangeKeys,
    AsPathKeys,
    PrependKeys,
    CommunityKeys
);

/// The statements of a policy, with their places.
#[derive(Clone, Debug)]
pub(super) struct Statements(Vec<(StatementKeys, Place)>);

/// Where a statement's keys are: `match.as-path` and the like, by line.
#[derive(Clone, Debug, Default)]
struct Place {
    line: usize,
    path: String,
    keys: BTreeMap<String, usize>,
}

impl FromValue for Statements {
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self> {
        let sections = sections_of(value, (key, "statements"), StatementKeys::KEYS, reader);
        let statements = sections.iter().map(|section| {
            let keys = StatementKeys::read(section, reader);
            (keys, Place::new(section, reader))
        });
        Some(Statements(statements.collect()))
    }
}

impl Place {
    fn new(section: &Section<'_>, reader: &Reader) -> Self {
        let mut keys = BTreeMap::new();
        for (outer, value) in section.table {
            let outer = outer.get_ref();
            keys.insert(outer.to_string(), reader.line(value.span()));
            for (inner, value) in value.get_ref().as_table().into_iter().flatten() {
                let line = reader.line(value.span());
                keys.insert(format!("{outer}.{}", inner.get_ref()), line);
            }
        }
        Place {
            line: section.line,
            path: section.path.clone(),
            keys,
        }
    }
}

/// A policy as it was written.
#[derive(Debug)]
pub(super) struct RawPolicy {
    pub(super) def: PolicyDef,
    pub(super) line: usize,
    path: String,
    places: Vec<Place>,
    pub(super) trials: Vec<Trial>,
}

/// Reads all policies of the file. Names of sets are looked up in `sets`.
pub(super) fn read(top: &Section<'_>, sets: &SetDefs, reader: &mut Reader) -> Vec<RawPolicy> {
    let Some(value) = top.value("policy") else {
        return Vec::new();
    };
    let Some(tables) = Section::new(value, "policy".into(), reader) else {
        return Vec::new();
    };
    let mut policies = Vec::new();
    for (name, section) in tables.named(reader) {
        section.check_keys(&[PolicyKeys::KEYS], reader);
        let keys = PolicyKeys::read(&section, reader);
        let statements = keys
            .statement
            .map_or_else(Vec::new, |statements| statements.value.0);
        let mut names = SetNames { sets, reader };
        let mut def = PolicyDef {
            name,
            default_accept: keys.default.is_some_and(|default| default.value.0),
            statements: Vec::new(),
        };
        let mut places = Vec::new();
        for (keys, place) in statements {
            def.statements.push(statement(keys, &place, &mut names));
            places.push(place);
        }
        policies.push(RawPolicy {
            def,
            line: section.line,
            path: section.path,
            places,
            trials: Spot::value(keys.test).map_or_else(Vec::new, |trials| trials.0),
        });
    }
    policies
}

fn statement(keys: StatementKeys, place: &Place, names: &mut SetNames<'_, '_>) -> StatementDef {
    StatementDef {
        name: Spot::value(keys.name).unwrap_or_default(),
        matches: keys
            .matches
            .map_or_else(MatchDef::default, |keys| matches(keys.value, names)),
        set: keys
            .set
            .map_or_else(ChangeDef::default, |keys| changes(keys.value, place, names)),
        then: Spot::value(keys.then).unwrap_or_default(),
    }
}

/// Looks up names of sets, and notes those that nothing has.
struct SetNames<'s, 'r> {
    sets: &'s SetDefs,
    reader: &'r mut Reader,
}

impl SetNames<'_, '_> {
    fn check<T>(
        &mut self,
        table: &str,
        names: Option<Spot<Many<String>>>,
        sets: &BTreeMap<String, Vec<T>>,
    ) -> Vec<String> {
        let names = names.map_or_else(Vec::new, |names| names.value.0);
        for spot in names.iter().filter(|spot| !sets.contains_key(&spot.value)) {
            let hint = hint(&spot.value, sets.keys().map(String::as_str));
            self.reader.error_at(
                spot,
                format!("no {table} has the name `{}`{hint}", spot.value),
            );
        }
        names.into_iter().map(|spot| spot.value).collect()
    }

    fn prefix(
        &mut self,
        values: Option<Spot<Many<PrefixEntry>>>,
        names: Option<Spot<Many<String>>>,
    ) -> SetMatch<PrefixEntry> {
        let sets = self.check("prefix-set", names, &self.sets.prefix_sets);
        SetMatch {
            values: list(values),
            sets,
        }
    }

    fn asn(
        &mut self,
        values: Option<Spot<Many<AsnRange>>>,
        names: Option<Spot<Many<String>>>,
    ) -> SetMatch<AsnRange> {
        let sets = self.check("as-set", names, &self.sets.as_sets);
        SetMatch {
            values: list(values),
            sets,
        }
    }
}

fn list<T>(values: Option<Spot<Many<T>>>) -> Vec<T> {
    values.map_or_else(Vec::new, |values| values.value.values())
}

fn matches(keys: MatchKeys, names: &mut SetNames<'_, '_>) -> MatchDef {
    let as_path_length = keys.as_path_length.and_then(|spot| {
        let (ge, le) = (Spot::value(spot.value.ge), Spot::value(spot.value.le));
        let length = LengthMatch {
            ge: ge.unwrap_or(0),
            le: le.unwrap_or(u16::MAX),
        };
        if length.ge > length.le {
            let message = format!("no length is from {} to {}", length.ge, length.le);
            names.reader.error(spot.line, &spot.key, message);
            return None;
        }
        Some(length)
    });
    let paths = names.check("as-path-set", keys.as_path_set, &names.sets.as_path_sets);
    let marks = names.check(
        "community-set",
        keys.community_set,
        &names.sets.community_sets,
    );
    MatchDef {
        family: Spot::value(keys.family),
        prefix: names.prefix(keys.prefix, keys.prefix_set),
        next_hop: names.prefix(keys.next_hop, keys.next_hop_set),
        as_path: SetMatch {
            values: list(keys.as_path),
            sets: paths,
        },
        origin_as: names.asn(keys.origin_as, keys.origin_as_set),
        neighbor_as: names.asn(keys.neighbor_as, keys.neighbor_as_set),
        as_path_contains: names.asn(keys.as_path_contains, keys.as_path_contains_set),
        as_path_length,
        community: SetMatch {
            values: list(keys.community),
            sets: marks,
        },
        community_all: list(keys.community_all),
        peer: peer(keys.peer),
        to: peer(keys.to),
    }
}

fn peer(keys: Option<Spot<PeerMatchKeys>>) -> PeerMatch {
    let Some(keys) = Spot::value(keys) else {
        return PeerMatch::default();
    };
    PeerMatch {
        name: list(keys.name),
        asn: list(keys.asn),
        address: list(keys.address),
    }
}

fn changes(keys: ChangeKeys, place: &Place, names: &mut SetNames<'_, '_>) -> ChangeDef {
    ChangeDef {
        local_pref: Spot::value(keys.local_pref),
        med: Spot::value(keys.med),
        as_path: Spot::value(keys.as_path).map_or_else(AsPathChange::default, as_path),
        prepend: keys
            .prepend
            .and_then(|spot| prepend(spot, place, names.reader)),
        community: Spot::value(keys.community)
            .map_or_else(CommunityChange::default, |keys| communities(keys, names)),
        next_hop: keys.next_hop.and_then(|spot| next_hop(&spot, names.reader)),
    }
}

fn as_path(keys: AsPathKeys) -> AsPathChange {
    let mut change = AsPathChange {
        remove_private: Spot::value(keys.remove_private).unwrap_or_default(),
        keep_last: Spot::value(keys.keep_last),
        ..AsPathChange::default()
    };
    for replaced in list(keys.replace) {
        match replaced {
            ReplacedAs::Peer => change.replace_peer = true,
            ReplacedAs::To => change.replace_to = true,
            ReplacedAs::Range(range) => change.replace.push(range),
        }
    }
    change
}

fn prepend(spot: Spot<PrependKeys>, place: &Place, reader: &mut Reader) -> Option<Prepend> {
    let Some(asn) = spot.value.asn else {
        let noted = format!("{}.asn", spot.key);
        if !reader.errors.iter().any(|problem| problem.key == noted) {
            reader.error(
                spot.line,
                &format!("{}.set.prepend.asn", place.path),
                "the key is missing",
            );
        }
        return None;
    };
    Some(Prepend {
        asn: asn.value,
        count: Spot::value(spot.value.count).unwrap_or(1),
    })
}

fn next_hop(spot: &Spot<NextHopChange>, reader: &mut Reader) -> Option<NextHopChange> {
    if let NextHopChange::Address(addr) = spot.value {
        let link_local = matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
        if addr.is_unspecified() || addr.is_multicast() || link_local {
            reader.error_at(spot, format!("{addr} is no next hop"));
            return None;
        }
    }
    Some(spot.value)
}

fn communities(keys: CommunityKeys, names: &mut SetNames<'_, '_>) -> CommunityChange {
    CommunityChange {
        replace: list(keys.replace),
        remove: list(keys.remove),
        remove_sets: names.check("community-set", keys.remove_set, &names.sets.community_sets),
        add: list(keys.add),
    }
}

/// Gives errors of compilation their lines.
pub(super) fn note_errors(
    errors: &[CompileError],
    policies: &[RawPolicy],
    top: &Section<'_>,
    reader: &mut Reader,
) {
    for error in errors {
        match &error.item {
            Item::Policy(name) => {
                let Some(policy) = policies.iter().find(|policy| policy.def.name == *name) else {
                    continue;
                };
                let (line, key) = policy.place(error.statement, error.field);
                reader.error(line, &key, &*error.message);
            }
            Item::AsPathSet(name) => {
                let tables = top.value("as-path-set");
                let set = tables.and_then(|tables| tables.get_ref().get(name.as_str()));
                let members = set.and_then(|set| set.get_ref().get(error.field)).or(set);
                let line = members.map_or(0, |members| reader.line(members.span()));
                let key = format!("as-path-set.{name}.{}", error.field);
                reader.error(line, &key, &*error.message);
            }
        }
    }
}

impl RawPolicy {
    /// Line and full key of a field.
    fn place(&self, statement: Option<usize>, field: &str) -> (usize, String) {
        let place = statement.and_then(|statement| self.places.get(statement));
        let (line, path) = match place {
            Some(place) => (
                place.keys.get(field).copied().unwrap_or(place.line),
                &place.path,
            ),
            None => (self.line, &self.path),
        };
        (
            line,
            if field.is_empty() {
                path.clone()
            } else {
                format!("{path}.{field}")
            },
        )
    }

    /// Notes statements that no route reaches.
    pub(super) fn warn_unreachable(&self, reader: &mut Reader) {
        let judges_all = |statement: &StatementDef| {
            statement.then != Verdict::Continue && statement.matches == MatchDef::default()
        };
        let Some(last) = self.def.statements.iter().position(judges_all) else {
            return;
        };
        if self.places.len() > last + 1 {
            let (line, key) = self.place(Some(last), "");
            reader.warn(
                line,
                &key,
                "it judges every route: no later statement is reached",
            );
        }
    }
}
