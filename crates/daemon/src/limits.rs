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
/// How long a port that is in use is asked for again: what a server that was killed had still under
/// way outlives it for a moment.
pub(crate) const PORT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// And how often.
pub(crate) const PORT_RETRY: std::time::Duration = std::time::Duration::from_millis(50);
/// How often a worker that has nothing to do gives memory back that it has freed.
pub(crate) const GIVE_BACK: std::time::Duration = std::time::Duration::from_secs(2);
/// How long refused connections are summed up.
pub(crate) const STRANGERS_WINDOW: std::time::Duration = std::time::Duration::from_secs(60);
/// Addresses of refused connections that have a line of their own in that time.
pub(crate) const STRANGERS_TOLD_MAX: usize = 16;
/// Addresses that are told apart in that time.
pub(crate) const STRANGERS_KNOWN_MAX: usize = 1024;
/// Batches in one ring between two workers.
pub(crate) const RING_BATCHES: usize = 64;
/// Peers at most, dynamic ones included.
pub(crate) const PEERS_MAX: u16 = 16_384;
/// Routes of one peer that a plan lists; of more it says how many they are.
pub(crate) const PLAN_ROWS_MAX: usize = 20_000;
/// Pieces of an answer that wait for whoever asked, by shard that answers.
pub(crate) const ANSWER_PIECES_MAX: usize = 4;
/// Questions at a time; more are told to come again. Each way into the API has its own bound of long
/// ones, so these leave room for the short ones.
pub(crate) const QUESTIONS_MAX: usize = 192;
