//! The set against a scan of its entries, and the text of entries.

use proptest::prelude::*;

use super::*;

fn entry(text: &str) -> PrefixEntry {
    text.parse().unwrap()
}

fn set(entries: &[&str]) -> PrefixSet {
    entries.iter().map(|text| entry(text)).collect()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn entries_read_and_print() {
    for text in [
        "10.0.0.0/8",
        "10.0.0.0/8 le 24",
        "10.0.0.0/8 ge 9 le 32",
        "0.0.0.0/0 le 0",
        "::/0 ge 1 le 128",
    ] {
        let written = entry(text).to_string();
        assert_eq!(entry(&written), entry(text), "{text} became {written}");
    }
    assert_eq!(entry("10.0.0.0/8 ge 24"), entry("10.0.0.0/8 ge 24 le 32"));
    assert_eq!(entry("10.0.0.0/8 le 24"), entry("10.0.0.0/8 ge 8 le 24"));
    assert_eq!(
        entry("10.0.0.0/8 ge 24").to_string(),
        "10.0.0.0/8 ge 24 le 32"
    );
}

#[test]
fn bad_entries_say_why() {
    for (text, why) in [
        ("", "bad address"),
        ("10.0.0.1/8", "host bits"),
        ("10.0.0.0/8 ge 7", "below the prefix's own length"),
        ("10.0.0.0/8 le 33", "above 32"),
        ("10.0.0.0/8 ge 24 le 23", "no length"),
        ("10.0.0.0/8 ge", "needs a length"),
        ("10.0.0.0/8 ge 9 ge 9", "twice"),
        ("10.0.0.0/8 to 9", "expected `ge N`"),
    ] {
        let error = text.parse::<PrefixEntry>().unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn lengths_and_nesting() {
    let set = set(&[
        "10.0.0.0/8",
        "10.1.0.0/16 ge 24 le 24",
        "10.1.2.0/24 ge 32",
        "2001:db8::/32",
    ]);
    for (text, expected) in [
        ("10.0.0.0/8", true),
        ("10.0.0.0/9", false),
        ("10.1.0.0/16", false),
        ("10.1.7.0/24", true),
        ("10.1.2.0/24", true),
        ("10.1.2.9/32", true),
        ("10.1.3.9/32", false),
        ("11.0.0.0/8", false),
        ("2001:db8::/32", true),
        ("2001:db8::/33", false),
        ("0.0.0.0/0", false),
    ] {
        assert_eq!(set.contains(prefix(text)), expected, "{text}");
    }
}

#[test]
fn default_routes_and_edges() {
    let all = set(&["0.0.0.0/0 le 32", "::/0"]);
    assert!(all.contains(prefix("0.0.0.0/0")) && all.contains(prefix("255.255.255.255/32")));
    assert!(all.contains(prefix("::/0")) && !all.contains(prefix("::/1")));
    assert!(all.contains_addr("::1".parse().unwrap()));
    let last = set(&[
        "255.255.255.255/32",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    ]);
    assert!(last.contains(prefix("255.255.255.255/32")));
    assert!(last.contains(prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")));
    assert!(!last.contains(prefix("255.255.255.254/32")));
    let none = set(&[]);
    assert!(!none.contains(prefix("0.0.0.0/0")) && !none.contains(prefix("::/0")));
    assert!(!none.contains_addr("10.0.0.1".parse().unwrap()));
}

#[test]
fn addresses_ignore_lengths() {
    let set = set(&["10.1.0.0/16 ge 24"]);
    assert!(set.contains_addr("10.1.255.255".parse().unwrap()));
    assert!(!set.contains_addr("10.2.0.0".parse().unwrap()));
}

#[test]
fn crowded_buckets_have_an_index_of_their_own() {
    let mut entries = vec![entry("2001:db8::/32 le 40"), entry("0.0.0.0/0 ge 31 le 31")];
    for n in 0..3000u32 {
        let spread = n.wrapping_mul(2_654_435_761);
        let v6 = u128::from(spread) << 80 | 0x2001_0db8 << 96;
        entries.push(
            Prefix::new(IpAddr::V6(v6.into()), 44 + (n % 9) as u8)
                .unwrap()
                .into(),
        );
        let v4 = 10 << 24 | spread >> 20;
        entries.push(
            Prefix::new(IpAddr::V4(v4.into()), 28 + (n % 5) as u8)
                .unwrap()
                .into(),
        );
    }
    let set: PrefixSet = entries.iter().copied().collect();
    assert!(set.v4.crowded.iter().any(Option::is_some));
    assert!(set.v6.crowded.iter().any(Option::is_some));
    let near = entries.iter().step_by(7).flat_map(|entry| {
        let (addr, len) = (entry.prefix().addr(), entry.prefix().prefix_len());
        [
            Prefix::new(addr, len - 1),
            Prefix::new(addr, len),
            Prefix::new(addr, len + 1),
        ]
    });
    for query in near.flatten() {
        let naive = entries.iter().any(|entry| entry.matches(query));
        assert_eq!(set.contains(query), naive, "{query}");
    }
}

/// Few distinct addresses, so that entries nest and touch.
fn any_prefix() -> impl Strategy<Value = Prefix> {
    let v4 = (any::<u32>(), 0u8..=32, any::<bool>()).prop_map(|(bits, len, dense)| {
        let bits = if dense { bits & 0xc000_0007 } else { bits };
        Prefix::new(IpAddr::V4(bits.into()), len).unwrap()
    });
    let v6 = (any::<u128>(), 0u8..=128, any::<bool>()).prop_map(|(bits, len, dense)| {
        let bits = if dense {
            bits & (3 << 126 | 7 << 62 | 7)
        } else {
            bits
        };
        Prefix::new(IpAddr::V6(bits.into()), len).unwrap()
    });
    prop_oneof![v4, v6]
}

fn any_entry() -> impl Strategy<Value = PrefixEntry> {
    (any_prefix(), any::<u8>(), any::<u8>()).prop_map(|(prefix, a, b)| {
        let span = u16::from(max_len(prefix) - prefix.prefix_len()) + 1;
        let pick = |x: u8| prefix.prefix_len() + (u16::from(x) % span) as u8;
        PrefixEntry::new(prefix, pick(a).min(pick(b)), pick(a).max(pick(b))).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_a_scan(
        entries in prop::collection::vec(any_entry(), 0..40),
        queries in prop::collection::vec(any_prefix(), 1..40),
    ) {
        let set: PrefixSet = entries.iter().copied().collect();
        let edges = entries.iter().map(PrefixEntry::prefix);
        for query in queries.into_iter().chain(edges) {
            let naive = entries.iter().any(|entry| entry.matches(query));
            prop_assert_eq!(set.contains(query), naive, "{} in {:?}", query, entries);
            let host = Prefix::host(query.addr());
            let naive = entries.iter().any(|entry| entry.prefix().covers(host));
            prop_assert_eq!(set.contains_addr(query.addr()), naive, "{} in {:?}", host, entries);
        }
    }

    #[test]
    fn text_round_trips(entry in any_entry()) {
        prop_assert_eq!(entry.to_string().parse::<PrefixEntry>(), Ok(entry));
    }
}
