//! The sessions' states: what each sender has told and each receiver has got.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::churn::Churning;
use super::expect::{Expected, Place};
use super::report::Failure;
use super::tally::{Probes, Tally};
use super::{LoadOptions, Speed};
use crate::endpoint::Handler;
use crate::limits::SEND_AHEAD_BYTES;
use crate::pack::Packed;
use crate::peer::{Negotiated, SessionEnd};
use crate::table::Table;

/// All sessions: the senders' first, then the receivers'.
pub(super) struct Client {
    pub(super) senders: Vec<Sender>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) expected: Expected,
    pub(super) clock: Option<Clock>,
    pub(super) churn: Option<Churning>,
    pub(super) failures: Vec<Failure>,
    pub(super) speed: Speed,
    /// Sessions end because we end them.
    pub(super) closing: bool,
}

/// Runs from the first octet on.
pub(super) struct Clock {
    pub(super) start: Instant,
    pub(super) probes: Probes,
}

pub(super) struct Sender {
    pub(super) name: String,
    pub(super) table: Arc<Table>,
    pub(super) packed: Packed,
    /// Probes by the chunk that they are in, ascending.
    pub(super) probes: Vec<(usize, Place)>,
    next_probe: usize,
    pub(super) next: usize,
    pub(super) up: Option<Negotiated>,
    pub(super) ended: bool,
    pub(super) nlri: u64,
    pub(super) sent_all_at: Option<Instant>,
}

pub(super) struct Receiver {
    pub(super) name: String,
    pub(super) up: Option<Negotiated>,
    pub(super) ended: bool,
    pub(super) tally: Option<Tally>,
}

impl Client {
    pub(super) fn new(options: &LoadOptions) -> Self {
        let senders = options.senders.iter().map(|sender| Sender {
            name: sender.session.name.clone(),
            table: Arc::clone(&sender.table),
            packed: Packed::default(),
            probes: Vec::new(),
            next_probe: 0,
            next: 0,
            up: None,
            ended: false,
            nlri: 0,
            sent_all_at: None,
        });
        let receivers = options.receivers.iter().map(|session| Receiver {
            name: session.name.clone(),
            up: None,
            ended: false,
            tally: None,
        });
        Client {
            senders: senders.collect(),
            receivers: receivers.collect(),
            expected: Expected::default(),
            clock: None,
            churn: None,
            failures: Vec::new(),
            speed: options.speed,
            closing: false,
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.senders.len() + self.receivers.len()
    }

    pub(super) fn up(&self) -> usize {
        self.senders
            .iter()
            .filter(|sender| sender.up.is_some())
            .count()
            + self
                .receivers
                .iter()
                .filter(|receiver| receiver.up.is_some())
                .count()
    }

    /// Every sender that still can has told everything.
    pub(super) fn all_sent(&self) -> bool {
        self.senders
            .iter()
            .all(|sender| sender.ended || sender.sent_all_at.is_some())
    }

    /// Every receiver that still can has everything.
    pub(super) fn all_received(&self) -> bool {
        self.tallies().all(Tally::is_complete)
    }

    pub(super) fn all_quiet(&self, now: Instant, since: Instant, quiet: Duration) -> bool {
        self.tallies()
            .all(|tally| tally.quiet_for(now, since) >= quiet)
    }

    /// The tallies of receivers whose sessions stand.
    pub(super) fn tallies(&self) -> impl Iterator<Item = &Tally> {
        let standing = self.receivers.iter().filter(|receiver| !receiver.ended);
        standing.filter_map(|receiver| receiver.tally.as_ref())
    }

    /// Counts that grow while anything moves.
    pub(super) fn movement(&self) -> (u64, u64) {
        let sent = self.senders.iter().map(|sender| sender.next as u64).sum();
        (sent, self.received())
    }

    pub(super) fn received(&self) -> u64 {
        let tallies = self
            .receivers
            .iter()
            .filter_map(|receiver| receiver.tally.as_ref());
        tallies.map(|tally| tally.announced + tally.withdrawn).sum()
    }

    /// The senders with a chunk to send at `now`, and when the next one has.
    pub(super) fn due(&self, now: Instant) -> (Vec<usize>, Option<Instant>) {
        let Some(clock) = &self.clock else {
            return (Vec::new(), None);
        };
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (index, sender) in self
            .senders
            .iter()
            .enumerate()
            .filter(|(_, sender)| !sender.ended)
        {
            let Some(chunk) = sender.packed.chunks.get(sender.next) else {
                continue;
            };
            let at = clock.start + self.speed.due(chunk.at);
            if at <= now {
                due.push(index);
            } else {
                next = Some(next.map_or(at, |earlier| earlier.min(at)));
            }
        }
        (due, next)
    }

    /// Starts a sender's table again from the first chunk.
    pub(super) fn rewind(&mut self) {
        for sender in &mut self.senders {
            sender.next = 0;
            sender.next_probe = sender.probes.len();
            sender.sent_all_at = None;
        }
    }
}

impl Sender {
    /// The next chunks that are due, as far as they should be queued.
    fn fill(
        &mut self,
        speed: Speed,
        clock: &mut Clock,
        outbox: &mut VecDeque<Bytes>,
        now: Instant,
    ) {
        let mut bytes = 0;
        while let Some(chunk) = self.packed.chunks.get(self.next) {
            let due = clock.start + speed.due(chunk.at);
            if due > now || bytes >= SEND_AHEAD_BYTES {
                return;
            }
            bytes += chunk.bytes.len();
            self.nlri += chunk.nlri;
            outbox.push_back(chunk.bytes.clone());
            while let Some((_, place)) = self
                .probes
                .get(self.next_probe)
                .filter(|(chunk, _)| *chunk <= self.next)
            {
                clock.probes.sent(*place, now);
                self.next_probe += 1;
            }
            self.next += 1;
        }
        if bytes == 0 {
            // Asked again with nothing left: the last octet is with the kernel.
            self.sent_all_at.get_or_insert(now);
        }
    }
}

impl Handler for Client {
    fn established(&mut self, index: usize, negotiated: &Negotiated, _now: Instant) {
        let up = match index.checked_sub(self.senders.len()) {
            None => self.senders.get_mut(index).map(|sender| &mut sender.up),
            Some(index) => self
                .receivers
                .get_mut(index)
                .map(|receiver| &mut receiver.up),
        };
        if let Some(up) = up {
            *up = Some(negotiated.clone());
        }
    }

    fn update(&mut self, index: usize, body: &[u8], negotiated: &Negotiated, now: Instant) {
        // What a sender hears is not its business.
        let Some(index) = index.checked_sub(self.senders.len()) else {
            return;
        };
        let (Some(receiver), Some(clock)) = (self.receivers.get_mut(index), &mut self.clock) else {
            return;
        };
        if let Some(tally) = &mut receiver.tally {
            tally.update(body, negotiated, &self.expected, &mut clock.probes, now);
        }
        if let Some(churn) = &mut self.churn {
            churn.arrived(body, negotiated, now);
        }
    }

    fn ended(&mut self, index: usize, end: SessionEnd) {
        let name = match index.checked_sub(self.senders.len()) {
            None => self.senders.get_mut(index).map(|sender| {
                sender.ended = true;
                &sender.name
            }),
            Some(index) => self.receivers.get_mut(index).map(|receiver| {
                receiver.ended = true;
                &receiver.name
            }),
        };
        if let Some(name) = name.filter(|_| !self.closing) {
            self.failures.push(Failure {
                session: name.clone(),
                error: end.to_string(),
            });
        }
    }

    fn more(&mut self, index: usize, outbox: &mut VecDeque<Bytes>, now: Instant) {
        let (Some(sender), Some(clock)) = (self.senders.get_mut(index), &mut self.clock) else {
            return;
        };
        sender.fill(self.speed, clock, outbox, now);
        if let (true, Some(churn)) = (outbox.is_empty(), &mut self.churn) {
            churn.fill(index, &sender.table, outbox, now);
        }
    }
}
