//! The HTTP API among strangers: pages of other sites, connections that do nothing, readers who take
//! nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use thruway_tests::lab::wait_until;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, announce, client_addr, clients, set};
use thruway_wire::Prefix;

/// As docs/api.md says: connections from one address, and how long anything may do nothing.
const ADDRESS_CONNECTIONS: usize = 512;
const IDLE: Duration = Duration::from_secs(30);
const HEAD: Duration = Duration::from_secs(10);
/// What a busy machine may add.
const LATE: Duration = Duration::from_secs(5);

struct Api {
    rig: Rig,
    addr: String,
    /// What goes with every request made by [`Api::ask`].
    own: Vec<String>,
    tokens: tempfile::TempDir,
}

const JSON: &str = "Content-Type: application/json";

impl Api {
    fn start(server: &str, peers: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = free.local_addr().expect("bound").to_string();
        drop(free);
        let server = format!("api = \"{addr}\"\n{server}");
        let tokens = tempfile::tempdir().expect("a folder");
        let rig = Rig::start_with("auto", &server, peers);
        let own = Vec::new();
        Api {
            rig,
            addr,
            own,
            tokens,
        }
    }

    /// The same with a file of tokens; requests show one of role admin.
    fn with_tokens(server: &str, peers: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokens");
        let admin = token(&file, &["add", "boss", "--role", "admin"]);
        let mut api = Self::start(
            &format!("api-tokens = \"{}\"\n{server}", file.display()),
            peers,
        );
        api.tokens = folder;
        api.own = vec![format!("Authorization: Bearer {admin}"), JSON.to_owned()];
        api
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).expect("it listens");
        let patience = Some(IDLE + PATIENCE);
        stream.set_read_timeout(patience).expect("a time limit");
        stream
    }

    /// Sends a head and reads to the connection's end.
    fn say(&self, head: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).expect("it reads");
        Answer::read(stream)
    }

    /// A request with these headers besides Connection.
    fn ask(&self, line: &str, headers: &[&str]) -> Answer {
        let own = self.own.iter().map(String::as_str);
        let headers = own.chain(headers.iter().copied());
        let headers: String = headers.map(|line| format!("{line}\r\n")).collect();
        self.say(&format!(
            "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
        ))
    }

    fn host(&self) -> String {
        format!("Host: {}", self.addr)
    }

    /// How often something was turned away, asked over the Unix socket, whose places are its own.
    fn refused(&self, reason: &str) -> u64 {
        let socket = self.rig.file("thruway.sock");
        let mut stream = UnixStream::connect(socket).expect("it listens");
        let request = b"GET /metrics HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("it reads");
        let name = format!("thruway_api_refused_total{{over=\"tcp\",reason=\"{reason}\"}} ");
        let text = Answer::read(stream).body;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&name));
        value.expect("a counter").parse().expect("a number")
    }
}

/// Runs `thruway token` on a file; what it prints.
fn token(file: &std::path::Path, args: &[&str]) -> String {
    let mut line = std::process::Command::new(thruway_tests::daemon::binary());
    line.arg("token").args(args).arg("--file").arg(file);
    thruway_tests::lab::output(&mut line).trim().to_owned()
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(mut stream: impl Read) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// A failure in the API's own form.
    #[track_caller]
    fn fails(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        assert!(
            self.head.contains("content-type: application/json"),
            "{}",
            self.head
        );
        assert!(!self.head.contains("access-control"), "{}", self.head);
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["error"].as_str().expect("a sentence").to_owned()
    }
}

#[test]
fn pages_of_other_sites_change_nothing_and_other_names_are_refused() {
    let api = Api::with_tokens("api-hosts = [\"rs1.example\"]", &clients(1, OPEN));
    let speaker = api.rig.connect(1);
    let host = api.host();
    let own = format!("Origin: http://{}", api.addr);
    let reset = "POST /v1/peers/c1/reset?kind=hard";
    for from in [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
    ] {
        for line in [reset, "POST /v1/reload", "POST /v1/exchange?enabled=true"] {
            let error = api.ask(line, &[&host, from]).fails(403);
            assert!(error.contains("own pages"), "{error}");
        }
        assert_eq!(
            api.ask("GET /v1/status", &[&host, from]).status,
            200,
            "{from}"
        );
    }
    let evil = ["Host: evil.example", "Origin: http://evil.example"];
    for line in [reset, "GET /v1/peers", "GET /metrics"] {
        let error = api.ask(line, &evil).fails(421);
        assert!(error.contains("evil.example"), "{error}");
    }
    api.ask("GET /v1/peers", &[]).fails(400);
    let absolute = format!(
        "GET http://evil.example/v1/peers HTTP/1.1\r\n{host}\r\n\
                            Connection: close\r\n\r\n"
    );
    api.say(&absolute).fails(421);
    assert_eq!(api.rig.peer("c1")["flaps"], 0, "nobody reset it");
    assert_eq!((api.refused("origin"), api.refused("host")), (9, 5));
    for host in [
        &*host,
        "Host: localhost",
        "Host: RS1.example:80",
        "Host: [::1]:8179",
    ] {
        assert_eq!(api.ask("GET /v1/status", &[host]).status, 200, "{host}");
    }
    assert_eq!(
        api.ask("POST /v1/reload", &[&host]).status,
        200,
        "as the command line"
    );
    assert_eq!(api.ask(reset, &[&host, &own]).status, 200, "its own page");
    api.rig.wait_peer("c1", "/flaps", 1);
    drop(speaker);
}

#[test]
fn failures_are_json() {
    let mut api = Api::with_tokens("", &clients(1, OPEN));
    let host = api.host();
    for (line, status) in [
        ("GET /", 404),
        ("GET /v1/none", 404),
        ("GET /v1/peers/nobody", 404),
        ("POST /v1/status", 405),
        ("DELETE /v1/peers/c1", 405),
        ("GET /v1/reload", 405),
        ("GET /v1/routes?prefix=1", 400),
        ("GET /v1/routes?colour=red", 400),
        ("GET /v1/routes?longer=perhaps", 400),
        ("GET /v1/explain", 400),
        ("GET /v1/peers/%ff/learned", 400),
        ("GET /v1/peers/c1/unknown", 400),
        ("POST /v1/peers/c1/reset", 400),
    ] {
        let answer = api.ask(line, &[&host]);
        let error = answer.fails(status);
        assert!(!error.is_empty(), "{line}");
        let allows = answer.head.lines().any(|line| line.starts_with("allow: "));
        assert_eq!(allows, status == 405, "{line}: {}", answer.head);
    }
    api.ask("POST /v1/plan", &[&host]).fails(400);
    // Without the word for JSON a page elsewhere could send it unasked.
    api.own.pop();
    for line in [
        "POST /v1/plan",
        "POST /v1/reload",
        "POST /v1/peers/c1/reset?kind=hard",
    ] {
        api.ask(line, &[&host]).fails(415);
        api.ask(line, &[&host, "Content-Type: text/plain"])
            .fails(415);
    }
}

/// A server that knows a token of each role, one that is over, and nobody else.
struct Guarded {
    api: Api,
    admin: Vec<String>,
    reader: String,
    operator: String,
    late: String,
}

impl Guarded {
    fn start() -> Self {
        let api = Api::with_tokens("log = \"debug\"", &clients(1, OPEN));
        let file = api.tokens.path().join("tokens");
        let reader = token(&file, &["add", "grafana"]);
        let operator = token(
            &file,
            &["add", "shift", "--role", "operate", "--expires", "1d"],
        );
        let over = ["--role", "admin", "--expires", "2020-01-01T00:00:00Z"];
        let late = token(&file, &[&["add", "gone"], &over[..]].concat());
        let admin = api.own.clone();
        let mut guarded = Guarded {
            api,
            admin,
            reader,
            operator,
            late,
        };
        // The server reads the file again when it is asked to.
        let reader = bearer(&guarded.reader);
        guarded.ask(&reader, "GET /v1/status").fails(401);
        let admin = guarded.admin.clone();
        assert_eq!(guarded.ask(&admin, "POST /v1/reload").status, 200);
        guarded
    }

    fn ask(&mut self, own: &[String], line: &str) -> Answer {
        self.api.own = own.to_vec();
        let host = self.api.host();
        self.api.ask(line, &[&host])
    }
}

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Authorization: Bearer {token}"), JSON.to_owned()]
}

const RESET: &str = "POST /v1/peers/c1/reset?kind=soft-out";

#[test]
fn tokens_say_who_may_what() {
    let mut guarded = Guarded::start();
    let speaker = guarded.api.rig.connect(1);
    let roles = [
        bearer(&guarded.reader),
        bearer(&guarded.operator),
        guarded.admin.clone(),
    ];
    for (line, wanted) in [
        ("GET /v1/status", [200, 200, 200]),
        ("GET /metrics", [200, 200, 200]),
        ("GET /v1/history", [200, 200, 200]),
        ("GET /v1/configuration", [403, 403, 200]),
        (RESET, [403, 200, 200]),
        ("POST /v1/reload", [403, 403, 200]),
        ("POST /v1/rollback?number=1", [403, 403, 200]),
        ("POST /v1/confirm", [403, 403, 400]),
    ] {
        for (own, status) in roles.iter().zip(wanted) {
            let answer = guarded.ask(own, line);
            assert_eq!(answer.status, status, "{line}: {}", answer.body);
        }
    }
    for (own, why) in [
        (Vec::new(), "a token is needed"),
        (bearer(&guarded.late), "expired"),
        (bearer("thruway_00"), "nobody knows"),
        (
            vec!["Authorization: Basic eDp5".to_owned()],
            "no bearer token",
        ),
    ] {
        for line in ["GET /v1/status", "POST /v1/reload", "GET /nothing"] {
            let error = guarded.ask(&own, line).fails(401);
            assert!(error.contains(why), "{error}");
        }
    }
    let refused = |reason| guarded.api.refused(reason);
    assert_eq!((refused("token"), refused("role")), (13, 9));
    assert!(speaker.ended().is_none());
    // Who changed something, and who was refused, is in the log; what they showed is not.
    let log = guarded.api.rig.log();
    for words in [
        [
            "asked to change something",
            "boss from 127.0.0.1",
            "POST /v1/reload",
        ],
        [
            "refused",
            "POST /v1/rollback?number=1",
            "the role admin is needed",
        ],
    ] {
        let mut lines = log.lines();
        let there = lines.any(|line| words.iter().all(|word| line.contains(word)));
        assert!(there, "{words:?}\n{log}");
    }
    assert!(!log.contains(&guarded.reader) && !log.contains(&guarded.late));
}

#[test]
fn tokens_are_read_again_and_a_bad_file_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let mut guarded = Guarded::start();
    let file = guarded.api.tokens.path().join("tokens");
    let (admin, operator) = (guarded.admin.clone(), bearer(&guarded.operator));
    let set_mode = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, mode).expect("its mode");
    };
    token(&file, &["revoke", "shift"]);
    set_mode(0o644);
    let error = guarded.ask(&admin, "POST /v1/reload").fails(400);
    assert!(error.contains("chmod 600"), "{error}");
    assert_eq!(guarded.ask(&operator, RESET).status, 200, "not yet");
    set_mode(0o600);
    assert_eq!(guarded.ask(&admin, "POST /v1/reload").status, 200);
    guarded.ask(&operator, RESET).fails(401);
}

#[test]
fn without_tokens_whoever_is_on_the_machine_may_ask() {
    let api = Api::start("", &clients(1, OPEN));
    let host = api.host();
    assert_eq!(api.ask("GET /v1/peers", &[&host]).status, 200);
    for line in [
        "POST /v1/reload",
        "POST /v1/peers/c1/reset?kind=hard",
        "GET /v1/configuration",
    ] {
        assert!(
            api.ask(line, &[&host, JSON])
                .fails(403)
                .contains("is needed"),
            "{line}"
        );
    }
    // What a plan names the server does not read for whoever asks.
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2\n").expect("it is written");
    let running = std::fs::read_to_string(api.rig.file("thruway.toml")).expect("its file");
    let key = format!("[server]\napi-tokens = \"{}\"", secret.display());
    let proposed = folder.path().join("proposed.toml");
    std::fs::write(&proposed, running.replacen("[server]", &key, 1)).expect("it is written");
    let proposed = proposed.display().to_string();
    let plan = api.rig.command("plan", &[&proposed]).output();
    let plan = plan.expect("it runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&plan.stdout),
        String::from_utf8_lossy(&plan.stderr)
    );
    assert_eq!(plan.status.code(), Some(2), "{said}");
    assert!(said.contains("in other files"), "{said}");
    assert!(
        !said.contains("hunter2") && !said.contains("mode"),
        "{said}"
    );
    // Another address takes tokens: the file is no good otherwise.
    let file = folder.path().join("t.toml");
    let text = "[server]\nasn = 64500\nrouter-id = \"198.18.0.1\"\napi = \"0.0.0.0:8179\"\n";
    std::fs::write(&file, text).expect("it is written");
    let mut serve = std::process::Command::new(thruway_tests::daemon::binary());
    let done = serve
        .args(["serve", "--config"])
        .arg(&file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        !done.status.success()
            && said.contains("t.toml:4: server.api:")
            && said.contains("api-tokens"),
        "{said}"
    );
}

#[test]
fn the_socket_is_for_those_whom_its_mode_lets_in() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let api = Api::start("", &clients(1, OPEN));
    let about = || std::fs::metadata(api.rig.file("thruway.sock")).expect("it is there");
    assert_eq!(about().permissions().mode() & 0o777, 0o600);
    let file = api.rig.file("thruway.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let with = |keys: &str| text.replace("workers = 2", &format!("workers = 2\n{keys}"));
    std::fs::write(&file, with("api-socket-group = \"daemon\"")).expect("it is written");
    assert!(
        api.rig
            .command("reload", &[])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    assert_eq!(
        (about().permissions().mode() & 0o777, about().gid()),
        (0o660, 1)
    );
    std::fs::write(&file, with("api-socket-mode = \"0666\"")).expect("it is written");
    assert!(
        api.rig
            .command("reload", &[])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    assert_eq!(about().permissions().mode() & 0o777, 0o666);
    std::fs::write(&file, with("api-socket-group = \"nobody-knows\"")).expect("it is written");
    let done = api.rig.command("reload", &[]).output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        !done.status.success() && said.contains("no group nobody-knows"),
        "{said}"
    );
    // The history names the user whom the kernel names.
    let history = api.rig.json("history", &[]);
    let author = history["entries"][1]["author"].as_str().expect("a name");
    assert!(author.contains("uid "), "{history}");
}

/// Reads until the connection ends, whichever way; when that was.
fn end_of(mut stream: &TcpStream) -> Instant {
    let mut octets = [0; 4096];
    loop {
        match stream.read(&mut octets) {
            Ok(0) => return Instant::now(),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it stays open"),
            Err(_) => return Instant::now(),
        }
    }
}

#[test]
fn what_does_nothing_is_closed() {
    let api = Api::start("", &clients(1, OPEN));
    let speaker = api.rig.connect(1);
    // More text than kernels hold of one connection.
    let routes: u16 = 40_000;
    let prefixes: Vec<Prefix> = (0..routes)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            format!("20.{high}.{low}.0/24").parse().expect("a prefix")
        })
        .collect();
    let attrs = set(&[64601], client_addr(1).into(), &[]);
    speaker.announce_prefixes(&prefixes, attrs.as_ref());
    api.rig.wait_peer("c1", "/ipv4/accepted", routes);

    let ask = format!("GET /v1/routes HTTP/1.1\r\n{}\r\n\r\n", api.host());
    let mut stalled = api.connect();
    stalled.write_all(ask.as_bytes()).expect("it reads");
    let mut kept = api.connect();
    let status = format!("GET /v1/status HTTP/1.1\r\n{}\r\n\r\n", api.host());
    kept.write_all(status.as_bytes()).expect("it reads");
    let mut slow = api.connect();
    let start = Instant::now();
    slow.write_all(b"G").expect("it reads");
    // The other places of the address, and far more than it has.
    let idle: Vec<TcpStream> = (0..600).map(|_| api.connect()).collect();
    wait_until("those beyond the bound are counted", PATIENCE, || {
        api.refused("address") as usize == 600 + 3 - ADDRESS_CONNECTIONS
    });
    let full = Answer::read(idle.last().expect("connections"));
    assert!(full.fails(503).contains("too many connections"));
    // The Unix socket's places are its own.
    assert_eq!(api.rig.show(&["status"])["established"], 1);

    let dripped = std::thread::spawn(move || {
        for octet in b"ET /v1/status HTTP/1.1\r\n" {
            std::thread::sleep(Duration::from_secs(1));
            if slow.write_all(&[*octet]).is_err() {
                break;
            }
        }
        end_of(&slow)
    });
    for stream in &idle {
        assert!(end_of(stream).duration_since(start) < IDLE + LATE);
    }
    assert!(start.elapsed() >= IDLE - LATE, "idle ones have their time");
    assert!(end_of(&kept).duration_since(start) < IDLE + LATE);
    assert_eq!(api.refused("idle") as usize, ADDRESS_CONNECTIONS - 2);
    let dripped = dripped.join().expect("no panic").duration_since(start);
    assert!(dripped < HEAD + LATE + LATE, "{dripped:?}");
    assert_eq!(api.refused("slow_head"), 1);
    wait_until("the stalled reader is closed", IDLE + LATE, || {
        api.refused("stalled") == 1
    });
    // It was cut off, not ended.
    let mut text = Vec::new();
    let _ = stalled.read_to_end(&mut text);
    assert!(!text.ends_with(b"0\r\n\r\n"), "the answer is not whole");
    // Who takes it gets all of it, as before.
    let all = api.ask("GET /v1/routes", &[&api.host()]);
    assert_eq!(all.body.matches("\"network\"").count(), usize::from(routes));
}

#[test]
fn fifty_listeners_keep_nobody_out() {
    let api = Api::start("", &clients(1, OPEN));
    let speaker = api.rig.connect(1);
    announce(&speaker, 1, &["203.0.113.0/24"], &[64601]);
    api.rig.wait_peer("c1", "/ipv4/accepted", 1);
    let ask = format!("GET /v1/events HTTP/1.1\r\n{}\r\n\r\n", api.host());
    let mut listeners: Vec<TcpStream> = (0..50).map(|_| api.connect()).collect();
    for stream in &mut listeners {
        stream.write_all(ask.as_bytes()).expect("it reads");
        let mut head = [0; 15];
        stream.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
    let routes = api.ask("GET /v1/routes", &[&api.host()]);
    assert_eq!(
        (routes.status, routes.body.matches("64601").count()),
        (200, 1)
    );
}
