//! Both transports: how fast octets go through, and what one small message costs.
#![allow(
    clippy::unwrap_used,
    reason = "a bench stops at the first thing that is wrong"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use thruway_net::{
    AcceptOptions, ConnId, ConnectOptions, Event, ListenOptions, Transport, TransportChoice, Waker,
    open,
};

const KINDS: [TransportChoice; 2] = [TransportChoice::IoUring, TransportChoice::Epoll];
const TICK: Option<Duration> = Some(Duration::from_millis(100));

/// One transport with `count` connections to itself: ids from 0 connected, from `count` accepted.
fn pairs(choice: TransportChoice, count: u64) -> Option<Box<dyn Transport>> {
    let (mut transport, _) = open(choice).ok()?;
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = transport.listen(&ListenOptions::new(any)).unwrap();
    let addr = transport.local_addr(listener).unwrap();
    let (mut connected, mut accepted) = (0, 0);
    for id in 0..count {
        transport.connect(ConnId(id), &ConnectOptions::new(addr));
    }
    while connected < count || accepted < count {
        let mut sockets = Vec::new();
        transport
            .poll(TICK, &mut |event| match event {
                Event::Accepted { socket, .. } => sockets.push(socket),
                Event::Connected { .. } => connected += 1,
                other => panic!("{other:?}"),
            })
            .unwrap();
        for socket in sockets {
            let id = ConnId(count + accepted);
            transport
                .adopt(id, socket, &AcceptOptions::default())
                .unwrap();
            accepted += 1;
        }
    }
    Some(transport)
}

/// A thread that takes one connection and everything that comes through it.
struct Drain {
    addr: SocketAddr,
    waker: Waker,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Drain {
    fn start(choice: TransportChoice) -> Self {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut transport, _) = open(choice).unwrap();
            let any = "127.0.0.1:0".parse().unwrap();
            let listener = transport.listen(&ListenOptions::new(any)).unwrap();
            tell.send((transport.local_addr(listener).unwrap(), transport.waker()))
                .unwrap();
            let mut next = 0;
            while !stopped.load(Ordering::Relaxed) {
                let mut sockets = Vec::new();
                transport
                    .poll(None, &mut |event| match event {
                        Event::Accepted { socket, .. } => sockets.push(socket),
                        Event::Received { bytes, .. } => look_at(bytes),
                        _ => {}
                    })
                    .unwrap();
                for socket in sockets {
                    transport
                        .adopt(ConnId(next), socket, &AcceptOptions::default())
                        .unwrap();
                    next += 1;
                }
            }
        });
        let (addr, waker) = told.recv().unwrap();
        Drain {
            addr,
            waker,
            stop,
            thread,
        }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        self.thread.join().unwrap();
    }
}

/// Touches each cache line, as a parser does.
fn look_at(bytes: &[u8]) {
    black_box(
        bytes
            .iter()
            .step_by(64)
            .fold(0u8, |sum, octet| sum.wrapping_add(*octet)),
    );
}

/// Sends `total` octets in chunks through connection 0 and returns the time that took.
fn stream(transport: &mut dyn Transport, chunk: &Bytes, total: usize) -> Duration {
    let start = Instant::now();
    let mut queue = VecDeque::new();
    let (mut taken, mut sent) = (0, 0);
    while sent < total {
        if sent == taken {
            while queue.len() < 256 {
                queue.push_back(chunk.clone());
            }
            taken += transport.send(ConnId(0), &mut queue);
        }
        transport
            .poll(TICK, &mut |event| {
                if let Event::Sent { bytes, .. } = event {
                    sent += bytes;
                }
            })
            .unwrap();
    }
    start.elapsed().mul_f64(total as f64 / sent as f64)
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("net/stream");
    group.throughput(Throughput::Bytes(1 << 20));
    for choice in KINDS {
        for len in [4096, 65_536] {
            let Ok((mut transport, _)) = open(choice) else {
                continue;
            };
            let drain = Drain::start(choice);
            transport.connect(ConnId(0), &ConnectOptions::new(drain.addr));
            let mut connected = false;
            while !connected {
                let mut sink = |event: Event<'_>| {
                    connected |= matches!(event, Event::Connected { .. });
                };
                transport.poll(TICK, &mut sink).unwrap();
            }
            let chunk = Bytes::from(vec![0x55; len]);
            group.bench_function(BenchmarkId::new(choice.to_string(), len), |b| {
                b.iter_custom(|mib| stream(&mut *transport, &chunk, (mib as usize) << 20));
            });
            drop(transport);
            drain.stop();
        }
    }
    group.finish();
}

/// Each connection has one small message on its way; who gets it sends it back.
fn bounce(transport: &mut dyn Transport, message: &Bytes, starters: u64, times: u64) -> Duration {
    for id in 0..starters {
        transport.send(ConnId(id), &mut [message.clone()].into());
    }
    let start = Instant::now();
    let mut seen = 0;
    let mut back = Vec::new();
    let mut in_flight = starters;
    let mut queue = VecDeque::new();
    while in_flight > 0 {
        transport
            .poll(TICK, &mut |event| {
                if let Event::Received { conn, .. } = event {
                    back.push(conn);
                }
            })
            .unwrap();
        for conn in back.drain(..) {
            seen += 1;
            if seen + in_flight > times {
                in_flight -= 1;
            } else {
                queue.push_back(message.clone());
                assert!(transport.send(conn, &mut queue) > 0);
            }
        }
    }
    start.elapsed().mul_f64(times as f64 / seen as f64)
}

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("net/message");
    group.throughput(Throughput::Elements(1));
    let message = Bytes::from(vec![0xff; 90]);
    for choice in KINDS {
        for count in [1, 100, 2000] {
            let Some(mut transport) = pairs(choice, count) else {
                continue;
            };
            group.bench_function(BenchmarkId::new(choice.to_string(), count), |b| {
                b.iter_custom(|times| bounce(&mut *transport, &message, count, times));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = transport;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .warm_up_time(Duration::from_secs(1))
        .sample_size(20);
    targets = streams, messages
}
criterion_main!(transport);
