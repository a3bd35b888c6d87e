//! Which server is asked.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use thruway_api::Client;

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

/// A server by its address, with the token that the environment names.
pub(super) fn client_to(address: &str) -> Client {
    let file = std::env::var_os(TOKEN_FILE).map(PathBuf::from);
    Client::to(address).with_token(file.as_deref().and_then(token))
}

impl ServerArgs {
    /// The server that is meant: the default socket's, where nothing is said.
    pub(crate) fn client(&self) -> Client {
        let token = || self.token_file.as_deref().and_then(token);
        match (&self.api, &self.socket) {
            (Some(addr), _) => Client::over_tcp(addr).with_token(token()),
            (None, Some(path)) => Client::at(path),
            (None, None) => Client::at(&thruway_config::default_api_socket()),
        }
    }
}
