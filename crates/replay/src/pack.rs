//! A table as UPDATEs, made before the clock starts.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use thruway_wire::encode::{self, Encoding, Rewrite, Unsendable};
use thruway_wire::limits::MESSAGE_LEN_MAX;
use thruway_wire::{Family, FamilySet};

use crate::limits::CHUNK_BYTES;
use crate::peer::Negotiated;
use crate::table::{Group, Run, Table};

/// What the bytes depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub(crate) as4: bool,
    pub(crate) external: bool,
    pub(crate) families: FamilySet,
    pub(crate) add_path: FamilySet,
    pub(crate) extended_next_hop: bool,
    /// Chunks end where the time changes.
    pub(crate) paced: bool,
}

impl Packing {
    pub(crate) fn of(negotiated: &Negotiated, paced: bool) -> Self {
        Packing {
            as4: negotiated.as4,
            external: negotiated.external,
            families: negotiated.families,
            add_path: negotiated.add_path_send,
            extended_next_hop: negotiated.extended_next_hop,
            paced,
        }
    }

    fn encoding(&self, family: Family) -> Encoding {
        Encoding {
            as4: self.as4,
            add_path: self.add_path.contains(family),
            max_len: MESSAGE_LEN_MAX as u16,
            extended_next_hop: self.extended_next_hop,
            link: None,
        }
    }

    /// As the table says it: what a peer's kind demands was done when the table was made.
    fn rewrite(&self) -> Rewrite {
        Rewrite {
            local_pref: !self.external,
            ..Rewrite::TRANSPARENT
        }
    }
}

/// Whole UPDATEs that go out together.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// When, from the start.
    pub(crate) at: Duration,
    /// The table's groups in it.
    pub(crate) groups: Range<usize>,
    /// NLRI in it.
    pub(crate) nlri: u64,
}

/// A table's UPDATEs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) messages: u64,
    pub(crate) nlri: u64,
    pub(crate) bytes: u64,
    /// NLRI that cannot be told: the attributes do not fit, or a family is not spoken.
    pub(crate) unsendable: u64,
    /// The groups in which they are, ascending.
    pub(crate) unsendable_groups: Vec<u32>,
}

/// Packs `table`; an End-of-RIB of each family follows.
pub(crate) fn pack(table: &Table, packing: &Packing) -> Packed {
    pack_with(table, packing, packing.families)
}

/// Packs `table` without an End-of-RIB: more of it will follow.
pub(crate) fn pack_groups(table: &Table, packing: &Packing) -> Packed {
    pack_with(table, packing, FamilySet::EMPTY)
}

/// UPDATEs that withdraw all that `table` announces, in its order.
pub(crate) fn pack_withdrawals(table: &Table, packing: &Packing) -> Bytes {
    let mut out = Vec::new();
    for family in table.families().filter(|f| packing.families.contains(*f)) {
        let encoding = packing.encoding(family);
        let announced = table.groups().iter();
        let announced = announced.filter(|group| group.set.is_some() && group.family == family);
        match family {
            Family::Ipv4 => {
                let run = announced.flat_map(|group| match table.run(group) {
                    Run::V4(run) => run,
                    Run::V6(_) => &[],
                });
                encode::withdraw(&mut out, &encoding, run.copied())
            }
            Family::Ipv6 => {
                let run = announced.flat_map(|group| match table.run(group) {
                    Run::V6(run) => run,
                    Run::V4(_) => &[],
                });
                encode::withdraw(&mut out, &encoding, run.copied())
            }
        };
    }
    Bytes::from(out)
}

fn pack_with(table: &Table, packing: &Packing, end_of_rib: FamilySet) -> Packed {
    let mut packed = Packed::default();
    let mut out = Vec::new();
    // (end in `out`, time, groups, NLRI)
    let mut cuts: Vec<(usize, Duration, Range<usize>, u64)> = Vec::new();
    let (mut start, mut first, mut nlri) = (0, 0, 0);
    let mut at = table
        .groups()
        .first()
        .map_or(Duration::ZERO, |group| group.at);
    for (index, group) in table.groups().iter().enumerate() {
        let late = packing.paced && group.at != at;
        if (late || out.len() - start >= CHUNK_BYTES) && out.len() > start {
            cuts.push((out.len(), at, first..index, nlri));
            (start, first, nlri) = (out.len(), index, 0);
        }
        at = group.at;
        match append(&mut out, table, group, packing) {
            Ok(messages) => {
                packed.messages += messages as u64;
                nlri += group.len() as u64;
            }
            Err(_) => {
                packed.unsendable += group.len() as u64;
                packed.unsendable_groups.push(index as u32);
            }
        }
    }
    for family in end_of_rib.iter() {
        encode::end_of_rib(&mut out, family);
        packed.messages += 1;
    }
    cuts.push((out.len(), at, first..table.groups().len(), nlri));
    let bytes = Bytes::from(out);
    packed.bytes = bytes.len() as u64;
    let mut start = 0;
    for (end, at, groups, nlri) in cuts {
        packed.nlri += nlri;
        packed.chunks.push(Chunk {
            bytes: bytes.slice(start..end),
            at,
            groups,
            nlri,
        });
        start = end;
    }
    packed
}

/// Appends one group's UPDATEs; returns how many.
pub(crate) fn append(
    out: &mut Vec<u8>,
    table: &Table,
    group: &Group,
    packing: &Packing,
) -> Result<usize, Unsendable> {
    if !packing.families.contains(group.family) {
        return Err(Unsendable::NextHop);
    }
    let encoding = packing.encoding(group.family);
    let rewrite = packing.rewrite();
    match (&group.set, table.run(group)) {
        (Some(set), Run::V4(run)) => {
            encode::announce(out, set.as_ref(), &rewrite, &encoding, run.iter().copied())
        }
        (Some(set), Run::V6(run)) => {
            encode::announce(out, set.as_ref(), &rewrite, &encoding, run.iter().copied())
        }
        (None, Run::V4(run)) => Ok(encode::withdraw(out, &encoding, run.iter().copied())),
        (None, Run::V6(run)) => Ok(encode::withdraw(out, &encoding, run.iter().copied())),
    }
}
