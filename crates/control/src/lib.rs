//! The HTTP API: on a Unix socket for the machine's own users, over TCP where the configuration says so.
//!
//! `open` takes connections and serves them. A request passes `door` (is there room for it, by connection, address and kind), `access` (may it ask
//! at all), `timed` (does it come and go in time) and comes to `http`, which asks the server behind it
//! through one trait, [`RouteServer`], and writes the answer. `limits` has every bound, and docs/api.md
//! the same figures.
//!
//! The daemon opens it with [`open`]. It never reads a configuration, never touches a worker, and holds
//! nothing of an answer but the piece that its reader takes next.
#![forbid(unsafe_code)]

mod access;
mod door;
mod events;
mod http;
mod limits;
mod metrics;
mod open;
mod problem;
mod refusals;
mod server;
mod timed;
mod who;

pub use events::{Broadcast, Line};
pub use open::{bind, open};
pub use server::{
    Answer, ChangeRequest, Figures, Found, NetworkFigures, Refused, RouteServer, Routes,
};
