//! What the control plane orders and asks: commands, snapshots, and whether an order has gone through.

pub(crate) mod commands;
pub(crate) mod outlook;
pub(crate) mod settle;
pub(crate) mod snapshot;
pub mod status;
