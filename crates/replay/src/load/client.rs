//! The sessions' states: what each sender has told and each receiver has got.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::churning::Churning;
use super::expect::{Expected, Place};
use super::memo::Memo;
use super::report::Failure;
use super::tally::{Probes, Tally, World};
use super::{LoadOptions, Speed};
use crate::endpoint::Handler;
use crate::limits::SEND_AHEAD_BYTES;
use crate::pack::Packed;
use crate::peer::{Negotiated, SessionEnd};
use crate::table::Table;

/// All sessions: the senders' first, then the receivers'. Where members send and receive both, the
/// senders are the first receivers, too.
pub(super) struct Client {
    pub(super) senders: Vec<Sender>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) expected: Expected,
    pub(super) clock: Option<Clock>,
    pub(super) churn: Option<Churning>,
    pub(super) memo: Memo,
    pub(super) failures: Vec<Failure>,
    pub(super) speed: Speed,
    /// The session of the first receiver.
    first_receiver: usize,
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
        let members = options.senders.iter().map(|sender| &sender.session);
        let members = members.take(if options.exchange { usize::MAX } else { 0 });
        let receivers = members.chain(&options.receivers).map(|session| Receiver {
            name: session.name.clone(),
            up: None,
            ended: false,
            tally: None,
        });
        let receivers: Vec<Receiver> = receivers.collect();
        Client {
            senders: senders.collect(),
            memo: Memo::new(receivers.len()),
            receivers,
            expected: Expected::default(),
            clock: None,
            churn: None,
            failures: Vec::new(),
            speed: options.speed,
            first_receiver: if options.exchange {
                0
            } else {
                options.senders.len()
            },
            closing: false,
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.first_receiver + self.receivers.len()
    }

    pub(super) fn up(&self) -> usize {
        let senders = self.senders.iter().take(self.first_receiver);
        let senders = senders.filter(|sender| sender.up.is_some());
        let receivers = self.receivers.iter();
        senders.count() + receivers.filter(|receiver| receiver.up.is_some()).count()
    }

    fn receiver(&mut self, session: usize) -> Option<&mut Receiver> {
        let index = session.checked_sub(self.first_receiver)?;
        self.receivers.get_mut(index)
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

    /// Starts every sender's table again from the first chunk.
    pub(super) fn rewind(&mut self) {
        self.senders.iter_mut().for_each(Sender::again);
    }
}

impl Sender {
    /// Starts the table again from the first chunk.
    pub(super) fn again(&mut self) {
        self.next = 0;
        self.next_probe = self.probes.len();
        self.sent_all_at = None;
    }

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
        if let Some(sender) = self.senders.get_mut(index) {
            sender.up = Some(negotiated.clone());
        }
        if let Some(receiver) = self.receiver(index) {
            receiver.up = Some(negotiated.clone());
        }
    }

    fn update(&mut self, index: usize, body: &[u8], negotiated: &Negotiated, now: Instant) {
        // What a mere sender hears is not its business.
        let Some(index) = index.checked_sub(self.first_receiver) else {
            return;
        };
        let (Some(receiver), Some(clock)) = (self.receivers.get_mut(index), &mut self.clock) else {
            return;
        };
        if let Some(churn) = &mut self.churn
            && churn.arrived(body, negotiated, now)
        {
            return;
        }
        if let Some(tally) = &mut receiver.tally {
            let world = World {
                expected: &self.expected,
                probes: &mut clock.probes,
                memo: &mut self.memo,
                now,
            };
            tally.update(body, negotiated, world);
        }
    }

    fn ended(&mut self, index: usize, end: SessionEnd) {
        let mut name = None;
        if let Some(sender) = self.senders.get_mut(index) {
            sender.ended = true;
            name = Some(sender.name.clone());
        }
        if let Some(receiver) = self.receiver(index) {
            receiver.ended = true;
            name = Some(receiver.name.clone());
        }
        if let Some(name) = name.filter(|_| !self.closing) {
            self.failures.push(Failure {
                session: name,
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
            churn.fill(index, outbox, now);
        }
    }
}
