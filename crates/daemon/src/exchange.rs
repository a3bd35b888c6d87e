//! The virtual network as it runs: the switch, the hosts' side, and gateways that were there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use thruway_api::time_text;
use thruway_config::Config;
use thruway_exchange::{SetBy, Switch, SwitchState};
use thruway_hosts::HostsHandle;

use super::state_file;

/// How long a gateway's instance that went is missed: one that comes back no more was replaced.
const MISSED_FOR: Duration = Duration::from_secs(3600);

/// The running side of exchange mode.
pub(crate) struct Exchange {
    inner: Mutex<Inner>,
    stopping: AtomicBool,
}

/// What changes of it.
pub(super) struct Inner {
    pub(super) position: Position,
    pub(super) hosts: Option<HostsHandle>,
    /// Instances of gateways that came from a subnet, by name.
    pub(super) seen: HashMap<Arc<str>, Seen>,
}

/// The switch and how it came to be where it is.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) switch: Switch,
    /// Since when, as a text.
    pub(crate) since: String,
    /// What a command left behind.
    pub(super) state: Option<SwitchState>,
    /// Why its word will not outlive a restart.
    pub(crate) warning: Option<String>,
}

/// An instance of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) addr: IpAddr,
    pub(crate) site: String,
    /// When its session went.
    pub(crate) down: Option<SystemTime>,
}

impl Exchange {
    /// `None` outside of exchange mode.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let file = config.exchange.as_ref()?;
        let path = &config.server.state;
        let state = state_file::read(path);
        let had_state = state.is_some();
        let position = Position::new(file.enabled, state);
        if had_state && position.state.is_none() {
            // Kept, it would come back to life when the file returns to what it said before.
            state_file::remove(path);
        }
        let inner = Inner {
            position,
            hosts: None,
            seen: HashMap::new(),
        };
        Some(Exchange {
            inner: Mutex::new(inner),
            stopping: AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn position(&self) -> Position {
        self.lock().position.clone()
    }

    pub(crate) fn hosts(&self) -> Option<HostsHandle> {
        self.lock().hosts.clone()
    }

    pub(super) fn set_hosts(&self, handle: HostsHandle) {
        self.lock().hosts = Some(handle);
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Instances of a gateway that have connected from its subnet, also those that are gone.
    pub(crate) fn seen(&self, site: &str) -> Vec<(Arc<str>, Seen)> {
        let mut inner = self.lock();
        inner.seen.retain(|_, seen| {
            let gone = seen.down.and_then(|at| at.elapsed().ok());
            gone.is_none_or(|gone| gone < MISSED_FOR)
        });
        let mine = inner.seen.iter().filter(|(_, seen)| seen.site == site);
        mine.map(|(name, seen)| (Arc::clone(name), seen.clone()))
            .collect()
    }
}

impl Position {
    pub(super) fn new(file_says: bool, state: Option<SwitchState>) -> Self {
        let switch = Switch::decide(file_says, state.as_ref());
        let state = state.filter(|_| switch.by_command());
        let since = match &switch.set_by {
            SetBy::Command { at } => at.clone(),
            SetBy::File => time_text(SystemTime::now()),
        };
        Position {
            switch,
            since,
            state,
            warning: None,
        }
    }
}
