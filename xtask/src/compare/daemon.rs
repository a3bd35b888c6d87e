//! The servers that are compared: where they are, which version, how each is started.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::config::{self, Site};
use super::lab::{Lab, Side};
use super::process::{Memory, Tree};
use crate::shell;

/// Until a daemon listens, and until its memory is settled.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A daemon that was told to end gets so long.
const END_LIMIT: Duration = Duration::from_secs(5);

/// One entry of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Thruway,
    ThruwayEpoll,
    ThruwayWide,
    Bird,
    Bird3,
    Frr,
    OpenBgpd,
    GoBgp,
    RustyBgp,
    RustBgpd,
    /// No server: the load tool against its own relay.
    Ceiling,
}

impl Kind {
    pub(super) const ALL: [Kind; 11] = [
        Kind::Thruway,
        Kind::ThruwayEpoll,
        Kind::ThruwayWide,
        Kind::Bird,
        Kind::Bird3,
        Kind::Frr,
        Kind::OpenBgpd,
        Kind::RustyBgp,
        Kind::RustBgpd,
        Kind::GoBgp,
        Kind::Ceiling,
    ];

    /// Its name in options and files.
    pub(super) fn key(self) -> &'static str {
        match self {
            Kind::Thruway => "thruway",
            Kind::ThruwayEpoll => "thruway-epoll",
            Kind::ThruwayWide => "thruway-wide",
            Kind::Bird => "bird",
            Kind::Bird3 => "bird3",
            Kind::Frr => "frr",
            Kind::OpenBgpd => "openbgpd",
            Kind::GoBgp => "gobgp",
            Kind::RustyBgp => "rustybgp",
            Kind::RustBgpd => "rustbgpd",
            Kind::Ceiling => "ceiling",
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(self, Kind::Thruway | Kind::ThruwayEpoll | Kind::ThruwayWide)
    }

    /// Its program, where it is installed; the load tool's ceiling needs none.
    pub(super) fn program(self) -> Option<PathBuf> {
        let name = match self {
            Kind::Thruway | Kind::ThruwayEpoll | Kind::ThruwayWide => {
                let target = std::env::var_os("CARGO_TARGET_DIR");
                let target = target.map_or_else(|| shell::root().join("target"), PathBuf::from);
                return Some(target.join("release/thruway")).filter(|path| path.exists());
            }
            // Both FRR and OpenBGPD call their daemon bgpd.
            Kind::Frr => return existing("/usr/lib/frr/bgpd"),
            Kind::OpenBgpd => return existing("/usr/sbin/bgpd"),
            Kind::Bird => "bird",
            Kind::Bird3 => "bird3",
            Kind::GoBgp => "gobgpd",
            Kind::RustyBgp => "rustybgpd",
            Kind::RustBgpd => "rustbgpd",
            Kind::Ceiling => return None,
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        folders
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    }

    /// What tables call it, its version with it.
    pub(super) fn title(self) -> String {
        let title = |name: &str, version: Option<String>| match version {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        };
        match self {
            Kind::Thruway => "Thruway".to_owned(),
            Kind::ThruwayEpoll => "Thruway, epoll".to_owned(),
            Kind::ThruwayWide => "Thruway, a worker a core".to_owned(),
            Kind::Bird | Kind::Bird3 => title("BIRD", self.version("--version")),
            Kind::Frr => title("FRR bgpd", self.version("--version")),
            Kind::OpenBgpd => title("OpenBGPD", self.version("-V")),
            Kind::GoBgp => title("GoBGP", self.version("--version")),
            Kind::RustyBgp => title("RustyBGP", self.version("--version")),
            Kind::RustBgpd => title("rustbgpd", self.version("--version")),
            Kind::Ceiling => "load tool alone".to_owned(),
        }
    }

    /// The first word that looks like a version in what the program says of itself.
    fn version(self, option: &str) -> Option<String> {
        let out = Command::new(self.program()?)
            .arg(option)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        let line = text.lines().next()?.to_owned();
        let mut words = line
            .split_whitespace()
            .map(|word| word.strip_prefix('v').unwrap_or(word));
        let starts_with_digit = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
        words.find(starts_with_digit).map(str::to_owned)
    }

    /// Writes another configuration for one that runs.
    pub(super) fn rewrite(self, site: &Site, lab: &Lab) -> Result<()> {
        let dir = lab.path(self.key());
        // What it makes to start one writes the file; nothing is started.
        let program = self.program().context("not installed")?;
        self.command(&program, site, &dir).map(drop)
    }

    /// What has it read its configuration again.
    pub(super) fn reload(self, lab: &Lab) -> Result<Command> {
        let dir = lab.path(self.key());
        let (program, args): (PathBuf, Vec<String>) = match self {
            Kind::Thruway | Kind::ThruwayEpoll => {
                let socket = dir.join("thruway.sock").display().to_string();
                let program = self.program().context("not built")?;
                (program, vec!["reload".into(), "--socket".into(), socket])
            }
            Kind::Bird | Kind::Bird3 => {
                let socket = dir.join("bird.ctl").display().to_string();
                let client = match self {
                    Kind::Bird3 => "birdc3",
                    _ => "birdc",
                };
                // `configure soft` leaves the routes under their old filters.
                (client.into(), vec!["-s".into(), socket, "configure".into()])
            }
            Kind::OpenBgpd => {
                let socket = dir.join("openbgpd.sock").display().to_string();
                ("bgpctl".into(), vec!["-s".into(), socket, "reload".into()])
            }
            _ => bail!("no reload is known of {}", self.key()),
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        Ok(command)
    }

    fn command(self, program: &Path, site: &Site, dir: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        let file = dir.join("config");
        let write = |text: String| fs::write(&file, text).context("cannot write a configuration");
        match self {
            Kind::Thruway | Kind::ThruwayEpoll | Kind::ThruwayWide => {
                let transport = match self {
                    Kind::ThruwayEpoll => "epoll",
                    _ => "io-uring",
                };
                let cores = || std::thread::available_parallelism().map_or(1, usize::from);
                let workers = (self == Kind::ThruwayWide).then(cores);
                write(config::thruway(site, dir, transport, workers))?;
                command.args(["serve", "--config"]).arg(&file);
            }
            Kind::Bird | Kind::Bird3 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                write(config::bird(site, (self == Kind::Bird3).then_some(cores)))?;
                command.args(["-f", "-c"]).arg(&file);
                command
                    .arg("-s")
                    .arg(dir.join("bird.ctl"))
                    .arg("-P")
                    .arg(dir.join("bird.pid"));
            }
            Kind::Frr => {
                write(config::frr(site))?;
                command
                    .arg("-f")
                    .arg(&file)
                    .arg("-i")
                    .arg(dir.join("frr.pid"));
                command.arg("--vty_socket").arg(dir);
                command.args(["-n", "-Z", "-S", "-p", "179", "-P", "0"]);
                command.args(["-l", &super::lab::SERVER.to_string()]);
            }
            Kind::OpenBgpd => {
                // Its children change their root to their user's home, which systemd makes.
                fs::create_dir_all("/run/openbgpd")?;
                write(config::openbgpd(site, dir))?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
                command.arg("-d").arg("-f").arg(&file);
            }
            Kind::GoBgp => {
                write(config::gobgp(site))?;
                command
                    .arg("-f")
                    .arg(&file)
                    .args(["-t", "toml", "--log-level", "error"]);
            }
            Kind::RustyBgp => {
                write(config::gobgp(site))?;
                command.arg("-f").arg(&file).env("RUST_LOG", "error");
            }
            Kind::RustBgpd => {
                write(config::rustbgpd(site, dir))?;
                command.arg(&file).env("RUST_LOG", "error");
            }
            Kind::Ceiling => bail!("the load tool is no daemon"),
        }
        Ok(command)
    }
}

fn existing(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_file())
}

/// A running daemon; ended and reaped when dropped.
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
    /// Its processes.
    pub(super) tree: Tree,
    /// Memory before any session.
    pub(super) idle: Memory,
}

impl Daemon {
    /// Starts one in the lab's server namespace and waits until it listens and is settled.
    pub(super) fn start(kind: Kind, site: &Site, lab: &Lab) -> Result<Self> {
        let program = kind
            .program()
            .with_context(|| format!("no {} here", kind.key()))?;
        let dir = lab.folder(kind.key())?;
        let mut command = kind.command(&program, site, &dir)?;
        let log = dir.join("log");
        let out = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let child = lab.inside(Side::Server, || {
            command
                .spawn()
                .with_context(|| format!("cannot start {}", program.display()))
        })?;
        let tree = Tree::new(child.id());
        let mut daemon = Daemon {
            child,
            log,
            tree,
            idle: Memory::default(),
        };
        daemon.settle(kind)?;
        Ok(daemon)
    }

    fn settle(&mut self, kind: Kind) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        let pause = Duration::from_millis(100);
        // No daemon tells anybody that it is ready, so this asks the kernel.
        while !self.tree.listens(179) {
            if !self.is_alive() || Instant::now() >= end {
                bail!("{} does not listen: {}", kind.key(), self.last_words());
            }
            std::thread::sleep(pause / 4);
        }
        let mut still = 0;
        while still < 3 && Instant::now() < end {
            std::thread::sleep(pause);
            let memory = self.tree.memory();
            still = if memory.resident == self.idle.resident {
                still + 1
            } else {
                0
            };
            self.idle = memory;
        }
        self.tree.reset_peak();
        Ok(())
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && self.tree.is_alive()
    }

    /// The end of its log, on one line.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines
            .iter()
            .rev()
            .take(3)
            .rev()
            .copied()
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let family = self.tree.processes();
        signal("-TERM", &[self.child.id()]);
        let end = Instant::now() + END_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            // Children first, or they would be nobody's.
            signal("-KILL", family.get(1..).unwrap_or_default());
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn signal(signal: &str, processes: &[u32]) {
    let ids = processes.iter().map(u32::to_string);
    let mut command = Command::new("kill");
    command.arg(signal).args(ids).stderr(Stdio::null());
    if !processes.is_empty() {
        let _ = command.status();
    }
}
