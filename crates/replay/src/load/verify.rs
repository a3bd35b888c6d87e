//! Comparing what receivers hold with what was sent.

use thruway_wire::Prefix;

use super::client::Client;
use super::report::{Difference, Differences};
use super::tally::Tally;
use crate::describe::describe;
use crate::limits::EXAMPLES_MAX;

/// Compares every standing receiver's table with the offers. In light mode only presence counts.
pub(super) fn differences(client: &Client, verify: bool, best: bool) -> Differences {
    let mut found = Differences::default();
    for receiver in &client.receivers {
        if let Some(tally) = &receiver.tally {
            Comparing {
                client,
                receiver: &receiver.name,
                tally,
                verify,
                best,
            }
            .run(&mut found);
        }
    }
    found
}

struct Comparing<'a> {
    client: &'a Client,
    receiver: &'a str,
    tally: &'a Tally,
    verify: bool,
    best: bool,
}

impl Comparing<'_> {
    fn run(&self, found: &mut Differences) {
        let expected = &self.client.expected;
        for index in 0..expected.len() {
            let Some(prefix) = expected.prefix(index) else {
                continue;
            };
            found.checked += 1;
            if self.tally.is_own(index) {
                found.checked -= 1;
                continue;
            }
            let offers = expected.offers(index);
            match self.tally.print(index) {
                None if expected.is_required(index) => {
                    found.missing += 1;
                    self.example(found, prefix, "missing", Some(index), None);
                }
                None => found.held_back += 1,
                Some(_) if !self.verify => {}
                Some(print) => match offers.iter().find(|offer| offer.print == print) {
                    None => {
                        found.changed += 1;
                        self.example(found, prefix, "changed", Some(index), Some(print));
                    }
                    Some(offer) if self.best && offers.iter().any(|o| o.rank < offer.rank) => {
                        found.not_best += 1;
                        self.example(found, prefix, "not best", Some(index), Some(print));
                    }
                    Some(_) => {}
                },
            }
        }
        found.reflected += self.tally.reflected;
        found.unexpected += self.tally.unexpected.len() as u64;
        for prefix in self.tally.unexpected.keys() {
            self.example(found, *prefix, "unexpected", None, None);
        }
    }

    fn example(
        &self,
        found: &mut Differences,
        prefix: Prefix,
        kind: &'static str,
        index: Option<usize>,
        print: Option<u32>,
    ) {
        if found
            .examples
            .iter()
            .filter(|example| example.kind == kind)
            .count()
            >= EXAMPLES_MAX
        {
            return;
        }
        let offer = index.and_then(|index| self.client.expected.offers(index).first());
        let sent = offer.and_then(|offer| {
            let sender = self.client.senders.get(offer.sender as usize)?;
            let set = sender
                .table
                .groups()
                .get(offer.group as usize)?
                .set
                .as_ref()?;
            Some(format!("{} from {}", describe(set.as_ref()), sender.name))
        });
        let received = print.map(|print| match self.tally.strange.get(&print) {
            Some(set) => describe(set.as_ref()),
            None => "a set of another prefix".to_owned(),
        });
        found.examples.push(Difference {
            receiver: self.receiver.to_owned(),
            prefix: prefix.to_string(),
            kind,
            sent,
            received,
        });
    }
}
