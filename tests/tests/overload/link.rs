//! Two neighbours that a speaker cannot play: one behind a narrow pipe, and one that only listens for
//! KEEPALIVEs and notes when they come.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thruway_replay::speaker::{Speaker, SpeakerOptions};
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_tests::rig::{PATIENCE, Rig, client_addr};
use thruway_wire::message::{MessageType, encode_keepalive, frame};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::{Family, RouterId};

/// Nothing waits longer than this before it looks whether all is over.
const SLICE: Duration = Duration::from_millis(50);

/// A connection from an address of the server's clients, with a small receive buffer.
fn connect(rig: &Rig, from: Ipv4Addr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(32 << 10)?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        socket.connect(rig.addr()).await?.into_std()
    });
    let stream = stream.expect("the server takes connections");
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(SLICE)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A pipe in front of a speaker: what the server sends goes through at a rate.
pub(crate) struct Valve {
    rate: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Valve {
    /// Connects as client `n`; so many octets a second go through.
    pub(crate) fn connect(rig: &Rig, n: u8, peer: PeerOptions, rate: u64) -> (Valve, Speaker) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let remote = listener.local_addr().expect("its address");
        let session = SessionOptions {
            name: format!("client {n} behind a valve"),
            link: Link::Connect {
                remote,
                local: None,
            },
            peer,
            md5: None,
        };
        let speaker = Speaker::spawn(SpeakerOptions::new(session)).expect("a speaker starts");
        let (near, _) = listener.accept().expect("the speaker connects");
        near.set_read_timeout(Some(SLICE)).expect("a socket");
        near.set_nodelay(true).expect("a socket");
        let far = connect(rig, client_addr(n));
        let valve = Valve::between(near, far, rate);
        if let Err(error) = speaker.established(PATIENCE) {
            panic!("client {n}: {error}\n{}", rig.log());
        }
        (valve, speaker)
    }

    fn between(near: TcpStream, far: TcpStream, rate: u64) -> Valve {
        let rate = Arc::new(AtomicU64::new(rate));
        let passed = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (down_rate, count) = (Arc::clone(&rate), Arc::clone(&passed));
        let up_rate = Arc::new(AtomicU64::new(u64::MAX));
        let (near2, far2) = (near.try_clone(), far.try_clone());
        let (near2, far2) = (near2.expect("a socket"), far2.expect("a socket"));
        let stop = [Arc::clone(&over), Arc::clone(&over)];
        let [stop_down, stop_up] = stop;
        let down =
            std::thread::spawn(move || pump(far, near, &down_rate, Some(&count), &stop_down));
        let up = std::thread::spawn(move || pump(near2, far2, &up_rate, None, &stop_up));
        Valve {
            rate,
            passed,
            over,
            threads: vec![down, up],
        }
    }

    /// No limit any more.
    pub(crate) fn open(&self) {
        self.rate.store(u64::MAX, Ordering::Relaxed);
    }

    /// Octets that the server's neighbour took.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    rate: &AtomicU64,
    count: Option<&AtomicU64>,
    over: &AtomicBool,
) {
    let mut buffer = vec![0; 64 << 10];
    while !over.load(Ordering::Relaxed) {
        let rate = rate.load(Ordering::Relaxed);
        let portion = usize::try_from(rate / 20).unwrap_or(usize::MAX);
        let room = buffer.len().min(portion);
        let taken = match from.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(taken) => taken,
            Err(error) if is_timeout(&error) => continue,
            Err(_) => break,
        };
        if to.write_all(&buffer[..taken]).is_err() {
            break;
        }
        if let Some(count) = count {
            count.fetch_add(taken as u64, Ordering::Relaxed);
        }
        if portion <= buffer.len() {
            std::thread::sleep(SLICE);
        }
    }
    // Whoever is left behind must hear of it.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// A session that is advertised nothing, with a hold time of 3 s: what it hears are KEEPALIVEs.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Heard, String>>,
}

/// When KEEPALIVEs came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) keepalives: u32,
    pub(crate) gap: Duration,
}

impl Watch {
    /// As client `n`.
    pub(crate) fn connect(rig: &Rig, n: u8) -> Watch {
        let options = rig.client(n);
        let stream = connect(rig, client_addr(n));
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || listen(stream, &options, &stop));
        Watch { over, thread }
    }

    /// Ends it; panics where the server did before.
    pub(crate) fn finish(self) -> Heard {
        self.over.store(true, Ordering::Relaxed);
        match self.thread.join().expect("no panic") {
            Ok(heard) => heard,
            Err(why) => panic!("the session with a hold time of 3 s was lost: {why}"),
        }
    }
}

fn hello(options: &PeerOptions) -> Vec<u8> {
    let open = Open {
        version: 4,
        my_as: options.asn.to_as2(),
        hold_time: 3,
        router_id: RouterId(options.router_id.0),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4.to_wire()),
            Capability::FourOctetAs(options.asn),
        ],
    };
    let mut hello = Vec::new();
    open.encode(&mut hello);
    encode_keepalive(&mut hello);
    hello
}

fn listen(
    mut stream: TcpStream,
    options: &PeerOptions,
    over: &AtomicBool,
) -> Result<Heard, String> {
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(&hello(options)).map_err(failed)?;
    let mut keepalive = Vec::new();
    encode_keepalive(&mut keepalive);
    let mut heard = Heard::default();
    let (mut last, mut told) = (None::<Instant>, Instant::now());
    let mut input = Vec::new();
    let mut buffer = [0; 4096];
    let start = Instant::now();
    // A load may be over before a second KEEPALIVE is due: one says nothing about gaps.
    let too_few = |heard: &Heard| heard.keepalives < 2 && start.elapsed() < PATIENCE;
    while !over.load(Ordering::Relaxed) || too_few(&heard) {
        if told.elapsed() >= Duration::from_millis(800) {
            stream.write_all(&keepalive).map_err(failed)?;
            told = Instant::now();
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the connection closed".to_owned()),
            Ok(taken) => input.extend_from_slice(&buffer[..taken]),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error.to_string()),
        }
        let now = Instant::now();
        while let Some(message) = frame(&input, 4096).map_err(|error| error.to_string())? {
            match message.kind {
                MessageType::Keepalive => {
                    let gap = last.map_or(Duration::ZERO, |last| now - last);
                    heard.gap = heard.gap.max(gap);
                    heard.keepalives += 1;
                    last = Some(now);
                }
                MessageType::Notification => {
                    return Err(Notification::parse(message.body()).to_string());
                }
                _ => {}
            }
            let len = message.bytes.len();
            input.drain(..len);
        }
        // The gap that did not end yet counts, too.
        heard.gap = heard
            .gap
            .max(last.map_or(Duration::ZERO, |last| now - last));
    }
    Ok(heard)
}
