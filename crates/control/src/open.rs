//! Connections to the API: taken, counted and served.
//!
//! The daemon opens it once. Whoever comes gets a place or is told that there is none, is known by socket, token or
//! certificate, and is answered in the times of `timed`. Nothing here waits for one connection on behalf of another.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, StatusCode, header};
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
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::access;
use super::door::{Door, Entry, Reason, Site};
use super::http;
use super::limits::{
    ACCEPT_REST, BACKLOG, BUFFER_BYTES, KEEPALIVE, PIECE_BYTES, SEND_BUFFER_BYTES,
    TCP_CONNECTIONS_MAX, UNIX_CONNECTIONS_MAX, WHOLE_BYTES,
};
use super::problem::{Problem, Why};
use super::refusals::Refusals;
use super::server::RouteServer;
use super::timed::{Beat, Pulse, Timed};
use super::who::{self, Asker};
use thruway_api::time_text;
use thruway_tls::ServerTls;
use thruway_tokens::Role;

/// What a connection beyond the bounds is told before it is closed.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 50\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    {\"error\":\"too many connections; try again later.\"}";

/// Whose connections count together: an address's, and with IPv6 a /64's, which one host may have.
fn source(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64).into(),
        addr => addr,
    }
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
    let refusals = Arc::new(Refusals::default());
    let [for_tcp, for_unix] = doors.each_ref().map(|door| Site {
        server: Arc::clone(server),
        door: Arc::clone(door),
        doors: doors.clone(),
        refusals: Arc::clone(&refusals),
    });
    if let Some(tcp) = tcp {
        tokio::spawn(async move {
            let app = http::router(for_tcp.clone());
            loop {
                match tcp.accept().await {
                    Ok((stream, from)) => {
                        if for_tcp.server.closed().is_some() {
                            for_tcp.door.count(Reason::Closed);
                            continue;
                        }
                        let from = (from, for_tcp.server.tls());
                        take_tcp(stream, from, &for_tcp, &app);
                    }
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
                    let end = End::Unix(unix_asker(&stream));
                    let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
                    if let Some(entry) = enter(&stream, None, &for_unix) {
                        let (io, pulse) = timed(stream, &for_unix);
                        tokio::spawn(serve(io, end, pulse, for_unix.clone(), app.clone(), entry));
                    }
                }
                Err(error) => rest(&error).await,
            }
        }
    });
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) enum End {
    Unix(Asker),
    Tcp(Tcp),
}

/// Who comes over TCP, and what the connection was made under.
#[derive(Debug)]
pub(super) struct Tcp {
    from: SocketAddr,
    /// The digest of the certificate that it showed, where it did.
    certificate: Option<String>,
    /// [`ServerTls::id`]; `None`: plain HTTP.
    tls: Option<String>,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Unix(asker) => asker.fmt(f),
            End::Tcp(tcp) => tcp.from.fmt(f),
        }
    }
}

/// The user at the other end of the socket, whom the kernel names.
fn unix_asker(stream: &UnixStream) -> Asker {
    let name = match stream.peer_cred() {
        Ok(user) => super::who::user_name(user.uid()),
        Err(_) => "somebody on the Unix socket".to_owned(),
    };
    // Who may open the socket may do everything: its mode says who that is.
    Asker::new(name, Role::Admin)
}

/// After a connection that was gone before it was taken, the next one; else the system has no room.
async fn rest(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tracing::warn!(%error, "the API takes no connection");
        tokio::time::sleep(ACCEPT_REST).await;
    }
}

/// A connection's place; one beyond the bounds is told so and closed.
fn enter(stream: &impl AsFd, from: Option<IpAddr>, site: &Site) -> Option<Entry> {
    match site.door.enter(from) {
        Ok(entry) => Some(entry),
        Err(reason) => {
            site.door.count(reason);
            // Its buffer is empty: this waits for nothing.
            let _ = rustix::net::send(stream, FULL, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
            None
        }
    }
}

fn timed<S: AsFd>(stream: S, site: &Site) -> (Timed<S>, Arc<Pulse>) {
    let pulse = Arc::new(Pulse::default());
    let timed = Timed::new(stream, Arc::clone(&site.door), Arc::clone(&pulse));
    (timed, pulse)
}

/// Serves a connection over TCP, or closes it. The time for a request's head is that for the handshake too.
fn take_tcp(
    stream: TcpStream,
    (from, tls): (SocketAddr, Option<ServerTls>),
    site: &Site,
    app: &Router,
) {
    let Some(entry) = enter(&stream, Some(source(from.ip())), site) else {
        return;
    };
    let (io, pulse) = timed(stream, site);
    let (site, app) = (site.clone(), app.clone());
    let Some(tls) = tls else {
        let end = End::Tcp(Tcp {
            from,
            certificate: None,
            tls: None,
        });
        tokio::spawn(serve(io, end, pulse, site, app, entry));
        return;
    };
    tokio::spawn(async move {
        let end = |certificate| {
            End::Tcp(Tcp {
                from,
                certificate,
                tls: Some(tls.id.clone()),
            })
        };
        match TlsAcceptor::from(Arc::clone(&tls.config)).accept(io).await {
            Ok(io) => {
                let shown = io.get_ref().1.peer_certificates();
                let shown = shown.and_then(<[_]>::first).map(thruway_tls::fingerprint);
                serve(io, end(shown), pulse, site, app, entry).await;
            }
            Err(error) => {
                site.door.count(Reason::Tls);
                let what = Change {
                    changes: false,
                    what: "a TLS handshake".to_owned(),
                };
                let why = error.to_string();
                site.refusals.note(&end(None), &what, &why);
            }
        }
    });
}

/// Answers the requests of a connection until it ends.
async fn serve<S>(io: S, end: End, pulse: Arc<Pulse>, site: Site, app: Router, entry: Entry)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = Answering {
        app,
        site,
        end: Arc::new(end),
        pulse,
    };
    let served = http1::Builder::new()
        // Its own time limit would close idle connections as early as slow heads.
        .header_read_timeout(None::<std::time::Duration>)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(io), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of the API ended");
    }
    drop(entry);
}

/// Answers the requests of one connection.
struct Answering {
    app: Router,
    site: Site,
    end: Arc<End>,
    pulse: Arc<Pulse>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let beat = self.pulse.begin();
        let end = Arc::clone(&self.end);
        let (app, site) = (self.app.clone(), self.site.clone());
        Box::pin(async move {
            let (response, large) = answer(app, &site, &end, request).await;
            Ok(response.map(|body| {
                Body::new(Held {
                    body,
                    rest: Bytes::new(),
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
    end: &End,
    mut request: Request<Incoming>,
) -> (Response, Option<OwnedSemaphorePermit>) {
    let door = &site.door;
    let change = Change::of(&request);
    let asker = match allowed(site, &request).and_then(|()| welcome(site, end, &request)) {
        Ok(asker) => asker,
        Err(denied) => {
            site.refusals.note(end, &change, &denied.1);
            return (denied.into_response(), None);
        }
    };
    let author = asker.to_string();
    request.extensions_mut().insert(asker);
    let _at_work = door.work().await;
    let app = TowerToHyperService::new(app);
    let Ok(response) = app.call(request).await;
    if change.changes {
        let status = response.status().as_u16();
        let why = response.extensions().get::<Why>();
        let why = why.map_or("", |why| why.0.as_str());
        tracing::info!(
            author,
            what = change.what,
            status,
            why,
            "asked to change something"
        );
    }
    if response.body().size_hint().lower() <= WHOLE_BYTES {
        return (response, None);
    }
    match door.large() {
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

/// Who asks, where they may what they ask for.
fn welcome(site: &Site, end: &End, request: &Request<Incoming>) -> Result<Asker, Problem> {
    let asker = match end {
        End::Unix(asker) => asker.clone(),
        End::Tcp(tcp) => {
            // What it was made under may have changed since.
            if tcp.tls != site.server.tls().map(|tls| tls.id) || site.server.closed().is_some() {
                site.door.count(Reason::Tls);
                let why =
                    "what the API speaks has changed since this connection was made: connect again";
                return Err(Problem(StatusCode::UNAUTHORIZED, why.to_owned()));
            }
            let now = time_text(SystemTime::now());
            let asker = who::over_tcp(
                &*site.server,
                &tcp.from.to_string(),
                tcp.certificate.as_deref(),
                request.headers(),
                &now,
            );
            asker.map_err(|stopped| {
                site.door.count(Reason::Token);
                Problem(stopped.status, stopped.why)
            })?
        }
    };
    let needed = who::needed(request.method(), request.uri().path());
    if !asker.may(needed) {
        site.door.count(Reason::Role);
        let how = match (end, site.server.tokens().is_some()) {
            (
                End::Tcp(Tcp {
                    certificate: None, ..
                }),
                false,
            ) => ": without `api-tokens` TCP serves readers only",
            _ => "",
        };
        let why = format!("{asker} may not: the role {needed} is needed{how}");
        return Err(Problem(StatusCode::FORBIDDEN, why));
    }
    if matches!(end, End::Tcp(..)) && Change::of(request).changes {
        json_only(request)?;
    }
    Ok(asker)
}

/// A page of somewhere else cannot send this without being asked first (CORS).
fn json_only(request: &Request<Incoming>) -> Result<(), Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if http::is_json(kind) {
        return Ok(());
    }
    let text = "a change is asked for with Content-Type: application/json".to_owned();
    Err(Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// What a request is, for the log.
pub(super) struct Change {
    pub(super) changes: bool,
    pub(super) what: String,
}

impl Change {
    fn of(request: &Request<Incoming>) -> Self {
        let (method, uri) = (request.method(), request.uri());
        let asks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let path = uri.path_and_query().map_or("", |it| it.as_str());
        Change {
            changes: !asks && !path.starts_with("/v1/plan") && !path.starts_with("/v1/check"),
            what: without_tokens(&format!("{method} {path}"))
                .chars()
                .take(WHAT_MAX)
                .collect(),
        }
    }
}

/// A token in the wrong place must not reach the log.
fn without_tokens(text: &str) -> String {
    let mut parts = text.split("thruway_");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_hexdigit());
        let cut = part.len() - rest.len() >= 16;
        out += if cut { "thruway_(a token)" } else { "thruway_" };
        out += if cut { rest } else { part };
    }
    out
}

/// Characters of a request that the log names.
const WHAT_MAX: usize = 300;

/// A body, and what it holds until its reader has it. It goes out in pieces: what is handed over whole
/// would lie in front of the socket, counted by nobody.
struct Held {
    body: Body,
    /// Of the body's last frame, what is still to go out.
    rest: Bytes,
    _beat: Beat,
    _large: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn piece(&mut self) -> Frame<Bytes> {
        let len = self.rest.len().min(PIECE_BYTES);
        Frame::data(self.rest.split_to(len))
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let next = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Ok(frame)) = next else {
            return Poll::Ready(next);
        };
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Err(frame) => Poll::Ready(Some(Ok(frame))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_out_of_the_log() {
        let text = format!("POST /v1/reload?t=thruway_{}&x=thruway_1", "0a".repeat(32));
        let shown = "POST /v1/reload?t=thruway_(a token)&x=thruway_1";
        assert_eq!(without_tokens(&text), shown);
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
    fn who_finds_no_room_gets_a_whole_answer() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
    }
}
