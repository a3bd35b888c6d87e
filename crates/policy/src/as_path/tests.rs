//! Expressions against paths, by table and against the text that `Display` writes.

use proptest::prelude::*;

use super::*;

/// A path's octets from its text: `1 2 {3,4} (5) [6,7]`.
fn octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut sequence = Vec::new();
    let flush = |sequence: &mut Vec<u32>, octets: &mut Vec<u8>| segment(octets, 2, sequence);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (kind, close) = match rest.as_bytes()[0] {
            b'{' => (1, '}'),
            b'(' => (3, ')'),
            b'[' => (4, ']'),
            _ => {
                let end = rest.find(' ').unwrap_or(rest.len());
                sequence.push(rest[..end].parse().unwrap());
                rest = rest[end..].trim_start();
                continue;
            }
        };
        flush(&mut sequence, &mut octets);
        let end = rest.find(close).unwrap();
        let mut inner = rest[1..end]
            .split([',', ' '])
            .map(|asn| asn.parse().unwrap())
            .collect();
        segment(&mut octets, kind, &mut inner);
        rest = rest[end + 1..].trim_start();
    }
    flush(&mut sequence, &mut octets);
    octets
}

fn segment(octets: &mut Vec<u8>, kind: u8, asns: &mut Vec<u32>) {
    if !asns.is_empty() {
        octets.extend([kind, asns.len() as u8]);
        asns.drain(..)
            .for_each(|asn| octets.extend(asn.to_be_bytes()));
    }
}

fn matches(expression: &str, path: &str) -> bool {
    let octets = octets(path);
    let view = AsPath::new(&octets);
    assert_eq!(view.to_string(), path);
    AsPathSet::new(&[expression.parse().unwrap()])
        .unwrap()
        .matches(view)
}

#[test]
fn the_fields_notation() {
    for (expression, path, expected) in [
        ("^$", "", true),
        ("^$", "1", false),
        ("^65001_", "65001 2 3", true),
        ("^65001_", "65001", true),
        ("^65001_", "650011 2", false),
        ("^65001_", "1 65001", false),
        ("^1_", "{1,2} 3", false),
        ("^1_", "(1 2) 3", false),
        ("_2_", "1 2 3", true),
        ("_2_", "1 {2,5}", true),
        ("_2_", "1 22 3", false),
        ("_3$", "1 2 3", true),
        ("_3$", "1 2 {3}", false),
        ("^1$", "1", true),
        ("^1$", "1 1", false),
        ("_1_2_", "5 1 2 6", true),
        ("_1_2_", "1 2", true),
        ("_1_2_", "1 3 2", false),
        ("^(65001_)+$", "65001 65001 65001", true),
        ("^(65001_)+$", "65001 65002", false),
        ("^[0-9]+$", "7", true),
        ("^[0-9]+$", "7 8", false),
        ("^[0-9]+_[0-9]+$", "7 8", true),
        ("_(64512|64513)_", "1 64513 2", true),
        ("_6451[2-9]_", "1 64511 2", false),
        (r"\{", "1 {2,3}", true),
        (r"_\(5", "(5 6) 1", true),
        (".*", "", true),
        ("1", "21", true),
        ("^.{3}$", "1 2", true),
        ("[^0-9]", "12", false),
        ("_007_", "7", false),
        ("_4294967295_", "4294967295", true),
    ] {
        assert_eq!(
            matches(expression, path),
            expected,
            "{expression} on `{path}`"
        );
    }
}

#[test]
fn many_expressions_are_one_set() {
    let expressions = ["_1$", "^2_", "_3_", "^4$", "^5 6$", "^$"];
    let expressions: Vec<AsPathExpression> = expressions
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let set = AsPathSet::new(&expressions).unwrap();
    assert_eq!(set.automata.len(), 1);
    for (path, expected) in [
        ("9 1", true),
        ("2 9", true),
        ("9 {3,8}", true),
        ("4", true),
        ("5 6", true),
        ("", true),
        ("4 9", false),
        ("1 5 6", false),
    ] {
        assert_eq!(
            set.matches(AsPath::new(&octets(path))),
            expected,
            "`{path}`"
        );
    }
}

#[test]
fn bad_expressions_say_why() {
    for (text, why) in [
        ("", "empty expression"),
        ("AS65001", "`A` occurs in no AS path"),
        ("[_]", "means nothing within"),
        (r"\d", "a backslash stands only before"),
        ("(1", "unclosed group"),
        ("[1", "unclosed character class"),
        ("*1", "repetition operator missing expression"),
        ("(?1)", "nothing before it"),
        ("[1[2]", "needs a backslash"),
    ] {
        let error = text.parse::<AsPathExpression>().unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(
        "1".repeat(EXPRESSION_LEN_MAX + 1)
            .parse::<AsPathExpression>()
            .is_err()
    );
}

#[test]
fn a_giant_automaton_is_refused() {
    let expressions = [
        "^1 2$".parse().unwrap(),
        "1.{20}(2.{20}){20}".parse().unwrap(),
    ];
    let (index, why) = AsPathSet::new(&expressions).unwrap_err();
    assert_eq!(index, 1);
    assert!(why.contains("too large"), "{why}");
}

fn any_path() -> impl Strategy<Value = String> {
    let asns = || prop::collection::vec(prop_oneof![1u32..4, 10u32..12, any::<u32>()], 1..4);
    let join = |asns: Vec<u32>, between: &str| {
        asns.iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(between)
    };
    let part = (0..4, asns()).prop_map(move |(kind, asns)| match kind {
        0 => format!("{{{}}}", join(asns, ",")),
        1 => format!("({})", join(asns, " ")),
        2 => format!("[{}]", join(asns, ",")),
        _ => join(asns, " "),
    });
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.join(" "))
}

proptest! {
    #[test]
    fn automaton_and_shapes_agree_with_a_search_in_the_text(
        path in any_path(),
        expression in r"[\^_]?(1|2|3|10|11)([ _](1|2|3|10|11))?[_$]?",
    ) {
        let octets = octets(&path);
        let view = AsPath::new(&octets);
        prop_assert_eq!(view.to_string(), path.clone());
        let expression: AsPathExpression = expression.parse().unwrap();
        let pattern = translate(expression.as_str()).unwrap();
        let regex = regex_automata::meta::Regex::new(&pattern).unwrap();
        let expected = regex.is_match(path.as_str());
        let set = AsPathSet::new(std::slice::from_ref(&expression)).unwrap();
        prop_assert_eq!(set.matches(view), expected, "{} on `{}`", expression, path);
        let dfa = build(&[&pattern]).unwrap();
        prop_assert_eq!(search(&dfa, view), expected, "{} on `{}`", expression, path);
    }
}
