//! The way to the running task.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::event::EventfdFlags;
use thruway_api::{HostsTotals, HostsView};
use tokio::sync::{mpsc, oneshot, watch};

use super::limits::ORDERS_MAX;
use super::shared::{Order, Session, Settings, Shared};
use super::table::Table;
use super::task;

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

/// Starts the hosts' side on one end of a stream whose other end the route server serves. Its thread
/// begins with `begin`.
///
/// # Errors
/// The kernel's routing socket cannot be opened, or the thread cannot be started.
pub fn start(stream: UnixStream, settings: Settings, begin: fn()) -> io::Result<HostsHandle> {
    let (orders, waiting) = mpsc::channel(ORDERS_MAX);
    let (said, session) = watch::channel(Session::Connecting);
    let shared = Shared::new(Table::new(settings.kernel));
    let flags = EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    let bell = Arc::new(rustix::event::eventfd(0, flags)?);
    let task = task::Parts {
        stream,
        settings,
        begin,
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
