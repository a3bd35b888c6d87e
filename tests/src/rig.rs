//! `thruway serve` on loopback with scripted neighbours: no namespaces, no root.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use thruway_replay::speaker::{ReceivedTable, Speaker, SpeakerOptions};
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_wire::attrs::{AttrSet, AttrSetBuf, RawAttr, code};
use thruway_wire::{Asn, Community, NextHop, Prefix, RouterId};

use crate::daemon::binary;
use crate::lab::{output, wait_until};

/// Makes a test of each function for each transport, whose name it takes.
#[macro_export]
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod io_uring {$(
            #[test]
            fn $name() {
                super::$name("io-uring");
            }
        )*}
        mod epoll {$(
            #[test]
            fn $name() {
                super::$name("epoll");
            }
        )*}
    };
}

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server on 127.0.0.1 and ::1 with clients at 127.0.1.n.
pub struct Rig {
    child: Child,
    addr: SocketAddr,
    dir: tempfile::TempDir,
    server: String,
}

impl Rig {
    /// Starts a server over `transport`; `peers` is the configuration without `[server]`.
    #[must_use]
    pub fn start(transport: &str, peers: &str) -> Self {
        Self::start_with(transport, "", peers)
    }

    /// The same with further lines for `[server]`.
    #[must_use]
    pub fn start_with(transport: &str, server: &str, peers: &str) -> Self {
        Self::launch(transport, &format!("asn = 64500\n{server}"), peers)
    }

    /// Starts a virtual network's route server (AS 65515); `rest` is the configuration without
    /// `[server]`.
    #[must_use]
    pub fn exchange(transport: &str, rest: &str) -> Self {
        Self::launch(transport, "mode = \"exchange\"", rest)
    }

    /// The same with further lines for `[server]`.
    #[must_use]
    pub fn exchange_with(transport: &str, server: &str, rest: &str) -> Self {
        Self::launch(transport, &format!("mode = \"exchange\"\n{server}"), rest)
    }

    fn launch(transport: &str, server: &str, rest: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("thruway-rig")
            .tempdir()
            .expect("a folder");
        // The kernel names a free port; the server binds it a moment later.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = free.local_addr().expect("its address");
        drop(free);
        let server = format!(
            "[server]\nrouter-id = \"198.18.0.1\"\nlisten = [\"{addr}\", \"[::1]:{}\"]\n\
             api-socket = \"{}\"\ntransport = \"{transport}\"\nworkers = 2\n{server}\n",
            addr.port(),
            dir.path().join("thruway.sock").display(),
        );
        fs::write(dir.path().join("thruway.toml"), format!("{server}{rest}"))
            .expect("a writable folder");
        let mut rig = Rig {
            child: Self::run(dir.path()),
            addr,
            dir,
            server,
        };
        rig.wait_until_it_answers();
        rig
    }

    fn run(dir: &Path) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .expect("a log");
        Command::new(binary())
            .args(["serve", "--config"])
            .arg(dir.join("thruway.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("thruway starts")
    }

    fn wait_until_it_answers(&mut self) {
        wait_until("the server answers", PATIENCE, || {
            assert!(self.is_alive(), "thruway serve ended:\n{}", self.log());
            !output(&mut self.command("show", &["status", "--json"])).is_empty()
        });
    }

    /// Ends it and starts it again from the same folder.
    pub fn restart(&mut self) {
        assert_eq!(self.terminate(), Some(0), "{}", self.log());
        self.start_again();
    }

    /// SIGKILL: it ends without a word.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it from the same folder, once it has ended.
    pub fn start_again(&mut self) {
        self.child = Self::run(self.dir.path());
        self.wait_until_it_answers();
    }

    /// Where it takes sessions.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// True while it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A command that asks it.
    #[must_use]
    pub fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut line = Command::new(binary());
        line.arg(command)
            .args(args)
            .arg("--socket")
            .arg(self.dir.path().join("thruway.sock"));
        line
    }

    /// `thruway show … --json`: one value, or an array of lines.
    #[must_use]
    pub fn show(&self, args: &[&str]) -> Value {
        self.json("show", args)
    }

    /// A command with `--json`: one value, or an array of lines.
    #[must_use]
    pub fn json(&self, command: &str, args: &[&str]) -> Value {
        let text = output(self.command(command, args).arg("--json"));
        match serde_json::from_str::<Value>(&text) {
            // One line of a list looks like one value; routes are told apart by their key.
            Ok(value) if value.get("network").is_some() => Value::Array(vec![value]),
            Ok(value) => value,
            Err(_) => {
                let line = |line| serde_json::from_str(line).expect("each line is JSON");
                Value::Array(text.lines().map(line).collect())
            }
        }
    }

    /// A peer, as `show` has it.
    #[must_use]
    pub fn peer(&self, name: &str) -> Value {
        self.show(&["peer", name])
    }

    /// What is expected, as `NAME STATE`, and the status that `show expectations` ends with.
    #[must_use]
    pub fn expectations(&self) -> (Vec<String>, Option<i32>) {
        let done = self.command("show", &["expectations", "--json"]).output();
        let done = done.expect("thruway runs");
        let view: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        let all = view["expectations"].as_array().cloned().unwrap_or_default();
        let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let one = |it: &Value| format!("{} {}", text(it, "name"), text(it, "state"));
        (all.iter().map(one).collect(), done.status.code())
    }

    /// `/metrics`, over the Unix socket.
    #[must_use]
    pub fn metrics(&self) -> String {
        use std::io::{Read, Write};
        let socket = self.file("thruway.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("it listens");
        let request = b"GET /metrics HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    }

    /// Waits for a value in `show peer NAME --json`, at a JSON pointer.
    pub fn wait_peer(&self, name: &str, pointer: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        let mut last = Value::Null;
        wait_until(&format!("{name}{pointer} is {wanted}"), PATIENCE, || {
            last = self
                .peer(name)
                .pointer(pointer)
                .cloned()
                .unwrap_or(Value::Null);
            last == wanted
        });
    }

    /// Writes another configuration (without `[server]`) and has it read.
    pub fn reload(&self, peers: &str) -> std::process::Output {
        self.rewrite(peers);
        self.command("reload", &[]).output().expect("thruway runs")
    }

    /// Writes another configuration (without `[server]`), which nobody reads yet.
    pub fn rewrite(&self, peers: &str) {
        let file = self.dir.path().join("thruway.toml");
        fs::write(file, format!("{}{peers}", self.server)).expect("a writable folder");
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// A path of the rig's folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The options of client n: 127.0.1.n, AS 64600 + n.
    #[must_use]
    pub fn client(&self, n: u8) -> PeerOptions {
        let id = RouterId::from(Ipv4Addr::new(198, 18, 1, n));
        PeerOptions::new(Asn(64_600 + u32::from(n)), id)
    }

    /// Connects as client n.
    #[must_use]
    pub fn connect(&self, n: u8) -> Speaker {
        self.connect_as(n, self.client(n))
    }

    /// Connects from 127.0.1.n with other options.
    #[must_use]
    pub fn connect_as(&self, n: u8, peer: PeerOptions) -> Speaker {
        let speaker = self.spawn(n, peer);
        if let Err(error) = speaker.established(PATIENCE) {
            panic!("client {n}: {error}\n{}", self.log());
        }
        speaker
    }

    /// The same without waiting for the session.
    #[must_use]
    pub fn spawn(&self, n: u8, peer: PeerOptions) -> Speaker {
        self.spawn_at(client_addr(n), peer, None)
    }

    /// A neighbour at any address of 127.0.0.0/8, with a TCP MD5 key or without; the session may
    /// come up later, or never.
    #[must_use]
    pub fn spawn_at(&self, addr: Ipv4Addr, peer: PeerOptions, md5: Option<&str>) -> Speaker {
        let session = SessionOptions {
            name: addr.to_string(),
            link: Link::Connect {
                remote: self.addr,
                local: Some(IpAddr::V4(addr)),
            },
            peer,
            md5: md5.map(|key| key.as_bytes().to_vec()),
        };
        Speaker::spawn(SpeakerOptions::new(session)).expect("a speaker starts")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- log:\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
        if self.is_alive() {
            self.terminate();
        }
    }
}

/// 127.0.1.n.
#[must_use]
pub fn client_addr(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, n)
}

/// Clients 1 to n of one group with these further keys.
#[must_use]
pub fn clients(n: u8, group: &str) -> String {
    let mut text = format!("[peer-group.clients]\npassive = true\nnext-hop = \"any\"\n{group}\n");
    for n in 1..=n {
        text += &client(n, "");
    }
    text
}

/// One more `[[peer]]` of the group.
#[must_use]
pub fn client(n: u8, keys: &str) -> String {
    format!(
        "[[peer]]\nname = \"c{n}\"\naddress = \"{}\"\nasn = {}\ngroup = \"clients\"\n{keys}\n",
        client_addr(n),
        64_600 + u32::from(n)
    )
}

/// The group of most tests: route-server clients with everything accepted.
pub const OPEN: &str = "role = \"route-server-client\"\nimport = \"accept\"\nexport = \"accept\"";

/// A set: ORIGIN IGP, this path, a next hop of 127.0.1.1 or the like, communities.
#[must_use]
pub fn set(path: &[u32], next_hop: IpAddr, communities: &[Community]) -> AttrSet {
    let mut segment = vec![2, u8::try_from(path.len()).expect("a short path")];
    path.iter()
        .for_each(|asn| segment.extend(asn.to_be_bytes()));
    if path.is_empty() {
        segment.clear();
    }
    let attrs = [
        RawAttr {
            flags: 0x40,
            code: code::ORIGIN,
            value: &[0],
        },
        RawAttr {
            flags: 0x40,
            code: code::AS_PATH,
            value: &segment,
        },
    ];
    let mut buf = AttrSetBuf::default();
    buf.set_parts(Some(NextHop::from(next_hop)), attrs.into_iter());
    buf.set_communities(communities.iter().copied());
    AttrSet::new(buf.as_ref())
}

/// A prefix from text.
#[must_use]
pub fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// Announces prefixes with a path and waits for nothing.
pub fn announce(speaker: &Speaker, n: u8, prefixes: &[&str], path: &[u32]) {
    announce_with(
        speaker,
        prefixes,
        &set(path, IpAddr::V4(client_addr(n)), &[]),
    );
}

/// Announces prefixes with a set.
pub fn announce_with(speaker: &Speaker, prefixes: &[&str], set: &AttrSet) {
    let prefixes: Vec<Prefix> = prefixes.iter().map(|text| prefix(text)).collect();
    speaker.announce_prefixes(&prefixes, set.as_ref());
}

/// Waits for a speaker's table.
#[track_caller]
pub fn expect(speaker: &Speaker, what: &str, is_there: impl FnMut(&ReceivedTable) -> bool) {
    if let Err(error) = speaker.wait_for(is_there, PATIENCE) {
        panic!("{what}: {error}");
    }
}

/// The AS path that a speaker has for a prefix, as text.
#[must_use]
pub fn path_of(table: &ReceivedTable, text: &str) -> Option<String> {
    table
        .get(prefix(text))
        .map(|set| set.as_ref().as_path().to_string())
}
