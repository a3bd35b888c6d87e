//! What each peer of MRT files said.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::limits::EXTENDED_MESSAGE_LEN_MAX;
use thruway_wire::message::{self, MessageType};
use thruway_wire::mrt::{
    Bgp4mpMessage, MrtHeader, MrtRecord, PeerIndexTable, Rib, TableDump, rib_entry_attrs,
};
use thruway_wire::update::{UpdateContext, UpdateView, Verdict};
use thruway_wire::{Asn, Family, FamilySet, Nlri, Prefix};

use super::ReplayError;
use super::convert::{Conversion, NextHopChoice, Prepend};
use crate::hash::FastMap;
use crate::limits::PROGRESS_INTERVAL;
use crate::mrt_file::MrtFile;
use crate::progress::{Phase, Progress, Snapshot};
use crate::table::Table;

/// One peer's routes.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The peer's address.
    pub addr: IpAddr,
    /// The peer's AS number.
    pub asn: Asn,
    /// What it said: a RIB's routes first, then the updates of a trace with their times.
    pub table: Table,
}

impl Feed {
    /// The routes as an external session of `asn` tells them, with `address` as their next hop.
    #[must_use]
    pub fn external(&self, asn: Asn, address: IpAddr) -> Table {
        let conversion = Conversion {
            asn,
            prepend: Prepend::Auto,
            next_hop: NextHopChoice::Own,
            local: Some(address),
        };
        conversion.table(&self.table)
    }
}

/// The peers of a set of files.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// Those that said something, in the order of the dump.
    pub feeds: Vec<Feed>,
    /// Damage and oddities, with file and offset.
    pub notes: Vec<String>,
}

/// A peer to play; in text its place (from 0), its address, or its AS number as `AS64500`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChoice {
    /// By place: in the peer index of a dump, or in order of appearance.
    Place(usize),
    /// By address.
    Addr(IpAddr),
    /// By AS number.
    Asn(Asn),
}

impl FromStr for PeerChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(addr) = text.parse() {
            return Ok(PeerChoice::Addr(addr));
        }
        if let Ok(place) = text.parse() {
            return Ok(PeerChoice::Place(place));
        }
        match text
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("as"))
        {
            true => text
                .parse()
                .map(PeerChoice::Asn)
                .map_err(|_| bad_choice(text)),
            false => Err(bad_choice(text)),
        }
    }
}

fn bad_choice(text: &str) -> String {
    format!("`{text}` is no peer: a place from 0, an address, or AS and a number")
}

impl fmt::Display for PeerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerChoice::Place(place) => place.fmt(f),
            PeerChoice::Addr(addr) => addr.fmt(f),
            PeerChoice::Asn(asn) => write!(f, "AS{asn}"),
        }
    }
}

impl Feeds {
    /// Reads files, one after the other, as one dump: times count from the first update of all.
    ///
    /// # Errors
    /// A file cannot be opened, or nothing is left to play. Damage inside a file is a note.
    pub fn read(
        files: &[PathBuf],
        choices: &[PeerChoice],
        peers_max: usize,
        progress: &mut dyn Progress,
        began: Instant,
    ) -> Result<Feeds, ReplayError> {
        let mut reading = Reading {
            choices,
            peers_max,
            ..Reading::default()
        };
        for path in files {
            reading.file(path, progress, began)?;
        }
        let seen = reading.makers.len();
        let feeds = reading.finish();
        if feeds.feeds.is_empty() {
            let files = files.iter().map(|path| path.display().to_string());
            let files = files.collect::<Vec<_>>().join(", ");
            let why = match (seen, feeds.notes.first()) {
                (0, None) => format!("{files}: no routes"),
                (0, Some(note)) => format!("{files}: no routes; {note}"),
                (seen, _) => format!("{files}: none of its {seen} peers was chosen"),
            };
            return Err(ReplayError::Nothing(why));
        }
        Ok(feeds)
    }
}

#[derive(Default)]
struct Reading<'a> {
    choices: &'a [PeerChoice],
    peers_max: usize,
    by_peer: FastMap<(IpAddr, Asn), usize>,
    makers: Vec<Maker>,
    // Peers of the last PEER_INDEX_TABLE, by its places.
    index: Vec<usize>,
    first_time: Option<Duration>,
    notes: Vec<String>,
    scratch: AttrSetBuf,
}

/// Collects one peer's routes.
struct Maker {
    addr: IpAddr,
    asn: Asn,
    chosen: bool,
    // Of a RIB: sets by their raw octets, and routes by set.
    sets: FastMap<(Family, Box<[u8]>), u32>,
    canonical: Vec<(Family, Option<AttrSet>)>,
    routes: Vec<(u32, Nlri<Prefix>)>,
    trace: Table,
}

impl Reading<'_> {
    fn file(
        &mut self,
        path: &Path,
        progress: &mut dyn Progress,
        began: Instant,
    ) -> Result<(), ReplayError> {
        let mut file =
            MrtFile::open(path).map_err(|error| ReplayError::File(path.to_owned(), error))?;
        let read = file.progress().clone();
        let mut damaged = 0_u64;
        let mut shown = began;
        self.index.clear();
        while let Some(item) = file.next() {
            let result = match item {
                Ok(item) => self.record(&item.header, &item.record).map_err(|why| {
                    format!("record {} at offset {}: {why}", item.number, item.offset)
                }),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = result {
                damaged += 1;
                if damaged == 1 {
                    self.notes.push(format!("{}: {why}", path.display()));
                }
            }
            // A clock reading a record is cheap beside parsing one.
            if shown.elapsed() >= PROGRESS_INTERVAL {
                shown = Instant::now();
                progress.update(&Snapshot {
                    phase: Phase::Reading,
                    done: read.read(),
                    total: read.total().unwrap_or_else(|| read.read()),
                    received: 0,
                    elapsed: began.elapsed(),
                });
            }
        }
        if damaged > 1 {
            let more = damaged - 1;
            self.notes
                .push(format!("{}: {more} more such places", path.display()));
        }
        let skipped = file.skipped().lines();
        self.notes
            .extend(skipped.map(|line| format!("{}: {line}", path.display())));
        Ok(())
    }

    fn record(&mut self, header: &MrtHeader, record: &MrtRecord<'_>) -> Result<(), String> {
        match record {
            MrtRecord::PeerIndexTable(table) => return self.peer_index(table),
            MrtRecord::Rib(rib) => return self.rib(rib),
            MrtRecord::TableDump(dump) => return self.table_dump(dump),
            MrtRecord::Message(message) => return self.message(header, message),
            MrtRecord::Unsupported(_) if !header.name().is_registered() => {
                return Err(format!("{} is not known, skipped", header.name()));
            }
            // A lost session of the collector's is not played: what it says next replaces.
            _ => {}
        }
        Ok(())
    }

    fn peer_index(&mut self, table: &PeerIndexTable<'_>) -> Result<(), String> {
        self.index.clear();
        for peer in table.peers() {
            let place = self.place(peer.addr, peer.asn);
            self.index.push(place);
        }
        match table.wrong_peer_type() {
            Some((place, kind)) => Err(format!("peer {place} is of the unknown type {kind:#04x}")),
            None => Ok(()),
        }
    }

    /// The peer's place; a new peer gets the next.
    fn place(&mut self, addr: IpAddr, asn: Asn) -> usize {
        let next = self.makers.len();
        let place = *self.by_peer.entry((addr, asn)).or_insert(next);
        if place == next {
            let chosen = self.choices.is_empty()
                || self.choices.iter().any(|choice| match choice {
                    PeerChoice::Place(wanted) => *wanted == place,
                    PeerChoice::Addr(wanted) => *wanted == addr,
                    PeerChoice::Asn(wanted) => *wanted == asn,
                });
            self.makers.push(Maker {
                addr,
                asn,
                chosen,
                sets: FastMap::default(),
                canonical: Vec::new(),
                routes: Vec::new(),
                trace: Table::new(),
            });
        }
        place
    }

    fn rib(&mut self, rib: &Rib<'_>) -> Result<(), String> {
        if Family::from_wire(rib.family).is_none() {
            return Ok(());
        }
        let mut result = Ok(());
        for entry in rib.entries() {
            let Some(place) = self.index.get(usize::from(entry.peer_index)) else {
                result = Err(format!("peer {} is not in the index", entry.peer_index));
                continue;
            };
            let nlri = Nlri {
                path_id: entry.path_id,
                prefix: rib.prefix,
            };
            result = result.and(self.route(*place, nlri, entry.attrs, true));
        }
        result
    }

    fn table_dump(&mut self, dump: &TableDump<'_>) -> Result<(), String> {
        let mut result = Ok(());
        for entry in dump.entries() {
            let place = self.place(entry.peer_addr, entry.peer_as);
            let nlri = Nlri {
                path_id: 0,
                prefix: entry.prefix,
            };
            result = result.and(self.route(place, nlri, entry.attrs, false));
        }
        result
    }

    fn route(
        &mut self,
        place: usize,
        nlri: Nlri<Prefix>,
        attrs: &[u8],
        as4: bool,
    ) -> Result<(), String> {
        let Some(maker) = self.makers.get_mut(place).filter(|maker| maker.chosen) else {
            return Ok(());
        };
        let family = nlri.prefix.family();
        let next = maker.canonical.len() as u32;
        let mut result = Ok(());
        let set = *maker.sets.entry((family, attrs.into())).or_insert_with(|| {
            let set = match rib_entry_attrs(attrs, as4, &mut self.scratch) {
                Ok(set) => Some(AttrSet::new(set)),
                Err(error) => {
                    result = Err(format!("{}: {error}", nlri.prefix));
                    None
                }
            };
            maker.canonical.push((family, set));
            next
        });
        maker.routes.push((set, nlri));
        result
    }

    fn message(&mut self, header: &MrtHeader, message: &Bgp4mpMessage<'_>) -> Result<(), String> {
        if message.local {
            return Ok(());
        }
        let session = message.session;
        let framed = message::frame(message.message, EXTENDED_MESSAGE_LEN_MAX);
        let raw = match framed {
            Ok(Some(raw)) if raw.kind == MessageType::Update => raw,
            Ok(Some(_)) => return Ok(()),
            Ok(None) => return Err(format!("{}: a message is cut short", session.peer_addr)),
            Err(error) => return Err(format!("{}: {error}", session.peer_addr)),
        };
        let place = self.place(session.peer_addr, session.peer_as);
        let time = Duration::from_secs(header.timestamp.into())
            + Duration::from_micros(header.micros.unwrap_or_default().into());
        let at = time.saturating_sub(*self.first_time.get_or_insert(time));
        let Some(maker) = self.makers.get_mut(place).filter(|maker| maker.chosen) else {
            return Ok(());
        };
        let context = UpdateContext {
            as4: message.as4,
            external: session.peer_as != session.local_as,
            families: FamilySet::ALL,
            add_path: if message.add_path {
                FamilySet::ALL
            } else {
                FamilySet::EMPTY
            },
        };
        let view = UpdateView::parse(raw.body(), &context);
        maker.update(&view, at, &mut self.scratch);
        match view.verdict() {
            Verdict::Ok | Verdict::Discard => Ok(()),
            _ => {
                let why = view
                    .error()
                    .map_or("malformed".to_owned(), |error| error.to_string());
                Err(format!("UPDATE of {}: {why}", session.peer_addr))
            }
        }
    }

    fn finish(self) -> Feeds {
        let mut feeds = Vec::new();
        for maker in self.makers.into_iter().filter(|maker| maker.chosen) {
            if feeds.len() >= self.peers_max {
                break;
            }
            let (addr, asn, table) = (maker.addr, maker.asn, maker.table());
            if !table.is_empty() {
                feeds.push(Feed { addr, asn, table });
            }
        }
        Feeds {
            feeds,
            notes: self.notes,
        }
    }
}

impl Maker {
    /// An UPDATE's routes; under a verdict of withdraw the view gives them as withdrawn.
    fn update(&mut self, view: &UpdateView<'_>, at: Duration, scratch: &mut AttrSetBuf) {
        let wide4 = |nlri: Nlri<thruway_wire::Ipv4Prefix>| Nlri {
            path_id: nlri.path_id,
            prefix: Prefix::V4(nlri.prefix),
        };
        let wide6 = |nlri: Nlri<thruway_wire::Ipv6Prefix>| Nlri {
            path_id: nlri.path_id,
            prefix: Prefix::V6(nlri.prefix),
        };
        self.trace
            .push(at, None, Family::Ipv4, view.withdrawn4().map(wide4));
        self.trace
            .push(at, None, Family::Ipv6, view.withdrawn6().map(wide6));
        for (part, family) in view.announced() {
            let set = Some(AttrSet::new(view.canonical(part, scratch)));
            match family {
                Family::Ipv4 => {
                    self.trace
                        .push(at, set, family, view.announced4(part).map(wide4));
                }
                Family::Ipv6 => self
                    .trace
                    .push(at, set, family, view.announced6().map(wide6)),
            }
        }
    }

    /// The RIB's routes gathered by set, in the order in which the sets came up; then the trace.
    fn table(mut self) -> Table {
        // Stable: a set's prefixes stay in the dump's order.
        self.routes.sort_by_key(|(set, _)| *set);
        let mut table = Table::new();
        for run in self.routes.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((set, _)) = run.first() else {
                continue;
            };
            let Some((family, Some(set))) = self.canonical.get(*set as usize) else {
                continue;
            };
            let nlri = run.iter().map(|(_, nlri)| *nlri);
            table.push(Duration::ZERO, Some(set.clone()), *family, nlri);
        }
        if table.is_empty() {
            return self.trace;
        }
        for group in self.trace.groups() {
            table.push(
                group.at,
                group.set.clone(),
                group.family,
                self.trace.run(group).iter(),
            );
        }
        table
    }
}
