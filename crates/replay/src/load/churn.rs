//! Updates without end, so many of them under way at a time.
//!
//! Each update tells one group's prefixes again, with a large community (RFC 8092) that names the
//! update, so that its arrival can be told from an earlier one's.

use std::time::Instant;

use super::LoadError;
use super::churning::Churning;
use super::report::Report;
use super::run::Runner;
use crate::limits::SETTLE;
use crate::pack::Packing;
use crate::progress::Phase;

impl Runner<'_> {
    /// Updates without end, then everything as it was.
    pub(super) fn churn(&mut self, report: &mut Report) -> Result<(), LoadError> {
        let Some(options) = self.options.churn else {
            return Ok(());
        };
        let receivers = self.client.receivers.iter();
        let standing = receivers.filter(|receiver| !receiver.ended).count();
        // A member does not hear its own updates.
        let hearing = standing - usize::from(self.options.exchange && standing > 0);
        let senders = self.client.senders.iter();
        let senders: Vec<_> = senders
            .filter_map(|sender| {
                let packing = Packing::of(sender.up.as_ref()?, false);
                Some((sender.table.as_ref(), packing))
            })
            .collect();
        let expected = &self.client.expected;
        let churning = Churning::new(options, &senders, expected, hearing as u32);
        self.client.churn = churning;
        if self.client.churn.is_none() {
            self.notes
                .push("no churn: no receiver, or every prefix has several senders".into());
            return Ok(());
        }
        self.begin(Phase::Churning);
        self.play()?;
        self.begin(Phase::Checking);
        let Some(churn) = self.client.churn.take() else {
            return Ok(());
        };
        report.churn = Some(churn.report());
        // Everything as it was, so that tables can be compared.
        self.forget(&churn);
        self.client.rewind();
        let start = Instant::now();
        self.send_all(start)?;
        while !self.client.all_quiet(Instant::now(), start, SETTLE) {
            self.turn(Phase::Churning, Some(SETTLE))?;
        }
        Ok(())
    }

    fn play(&mut self) -> Result<(), LoadError> {
        if let Some(churn) = &mut self.client.churn {
            churn.begin(Instant::now());
        }
        loop {
            let now = Instant::now();
            let Some(churn) = &mut self.client.churn else {
                return Ok(());
            };
            let over = churn.turn(now);
            let wait = churn.pause();
            if churn.wants_more(now) {
                (0..self.client.senders.len()).for_each(|index| self.endpoint.nudge(index));
            }
            if over || self.client.receivers.iter().all(|receiver| receiver.ended) {
                return Ok(());
            }
            self.turn(Phase::Churning, Some(wait))?;
        }
    }

    /// What was told with a mark must come again without: its arrival is then waited for.
    fn forget(&mut self, churn: &Churning) {
        let client = &mut self.client;
        for (index, (feed, sender)) in churn.feeds.iter().zip(&client.senders).enumerate() {
            for group in feed.told() {
                let Some(group) = sender.table.groups().get(group as usize) else {
                    continue;
                };
                for nlri in sender.table.run(group).iter() {
                    let Some(place) = client.expected.place(nlri.prefix) else {
                        continue;
                    };
                    for (other, receiver) in client.receivers.iter_mut().enumerate() {
                        let own = self.options.exchange && other == index;
                        if let (false, Some(tally)) = (own, &mut receiver.tally) {
                            tally.forget(place, &client.expected);
                        }
                    }
                }
            }
        }
    }
}
