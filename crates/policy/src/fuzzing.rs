//! Entry points for fuzz targets: ordinary functions, so that every build compiles them.

use std::net::{IpAddr, Ipv4Addr};

use thruway_wire::attrs::{AsPath, AttrSetBuf, RawAttr, code};
use thruway_wire::{Asn, Family, NextHop, Prefix, RouterId};

use crate::{
    AsPathExpression, AsPathSet, CommunityPattern, CompileOptions, Hits, Outcome, PeerFacts,
    PolicyDef, PrefixEntry, PrefixSet, RouteContext, SetDefs, SetMatch, StatementDef, Verdict,
    compile,
};

/// Octets as a source of choices; zeros when it has run dry.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.octet()))
    }

    fn prefix(&mut self) -> Prefix {
        // Few distinct bits, so that prefixes meet.
        let addr = Ipv4Addr::from_bits(self.number() & 0xe000_0007);
        Prefix::new(addr.into(), self.octet() % 33).unwrap_or(Prefix::host(addr.into()))
    }

    fn text(&mut self, alphabet: &[u8]) -> String {
        let len = usize::from(self.octet() % 24);
        let char = |choice: u8| alphabet.get(usize::from(choice) % alphabet.len());
        (0..len)
            .filter_map(|_| char(self.octet()))
            .map(|octet| char::from(*octet))
            .collect()
    }
}

/// Any octets as a policy and a route: evaluation does not panic, counts each outcome, gives the
/// same answer twice, and a prefix set says what a scan says.
pub fn fuzz_policy(data: &[u8]) {
    let mut choices = Choices(data);
    let mut entries: Vec<PrefixEntry> = Vec::new();
    for _ in 0..choices.octet() % 16 {
        let (prefix, ge, le) = (choices.prefix(), choices.octet() % 33, choices.octet() % 33);
        entries.extend(PrefixEntry::new(prefix, ge, le).ok());
    }
    let mut def = PolicyDef {
        default_accept: choices.octet() & 1 == 1,
        ..PolicyDef::default()
    };
    for _ in 0..choices.octet() % 8 {
        def.statements.push(statement(&mut choices, &entries));
    }
    let options = CompileOptions {
        version: 1,
        own_as: Asn(64500),
    };
    let Ok(compiled) = compile(&[def], &SetDefs::default(), options) else {
        return;
    };
    let prefix = choices.prefix();
    let set: PrefixSet = entries.iter().copied().collect();
    let naive = entries.iter().any(|entry| entry.matches(prefix));
    assert_eq!(set.contains(prefix), naive, "{prefix} in {entries:?}");

    let hop = NextHop::from(IpAddr::V4(Ipv4Addr::from_bits(choices.number())));
    let path = [2, 2, 0, 0, 0, choices.octet(), 0, 0, 0, 1];
    let communities: [u8; 8] = std::array::from_fn(|_| choices.octet());
    let attrs = [
        RawAttr {
            flags: 0x40,
            code: code::ORIGIN,
            value: &[0],
        },
        RawAttr {
            flags: 0x40,
            code: code::AS_PATH,
            value: &path,
        },
        RawAttr {
            flags: 0xc0,
            code: code::COMMUNITIES,
            value: &communities,
        },
    ];
    let set = AttrSetBuf::from_parts(Some(hop), attrs.into_iter());
    let peer = PeerFacts::new("p", Asn(1), Ipv4Addr::LOCALHOST.into(), RouterId(1));
    let set = set.as_ref();
    let ctx = RouteContext {
        peer: &peer,
        family: Family::Ipv4,
        prefix,
        set,
        to: None,
    };
    for policy in compiled.iter() {
        let (mut out, mut again) = (AttrSetBuf::default(), AttrSetBuf::default());
        let mut hits = Hits::new(policy);
        let outcome = policy.evaluate(&ctx, &mut out, &mut hits);
        assert_eq!(policy.evaluate(&ctx, &mut again, &mut hits), outcome);
        if outcome == Outcome::AcceptChanged {
            assert_eq!(out.as_ref().bytes, again.as_ref().bytes);
            assert_ne!(out.as_ref().bytes, set.bytes);
        }
        assert!(hits.default + hits.statements.iter().sum::<u64>() >= 2);
    }
}

fn statement(choices: &mut Choices<'_>, entries: &[PrefixEntry]) -> StatementDef {
    let mut def = StatementDef::default();
    let which = choices.octet();
    if which & 1 != 0 {
        def.matches.prefix = SetMatch {
            values: entries.to_vec(),
            sets: Vec::new(),
        };
    }
    if which & 2 != 0 {
        def.matches.community.values.extend(pattern(choices));
    }
    if which & 4 != 0 {
        def.set.local_pref = Some(choices.number());
    }
    if which & 16 != 0 {
        let low = Asn(u32::from(choices.octet()));
        def.set.as_path.replace.push(low.into());
        def.set.as_path.replace_peer = which & 32 != 0;
        def.set.as_path.replace_to = which & 2 != 0;
        def.set.as_path.keep_last = Some(choices.octet().max(1));
    }
    if which & 32 != 0 {
        def.set.as_path.remove_private = true;
    }
    if which & 8 != 0 {
        def.set.community.remove.extend(pattern(choices));
    }
    def.then = match which >> 6 {
        0 => Verdict::Accept,
        1 => Verdict::Reject,
        _ => Verdict::Continue,
    };
    def
}

fn pattern(choices: &mut Choices<'_>) -> Option<CommunityPattern> {
    let pattern: CommunityPattern = choices.text(b"0123456789:*-rtsox").parse().ok()?;
    let again = pattern.to_string().parse();
    assert_eq!(again, Ok(pattern), "{pattern}");
    Some(pattern)
}

/// Any text as an AS path expression, any octets as a path: nothing panics, nothing takes long,
/// and the answer does not depend on the company that the expression is compiled in.
pub fn fuzz_as_path_regex(data: &[u8]) {
    let mut choices = Choices(data);
    let text = choices.text(b"0123_^$ .*+?|()[]-,{}\\");
    let Ok(expression) = text.parse::<AsPathExpression>() else {
        return;
    };
    let Ok(alone) = AsPathSet::new(std::slice::from_ref(&expression)) else {
        return;
    };
    let path = AsPath::new(choices.0);
    // Nothing begins behind a digit, whatever the octets make of a path.
    let impossible: AsPathExpression = "0^0".parse().expect("a valid expression");
    if let Ok(with) = AsPathSet::new(&[impossible, expression]) {
        assert_eq!(alone.matches(path), with.matches(path), "{text} on {path}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn empty_segments_are_no_company() {
        // `0-` on a path of two segments without numbers: its text is a space.
        super::fuzz_as_path_regex(&[2, 0, 0x7f, 2, 0, 2, 0, 0, 0, 0x7e, 0, 0, 0, 0x20]);
    }

    proptest! {
        #[test]
        fn random_octets_hold_the_properties(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::fuzz_policy(&data);
            super::fuzz_as_path_regex(&data);
        }
    }
}
