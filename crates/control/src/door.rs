//! The way into the API: connections are taken, counted and bounded here, before anything is answered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustix::net::{SendFlags, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access;
use super::http;
use super::limits::{
    ACCEPT_REST, ADDRESS_CONNECTIONS_MAX, AT_WORK_MAX, BACKLOG, BUFFER_BYTES, CHECKS_MAX,
    KEEPALIVE, LARGE_MAX, SEND_BUFFER_BYTES, STREAMS_MAX, TCP_CONNECTIONS_MAX,
    UNIX_CONNECTIONS_MAX, WHOLE_BYTES,
};
use super::problem::Problem;
use super::server::RouteServer;
use super::timed::{Beat, Pulse, Timed};

/// What a connection beyond the bounds is told before it is closed.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 50\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    {\"error\":\"too many connections; try again later.\"}";

/// Why a connection or a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There were too many connections.
    Connections,
    /// There were too many from its address.
    Address,
    /// It meant another server.
    Host,
    /// A page of somewhere else wanted to change something.
    Origin,
    /// No request came.
    Idle,
    /// A request's head did not end.
    SlowHead,
    /// A request's body did not end.
    SlowBody,
    /// The reader took nothing of its answer.
    Stalled,
    /// Too many long answers were under way.
    Answers,
}

impl Reason {
    const ALL: [(Reason, &'static str); 9] = [
        (Reason::Connections, "connections"),
        (Reason::Address, "address"),
        (Reason::Host, "host"),
        (Reason::Origin, "origin"),
        (Reason::Idle, "idle"),
        (Reason::SlowHead, "slow_head"),
        (Reason::SlowBody, "slow_body"),
        (Reason::Stalled, "stalled"),
        (Reason::Answers, "answers"),
    ];
}

/// One way in: TCP or the Unix socket. Neither waits behind the other.
#[derive(Debug)]
pub(super) struct Door {
    /// `tcp` or `unix`.
    pub(super) name: &'static str,
    connections_max: usize,
    open: Mutex<Open>,
    streams: Arc<Semaphore>,
    large: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    at_work: Semaphore,
    counts: [AtomicU64; Reason::ALL.len()],
}

/// Connections that are open.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// By address; none from the Unix socket.
    from: HashMap<IpAddr, usize>,
}

/// A connection's place among those that are open, until it is dropped.
struct Entry {
    door: Arc<Door>,
    from: Option<IpAddr>,
}

impl Door {
    fn new(name: &'static str, connections_max: usize) -> Arc<Self> {
        Arc::new(Door {
            name,
            connections_max,
            open: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            large: Arc::new(Semaphore::new(LARGE_MAX)),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            at_work: Semaphore::new(AT_WORK_MAX),
            counts: Default::default(),
        })
    }

    pub(super) fn count(&self, reason: Reason) {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often something was turned away, by reason.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = Reason::ALL.iter().map(|(_, name)| *name);
        names.zip(
            self.counts
                .iter()
                .map(|count| count.load(Ordering::Relaxed)),
        )
    }

    /// Connections that are open.
    pub(super) fn connections(&self) -> usize {
        self.open().all
    }

    /// A place among the answers that stream.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.streams, "long answers are being read")
    }

    /// A place among the configurations that are checked.
    pub(super) fn check(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.place(&self.checks, "configurations are being checked")
    }

    fn place(&self, of: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(of).try_acquire_owned().map_err(|_| {
            self.count(Reason::Answers);
            let text = format!("as many {what} as there may be at a time; try again later");
            Problem(StatusCode::SERVICE_UNAVAILABLE, text)
        })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection, where there is one.
    fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Result<Entry, Reason> {
        let mut open = self.open();
        if open.all >= self.connections_max {
            return Err(Reason::Connections);
        }
        if let Some(from) = from {
            let mine = open.from.entry(from).or_default();
            if *mine >= ADDRESS_CONNECTIONS_MAX {
                return Err(Reason::Address);
            }
            *mine += 1;
        }
        open.all += 1;
        let door = Arc::clone(self);
        Ok(Entry { door, from })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.door.open();
        open.all = open.all.saturating_sub(1);
        let Some(from) = self.from else { return };
        if let Some(mine) = open.from.get_mut(&from) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                open.from.remove(&from);
            }
        }
    }
}

/// Whose connections count together: an address's, and with IPv6 a /64's, which one host may have.
fn source(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64).into(),
        addr => addr,
    }
}

/// What an answer may need: the server, the way that the request came, and the ways that there are.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) server: Arc<dyn RouteServer>,
    pub(super) door: Arc<Door>,
    pub(super) doors: [Arc<Door>; 2],
}

/// Listens for TCP, with the bounds that accepted sockets inherit.
///
/// # Errors
/// What the system says.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
    // Somebody who only listens, to events, may be gone without a word.
    socket.set_keepalive(true)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&socket, KEEPALIVE)?;
    socket.set_nodelay(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Opens both ways; `tcp` where there is one.
pub fn open(server: &Arc<dyn RouteServer>, unix: UnixListener, tcp: Option<TcpListener>) {
    let doors = [
        Door::new("tcp", TCP_CONNECTIONS_MAX),
        Door::new("unix", UNIX_CONNECTIONS_MAX),
    ];
    let [for_tcp, for_unix] = doors.each_ref().map(|door| Site {
        server: Arc::clone(server),
        door: Arc::clone(door),
        doors: doors.clone(),
    });
    if let Some(tcp) = tcp {
        tokio::spawn(async move {
            let app = http::router(for_tcp.clone());
            loop {
                match tcp.accept().await {
                    Ok((stream, from)) => take(stream, Some(source(from.ip())), &for_tcp, &app),
                    Err(error) => rest(&error).await,
                }
            }
        });
    }
    tokio::spawn(async move {
        let app = http::router(for_unix.clone());
        loop {
            match unix.accept().await {
                Ok((stream, _)) => {
                    let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
                    take(stream, None, &for_unix, &app);
                }
                Err(error) => rest(&error).await,
            }
        }
    });
}

/// After a connection that was gone before it was taken, the next one; else the system has no room.
async fn rest(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!(%error, "the API takes no connection");
        tokio::time::sleep(ACCEPT_REST).await;
    }
}

/// Serves a connection, or closes it.
fn take<S>(stream: S, from: Option<IpAddr>, site: &Site, app: &Router)
where
    S: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
{
    let entry = match site.door.enter(from) {
        Ok(entry) => entry,
        Err(reason) => {
            site.door.count(reason);
            // Its buffer is empty: this waits for nothing.
            let _ = rustix::net::send(&stream, FULL, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
            return;
        }
    };
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Timed::new(
        stream,
        Arc::clone(&site.door),
        Arc::clone(&pulse),
    ));
    let service = Answering {
        app: app.clone(),
        site: site.clone(),
        pulse,
    };
    let served = http1::Builder::new()
        // Its own time limit would close idle connections as early as slow heads.
        .header_read_timeout(None::<std::time::Duration>)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(io, service);
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection of the API ended");
        }
        drop(entry);
    });
}

/// Answers the requests of one connection.
struct Answering {
    app: Router,
    site: Site,
    pulse: Arc<Pulse>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let beat = self.pulse.begin();
        let (app, site) = (self.app.clone(), self.site.clone());
        Box::pin(async move {
            let (response, large) = answer(app, &site, request).await;
            Ok(response.map(|body| {
                Body::new(Held {
                    body,
                    _beat: beat,
                    _large: large,
                })
            }))
        })
    }
}

/// The answer, and its place among the large ones where it is one.
async fn answer(
    app: Router,
    site: &Site,
    request: Request<Incoming>,
) -> (Response, Option<OwnedSemaphorePermit>) {
    let door = &site.door;
    if let Err(denied) = allowed(site, &request) {
        return (denied.into_response(), None);
    }
    // It is never closed.
    let _at_work = door.at_work.acquire().await;
    let app = TowerToHyperService::new(app);
    let Ok(response) = app.call(request).await;
    if response.body().size_hint().lower() <= WHOLE_BYTES {
        return (response, None);
    }
    match door.place(&door.large, "large answers are being read") {
        Ok(large) => (response, Some(large)),
        Err(problem) => (problem.into_response(), None),
    }
}

fn allowed(site: &Site, request: &Request<Incoming>) -> Result<(), Problem> {
    let names = (site.door.name == "tcp").then(|| site.server.api_hosts());
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    access::check(method, uri, request.version(), headers, names.as_deref()).map_err(|denied| {
        let reason = match denied {
            access::Denied::OtherOrigin(_) => Reason::Origin,
            access::Denied::NoHost | access::Denied::OtherHost(_) => Reason::Host,
        };
        site.door.count(reason);
        Problem(denied.status(), denied.to_string())
    })
}

/// A body, and what it holds until its reader has it.
struct Held {
    body: Body,
    _beat: Beat,
    _large: Option<OwnedSemaphorePermit>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let door = Door::new("tcp", ADDRESS_CONNECTIONS_MAX + 1);
        let addr = |n: u8| Some(source(IpAddr::from([127, 0, 0, n])));
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..ADDRESS_CONNECTIONS_MAX {
            entries.push(door.enter(addr(1)).ok().unwrap());
        }
        assert_eq!(door.enter(addr(1)).err(), Some(Reason::Address));
        entries.push(door.enter(addr(2)).ok().unwrap());
        assert_eq!(door.enter(addr(2)).err(), Some(Reason::Connections));
        drop(entries.remove(0));
        assert!(door.enter(addr(1)).is_ok());
        drop(entries);
        assert_eq!(door.connections(), 0);
        assert!(door.open().from.is_empty());
    }

    #[test]
    fn a_host_with_many_addresses_is_one() {
        let source = |text: &str| source(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn reasons_stand_in_their_order() {
        for (at, (reason, _)) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
