//! Updates without end, so many of them under way at a time.
//!
//! Each update tells one group's prefixes again, with a large community (RFC 8092) that names the
//! update, so that its arrival can be told from an earlier one's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_wire::LargeCommunity;
use thruway_wire::attrs::{AttrSet, AttrSetBuf, code};
use thruway_wire::update::UpdateView;

use super::ChurnOptions;
use super::expect::Expected;
use super::report::{Churn, Latency};
use crate::hash::FastMap;
use crate::limits::{CHURN_LOST_AFTER, SEND_AHEAD_BYTES};
use crate::pack::{Packing, append};
use crate::peer::Negotiated;
use crate::table::Table;

/// The marks' first part: the last private AS number (RFC 6996), which no path of a dump has.
const MARK: u32 = 4_294_967_294;

pub(super) struct Churning {
    feeds: Vec<Feed>,
    receivers: u32,
    in_flight_max: usize,
    next: u32,
    // By number; and the numbers in order, for the ones that never arrive.
    under_way: FastMap<u32, Update>,
    order: VecDeque<(u32, Instant)>,
    start: Instant,
    stop_at: Instant,
    finished_at: Option<Instant>,
    updates: u64,
    prefixes: u64,
    lost: u64,
    latency: hdrhistogram::Histogram<u64>,
    set: AttrSetBuf,
    /// Places became free: senders should be asked again.
    pub(super) has_room: bool,
}

/// One sender's groups that nobody else tells.
struct Feed {
    packing: Packing,
    groups: Vec<u32>,
    cursor: usize,
}

struct Update {
    sent: Instant,
    left: u32,
}

impl Churning {
    /// `None` where no sender has a group to itself, or there is nobody to see the updates.
    pub(super) fn new(
        options: ChurnOptions,
        senders: &[(&Table, Packing)],
        expected: &Expected,
        receivers: u32,
        now: Instant,
    ) -> Option<Self> {
        let feeds: Vec<Feed> = senders
            .iter()
            .map(|(table, packing)| Feed {
                packing: *packing,
                groups: own_groups(table, expected),
                cursor: 0,
            })
            .collect();
        let groups: usize = feeds.iter().map(|feed| feed.groups.len()).sum();
        if groups == 0 || receivers == 0 {
            return None;
        }
        let latency = hdrhistogram::Histogram::new_with_bounds(1, 600_000_000, 3).ok()?;
        Some(Churning {
            feeds,
            receivers,
            // An update must have arrived before its group's turn comes again.
            in_flight_max: (options.in_flight as usize).clamp(1, groups),
            next: 0,
            under_way: FastMap::default(),
            order: VecDeque::new(),
            start: now,
            stop_at: now + options.duration,
            finished_at: None,
            updates: 0,
            prefixes: 0,
            lost: 0,
            latency,
            set: AttrSetBuf::new(),
            has_room: true,
        })
    }

    /// Sends what may be under way.
    pub(super) fn fill(
        &mut self,
        sender: usize,
        table: &Table,
        outbox: &mut VecDeque<Bytes>,
        now: Instant,
    ) {
        // Each sender has its share, so that the first one asked does not take all.
        let share = self.in_flight_max.div_ceil(self.feeds.len());
        let Some(feed) = self.feeds.get_mut(sender) else {
            return;
        };
        let mut out = Vec::new();
        let mut taken = 0;
        while now < self.stop_at
            && taken < share
            && self.under_way.len() < self.in_flight_max
            && out.len() < SEND_AHEAD_BYTES
        {
            taken += 1;
            let Some(index) = feed.groups.get(feed.cursor) else {
                break;
            };
            feed.cursor = (feed.cursor + 1) % feed.groups.len();
            let Some(group) = table.groups().get(*index as usize) else {
                break;
            };
            let Some(set) = &group.set else { continue };
            self.set.copy_from(set.as_ref());
            self.set.add_community(mark(self.next));
            let mut marked = group.clone();
            marked.set = Some(AttrSet::new(self.set.as_ref()));
            if append(&mut out, table, &marked, &feed.packing).is_err() {
                continue;
            }
            let prefixes = group.len() as u32;
            self.under_way.insert(
                self.next,
                Update {
                    sent: now,
                    left: prefixes * self.receivers,
                },
            );
            self.order.push_back((self.next, now));
            self.next = self.next.wrapping_add(1);
            self.updates += 1;
            self.prefixes += u64::from(prefixes);
        }
        if !out.is_empty() {
            outbox.push_back(Bytes::from(out));
        }
    }

    /// An UPDATE came at a receiver.
    pub(super) fn arrived(&mut self, body: &[u8], negotiated: &Negotiated, now: Instant) {
        let view = UpdateView::parse(body, &negotiated.context());
        let attr = view
            .attributes()
            .find(|attr| attr.code == code::LARGE_COMMUNITIES);
        let Some(number) = attr.and_then(|attr| marked(attr.value)) else {
            return;
        };
        let mut prefixes = view.announced6().count();
        for (part, _) in view.announced() {
            prefixes += view.announced4(part).count();
        }
        let Some(update) = self.under_way.get_mut(&number) else {
            return;
        };
        update.left = update.left.saturating_sub(prefixes as u32);
        if update.left == 0 {
            let micros = now.saturating_duration_since(update.sent).as_micros();
            self.latency
                .saturating_record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
            self.under_way.remove(&number);
            self.has_room = true;
            self.finished_at = Some(now);
        }
    }

    /// Gives up on updates that are under way too long; true when all is over.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        while let Some((number, sent)) = self.order.front() {
            let is_lost = now.saturating_duration_since(*sent) >= CHURN_LOST_AFTER;
            let is_under_way = self.under_way.contains_key(number);
            if is_under_way && !is_lost {
                break;
            }
            if is_under_way {
                self.under_way.remove(number);
                self.lost += 1;
                self.has_room = true;
            }
            self.order.pop_front();
        }
        now >= self.stop_at && self.under_way.is_empty()
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
        }
    }
}

/// Groups of which every prefix is told by this table alone, and gets through to receivers.
fn own_groups(table: &Table, expected: &Expected) -> Vec<u32> {
    let is_own = |nlri: thruway_wire::Nlri<thruway_wire::Prefix>| {
        expected.place(nlri.prefix).is_some_and(|place| {
            expected.is_required(place.index()) && expected.offers(place.index()).len() == 1
        })
    };
    let groups = table.groups().iter().enumerate();
    let own =
        groups.filter(|(_, group)| group.set.is_some() && table.run(group).iter().all(is_own));
    own.map(|(index, _)| index as u32).collect()
}

fn mark(number: u32) -> LargeCommunity {
    LargeCommunity {
        global: MARK,
        local1: number,
        local2: 0,
    }
}

/// The number in a LARGE_COMMUNITIES value.
fn marked(value: &[u8]) -> Option<u32> {
    let (communities, _) = value.as_chunks::<12>();
    communities.iter().find_map(|community| {
        let (words, _) = community.as_chunks::<4>();
        let [global, number, _] = words else {
            return None;
        };
        (u32::from_be_bytes(*global) == MARK).then(|| u32::from_be_bytes(*number))
    })
}
