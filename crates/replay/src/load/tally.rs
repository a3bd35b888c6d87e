//! What one receiver got so far.

use std::time::{Duration, Instant};

use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::update::{Part, UpdateView, Verdict};
use thruway_wire::{Family, FamilySet, Prefix};

use super::expect::{Comparison, Expected, Place};
use super::memo::Memo;
use crate::hash::FastMap;
use crate::limits::{STRANGE_SETS_MAX, UNEXPECTED_MAX};
use crate::peer::Negotiated;

/// Which expected prefixes are there, and with which attributes: a fingerprint for each place.
struct Seen(Vec<u32>);

/// Not there.
const ABSENT: u32 = 0;
/// There, where attributes are not compared.
const THERE: u32 = 1;
/// The receiver tells this prefix itself: it must not hear it.
const OWN: u32 = u32::MAX;

impl Seen {
    /// Notes what is there now; returns what was.
    #[inline]
    fn put(&mut self, index: usize, print: u32) -> u32 {
        match self.0.get_mut(index) {
            Some(slot) if *slot == OWN => OWN,
            Some(slot) => std::mem::replace(slot, print),
            None => THERE,
        }
    }

    /// Notes that nothing is there; returns what was.
    #[inline]
    fn take(&mut self, index: usize) -> u32 {
        self.put(index, ABSENT)
    }
}

/// Times probes: when each was sent, and how long its way took.
pub(crate) struct Probes {
    start: Instant,
    // Microseconds from the start, 0 before the prefix is sent; by place.
    sent: Vec<u32>,
    contested: bool,
    pub(crate) latency: hdrhistogram::Histogram<u64>,
}

impl Probes {
    pub(crate) fn new(start: Instant, places: usize, contested: bool) -> Self {
        // From a microsecond to ten minutes, to three digits: the bounds are constants and valid.
        let latency = hdrhistogram::Histogram::new_with_bounds(1, 600_000_000, 3)
            .expect("the histogram's constant bounds are valid");
        Probes {
            start,
            sent: vec![0; places],
            contested,
            latency,
        }
    }

    /// A probe goes out. Where several peers tell the same prefix the first one counts: which path
    /// comes back, and when, is then the server's choice.
    pub(crate) fn sent(&mut self, place: Place, now: Instant) {
        let micros = self.micros(now);
        let contested = self.contested;
        if let Some(slot) = self
            .sent
            .get_mut(place.index())
            .filter(|slot| !contested || **slot == 0)
        {
            *slot = micros;
        }
    }

    /// A probe arrived at a receiver that has `heard` others: its first arrival counts.
    fn arrived(&mut self, index: usize, heard: &mut FastMap<u32, u32>, now: Instant) {
        let sent = self.sent.get(index).copied().unwrap_or_default();
        if sent != 0 && heard.insert(index as u32, sent) != Some(sent) {
            let micros = self.micros(now).saturating_sub(sent);
            self.latency.saturating_record(u64::from(micros).max(1));
        }
    }

    fn micros(&self, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(self.start).as_micros();
        u32::try_from(micros).unwrap_or(u32::MAX).max(1)
    }
}

/// What receivers share while an UPDATE is read.
pub(crate) struct World<'a> {
    pub(crate) expected: &'a Expected,
    pub(crate) probes: &'a mut Probes,
    pub(crate) memo: &'a mut Memo,
    pub(crate) now: Instant,
}

/// One receiver's table and counts.
pub(crate) struct Tally {
    seen: Seen,
    verify: bool,
    comparison: Comparison,
    left: u64,
    pub(crate) unexpected: FastMap<Prefix, ()>,
    /// Sets that nobody sent, for the report: kept by fingerprint, a bounded number of them.
    pub(crate) strange: FastMap<u32, AttrSet>,
    /// Prefixes that came back to who sent them.
    pub(crate) reflected: u64,
    pub(crate) messages: u64,
    pub(crate) announced: u64,
    pub(crate) withdrawn: u64,
    pub(crate) end_of_rib: FamilySet,
    /// UPDATEs with errors, and the first of them in words.
    pub(crate) malformed: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) changed_at: Option<Instant>,
    // Probes that came: place and time of sending.
    heard: FastMap<u32, u32>,
    scratch: AttrSetBuf,
}

impl Tally {
    pub(crate) fn new(expected: &Expected, verify: bool, comparison: Comparison) -> Self {
        Tally {
            seen: Seen(vec![ABSENT; expected.len()]),
            verify,
            comparison,
            left: expected.required(),
            unexpected: FastMap::default(),
            strange: FastMap::default(),
            reflected: 0,
            messages: 0,
            announced: 0,
            withdrawn: 0,
            end_of_rib: FamilySet::EMPTY,
            malformed: 0,
            first_error: None,
            changed_at: None,
            heard: FastMap::default(),
            scratch: AttrSetBuf::new(),
        }
    }

    /// Every required prefix is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Required prefixes that are not there.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// A prefix's fingerprint, or something where attributes are not compared.
    pub(crate) fn print(&self, index: usize) -> Option<u32> {
        let print = self.seen.0.get(index).copied();
        print.filter(|print| ![ABSENT, OWN].contains(print))
    }

    /// True where the receiver tells the prefix itself, and nobody else does.
    pub(crate) fn is_own(&self, index: usize) -> bool {
        self.seen.0.get(index) == Some(&OWN)
    }

    /// The receiver tells this prefix itself, and nobody else does: it must not come back.
    pub(crate) fn leave_out(&mut self, index: usize, expected: &Expected) {
        let was = self.seen.put(index, OWN);
        if was == ABSENT {
            self.left -= u64::from(expected.is_required(index));
        }
    }

    /// What came for this prefix so far does not count: it must come again.
    pub(crate) fn forget(&mut self, place: Place, expected: &Expected) {
        self.take(place, expected);
    }

    pub(crate) fn update(&mut self, body: &[u8], negotiated: &Negotiated, mut world: World<'_>) {
        self.messages += 1;
        if self.recalled(body, &mut world) {
            return;
        }
        let World {
            expected,
            probes,
            memo,
            now,
        } = world;
        let view = UpdateView::parse(body, &negotiated.context());
        memo.begin();
        if view.verdict() != Verdict::Ok {
            memo.spoil();
            self.malformed += 1;
            let describe = || {
                view.error()
                    .map_or("malformed".to_owned(), |e| e.to_string())
            };
            self.first_error.get_or_insert_with(describe);
        }
        if let Some(family) = view.end_of_rib() {
            self.end_of_rib.insert(family);
            return;
        }
        let nlri = self.announced + self.withdrawn;
        for prefix in view.withdrawn4() {
            let place = expected.place4(&prefix.prefix);
            memo.note(place);
            self.withdraw(place, prefix.prefix, expected);
        }
        for prefix in view.withdrawn6() {
            let place = expected.place6(&prefix.prefix);
            memo.note(place);
            self.withdraw(place, prefix.prefix, expected);
        }
        let mut only = None;
        for (part, family) in view.announced() {
            let print = self.print_of(&view, part, expected);
            // Withdrawals before it, or another run, make a message that is read each time.
            if only.replace(print).is_some() || self.announced + self.withdrawn != nlri {
                memo.spoil();
            }
            match family {
                Family::Ipv4 => view.announced4(part).for_each(|nlri| {
                    let place = expected.place4(&nlri.prefix);
                    memo.note(place);
                    self.announce(place, nlri.prefix, print, expected, probes, now);
                }),
                Family::Ipv6 => view.announced6().for_each(|nlri| {
                    let place = expected.place6(&nlri.prefix);
                    memo.note(place);
                    self.announce(place, nlri.prefix, print, expected, probes, now);
                }),
            }
        }
        if self.announced + self.withdrawn != nlri {
            self.changed_at = Some(now);
        }
        memo.learn(body, only);
    }

    /// True where the same message came before, at any receiver.
    fn recalled(&mut self, body: &[u8], world: &mut World<'_>) -> bool {
        let expected = world.expected;
        let Some((lesson, places)) = world.memo.recall(body) else {
            return false;
        };
        match lesson.print {
            Some(print) => {
                self.announced += places.len() as u64;
                for place in places {
                    self.put(*place, print, expected, world.probes, world.now);
                }
            }
            None => {
                self.withdrawn += places.len() as u64;
                places.iter().for_each(|place| self.take(*place, expected));
            }
        }
        self.changed_at = Some(world.now);
        true
    }

    fn print_of(&mut self, view: &UpdateView<'_>, part: Part, expected: &Expected) -> u32 {
        if !self.verify {
            return THERE;
        }
        view.canonical(part, &mut self.scratch);
        let print = self.comparison.received(&mut self.scratch);
        // Is it one that somebody sent for the first prefix of the run? If not, keep it to show.
        let first = match view.announced().find(|(other, _)| *other == part) {
            Some((_, Family::Ipv4)) => view
                .announced4(part)
                .next()
                .and_then(|nlri| expected.place4(&nlri.prefix)),
            _ => view
                .announced6()
                .next()
                .and_then(|nlri| expected.place6(&nlri.prefix)),
        };
        let known = first.is_some_and(|place| {
            expected
                .offers(place.index())
                .iter()
                .any(|offer| offer.print == print)
        });
        if !known && self.strange.len() < STRANGE_SETS_MAX {
            let set = self.scratch.as_ref();
            self.strange
                .entry(print)
                .or_insert_with(|| AttrSet::new(set));
        }
        print
    }

    #[inline]
    fn announce(
        &mut self,
        place: Option<Place>,
        prefix: impl Into<Prefix>,
        print: u32,
        expected: &Expected,
        probes: &mut Probes,
        now: Instant,
    ) {
        self.announced += 1;
        let Some(place) = place else {
            if self.unexpected.len() < UNEXPECTED_MAX {
                self.unexpected.insert(prefix.into(), ());
            }
            return;
        };
        self.put(place, print, expected, probes, now);
    }

    #[inline]
    fn put(
        &mut self,
        place: Place,
        print: u32,
        expected: &Expected,
        probes: &mut Probes,
        now: Instant,
    ) {
        let index = place.index();
        match self.seen.put(index, print) {
            ABSENT => self.left -= u64::from(expected.is_required(index)),
            OWN => self.reflected += 1,
            _ => {}
        }
        if place.is_probe() {
            probes.arrived(index, &mut self.heard, now);
        }
    }

    #[inline]
    fn withdraw(&mut self, place: Option<Place>, prefix: impl Into<Prefix>, expected: &Expected) {
        self.withdrawn += 1;
        match place {
            Some(place) => self.take(place, expected),
            None => {
                self.unexpected.remove(&prefix.into());
            }
        }
    }

    #[inline]
    fn take(&mut self, place: Place, expected: &Expected) {
        let index = place.index();
        if ![ABSENT, OWN].contains(&self.seen.take(index)) {
            self.left += u64::from(expected.is_required(index));
        }
    }

    /// How long nothing came.
    pub(crate) fn quiet_for(&self, now: Instant, since: Instant) -> Duration {
        now.saturating_duration_since(self.changed_at.unwrap_or(since).max(since))
    }
}
