//! What is played: who sends what to whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use thruway_net::TransportChoice;
use thruway_replay::generate::{GenerateOptions, Generator, Viewpoint};
use thruway_replay::load::{ChurnOptions, Expect, LoadOptions, Patience, Sender, Speed};
use thruway_replay::table::Table;
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_wire::{Asn, Family, FamilySet, RouterId};

use super::CompareArgs;
use super::config::Site;
use super::lab::{SERVER, peer, peer6};

/// AS number of the first peer: four-octet private ones (RFC 6996), which no generated path has.
const FIRST_AS: u32 = 4_200_000_001;

/// What a calm neighbour tells in churn cases: prefixes, and updates a second.
const CALM_PREFIXES: u32 = 5000;
const CALM_RATE: u32 = 200;

/// One row of the comparison.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) key: String,
    pub(super) title: String,
    /// Sessions that send.
    pub(super) senders: usize,
    /// Sessions that only receive.
    pub(super) receivers: usize,
    /// Every sender gets what the others send.
    pub(super) exchange: bool,
    /// All senders have the same prefixes, by other paths; else each has its share.
    pub(super) contested: bool,
    /// Prefixes in all.
    pub(super) ipv4: u32,
    pub(super) ipv6: u32,
    /// Senders that take back everything and tell it again.
    pub(super) flap: usize,
    pub(super) churn: Option<ChurnOptions>,
    /// Played only where it is asked for.
    pub(super) large: bool,
    /// The curve that the case is a point of, and where on it.
    pub(super) curve: Option<(&'static str, u32)>,
    /// A recorded table instead of a generated one.
    pub(super) file: Option<PathBuf>,
}

impl Case {
    fn new(key: &str, title: &str, senders: usize, receivers: usize, ipv4: u32) -> Self {
        Case {
            key: key.to_owned(),
            title: title.to_owned(),
            senders,
            receivers,
            exchange: false,
            contested: false,
            ipv4,
            ipv6: 0,
            flap: 0,
            churn: None,
            large: false,
            curve: None,
            file: None,
        }
    }

    fn exchange(self) -> Self {
        let exchange = true;
        Case { exchange, ..self }
    }

    fn contested(self) -> Self {
        let contested = true;
        Case { contested, ..self }
    }

    fn churn(self, args: &CompareArgs, rate: Option<u32>) -> Self {
        let churn = Some(ChurnOptions {
            duration: Duration::from_secs(args.churn_seconds),
            in_flight: 20_000,
            rate,
            calm: Some(CALM_RATE),
        });
        // The calm neighbour comes last, with a few prefixes.
        Case {
            churn,
            senders: 2,
            ..self
        }
    }

    /// All cases, at the size that was asked for.
    pub(super) fn all(args: &CompareArgs) -> Vec<Case> {
        let scaled = |count: u32| ((f64::from(count) * args.scale) as u32).max(100);
        let (half, whole) = (scaled(500_000), scaled(1_000_000));
        let a = "1 sender x 500k prefixes -> 1 receiver";
        let b = "2 senders x the same 500k, contested -> 4 receivers";
        let c = "10 peers x 100k disjoint, each gets the rest";
        let d = "50 peers x 10k disjoint, each gets the rest";
        let e = "8 peers x 4k disjoint, each gets the rest (a cloud hub)";
        let f = "10 senders x the same 500k, contested -> 1 receiver";
        let g = "churn from A's end, 20,000 updates in flight";
        let g5k = "churn from A's end, 5,000 updates a second";
        let mut cases = vec![
            Case::new("A", a, 1, 1, half),
            Case::new("B", b, 2, 4, half).contested(),
            Case::new("C", c, 10, 0, whole).exchange(),
            Case::new("D", d, 50, 0, half).exchange(),
            Case::new("E", e, 8, 0, scaled(32_000)).exchange(),
            Case::new("F", f, 10, 1, half).contested(),
            Case::new("G", g, 1, 1, half).churn(args, None),
            Case::new("G5k", g5k, 1, 1, half).churn(args, Some(5000)),
            Case::clients(args),
            Case::feeds(whole, scaled(200_000)),
            Case::table(),
        ];
        cases.extend(Case::curves(args.scale));
        cases
    }

    /// How figures grow with one quantity, everything else held.
    fn curves(scale: f64) -> impl Iterator<Item = Case> {
        let scaled = move |count: u32| ((f64::from(count) * scale) as u32).max(100);
        let case = |curve: &'static str, at: u32, senders, receivers, ipv4| Case {
            large: true,
            curve: Some((curve, at)),
            ..Case::new(&format!("{curve} {at}"), curve, senders, receivers, ipv4)
        };
        let prefixes = [125_000, 250_000, 500_000, 1_000_000];
        let prefixes = prefixes
            .into_iter()
            .map(move |count| case("prefixes", count, 1, 1, scaled(count)));
        let receivers = [1, 2, 4, 8, 16, 32].into_iter();
        let receivers = receivers
            .map(move |count| case("receivers", count, 1, count as usize, scaled(200_000)));
        let peers = [1, 2, 5, 10, 20].into_iter();
        let peers =
            peers.map(move |n| case("peers", n, n as usize, 1, scaled(200_000)).contested());
        prefixes.chain(receivers).chain(peers)
    }

    fn clients(args: &CompareArgs) -> Case {
        let members = ((700.0 * args.scale) as usize).clamp(10, 700);
        let title = "700 route-server clients x 572 prefixes, all to all";
        Case {
            flap: (members / 14).max(1),
            ..Case::new("clients", title, members, 0, members as u32 * 572).exchange()
        }
    }

    /// Members that all send to each other, for a reload of their lists.
    pub(super) fn members(count: usize, ipv4: u32) -> Case {
        Case::new(
            "policy",
            "a reload that changes every member's list",
            count,
            0,
            ipv4,
        )
        .exchange()
    }

    fn feeds(ipv4: u32, ipv6: u32) -> Case {
        let title = "20 feeds x 1M IPv4 + 200k IPv6 prefixes -> 1 receiver";
        Case {
            ipv6,
            large: true,
            ..Case::new("feeds", title, 20, 1, ipv4).contested()
        }
    }

    fn table() -> Case {
        let title = "a real full table (577k prefixes, 2015) -> 1 receiver";
        Case {
            file: recorded_table(),
            ..Case::new("table", title, 1, 1, 0)
        }
    }

    /// Sessions in all.
    pub(super) fn sessions(&self) -> usize {
        self.senders + self.receivers
    }

    /// The server that all daemons are configured to be.
    pub(super) fn site(&self) -> Site {
        let peers = (0..self.sessions()).map(|n| (peer(n), asn(n).0));
        Site {
            peers: peers.collect(),
            ipv6: self.ipv6 > 0,
            lists: None,
        }
    }

    /// The load, its tables generated: they are the same for every daemon and run.
    pub(super) fn load(&self, args: &CompareArgs) -> Result<LoadOptions> {
        let tables = self.tables()?.into_iter().enumerate();
        let senders = tables.map(|(number, table)| Sender {
            session: session(number, self.families()),
            table: Arc::new(table),
        });
        let receivers = (self.senders..self.sessions()).map(|n| session(n, self.families()));
        Ok(LoadOptions {
            senders: senders.collect(),
            receivers: receivers.collect(),
            exchange: self.exchange,
            transport: TransportChoice::Auto,
            pause: Duration::from_secs(2),
            speed: Speed::Max,
            verify: true,
            best: self.file.is_none(),
            expect: Expect::Transparent,
            flap: self.flap,
            churn: self.churn,
            stay: Duration::ZERO,
            patience: Patience {
                sessions: 3 * Duration::from_secs(args.limit),
                idle: Duration::from_secs(args.limit.min(20)),
                run: Duration::from_secs(args.limit),
            },
        })
    }

    pub(super) fn families(&self) -> FamilySet {
        let mut families = FamilySet::IPV4;
        if self.ipv6 > 0 {
            families.insert(Family::Ipv6);
        }
        families
    }

    fn tables(&self) -> Result<Vec<Table>> {
        if let Some(file) = &self.file {
            return super::recorded::tables(file, &viewpoint(0));
        }
        let options = GenerateOptions {
            seed: 1,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            view: viewpoint(0),
        };
        let whole = Generator::new(options)
            .context("the case is too large")?
            .table();
        if self.senders == 1 {
            return Ok(vec![whole]);
        }
        if self.churn.is_some() {
            let calm = GenerateOptions {
                seed: 2,
                ipv4: CALM_PREFIXES,
                view: viewpoint(1),
                ..options
            };
            let calm = Generator::new(calm).context("the case is too large")?;
            return Ok(vec![whole, calm.table()]);
        }
        let numbers = 0..self.senders;
        if self.contested {
            return Ok(numbers.map(|n| whole.as_seen_by(&viewpoint(n))).collect());
        }
        let shares = whole.split(self.senders);
        let told = shares.iter().zip(numbers);
        Ok(told
            .map(|(share, n)| share.as_seen_by(&viewpoint(n)))
            .collect())
    }
}

pub(super) fn asn(number: usize) -> Asn {
    Asn(FIRST_AS + number as u32)
}

/// Next hops are the peer's own address, on the link: BIRD and FRR resolve them.
fn viewpoint(number: usize) -> Viewpoint {
    Viewpoint {
        asn: asn(number),
        next_hop4: peer(number),
        next_hop6: peer6(number),
    }
}

pub(super) fn session(number: usize, families: FamilySet) -> SessionOptions {
    let address = peer(number);
    let mut options = PeerOptions::new(asn(number), RouterId(u32::from(address)));
    options.families = families;
    // Not every daemon has longer messages; all of them get and send the classic ones.
    options.extended_message = false;
    SessionOptions {
        name: format!("peer {}", number + 1),
        link: Link::Connect {
            remote: (SERVER, 179).into(),
            local: Some(address.into()),
        },
        peer: options,
        md5: None,
    }
}

/// The real table, where it is.
fn recorded_table() -> Option<PathBuf> {
    let root = crate::shell::root();
    let folder = std::env::var_os("THRUWAY_DATA").map(PathBuf::from);
    let folder = folder.or_else(|| Some(root.parent()?.join("shared/data")))?;
    let file = folder.join(Path::new("mrt/bgpdump/updates.et-header.2015.gz"));
    file.exists().then_some(file)
}
