//! The updates of a churn that are under way: which, since when, and how long they took.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_wire::attrs::code;
use thruway_wire::update::UpdateView;

use super::ChurnOptions;
use super::expect::Expected;
use super::report::{Churn, Latency};
use super::template::{Feed, marked};
use crate::limits::{CHURN_LOST_AFTER, CHURN_TURN, CHURN_WINDOW, SEND_AHEAD_BYTES};
use crate::pack::Packing;
use crate::peer::Negotiated;
use crate::table::Table;

/// A churn as it runs.
pub(super) struct Churning {
    pub(super) feeds: Vec<Feed>,
    receivers: u32,
    in_flight_max: usize,
    rate: Option<u32>,
    calm: Option<Calm>,
    // Updates under way by the low bits of their number; `first` is the oldest that may be.
    window: Vec<Update>,
    under_way: usize,
    first: u32,
    next: u32,
    duration: Duration,
    start: Instant,
    stop_at: Instant,
    finished_at: Option<Instant>,
    updates: u64,
    prefixes: u64,
    lost: u64,
    latency: hdrhistogram::Histogram<u64>,
    /// Places became free: senders should be asked again.
    has_room: bool,
}

/// A neighbour that tells little, while the others flood.
struct Calm {
    sender: usize,
    rate: u32,
    sent: u64,
    latency: hdrhistogram::Histogram<u64>,
}

#[derive(Clone, Copy)]
struct Update {
    number: u32,
    /// Prefixes to arrive; 0 where the place is free.
    left: u32,
    sent: Instant,
    is_calm: bool,
}

impl Churning {
    /// `None` where no flooding sender has a group to itself, or there is nobody to see the updates.
    pub(super) fn new(
        options: ChurnOptions,
        senders: &[(&Table, Packing)],
        expected: &Expected,
        receivers: u32,
    ) -> Option<Self> {
        let feeds = senders.iter();
        let feeds: Vec<Feed> = feeds
            .map(|(table, packing)| Feed::new(table, packing, expected))
            .collect();
        let calm = options.calm.and_then(|rate| {
            Some(Calm {
                sender: feeds.len().checked_sub(1).filter(|last| *last > 0)?,
                rate,
                sent: 0,
                latency: histogram()?,
            })
        });
        let flooding = feeds.len() - usize::from(calm.is_some());
        let fewest = feeds.iter().take(flooding).map(|feed| feed.groups.len());
        let fewest = fewest.filter(|groups| *groups > 0).min()?;
        if receivers == 0 {
            return None;
        }
        // An update must have arrived before its group's turn comes again.
        let wanted = (options.in_flight as usize).clamp(1, fewest);
        let window = 1 << (CHURN_WINDOW * wanted).min(fewest).ilog2();
        let in_flight_max = wanted.min(window);
        let now = Instant::now();
        let free = Update {
            number: 0,
            left: 0,
            sent: now,
            is_calm: false,
        };
        Some(Churning {
            feeds,
            receivers,
            in_flight_max,
            rate: options.rate,
            calm,
            window: vec![free; window],
            under_way: 0,
            first: 0,
            next: 0,
            duration: options.duration,
            start: now,
            stop_at: now + options.duration,
            finished_at: None,
            updates: 0,
            prefixes: 0,
            lost: 0,
            latency: histogram()?,
            has_room: true,
        })
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.start = now;
        self.stop_at = now + self.duration;
    }

    /// Between two turns: updates at a rate go out in small portions.
    pub(super) fn pause(&self) -> Duration {
        match self.rate.is_some() || self.calm.is_some() {
            true => CHURN_TURN,
            false => Duration::from_millis(20),
        }
    }

    pub(super) fn wants_more(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.start);
        let calm = self.calm.as_ref();
        let due = self
            .rate
            .is_some_and(|rate| self.updates < due(rate, elapsed))
            || calm.is_some_and(|calm| calm.sent < due(calm.rate, elapsed));
        std::mem::take(&mut self.has_room) || due
    }

    fn slot(&mut self, number: u32) -> Option<&mut Update> {
        let index = number as usize & (self.window.len() - 1);
        self.window.get_mut(index)
    }

    /// Sends what may be under way.
    pub(super) fn fill(&mut self, sender: usize, outbox: &mut VecDeque<Bytes>, now: Instant) {
        if now >= self.stop_at {
            return;
        }
        let elapsed = now.saturating_duration_since(self.start);
        let mut out = Vec::new();
        if let Some(calm) = self.calm.as_ref().filter(|calm| calm.sender == sender) {
            let count = due(calm.rate, elapsed).saturating_sub(calm.sent);
            for _ in 0..count {
                if self.tell(sender, true, &mut out, now).is_none() {
                    break;
                }
            }
        } else {
            // Each sender has its share, so that the first one asked does not take all.
            let flooding = self.feeds.len() - usize::from(self.calm.is_some());
            let share = self.in_flight_max.div_ceil(flooding.max(1));
            let due = self.rate.map_or(u64::MAX, |rate| due(rate, elapsed));
            let mut taken = 0;
            while taken < share
                && self.under_way < self.in_flight_max
                && self.updates < due
                && out.len() < SEND_AHEAD_BYTES
                && self.tell(sender, false, &mut out, now).is_some()
            {
                taken += 1;
            }
        }
        if !out.is_empty() {
            outbox.push_back(Bytes::from(out));
        }
    }

    /// Appends a sender's next update; `None` where the window is full.
    fn tell(
        &mut self,
        sender: usize,
        is_calm: bool,
        out: &mut Vec<u8>,
        now: Instant,
    ) -> Option<()> {
        let number = self.next;
        // The window is full where an old update is still under way.
        if self.slot(number)?.left > 0 {
            return None;
        }
        let prefixes = self.feeds.get_mut(sender)?.tell(number, out)?;
        let left = prefixes * self.receivers;
        *self.slot(number)? = Update {
            number,
            left,
            sent: now,
            is_calm,
        };
        self.next = self.next.wrapping_add(1);
        match &mut self.calm {
            Some(calm) if is_calm => calm.sent += 1,
            _ => {
                self.under_way += 1;
                self.updates += 1;
                self.prefixes += u64::from(prefixes);
            }
        }
        Some(())
    }

    /// An UPDATE came at a receiver; true where it is one of ours.
    pub(super) fn arrived(&mut self, body: &[u8], negotiated: &Negotiated, now: Instant) -> bool {
        let view = UpdateView::parse(body, &negotiated.context());
        let attr = view
            .attributes()
            .find(|attr| attr.code == code::LARGE_COMMUNITIES);
        let Some(number) = attr.and_then(|attr| marked(attr.value)) else {
            return false;
        };
        let mut prefixes = view.announced6().count();
        for (part, _) in view.announced() {
            prefixes += view.announced4(part).count();
        }
        let Some(update) = self.slot(number) else {
            return true;
        };
        if update.number != number || update.left == 0 {
            return true;
        }
        update.left = update.left.saturating_sub(prefixes as u32);
        if update.left > 0 {
            return true;
        }
        let is_calm = update.is_calm;
        let micros = now.saturating_duration_since(update.sent).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        match &mut self.calm {
            Some(calm) if is_calm => calm.latency.saturating_record(micros),
            _ => {
                self.latency.saturating_record(micros);
                self.under_way -= 1;
                self.has_room = true;
                self.finished_at = Some(now);
            }
        }
        true
    }

    /// Gives up on updates that are under way too long; true when all is over.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        while self.first != self.next {
            let number = self.first;
            let Some(update) = self.slot(number) else {
                break;
            };
            if update.number == number && update.left > 0 {
                if now.saturating_duration_since(update.sent) < CHURN_LOST_AFTER {
                    break;
                }
                update.left = 0;
                let is_calm = update.is_calm;
                self.lost += 1;
                self.under_way -= usize::from(!is_calm);
                self.has_room = true;
            }
            self.first = self.first.wrapping_add(1);
        }
        now >= self.stop_at && self.under_way == 0
    }

    /// How much time has passed, and how much there is.
    pub(super) fn elapsed(&self, now: Instant) -> (Duration, Duration) {
        let whole = self.stop_at - self.start;
        (now.saturating_duration_since(self.start).min(whole), whole)
    }

    pub(super) fn report(&self) -> Churn {
        let end = self.finished_at.unwrap_or(self.stop_at);
        let seconds = end.saturating_duration_since(self.start).as_secs_f64();
        let rate = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        Churn {
            updates: self.updates,
            prefixes: self.prefixes,
            lost: self.lost,
            seconds,
            updates_per_second: rate(self.updates - self.lost),
            prefixes_per_second: rate(self.prefixes),
            latency: Latency::of(&self.latency),
            calm: self
                .calm
                .as_ref()
                .and_then(|calm| Latency::of(&calm.latency)),
        }
    }
}

/// How many updates a rate allows until now.
fn due(rate: u32, elapsed: Duration) -> u64 {
    (elapsed.as_secs_f64() * f64::from(rate)) as u64
}

/// From a microsecond to ten minutes, to three digits.
fn histogram() -> Option<hdrhistogram::Histogram<u64>> {
    hdrhistogram::Histogram::new_with_bounds(1, 600_000_000, 3).ok()
}
