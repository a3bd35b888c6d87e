//! `thruway check instances A B`: whether two instances were told the same and tell the same.
//!
//! An NVA has a session with each instance and must tell both the same. Where it does not, hosts and
//! gateways send packets by the one that does not know better, and nothing else notices.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use thruway_api::{Client, Peer, Route, Status, encode};
use thruway_wire::Prefix;

use super::exchange::number;
use super::server::client_to;
use super::{parse_route, print, print_json, runtime};

/// `thruway check instances`.
#[derive(Args, Debug)]
pub struct InstancesArgs {
    /// One instance: ADDRESS:PORT of its `api`, or the path of its Unix socket.
    a: String,
    /// The other one.
    b: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Comparison {
    a: String,
    b: String,
    /// Peers that both know and that are up at both.
    compared: Vec<Compared>,
    /// Peers that are down at both: nothing to compare.
    down: Vec<String>,
    differences: Vec<Difference>,
}

/// A peer and how many routes were compared.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    peer: String,
    learned: [usize; 2],
    advertised: [usize; 2],
}

/// One difference. Texts of `a` and `b` say what each has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    peer: String,
    /// `session`, `learned` or `advertised`.
    table: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Prefix>,
    /// What differs.
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<String>,
}

/// A path, as far as instances must agree on it. Path identifiers are each instance's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    network: Prefix,
    as_path: Box<str>,
    /// `None`: the instance itself.
    next_hop: Option<IpAddr>,
    attributes: Box<str>,
    /// Import did not accept it.
    rejected: bool,
}

/// One instance.
struct Side {
    client: Client,
    peers: Vec<Peer>,
    /// Its addresses: a next hop that is one of them stands for the instance.
    own: BTreeSet<IpAddr>,
}

/// Compares two instances.
///
/// # Errors
/// An instance that does not answer.
pub(super) fn instances(args: &InstancesArgs) -> Result<ExitCode> {
    let found = runtime()?.block_on(compare(&args.a, &args.b))?;
    if args.json {
        print_json(&found)?;
    } else {
        print(&found.text())?;
    }
    Ok(if found.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn compare(a: &str, b: &str) -> Result<Comparison> {
    let (left, right) = futures_util::future::try_join(Side::open(a), Side::open(b)).await?;
    let mut found = Comparison {
        a: a.to_owned(),
        b: b.to_owned(),
        ..Comparison::default()
    };
    for (peer, other) in pairs(&left.peers, &right.peers, &mut found.differences) {
        match (is_up(peer), is_up(other)) {
            (true, true) => {}
            (false, false) => {
                found.down.push(peer.name.clone());
                continue;
            }
            _ => {
                let what = "up at one only";
                let (a, b) = (peer.state.clone(), other.state.clone());
                let difference = session(&peer.name, what, Some(a), Some(b));
                found.differences.push(difference);
                continue;
            }
        }
        let mut counts = [[0; 2]; 2];
        for (table, counts) in ["learned", "advertised"].into_iter().zip(&mut counts) {
            let (mine, theirs) = futures_util::future::try_join(
                left.routes(&peer.name, table),
                right.routes(&other.name, table),
            )
            .await?;
            *counts = [mine.len(), theirs.len()];
            merge(&peer.name, table, &mine, &theirs, &mut found.differences);
        }
        let [learned, advertised] = counts;
        found.compared.push(Compared {
            peer: peer.name.clone(),
            learned,
            advertised,
        });
    }
    Ok(found)
}

fn is_up(peer: &Peer) -> bool {
    peer.uptime_seconds.is_some()
}

/// Peers that both know, by address or else by name; the rest are differences.
fn pairs<'p>(
    left: &'p [Peer],
    right: &'p [Peer],
    differences: &mut Vec<Difference>,
) -> Vec<(&'p Peer, &'p Peer)> {
    let mut free: Vec<Option<&Peer>> = right.iter().map(Some).collect();
    let by_addr: HashMap<IpAddr, usize> = numbered(right, |peer| peer.address);
    let by_name: HashMap<&str, usize> = numbered(right, |peer| peer.name.as_str());
    let mut pairs = Vec::new();
    for peer in left {
        let at = by_addr.get(&peer.address).copied();
        let at = at.or_else(|| by_name.get(peer.name.as_str()).copied());
        match at.and_then(|at| free.get_mut(at)?.take()) {
            Some(other) => pairs.push((peer, other)),
            None => {
                let state = Some(peer.state.clone());
                differences.push(session(&peer.name, "not known to b", state, None));
            }
        }
    }
    for peer in free.into_iter().flatten() {
        let state = Some(peer.state.clone());
        differences.push(session(&peer.name, "not known to a", None, state));
    }
    pairs
}

fn numbered<'p, K: std::hash::Hash + Eq>(
    peers: &'p [Peer],
    key: impl Fn(&'p Peer) -> K,
) -> HashMap<K, usize> {
    let peers = peers.iter().enumerate();
    peers.map(|(at, peer)| (key(peer), at)).collect()
}

fn session(peer: &str, what: &'static str, a: Option<String>, b: Option<String>) -> Difference {
    Difference {
        peer: peer.to_owned(),
        table: "session",
        network: None,
        what,
        a,
        b,
    }
}

impl Side {
    async fn open(address: &str) -> Result<Self> {
        let client = client_to(address)?;
        let status: Status = client
            .get("/v1/status")
            .await
            .with_context(|| address.to_owned())?;
        let peers: Vec<Peer> = client
            .get("/v1/peers")
            .await
            .with_context(|| address.to_owned())?;
        let router_id = std::net::Ipv4Addr::from(status.router_id.0);
        let listen = status.listen.iter().map(std::net::SocketAddr::ip);
        let ends = peers
            .iter()
            .filter_map(|peer| Some(peer.local_address?.ip()));
        let own = listen.chain(ends).chain([router_id.into()]);
        Ok(Side {
            client,
            own: own.filter(|addr| !addr.is_unspecified()).collect(),
            peers,
        })
    }

    /// One table of a peer, sorted.
    async fn routes(&self, peer: &str, table: &str) -> Result<Vec<Told>> {
        let path = format!("/v1/peers/{}/{table}", encode(peer));
        let mut list = Vec::new();
        self.client
            .lines(&path, |line| {
                list.push(self.told(parse_route(line)?));
                Ok(())
            })
            .await?;
        list.sort_unstable();
        Ok(list)
    }

    fn told(&self, route: Route) -> Told {
        let next_hop = route.next_hop.filter(|addr| !self.own.contains(addr));
        Told {
            network: route.network,
            next_hop,
            attributes: attributes(&route).into(),
            as_path: route.as_path.into(),
            rejected: route.rejected.is_some(),
        }
    }
}

/// Everything but prefix, path and next hop.
fn attributes(route: &Route) -> String {
    let mut text = route.origin_code.clone();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!(" {name} {value}");
        }
    };
    add("MED", route.med.map(|value| value.to_string()));
    add("pref", route.local_pref.map(|value| value.to_string()));
    add("communities", joined(&route.communities));
    add("extended", joined(&route.extended_communities));
    add("ipv6 extended", joined(&route.ipv6_extended_communities));
    add("large", joined(&route.large_communities));
    text
}

fn joined(list: &[impl ToString]) -> Option<String> {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Walks two sorted tables side by side, a prefix at a time.
fn merge(
    peer: &str,
    table: &'static str,
    mut mine: &[Told],
    mut theirs: &[Told],
    differences: &mut Vec<Difference>,
) {
    while let Some(network) = first(mine, theirs) {
        let (ours, rest) = split(mine, network);
        let (others, other_rest) = split(theirs, network);
        (mine, theirs) = (rest, other_rest);
        if ours != others {
            paths(peer, table, ours, others, differences);
        }
    }
}

fn first(mine: &[Told], theirs: &[Told]) -> Option<Prefix> {
    let heads = [mine.first(), theirs.first()];
    heads.into_iter().flatten().map(|told| told.network).min()
}

/// The paths of a prefix, and what follows.
fn split(list: &[Told], network: Prefix) -> (&[Told], &[Told]) {
    let end = list.iter().take_while(|told| told.network == network);
    list.split_at(end.count())
}

/// Pairs up what is left of one prefix when equal paths are taken away.
fn paths(
    peer: &str,
    table: &'static str,
    ours: &[Told],
    others: &[Told],
    differences: &mut Vec<Difference>,
) {
    let mut only_theirs: Vec<&Told> = others.iter().collect();
    let mut only_ours: Vec<&Told> = Vec::new();
    for told in ours {
        match only_theirs.iter().position(|other| *other == told) {
            Some(at) => drop(only_theirs.remove(at)),
            None => only_ours.push(told),
        }
    }
    let count = only_ours.len().max(only_theirs.len());
    for at in 0..count {
        let (a, b) = (only_ours.get(at).copied(), only_theirs.get(at).copied());
        let Some(network) = a.or(b).map(|told| told.network) else {
            continue;
        };
        let (what, show): (_, fn(&Told) -> String) = match (a, b) {
            (None, _) => ("missing on a", Told::text),
            (_, None) => ("missing on b", Told::text),
            (Some(a), Some(b)) if a.as_path != b.as_path => ("AS path", Told::path),
            (Some(a), Some(b)) if a.next_hop != b.next_hop => ("next hop", Told::hop),
            (Some(a), Some(b)) if a.attributes != b.attributes => {
                ("attributes", |told| told.attributes.to_string())
            }
            _ => ("accepted by one only", Told::verdict),
        };
        differences.push(Difference {
            peer: peer.to_owned(),
            table,
            network: Some(network),
            what,
            a: a.map(show),
            b: b.map(show),
        });
    }
}

impl Told {
    fn path(&self) -> String {
        if self.as_path.is_empty() {
            "empty".to_owned()
        } else {
            self.as_path.to_string()
        }
    }

    fn hop(&self) -> String {
        self.next_hop
            .map_or_else(|| "the instance itself".to_owned(), |hop| hop.to_string())
    }

    fn verdict(&self) -> String {
        if self.rejected {
            "rejected"
        } else {
            "accepted"
        }
        .to_owned()
    }

    fn text(&self) -> String {
        format!("path {} via {}", self.path(), self.hop())
    }
}

impl Comparison {
    fn text(&self) -> String {
        let mut text = format!("a: {}\nb: {}\n", self.a, self.b);
        for compared in &self.compared {
            let of = |table: &str| {
                let mine = |it: &&Difference| it.peer == compared.peer && it.table == table;
                let count = self.differences.iter().filter(mine).count();
                match count {
                    0 => "the same".to_owned(),
                    1 => "1 difference".to_owned(),
                    _ => format!("{} differences", number(count as u64)),
                }
            };
            let counts = |[a, b]: [usize; 2]| {
                if a == b {
                    number(a as u64)
                } else {
                    format!("{} and {}", number(a as u64), number(b as u64))
                }
            };
            text += &format!(
                "\n{}: learned {}, {}; advertised {}, {}",
                compared.peer,
                counts(compared.learned),
                of("learned"),
                counts(compared.advertised),
                of("advertised"),
            );
        }
        for peer in &self.down {
            text += &format!("\n{peer}: down at both");
        }
        text.push('\n');
        for difference in &self.differences {
            text += &format!("\n{}", difference.text());
        }
        text + match self.differences.len() {
            0 => "\nno difference",
            _ => "",
        }
    }
}

impl Difference {
    fn text(&self) -> String {
        let place = match self.network {
            Some(network) => format!("{} {} {network}", self.peer, self.table),
            None => format!("{} session", self.peer),
        };
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => format!("{place}: {}: a {a}, b {b}", self.what),
            (Some(one), None) | (None, Some(one)) => format!("{place}: {}: {one}", self.what),
            (None, None) => format!("{place}: {}", self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(network: &str, as_path: &str, next_hop: &str) -> Told {
        Told {
            network: network.parse().expect("a prefix"),
            as_path: as_path.into(),
            next_hop: next_hop.parse().ok(),
            attributes: "IGP".into(),
            rejected: false,
        }
    }

    fn differences(mut a: Vec<Told>, mut b: Vec<Told>) -> Vec<String> {
        a.sort_unstable();
        b.sort_unstable();
        let mut found = Vec::new();
        merge("nva", "learned", &a, &b, &mut found);
        found.iter().map(Difference::text).collect()
    }

    #[test]
    fn each_difference_has_its_name() {
        let same = told("10.9.0.0/16", "65001", "10.0.2.4");
        let a = vec![
            same.clone(),
            told("10.1.0.0/16", "65001", "10.0.2.4"),
            told("10.2.0.0/16", "65001 65002", "10.0.2.4"),
            told("10.3.0.0/16", "65001", "10.0.2.4"),
        ];
        let mut rejected = told("10.5.0.0/16", "65001", "10.0.2.4");
        let accepted = rejected.clone();
        rejected.rejected = true;
        let b = vec![
            same,
            told("10.2.0.0/16", "65001 65003", "10.0.2.4"),
            told("10.3.0.0/16", "65001", "10.0.2.5"),
            told("10.4.0.0/16", "65001", "-"),
            rejected,
        ];
        let a = [a, vec![accepted]].concat();
        assert_eq!(
            differences(a, b),
            [
                "nva learned 10.1.0.0/16: missing on b: path 65001 via 10.0.2.4",
                "nva learned 10.2.0.0/16: AS path: a 65001 65002, b 65001 65003",
                "nva learned 10.3.0.0/16: next hop: a 10.0.2.4, b 10.0.2.5",
                "nva learned 10.4.0.0/16: missing on a: path 65001 via the instance itself",
                "nva learned 10.5.0.0/16: accepted by one only: a accepted, b rejected",
            ]
        );
    }

    #[test]
    fn several_paths_of_a_prefix_are_a_set() {
        let one = told("10.1.0.0/16", "65001", "10.0.2.4");
        let two = told("10.1.0.0/16", "65001", "10.0.2.5");
        let three = told("10.1.0.0/16", "65001", "10.0.2.6");
        let a = vec![two.clone(), one.clone()];
        assert!(differences(a.clone(), vec![one.clone(), two.clone()]).is_empty());
        let found = differences(a, vec![one, three, two]);
        let text = "nva learned 10.1.0.0/16: missing on a: path 65001 via 10.0.2.6";
        assert_eq!(found, [text]);
    }
}
