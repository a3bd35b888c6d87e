//! What a run came to, written into its report.

use std::time::{Duration, Instant};

use thruway_wire::attrs::AttrFlags;

use super::client::Sender;
use super::report::{Failure, Flow, Latency, Report};
use super::run::{Measured, Runner};

impl Runner<'_> {
    pub(super) fn give_up(&mut self, why: &str) {
        let idle = self.options.patience.idle.as_secs_f64();
        let unsent = self
            .client
            .senders
            .iter()
            .filter(|s| !s.ended && s.sent_all_at.is_none());
        let unsent: Vec<_> = unsent.map(|sender| sender.name.clone()).collect();
        for session in unsent {
            let error = format!("{why} ({idle} s idle at most): the neighbour does not read");
            self.client.failures.push(Failure { session, error });
        }
        let incomplete = self
            .client
            .receivers
            .iter()
            .filter(|receiver| !receiver.ended);
        let incomplete = incomplete.filter_map(|receiver| {
            let left = receiver.tally.as_ref()?.left();
            (left > 0).then(|| (receiver.name.clone(), left))
        });
        for (session, left) in incomplete.collect::<Vec<_>>() {
            let error = format!("{why}: {left} prefixes did not come");
            self.client.failures.push(Failure { session, error });
        }
    }

    pub(super) fn fill_in(&mut self, report: &mut Report, measured: &Measured) {
        let client = &self.client;
        let Some(clock) = &client.clock else { return };
        let since = |at: Option<Instant>| {
            at.map_or(Duration::ZERO, |at| {
                at.saturating_duration_since(clock.start)
            })
        };
        let sent_at = client
            .senders
            .iter()
            .filter_map(|sender| sender.sent_all_at)
            .max();
        let sum = |count: fn(&Sender) -> u64| client.senders.iter().map(count).sum();
        let (nlri, messages, bytes) = (
            sum(|s| s.nlri),
            sum(|s| s.packed.messages),
            sum(|s| s.packed.bytes),
        );
        report.sent = Flow::new(nlri, messages, bytes, since(sent_at));
        report.unsendable = sum(|s| s.packed.unsendable);
        let tallies = || {
            client
                .receivers
                .iter()
                .filter_map(|receiver| receiver.tally.as_ref())
        };
        let messages = tallies().map(|tally| tally.messages).sum();
        let changed_at = tallies().filter_map(|tally| tally.changed_at).max();
        let time = since(changed_at);
        report.received = Flow::new(client.received(), messages, measured.bytes_in, time);
        let all = measured.converged && client.receivers.iter().all(|receiver| !receiver.ended);
        let came = !client.receivers.is_empty();
        report.convergence_seconds = (all && came).then_some(time.as_secs_f64());
        report.cpu_seconds = measured.cpu.as_secs_f64();
        report.latency = Latency::of(&clock.probes.latency);
        self.note_trouble();
    }

    fn note_trouble(&mut self) {
        let client = &mut self.client;
        for receiver in &client.receivers {
            let Some(tally) = &receiver.tally else {
                continue;
            };
            if let Some(error) = &tally.first_error {
                client.failures.push(Failure {
                    session: receiver.name.clone(),
                    error: format!("{} malformed UPDATEs, the first: {error}", tally.malformed),
                });
            }
        }
        let sets = client
            .senders
            .iter()
            .flat_map(|sender| sender.table.groups());
        let as_sets = sets
            .filter(|group| {
                group
                    .set
                    .as_ref()
                    .is_some_and(|set| set.meta().flags.has(AttrFlags::AS_SET))
            })
            .map(|group| group.len() as u64)
            .sum::<u64>();
        if as_sets > 0 && client.tallies().any(|tally| tally.left() > 0) {
            self.notes.push(format!(
                "{as_sets} sent prefixes have an AS_SET in their path: a server that follows \
                 RFC 9774 drops them unless it is told to allow them"
            ));
        }
    }
}
