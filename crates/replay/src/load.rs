//! A load client of many sessions on one thread: it sends tables, takes them back, and measures.
//!
//! Sessions come up first; then every UPDATE is encoded; only then the clock starts. The run ends
//! when each receiver has every prefix and nothing more comes, or when nothing moves any more, or
//! at a deadline: it always ends.

mod churn;
mod churning;
mod client;
mod expect;
mod flap;
#[cfg(test)]
mod members;
mod memo;
mod outcome;
mod report;
mod run;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thruway_net::TransportChoice;

pub use report::{Churn, Difference, Differences, Failure, Flap, Flow, Latency, Report};
pub use run::run;

use crate::endpoint::SessionOptions;
use crate::limits::{IDLE_TIMEOUT, RUN_TIMEOUT, SESSIONS_TIMEOUT};
use crate::table::Table;

/// A load to apply.
#[derive(Clone)]
pub struct LoadOptions {
    /// Who sends what.
    pub senders: Vec<Sender>,
    /// Who takes the tables back.
    pub receivers: Vec<SessionOptions>,
    /// Senders take back what the others send, too, and need not hear what they alone sent.
    pub exchange: bool,
    /// Sockets.
    pub transport: TransportChoice,
    /// Sessions stand so long before the first UPDATE goes out: some servers hold back what they
    /// have for new neighbours.
    pub pause: Duration,
    /// How fast the tables' times pass.
    pub speed: Speed,
    /// Compare attributes too, not only count prefixes.
    pub verify: bool,
    /// Also count the paths that are not the best of those offered: for tables without LOCAL_PREF,
    /// and a server without a policy.
    pub best: bool,
    /// What the server does to routes.
    pub expect: Expect,
    /// After the tables: so many senders, the first ones, take everything back and tell it again.
    pub flap: usize,
    /// Then: updates without end.
    pub churn: Option<ChurnOptions>,
    /// Keep the sessions up so long at the end, for a look around.
    pub stay: Duration,
    /// Bounds on waiting.
    pub patience: Patience,
}

/// A session that sends a table.
#[derive(Clone)]
pub struct Sender {
    /// The session.
    pub session: SessionOptions,
    /// What it tells.
    pub table: Arc<Table>,
}

/// Updates under constant load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChurnOptions {
    /// For how long.
    pub duration: Duration,
    /// Updates that may be under way at once, over all senders.
    pub in_flight: u32,
    /// Updates a second at most; as many as go where there is none.
    pub rate: Option<u32>,
    /// The last sender does not take part, but sends so many updates a second of its own: how long
    /// a calm neighbour's take meanwhile.
    pub calm: Option<u32>,
}

/// How long a run waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until all sessions are up.
    pub sessions: Duration,
    /// While nothing moves.
    pub idle: Duration,
    /// In all, from the first octet sent; a trace's own length is added.
    pub run: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            sessions: SESSIONS_TIMEOUT,
            idle: IDLE_TIMEOUT,
            run: RUN_TIMEOUT,
        }
    }
}

/// What the server does to the routes it passes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Expect {
    /// Nothing, as a route server (RFC 7947).
    #[default]
    Transparent,
    /// Its AS goes in front, MED and next hop are its own, as a plain external speaker.
    Prepend,
}

/// How fast the time of a trace passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// Everything at once.
    #[default]
    Max,
    /// So many times as fast as it was recorded.
    Times(u32),
}

impl Speed {
    /// When to send what was recorded `at`.
    pub(crate) fn due(self, at: Duration) -> Duration {
        match self {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => at / times.max(1),
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let times = text
            .strip_suffix('x')
            .and_then(|number| number.parse().ok());
        match times.filter(|times| *times > 0) {
            Some(times) => Ok(Speed::Times(times)),
            None => Err(format!("`{text}` is no speed: 1x, 10x, max")),
        }
    }
}

/// Why there is no report.
#[derive(Debug)]
pub enum LoadError {
    /// The sockets of the tool itself; the text says what was tried.
    Transport(&'static str, io::Error),
    /// Nothing to send and nobody to receive.
    Empty,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Transport(what, error) => write!(f, "{what}: {error}"),
            LoadError::Empty => f.write_str("no session to have: nothing to send"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Transport(_, error) => Some(error),
            LoadError::Empty => None,
        }
    }
}
