//! The shard's part of a turn, and what its news of prefix limits lead to.

pub(crate) mod bounds;
pub(crate) mod stage;
