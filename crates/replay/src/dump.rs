//! Tables as MRT files: TABLE_DUMP_V2 (RFC 6396 §4.3).

use std::io::{self, Write};

use thruway_wire::RouterId;
use thruway_wire::mrt::{MrtPeer, RibEntry, write};

use crate::limits::DUMP_BUFFER_BYTES;
use crate::table::Table;

/// Writes the tables of several peers that tell the same prefixes, as [`Table::as_seen_by`] makes
/// them: a peer index, then one record a prefix with a path of each peer. The first table says
/// which prefixes; another one's path stands where it has a set for the same group.
///
/// # Errors
/// The writer's; `InvalidInput` for what the format cannot hold.
pub fn write_mrt(
    out: &mut impl Write,
    timestamp: u32,
    peers: &[(MrtPeer, &Table)],
) -> io::Result<()> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let mut buffer = Vec::with_capacity(DUMP_BUFFER_BYTES);
    let index: Vec<MrtPeer> = peers.iter().map(|(peer, _)| *peer).collect();
    let collector = RouterId(0x0a00_0001);
    write::peer_index_table(&mut buffer, timestamp, collector, "", &index).map_err(invalid)?;
    let Some((_, first)) = peers.first() else {
        return out.write_all(&buffer);
    };
    let mut sequence = 0_u32;
    let mut attrs = Vec::new();
    // End of each peer's attributes in `attrs`.
    let mut ends = Vec::with_capacity(peers.len());
    for (number, group) in first.groups().iter().enumerate() {
        attrs.clear();
        ends.clear();
        for (_, table) in peers {
            let set = table
                .groups()
                .get(number)
                .and_then(|group| group.set.as_ref());
            set.into_iter()
                .for_each(|set| write::rib_attrs(&mut attrs, set.as_ref()));
            ends.push(attrs.len());
        }
        for nlri in first.run(group).iter() {
            let entries = entries(&attrs, &ends, timestamp);
            write::rib(
                &mut buffer,
                timestamp,
                sequence,
                nlri.prefix,
                false,
                entries,
            )
            .map_err(invalid)?;
            sequence = sequence.wrapping_add(1);
            if buffer.len() >= DUMP_BUFFER_BYTES {
                out.write_all(&buffer)?;
                buffer.clear();
            }
        }
    }
    out.write_all(&buffer)?;
    out.flush()
}

fn entries<'a>(
    attrs: &'a [u8],
    ends: &'a [usize],
    originated: u32,
) -> impl Iterator<Item = RibEntry<'a>> + 'a {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let ranges = starts
        .zip(ends)
        .enumerate()
        .filter(|(_, (start, end))| start < *end);
    ranges.map(move |(peer, (start, end))| RibEntry {
        peer_index: peer as u16,
        originated,
        path_id: 0,
        attrs: attrs.get(start..*end).unwrap_or_default(),
    })
}
