//! Adj-RIB-In: what peers advertised to us, on its way into the table.
//!
//! `apply` takes a batch of one worker's ingress event by event, `import` checks and changes each route,
//! `limit` counts a peer's prefixes over all shards, `peers` keeps what the shard knows of a peer, and
//! `sweep` takes out what a session that ended, or a refresh, left behind.

pub(crate) mod apply;
pub(crate) mod import;
pub(crate) mod limit;
pub(crate) mod peers;
pub(crate) mod sweep;
