//! `[[policy.NAME.test]]`: a route as it comes, and what the policy must say of it. They run whenever the file is
//! read: one that fails is a fault of the file, and no server takes it.

use std::net::{IpAddr, Ipv4Addr};

use thruway_policy::{
    AnyCommunity, Compiled, Hits, Outcome, PeerFacts, Policy, RouteContext, Verdict,
};
use thruway_session::RemoteAs;
use thruway_wire::attrs::{AttrSetBuf, AttrSetRef};
use thruway_wire::{Asn, NextHop, Prefix, RouterId};
use toml::Spanned;
use toml::de::DeValue;

use super::peer::tables;
use super::policy::RawPolicy;
use super::reader::{FromValue, Reader, Section, Spot, keys, sections_of};
use super::suggest::hint;
use super::value::Many;
use super::{Peer, Target};

keys! {
    /// Keys of `[[policy.NAME.test]]`.
    pub(super) struct TrialKeys {
        name: String = "name",
        from: String = "from",
        to: String = "to",
        route: RouteKeys = "route",
        then: Verdict = "then",
        by: String = "by",
        becomes: BecomesKeys = "becomes",
    }
}

keys! {
    /// Keys of `route`.
    pub(super) struct RouteKeys {
        prefix: Prefix = "prefix",
        as_path: Path = "as-path",
        next_hop: IpAddr = "next-hop",
        med: u32 = "med",
        local_pref: u32 = "local-pref",
        community: Many<AnyCommunity> = "community",
    }
}

keys! {
    /// Keys of `becomes`.
    pub(super) struct BecomesKeys {
        as_path: Path = "as-path",
        next_hop: IpAddr = "next-hop",
        med: u32 = "med",
        local_pref: u32 = "local-pref",
        community: Communities = "community",
    }
}

tables!(RouteKeys, BecomesKeys);

/// A path of one sequence, which may be empty.
#[derive(Clone, Debug)]
pub(super) struct Path(Vec<Asn>);

impl FromValue for Path {
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self> {
        all(value, key, reader).map(Path)
    }
}

/// All communities that there must be, which may be none.
#[derive(Clone, Debug)]
pub(super) struct Communities(Vec<AnyCommunity>);

impl FromValue for Communities {
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self> {
        all(value, key, reader).map(Communities)
    }
}

/// A list that may be empty, or one value.
fn all<T: FromValue>(
    value: &Spanned<DeValue<'_>>,
    key: &str,
    reader: &mut Reader,
) -> Option<Vec<T>> {
    match value.get_ref().as_array() {
        None => Some(vec![T::from_value(value, key, reader)?]),
        Some(list) => list
            .iter()
            .map(|value| T::from_value(value, key, reader))
            .collect(),
    }
}

/// The tests of a policy, with their places.
#[derive(Clone, Debug)]
pub(super) struct Trials(pub(super) Vec<Trial>);

/// A test as it was written.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    keys: TrialKeys,
    line: usize,
    path: String,
}

impl FromValue for Trials {
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self> {
        let sections = sections_of(value, (key, "tests"), TrialKeys::KEYS, reader);
        let trials = sections.into_iter().map(|section| Trial {
            keys: TrialKeys::read(&section, reader),
            line: section.line,
            path: section.path,
        });
        Some(Trials(trials.collect()))
    }
}

/// Runs every test of every policy; those that fail are noted.
pub(super) fn run(
    policies: &[RawPolicy],
    compiled: &Compiled,
    peers: &[&Peer],
    reader: &mut Reader,
) {
    for raw in policies {
        let Some(policy) = compiled.get(&raw.def.name) else {
            continue;
        };
        for trial in &raw.trials {
            trial.run((raw, policy), peers, reader);
        }
    }
}

impl Trial {
    fn run(&self, (raw, policy): (&RawPolicy, &Policy), peers: &[&Peer], reader: &mut Reader) {
        let before = reader.errors.len();
        let from = self.peer(self.keys.from.as_ref(), peers, reader);
        let to = self.peer(self.keys.to.as_ref(), peers, reader);
        let route = self.keys.route.as_ref().map(|spot| &spot.value);
        let prefix = route.and_then(|route| Spot::value(route.prefix.clone()));
        let Some((route, prefix)) = route.zip(prefix) else {
            if reader.errors.len() == before {
                self.note("", "it needs `route.prefix`", reader);
            }
            return;
        };
        if reader.errors.len() > before {
            return;
        }
        let set = route.set();
        let somebody = PeerFacts::new("", Asn::ZERO, Ipv4Addr::UNSPECIFIED.into(), RouterId(0));
        let ctx = RouteContext {
            peer: from.as_ref().unwrap_or(&somebody),
            family: prefix.family(),
            prefix,
            set: set.as_ref(),
            to: to.as_ref(),
        };
        let (mut out, mut hits) = (AttrSetBuf::new(), Hits::new(policy));
        let outcome = policy.evaluate(&ctx, &mut out, &mut hits);
        let decided = decided(&hits);
        let by = By {
            label: policy.statement_label(decided),
            number: decided,
            name: raw
                .def
                .statements
                .get(usize::from(decided))
                .map(|it| &*it.name),
        };
        let after = match outcome {
            Outcome::AcceptChanged => out.as_ref(),
            _ => set.as_ref(),
        };
        self.judge(outcome, &by, after, reader);
    }

    /// What is known of a peer of the file.
    fn peer(
        &self,
        name: Option<&Spot<String>>,
        peers: &[&Peer],
        reader: &mut Reader,
    ) -> Option<PeerFacts> {
        let name = name?;
        let names = || peers.iter().map(|peer| peer.name.as_str());
        let Some(peer) = peers.iter().find(|peer| peer.name == name.value) else {
            let hint = hint(&name.value, names());
            reader.error_at(name, format!("no peer has the name `{}`{hint}", name.value));
            return None;
        };
        let addr = match peer.target {
            Target::Address(addr) => addr.ip(),
            Target::Range { prefix, .. } => prefix.addr(),
        };
        let asn = match peer.asn {
            RemoteAs::One(asn) => asn,
            _ => Asn::ZERO,
        };
        Some(PeerFacts::new(&peer.name, asn, addr, RouterId(0)))
    }

    fn judge(
        &self,
        outcome: Outcome,
        decided: &By<'_>,
        after: AttrSetRef<'_>,
        reader: &mut Reader,
    ) {
        let by = &decided.label;
        let accepted = !matches!(outcome, Outcome::Reject { .. });
        let does = if accepted { "accepts" } else { "rejects" };
        match self.keys.then.as_ref().map(|spot| spot.value) {
            Some(Verdict::Continue) => {
                return self.note("then", "a test ends with `accept` or `reject`", reader);
            }
            Some(Verdict::Reject) if accepted => {
                return self.note("then", &format!("not rejected: {by} {does} it"), reader);
            }
            Some(Verdict::Accept) if !accepted => {
                return self.note("then", &format!("not accepted: {by} {does} it"), reader);
            }
            _ => {}
        }
        if let Some(wanted) = &self.keys.by
            && !decided.is(&wanted.value)
        {
            let message = format!("not by `{}`: {by} {does} it", wanted.value);
            self.note("by", &message, reader);
        }
        let Some(becomes) = &self.keys.becomes else {
            return;
        };
        if !accepted {
            return self.note(
                "becomes",
                &format!("it becomes nothing: {by} {does} it"),
                reader,
            );
        }
        for (key, is, wanted) in becomes.value.compared(after) {
            if is != wanted {
                let message = format!("expected `{wanted}`, is `{is}` (decided by {by})");
                self.note(&format!("becomes.{key}"), &message, reader);
            }
        }
    }

    fn note(&self, key: &str, message: &str, reader: &mut Reader) {
        let line = match key.split('.').next().unwrap_or_default() {
            "then" => self.keys.then.as_ref().map(|spot| spot.line),
            "by" => self.keys.by.as_ref().map(|spot| spot.line),
            "becomes" => self.keys.becomes.as_ref().map(|spot| spot.line),
            _ => None,
        };
        let name = self.keys.name.as_ref();
        let name = name.map_or_else(String::new, |name| format!("{}: ", name.value));
        let place = match key {
            "" => self.path.clone(),
            key => format!("{}.{key}", self.path),
        };
        reader.error(
            line.unwrap_or(self.line),
            &place,
            format!("{name}{message}"),
        );
    }
}

/// The statement that decided: the last one that was asked and held.
fn decided(hits: &Hits) -> u16 {
    if hits.default > 0 {
        return Outcome::DEFAULT;
    }
    let last = hits.statements.iter().rposition(|count| *count > 0);
    last.and_then(|last| u16::try_from(last).ok())
        .unwrap_or(Outcome::DEFAULT)
}

/// The statement that decided.
struct By<'a> {
    label: String,
    /// From 0, or [`Outcome::DEFAULT`].
    number: u16,
    /// `None` at the policy's end.
    name: Option<&'a str>,
}

impl By<'_> {
    /// True for its number from 1, its name, and `default` at the policy's end.
    fn is(&self, wanted: &str) -> bool {
        match self.name {
            None => wanted == "default",
            Some(name) => {
                let number = u32::from(self.number) + 1;
                !name.is_empty() && wanted == name || wanted == number.to_string()
            }
        }
    }
}

impl RouteKeys {
    fn set(&self) -> AttrSetBuf {
        let mut set = AttrSetBuf::new();
        set.set_origin(0);
        let path = self.as_path.iter().flat_map(|path| &path.value.0);
        for asn in path.rev() {
            set.prepend(*asn, 1);
        }
        let spot = self.next_hop.as_ref();
        set.set_next_hop(spot.map(|hop| NextHop::from(hop.value)));
        set.set_med(self.med.as_ref().map(|spot| spot.value));
        set.set_local_pref(self.local_pref.as_ref().map(|spot| spot.value));
        let communities = self.community.iter().flat_map(|spot| &spot.value.0);
        for community in communities {
            match community.value {
                AnyCommunity::Standard(value) => set.add_community(value),
                AnyCommunity::Extended(value) => set.add_community(value),
                AnyCommunity::Large(value) => set.add_community(value),
            }
        }
        set
    }
}

impl BecomesKeys {
    /// Each key that is asked for: what it is, and what it should be.
    fn compared(&self, set: AttrSetRef<'_>) -> Vec<(&'static str, String, String)> {
        let mut all = Vec::new();
        if let Some(path) = &self.as_path {
            let wanted: Vec<String> = path.value.0.iter().map(|asn| asn.0.to_string()).collect();
            all.push(("as-path", set.as_path().to_string(), wanted.join(" ")));
        }
        let none = || "none".to_owned();
        let number = |value: Option<u32>| value.map_or_else(none, |value| value.to_string());
        if let Some(hop) = &self.next_hop {
            let is = set.next_hop().map_or_else(none, |hop| hop.to_string());
            all.push(("next-hop", is, hop.value.to_string()));
        }
        if let Some(med) = &self.med {
            all.push(("med", number(set.med()), med.value.to_string()));
        }
        if let Some(pref) = &self.local_pref {
            all.push((
                "local-pref",
                number(set.local_pref()),
                pref.value.to_string(),
            ));
        }
        if let Some(communities) = &self.community {
            let text = |mut list: Vec<String>| {
                list.sort();
                list.dedup();
                list.join(" ")
            };
            let standard = set.communities().map(AnyCommunity::Standard);
            let extended = set.extended_communities().map(AnyCommunity::Extended);
            let large = set.large_communities().map(AnyCommunity::Large);
            let is = standard.chain(extended).chain(large);
            let is = is.map(|value| value.to_string()).collect();
            let wanted = communities.value.0.iter().map(ToString::to_string);
            all.push(("community", text(is), text(wanted.collect())));
        }
        all
    }
}
