//! Routes as tests compare them: a prefix and its attributes, next hop included.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use thruway_replay::mrt_file::MrtFile;
use thruway_wire::attrs::{AttrSetBuf, AttrSetRef, RawAttr, code};
use thruway_wire::mrt::{MrtRecord, rib_entry_attrs};
use thruway_wire::{Community, ExtendedCommunity, LargeCommunity, NextHop, Prefix};

/// Routes by prefix.
pub type Table = BTreeMap<Prefix, Route>;

/// Attributes as a canonical set, LOCAL_PREF left out: daemons add their own to external routes.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    text: String,
    bytes: Vec<u8>,
}

impl Route {
    /// The attributes of a set.
    #[must_use]
    pub fn new(set: AttrSetRef<'_>) -> Self {
        let mut buf = AttrSetBuf::default();
        buf.copy_from(set);
        buf.remove(code::LOCAL_PREF);
        // Some real routes have an AGGREGATOR of AS 0, which a session discards (RFC 7607 §2).
        if set.aggregator().is_some_and(|(asn, _)| asn.0 == 0) {
            buf.remove(code::AGGREGATOR);
        }
        let set = buf.as_ref();
        Route {
            text: describe(set),
            bytes: set.bytes.to_vec(),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn describe(set: AttrSetRef<'_>) -> String {
    let mut text = format!("path [{}]", set.as_path());
    if let Some(next_hop) = set.next_hop() {
        text += &format!(" via {next_hop}");
    }
    for attr in set.attrs().filter(|attr| attr.code != code::AS_PATH) {
        text += &format!(" {}:{:02x?}", attr.code, attr.value);
    }
    text
}

/// What daemons print of a route, where they print no octets.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// AS_PATH: one sequence; sets are not printed by all.
    pub as_path: Vec<u32>,
    /// Next hop.
    pub next_hop: Option<IpAddr>,
    /// ORIGIN.
    pub origin: u8,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Standard communities.
    pub communities: Vec<Community>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
    /// Extended communities.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// AGGREGATOR.
    pub aggregator: Option<(u32, Ipv4Addr)>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
}

impl Parts {
    /// The route that these attributes make.
    #[must_use]
    pub fn route(&self) -> Route {
        let mut path = Vec::new();
        for segment in self.as_path.chunks(255) {
            path.extend([2, u8::try_from(segment.len()).expect("at most 255")]);
            segment
                .iter()
                .for_each(|asn| path.extend(asn.to_be_bytes()));
        }
        let mut aggregator = Vec::new();
        if let Some((asn, addr)) = self.aggregator {
            aggregator.extend(asn.to_be_bytes());
            aggregator.extend(addr.octets());
        }
        let origin = [self.origin];
        let mut attrs = vec![
            RawAttr {
                flags: 0x40,
                code: code::ORIGIN,
                value: &origin,
            },
            RawAttr {
                flags: 0x40,
                code: code::AS_PATH,
                value: &path,
            },
        ];
        if self.atomic_aggregate {
            attrs.push(RawAttr {
                flags: 0x40,
                code: code::ATOMIC_AGGREGATE,
                value: &[],
            });
        }
        if !aggregator.is_empty() {
            attrs.push(RawAttr {
                flags: 0xc0,
                code: code::AGGREGATOR,
                value: &aggregator,
            });
        }
        let mut set = AttrSetBuf::default();
        set.set_parts(self.next_hop.map(NextHop::from), attrs.into_iter());
        set.set_med(self.med);
        set.set_communities(self.communities.iter().copied());
        set.set_communities(self.extended_communities.iter().copied());
        set.set_communities(self.large_communities.iter().copied());
        Route::new(set.as_ref())
    }
}

/// The routes of a TABLE_DUMP_V2 file by peer, as far as it is written: a daemon may still be at it.
#[must_use]
pub fn read_mrt_rib(path: &Path) -> Vec<(IpAddr, Table)> {
    let Ok(mut file) = MrtFile::open(path) else {
        return Vec::new();
    };
    let mut tables: Vec<(IpAddr, Table)> = Vec::new();
    let mut set = AttrSetBuf::default();
    while let Some(Ok(item)) = file.next() {
        match item.record {
            MrtRecord::PeerIndexTable(index) => {
                tables = index
                    .peers()
                    .map(|peer| (peer.addr, Table::new()))
                    .collect();
            }
            MrtRecord::Rib(rib) => {
                for entry in rib.entries() {
                    let attrs = rib_entry_attrs(entry.attrs, true, &mut set);
                    let route = Route::new(attrs.expect("a daemon writes whole attributes"));
                    let (_, table) = &mut tables[usize::from(entry.peer_index)];
                    table.insert(rib.prefix, route);
                }
            }
            _ => {}
        }
    }
    tables
}

/// Where two tables differ, a line each, at most ten; empty where they agree.
#[must_use]
pub fn differences(expected: &Table, got: &Table) -> Vec<String> {
    let mut lines = Vec::new();
    for (prefix, route) in expected {
        match got.get(prefix) {
            None => lines.push(format!("{prefix}: missing, expected {route:?}")),
            Some(other) if other != route => {
                lines.push(format!("{prefix}: {other:?}, expected {route:?}"));
            }
            Some(_) => {}
        }
    }
    for (prefix, route) in got
        .iter()
        .filter(|(prefix, _)| !expected.contains_key(prefix))
    {
        lines.push(format!("{prefix}: {route:?}, expected nothing"));
    }
    let rest = lines.len().saturating_sub(10);
    lines.truncate(10);
    if rest > 0 {
        lines.push(format!("and {rest} more"));
    }
    lines
}
