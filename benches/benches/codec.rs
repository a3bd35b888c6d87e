//! The codec's budgets: parse with verdict ≤ 70 ns a message + 2 ns an NLRI, canonical set ≤ 100
//! ns, encode ≤ 100 ns a message + 2 ns an NLRI. Over a synthetic table: 1,024 different
//! messages, so that no branch is learned by heart.
//!
//! `cargo bench -p thruway-benches --bench codec`

#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot set up has nothing to measure"
)]

use std::hint::black_box;

use bgpkit_parser::models::AsnLength;
use bgpkit_parser::parser::bgp::messages::parse_bgp_update_message;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use routecore::bgp::message::update::{SessionConfig, UpdateMessage};
use thruway_benches::numbers::body;
use thruway_wire::attrs::{AttrSet, AttrSetBuf, RawAttr};
use thruway_wire::encode::{self, Encoding, NextHopRewrite, Reflect, Rewrite};
use thruway_wire::limits::HEADER_LEN;
use thruway_wire::update::{Part, UpdateContext, UpdateView, Verdict};
use thruway_wire::{Asn, FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, Nlri, PrefixKey, RouterId};

const MESSAGES: usize = 1024;
const CTX: UpdateContext = UpdateContext {
    as4: true,
    external: true,
    families: FamilySet::ALL,
    add_path: FamilySet::EMPTY,
};

/// A small generator of its own: the same table on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// A set as the Internet has them: 2 to 7 hops, MED now and then, 0 to 7 communities, sometimes
/// large ones and an aggregator.
fn set(random: &mut Random, hop: NextHop) -> AttrSetBuf {
    let hops = 2 + random.below(3) + random.below(4);
    let mut path = vec![2, u8::try_from(hops).unwrap()];
    for _ in 0..hops {
        let asn = 1 + random.below(400_000);
        path.extend_from_slice(&u32::try_from(asn).unwrap().to_be_bytes());
    }
    let mut values = |count: u64, width: usize| -> Vec<u8> {
        (0..usize::try_from(count).unwrap() * width)
            .map(|_| random.next() as u8 >> 1)
            .collect()
    };
    let communities = values(4, 4);
    let large = values(2, 12);
    let aggregator = values(1, 8);
    let mut attrs = vec![(0x40, 1, vec![0]), (0x40, 2, path)];
    let mut maybe = |odds, attr: (u8, u8, Vec<u8>)| {
        if random.below(100) < odds {
            attrs.push(attr);
        }
    };
    maybe(30, (0x80, 4, vec![0, 0, 0, 10]));
    maybe(10, (0xc0, 7, aggregator));
    maybe(70, (0xc0, 8, communities));
    maybe(15, (0xc0, 32, large));
    let attrs = attrs.iter().map(|(flags, code, value)| RawAttr {
        flags: *flags,
        code: *code,
        value,
    });
    AttrSetBuf::from_parts(Some(hop), attrs)
}

fn length(random: &mut Random, usual: u8, shortest: u8) -> u8 {
    // As measured on full tables: more than half are the longest usual one.
    if random.below(100) < 57 {
        usual
    } else {
        usual - u8::try_from(random.below(u64::from(usual - shortest))).unwrap()
    }
}

fn v4(random: &mut Random, count: usize) -> Vec<Nlri<Ipv4Prefix>> {
    let mut one = || {
        let len = length(random, 24, 16);
        let bits = u32::try_from(random.next() & 0xffff_ffff).unwrap();
        Nlri {
            path_id: 0,
            prefix: Ipv4Prefix::new(bits.into(), len).unwrap(),
        }
    };
    (0..count).map(|_| one()).collect()
}

fn v6(random: &mut Random, count: usize) -> Vec<Nlri<Ipv6Prefix>> {
    let mut one = || {
        let len = length(random, 48, 29);
        let bits = u128::from(random.next()) << 64;
        Nlri {
            path_id: 0,
            prefix: Ipv6Prefix::new(bits.into(), len).unwrap(),
        }
    };
    (0..count).map(|_| one()).collect()
}

struct Table<P> {
    sets: Vec<AttrSet>,
    nlri: Vec<Vec<Nlri<P>>>,
    bodies: Vec<Vec<u8>>,
}

fn table<P: PrefixKey>(
    hop: NextHop,
    nlri: impl Fn(&mut Random, usize) -> Vec<Nlri<P>>,
    count: usize,
) -> Table<P> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut table = Table {
        sets: vec![],
        nlri: vec![],
        bodies: vec![],
    };
    for _ in 0..MESSAGES {
        let set = set(&mut random, hop);
        let nlri = nlri(&mut random, count);
        table.bodies.push(body(set.as_ref(), &nlri));
        table.sets.push(AttrSet::new(set.as_ref()));
        table.nlri.push(nlri);
    }
    table
}

fn v4_table(count: usize) -> Table<Ipv4Prefix> {
    table(NextHop::V4([192, 0, 2, 1].into()), v4, count)
}

fn v6_table(count: usize) -> Table<Ipv6Prefix> {
    table(NextHop::V6([0x20; 16].into()), v6, count)
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for count in [1, 6, 100, 900] {
        let table = v4_table(count);
        group.bench_function(BenchmarkId::new("verdict_v4", count), |b| {
            b.iter(|| {
                for body in &table.bodies {
                    black_box(UpdateView::parse(black_box(body), &CTX).verdict());
                }
            });
        });
        group.bench_function(BenchmarkId::new("verdict_and_nlri_v4", count), |b| {
            b.iter(|| {
                for body in &table.bodies {
                    let view = UpdateView::parse(black_box(body), &CTX);
                    for nlri in view.announced4(Part::Classic) {
                        black_box(nlri);
                    }
                }
            });
        });
    }
    for count in [1, 100] {
        let table = v6_table(count);
        group.bench_function(BenchmarkId::new("verdict_and_nlri_v6", count), |b| {
            b.iter(|| {
                for body in &table.bodies {
                    let view = UpdateView::parse(black_box(body), &CTX);
                    for nlri in view.announced6() {
                        black_box(nlri);
                    }
                }
            });
        });
    }
    group.finish();
}

/// The same octets through two other parsers, each with all of the message understood: every attribute
/// checked and every prefix seen. They must find the same prefixes and paths, which is asserted first.
fn others(c: &mut Criterion) {
    let mut group = c.benchmark_group("parsers");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let session = SessionConfig::modern();
    for count in [1, 6, 100] {
        let table = v4_table(count);
        let whole: Vec<Bytes> = table.bodies.iter().map(|body| message(body)).collect();
        agree(&table, &whole, &session);
        group.bench_function(BenchmarkId::new("thruway", count), |b| {
            let mut set = AttrSetBuf::new();
            b.iter(|| {
                for body in &table.bodies {
                    let view = UpdateView::parse(black_box(body), &CTX);
                    black_box(view.canonical(Part::Classic, &mut set));
                    view.announced4(Part::Classic).for_each(|nlri| {
                        black_box(nlri);
                    });
                }
            });
        });
        group.bench_function(BenchmarkId::new("routecore", count), |b| {
            b.iter(|| {
                for octets in &whole {
                    let update = UpdateMessage::from_octets(black_box(octets), &session).unwrap();
                    for nlri in update.announcements().unwrap() {
                        black_box(nlri.unwrap());
                    }
                    for attr in update.path_attributes().unwrap() {
                        black_box(attr.unwrap().to_owned().unwrap());
                    }
                }
            });
        });
        group.bench_function(BenchmarkId::new("bgpkit-parser", count), |b| {
            b.iter(|| {
                for octets in &whole {
                    let body = octets.slice(HEADER_LEN..);
                    black_box(parse_bgp_update_message(body, false, &AsnLength::Bits32).unwrap());
                }
            });
        });
    }
    group.finish();
}

/// A body with its header.
fn message(body: &[u8]) -> Bytes {
    let mut out = vec![0xff; 16];
    let len = u16::try_from(HEADER_LEN + body.len()).unwrap();
    out.extend_from_slice(&len.to_be_bytes());
    out.push(2);
    out.extend_from_slice(body);
    out.into()
}

fn agree(table: &Table<Ipv4Prefix>, whole: &[Bytes], session: &SessionConfig) {
    for (index, octets) in whole.iter().enumerate() {
        let view = UpdateView::parse(&table.bodies[index], &CTX);
        assert_eq!(view.verdict(), Verdict::Ok, "the table is well-formed");
        let ours: Vec<String> = view
            .announced4(Part::Classic)
            .map(|nlri| nlri.prefix.to_string())
            .collect();
        let path = table.sets[index].as_ref().as_path().to_string();
        let update = UpdateMessage::from_octets(octets, session).unwrap();
        let theirs = update.announcements().unwrap();
        let theirs: Vec<String> = theirs.map(|nlri| nlri.unwrap().to_string()).collect();
        assert_eq!(ours, theirs, "routecore's prefixes");
        let hops = update.aspath().unwrap().unwrap().to_hop_path();
        let hops: Vec<String> = hops
            .iter()
            .map(|hop| hop.to_string().trim_start_matches("AS").to_owned())
            .collect();
        assert_eq!(path, hops.join(" "), "routecore's path");
        let body = octets.slice(HEADER_LEN..);
        let update = parse_bgp_update_message(body, false, &AsnLength::Bits32).unwrap();
        let theirs = update.announced_prefixes.iter();
        let theirs: Vec<String> = theirs.map(|nlri| nlri.prefix.to_string()).collect();
        assert_eq!(ours, theirs, "bgpkit-parser's prefixes");
        let theirs = update.attributes.as_path().map(ToString::to_string);
        assert_eq!(theirs, Some(path), "bgpkit-parser's path");
    }
}

fn canonical(c: &mut Criterion) {
    let mut group = c.benchmark_group("canonical");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let table = v4_table(1);
    let views: Vec<_> = table
        .bodies
        .iter()
        .map(|body| UpdateView::parse(body, &CTX))
        .collect();
    let mut buf = AttrSetBuf::new();
    group.bench_function("v4", |b| {
        b.iter(|| {
            for view in &views {
                black_box(view.canonical(Part::Classic, &mut buf));
            }
        });
    });
    let table = v6_table(1);
    let views: Vec<_> = table
        .bodies
        .iter()
        .map(|body| UpdateView::parse(body, &CTX))
        .collect();
    group.bench_function("v6", |b| {
        b.iter(|| {
            for view in &views {
                black_box(view.canonical(Part::Multiprotocol, &mut buf));
            }
        });
    });
    group.finish();
}

fn encode_all<P: PrefixKey>(
    out: &mut Vec<u8>,
    table: &Table<P>,
    rewrite: &Rewrite,
    encoding: &Encoding,
) {
    for (set, nlri) in table.sets.iter().zip(&table.nlri) {
        out.clear();
        let sent = encode::announce(out, set.as_ref(), rewrite, encoding, nlri.iter().copied());
        black_box(sent.expect("it fits"));
    }
}

fn announce(c: &mut Criterion) {
    let mut group = c.benchmark_group("announce");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let external = Rewrite {
        prepend: Some(Asn(64_500)),
        next_hop: NextHopRewrite::Own(Some([192, 0, 2, 9].into()), None),
        ..Rewrite::TRANSPARENT
    };
    let reflect = Reflect {
        originator: RouterId(1),
        cluster: RouterId(2),
    };
    let internal = Rewrite {
        local_pref: true,
        reflect: Some(reflect),
        ..Rewrite::TRANSPARENT
    };
    let two_octet = Encoding {
        as4: false,
        ..Encoding::PLAIN
    };
    let mut out = Vec::with_capacity(1 << 16);
    for count in [1, 100, 900] {
        let table = v4_table(count);
        let cases = [
            ("transparent_v4", Rewrite::TRANSPARENT, Encoding::PLAIN),
            ("external_v4", external, Encoding::PLAIN),
            ("reflector_v4", internal, Encoding::PLAIN),
            ("two_octet_v4", external, two_octet),
        ];
        for (name, rewrite, encoding) in cases {
            group.bench_function(BenchmarkId::new(name, count), |b| {
                b.iter(|| encode_all(&mut out, &table, &rewrite, &encoding));
            });
        }
    }
    for count in [1, 100] {
        let table = v6_table(count);
        group.bench_function(BenchmarkId::new("transparent_v6", count), |b| {
            b.iter(|| encode_all(&mut out, &table, &Rewrite::TRANSPARENT, &Encoding::PLAIN));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = parse, others, canonical, announce
}
criterion_main!(benches);
