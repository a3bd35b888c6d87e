//! A laboratory: hosts as network namespaces on bridges, made for a test and removed with it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Numbers the laboratories of this process, so that tests can run side by side.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Hosts on one link: 198.18.0.0/16 and fd00:18::/64, host n is `.0.n` and `::n` unless it has
/// addresses of its own. Further links are [`Lab::network`]s.
///
/// Nothing in it reaches the machine's own network: the bridge stands in a namespace, too.
pub struct Lab {
    prefix: String,
    dir: tempfile::TempDir,
    hosts: Vec<u8>,
}

/// One host of a laboratory.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its namespace.
    pub namespace: String,
    /// 1 to 254.
    pub number: u8,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    /// A folder of its own for configurations, sockets and logs.
    pub dir: PathBuf,
}

impl Lab {
    /// A laboratory, or `None` with one line that says why there cannot be one here.
    #[must_use]
    pub fn new(test: &str) -> Option<Lab> {
        if std::env::var_os("THRUWAY_NO_DAEMONS").is_some() {
            println!("{test}: left out, THRUWAY_NO_DAEMONS is set");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("tw{}x{number}", std::process::id());
        let hub = format!("{prefix}-hub");
        if !ip(&["netns", "add", &hub]) {
            println!("{test}: left out, network namespaces need root");
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("thruway-lab")
            .tempdir()
            .expect("a folder in /tmp");
        // Daemons that drop their privileges must still reach their sockets and dumps.
        open_to_all(dir.path());
        let lab = Lab {
            prefix,
            dir,
            hosts: Vec::new(),
        };
        must(&["-n", &hub, "link", "add", "br0", "type", "bridge"]);
        must(&["-n", &hub, "link", "set", "br0", "up"]);
        Some(lab)
    }

    /// Adds a host.
    pub fn host(&mut self) -> Host {
        let number = self.next_number();
        let v4 = Ipv4Addr::new(198, 18, 0, number);
        let v6 = Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, number.into());
        self.host_at(v4, v6)
    }

    /// Adds a host with addresses of the caller's: a /16 and a /64.
    pub fn host_at(&mut self, v4: Ipv4Addr, v6: Ipv6Addr) -> Host {
        let host = self.bare_host(v4, v6);
        self.plug(
            &host,
            "eth0",
            "br0",
            &[&format!("{v4}/16"), &format!("{v6}/64")],
        );
        host
    }

    /// Adds a host without any link; its addresses are what [`Lab::plug`] will give it.
    pub fn bare_host(&mut self, v4: Ipv4Addr, v6: Ipv6Addr) -> Host {
        let number = self.next_number();
        self.hosts.push(number);
        let namespace = format!("{}-{number}", self.prefix);
        must(&["netns", "add", &namespace]);
        must(&["-n", &namespace, "link", "set", "lo", "up"]);
        let dir = self.dir.path().join(number.to_string());
        fs::create_dir_all(&dir).expect("a folder for the host");
        open_to_all(&dir);
        Host {
            namespace,
            number,
            v4,
            v6,
            dir,
        }
    }

    /// Adds a link, named as the caller likes: at most 15 letters.
    pub fn network(&mut self, name: &str) {
        let hub = self.hub();
        must(&["-n", &hub, "link", "add", name, "type", "bridge"]);
        must(&["-n", &hub, "link", "set", name, "up"]);
    }

    /// Plugs a host's device into a link, with these addresses (`ADDRESS/LENGTH`).
    pub fn plug(&self, host: &Host, device: &str, network: &str, addrs: &[&str]) {
        let hub = self.hub();
        let port = format!("p{}{device}", host.number);
        let ns = host.namespace.as_str();
        must(&[
            "link", "add", device, "netns", ns, "type", "veth", "peer", "name", &port, "netns",
            &hub,
        ]);
        must(&["-n", &hub, "link", "set", &port, "master", network, "up"]);
        for addr in addrs {
            let mut args = vec!["-n", ns, "addr", "add", addr, "dev", device];
            if addr.contains(':') {
                args.push("nodad");
            }
            must(&args);
        }
        must(&["-n", ns, "link", "set", device, "up"]);
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    fn next_number(&self) -> u8 {
        u8::try_from(self.hosts.len() + 1).expect("at most 254 hosts")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for number in &self.hosts {
            ip(&["netns", "del", &format!("{}-{number}", self.prefix)]);
        }
        ip(&["netns", "del", &format!("{}-hub", self.prefix)]);
    }
}

impl Host {
    /// Its IPv4 address.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        self.v4
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        self.v6
    }

    /// One of the two.
    #[must_use]
    pub fn addr(&self, v6: bool) -> IpAddr {
        if v6 {
            self.v6().into()
        } else {
            self.v4().into()
        }
    }

    /// `ip …` on this host.
    ///
    /// # Panics
    /// It fails.
    pub fn ip(&self, args: &[&str]) {
        let mut all = vec!["-n", &self.namespace];
        all.extend(args);
        must(&all);
    }

    /// What `ip …` prints on this host.
    #[must_use]
    pub fn ask_ip(&self, args: &[&str]) -> String {
        output(Command::new("ip").args(["-n", &self.namespace]).args(args))
    }

    /// Makes it a router of both families.
    pub fn forward(&self) {
        let script = "for family in ipv4 ipv6; do \
                      echo 1 > /proc/sys/net/$family/conf/all/forwarding || exit 1; done";
        let mut shell = self.command("sh");
        let status = shell.args(["-c", script]).status();
        assert!(status.is_ok_and(|status| status.success()), "no forwarding");
    }

    /// Sends one echo request; true where the answer came within a second.
    #[must_use]
    pub fn reaches(&self, addr: IpAddr) -> bool {
        let mut ping = self.command("ping");
        ping.args(["-n", "-q", "-c", "1", "-W", "1"])
            .arg(addr.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        ping.status().is_ok_and(|status| status.success())
    }

    /// A command that runs on this host.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program.as_ref());
        command
    }

    /// A file in the host's folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file into the host's folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).expect("the host's folder is writable");
        path
    }

    /// Starts a daemon; its output goes to `NAME.log`.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Process {
        let log = self.file(&format!("{name}.log"));
        let out = fs::File::create(&log).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Process {
            child,
            log,
            name: name.to_owned(),
        }
    }
}

/// A running daemon; ended and reaped when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Process {
    /// Process id, of the daemon itself: `ip netns exec` replaces itself by it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "no SIG{name}");
    }

    /// Ends it without any chance to say goodbye, as a crash would: SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for the end; SIGKILL after ten seconds. Returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                _ => break,
            }
        }
        let _ = self.child.kill();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// True while it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("--- last lines of {}:", self.name);
            tail.iter().rev().for_each(|line| eprintln!("    {line}"));
        }
        if self.is_alive() {
            self.terminate();
        }
    }
}

/// Asks `condition` until it is true. Other daemons tell nobody when they are ready, so this polls;
/// what fails is a wait that never ends, not a slow machine.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    wait_slowly(what, limit, Duration::from_millis(50), condition);
}

/// The same with another pause between looks: one that a daemon takes long for keeps it from its work.
///
/// # Panics
/// The time is over.
pub fn wait_slowly(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut condition: impl FnMut() -> bool,
) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(
            Instant::now() < end,
            "waited {limit:?} in vain until {what}"
        );
        std::thread::sleep(pause);
    }
}

/// Waits until a file that another program writes has stopped growing: dumps are written behind the
/// daemon's answer.
pub fn wait_written(path: &Path) {
    let size = || fs::metadata(path).map(|meta| meta.len()).ok();
    let (mut last, mut still) = (None, 0);
    wait_until(
        &format!("{} is written", path.display()),
        Duration::from_secs(60),
        || {
            let now = size();
            still = if now.is_some() && now == last {
                still + 1
            } else {
                0
            };
            last = now;
            still >= 4
        },
    );
}

/// What a command prints, or nothing where it fails.
pub fn output(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output();
    out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
        .unwrap_or_default()
}

fn ip(args: &[&str]) -> bool {
    let status = Command::new("ip")
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[track_caller]
fn must(args: &[&str]) {
    let out = Command::new("ip")
        .args(args)
        .output()
        .expect("iproute2 is installed");
    assert!(
        out.status.success(),
        "ip {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o777));
}
