//! Peers and their sessions: what a state machine asks for, and the way of a peer into shards and update
//! groups and out of them.

pub(crate) mod effects;
pub(crate) mod peers;
pub(crate) mod profile;
pub(crate) mod sessions;
pub(crate) mod timers;
