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
    #[arg(long, value_name = "ADDR", global = true, conflicts_with = "socket")]
    api: Option<String>,
    /// Print JSON: one value, or one object a line for routes.
    #[arg(long, global = true)]
    pub json: bool,
}

impl ServerArgs {
    /// The server that is meant: the default socket's, where nothing is said.
    pub(crate) fn client(&self) -> Client {
        match (&self.api, &self.socket) {
            (Some(addr), _) => Client::over_tcp(addr),
            (None, Some(path)) => Client::at(path),
            (None, None) => Client::at(&thruway_config::default_api_socket()),
        }
    }
}
