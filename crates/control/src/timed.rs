//! A connection that ends when nothing comes of it: no request, half a request, or a reader who takes nothing.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::door::{Door, Reason};
use super::limits::{HEAD_TIME, IDLE_TIME, STALL_TIME};

/// Whether a request is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Odd while one is; one more with each change.
    count: AtomicU32,
    /// The connection, which starts its clock when the request's end wakes it: nothing else may.
    connection: AtomicWaker,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Beat(Arc<Pulse>);

impl Pulse {
    pub(super) fn begin(self: &Arc<Self>) -> Beat {
        self.count.fetch_add(1, Ordering::Relaxed);
        Beat(Arc::clone(self))
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.connection.wake();
    }
}

/// A socket with the API's time limits.
pub(super) struct Timed<S> {
    io: S,
    door: Arc<Door>,
    pulse: Arc<Pulse>,
    /// The pulse when `until` was set.
    seen: u32,
    /// When the request that is waited for must be there.
    until: Pin<Box<Sleep>>,
    /// Some of its head is there.
    begun: bool,
    /// When the reader must have taken something, while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: AsFd> Timed<S> {
    pub(super) fn new(io: S, door: Arc<Door>, pulse: Arc<Pulse>) -> Self {
        Timed {
            io,
            door,
            pulse,
            seen: 0,
            until: Box::pin(tokio::time::sleep(IDLE_TIME)),
            begun: false,
            stalled: None,
        }
    }

    fn wait_for(&mut self, span: Duration) {
        self.until.as_mut().reset(Instant::now() + span);
    }

    /// An error where the next request has not come in time; the caller is woken then.
    fn request_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.pulse.connection.register(cx.waker());
        let pulse = self.pulse.count.load(Ordering::Relaxed);
        if pulse != self.seen {
            self.seen = pulse;
            self.begun = false;
            self.wait_for(IDLE_TIME);
        }
        if pulse & 1 == 1 || self.until.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let reason = if self.begun {
            Reason::SlowHead
        } else {
            Reason::Idle
        };
        self.door.count(reason);
        Err(io::ErrorKind::TimedOut.into())
    }

    /// What a write did, or an error where the reader has taken nothing for too long.
    fn taken(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            // What the reader still takes of the last answer is no idleness.
            if !self.begun {
                self.wait_for(IDLE_TIME);
            }
            return written;
        }
        let sleep = || Box::pin(tokio::time::sleep(STALL_TIME));
        ready!(self.stalled.get_or_insert_with(sleep).as_mut().poll(cx));
        self.door.count(Reason::Stalled);
        // What waits in the kernel goes with the connection.
        let _ = rustix::net::sockopt::set_socket_linger(&self.io, Some(Duration::ZERO));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        // A head that comes octet by octet is out of time, too.
        this.request_time(cx)?;
        let came = read.is_ready() && buf.filled().len() > before;
        if came && this.seen & 1 == 0 && !this.begun {
            this.begun = true;
            this.wait_for(HEAD_TIME);
        }
        read
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, octets);
        self.taken(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        self.taken(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
