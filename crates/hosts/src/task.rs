//! The task: the session, the table and the kernel in turns.
//!
//! What the session brings is read first, a piece at a time, and after each piece the kernel gets a
//! batch: neither waits for the other's whole work, and changes that meet in the queue are one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use thruway_wire::{Family, FamilySet};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::limits::{LEFTOVERS, LEFTOVERS_MAX};
use super::routing::Routing;
use super::shared::{Order, Session, Settings, Shared};
use super::speaker::{News, Speaker};

/// What a task is made of.
pub(super) struct Parts {
    pub(super) stream: UnixStream,
    pub(super) settings: Settings,
    /// What its thread does first.
    pub(super) begin: fn(),
    pub(super) orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>,
    /// Readable when there are orders, or nobody is left to give any.
    pub(super) bell: Arc<OwnedFd>,
    pub(super) session: watch::Sender<Session>,
    pub(super) shared: Shared,
}

/// Starts the thread.
pub(super) fn spawn(parts: Parts) -> io::Result<()> {
    let routing = parts.settings.kernel.map(Routing::open).transpose()?;
    std::thread::Builder::new()
        .name("thruway-hosts".to_owned())
        .spawn(move || {
            (parts.begin)();
            Task::new(parts, routing).run();
        })
        .map(|_| ())
}

struct Task {
    settings: Settings,
    orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>,
    bell: Arc<OwnedFd>,
    session: watch::Sender<Session>,
    shared: Shared,
    speaker: Option<Speaker>,
    routing: Option<Routing>,
    /// Families that this stream has told to the end.
    told: FamilySet,
    /// When routes of an earlier run go.
    sweep_at: Option<Instant>,
}

impl Task {
    fn new(parts: Parts, routing: Option<Routing>) -> Self {
        let mut task = Task {
            settings: parts.settings,
            orders: parts.orders,
            bell: parts.bell,
            session: parts.session,
            shared: parts.shared,
            speaker: None,
            routing,
            told: FamilySet::EMPTY,
            sweep_at: None,
        };
        task.attach(parts.stream);
        task
    }

    fn run(mut self) {
        if let Some(routing) = &mut self.routing {
            routing.compare(&self.shared, true, Instant::now());
            let leftovers = self.shared.lock().totals().leftovers;
            if leftovers > 0 {
                tracing::info!(leftovers, "routes of an earlier run are in the kernel");
                self.sweep_at = Some(Instant::now() + LEFTOVERS_MAX);
            }
        }
        loop {
            if self.wait() {
                self.stream();
            }
            self.kernel();
            match self.orders.try_recv() {
                Ok((Order::Stop, done)) => {
                    self.leave();
                    let _ = done.send(());
                    return;
                }
                Ok((order, done)) => {
                    self.order(order);
                    let _ = done.send(());
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return self.leave(),
            }
        }
    }

    /// Waits for something to do; while the kernel still lacks something, only looks. True where
    /// the stream is ready.
    fn wait(&self) -> bool {
        let routing = self.routing.as_ref();
        let wake = routing.and_then(|routing| routing.wake_at(&self.shared, Instant::now()));
        let wake = [self.sweep_at, wake].into_iter().flatten().min();
        let left = wake.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let bell = self.bell.as_fd();
        let mut fds = vec![PollFd::from_borrowed_fd(bell, PollFlags::IN)];
        if let Some(routing) = routing {
            fds.push(PollFd::from_borrowed_fd(routing.monitor(), PollFlags::IN));
        }
        if let Some(speaker) = &self.speaker {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, speaker.is_full());
            fds.push(PollFd::from_borrowed_fd(speaker.stream(), flags));
        }
        if let Err(error) = rustix::event::poll(&mut fds, timeout.as_ref()) {
            tracing::debug!(%error, "interrupted");
            return false;
        }
        let ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
        if ready(fds.first()) {
            // Each order rings once; one that is left finds the bell still rung.
            let _ = rustix::io::read(bell, &mut [0; 8]);
        }
        self.speaker.is_some() && ready(fds.last())
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Stop => {}
            Order::Attach(stream) => self.attach(stream),
            Order::Update(settings) => {
                self.move_to(&settings);
                self.settings = *settings;
                if let Some(speaker) = &mut self.speaker {
                    speaker.update(&self.settings.routes);
                    let flushed = speaker.flush();
                    self.ended(flushed.err());
                }
            }
        }
    }

    /// A new stream takes the place of the old one.
    fn attach(&mut self, stream: UnixStream) {
        self.told = FamilySet::EMPTY;
        self.speaker = None;
        let Settings {
            asn,
            router_id,
            routes,
            ..
        } = &self.settings;
        let speaker = Speaker::new(stream, *asn, *router_id, routes).and_then(|mut speaker| {
            speaker.flush().map_err(io::Error::other)?;
            Ok(speaker)
        });
        match speaker {
            Ok(speaker) => {
                self.shared.lock().begin_session();
                self.session.send_replace(Session::Connecting);
                self.speaker = Some(speaker);
            }
            Err(error) => self.ended(Some(format!("the stream cannot be used: {error}"))),
        }
    }

    /// The session's turn.
    fn stream(&mut self) {
        let Some(speaker) = &mut self.speaker else {
            return;
        };
        let mut table = self.shared.lock();
        let news = speaker.turn(&mut table);
        if let Ok(News { told, .. }) = &news {
            told.iter().for_each(|family| table.end_of_rib(family));
        }
        drop(table);
        match news {
            Ok(news) => self.heed(news),
            Err(why) => self.ended(Some(why)),
        }
    }

    fn heed(&mut self, news: News) {
        if news.established {
            tracing::debug!("the hosts' session is up");
            self.session.send_replace(Session::Established);
        }
        if news.told.is_empty() {
            return;
        }
        news.told.iter().for_each(|family| self.told.insert(family));
        let all = Family::ALL.iter().all(|family| self.told.contains(*family));
        if all && let Some(at) = &mut self.sweep_at {
            *at = (*at).min(Instant::now() + LEFTOVERS);
        }
    }

    /// The session is over, where there is a reason.
    fn ended(&mut self, why: Option<String>) {
        if let Some(why) = why {
            tracing::warn!("the hosts' session is over: {why}; their routes stay");
            self.speaker = None;
            self.session.send_replace(Session::Broken(why));
        }
    }

    /// The kernel's turn.
    fn kernel(&mut self) {
        if self.sweep_at.is_some_and(|at| at <= Instant::now()) {
            self.sweep_at = None;
            self.shared.lock().sweep_leftovers();
        }
        if let Some(routing) = &mut self.routing {
            let keep = self.sweep_at.is_some();
            routing.turn(&self.shared, keep, Instant::now());
        }
    }

    /// Routes go where `settings` says.
    fn move_to(&mut self, settings: &Settings) {
        let (old, new) = (self.shared.lock().kernel(), settings.kernel);
        if old == new {
            return;
        }
        if let (Some(old), Some(new), Some(routing)) = (old, new, &mut self.routing)
            && (old.table, old.protocol, old.metric) == (new.table, new.protocol, new.metric)
        {
            routing.set_target(new);
            self.shared.lock().adjust(new);
            return;
        }
        if let Some(routing) = &mut self.routing {
            routing.clear(&self.shared, Instant::now());
        }
        self.sweep_at = None;
        self.routing = new.and_then(|new| {
            let opened = Routing::open(new);
            opened
                .inspect_err(|error| tracing::error!("no routes in the kernel: {error}"))
                .ok()
        });
        let new = new.filter(|_| self.routing.is_some());
        self.shared.lock().move_to(new);
        if let Some(routing) = &mut self.routing {
            routing.compare(&self.shared, false, Instant::now());
        }
    }

    /// The end: routes leave the kernel, unless they are to stay.
    fn leave(&mut self) {
        let kernel = self.shared.lock().kernel();
        let stay = kernel.is_none_or(|kernel| kernel.keep_on_exit);
        if let Some(routing) = &mut self.routing
            && !stay
        {
            routing.clear(&self.shared, Instant::now());
        }
    }
}
