//! Policies of one version of the configuration: what a version changes stands in those whose answer differs.

use std::sync::Arc;

use thruway_engine::PolicyRef;
use thruway_policy::{
    ChangeDef, CommunityChange, CompileOptions, MatchDef, MedChange, PeerMatch, Policy, PolicyDef,
    Prepend, PrependAs, SetDefs, SetMatch, StatementDef, Verdict, compile,
};
use thruway_tests::sim::rng::Rng;
use thruway_tests::sim::world::SERVER_AS;

pub(super) struct Policies {
    all: Vec<Arc<Policy>>,
}

fn values<T: std::str::FromStr>(text: &str) -> SetMatch<T>
where
    T::Err: std::fmt::Debug,
{
    SetMatch {
        values: vec![text.parse().expect("a value")],
        sets: Vec::new(),
    }
}

fn within(text: &str) -> MatchDef {
    MatchDef {
        prefix: values(text),
        ..MatchDef::default()
    }
}

/// A policy of one statement; what it leaves open is accepted.
fn policy(name: &str, matches: MatchDef, set: ChangeDef, then: Verdict) -> PolicyDef {
    PolicyDef {
        name: name.into(),
        default_accept: true,
        statements: vec![StatementDef {
            name: String::new(),
            matches,
            set,
            then,
        }],
    }
}

fn marks() -> ChangeDef {
    ChangeDef {
        med: Some(MedChange::Set(7)),
        community: CommunityChange {
            add: vec!["65000:9".parse().expect("a community")],
            ..CommunityChange::default()
        },
        ..ChangeDef::default()
    }
}

fn prepends(count: u8) -> ChangeDef {
    let asn = PrependAs::Own;
    ChangeDef {
        prepend: Some(Prepend { asn, count }),
        ..ChangeDef::default()
    }
}

fn prefers(version: u32) -> ChangeDef {
    ChangeDef {
        local_pref: Some(100 + version),
        ..ChangeDef::default()
    }
}

fn defs(version: u32) -> Vec<PolicyDef> {
    let odd = version % 2 == 1;
    let half = if odd {
        "0.0.0.0/1 le 32"
    } else {
        "0.0.0.0/2 le 32"
    };
    let tagged = MatchDef {
        community: values("16384:1"),
        ..MatchDef::default()
    };
    let to_the_first = MatchDef {
        to: PeerMatch {
            address: vec!["10.9.0.1/32".parse().expect("a prefix")],
            ..PeerMatch::default()
        },
        ..MatchDef::default()
    };
    let (all, same) = (MatchDef::default, ChangeDef::default);
    let by_turns = if odd {
        Verdict::Reject
    } else {
        Verdict::Accept
    };
    let more = 1 + u8::from(odd);
    let low = || within("0.0.0.0/1 le 32");
    vec![
        PolicyDef {
            default_accept: false,
            ..policy("narrow", within(half), same(), Verdict::Accept)
        },
        policy("without-tagged", tagged, same(), Verdict::Reject),
        policy("preferring", low(), prefers(version), Verdict::Continue),
        policy("prepending", all(), prepends(more), Verdict::Accept),
        policy("marking", all(), marks(), Verdict::Continue),
        policy("to-the-first", to_the_first, same(), by_turns),
    ]
}

impl Policies {
    pub(super) fn new(version: u32) -> Self {
        let defs = defs(version);
        let own_as = SERVER_AS;
        let options = CompileOptions { version, own_as };
        let compiled = compile(&defs, &SetDefs::default(), options).expect("they compile");
        let own = defs
            .iter()
            .filter_map(|def| compiled.get(&def.name).cloned());
        let built_in = [Policy::accept(), Policy::accept(), Policy::reject()];
        Policies {
            all: own.chain(built_in).collect(),
        }
    }

    pub(super) fn pick(&self, rng: &mut Rng) -> Option<PolicyRef> {
        if rng.one_in(8) {
            return None;
        }
        let at = rng.below(self.all.len());
        Some(PolicyRef::new(self.all[at].clone()))
    }

    /// The policy of a name, as this version has it.
    pub(super) fn newest(&self, policy: &Option<PolicyRef>) -> Option<PolicyRef> {
        let name = policy.as_ref()?.name().clone();
        let found = self.all.iter().find(|known| *known.name() == *name)?;
        Some(PolicyRef::new(found.clone()))
    }
}
