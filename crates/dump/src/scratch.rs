//! What is kept from record to record.

use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::mrt::MrtPeer;

use super::assumed::Assumptions;
use super::faults::Fault;

/// Buffers that are reused from record to record, and the peers of the last PEER_INDEX_TABLE.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) peers: Vec<MrtPeer>,
    pub(super) wide: AttrSetBuf,
    pub(super) notes: Notes,
}

/// What is to be said besides the output.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// What is wrong in the record or message at hand.
    pub(super) faults: Vec<Fault>,
    pub(super) assumptions: Assumptions,
}
