//! Thruway itself, as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Host, Process, wait_until};

/// A running `thruway serve`.
pub struct Thruway {
    socket: PathBuf,
    process: Process,
}

impl Thruway {
    /// Starts one with this configuration (without `api-socket`, which is the test's matter) and
    /// waits until it answers.
    #[must_use]
    pub fn start(host: &Host, transport: &str, config: &str) -> Self {
        let socket = host.file("thruway.sock");
        let server = format!(
            "[server]\napi-socket = \"{}\"\ntransport = \"{transport}\"\n",
            socket.display()
        );
        let config = config.replacen("[server]\n", &server, 1);
        let file = host.write("thruway.toml", &config);
        let mut command = host.command(binary());
        command.args(["serve", "--config"]).arg(file);
        let process = host.spawn("thruway", &mut command);
        let mut thruway = Thruway { socket, process };
        wait_until("Thruway answers", Duration::from_secs(20), || {
            assert!(
                thruway.process.is_alive(),
                "thruway serve ended: {}",
                thruway.log()
            );
            thruway.try_show(&["status"]).is_some()
        });
        thruway
    }

    /// `thruway show … --json` as one value; lines of objects become an array.
    ///
    /// # Panics
    /// The command fails.
    #[must_use]
    pub fn show(&self, args: &[&str]) -> Value {
        self.try_show(args)
            .unwrap_or_else(|| panic!("thruway show {args:?} fails"))
    }

    fn try_show(&self, args: &[&str]) -> Option<Value> {
        let out = self
            .command("show", args)
            .arg("--json")
            .stderr(Stdio::null())
            .output()
            .ok()?;
        if !out.status.success() {
            return None;
        }
        let text = String::from_utf8(out.stdout).ok()?;
        if let Ok(value) = serde_json::from_str(&text) {
            return Some(value);
        }
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        lines.ok().map(Value::Array)
    }

    /// What a command prints for people.
    #[must_use]
    pub fn text(&self, command: &str, args: &[&str]) -> String {
        crate::lab::output(&mut self.command(command, args))
    }

    /// A command that asks this server.
    #[must_use]
    pub fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut line = Command::new(binary());
        line.arg(command)
            .args(args)
            .arg("--socket")
            .arg(&self.socket);
        line
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.terminate()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The state of a peer; null where there is none, as before a neighbour of a range connects.
    #[must_use]
    pub fn peer(&self, name: &str) -> Value {
        self.try_show(&["peer", name]).unwrap_or_default()
    }

    /// Waits until a peer is Established.
    pub fn wait_established(&self, name: &str) {
        wait_until(
            &format!("{name} is Established"),
            Duration::from_secs(60),
            || self.peer(name)["state"] == "Established",
        );
    }

    /// Waits until a peer's count of a family, such as `received`, is `count`.
    pub fn wait_count(&self, name: &str, family: &str, what: &str, count: u64) {
        let mut last = Value::Null;
        let text = format!("{name} has {count} {family} routes {what}");
        wait_until(&text, Duration::from_secs(120), || {
            last = self.peer(name)[family][what].clone();
            last == count
        });
    }
}

/// The binary under test.
#[must_use]
pub fn binary() -> PathBuf {
    // tests/ is a package of its own, so Cargo does not name the binary to it; it stands beside.
    let mut path = std::env::current_exe().expect("a running test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("thruway");
    assert!(
        path.exists(),
        "{} is not built: cargo build -p thruway",
        path.display()
    );
    path
}
