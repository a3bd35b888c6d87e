//! Bounds of the daemon.

/// Orders of the control plane that wait for a worker.
pub(crate) const ORDERS_MAX: usize = 1024;
/// How long the control plane waits for room among them: a worker's turns are far shorter.
pub(crate) const ORDER_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Events that wait for the control plane.
pub(crate) const EVENTS_MAX: usize = 4096;
/// Events that a worker holds while the control plane does not take them; more are dropped and
/// counted.
pub(crate) const EVENTS_HELD_MAX: usize = 16_384;
/// Batches in one ring between two workers.
pub(crate) const RING_BATCHES: usize = 64;
/// Peers at most, dynamic ones included.
pub(crate) const PEERS_MAX: u16 = 16_384;
/// Pieces of an answer that wait for whoever asked, by shard that answers.
pub(crate) const ANSWER_PIECES_MAX: usize = 4;
/// Questions at a time; more are told to come again. Each way into the API has its own bound of long
/// ones, so these leave room for the short ones.
pub(crate) const QUESTIONS_MAX: usize = 192;
