//! What the task and its handles say to each other.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thruway_api::KernelTable;
use thruway_wire::{Asn, NextHop, Prefix, RouterId};

use super::table::Table;

/// What the local peer says, and where its routes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server's AS: the session is internal.
    pub asn: Asn,
    /// BGP identifier of the local peer, not the server's own.
    pub router_id: RouterId,
    /// What the network announces.
    pub routes: Vec<(Prefix, NextHop)>,
    /// The kernel's table; `None`: routes are computed and shown only.
    pub kernel: Option<KernelTable>,
}

/// The session with the route server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    Connecting,
    Established,
    Broken(String),
}

/// What the composition wants of the task.
pub(crate) enum Order {
    Update(Box<Settings>),
    Attach(UnixStream),
    Stop,
}

/// The table, which the task and its handles have in common.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Table>>);

impl Shared {
    pub(crate) fn new(table: Table) -> Self {
        Shared(Arc::new(Mutex::new(table)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        // A table is whole between any two of its calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Session::Connecting => f.write_str("connecting"),
            Session::Established => f.write_str("established"),
            Session::Broken(why) => f.write_str(why),
        }
    }
}
