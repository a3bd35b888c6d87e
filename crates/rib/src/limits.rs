//! Bounds of the RIB.

/// Workers at most: a handle names its owner in six bits, half of them for shards' own sets.
pub const WORKERS_MAX: usize = 32;
/// Shards at most: more of them split attribute sets and gain nothing (ARCHITECTURE.md).
pub const SHARDS_MAX: usize = 4;
/// NLRI that one batch toward a shard holds before it is sent on.
pub const SHARD_BATCH_NLRI_MAX: usize = 4096;
/// What a row of an answer takes of a slice's budget, in slots: a slot is looked at, a row is made.
pub const ROW_SLOTS: u32 = 64;
/// NLRI in one batch toward egress.
pub const EGRESS_BATCH_NLRI_MAX: usize = 4096;
/// Entries of a shard's change log before the slowest reader is given up (Cease/8).
pub const CHANGE_LOG_LEN_MAX: usize = 1 << 22;
/// Entries beyond twice what the last thinning out left, before the log is thinned out again. Small in
/// tests, so that they meet it often.
pub const LOG_SLACK: usize = if cfg!(debug_assertions) { 64 } else { 1 << 18 };
/// Positions that the log spans before the slowest reader is given up: slots keep their low 32 bits.
pub const LOG_SPAN_MAX: u64 = 1 << 31;
