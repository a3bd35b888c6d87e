//! Which server is asked.

use std::path::PathBuf;

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

impl ServerArgs {
    /// The token, as far as it can be read: without one the server says what it needs.
    fn token(&self) -> Option<String> {
        let path = self.token_file.as_ref()?;
        match std::fs::read_to_string(path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) => {
                eprintln!("warning: {}: {error}", path.display());
                None
            }
        }
    }

    /// The server that is meant: the default socket's, where nothing is said.
    pub(crate) fn client(&self) -> Client {
        match (&self.api, &self.socket) {
            (Some(addr), _) => Client::over_tcp(addr).with_token(self.token()),
            (None, Some(path)) => Client::at(path),
            (None, None) => Client::at(&thruway_config::default_api_socket()),
        }
    }
}
