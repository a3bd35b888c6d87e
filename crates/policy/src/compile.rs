//! From definitions to policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use thruway_wire::Asn;

use crate::change::{Change, Communities};
use crate::condition::{AnyOf, Condition, Peer};
use crate::limits::{PREPEND_COUNT_MAX, STATEMENTS_MAX};
use crate::policy::Statement;
use crate::{
    AnyCommunity, AsPathChange, AsPathExpression, AsPathSet, AsSet, ChangeDef, CommunityChange,
    CommunitySet, CompileError, Item, MatchDef, NextHopChange, PeerMatch, Policy, PolicyDef,
    PrefixSet, Prepend, PrependAs, SetDefs, SetMatch, StatementDef, Verdict,
};

/// What compilation needs besides the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// The policies' version.
    pub version: u32,
    /// Our AS: what `prepend` means by `self`.
    pub own_as: Asn,
}

/// All policies of a configuration, built-in ones included.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    policies: BTreeMap<String, Arc<Policy>>,
}

impl Compiled {
    /// The policy with that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name)
    }

    /// All of them by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// Keeps the old values of policies that `unchanged` names, so that verdicts remembered for
    /// their versions stay good.
    pub fn keep(&mut self, old: &Compiled, unchanged: impl Fn(&str) -> bool) {
        for (name, policy) in &mut self.policies {
            if let Some(old) = old.get(name).filter(|_| unchanged(name)) {
                *policy = Arc::clone(old);
            }
        }
    }
}

/// Compiles definitions.
///
/// # Errors
/// Everything that is wrong, not only the first fault: names of sets that do not exist, names used
/// twice, expressions too large, counts out of bounds.
pub fn compile(
    policies: &[PolicyDef],
    sets: &SetDefs,
    options: CompileOptions,
) -> Result<Compiled, Vec<CompileError>> {
    let mut errors = Vec::new();
    let sets = Sets::compile(sets, &mut errors);
    let built_in = [Policy::accept(), Policy::reject()];
    let mut compiled = Compiled::default();
    compiled
        .policies
        .extend(built_in.map(|policy| (policy.name().to_owned(), policy)));
    for def in policies {
        let mut compiler = Compiler {
            sets: &sets,
            options,
            def,
            at: None,
            errors: &mut errors,
        };
        let policy = compiler.policy();
        if compiled
            .policies
            .insert(def.name.clone(), Arc::new(policy))
            .is_some()
        {
            let built_in = matches!(def.name.as_str(), "accept" | "reject");
            let why = if built_in {
                "the name is that of a built-in policy"
            } else {
                "defined twice"
            };
            compiler.error("", why.into());
        }
    }
    if errors.is_empty() {
        Ok(compiled)
    } else {
        Err(errors)
    }
}

/// Named sets, compiled once and shared by all statements.
#[derive(Default)]
struct Sets {
    prefixes: BTreeMap<String, Arc<PrefixSet>>,
    communities: BTreeMap<String, Arc<CommunitySet>>,
    asns: BTreeMap<String, Arc<AsSet>>,
    paths: BTreeMap<String, Arc<AsPathSet>>,
}

impl Sets {
    fn compile(defs: &SetDefs, errors: &mut Vec<CompileError>) -> Self {
        let mut paths = BTreeMap::new();
        for (name, expressions) in &defs.as_path_sets {
            match path_set(expressions) {
                Ok(set) => drop(paths.insert(name.clone(), set)),
                Err(message) => errors.push(CompileError {
                    item: Item::AsPathSet(name.clone()),
                    statement: None,
                    field: "expressions",
                    message,
                }),
            }
        }
        Sets {
            prefixes: collect(&defs.prefix_sets),
            communities: collect(&defs.community_sets),
            asns: collect(&defs.as_sets),
            paths,
        }
    }
}

fn collect<T: Copy, S: FromIterator<T>>(
    defs: &BTreeMap<String, Vec<T>>,
) -> BTreeMap<String, Arc<S>> {
    let set = |(name, members): (&String, &Vec<T>)| {
        (name.clone(), Arc::new(members.iter().copied().collect()))
    };
    defs.iter().map(set).collect()
}

fn path_set(expressions: &[AsPathExpression]) -> Result<Arc<AsPathSet>, String> {
    AsPathSet::new(expressions)
        .map(Arc::new)
        .map_err(|(index, why)| {
            let text = expressions.get(index).map_or("", AsPathExpression::as_str);
            format!("`{text}`: {why}")
        })
}

/// One policy on its way; knows where it is, for errors.
struct Compiler<'c> {
    sets: &'c Sets,
    options: CompileOptions,
    def: &'c PolicyDef,
    at: Option<usize>,
    errors: &'c mut Vec<CompileError>,
}

impl Compiler<'_> {
    fn error(&mut self, field: &'static str, message: String) {
        let item = Item::Policy(self.def.name.clone());
        self.errors.push(CompileError {
            item,
            statement: self.at,
            field,
            message,
        });
    }

    fn policy(&mut self) -> Policy {
        if self.def.statements.len() > STATEMENTS_MAX {
            self.error(
                "statement",
                format!("a policy has at most {STATEMENTS_MAX} statements"),
            );
        }
        let mut statements = Vec::with_capacity(self.def.statements.len());
        for (index, def) in self.def.statements.iter().enumerate() {
            self.at = Some(index);
            statements.push(self.statement(def));
        }
        self.at = None;
        Policy::new(
            &self.def.name,
            self.options.version,
            self.def.default_accept,
            statements,
        )
    }

    fn statement(&mut self, def: &StatementDef) -> Statement {
        if def.then == Verdict::Reject && def.set != ChangeDef::default() {
            self.error("set", "a statement that rejects changes nothing".into());
        }
        let mut conditions = self.conditions(&def.matches);
        conditions.sort_by_key(Condition::cost);
        Statement {
            name: def.name.clone(),
            conditions: conditions.into_boxed_slice(),
            changes: self.changes(&def.set).into_boxed_slice(),
            verdict: def.then,
        }
    }

    fn conditions(&mut self, def: &MatchDef) -> Vec<Condition> {
        let sets = self.sets;
        let mut conditions = Vec::new();
        conditions.extend(def.family.map(Condition::Family));
        conditions.extend(def.as_path_length.map(Condition::PathLength));
        conditions.extend(peer(&def.peer).map(Condition::Peer));
        conditions.extend(peer(&def.to).map(Condition::To));
        let prefix = self.any_of("match.prefix-set", &def.prefix, &sets.prefixes);
        conditions.extend(prefix.map(Condition::Prefix));
        let next_hop = self.any_of("match.next-hop-set", &def.next_hop, &sets.prefixes);
        conditions.extend(next_hop.map(Condition::NextHop));
        let origin = self.any_of("match.origin-as-set", &def.origin_as, &sets.asns);
        conditions.extend(origin.map(Condition::OriginAs));
        let neighbor = self.any_of("match.neighbor-as-set", &def.neighbor_as, &sets.asns);
        conditions.extend(neighbor.map(Condition::NeighborAs));
        let field = "match.as-path-contains-set";
        let contains = self.any_of(field, &def.as_path_contains, &sets.asns);
        conditions.extend(contains.map(Condition::PathContains));
        let community = self.any_of("match.community-set", &def.community, &sets.communities);
        conditions.extend(community.map(Condition::Community));
        if !def.community_all.is_empty() {
            conditions.push(Condition::CommunityAll(def.community_all.clone().into()));
        }
        conditions.extend(self.as_path(&def.as_path).map(Condition::AsPath));
        conditions
    }

    fn as_path(&mut self, def: &SetMatch<AsPathExpression>) -> Option<AnyOf<AsPathSet>> {
        let mut found = self.named("match.as-path-set", &def.sets, &self.sets.paths);
        if !def.values.is_empty() {
            match path_set(&def.values) {
                Ok(set) => found.push(set),
                Err(why) => self.error("match.as-path", why),
            }
        }
        (!def.is_empty()).then(|| found.into_boxed_slice())
    }

    /// The sets of a condition; `None` where it is not asked.
    fn any_of<T: Copy, S: FromIterator<T>>(
        &mut self,
        field: &'static str,
        def: &SetMatch<T>,
        sets: &BTreeMap<String, Arc<S>>,
    ) -> Option<AnyOf<S>> {
        let mut found = self.named(field, &def.sets, sets);
        if !def.values.is_empty() {
            found.push(Arc::new(def.values.iter().copied().collect()));
        }
        (!def.is_empty()).then(|| found.into_boxed_slice())
    }

    fn named<S>(
        &mut self,
        field: &'static str,
        names: &[String],
        sets: &BTreeMap<String, Arc<S>>,
    ) -> Vec<Arc<S>> {
        let mut found = Vec::with_capacity(names.len() + 1);
        for name in names {
            match sets.get(name) {
                Some(set) => found.push(Arc::clone(set)),
                None => self.error(field, format!("no set has the name `{name}`")),
            }
        }
        found
    }

    fn changes(&mut self, def: &ChangeDef) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(def.local_pref.map(Change::LocalPref));
        changes.extend(def.med.map(Change::Med));
        self.path_changes(&def.as_path, &mut changes);
        changes.extend(def.prepend.and_then(|prepend| self.prepend(prepend)));
        self.community_changes(&def.community, &mut changes);
        changes.extend(def.next_hop.map(|change| match change {
            NextHopChange::Own => Change::NextHopOwn,
            NextHopChange::Peer => Change::NextHopPeer,
            NextHopChange::Address(addr) => Change::NextHop(addr),
        }));
        changes
    }

    fn path_changes(&mut self, def: &AsPathChange, changes: &mut Vec<Change>) {
        if !def.replace.is_empty() || def.replace_peer || def.replace_to {
            changes.push(Change::ReplaceAs {
                asns: def.replace.iter().copied().collect(),
                peer: def.replace_peer,
                to: def.replace_to,
                own: self.options.own_as,
            });
        }
        if def.remove_private {
            changes.push(Change::RemovePrivate);
        }
        match def.keep_last {
            Some(0) => self.error("set.as-path", "`keep-last` keeps at least 1".into()),
            Some(count) => changes.push(Change::KeepLast(count)),
            None => {}
        }
    }

    fn prepend(&mut self, Prepend { asn, count }: Prepend) -> Option<Change> {
        if !(1..=PREPEND_COUNT_MAX).contains(&count) {
            let why = format!("an AS is prepended 1 to {PREPEND_COUNT_MAX} times");
            self.error("set.prepend", why);
            return None;
        }
        match asn {
            PrependAs::Own => Some(Change::Prepend(self.options.own_as, count)),
            PrependAs::Peer => Some(Change::PrependPeer(count)),
            PrependAs::Asn(Asn::ZERO) => {
                self.error(
                    "set.prepend",
                    "AS 0 must not be in a path (RFC 7607)".into(),
                );
                None
            }
            PrependAs::Asn(asn) => Some(Change::Prepend(asn, count)),
        }
    }

    fn community_changes(&mut self, def: &CommunityChange, changes: &mut Vec<Change>) {
        if !def.replace.is_empty() {
            changes.push(Change::ReplaceCommunities(by_kind(&def.replace)));
        }
        let sets = &self.sets.communities;
        let named = self.named("set.community.remove-set", &def.remove_sets, sets);
        changes.extend(named.into_iter().map(Change::RemoveCommunities));
        if !def.remove.is_empty() {
            let patterns = def.remove.iter().copied().collect();
            changes.push(Change::RemoveCommunities(Arc::new(patterns)));
        }
        if !def.add.is_empty() {
            changes.push(Change::AddCommunities(by_kind(&def.add)));
        }
    }
}

fn peer(def: &PeerMatch) -> Option<Peer> {
    (!def.is_empty()).then(|| Peer {
        names: def.name.iter().map(|name| name.as_str().into()).collect(),
        asns: def.asn.iter().copied().collect(),
        addresses: def.address.clone().into(),
    })
}

fn by_kind(values: &[AnyCommunity]) -> Communities {
    let mut kinds = Communities::default();
    for value in values {
        match *value {
            AnyCommunity::Standard(value) => kinds.standard.push(value),
            AnyCommunity::Extended(value) => kinds.extended.push(value),
            AnyCommunity::Large(value) => kinds.large.push(value),
        }
    }
    kinds
}

#[cfg(test)]
mod tests;
