//! One scripted neighbour on a thread of its own, over real TCP: for tests and demonstrations.
//!
//! Commands return at once; what must be waited for has a `wait` with a time limit, woken by the
//! event itself.

mod received;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_net::{TransportChoice, Waker};
use thruway_wire::attrs::AttrSetRef;
use thruway_wire::notification::Notification;
use thruway_wire::{AfiSafi, Family, Nlri, Prefix, encode};

pub use received::ReceivedTable;

use crate::endpoint::SessionOptions;
use crate::limits::{SESSIONS_TIMEOUT, SPEAKER_COMMANDS};
use crate::peer::{Negotiated, SessionEnd};
use crate::table::Table;

/// A neighbour to play.
#[derive(Clone)]
pub struct SpeakerOptions {
    /// The session.
    pub session: SessionOptions,
    /// Sockets.
    pub transport: TransportChoice,
    /// Until the session is up; then it is given up.
    pub patience: Duration,
}

impl SpeakerOptions {
    /// With the usual transport and patience.
    #[must_use]
    pub fn new(session: SessionOptions) -> Self {
        let transport = TransportChoice::default();
        SpeakerOptions {
            session,
            transport,
            patience: SESSIONS_TIMEOUT,
        }
    }
}

/// What a speaker counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeakerStats {
    /// UPDATEs received.
    pub updates: u64,
    /// NLRI announced in them.
    pub announced: u64,
    /// NLRI withdrawn in them.
    pub withdrawn: u64,
    /// UPDATEs received with an error.
    pub malformed: u64,
    /// Octets received, all messages.
    pub bytes_in: u64,
    /// Octets sent.
    pub bytes_out: u64,
}

/// A wait that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeakerError {
    /// It took too long; the text says what was waited for.
    Timeout(String),
    /// The session is over.
    Ended(SessionEnd),
}

impl fmt::Display for SpeakerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpeakerError::Timeout(what) => write!(f, "timeout while waiting {what}"),
            SpeakerError::Ended(end) => write!(f, "the session is over: {end}"),
        }
    }
}

impl std::error::Error for SpeakerError {}

/// A neighbour. Dropping it breaks the connection off without a word; see [`Speaker::close`].
pub struct Speaker {
    shared: Arc<Shared>,
    commands: SyncSender<Command>,
    waker: Waker,
    listening: Option<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

/// What the speaker's thread is asked to do, in order, once the session is up.
pub(crate) enum Command {
    Bytes(Bytes),
    Table(Arc<Table>),
    Withdraw(Vec<Nlri<Prefix>>),
    Refresh(AfiSafi),
    SetReading(bool),
    Close(Option<Notification>),
    /// Ends the thread; the connection breaks off.
    Drop,
}

/// What the thread and the owner both see.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) up: Option<Negotiated>,
    pub(crate) ended: Option<SessionEnd>,
    pub(crate) table: ReceivedTable,
    pub(crate) stats: SpeakerStats,
    pub(crate) refreshes: Vec<AfiSafi>,
    /// Commands given, and those whose octets the kernel has.
    asked: u64,
    pub(crate) done: u64,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of the other side leaves whole values: counters and tables.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }
}

impl Speaker {
    /// Starts one: it connects, or listens.
    ///
    /// # Errors
    /// The transport cannot be opened, or the address not be bound.
    pub fn spawn(options: SpeakerOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
        });
        let (commands, inbox) = mpsc::sync_channel(SPEAKER_COMMANDS);
        let (ready, started) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let name = format!("speaker {}", options.session.name);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker::run(options, &theirs, &inbox, &ready))?;
        let (waker, listening) = started.recv().map_err(io::Error::other)??;
        Ok(Speaker {
            shared,
            commands,
            waker,
            listening,
            thread: Some(thread),
        })
    }

    /// Where it listens, its port chosen; `None` where it connects.
    #[must_use]
    pub fn listening_on(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// Waits until the session is up.
    ///
    /// # Errors
    /// [`SpeakerError`]: too late, or never.
    pub fn established(&self, timeout: Duration) -> Result<Negotiated, SpeakerError> {
        let state = self.wait("for the session", timeout, |state| state.up.is_some())?;
        state
            .up
            .clone()
            .ok_or_else(|| SpeakerError::Timeout("for the session".to_owned()))
    }

    /// Sends whole messages as they stand, well-formed or not. They wait for the session.
    pub fn send(&self, messages: impl Into<Bytes>) {
        self.command(Command::Bytes(messages.into()));
    }

    /// Announces, and withdraws, what a table says; its times are passed over.
    pub fn announce(&self, table: impl Into<Arc<Table>>) {
        self.command(Command::Table(table.into()));
    }

    /// Announces prefixes of any family with one set, whose next hop must suit them.
    pub fn announce_prefixes(&self, prefixes: &[Prefix], set: AttrSetRef<'_>) {
        self.announce(Table::of(prefixes, set));
    }

    /// Withdraws prefixes.
    pub fn withdraw(&self, prefixes: &[Prefix]) {
        let nlri = prefixes.iter().map(|prefix| Nlri {
            path_id: 0,
            prefix: *prefix,
        });
        self.withdraw_paths(nlri.collect());
    }

    /// Withdraws paths by prefix and identifier (RFC 7911).
    pub fn withdraw_paths(&self, nlri: Vec<Nlri<Prefix>>) {
        self.command(Command::Withdraw(nlri));
    }

    /// Marks the end of the initial table (RFC 4724 §2).
    pub fn end_of_rib(&self, family: Family) {
        let mut message = Vec::new();
        encode::end_of_rib(&mut message, family);
        self.send(message);
    }

    /// Asks for all routes of a family again (RFC 2918).
    pub fn route_refresh(&self, family: Family) {
        self.command(Command::Refresh(family.to_wire()));
    }

    /// Stops or starts reading: a slow neighbour.
    pub fn set_reading(&self, on: bool) {
        self.command(Command::SetReading(on));
    }

    /// Ends the session: what was given goes out first, then `notification`.
    pub fn close(&self, notification: Option<Notification>) {
        self.command(Command::Close(notification));
    }

    /// A copy of what was received so far.
    #[must_use]
    pub fn table(&self) -> ReceivedTable {
        self.shared.lock().table.clone()
    }

    /// Looks at what was received so far, without a copy. The session waits meanwhile.
    pub fn with_table<R>(&self, look: impl FnOnce(&ReceivedTable) -> R) -> R {
        look(&self.shared.lock().table)
    }

    /// Families that the neighbour asked for again, in order.
    #[must_use]
    pub fn refreshes(&self) -> Vec<AfiSafi> {
        self.shared.lock().refreshes.clone()
    }

    /// Counts so far.
    #[must_use]
    pub fn stats(&self) -> SpeakerStats {
        self.shared.lock().stats
    }

    /// How the session ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<SessionEnd> {
        self.shared.lock().ended.clone()
    }

    /// Waits until the received table is as `is_there` wants it.
    ///
    /// # Errors
    /// [`SpeakerError`]: too late, or the session ended before.
    pub fn wait_for(
        &self,
        mut is_there: impl FnMut(&ReceivedTable) -> bool,
        timeout: Duration,
    ) -> Result<(), SpeakerError> {
        self.wait("for routes", timeout, |state| is_there(&state.table))
            .map(drop)
    }

    /// Waits until the kernel has everything that was given to send.
    ///
    /// # Errors
    /// [`SpeakerError`]: too late, or the session ended before.
    pub fn wait_until_sent(&self, timeout: Duration) -> Result<(), SpeakerError> {
        self.wait("for the last octet to go", timeout, |state| {
            state.done >= state.asked
        })
        .map(drop)
    }

    /// Waits for the end of the session.
    ///
    /// # Errors
    /// [`SpeakerError::Timeout`]: it goes on.
    pub fn wait_until_ended(&self, timeout: Duration) -> Result<SessionEnd, SpeakerError> {
        match self.wait("for the session's end", timeout, |_| false) {
            Err(SpeakerError::Ended(end)) => Ok(end),
            Err(error) => Err(error),
            Ok(_) => Err(SpeakerError::Timeout("for the session's end".to_owned())),
        }
    }

    fn wait(
        &self,
        what: &str,
        timeout: Duration,
        mut is_over: impl FnMut(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, SpeakerError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            if is_over(&state) {
                return Ok(state);
            }
            if let Some(end) = &state.ended {
                return Err(SpeakerError::Ended(end.clone()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let count = state.table.len();
                return Err(SpeakerError::Timeout(format!(
                    "{what} ({count} paths are there)"
                )));
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    fn command(&self, command: Command) {
        self.shared.lock().asked += 1;
        // It fails only when the thread is gone, which `ended` tells.
        let _ = self.commands.send(command);
        self.waker.wake();
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Drop);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; a drop must not add another.
            let _ = thread.join();
        }
    }
}
