//! Events of the engine as log lines: one a thing that an operator would want to know.

use thruway_engine::{Event, LimitDirection, LimitEvent};
use thruway_session::{DownReason, State};
use thruway_wire::update::Verdict;

use crate::daemon::Daemon;

/// Logs one event and notes what the daemon must remember of it.
pub(crate) fn event(daemon: &Daemon, event: &Event) {
    match event {
        Event::State { peer, from, to } => {
            let peer = daemon.peer_name(*peer);
            // Attempts come and go; what matters has lines of its own.
            if *from == State::Established || *to == State::Established {
                tracing::info!(%peer, %from, %to, "session");
            } else {
                tracing::debug!(%peer, %from, %to, "session");
            }
        }
        Event::Up { peer, negotiated } => {
            let name = daemon.peer_name(*peer);
            let (asn, id) = (negotiated.peer_as, negotiated.peer_id);
            tracing::info!(peer = %name, %asn, router_id = %id, hold = negotiated.hold_time, "up");
            daemon.instance_changed(*peer, true);
        }
        Event::Down { peer, reason } => {
            daemon.instance_changed(*peer, false);
            // At the end it goes first, as it should.
            if daemon.is_stopping() {
                return;
            }
            down(&daemon.peer_name(*peer), reason, "down");
        }
        Event::AttemptFailed { peer, reason } => {
            let peer = daemon.peer_name(*peer);
            if matches!(reason, DownReason::Sent(_) | DownReason::Received(_)) {
                down(&peer, reason, "no session");
            } else {
                tracing::debug!(%peer, %reason, "no session");
            }
        }
        Event::Damped { peer, damped } => {
            let peer = daemon.peer_name(*peer);
            let seconds = damped.until.since(damped.since).as_secs_f64();
            let failures = damped.failures;
            tracing::warn!(
                %peer,
                failures,
                seconds = format_args!("{seconds:.1}"),
                "its connections are refused for a while, for its failures (Cease/5)"
            );
        }
        Event::DynamicPeer { peer, name, addr } => {
            tracing::info!(peer = %name, %addr, "new peer of a range");
            daemon.learn_name(*peer, name);
            daemon.instance_came(name, *addr);
        }
        Event::PeerGone(peer) => tracing::debug!(peer = %daemon.peer_name(*peer), "gone"),
        Event::NoPolicy {
            peer,
            import,
            export,
        } => {
            let peer = daemon.peer_name(*peer);
            if *import {
                tracing::warn!(%peer, "no import policy: nothing is accepted (RFC 8212)");
            }
            if *export {
                tracing::warn!(%peer, "no export policy: nothing is advertised (RFC 8212)");
            }
        }
        Event::Drained => tracing::debug!("a worker has closed all sessions"),
        other => routes(daemon, other),
    }
}

fn down(peer: &str, reason: &DownReason, what: &str) {
    tracing::warn!(%peer, %reason, "{what}");
}

/// Events about a peer's routes.
fn routes(daemon: &Daemon, event: &Event) {
    match event {
        Event::UpdateError {
            peer,
            verdict,
            error,
            suppressed,
        } => {
            let peer = daemon.peer_name(*peer);
            let done = match verdict {
                Verdict::Ok => "nothing",
                Verdict::Discard => "attribute discarded",
                Verdict::Withdraw => "routes treated as withdrawn",
                Verdict::Disable(_) => "family disabled",
                Verdict::Reset => "session reset",
            };
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            tracing::warn!(%peer, %error, done, more = suppressed, "malformed UPDATE (RFC 7606)");
        }
        Event::Limit {
            peer,
            family,
            direction,
            limit,
            max,
            held,
        } => {
            let peer = daemon.peer_name(*peer);
            let what = match limit {
                LimitEvent::Near => "near the prefix limit",
                LimitEvent::Over => "over the prefix limit",
                LimitEvent::Blocking => "over the prefix limit: further prefixes are held back",
                LimitEvent::Restarting => "over the prefix limit: the session ends",
                LimitEvent::Room => "under the prefix limit again",
            };
            let routes = match direction {
                LimitDirection::Received => "received",
                LimitDirection::Advertised => "advertised",
            };
            tracing::warn!(%peer, %family, routes, held, max, "{what}");
        }
        Event::TableReceived { peer, family } => {
            tracing::info!(peer = %daemon.peer_name(*peer), %family, "End-of-RIB received");
        }
        Event::TableSent { peer, family } => {
            tracing::info!(peer = %daemon.peer_name(*peer), %family, "End-of-RIB sent");
        }
        Event::Slow { peer, behind } => {
            let peer = daemon.peer_name(*peer);
            if *behind {
                tracing::warn!(%peer, "does not read as fast as it is written to");
            } else {
                tracing::info!(%peer, "has caught up");
            }
        }
        Event::Unsendable { peer } => {
            let peer = daemon.peer_name(*peer);
            tracing::warn!(
                %peer,
                "some routes cannot be sent to it, for their size or next hop: explain says which"
            );
        }
        _ => {}
    }
}
