//! Which server is asked.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use rustls::ClientConfig;
use thruway_api::Client;
use thruway_tls::Identity;

/// Which server to ask, and how to print the answer.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The server's Unix socket.
    #[arg(long, value_name = "PATH", global = true, env = "THRUWAY_SOCKET")]
    socket: Option<PathBuf>,
    /// Ask by HTTP instead: ADDRESS:PORT of the server's `api`.
    #[arg(long, value_name = "ADDR", global = true)]
    api: Option<String>,
    /// With --api: a file with the token that the server knows you by.
    #[arg(long, value_name = "FILE", global = true, env = "THRUWAY_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// With --api: speak TLS with a server whose certificate is of this CA (PEM).
    #[arg(long, value_name = "FILE", global = true, env = "THRUWAY_CA")]
    ca: Option<PathBuf>,
    /// With --ca: the certificate that is shown to the server (PEM).
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "THRUWAY_CERTIFICATE",
        requires = "key"
    )]
    certificate: Option<PathBuf>,
    /// With --certificate: its key (PEM).
    #[arg(long, value_name = "FILE", global = true, env = "THRUWAY_KEY")]
    key: Option<PathBuf>,
    /// Print JSON: one value, or one object a line for routes.
    #[arg(long, global = true)]
    pub json: bool,
}

/// Where the environment says in which file the token is.
const TOKEN_FILE: &str = "THRUWAY_TOKEN_FILE";

/// The token of a file, as far as it can be read: without one the server says what it needs.
fn token(path: &Path) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "warning: {}: {error}", path.display());
            None
        }
    }
}

/// A server by its address, with the token and the certificates that the environment names.
pub(super) fn client_to(address: &str) -> Result<Client> {
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let client = Client::to(address);
    let token = file(TOKEN_FILE).as_deref().and_then(token);
    let tls = tls(
        file("THRUWAY_CA"),
        file("THRUWAY_CERTIFICATE"),
        file("THRUWAY_KEY"),
    )?;
    Ok(client.with_token(token).with_tls(tls))
}

/// TLS, where a CA is named.
fn tls(
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<Arc<ClientConfig>>> {
    let own = certificate.zip(key);
    let own = own.map(|(certificate, key)| Identity { certificate, key });
    match (ca, own) {
        (None, None) => Ok(None),
        (None, Some(_)) => bail!("--certificate needs --ca: the CA of the server's certificate"),
        (Some(ca), own) => Ok(Some(thruway_tls::client(&ca, own.as_ref())?)),
    }
}

impl ServerArgs {
    /// The server that is meant: the default socket's, where nothing is said.
    pub(crate) fn client(&self) -> Result<Client> {
        let token = || self.token_file.as_deref().and_then(token);
        Ok(match (&self.api, &self.socket) {
            (Some(addr), _) => {
                let (certificate, key) = (self.certificate.clone(), self.key.clone());
                let tls = tls(self.ca.clone(), certificate, key)?;
                Client::over_tcp(addr).with_token(token()).with_tls(tls)
            }
            (None, Some(path)) => Client::at(path),
            (None, None) => Client::at(&thruway_config::default_api_socket()),
        })
    }
}
