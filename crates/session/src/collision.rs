//! Which of two connections stays (RFC 4271 §6.8, RFC 6286 §2.3, RFC 4724 §4.2).

use crate::conn::{Conn, Direction, Phase};
use crate::{Negotiated, SessionConfig};

/// The verdict when an OPEN arrives on a connection while another one is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collision {
    /// The other one has no OPEN yet: no collision so far.
    None,
    /// The other one stays, this one is closed.
    KeepOther,
    /// This one stays, the other one is closed.
    KeepThis,
    /// The peer has restarted: the other one is dead, though no one told us.
    Restarted,
}

/// `this` got the OPEN that gave `negotiated`.
pub(crate) fn judge(
    config: &SessionConfig,
    this: &Conn,
    other: &Conn,
    negotiated: &Negotiated,
) -> Collision {
    match &other.phase {
        Phase::OpenSent(_) => Collision::None,
        Phase::OpenConfirm(_) => by_identifier(config, this, other, negotiated),
        // Both were open before either side had the session: the peer compares identifiers, and
        // whoever went by state instead would close the one connection that the peer keeps.
        Phase::Established(state) if state.rival == Some(this.id) => {
            by_identifier(config, this, other, negotiated)
        }
        // RFC 4724 §4.2: a new connection of a peer that keeps its routes over a restart is the end
        // of the old one. We wait for its OPEN, so that a mere connect does no harm.
        Phase::Established(state)
            if this.direction == Direction::Incoming
                && state
                    .negotiated
                    .peer_gr
                    .is_some_and(|peer| !peer.families.is_empty()) =>
        {
            Collision::Restarted
        }
        Phase::Established(_) => Collision::KeepOther,
    }
}

/// The connection that the speaker with the higher identifier opened stays; with equal ones (in
/// different ASes) the higher AS number decides.
fn by_identifier(
    config: &SessionConfig,
    this: &Conn,
    other: &Conn,
    negotiated: &Negotiated,
) -> Collision {
    let ours = (config.router_id, config.local_as);
    let theirs = (negotiated.peer_id, negotiated.peer_as);
    let stays = if ours > theirs {
        Direction::Outgoing
    } else {
        Direction::Incoming
    };
    if this.direction == stays || this.direction == other.direction {
        Collision::KeepThis
    } else {
        Collision::KeepOther
    }
}
