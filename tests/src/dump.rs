//! Real tables as neighbours tell them: the last state of a dump, by peer.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use thruway_replay::mrt_file::MrtFile;
use thruway_replay::table::Table;
use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::limits::HEADER_LEN;
use thruway_wire::mrt::{MrtRecord, rib_entry_attrs};
use thruway_wire::update::{UpdateContext, UpdateView};
use thruway_wire::{Asn, Family, FamilySet, NextHop, Nlri, Prefix};

/// One peer of a dump with its routes.
pub struct Feed {
    /// Its address in the dump.
    pub addr: IpAddr,
    /// Its AS.
    pub asn: Asn,
    /// What it told, by prefix.
    pub routes: BTreeMap<Prefix, AttrSet>,
}

impl Feed {
    /// The routes as a table to announce: prefixes with equal attributes together, LOCAL_PREF and
    /// a reflector's marks left out, `prepend` in front of paths that do not begin with it, and
    /// `next_hop` for all: a daemon that resolves next hops must not resolve them through the table
    /// itself, which takes BIRD minutes.
    #[must_use]
    pub fn table(&self, prepend: Asn, next_hop: IpAddr) -> Table {
        let mut groups: BTreeMap<(Family, Vec<u8>), (AttrSet, Vec<Prefix>)> = BTreeMap::new();
        for (prefix, set) in &self.routes {
            let view = set.as_ref();
            let key = (prefix.family(), view.bytes.to_vec());
            groups
                .entry(key)
                .or_insert_with(|| (external(set, prepend, next_hop), Vec::new()))
                .1
                .push(*prefix);
        }
        let mut table = Table::new();
        for ((family, _), (set, prefixes)) in groups {
            let run = prefixes
                .into_iter()
                .map(|prefix| Nlri { path_id: 0, prefix });
            table.push(Duration::ZERO, Some(set), family, run);
        }
        table
    }
}

fn external(set: &AttrSet, prepend: Asn, next_hop: IpAddr) -> AttrSet {
    use thruway_wire::attrs::code;
    let mut buf = AttrSetBuf::default();
    buf.copy_from(set.as_ref());
    buf.set_next_hop(Some(NextHop::from(next_hop)));
    for code in [code::LOCAL_PREF, code::ORIGINATOR_ID, code::CLUSTER_LIST] {
        buf.remove(code);
    }
    if set.meta().neighbor_as != prepend {
        buf.prepend(prepend, 1);
    }
    AttrSet::new(buf.as_ref())
}

/// The peers of a RIB dump or an update trace with what they told last, most routes first.
///
/// # Panics
/// The file cannot be read.
#[must_use]
pub fn feeds(path: &Path) -> Vec<Feed> {
    let mut file = MrtFile::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut peers: HashMap<(IpAddr, Asn), BTreeMap<Prefix, AttrSet>> = HashMap::new();
    let mut index = Vec::new();
    let mut buf = AttrSetBuf::default();
    while let Some(item) = file.next() {
        let Ok(item) = item else { continue };
        match item.record {
            MrtRecord::PeerIndexTable(table) => {
                index = table.peers().map(|peer| (peer.addr, peer.asn)).collect();
            }
            MrtRecord::Rib(rib) => {
                for entry in rib.entries() {
                    let Ok(set) = rib_entry_attrs(entry.attrs, true, &mut buf) else {
                        continue;
                    };
                    let peer = index[usize::from(entry.peer_index)];
                    peers
                        .entry(peer)
                        .or_default()
                        .insert(rib.prefix, AttrSet::new(set));
                }
            }
            MrtRecord::Message(message)
                if !message.local && message.message.get(18) == Some(&2) =>
            {
                let key = (message.session.peer_addr, message.session.peer_as);
                let ctx = UpdateContext {
                    as4: message.as4,
                    external: message.session.peer_as != message.session.local_as,
                    families: FamilySet::ALL,
                    add_path: FamilySet::EMPTY,
                };
                let body = message.message.get(HEADER_LEN..).unwrap_or_default();
                apply(
                    &UpdateView::parse(body, &ctx),
                    peers.entry(key).or_default(),
                    &mut buf,
                );
            }
            _ => {}
        }
    }
    let mut feeds: Vec<Feed> = peers
        .into_iter()
        .map(|((addr, asn), routes)| Feed { addr, asn, routes })
        .collect();
    feeds.sort_by_key(|feed| (usize::MAX - feed.routes.len(), feed.addr));
    feeds
}

fn apply(update: &UpdateView<'_>, routes: &mut BTreeMap<Prefix, AttrSet>, buf: &mut AttrSetBuf) {
    for nlri in update.withdrawn4() {
        routes.remove(&Prefix::V4(nlri.prefix));
    }
    for nlri in update.withdrawn6() {
        routes.remove(&Prefix::V6(nlri.prefix));
    }
    for (part, family) in update.announced() {
        let set = AttrSet::new(update.canonical(part, buf));
        match family {
            Family::Ipv4 => {
                let nlri = update.announced4(part).map(|nlri| Prefix::V4(nlri.prefix));
                routes.extend(nlri.map(|prefix| (prefix, set.clone())));
            }
            Family::Ipv6 => {
                let nlri = update.announced6().map(|nlri| Prefix::V6(nlri.prefix));
                routes.extend(nlri.map(|prefix| (prefix, set.clone())));
            }
        }
    }
}
