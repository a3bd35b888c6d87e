//! One worker's thread: its transport, its part of the engine, and its orders.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use thruway_engine::{Command, Input, PeerDirectory, QueryId, Refusal, Reply, Worker};
use thruway_net::{
    Accepted, Event, ListenOptions, ListenerId, Md5Key, Transport, TransportChoice, TransportKind,
    Waker,
};
use thruway_wire::{Prefix, Time};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::limits::{GIVE_BACK, ORDER_PATIENCE, ORDERS_MAX};
use super::sink::{Action, Deferred, Direct, Outbox, accept_options, engine_id, net_id};
use super::strangers::Strangers;

/// What a worker's thread is told from outside.
pub(crate) enum Order {
    /// For the engine.
    Command(Box<Command>),
    /// For the engine; the answers go there.
    Ask(QueryId, Box<Command>, mpsc::Sender<Reply>),
    /// An accepted connection of a neighbour that lives here.
    Adopt(Accepted),
    /// Who lives where, from now on.
    Directory(Arc<PeerDirectory>),
    /// Listen. The answer says where.
    Listen(Box<ListenOptions>, Sender<io::Result<std::net::SocketAddr>>),
    /// Keys of all listeners.
    Md5 {
        remove: Vec<Prefix>,
        add: Vec<Md5Key>,
    },
    /// Leave the loop.
    Stop,
}

/// The control plane's end of a worker.
pub(crate) struct WorkerHandle {
    orders: Sender<Order>,
    waker: Waker,
    kind: TransportKind,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a thread is made of.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) pin: bool,
    pub(crate) engine: Worker,
    pub(crate) transport: TransportChoice,
    pub(crate) directory: Arc<PeerDirectory>,
    pub(crate) events: mpsc::Sender<thruway_engine::Event>,
    pub(crate) strangers: Strangers,
    pub(crate) clock: Clock,
}

/// Fellow workers, known once all have started.
#[derive(Clone, Default)]
struct Fellows(Vec<(Sender<Order>, Waker)>);

impl WorkerHandle {
    /// Gives an order, and waits a while where many stand before it. `Err` where the worker takes
    /// none any more: the order itself.
    pub(crate) fn order(&self, order: Order) -> Result<(), Order> {
        let sent = match self.orders.try_send(order) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(order)) => Err(order),
            Err(TrySendError::Full(order)) => {
                self.waker.wake();
                let late = self.orders.send_timeout(order, ORDER_PATIENCE);
                late.map_err(crossbeam::channel::SendTimeoutError::into_inner)
            }
        };
        self.waker.wake();
        sent
    }

    /// Lets the worker look at what changed outside it: room in an answer's channel.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// The transport that the worker runs on.
    pub(crate) fn kind(&self) -> TransportKind {
        self.kind
    }

    /// Stops the thread and waits for it.
    pub(crate) fn stop(&self) {
        let _ = self.order(Order::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a worker panicked");
        }
    }
}

/// Starts all workers. Each opens its transport on its own thread, as io_uring wants it.
///
/// # Errors
/// A thread or a transport that could not be had.
pub(crate) fn start(parts: Vec<Parts>) -> io::Result<Vec<WorkerHandle>> {
    let mut handles = Vec::new();
    let mut introductions = Vec::new();
    for part in parts {
        let (orders, inbox) = bounded(ORDERS_MAX);
        let (ready, opened) = bounded(1);
        let (introduce, fellows) = bounded(1);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", part.index))
            .spawn(move || run(part, inbox, &ready, &fellows))?;
        let (waker, kind) = opened.recv().map_err(io::Error::other)??;
        introductions.push(introduce);
        handles.push(WorkerHandle {
            orders,
            waker,
            kind,
            thread: Mutex::new(Some(thread)),
        });
    }
    let all = handles
        .iter()
        .map(|handle| (handle.orders.clone(), handle.waker.clone()));
    let all = Fellows(all.collect());
    for introduce in introductions {
        introduce.send(all.clone()).map_err(io::Error::other)?;
    }
    Ok(handles)
}

fn run(
    part: Parts,
    inbox: Receiver<Order>,
    ready: &Sender<io::Result<(Waker, TransportKind)>>,
    fellows: &Receiver<Fellows>,
) {
    if part.pin {
        pin_to_core(part.index);
    }
    let transport = match thruway_net::open(part.transport) {
        Ok((transport, fell_back)) => {
            if let Some(why) = fell_back.filter(|_| part.index == 0) {
                tracing::warn!(%why, "io_uring is not to be had; epoll it is");
            }
            transport
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok((transport.waker(), transport.kind())));
    let Ok(fellows) = fellows.recv() else { return };
    let mut thread = Thread {
        index: part.index,
        engine: part.engine,
        transport,
        directory: part.directory,
        outbox: Outbox::new(part.events, part.strangers, part.clock),
        clock: part.clock,
        inbox,
        fellows,
        listeners: Vec::new(),
        actions: Vec::new(),
        accepted: Vec::new(),
        give_back_at: Time::NEVER,
    };
    super::panic::here(&format!("worker-{}", part.index));
    if let Err(error) = thread.run() {
        tracing::error!(worker = part.index, %error, "the transport failed; the server ends");
        thruway_net::exit_now(1);
    }
}

/// An event of a connection as the engine takes it.
fn input(event: Event<'_>) -> Option<Input<'_>> {
    Some(match event {
        Event::Received { conn, bytes } => Input::Received {
            conn: engine_id(conn),
            bytes: Cow::Borrowed(bytes),
        },
        Event::Sent { conn, .. } => Input::Sent {
            conn: engine_id(conn),
        },
        Event::Connected {
            conn,
            local,
            remote,
        } => Input::Connected {
            conn: engine_id(conn),
            local,
            remote,
        },
        Event::ConnectFailed { conn, error } => Input::ConnectFailed {
            conn: engine_id(conn),
            error: error.to_string().into(),
        },
        Event::Closed { conn, error } => Input::Closed {
            conn: engine_id(conn),
            error: error.map(|error| error.to_string().into()),
        },
        Event::Accepted { .. } | Event::Woken => return None,
    })
}

fn pin_to_core(index: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(index);
    // A container may not allow it; the scheduler does well enough then.
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::debug!(worker = index, %error, "not pinned");
    }
}

struct Thread {
    index: usize,
    engine: Worker,
    transport: Box<dyn Transport>,
    directory: Arc<PeerDirectory>,
    outbox: Outbox,
    clock: Clock,
    inbox: Receiver<Order>,
    fellows: Fellows,
    listeners: Vec<ListenerId>,
    actions: Vec<Action>,
    accepted: Vec<Accepted>,
    /// When freed memory is given back, if there was work since the last time.
    give_back_at: Time,
}

impl Thread {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let now = self.clock.now();
            let Thread {
                engine,
                transport,
                outbox,
                ..
            } = self;
            let turn = engine.turn(
                now,
                &mut Direct {
                    transport: transport.as_mut(),
                    outbox,
                },
            );
            self.outbox.tick(now);
            self.wake(turn.wake);
            let held = self.outbox.flush();
            let timeout = if turn.more {
                Some(Duration::ZERO)
            } else {
                self.give_back(now);
                let until = self.engine.deadline().min(self.outbox.deadline());
                let until = until.min(self.give_back_at);
                let span = until.since(now);
                // Reports that the control plane did not take are offered again soon.
                let span = if held {
                    span.min(Duration::from_millis(1))
                } else {
                    span
                };
                (until != Time::NEVER || held).then_some(span)
            };
            let worked = self.poll(timeout)?;
            if worked && self.give_back_at == Time::NEVER {
                self.give_back_at = now + GIVE_BACK;
            }
            if self.orders() {
                return Ok(());
            }
        }
    }

    /// Gives memory back where it is time to.
    fn give_back(&mut self, now: Time) {
        if now >= self.give_back_at {
            thruway_net::give_back_memory();
            self.give_back_at = Time::NEVER;
        }
    }

    fn wake(&self, workers: u32) {
        for (index, (_, waker)) in self.fellows.0.iter().enumerate() {
            if workers >> index & 1 == 1 {
                waker.wake();
            }
        }
    }

    /// Waits for sockets and hands what they have to the engine. True where they had something.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let Thread {
            engine,
            transport,
            outbox,
            actions,
            accepted,
            clock,
            ..
        } = self;
        // One reading of the clock a poll: what came in it came now.
        let mut now = None;
        transport.poll(timeout, &mut |event| {
            let now = *now.get_or_insert_with(|| clock.now());
            let mut sink = Deferred { actions, outbox };
            match event {
                Event::Accepted { socket, .. } => accepted.push(socket),
                event => {
                    if let Some(input) = input(event) {
                        engine.handle(now, input, &mut sink);
                    }
                }
            }
        })?;
        let worked = now.is_some();
        let actions = std::mem::take(&mut self.actions);
        for action in actions {
            action.run(self.transport.as_mut());
        }
        for socket in std::mem::take(&mut self.accepted) {
            self.place(socket);
        }
        Ok(worked)
    }

    /// Gives an accepted connection to the worker that its neighbour lives on.
    fn place(&mut self, socket: Accepted) {
        let remote = socket.peer;
        let Some(place) = self.directory.find(remote.ip()) else {
            self.outbox.refused(remote, Refusal::Unknown);
            return;
        };
        let home = place.worker.index();
        if home == self.index {
            self.adopt(socket);
        } else if let Some((orders, waker)) = self.fellows.0.get(home) {
            if orders.try_send(Order::Adopt(socket)).is_err() {
                self.outbox.refused(remote, Refusal::Resources);
            }
            waker.wake();
        }
    }

    fn adopt(&mut self, socket: Accepted) {
        let (local, remote) = (socket.local, socket.peer);
        let Some(place) = self.directory.find(remote.ip()) else {
            self.outbox.refused(remote, Refusal::Unknown);
            return;
        };
        let conn = self.engine.next_conn();
        let options = accept_options(&place.transport);
        if let Err(error) = self.transport.adopt(net_id(conn), socket, &options) {
            tracing::warn!(%remote, %error, "connection dropped");
            return;
        }
        let now = self.clock.now();
        let Thread {
            engine,
            transport,
            outbox,
            ..
        } = self;
        let mut sink = Direct {
            transport: transport.as_mut(),
            outbox,
        };
        engine.handle(
            now,
            Input::Accepted {
                conn,
                local,
                remote,
            },
            &mut sink,
        );
    }

    /// Carries out what was ordered. True: stop.
    fn orders(&mut self) -> bool {
        while let Ok(order) = self.inbox.try_recv() {
            match order {
                Order::Command(command) => self.command(command),
                Order::Ask(id, command, answers) => {
                    self.outbox.ask(id, answers);
                    self.command(command);
                }
                Order::Adopt(socket) => self.adopt(socket),
                Order::Directory(directory) => self.directory = directory,
                Order::Listen(options, answer) => {
                    let _ = answer.send(self.listen(&options));
                }
                Order::Md5 { remove, add } => self.keys(&remove, &add),
                Order::Stop => return true,
            }
        }
        false
    }

    fn command(&mut self, command: Box<Command>) {
        let now = self.clock.now();
        let Thread {
            engine,
            transport,
            outbox,
            ..
        } = self;
        let mut sink = Direct {
            transport: transport.as_mut(),
            outbox,
        };
        engine.handle(now, Input::Command(command), &mut sink);
    }

    fn listen(&mut self, options: &ListenOptions) -> io::Result<std::net::SocketAddr> {
        let listener = self.transport.listen(options)?;
        self.listeners.push(listener);
        self.transport.local_addr(listener)
    }

    fn keys(&mut self, remove: &[Prefix], add: &[Md5Key]) {
        for listener in &self.listeners {
            let Ok(addr) = self.transport.local_addr(*listener) else {
                continue;
            };
            let same = |prefix: &Prefix| prefix.addr().is_ipv6() == addr.is_ipv6();
            let remove: Vec<Prefix> = remove.iter().copied().filter(same).collect();
            let add: Vec<Md5Key> = add
                .iter()
                .filter(|key| same(&key.prefix))
                .cloned()
                .collect();
            if let Err(error) = self.transport.set_md5(*listener, &remove, &add) {
                tracing::error!(%addr, %error, "TCP MD5 keys");
            }
        }
    }
}
