//! The least server: it hands every UPDATE of its sources to every sink, as it stands.
//!
//! A load run against it finds the ceiling of the load client itself.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thruway_net::{TransportChoice, Waker};
use thruway_wire::limits::HEADER_LEN;
use thruway_wire::{Asn, RouterId};

use crate::endpoint::{Endpoint, Handler};
use crate::limits::RELAY_QUEUE_BYTES;
use crate::peer::{Negotiated, PeerOptions, SessionEnd};

/// Changes an UPDATE's body on its way: whole messages instead of it, or `None` to leave it.
pub type Tamper = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

/// What to relay.
pub struct RelayOptions {
    /// Where to listen; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The relay's AS number.
    pub asn: Asn,
    /// AS number of the sinks; who has another is a source.
    pub sink_asn: Asn,
    /// Sinks that must be there before anything is relayed.
    pub sinks: usize,
    /// Everybody is a source and a sink, and gets what the others send.
    pub exchange: bool,
    /// Sockets.
    pub transport: TransportChoice,
    /// A fault to plant, for tests of what verifies.
    pub tamper: Option<Tamper>,
}

/// A relay on a thread of its own; it ends when this is dropped.
pub struct Relay {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts one.
    ///
    /// # Errors
    /// The transport cannot be opened, or the address not be bound.
    pub fn spawn(options: RelayOptions) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, started) = mpsc::sync_channel(1);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || {
                let opened = open(&options);
                let (endpoint, reply) = match opened {
                    Ok((endpoint, addr)) => {
                        let waker = endpoint.waker();
                        (Some(endpoint), Ok((addr, waker)))
                    }
                    Err(error) => (None, Err(error)),
                };
                // The receiver waits for just this.
                let _ = ready.send(reply);
                if let Some(endpoint) = endpoint {
                    serve(endpoint, options, &stopped);
                }
            })?;
        let (addr, waker) = started.recv().map_err(io::Error::other)??;
        Ok(Relay {
            addr,
            stop,
            waker,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; a drop must not add another.
            let _ = thread.join();
        }
    }
}

fn open(options: &RelayOptions) -> io::Result<(Endpoint, SocketAddr)> {
    let mut endpoint = Endpoint::open(options.transport)?;
    let mut peer = PeerOptions::new(options.asn, RouterId(0x0a00_0001));
    peer.extended_message = false;
    let addr = endpoint.welcome(options.listen, peer)?;
    Ok((endpoint, addr))
}

/// Which session is what.
struct Relaying {
    sink_asn: Asn,
    exchange: bool,
    tamper: Option<Tamper>,
    sources: Vec<usize>,
    sinks: Vec<usize>,
    // Whole messages that came in this turn, and whose they are.
    pending: Vec<(usize, Vec<u8>)>,
}

fn serve(mut endpoint: Endpoint, options: RelayOptions, stop: &AtomicBool) {
    let mut relaying = Relaying {
        sink_asn: options.sink_asn,
        exchange: options.exchange,
        tamper: options.tamper,
        sources: Vec::new(),
        sinks: Vec::new(),
        pending: Vec::new(),
    };
    let mut held_back = false;
    let mut sources = 0;
    while !stop.load(Ordering::Acquire) {
        if endpoint
            .poll(Some(Duration::from_millis(100)), &mut relaying)
            .is_err()
        {
            return;
        }
        let ready = relaying.sinks.len() >= options.sinks;
        if ready && !relaying.pending.is_empty() {
            for (source, messages) in std::mem::take(&mut relaying.pending) {
                let messages = Bytes::from(messages);
                let sinks = relaying.sinks.iter().filter(|sink| **sink != source);
                sinks.for_each(|sink| endpoint.push(*sink, messages.clone()));
            }
            endpoint.flush(Instant::now(), &mut relaying);
        }
        let queued = relaying
            .sinks
            .iter()
            .map(|sink| endpoint.queued(*sink))
            .max()
            .unwrap_or(0);
        let hold_back = match held_back {
            true => !ready || queued > RELAY_QUEUE_BYTES / 2,
            false => !ready || queued > RELAY_QUEUE_BYTES,
        };
        if hold_back != held_back || sources != relaying.sources.len() {
            for source in &relaying.sources {
                endpoint.set_reading(*source, !hold_back);
            }
            (held_back, sources) = (hold_back, relaying.sources.len());
        }
    }
}

impl Handler for Relaying {
    fn established(&mut self, index: usize, negotiated: &Negotiated, _now: Instant) {
        let is_sink = negotiated.remote_asn == self.sink_asn;
        if is_sink || self.exchange {
            self.sinks.push(index);
        }
        if !is_sink || self.exchange {
            self.sources.push(index);
        }
    }

    fn update(&mut self, index: usize, body: &[u8], _negotiated: &Negotiated, _now: Instant) {
        if !self.exchange && self.sinks.contains(&index) {
            return;
        }
        if self
            .pending
            .last()
            .is_none_or(|(source, _)| *source != index)
        {
            self.pending.push((index, Vec::new()));
        }
        let Some((_, pending)) = self.pending.last_mut() else {
            return;
        };
        if let Some(instead) = self.tamper.as_mut().and_then(|tamper| tamper(body)) {
            pending.extend_from_slice(&instead);
            return;
        }
        let len = (HEADER_LEN + body.len()) as u16;
        pending.extend_from_slice(&[0xff; 16]);
        pending.extend_from_slice(&len.to_be_bytes());
        pending.push(2);
        pending.extend_from_slice(body);
    }

    fn ended(&mut self, index: usize, _end: SessionEnd) {
        self.sinks.retain(|sink| *sink != index);
        self.sources.retain(|source| *source != index);
    }

    fn more(&mut self, _index: usize, _outbox: &mut VecDeque<Bytes>, _now: Instant) {}
}
