//! The API over real sockets, with a server behind it that answers as a test wants: what is bounded by the
//! kind of question, and what is said beyond the bounds.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use std::sync::Arc;
use std::time::Duration;

use thruway_api::{
    ConfigurationText, ConfirmReport, ExchangeView, Expectations, HistoryView, HostsView, Peer,
    PeerTable, Plan, Proposal, ReloadReport, Reset, ResetReport, Revision, Route, RouteCounts,
    Status, SwitchReport, Wanted,
};
use thruway_control::{Answer, ChangeRequest, Figures, Found, Refused, RouteServer, Routes};
use thruway_wire::{Asn, Prefix, RouterId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Notify, Semaphore};

/// Long answers by one way in (docs/api.md).
const STREAMS: usize = 64;
/// Answers above 64 KiB that wait for their readers.
const LARGE: usize = 16;
/// Configurations that are checked.
const CHECKS: usize = 2;

/// Answers what it can at once; checks and routes wait until the test lets them go on.
#[derive(Default)]
struct StandIn {
    checking: Notify,
    checks: Option<Arc<Semaphore>>,
}

fn status() -> Status {
    Status {
        version: "0".to_owned(),
        asn: Asn(64500),
        router_id: RouterId(1),
        listen: Vec::new(),
        uptime_seconds: 1,
        config: String::new(),
        transport: "none".to_owned(),
        workers: 1,
        shards: 1,
        peers: 7,
        established: 3,
        ipv4_prefixes: 11,
        ipv6_prefixes: 0,
        paths: 12,
        attribute_sets: 2,
        memory: 4096,
        messages_in: 5,
        updates_in: 4,
        bytes_in: 99,
        updates_encoded: 1,
        bytes_out: 98,
        queued: 0,
        warnings: Vec::new(),
        revision: Revision::default(),
    }
}

fn peer(n: usize) -> Peer {
    Peer {
        name: format!("peer-{n}"),
        address: [192, 0, 2, 1].into(),
        asn: Some(Asn(64501)),
        role: "external".to_owned(),
        state: "Established".to_owned(),
        uptime_seconds: Some(1),
        kind: None,
        site: None,
        dynamic: false,
        range: None,
        shutdown: false,
        router_id: None,
        local_address: None,
        remote_address: None,
        hold_time: None,
        capabilities: Vec::new(),
        update_group: None,
        ipv4: RouteCounts::default(),
        ipv6: RouteCounts::default(),
        messages_in: [0; 5],
        messages_out: [0; 5],
        bytes_in: 0,
        bytes_out: 0,
        flaps: 2,
        queued: 0,
        slow: false,
        update_errors: [0; 4],
        unsendable: 0,
        last_error: None,
        damped: None,
        longest_silence: 0.0,
        notes: Vec::new(),
        import_policy: None,
        export_policy: None,
        limits: Vec::new(),
    }
}

/// Routes that never come.
struct Never;

impl Routes for Never {
    fn wait(&mut self) -> Answer<'_, bool> {
        Box::pin(std::future::pending())
    }

    fn take(&mut self) -> Option<Route> {
        None
    }
}

/// No route matches.
struct Nothing;

impl Routes for Nothing {
    fn wait(&mut self) -> Answer<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    fn take(&mut self) -> Option<Route> {
        None
    }
}

fn refuse<T>() -> Answer<'static, T> {
    Box::pin(async { Err(Refused::bad("not asked here")) })
}

impl RouteServer for StandIn {
    fn api_hosts(&self) -> Vec<String> {
        vec!["rs.example".to_owned()]
    }

    fn tokens(&self) -> Option<std::sync::Arc<thruway_tokens::Tokens>> {
        None
    }

    fn closed(&self) -> Option<String> {
        None
    }

    fn tls(&self) -> Option<thruway_tls::ServerTls> {
        None
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async { Ok(status()) })
    }

    fn peers(&self) -> Answer<'_, Vec<Peer>> {
        // More than any socket's buffer holds.
        Box::pin(async { Ok((0..20_000).map(peer).collect()) })
    }

    fn peer<'a>(&'a self, name: &'a str) -> Answer<'a, Found> {
        Box::pin(async move { Err(Refused::Unknown(format!("no {name}"))) })
    }

    fn peer_routes<'a>(
        &'a self,
        _: &'a str,
        _: PeerTable,
        _: Wanted,
    ) -> Answer<'a, Box<dyn Routes>> {
        refuse()
    }

    fn routes(&self, wanted: Wanted) -> Answer<'_, Box<dyn Routes>> {
        Box::pin(async move {
            Ok(match wanted {
                Wanted::Longest(_) => Box::new(Nothing) as Box<dyn Routes>,
                _ => Box::new(Never),
            })
        })
    }

    fn explain<'a>(&'a self, _: Prefix, _: Option<&'a str>) -> Answer<'a, Vec<Route>> {
        Box::pin(async { Err(anyhow::anyhow!("a worker does not answer").into()) })
    }

    fn reset<'a>(&'a self, _: &'a str, _: Reset) -> Answer<'a, ResetReport> {
        refuse()
    }

    fn reload(&self, _: ChangeRequest) -> Answer<'_, ReloadReport> {
        refuse()
    }

    fn rollback(&self, _: Option<u64>, _: ChangeRequest) -> Answer<'_, ReloadReport> {
        refuse()
    }

    fn rollback_plan(&self, _: Option<u64>) -> Answer<'_, Plan> {
        refuse()
    }

    fn confirm<'a>(&'a self, _: &'a str) -> Answer<'a, ConfirmReport> {
        refuse()
    }

    fn history(&self) -> Answer<'_, HistoryView> {
        refuse()
    }

    fn expectations(&self) -> Answer<'_, Expectations> {
        refuse()
    }

    fn configuration(&self, _: Option<u64>) -> Answer<'_, ConfigurationText> {
        refuse()
    }

    fn plan(&self, _: Proposal) -> Answer<'_, Plan> {
        Box::pin(async {
            self.checking.notify_one();
            if let Some(gate) = &self.checks {
                gate.acquire().await.unwrap().forget();
            }
            Ok(Plan::default())
        })
    }

    fn exchange(&self) -> Answer<'_, ExchangeView> {
        refuse()
    }

    fn switch(&self, _: bool) -> Answer<'_, SwitchReport> {
        refuse()
    }

    fn hosts(&self, _: Wanted) -> Answer<'_, HostsView> {
        refuse()
    }

    fn figures(&self) -> Answer<'_, Figures> {
        Box::pin(async {
            Ok(Figures {
                expectations: Expectations::default(),
                status: status(),
                refused: 6,
                peers: vec![peer(1)],
                network: None,
            })
        })
    }
}

/// The API of a stand-in.
struct Api {
    tcp: std::net::SocketAddr,
    server: Arc<StandIn>,
    _folder: tempfile::TempDir,
}

impl Api {
    fn open(server: StandIn) -> Api {
        let folder = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(folder.path().join("api")).unwrap();
        let listener: TcpListener = thruway_control::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let tcp = listener.local_addr().unwrap();
        let server = Arc::new(server);
        let behind: Arc<dyn RouteServer> = server.clone();
        thruway_control::open(&behind, unix, Some(listener));
        Api {
            tcp,
            server,
            _folder: folder,
        }
    }

    /// Sends a request and returns the connection.
    async fn ask(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.tcp).await.unwrap();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: rs.example\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, path: &str) -> (u16, String) {
        whole(self.ask("GET", path, "").await).await
    }
}

/// Status and all text of an answer.
async fn whole(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("an answer")
        .unwrap();
    (code(&text), text)
}

fn code(text: &str) -> u16 {
    text.get(9..12).and_then(|code| code.parse().ok()).unwrap()
}

/// Reads the head, and leaves the rest where it is.
async fn head(stream: &mut TcpStream) -> u16 {
    let mut octets = [0; 12];
    stream.read_exact(&mut octets).await.unwrap();
    code(std::str::from_utf8(&octets).unwrap())
}

#[tokio::test]
async fn long_answers_are_bounded_and_short_ones_are_not() {
    let api = Api::open(StandIn::default());
    let mut reading = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = api.ask("GET", "/v1/routes", "").await;
        assert_eq!(head(&mut stream).await, 200);
        reading.push(stream);
    }
    let (code, text) = api.get("/v1/routes").await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("retry-after: 5"), "{text}");
    assert_eq!(api.get("/v1/status").await.0, 200);
    assert_eq!(api.get("/v1/routes?prefix=192.0.2.1").await.0, 200);
    // A reader that goes away makes room.
    reading.pop();
    loop {
        let mut stream = api.ask("GET", "/v1/routes", "").await;
        match head(&mut stream).await {
            200 => break,
            code => assert_eq!(code, 503),
        }
    }
}

#[tokio::test]
async fn large_answers_that_wait_for_readers_are_bounded() {
    let api = Api::open(StandIn::default());
    let mut reading = Vec::new();
    for _ in 0..LARGE {
        let mut stream = api.ask("GET", "/v1/peers", "").await;
        assert_eq!(head(&mut stream).await, 200);
        reading.push(stream);
    }
    let (code, text) = api.get("/v1/peers").await;
    assert_eq!(code, 503, "{text}");
    // What is read makes room.
    let mut rest = Vec::new();
    reading.pop().unwrap().read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > 64 << 10);
    loop {
        let mut stream = api.ask("GET", "/v1/peers", "").await;
        match head(&mut stream).await {
            200 => break,
            code => assert_eq!(code, 503),
        }
    }
}

#[tokio::test]
async fn configurations_are_checked_two_at_a_time() {
    let gate = Arc::new(Semaphore::new(0));
    let api = Api::open(StandIn {
        checks: Some(Arc::clone(&gate)),
        ..StandIn::default()
    });
    let proposal = r#"{"text":""}"#;
    let mut waiting = Vec::new();
    for _ in 0..CHECKS {
        waiting.push(api.ask("POST", "/v1/check", proposal).await);
        api.server.checking.notified().await;
    }
    let stream = api.ask("POST", "/v1/check", proposal).await;
    assert_eq!(whole(stream).await.0, 503);
    gate.add_permits(CHECKS);
    for stream in waiting {
        assert_eq!(whole(stream).await.0, 200);
    }
}

#[tokio::test]
async fn what_the_server_refuses_has_its_status_and_its_words() {
    let api = Api::open(StandIn::default());
    for (path, status, words) in [
        ("/v1/exchange", 400, r#"{"error":"not asked here"}"#),
        ("/v1/peers/x", 404, r#"{"error":"no x"}"#),
        (
            "/v1/explain?prefix=192.0.2.0/24",
            503,
            r#"{"error":"a worker does not answer"}"#,
        ),
        ("/v1/peers/x/y", 404, r#"{"error":"no x"}"#),
        (
            "/v1/hosts?prefix=y",
            400,
            "is neither a prefix nor an address",
        ),
    ] {
        let (code, text) = api.get(path).await;
        assert_eq!(code, status, "{path}: {text}");
        assert!(text.contains(words), "{path}: {text}");
    }
}

#[tokio::test]
async fn metrics_have_names_units_and_the_former_names() {
    let api = Api::open(StandIn::default());
    let (code, text) = api.get("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "thruway_peers 7",
        "thruway_peers_established 3",
        "thruway_prefixes{family=\"ipv4\"} 11",
        "thruway_resident_memory_bytes 4096",
        "thruway_updates_received_total 4",
        "thruway_received_bytes_total 99",
        "thruway_connections_refused_total 6",
        "thruway_peer_session_losses_total{peer=\"peer-1\",address=\"192.0.2.1\"} 2",
        "thruway_server{kind=\"paths\"} 12",
        "thruway_peer_flaps{peer=\"peer-1\",address=\"192.0.2.1\"} 2",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}:\n{text}");
    }
    // No series twice: Prometheus would refuse all of it.
    let mut series: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("thruway_"))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
}
