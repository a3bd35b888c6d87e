//! What hosts of the virtual network get: the routes of the local session, in the kernel's table.
//!
//! The network itself is one more BGP peer inside the process. Its end of the session is a small
//! speaker ([`speaker`]) that announces the network's prefixes and hears, by ADD-PATH, every path
//! that hosts should use. [`table`] turns paths into the set of next hops of each prefix, [`kernel`]
//! writes the difference to a table of the Linux kernel, [`routing`] hears what others change there, and
//! [`task`] runs them.
//!
//! The kernel adds a route within the call that asks for it, and may wait there for its own locks.
//! So the task has a thread: no control plane stands still for a route.

mod kernel;
pub(crate) mod limits;
mod routing;
mod speaker;
mod table;
mod task;
mod view;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::EventfdFlags;
use thruway_wire::{Asn, NextHop, Prefix, RouterId};
use tokio::sync::{mpsc, oneshot, watch};

use self::limits::ORDERS_MAX;
use self::table::Table;
pub use self::view::{
    HostGateway, HostHop, HostRoute, HostState, HostsTotals, HostsView, KernelTable,
};

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
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        // A table is whole between any two of its calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the task, once more when the last handle goes.
struct Bell(Arc<OwnedFd>);

impl Bell {
    fn ring(&self) {
        // It can only be full of rings.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

/// The running hosts' side. Clones are handles of the same.
#[derive(Clone)]
pub struct HostsHandle {
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    // Behind the orders: a handle rings after it has let go of them.
    bell: Arc<Bell>,
    session: watch::Receiver<Session>,
    shared: Shared,
}

/// Starts the hosts' side on one end of a stream whose other end the route server serves.
///
/// # Errors
/// The kernel's routing socket cannot be opened, or the thread cannot be started.
pub fn start(stream: UnixStream, settings: Settings) -> io::Result<HostsHandle> {
    let (orders, waiting) = mpsc::channel(ORDERS_MAX);
    let (said, session) = watch::channel(Session::Connecting);
    let shared = Shared(Arc::new(Mutex::new(Table::new(settings.kernel))));
    let flags = EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    let bell = Arc::new(rustix::event::eventfd(0, flags)?);
    let task = task::Parts {
        stream,
        settings,
        orders: waiting,
        bell: Arc::clone(&bell),
        session: said,
        shared: shared.clone(),
    };
    task::spawn(task)?;
    Ok(HostsHandle {
        orders,
        bell: Arc::new(Bell(bell)),
        session,
        shared,
    })
}

impl HostsHandle {
    /// Takes new settings: announces and withdraws the difference, moves routes where the kernel's
    /// table is another. A new AS or identifier takes effect with the next stream.
    pub async fn update(&self, settings: Settings) {
        self.order(Order::Update(Box::new(settings))).await;
    }

    /// Gives it a new stream after the old one broke. Routes stay meanwhile; those that the new
    /// session does not bring go when it has told its table.
    pub async fn attach(&self, stream: UnixStream) {
        self.order(Order::Attach(stream)).await;
    }

    /// Waits until the session breaks; says how.
    pub async fn broken(&self) -> String {
        let mut session = self.session.clone();
        let end = session.wait_for(|session| matches!(session, Session::Broken(_)));
        match end.await.as_deref() {
            Ok(Session::Broken(why)) => why.clone(),
            _ => "stopped".to_owned(),
        }
    }

    /// Ends it, and takes its routes out of the kernel unless they are to stay. Returns when that is
    /// done.
    pub async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    /// All routes as they stand, with their counters.
    #[must_use]
    pub fn view(&self) -> HostsView {
        let session = self.session.borrow().to_string();
        self.shared.lock().view(session)
    }

    /// The counters alone.
    #[must_use]
    pub fn totals(&self) -> HostsTotals {
        self.shared.lock().totals()
    }

    /// Returns when the task has done it, or has ended.
    async fn order(&self, order: Order) {
        let (done, wait) = oneshot::channel();
        if self.orders.send((order, done)).await.is_ok() {
            self.bell.ring();
            let _ = wait.await;
        }
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
