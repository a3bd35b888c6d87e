//! The demo's server: this binary's own `serve`, as a child process.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A running server with a folder of its own; both go when it is dropped.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    socket: PathBuf,
    log: Arc<Mutex<String>>,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Starts a server with the configuration that `config` makes of its address and its socket.
    pub(crate) fn start(config: impl FnOnce(SocketAddr, &Path) -> String) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("thruway-demo").tempdir()?;
        let socket = dir.path().join("thruway.sock");
        // Asks the kernel for a free port; the server takes it a moment later.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = dir.path().join("thruway.toml");
        std::fs::write(&file, config(addr, &socket))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--config"])
            .arg(&file)
            .env("THRUWAY_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child
            .stderr
            .take()
            .context("the server has no standard error")?;
        let (ready, started) = sync_channel(1);
        let theirs = Arc::clone(&log);
        std::thread::spawn(move || follow(stderr, &theirs, &ready));
        let server = Server {
            child,
            addr,
            socket,
            log,
            _dir: dir,
        };
        if started.recv_timeout(Duration::from_secs(20)).is_err() {
            bail!("the server did not start:\n{}", server.log());
        }
        Ok(server)
    }

    /// Where it takes BGP sessions.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its Unix socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        // It bounds its own farewell.
        let _ = self.child.wait();
    }
}

/// Keeps the log, and says when the server is ready.
fn follow(log: impl Read, kept: &Mutex<String>, ready: &std::sync::mpsc::SyncSender<()>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if line.contains(" ready") {
            let _ = ready.try_send(());
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(kept, "{line}");
    }
}
