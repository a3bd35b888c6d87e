//! Connections to the API: taken, counted and served.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
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
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio::sync::OwnedSemaphorePermit;

use super::access;
use super::door::{Door, Reason, Site};
use super::http;
use super::limits::{
    ACCEPT_REST, BACKLOG, BUFFER_BYTES, KEEPALIVE, PIECE_BYTES, SEND_BUFFER_BYTES,
    TCP_CONNECTIONS_MAX, UNIX_CONNECTIONS_MAX, WHOLE_BYTES,
};
use super::problem::Problem;
use super::server::RouteServer;
use super::timed::{Beat, Pulse, Timed};
use super::who::{Asker, Role};

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
                    Ok((stream, from)) => {
                        let asker = Asker::new(format!("{from}"), Role::Admin);
                        take(stream, Some(source(from.ip())), asker, &for_tcp, &app);
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
                    let asker = unix_asker(&stream);
                    let _ = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
                    take(stream, None, asker, &for_unix, &app);
                }
                Err(error) => rest(&error).await,
            }
        }
    });
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

/// Serves a connection, or closes it.
fn take<S>(stream: S, from: Option<IpAddr>, asker: Asker, site: &Site, app: &Router)
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
        asker,
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
    asker: Asker,
    pulse: Arc<Pulse>,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let beat = self.pulse.begin();
        request.extensions_mut().insert(self.asker.clone());
        let (app, site) = (self.app.clone(), self.site.clone());
        Box::pin(async move {
            let (response, large) = answer(app, &site, request).await;
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
    request: Request<Incoming>,
) -> (Response, Option<OwnedSemaphorePermit>) {
    let door = &site.door;
    if let Err(denied) = allowed(site, &request) {
        return (denied.into_response(), None);
    }
    let _at_work = door.work().await;
    let app = TowerToHyperService::new(app);
    let Ok(response) = app.call(request).await;
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
