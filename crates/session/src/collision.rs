//! Which of two connections stays (RFC 4271 §6.8, RFC 6286 §2.3, RFC 4724 §4.2).

use thruway_wire::Time;

use crate::conn::{Conn, Phase};
use crate::direction::Direction;
use crate::limits::COLLISION_WAIT;
use crate::{Negotiated, SessionConfig};

/// The verdict when an OPEN arrives on a connection while another one is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collision {
    /// The other one has no OPEN yet, and would lose.
    None,
    /// The other one has no OPEN yet, and would win: wait for it.
    Defer,
    /// The other one stays, this one is closed.
    KeepOther,
    /// This one stays, the other one is closed.
    KeepThis,
    /// The peer has restarted: the other one is dead, though no one told us.
    Restarted,
}

/// `this` got the OPEN that gave `negotiated`.
pub(crate) fn judge(
    now: Time,
    config: &SessionConfig,
    this: &Conn,
    other: &Conn,
    negotiated: &Negotiated,
) -> Collision {
    let this_wins = wins(config, this, other, negotiated);
    match &other.phase {
        Phase::OpenSent(state) if state.deferred.is_none() => {
            if this_wins {
                Collision::None
            } else {
                Collision::Defer
            }
        }
        Phase::OpenSent(_) | Phase::OpenConfirm(_) => {
            if this_wins {
                Collision::KeepThis
            } else {
                Collision::KeepOther
            }
        }
        Phase::Established(state) if this.direction == Direction::Incoming => {
            // RFC 4724 §4.2: a new connection of a peer that keeps its routes over a restart is the
            // end of the old one. We wait for its OPEN, so that a mere connect does no harm, and
            // take no part of a collision for a restart.
            let restarts = state
                .negotiated
                .peer_gr
                .is_some_and(|peer| !peer.families.is_empty());
            let collides = state.rival == Some(this.id) || now.since(state.since) < COLLISION_WAIT;
            if restarts && !collides {
                Collision::Restarted
            } else {
                Collision::KeepOther
            }
        }
        Phase::Established(_) => Collision::KeepOther,
    }
}

/// The connection that the speaker with the higher identifier opened stays; with equal ones (in
/// different ASes) the higher AS number decides. Of two from one side the newer one stays.
fn wins(config: &SessionConfig, this: &Conn, other: &Conn, negotiated: &Negotiated) -> bool {
    let ours = (config.router_id, config.local_as);
    let theirs = (negotiated.peer_id, negotiated.peer_as);
    let winner = if ours > theirs {
        Direction::Outgoing
    } else {
        Direction::Incoming
    };
    this.direction == winner || this.direction == other.direction
}
