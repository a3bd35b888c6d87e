//! How a run tells what it is doing: a callback, and a bar for terminals.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What a run does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Files are being read; counts are octets.
    Reading,
    /// Sessions come up; counts are sessions.
    Connecting,
    /// UPDATEs are made; counts are sessions.
    Preparing,
    /// The table goes out and comes back; counts are prefixes.
    Converging,
    /// Members take everything back; counts are prefixes.
    Withdrawing,
    /// They tell it again; counts are prefixes.
    Announcing,
    /// Everything is where it should be, and is compared.
    Checking,
    /// Updates without end; counts are milliseconds.
    Churning,
    /// All is done and the sessions stay up; counts are milliseconds.
    Staying,
    /// The sessions end; counts are sessions.
    Closing,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Reading => "reading",
            Phase::Connecting => "connecting",
            Phase::Preparing => "preparing",
            Phase::Converging => "replaying",
            Phase::Withdrawing => "withdrawing",
            Phase::Announcing => "announcing",
            Phase::Checking => "checking",
            Phase::Churning => "churning",
            Phase::Staying => "staying",
            Phase::Closing => "closing",
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it does.
    pub phase: Phase,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// Prefixes received so far, over all receivers.
    pub received: u64,
    /// Since the run began.
    pub elapsed: Duration,
}

/// Is told how far a run is, about ten times a second.
pub trait Progress {
    /// Called on the run's own thread: it must be quick.
    fn update(&mut self, snapshot: &Snapshot);

    /// A phase begins, and the one before is over: for measurements from outside.
    fn begins(&mut self, phase: Phase) {
        let _ = phase;
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _snapshot: &Snapshot) {}
}

/// A bar on standard error, drawn only where that is a terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    phase: Option<Phase>,
}

impl Default for Bar {
    fn default() -> Self {
        let bar = ProgressBar::new(0);
        let style = "{msg:>10} [{bar:40}] {pos}/{len} ({per_sec}, {eta})";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar { bar, phase: None }
    }
}

impl Bar {
    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn update(&mut self, snapshot: &Snapshot) {
        if self.phase != Some(snapshot.phase) {
            self.phase = Some(snapshot.phase);
            self.bar.reset();
            self.bar.set_message(snapshot.phase.name());
        }
        self.bar.set_length(snapshot.total);
        self.bar.set_position(snapshot.done);
    }
}
