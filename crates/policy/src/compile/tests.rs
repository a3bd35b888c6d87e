//! Definitions that do not compile, and what a reload keeps.

use super::*;
use crate::{MedChange, PolicyDef};

const OPTIONS: CompileOptions = CompileOptions {
    version: 1,
    own_as: Asn(64500),
};

fn with(name: &str, statement: StatementDef) -> PolicyDef {
    PolicyDef {
        name: name.into(),
        default_accept: false,
        statements: vec![statement],
    }
}

fn errors(policies: &[PolicyDef]) -> Vec<String> {
    let errors = compile(policies, &SetDefs::default(), OPTIONS).unwrap_err();
    errors.iter().map(CompileError::to_string).collect()
}

fn named<T>(name: &str) -> SetMatch<T> {
    SetMatch {
        values: vec![],
        sets: vec![name.into()],
    }
}

#[test]
fn all_faults_are_named_at_once() {
    let unknown = MatchDef {
        prefix: named("a"),
        community: named("b"),
        as_path: named("c"),
        next_hop: named("d"),
        ..MatchDef::default()
    };
    let unknown = StatementDef {
        matches: unknown,
        ..StatementDef::default()
    };
    assert_eq!(
        errors(&[with("p", unknown), with("q", StatementDef::default())]),
        [
            "policy.p statement 1 match.prefix-set: no set has the name `a`",
            "policy.p statement 1 match.next-hop-set: no set has the name `d`",
            "policy.p statement 1 match.community-set: no set has the name `b`",
            "policy.p statement 1 match.as-path-set: no set has the name `c`",
        ]
    );
}

#[test]
fn counts_and_verdicts_are_checked() {
    let prepend = |asn, count| StatementDef {
        set: ChangeDef {
            prepend: Some(Prepend { asn, count }),
            ..ChangeDef::default()
        },
        ..StatementDef::default()
    };
    let rejecting = StatementDef {
        set: ChangeDef {
            med: Some(MedChange::Remove),
            ..ChangeDef::default()
        },
        then: Verdict::Reject,
        ..StatementDef::default()
    };
    let policies = [
        with("a", prepend(PrependAs::Own, 0)),
        with("b", prepend(PrependAs::Own, PREPEND_COUNT_MAX + 1)),
        with("c", prepend(PrependAs::Asn(Asn::ZERO), 1)),
        with("d", rejecting),
    ];
    assert_eq!(
        errors(&policies),
        [
            "policy.a statement 1 set.prepend: an AS is prepended 1 to 63 times",
            "policy.b statement 1 set.prepend: an AS is prepended 1 to 63 times",
            "policy.c statement 1 set.prepend: AS 0 must not be in a path (RFC 7607)",
            "policy.d statement 1 set: a statement that rejects changes nothing",
        ]
    );
}

#[test]
fn names_are_unique() {
    let policies = [
        with("accept", StatementDef::default()),
        with("p", StatementDef::default()),
        with("p", StatementDef::default()),
    ];
    assert_eq!(
        errors(&policies),
        [
            "policy.accept: the name is that of a built-in policy",
            "policy.p: defined twice",
        ]
    );
}

#[test]
fn an_expression_that_explodes_is_named() {
    let mut sets = SetDefs::default();
    let giant = "1.{20}(2.{20}){20}".parse().unwrap();
    sets.as_path_sets.insert("s".into(), vec![giant]);
    let errors = compile(&[], &sets, OPTIONS).unwrap_err();
    assert_eq!(errors.len(), 1);
    let text = errors.first().unwrap().to_string();
    assert!(
        text.starts_with("as-path-set.s expressions: `1.{20}(2"),
        "{text}"
    );
}

#[test]
fn unchanged_policies_keep_their_value() {
    let defs = [
        with("p", StatementDef::default()),
        with("q", StatementDef::default()),
    ];
    let old = compile(&defs, &SetDefs::default(), OPTIONS).unwrap();
    let mut new = compile(
        &defs,
        &SetDefs::default(),
        CompileOptions {
            version: 2,
            ..OPTIONS
        },
    )
    .unwrap();
    new.keep(&old, |name| name == "p");
    assert_eq!(new.get("p").unwrap().version(), 1);
    assert_eq!(new.get("q").unwrap().version(), 2);
    assert_eq!(new.iter().count(), 4);
}
