//! The direction of a connection.

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The peer.
    Incoming,
    /// We.
    Outgoing,
}
