//! What the fuzz targets call: ordinary functions that assert properties on any bytes.

use super::{MrtHeader, MrtReader, MrtRecord, Step, rib_entry_attrs, write};
use crate::attrs::AttrSetBuf;

/// Reads `bytes` as a file, whole and in pieces, and walks every view.
///
/// Asserts that each octet is consumed once and in order, that the pieces give what the whole
/// gives, and that what the writer makes of a RIB record reads back the same.
pub fn fuzz_mrt(bytes: &[u8]) {
    let whole = walk(bytes, usize::MAX);
    let pieces = walk(bytes, 7);
    assert_eq!(whole, pieces, "pieces must not change what is found");
}

/// (offset, true for a record) of all that is found when at most `piece` octets arrive at a time.
fn walk(bytes: &[u8], piece: usize) -> Vec<(u64, bool)> {
    let mut reader = MrtReader::new();
    let mut found = Vec::new();
    let (mut start, mut end) = (0_usize, piece.min(bytes.len()));
    loop {
        let eof = end == bytes.len();
        let unread = bytes.get(start..end).unwrap_or_default();
        assert_eq!(
            reader.offset(),
            start as u64,
            "the reader counts what it consumes"
        );
        match reader.next(unread, eof) {
            Step::Record {
                offset,
                header,
                record,
                consumed,
            } => {
                assert!(
                    consumed > 0 && consumed <= unread.len(),
                    "progress, within bounds"
                );
                assert!(
                    !header.name().to_string().is_empty(),
                    "every record has a name"
                );
                views(&record);
                found.push((offset, true));
                start = start.saturating_add(consumed);
            }
            Step::Damage {
                offset,
                header,
                consumed,
                ..
            } => {
                assert_eq!(
                    header.map(|header| (header.timestamp, header.kind, header.len)),
                    MrtHeader::read(unread).map(|header| (
                        header.timestamp,
                        header.kind,
                        header.len
                    )),
                    "damage names what stands there"
                );
                assert!(
                    consumed > 0 && consumed <= unread.len(),
                    "progress, within bounds"
                );
                found.push((offset, false));
                start = start.saturating_add(consumed);
            }
            Step::Skip(len) => {
                assert!(len > 0 && len <= unread.len(), "progress, within bounds");
                start = start.saturating_add(len);
            }
            Step::NeedMore(len) => {
                assert!(!eof && len > unread.len(), "asks for more than there is");
                let more = piece.max(len.saturating_sub(unread.len()));
                end = end.saturating_add(more).min(bytes.len());
            }
            Step::End => {
                assert_eq!(start, bytes.len(), "all is consumed at the end");
                return found;
            }
        }
    }
}

fn views(record: &MrtRecord<'_>) {
    let mut set = AttrSetBuf::default();
    match record {
        MrtRecord::TableDump(dump) => {
            for entry in dump.entries() {
                let _ = rib_entry_attrs(entry.attrs, false, &mut set);
            }
            assert!(dump.entries().next().is_some(), "a record has an entry");
        }
        MrtRecord::PeerIndexTable(table) => {
            assert_eq!(table.peers().count(), table.len());
            let wrong = table.wrong_peer_type();
            assert!(wrong.is_none_or(|(place, _)| place < table.len()));
        }
        MrtRecord::Message(message) => {
            let marker = message.message.get(..16);
            assert_eq!(
                message.wrong_marker().is_none(),
                marker == Some(&[0xff; 16])
            );
        }
        MrtRecord::StateChange(change) => {
            let wrong = |state| !matches!(state, 1..=8);
            assert_eq!(
                change.wrong_state().is_some(),
                wrong(change.old) || wrong(change.new)
            );
        }
        MrtRecord::Rib(rib) => {
            for entry in rib.entries() {
                let _ = rib_entry_attrs(entry.attrs, true, &mut set);
            }
            assert_eq!(rib.entries().count(), rib.len());
            if rib.family.safi == 1 {
                rewritten(rib);
            }
        }
        _ => {}
    }
}

/// What the writer makes of a record reads back the same.
fn rewritten(rib: &super::Rib<'_>) {
    let mut out = Vec::new();
    let entries = rib.entries();
    if write::rib(&mut out, 0, rib.sequence, rib.prefix, rib.add_path, entries).is_err() {
        return;
    }
    let Step::Record {
        record: MrtRecord::Rib(again),
        consumed,
        ..
    } = MrtReader::new().next(&out, true)
    else {
        unreachable!("a written record must read back: {out:02x?}");
    };
    assert_eq!(consumed, out.len());
    assert_eq!(
        (again.prefix, again.family, again.sequence),
        (rib.prefix, rib.family, rib.sequence)
    );
    assert!(again.entries().eq(rib.entries()), "entries must read back");
}
