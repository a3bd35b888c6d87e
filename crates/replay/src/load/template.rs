//! Updates under churn, made before the clock starts: only a number is still to be set in each.

use thruway_wire::LargeCommunity;
use thruway_wire::attrs::{AttrSet, AttrSetBuf};

use super::expect::{Expected, Place};
use crate::pack::{Packing, append};
use crate::table::Table;

/// The marks' first part: the last private AS number (RFC 6996), which no path of a dump has.
const MARK: u32 = 4_294_967_294;

/// One sender's groups that nobody else tells, each as an UPDATE whose mark is still to be set.
pub(super) struct Feed {
    pub(super) groups: Vec<Template>,
    bytes: Vec<u8>,
    cursor: usize,
    rounds: u64,
}

pub(super) struct Template {
    group: u32,
    start: u32,
    end: u32,
    /// Where the mark's number stands in the bytes.
    number: u32,
    prefixes: u32,
}

impl Feed {
    pub(super) fn new(table: &Table, packing: &Packing, expected: &Expected) -> Self {
        let mut feed = Feed {
            groups: Vec::new(),
            bytes: Vec::new(),
            cursor: 0,
            rounds: 0,
        };
        let mut set = AttrSetBuf::new();
        for index in own_groups(table, expected) {
            let group = table.groups().get(index as usize);
            let Some((group, old)) = group.and_then(|group| Some((group, group.set.as_ref()?)))
            else {
                continue;
            };
            set.copy_from(old.as_ref());
            set.add_community(mark(0));
            let mut marked = group.clone();
            marked.set = Some(AttrSet::new(set.as_ref()));
            let start = feed.bytes.len();
            // Runs that take several messages are left out: an update is one message.
            if append(&mut feed.bytes, table, &marked, packing) != Ok(1) {
                feed.bytes.truncate(start);
                continue;
            }
            let message = feed.bytes.get(start..).unwrap_or_default();
            let Some(number) = number_offset(message) else {
                feed.bytes.truncate(start);
                continue;
            };
            feed.groups.push(Template {
                group: index,
                start: start as u32,
                end: feed.bytes.len() as u32,
                number: number as u32,
                prefixes: group.len() as u32,
            });
        }
        feed
    }

    /// Appends the next update to `out`; how many prefixes it has.
    pub(super) fn tell(&mut self, number: u32, out: &mut Vec<u8>) -> Option<u32> {
        let template = self.groups.get(self.cursor)?;
        let message = self
            .bytes
            .get(template.start as usize..template.end as usize)?;
        let at = out.len() + template.number as usize;
        out.extend_from_slice(message);
        out.get_mut(at..at + 4)?
            .copy_from_slice(&number.to_be_bytes());
        self.cursor += 1;
        if self.cursor == self.groups.len() {
            self.cursor = 0;
            self.rounds += 1;
        }
        Some(template.prefixes)
    }

    /// The groups that were told at least once.
    pub(super) fn told(&self) -> impl Iterator<Item = u32> + '_ {
        let count = if self.rounds > 0 {
            self.groups.len()
        } else {
            self.cursor
        };
        self.groups
            .iter()
            .take(count)
            .map(|template| template.group)
    }
}

/// Groups of which every prefix is told by this table alone, and gets through to receivers.
fn own_groups(table: &Table, expected: &Expected) -> Vec<u32> {
    let is_own = |nlri: thruway_wire::Nlri<thruway_wire::Prefix>| {
        let index = expected.place(nlri.prefix).map(Place::index);
        index.is_some_and(|index| expected.is_required(index) && expected.offers(index).len() == 1)
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

/// Where the number of a message's mark stands.
fn number_offset(message: &[u8]) -> Option<usize> {
    let mut wanted = MARK.to_be_bytes().to_vec();
    wanted.extend_from_slice(&[0; 8]);
    let at = message
        .windows(wanted.len())
        .rposition(|window| window == wanted)?;
    Some(at + 4)
}

/// The number in a LARGE_COMMUNITIES value.
pub(super) fn marked(value: &[u8]) -> Option<u32> {
    let (communities, _) = value.as_chunks::<12>();
    communities.iter().find_map(|community| {
        let (words, _) = community.as_chunks::<4>();
        let [global, number, _] = words else {
            return None;
        };
        (u32::from_be_bytes(*global) == MARK).then(|| u32::from_be_bytes(*number))
    })
}
