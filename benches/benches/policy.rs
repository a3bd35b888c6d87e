//! Policy: look-ups in large sets, AS path expressions, whole evaluations, and loading.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use thruway_policy::{
    AsPathSet, AsSet, AsnRange, CommunityPattern, CommunitySet, CompileOptions, Hits, PeerFacts,
    Policy, PolicyDef, PrefixEntry, PrefixSet, RouteContext, SetDefs, compile,
};
use thruway_wire::attrs::{AsPath, AttrSetBuf, RawAttr, code};
use thruway_wire::{Asn, Community, Family, NextHop, Prefix, RouterId};

const ENTRIES: usize = 100_000;
const QUERIES: usize = 4096;

/// A linear congruential generator: the same sets in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    /// Lengths as in the Internet's table: mostly /24 and /48, the rest a few bits shorter.
    fn v4(&mut self) -> Prefix {
        let len = [24, 24, 24, 24, 24, 23, 22, 22, 20, 16][(self.next() % 10) as usize];
        let addr = (self.next() as u32 % 0xe000_0000).max(0x0100_0000);
        Prefix::new(IpAddr::V4(Ipv4Addr::from_bits(addr)), len).expect("a length below 33")
    }

    fn v6(&mut self) -> Prefix {
        let len = [48, 48, 48, 48, 40, 44, 36, 32, 32, 29][(self.next() % 10) as usize];
        let region = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2a10][(self.next() % 6) as usize];
        let top = region << 48 | (self.next() & 0xfff) << 36 | self.next() & 0xf_ffff_ffff;
        let addr = Ipv6Addr::from_bits(u128::from(top) << 64);
        Prefix::new(IpAddr::V6(addr), len).expect("a length below 129")
    }
}

/// Half of the entries take longer prefixes, too.
/// Draws a prefix of one family.
type Draw = fn(&mut Numbers) -> Prefix;

fn entries(make: fn(&mut Numbers) -> Prefix) -> Vec<PrefixEntry> {
    let mut numbers = Numbers(1);
    let entry = |_| {
        let prefix = make(&mut numbers);
        let len = prefix.prefix_len();
        let le = if numbers.next() & 1 == 0 {
            len
        } else {
            len + 4
        };
        PrefixEntry::new(prefix, len, le).expect("lengths in order")
    };
    (0..ENTRIES).map(entry).collect()
}

/// Half hits, half misses, in no order.
fn queries(entries: &[PrefixEntry], make: fn(&mut Numbers) -> Prefix) -> Vec<Prefix> {
    let mut numbers = Numbers(2);
    let query = |index: usize| {
        let other = make(&mut numbers);
        let entry = entries[(numbers.next() % ENTRIES as u64) as usize];
        if index.is_multiple_of(2) {
            entry.prefix()
        } else {
            other
        }
    };
    (0..QUERIES).map(query).collect()
}

fn prefix_sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy/prefix-set-100k");
    let families: [(&str, Draw); 2] = [("ipv4", Numbers::v4), ("ipv6", Numbers::v6)];
    for (name, make) in families {
        let entries = entries(make);
        let queries = queries(&entries, make);
        group.throughput(Throughput::Elements(ENTRIES as u64));
        group.bench_function(format!("build-{name}"), |b| {
            b.iter(|| entries.iter().copied().collect::<PrefixSet>());
        });
        let texts: Vec<String> = entries.iter().map(PrefixEntry::to_string).collect();
        group.bench_function(format!("read-{name}"), |b| {
            b.iter(|| {
                texts
                    .iter()
                    .filter_map(|text| text.parse::<PrefixEntry>().ok())
                    .count()
            });
        });
        let set: PrefixSet = entries.into_iter().collect();
        group.throughput(Throughput::Elements(QUERIES as u64));
        group.bench_function(format!("look-up-{name}"), |b| {
            b.iter(|| queries.iter().filter(|query| set.contains(**query)).count());
        });
    }
    group.finish();
}

fn other_sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy/other-sets-100k");
    let asns: AsSet = (0..ENTRIES as u32)
        .map(|n| AsnRange::from(Asn(n * 3 + 1)))
        .collect();
    group.bench_function("as-set", |b| {
        let mut asn = 0u32;
        b.iter(|| {
            asn = asn.wrapping_add(99_991) % 300_000;
            asns.contains(Asn(black_box(asn)))
        });
    });
    let marks: CommunitySet = (0..ENTRIES as u32)
        .map(|n| Community(n.wrapping_mul(2_654_435_761)).to_string())
        .filter_map(|text| text.parse::<CommunityPattern>().ok())
        .collect();
    let route = route();
    let set = route.as_ref();
    group.bench_function("community-set-8", |b| {
        b.iter(|| marks.matches(black_box(&set)));
    });
    group.finish();
}

/// Five hops and eight communities: a usual route.
fn route() -> AttrSetBuf {
    let mut path = vec![2, 5];
    [64_601u32, 3356, 1299, 174, 64_999]
        .iter()
        .for_each(|asn| path.extend(asn.to_be_bytes()));
    let communities: Vec<u8> = (1..=8u32)
        .flat_map(|n| (64_601 << 16 | n).to_be_bytes())
        .collect();
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
    let hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    AttrSetBuf::from_parts(Some(hop), attrs.into_iter())
}

fn as_paths(c: &mut Criterion) {
    let mut group = c.benchmark_group("policy/as-path");
    let route = route();
    let path: AsPath<'_> = route.as_ref().as_path();
    let lists: [(&str, &[&str]); 4] = [
        ("one-number", &["_64999$"]),
        ("expression", &["^64601(_[0-9]+)*_64998$"]),
        ("pair", &["_1299_175_"]),
        ("four", &["_1_2_", "_3_4_", "^5(_6)*$", "_174_7_"]),
    ];
    for (name, expressions) in lists {
        let expressions: Vec<_> = expressions
            .iter()
            .map(|text| text.parse().expect("a valid expression"))
            .collect();
        let set = AsPathSet::new(&expressions).expect("small expressions");
        group.bench_function(name, |b| b.iter(|| set.matches(black_box(path))));
    }
    let many: Vec<_> = (0..ENTRIES)
        .map(|n| format!("_{n}$").parse().expect("a valid expression"))
        .collect();
    group.bench_function("compile-100k-origins", |b| {
        b.iter_batched(|| &many, |many| AsPathSet::new(many), BatchSize::LargeInput);
    });
    group.finish();
}

/// Three statements, as clients' import policies have them.
fn policy() -> std::sync::Arc<Policy> {
    let mut sets = SetDefs::default();
    sets.prefix_sets.insert("nets".into(), entries(Numbers::v4));
    let def: PolicyDef = serde_json::from_str(
        r#"{"name": "p", "default-accept": true, "statements": [
            {"matches": {"as-path-length": {"ge": 40, "le": 65535}}, "then": "reject"},
            {"matches": {"prefix": {"sets": ["nets"]}, "community": {"values": ["9:*"]}},
             "then": "reject"},
            {"matches": {"community": {"values": ["64601:*"]}},
             "set": {"local-pref": 200, "community": {"add": ["64500:1"]}}}
        ]}"#,
    )
    .expect("a valid definition");
    let options = CompileOptions {
        version: 1,
        own_as: Asn(64500),
    };
    let compiled = compile(&[def], &sets, options).expect("a valid policy");
    std::sync::Arc::clone(compiled.get("p").expect("its name"))
}

fn evaluate(c: &mut Criterion) {
    let policy = policy();
    let route = route();
    let peer = PeerFacts::new("c1", Asn(64601), Ipv4Addr::LOCALHOST.into(), RouterId(1));
    let prefixes = queries(&entries(Numbers::v4), Numbers::v4);
    let mut hits = Hits::new(&policy);
    let mut out = AttrSetBuf::new();
    let mut group = c.benchmark_group("policy/evaluate");
    group.throughput(Throughput::Elements(QUERIES as u64));
    group.bench_function("three-statements", |b| {
        b.iter(|| {
            for prefix in &prefixes {
                let ctx = RouteContext {
                    peer: &peer,
                    family: Family::Ipv4,
                    prefix: *prefix,
                    set: route.as_ref(),
                    to: None,
                };
                black_box(policy.evaluate(&ctx, &mut out, &mut hits));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, prefix_sets, other_sets, as_paths, evaluate);
criterion_main!(benches);
