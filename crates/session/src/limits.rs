//! Bounds of the session layer, each with its source.

use std::time::Duration;

/// Connections that one peer may have at a time: one from each side (RFC 4271 §6.8).
pub const CONNECTIONS_MAX: usize = 2;
/// Hold time before the peer's OPEN is there: "a large value", four minutes (RFC 4271 §8.2.2).
pub const OPEN_HOLD: Duration = Duration::from_secs(240);
/// Smallest hold time that is not zero, in seconds (RFC 4271 §4.2).
pub const HOLD_TIME_MIN: u16 = 3;
/// Shortest SendHoldTimer that is taken by default (RFC 9687 §4.1).
pub const SEND_HOLD_MIN: Duration = Duration::from_secs(480);
/// Until the hold timer is looked at again while unread input waits.
pub const HOLD_GRACE: Duration = Duration::from_secs(1);
/// A session that lived this long has paid for its earlier failures: damping starts anew.
pub const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Failures in a row after which the peer's own connections are refused while idle, too.
pub const REFUSE_AFTER: u8 = 3;
/// Restart time in a GRACEFUL RESTART capability has 12 bits (RFC 4724 §3).
pub const RESTART_TIME_MAX: u16 = 0x0fff;
/// Stale time in a LONG-LIVED GRACEFUL RESTART capability has 24 bits (RFC 9494 §4.1).
pub const LONG_LIVED_TIME_MAX: u32 = 0x00ff_ffff;
/// Routes that a refresh marked stale are swept after this, EoRR or not (RFC 7313 §4).
pub const REFRESH_STALE_MAX: Duration = Duration::from_secs(1800);
/// A peer that is back has so long to refresh what was kept of it (RFC 4724 §4.2 lets an
/// implementation bound this).
pub const SYNC_MAX: Duration = Duration::from_secs(900);
/// Before the first new try to connect; doubles up to the configured connect-retry time.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);
/// KEEPALIVEs are never closer together than this (RFC 4271 §4.4).
pub const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
/// So long an OPEN waits for the one on the connection that would win the collision, and so long
/// after a session came up a new connection still counts as a collision. Beyond a round trip's time
/// it only costs patience.
pub const COLLISION_WAIT: Duration = Duration::from_secs(2);
