//! The BGP session of one peer: the RFC 4271 state machine without a clock or a socket.
//!
//! [`Session`] takes events (a connection came up, a message arrived, time passed) and answers
//! through [`Actions`], a sink that the caller owns. It holds up to two connections at a time, so
//! that a collision (RFC 4271 §6.8) is its own affair; the caller sees at most one of them reach
//! [`Actions::established`].
//!
//! Time is an argument and randomness a seed: the same events give the same actions.
//!
//! ```text
//!             start            accepted, connected        OPEN fits          KEEPALIVE
//!   Idle ───────────► Connect ───────────────► OpenSent ─────────► OpenConfirm ─────► Established
//!    ▲  (passive: ──► Active)                     │                    │                  │
//!    │                  ▲                         │ closed             │                  │
//!    │                  └─────────────────────────┘                    │                  │
//!    └──────────────────── NOTIFICATION sent or received, session lost ┴──────────────────┘
//! ```
//!
//! What waits (`wait`: Idle, Connect, Active) belongs to the peer; what is open (`open_sent`,
//! `open_confirm`, `established`) belongs to a connection. Each state is a value that owns its
//! data; `session` moves between them.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod actions;
mod collision;
mod config;
mod conn;
mod counters;
mod direction;
mod established;
pub mod fuzzing;
pub mod limits;
mod negotiate;
mod open_confirm;
mod open_sent;
mod restart;
mod session;
mod timers;
mod wait;

pub use actions::{Actions, ConnId, Damped, DownReason, Refresh, Stale, State};
pub use config::{AddPathOffer, GrOffer, RemoteAs, Role, SessionConfig};
pub use counters::Counters;
pub use negotiate::{Negotiated, PeerGr};
pub use session::Session;

#[cfg(test)]
mod tests;
