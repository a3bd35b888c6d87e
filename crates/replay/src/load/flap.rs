//! Members that take everything back, and then tell it again.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::LoadError;
use super::report::{Flap, Report};
use super::run::Runner;
use super::tally::Tally;
use crate::limits::SETTLE;
use crate::pack::{Packing, pack_withdrawals};
use crate::progress::Phase;

impl Runner<'_> {
    /// Plays it where it is asked for, and everything came before.
    pub(super) fn flap(&mut self, report: &mut Report) -> Result<(), LoadError> {
        let members = self.options.flap.min(self.client.senders.len());
        if members == 0 || report.convergence_seconds.is_none() {
            return Ok(());
        }
        let withdrawals = self.withdrawals(members);
        let senders = self.client.senders.iter().take(members);
        let mut flap = Flap {
            members,
            prefixes: senders.map(|sender| sender.packed.nlri).sum(),
            ..Flap::default()
        };
        let gone = self.left_without(members);
        self.begin(Phase::Withdrawing);
        let start = Instant::now();
        for (index, bytes) in withdrawals.into_iter().enumerate() {
            self.endpoint.push(index, bytes);
        }
        flap.withdraw_seconds = self.wait_left(Phase::Withdrawing, start, &gone)?;
        self.begin(Phase::Announcing);
        let start = Instant::now();
        for sender in self.client.senders.iter_mut().take(members) {
            sender.again();
        }
        (0..members).for_each(|index| self.endpoint.nudge(index));
        let all = vec![0; gone.len()];
        flap.announce_seconds = self.wait_left(Phase::Announcing, start, &all)?;
        self.begin(Phase::Checking);
        if flap.withdraw_seconds.is_none() || flap.announce_seconds.is_none() {
            self.give_up("members withdrew everything and advertised it again");
        }
        report.flap = Some(flap);
        Ok(())
    }

    fn withdrawals(&self, members: usize) -> Vec<Bytes> {
        let senders = self.client.senders.iter().take(members);
        let packed = senders.map(|sender| match &sender.up {
            Some(up) => pack_withdrawals(&sender.table, &Packing::of(up, false)),
            None => Bytes::new(),
        });
        packed.collect()
    }

    /// How many required prefixes each receiver lacks when the first `members` tell nothing.
    fn left_without(&self, members: usize) -> Vec<u64> {
        let client = &self.client;
        let mut all = 0;
        let mut own = vec![0; client.receivers.len()];
        for index in 0..client.expected.len() {
            let offers = client.expected.offers(index);
            let gone = offers.iter().all(|offer| (offer.sender as usize) < members);
            if !gone || !client.expected.is_required(index) {
                continue;
            }
            all += 1;
            let only = offers.first().map(|offer| offer.sender);
            let only = only.filter(|sender| offers.iter().all(|offer| offer.sender == *sender));
            if let (true, Some(sender)) = (self.options.exchange, only)
                && let Some(own) = own.get_mut(sender as usize)
            {
                *own += 1;
            }
        }
        own.into_iter().map(|own| all - own).collect()
    }

    /// Until each receiver lacks just so many; seconds from `start` to the last change.
    fn wait_left(
        &mut self,
        phase: Phase,
        start: Instant,
        wanted: &[u64],
    ) -> Result<Option<f64>, LoadError> {
        let patience = self.options.patience;
        let (mut moved_at, mut movement) = (start, self.client.movement());
        loop {
            let now = Instant::now();
            let receivers = self.client.receivers.iter();
            let tallies = receivers.filter_map(|receiver| receiver.tally.as_ref());
            let reached = tallies
                .zip(wanted)
                .all(|(tally, left)| tally.left() == *left);
            if reached && self.client.all_quiet(now, start, SETTLE) {
                break;
            }
            if self.client.movement() != movement {
                (moved_at, movement) = (now, self.client.movement());
            }
            let over = now.saturating_duration_since(start) >= patience.run;
            if over || now.saturating_duration_since(moved_at) >= patience.idle {
                return Ok(None);
            }
            self.turn(phase, Some(Duration::from_millis(50)))?;
        }
        let changed = self
            .client
            .tallies()
            .filter_map(|tally: &Tally| tally.changed_at)
            .max();
        Ok(changed.map(|at| at.saturating_duration_since(start).as_secs_f64()))
    }
}
