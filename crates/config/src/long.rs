//! Lists of prefixes that are too long for a TOML tree: an exchange point's file is little else, and each
//! member would take a few hundred bytes on its way there. They are cut out before the file is parsed, and
//! read from the text where somebody asks for them. [`super::load`] does the one, [`super::value`]'s readers of
//! lists the other. What is not plainly such a list stays where it is, for the parser to judge.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

use super::limits::LONG_LIST_MIN;

/// The key whose lists are cut out; everything that reads it knows of them.
const KEY: &str = "prefixes";

/// The lists that were cut out of a text. A place is an octet of what was left, or lies behind it and is
/// one of the whole text: so members have places as everything else has.
#[derive(Debug)]
pub(super) struct LongLists {
    text: String,
    /// Octets of what was left.
    rest_len: usize,
    /// What was left: where each piece of it starts, and where it was.
    pieces: Vec<(usize, usize)>,
    lists: BTreeMap<usize, List>,
}

/// A list in the text; by where it starts, with its opening bracket.
#[derive(Debug)]
struct List {
    start: usize,
    /// Before its closing bracket.
    end: usize,
    members: usize,
    /// The parser's to judge, with their ends of lines.
    comments: Vec<Range<usize>>,
}

impl LongLists {
    /// A text without its long lists; `None` where it has none.
    pub(super) fn cut(text: &str) -> Option<(String, LongLists)> {
        let lists = find(text);
        if lists.is_empty() {
            return None;
        }
        let mut rest = String::new();
        let mut pieces = Vec::new();
        let mut from = 0;
        for list in &lists {
            pieces.push((rest.len(), from));
            rest.push_str(&text[from..=list.start]);
            for comment in &list.comments {
                rest.push_str(&text[comment.clone()]);
            }
            from = list.end;
        }
        pieces.push((rest.len(), from));
        rest.push_str(&text[from..]);
        let lists = LongLists {
            text: text.to_owned(),
            rest_len: rest.len(),
            pieces,
            lists: lists.into_iter().map(|list| (list.start, list)).collect(),
        };
        Some((rest, lists))
    }

    /// Where a place is in the whole text. What is in a list and was left is where its piece ended.
    pub(super) fn octet(&self, place: usize) -> usize {
        if let Some(octet) = place.checked_sub(self.rest_len) {
            return octet;
        }
        let next = self.pieces.partition_point(|(rest, _)| *rest <= place);
        let piece = next.checked_sub(1).and_then(|at| self.pieces.get(at));
        piece.map_or(place, |(rest, text)| place - rest + text)
    }

    /// The members of the list that starts at a place, how many and with their places.
    pub(super) fn members(
        &self,
        start: usize,
    ) -> Option<(usize, impl Iterator<Item = (Range<usize>, &str)>)> {
        let start = self.octet(start);
        let list = self.lists.get(&start)?;
        let inside = self.text.get(start + 1..list.end)?;
        let first = self.rest_len + start + 1;
        let strings = Source::new(inside).lex().filter(is_string);
        let members = strings.filter_map(move |token| {
            let span = token.span();
            let member = inside.get(span.start() + 1..span.end() - 1)?;
            Some((first + span.start()..first + span.end(), member))
        });
        Some((list.members, members))
    }
}

fn is_string(token: &Token) -> bool {
    matches!(
        token.kind(),
        TokenKind::BasicString | TokenKind::LiteralString
    )
}

/// Where a file's long lists are.
fn find(text: &str) -> Vec<List> {
    let mut lists = Vec::new();
    let mut tokens = Source::new(text).lex();
    // The last two tokens that mean something: `prefixes` and `=` before a list that counts.
    let mut before = [None; 2];
    while let Some(token) = tokens.next() {
        match token.kind() {
            TokenKind::Whitespace => continue,
            TokenKind::LeftSquareBracket if is_key(&before, text) => {
                let start = token.span().start();
                lists.extend(rest_of(start, &mut tokens, text));
                before = [None; 2];
                continue;
            }
            _ => {}
        }
        before = [before[1], Some(token)];
    }
    lists
}

fn is_key(before: &[Option<Token>; 2], text: &str) -> bool {
    let [Some(key), Some(equals)] = before else {
        return false;
    };
    let span = key.span();
    equals.kind() == TokenKind::Equals
        && key.kind() == TokenKind::Atom
        && &text[span.start()..span.end()] == KEY
}

/// A list that has begun, if it is long and of nothing but plain strings.
fn rest_of(start: usize, tokens: &mut impl Iterator<Item = Token>, text: &str) -> Option<List> {
    let mut members = 0usize;
    let mut after_member = false;
    let mut comments: Vec<Range<usize>> = Vec::new();
    for token in tokens {
        let span = token.span();
        match token.kind() {
            TokenKind::Comment => comments.push(span.start()..span.end()),
            TokenKind::Newline => {
                if let Some(last) = comments.last_mut().filter(|it| it.end == span.start()) {
                    last.end = span.end();
                }
            }
            TokenKind::Whitespace => {}
            TokenKind::RightSquareBracket => {
                let end = span.start();
                let list = List {
                    start,
                    end,
                    members,
                    comments,
                };
                return (members >= LONG_LIST_MIN).then_some(list);
            }
            TokenKind::Comma if after_member => after_member = false,
            _ if is_string(&token) && !after_member => {
                if !is_plain(&text.as_bytes()[span.start()..span.end()]) {
                    return None;
                }
                members += 1;
                after_member = true;
            }
            _ => return None,
        }
    }
    None
}

/// A string in one pair of quotes that stands for itself.
fn is_plain(token: &[u8]) -> bool {
    let [first, inside @ .., last] = token else {
        return false;
    };
    first == last
        && inside
            .iter()
            .all(|octet| matches!(octet, b' '..=b'~') && *octet != b'\\' && octet != first)
}

#[cfg(test)]
mod tests {
    use thruway_wire::Prefix;

    use super::*;

    fn list(members: usize) -> String {
        let member = |number: usize| format!("\"10.{}.{}.0/24\"", number / 256, number % 256);
        let members: Vec<_> = (0..members).map(member).collect();
        members.join(",\n  ")
    }

    #[test]
    fn a_long_list_is_cut_out_and_found_by_where_it_was() {
        let before = "# é\n[prefix-set.a]\nprefixes = ";
        let text = format!("{before}[ {}, # the last, \"x\"\n]\nb = 1\n", list(300));
        let (rest, lists) = LongLists::cut(&text).unwrap();
        assert!(rest.len() < 100, "{rest}");
        let table: toml::Table = toml::from_str(&rest).unwrap();
        let left = table["prefix-set"]["a"]["prefixes"].as_array().unwrap();
        assert!(left.is_empty() && rest.contains("# the last, \"x\"\n"));
        let place_of = |part: &str| lists.octet(rest.find(part).unwrap());
        for part in ["prefixes", "[", "]\nb", "b = 1"] {
            assert_eq!(place_of(part), text.find(part).unwrap(), "{part}");
        }
        let (count, members) = lists.members(before.len()).unwrap();
        let members: Vec<_> = members.collect();
        assert_eq!((count, members.len()), (300, 300));
        assert!(members.iter().all(|(at, member)| {
            let whole = lists.octet(at.start)..lists.octet(at.end);
            text[whole] == format!("\"{member}\"") && member.parse::<Prefix>().is_ok()
        }));
        assert!(lists.members(before.len() + 1).is_none());
    }

    #[test]
    fn what_is_not_plainly_a_long_list_stays() {
        let long = list(300);
        for text in [
            format!("prefixes = [{}]", list(LONG_LIST_MIN - 1)),
            format!("others = [{long}]"),
            format!("prefixes = [{long}"),
            format!("prefixes = [{long} \"10.0.0.0/8\"]"),
            format!("prefixes = [{long},, \"10.0.0.0/8\"]"),
            format!("prefixes = [{long}, 1]"),
            format!("prefixes = [{long}, \"\\u0031\"]"),
            format!("prefixes = [{long}, \"é\"]"),
            format!("prefixes = [{long}, \"10.0.0.0/8]"),
            format!("prefixes = [{long}, \"\"\"10.0.0.0/8\"\"\"]"),
            format!("prefixes = [[{long}]]"),
            format!("text = \"\"\"\nprefixes = [{long}]\"\"\""),
            format!("# prefixes = [{long}]").replace('\n', ""),
        ] {
            assert!(LongLists::cut(&text).is_none(), "{text:.80}");
        }
    }
}
