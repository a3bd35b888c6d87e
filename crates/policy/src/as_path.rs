//! AS path expressions, in the notation that routers have used for decades.
//!
//! An expression is searched for in the path's text (`64500 64501 {64502,64503}`). `_` stands for
//! the text's start or end or what is between two numbers: a space, a comma, a brace, a parenthesis
//! or a bracket. `^ $ . * + ? | ( ) [ ] {n,m}` mean what they mean in regular expressions; a
//! backslash makes a brace, parenthesis or bracket literal.
//!
//! Expressions become an automaton when a policy is compiled. The text is never written anywhere:
//! the path's numbers are fed to the automaton digit by digit. The five shapes that long lists
//! consist of (`^$`, `_N_`, `^N_`, `_N$`, `^N$`) become sets of numbers instead.

use std::fmt;
use std::str::FromStr;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};
use serde::{Deserialize, Serialize};
use thruway_wire::Asn;
use thruway_wire::attrs::{AsPath, SegmentType};

use crate::limits::{AUTOMATON_LEN_MAX, EXPRESSION_LEN_MAX};
use crate::range::number;
use crate::{AsSet, AsnRange};

/// What `_` becomes. Alternatives in this order need no backtracking: the automaton has none.
const BOUNDARY: &str = r"(?:^|$|[ ,{}()\[\]])";

/// A checked expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AsPathExpression(String);

impl AsPathExpression {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shape, where the expression has one of the five.
    fn shape(&self) -> Option<Shape> {
        if self.0 == "^$" {
            return Some(Shape::Empty);
        }
        let from_start = self.0.strip_prefix('^');
        let rest = from_start.or_else(|| self.0.strip_prefix('_'))?;
        let to_end = rest.strip_suffix('$');
        let asn = canonical_number(to_end.or_else(|| rest.strip_suffix('_'))?)?;
        Some(match (from_start.is_some(), to_end.is_some()) {
            (false, false) => Shape::Contains(asn),
            (true, false) => Shape::First(asn),
            (false, true) => Shape::Last(asn),
            (true, true) => Shape::Only(asn),
        })
    }
}

/// A number as a path's text has it: `007` occurs in no path.
fn canonical_number(text: &str) -> Option<Asn> {
    (text == "0" || !text.starts_with('0')).then(|| number(text).map(Asn))?
}

impl fmt::Display for AsPathExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AsPathExpression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err("an empty expression matches every path: leave it out instead".into());
        }
        if text.len() > EXPRESSION_LEN_MAX {
            return Err(format!(
                "the expression has over {EXPRESSION_LEN_MAX} characters"
            ));
        }
        let pattern = translate(text)?;
        let parsed = regex_syntax_check(&pattern);
        parsed.map_err(|why| format!("`{text}` is no AS path expression: {why}"))?;
        Ok(AsPathExpression(text.into()))
    }
}

impl From<AsPathExpression> for String {
    fn from(expression: AsPathExpression) -> Self {
        expression.0
    }
}

impl TryFrom<String> for AsPathExpression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The expression in the regular expression library's notation.
fn translate(text: &str) -> Result<String, String> {
    let mut pattern = String::with_capacity(text.len() + BOUNDARY.len());
    let mut in_class = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '_' if in_class => return Err(format!("`{text}`: `_` means nothing within [ ]")),
            '_' => pattern.push_str(BOUNDARY),
            '\\' => {
                let escaped = chars.next().filter(|char| "{}()[]".contains(*char));
                let escaped = escaped.ok_or_else(|| {
                    format!(
                        "`{text}`: a backslash stands only before a brace, parenthesis or bracket"
                    )
                })?;
                pattern.extend(['\\', escaped]);
            }
            '[' if in_class => return Err(format!("`{text}`: `[` within [ ] needs a backslash")),
            '[' => {
                in_class = true;
                pattern.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    pattern.push('^');
                }
            }
            ']' => {
                in_class = false;
                pattern.push(']');
            }
            '(' if chars.peek() == Some(&'?') => {
                return Err(format!("`{text}`: `?` has nothing before it"));
            }
            '0'..='9'
            | ' '
            | ','
            | '-'
            | '^'
            | '$'
            | '.'
            | '*'
            | '+'
            | '?'
            | '|'
            | '('
            | ')'
            | '{'
            | '}' => pattern.push(char),
            _ => return Err(format!("`{text}`: `{char}` occurs in no AS path")),
        }
    }
    Ok(pattern)
}

fn syntax_config() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// Parses without building an automaton.
fn regex_syntax_check(pattern: &str) -> Result<(), String> {
    // The library's message draws the pattern over several lines; its last one says what is wrong.
    let reason = |error: String| {
        let last = error.lines().last().unwrap_or_default();
        last.strip_prefix("error: ").unwrap_or(last).to_owned()
    };
    syntax::parse_with(pattern, &syntax_config())
        .map(|_| ())
        .map_err(|error| reason(error.to_string()))
}

/// Expressions that need no automaton.
enum Shape {
    Empty,
    Contains(Asn),
    First(Asn),
    Last(Asn),
    Only(Asn),
}

/// Compiled expressions; a path matches where one of them does.
#[derive(Clone, Debug)]
pub struct AsPathSet {
    empty: bool,
    contains: AsSet,
    first: AsSet,
    last: AsSet,
    only: AsSet,
    /// One for all expressions where that stays small, else one for each.
    automata: Vec<dense::DFA<Vec<u32>>>,
}

impl AsPathSet {
    /// Compiles expressions.
    ///
    /// # Errors
    /// The index of an expression whose automaton would exceed its bound, and the reason.
    pub fn new(expressions: &[AsPathExpression]) -> Result<Self, (usize, String)> {
        let mut empty = false;
        let [mut contains, mut first, mut last, mut only] = [const { Vec::new() }; 4];
        let mut others = Vec::new();
        for (index, expression) in expressions.iter().enumerate() {
            match expression.shape() {
                Some(Shape::Empty) => empty = true,
                Some(Shape::Contains(asn)) => contains.push(asn),
                Some(Shape::First(asn)) => first.push(asn),
                Some(Shape::Last(asn)) => last.push(asn),
                Some(Shape::Only(asn)) => only.push(asn),
                None => others.push((index, translate(&expression.0).map_err(|e| (index, e))?)),
            }
        }
        let set = |asns: Vec<Asn>| asns.into_iter().map(AsnRange::from).collect();
        Ok(AsPathSet {
            empty,
            contains: set(contains),
            first: set(first),
            last: set(last),
            only: set(only),
            automata: automata(&others)?,
        })
    }

    /// True where one of the expressions occurs in `path`.
    #[must_use]
    pub fn matches(&self, path: AsPath<'_>) -> bool {
        self.matches_numbers(path) || self.automata.iter().any(|dfa| search(dfa, path))
    }

    fn matches_numbers(&self, path: AsPath<'_>) -> bool {
        if path.is_empty() {
            return self.empty;
        }
        let holds = |set: &AsSet, asn: Option<Asn>| asn.is_some_and(|asn| set.contains(asn));
        holds(&self.first, first_asn(path))
            || holds(&self.last, last_asn(path))
            || holds(&self.only, only_asn(path))
            || !self.contains.is_empty() && path.asns().any(|asn| self.contains.contains(asn))
    }
}

/// The number that the text starts with: that of the first segment, where it is a sequence.
pub(crate) fn first_asn(path: AsPath<'_>) -> Option<Asn> {
    let (kind, mut asns) = path.segments().next()?;
    (kind == SegmentType::Sequence).then(|| asns.next())?
}

/// The number that the text ends with.
fn last_asn(path: AsPath<'_>) -> Option<Asn> {
    let (kind, mut asns) = path.segments().last()?;
    (kind == SegmentType::Sequence).then(|| asns.next_back())?
}

/// The number that is the whole text.
fn only_asn(path: AsPath<'_>) -> Option<Asn> {
    let mut segments = path.segments();
    let (kind, mut asns) = segments.next()?;
    let single = kind == SegmentType::Sequence && asns.len() == 1 && segments.next().is_none();
    single.then(|| asns.next())?
}

fn automata(patterns: &[(usize, String)]) -> Result<Vec<dense::DFA<Vec<u32>>>, (usize, String)> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<&str> = patterns
        .iter()
        .map(|(_, pattern)| pattern.as_str())
        .collect();
    if let Ok(one) = build(&all) {
        return Ok(vec![one]);
    }
    let each = patterns.iter().map(|(index, pattern)| {
        build(&[pattern]).map_err(|_| (*index, "the expression is too large to compile".into()))
    });
    each.collect()
}

fn build(patterns: &[&str]) -> Result<dense::DFA<Vec<u32>>, Box<dense::BuildError>> {
    let config = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(AUTOMATON_LEN_MAX))
        .determinize_size_limit(Some(AUTOMATON_LEN_MAX));
    let nfa = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(AUTOMATON_LEN_MAX));
    dense::Builder::new()
        .configure(config)
        .syntax(syntax_config())
        .thompson(nfa)
        .build_many(patterns)
        .map_err(Box::new)
}

/// True where the automaton finds its expression in the path's text.
fn search(dfa: &dense::DFA<Vec<u32>>, path: AsPath<'_>) -> bool {
    let config = start::Config::new().anchored(Anchored::No);
    let Ok(state) = dfa.start_state(&config) else {
        return false;
    };
    let mut run = Run {
        dfa,
        state,
        ended: dfa.is_dead_state(state),
    };
    for (index, (kind, asns)) in path.segments().enumerate() {
        if run.feed_segment(index == 0, kind, asns) {
            break;
        }
    }
    // A match is known one step late: at the end that step is the end itself.
    if run.ended {
        dfa.is_match_state(run.state)
    } else {
        run.finish()
    }
}

struct Run<'d> {
    dfa: &'d dense::DFA<Vec<u32>>,
    state: StateID,
    /// True once the state cannot change its answer any more.
    ended: bool,
}

impl Run<'_> {
    /// Writes a segment as `AsPath`'s `Display` does; true once the answer is known.
    fn feed_segment(
        &mut self,
        first: bool,
        kind: SegmentType,
        asns: impl Iterator<Item = Asn>,
    ) -> bool {
        let (open, between, close) = match kind {
            SegmentType::Sequence => (None, b' ', None),
            SegmentType::Set => (Some(b'{'), b',', Some(b'}')),
            SegmentType::ConfedSequence => (Some(b'('), b' ', Some(b')')),
            SegmentType::ConfedSet => (Some(b'['), b',', Some(b']')),
        };
        if !first {
            self.feed(b' ');
        }
        open.into_iter().for_each(|octet| self.feed(octet));
        for (index, asn) in asns.enumerate() {
            if index > 0 {
                self.feed(between);
            }
            self.feed_number(asn);
            if self.ended {
                return true;
            }
        }
        close.into_iter().for_each(|octet| self.feed(octet));
        self.ended
    }

    #[inline]
    fn feed_number(&mut self, asn: Asn) {
        let mut digits = [0; 10];
        let mut rest = asn.0;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        digits
            .iter()
            .skip(digits.len() - used)
            .for_each(|digit| self.feed(*digit));
    }

    #[inline]
    fn feed(&mut self, octet: u8) {
        if self.ended {
            return;
        }
        self.state = self.dfa.next_state(self.state, octet);
        if self.dfa.is_special_state(self.state) {
            self.ended = self.dfa.is_match_state(self.state) || self.dfa.is_dead_state(self.state);
        }
    }

    fn finish(&self) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(self.state))
    }
}

#[cfg(test)]
mod tests;
