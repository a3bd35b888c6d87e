//! Asks a running server, over its Unix socket or over TCP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, ClientConfig};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::Failure;

/// A way to a server.
pub struct Client {
    target: Target,
    token: Option<String>,
    tls: Option<Arc<ClientConfig>>,
}

enum Target {
    Socket(PathBuf),
    Tcp(String),
}

impl Client {
    /// A server by its address: HOST:PORT of its `api`, or the path of its Unix socket.
    #[must_use]
    pub fn to(address: &str) -> Self {
        if address.contains('/') || Path::new(address).exists() {
            return Client::at(Path::new(address));
        }
        Client::over_tcp(address)
    }

    /// The server whose `api` is at HOST:PORT.
    #[must_use]
    pub fn over_tcp(address: &str) -> Self {
        Client {
            target: Target::Tcp(address.to_owned()),
            token: None,
            tls: None,
        }
    }

    /// The same with a token, which is shown over TCP.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Client { token, ..self }
    }

    /// The same over TLS: whom it believes, and what it shows.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<ClientConfig>>) -> Self {
        Client { tls, ..self }
    }

    /// True where nobody else on the way reads what is said.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.target, Target::Socket(_)) || self.tls.is_some()
    }

    /// The server with this Unix socket.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Client {
            target: Target::Socket(socket.to_owned()),
            token: None,
            tls: None,
        }
    }

    /// One JSON value.
    ///
    /// # Errors
    /// No server, or the server's own words.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(Method::GET, path, Vec::new()).await
    }

    /// Tells the server something; its answer.
    ///
    /// # Errors
    /// No server, or the server's own words.
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.post_body(path, Vec::new()).await
    }

    /// The same with a body.
    ///
    /// # Errors
    /// No server, or the server's own words.
    pub async fn post_body<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Result<T> {
        self.json(Method::POST, path, body).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T> {
        let response = self.request(method, path, body).await?;
        let body = response.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&body).context("the server's answer is not what was expected")
    }

    /// An answer of many lines: `each` gets them as they come.
    ///
    /// # Errors
    /// No server, the server's own words, or what `each` says.
    pub async fn lines(&self, path: &str, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut body = self
            .request(Method::GET, path, Vec::new())
            .await?
            .into_body();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the server went away before its answer ended")?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            rest.extend_from_slice(&data);
            let whole = rest
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            for line in rest
                .get(..whole)
                .unwrap_or_default()
                .split(|byte| *byte == b'\n')
            {
                if !line.is_empty() {
                    each(line)?;
                }
            }
            rest.drain(..whole);
        }
        Ok(())
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>> {
        let response = match &self.target {
            Target::Socket(socket) => {
                let stream = connect_unix(socket).await?;
                exchange(stream, "thruway", None, (method, path, body)).await?
            }
            Target::Tcp(addr) => {
                let stream = tokio::net::TcpStream::connect(addr.as_str())
                    .await
                    .with_context(|| format!("no server answers at {addr}"))?;
                // The server knows its addresses, but not every name of them.
                let host = stream.peer_addr()?.to_string();
                let (token, ask) = (self.token.as_deref(), (method, path, body));
                match &self.tls {
                    None => exchange(stream, &host, token, ask).await?,
                    Some(tls) => {
                        let name = thruway_tls::name_of(addr).map_err(|why| anyhow!(why))?;
                        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
                        let stream = stream.await.with_context(|| format!("TLS with {addr}"))?;
                        exchange(stream, &host, token, ask).await?
                    }
                }
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        match serde_json::from_slice::<Failure>(&body) {
            Ok(failure) => Err(anyhow!(failure.error)),
            Err(_) => bail!("the server answers {status}"),
        }
    }
}

async fn connect_unix(socket: &Path) -> Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(socket)
        .await
        .with_context(|| {
            format!(
                "no server answers at {} (is it running? --socket, --api)",
                socket.display()
            )
        })
}

async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    host: &str,
    token: Option<&str>,
    (method, path, body): (Method, &str, Vec<u8>),
) -> Result<Response<Incoming>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("content-type", "application/json");
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    let request = request.body(Full::<Bytes>::from(body))?;
    // With TLS 1.3 a client learns here that its certificate was not taken.
    sender.send_request(request).await.map_err(|error| {
        let ended = "the server ended the connection before it answered";
        match alert(&error) {
            Some(why) => anyhow!(why),
            None if error.is_parse() => {
                anyhow!("what answers speaks no HTTP: TLS, maybe (--ca)")
            }
            None => anyhow!(error).context(ended),
        }
    })
}

/// What a server's TLS alert means to whoever shows certificates.
fn alert(error: &hyper::Error) -> Option<&'static str> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = inner {
            return Some(match alert {
                AlertDescription::CertificateRequired => {
                    "the server takes nobody without a certificate (--certificate, --key)"
                }
                AlertDescription::CertificateExpired => {
                    "the server says that the certificate has expired"
                }
                _ => "the server does not take this certificate: none of its CAs signed it",
            });
        }
        cause = error.source();
    }
    None
}

/// Percent-encodes one part of a URL.
#[must_use]
pub fn encode(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().fold(String::new(), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
