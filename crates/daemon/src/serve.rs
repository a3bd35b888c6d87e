//! The server from its start to its end: what is opened, in which order, and how it is left.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use crossbeam::channel::bounded;
use thruway_config::{Config, LogLevel, Transport};
use thruway_control::{Broadcast, ChangeRequest, RouteServer};
use thruway_engine::{
    Command, Event, GroupRegistry, PeerDirectory, PeerIdPool, Worker, WorkerConfig,
};
use thruway_net::{ListenOptions, TransportChoice};
use thruway_rib::WorkerId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use super::bus::Bus;
use super::change::{self, Changes, Start};
use super::clock::Clock;
use super::daemon::{Daemon, Foundation};
use super::limits::{EVENTS_MAX, PEERS_MAX, PORT_PATIENCE, PORT_RETRY, RING_BATCHES};
use super::reload::listener_keys;
use super::stderr::Stderr;
use super::strangers::Strangers;
use super::worker::{Order, Parts, WorkerHandle};
use super::{entry, expect, log, panic, port, worker};

/// How long sessions may take to close at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the server of a configuration file, with log lines as JSON or as text, until SIGTERM or
/// SIGINT. SIGHUP reads the configuration again.
///
/// # Errors
/// What is wrong with the configuration, or what the system refused.
pub fn run(config: &Path, log_json: bool) -> Result<()> {
    // Tables grow a piece at a time: with huge pages a third of the memory would be cleared and never used.
    let pages = rustix::thread::disable_transparent_huge_pages(true);
    let Start {
        config,
        changes,
        warnings,
    } = change::start(config)?;
    start_log(&config, log_json);
    panic::end_the_process();
    raise_open_files();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = pages {
        tracing::debug!(%error, "huge pages stay on");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(config, changes));
    // What still runs on a thread of its own, a file that is read for instance, is not waited for.
    runtime.shutdown_background();
    ended
}

/// As many open files as the system lets us have: a session, and whoever asks over HTTP, takes one each.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the number of open files stays at {:?}", limit.current);
    }
}

/// Puts another filter before the log. Set once, with the first log.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// What is logged from now on, unless the environment says what is.
pub(super) fn set_log_level(level: LogLevel) {
    let Some(filter) = FILTER
        .get()
        .filter(|_| std::env::var_os(FILTER_FROM).is_none())
    else {
        return;
    };
    if let Err(error) = filter.reload(EnvFilter::new(level.as_str())) {
        tracing::error!(%error, "the log stays as it is");
    }
}

/// Where the environment says what is logged.
const FILTER_FROM: &str = "THRUWAY_LOG";

fn start_log(config: &Config, json: bool) {
    let level = config.server.log.as_str();
    let filter = EnvFilter::try_from_env(FILTER_FROM).unwrap_or_else(|_| EnvFilter::new(level));
    let (filter, handle) = tracing_subscriber::reload::Layer::new(filter);
    let _ = FILTER.set(handle);
    let (text, lines) = (
        tracing_subscriber::fmt::layer(),
        tracing_subscriber::fmt::layer(),
    );
    let stream = tracing_subscriber::fmt::layer()
        .json()
        .with_target(false)
        .with_writer(Broadcast);
    let text = text
        .with_target(false)
        .with_writer(Stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = lines.json().with_target(false).with_writer(Stderr);
    // A second server in one process keeps the first one's log.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with((!json).then_some(text))
        .with(json.then_some(lines))
        .with(stream)
        .try_init();
}

async fn serve(config: Config, changes: Changes) -> Result<()> {
    let clock = Clock::start();
    let config = Arc::new(config);
    let (events, mut news) = mpsc::channel(EVENTS_MAX);
    let seed = random_seed()?;
    let ids = Arc::new(PeerIdPool::new(PEERS_MAX));
    let workers = config.server.workers;
    let shards = workers.min(thruway_rib::limits::SHARDS_MAX);
    let refused = Arc::new(AtomicU64::new(0));
    let foundation = WorkerBase {
        clock,
        seed,
        shards,
        ids: &ids,
        events: &events,
        refused: &refused,
    };
    let handles = start_workers(&config, &foundation)?;
    let bus = Bus::new(handles, shards);
    let listen = listen(&config, &bus).await?;
    let base = Foundation {
        bus: Arc::clone(&bus),
        clock,
        seed,
        ids,
        listen: listen.clone(),
        shards,
        access: entry::first_access(&config.server),
        // Nothing here keeps it: what a server started with goes with the first reload.
        config,
        refused,
        changes,
    };
    let daemon = Daemon::new(base);
    let config = daemon.config();
    let unix = entry::bind(&config.server)?;
    let tcp = match config.server.api {
        None => None,
        Some(addr) => {
            Some(thruway_control::bind(addr).with_context(|| format!("cannot listen at {addr}"))?)
        }
    };
    let socket = config.server.api_socket.clone();
    drop(config);
    let server: Arc<dyn RouteServer> = daemon.clone();
    thruway_control::open(&server, unix, tcp);
    if let Some(matrix) = daemon.matrix() {
        daemon.send_matrix(matrix)?;
    }
    daemon.install()?;
    daemon.start_network()?;
    let kind = bus
        .workers()
        .first()
        .map(|worker| worker.kind().to_string())
        .unwrap_or_default();
    daemon.changes.started(&daemon.config().path);
    tracing::info!(?listen, workers, shards, transport = kind, "ready");
    notify(&[sd_notify::NotifyState::Ready]);
    tokio::spawn(async { panic::here("control") });
    tokio::spawn(expect::watch::run(Arc::clone(&daemon)));
    run_until_signal(&daemon, &mut news).await?;
    notify(&[sd_notify::NotifyState::Stopping]);
    // Before sessions end: their routes would leave the kernel one by one.
    daemon.stop_network().await;
    farewell(&daemon, &mut news).await;
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// What all workers have in common.
struct WorkerBase<'a> {
    clock: Clock,
    seed: u64,
    shards: usize,
    ids: &'a Arc<PeerIdPool>,
    events: &'a mpsc::Sender<Event>,
    refused: &'a Arc<AtomicU64>,
}

fn start_workers(config: &Config, base: &WorkerBase<'_>) -> Result<Vec<WorkerHandle>> {
    let workers = config.server.workers;
    let (seed, shards) = (base.seed, base.shards);
    let groups = Arc::new(GroupRegistry::default());
    let nobody = Arc::new(PeerDirectory::new(workers, seed, [], []));
    let rings = thruway_engine::rings(workers, shards, RING_BATCHES);
    let parts = rings.into_iter().enumerate().map(|(index, rings)| {
        let worker = WorkerConfig {
            id: WorkerId(u8::try_from(index).unwrap_or(u8::MAX)),
            workers,
            shards,
            seed,
            decision: config.server.decision,
            bounds: thruway_engine::limits::Bounds::default(),
        };
        Parts {
            index,
            pin: config.server.pin_workers,
            engine: Worker::new(worker, rings, Arc::clone(&groups), Arc::clone(base.ids)),
            transport: match config.server.transport {
                Transport::Auto => TransportChoice::Auto,
                Transport::IoUring => TransportChoice::IoUring,
                Transport::Epoll => TransportChoice::Epoll,
            },
            directory: Arc::clone(&nobody),
            events: base.events.clone(),
            strangers: Strangers::new(Arc::clone(base.refused)),
            clock: base.clock,
        }
    });
    worker::start(parts.collect()).context("cannot start the workers")
}

/// All listeners are the first worker's; it hands connections to the worker they belong to.
async fn listen(config: &Config, bus: &Bus) -> Result<Vec<SocketAddr>> {
    let keys = listener_keys(config);
    let mut bound = Vec::new();
    for addr in &config.server.listen {
        let mut options = ListenOptions::new(*addr);
        let same = |key: &&thruway_net::Md5Key| key.prefix.addr().is_ipv6() == addr.is_ipv6();
        options.md5 = keys.iter().filter(same).cloned().collect();
        bound.push(listen_at(&options, bus).await?);
    }
    Ok(bound)
}

/// Opens one listener, and waits a while for a port that is in use.
async fn listen_at(options: &ListenOptions, bus: &Bus) -> Result<SocketAddr> {
    let addr = options.addr;
    let until = std::time::Instant::now() + PORT_PATIENCE;
    let mut said = false;
    loop {
        let (answer, reply) = bounded(1);
        bus.order(0, Order::Listen(Box::new(options.clone()), answer))?;
        let error = match reply.recv().context("the first worker is gone")? {
            Ok(addr) => return Ok(addr),
            Err(error) => error,
        };
        let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
        let owner = port::owner(addr).filter(|_| in_use);
        if !in_use || std::time::Instant::now() >= until {
            let by = owner.map_or_else(String::new, |owner| format!(", by {owner}"));
            return Err(anyhow!("cannot listen at {addr}: {error}{by}"));
        }
        if !std::mem::replace(&mut said, true) {
            let owner = owner.unwrap_or_else(|| "nobody that can be seen".to_owned());
            let seconds = PORT_PATIENCE.as_secs();
            tracing::warn!(%addr, owner, seconds, "the port is in use; it is asked for again");
        }
        tokio::time::sleep(PORT_RETRY).await;
    }
}

async fn run_until_signal(daemon: &Daemon, news: &mut mpsc::Receiver<Event>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            Some(event) = news.recv() => log::event(daemon, &event),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => {
                notify(&[sd_notify::NotifyState::Reloading]);
                let change = ChangeRequest {
                    author: "SIGHUP".to_owned(),
                    ..ChangeRequest::default()
                };
                if let Err(error) = daemon.reload(&change).await {
                    tracing::error!("configuration not reloaded: {error:#}");
                }
                notify(&[sd_notify::NotifyState::Ready]);
            }
            () = daemon.overdue() => daemon.take_back_overdue().await,
            else => return Err(anyhow!("all workers have ended")),
        }
    }
}

/// Ends every session with a Cease, and waits until that is done.
async fn farewell(daemon: &Daemon, news: &mut mpsc::Receiver<Event>) {
    let workers = daemon.bus().workers().len();
    for worker in 0..workers {
        let command = Command::Shutdown("the server is shutting down".to_owned());
        if let Err(error) = daemon.bus().command(worker, command) {
            tracing::warn!("{error:#}");
        }
    }
    let mut drained = 0;
    let all = async {
        while drained < workers {
            match news.recv().await {
                Some(Event::Drained) => drained += 1,
                Some(event) => log::event(daemon, &event),
                None => break,
            }
        }
    };
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        tracing::warn!("some sessions did not close in time");
    }
    for worker in daemon.bus().workers() {
        worker.stop();
    }
    tracing::info!("stopped");
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// The seed of all keyed hashes: peers must not be able to guess it.
fn random_seed() -> Result<u64> {
    use std::io::Read;
    let mut octets = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut octets))
        .context("cannot read /dev/urandom")?;
    Ok(u64::from_ne_bytes(octets))
}
