//! The same by HTTP: the switch, and counters that are of now. The reference's are five minutes old.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use thruway_tests::lab::wait_until;
use thruway_tests::rig::{PATIENCE, Rig};

use crate::stage::{FIREWALL, SDWAN, Stage, config};

/// A request of HTTP/1.0: the answer ends with the connection. Its first line and its body.
fn ask(api: &str, line: &str) -> (String, String) {
    let mut stream = TcpStream::connect(api).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    let request = format!("{line} HTTP/1.0\r\nHost: {api}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.lines().next().unwrap_or_default();
    (status.to_owned(), body.to_owned())
}

#[test]
fn counters_are_live_and_the_switch_is_there() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let api = free.local_addr().expect("bound").to_string();
    drop(free);
    let text = config("enabled = false", "");
    let mut stage = Stage {
        rig: Rig::exchange_with("auto", &format!("api = \"{api}\""), &text),
        speakers: Vec::new(),
    };
    stage.enter(SDWAN);
    stage.enter(FIREWALL);
    let metric = |name: &str| {
        let (_, text) = ask(&api, "GET /metrics");
        let mut lines = text.lines();
        let value = lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim);
        value.and_then(|value| value.parse::<f64>().ok())
    };
    let received = format!(
        "thruway_peer_routes{{peer=\"{}\",family=\"ipv4\",kind=\"received\"}}",
        SDWAN.session()
    );
    assert_eq!(metric(&received), Some(0.0));
    stage.tell(SDWAN, &[SDWAN.prefix(false)], &SDWAN.tells(false));
    wait_until("the counter counts", PATIENCE, || {
        metric(&received) == Some(1.0)
    });
    assert_eq!(metric("thruway_exchange_enabled"), Some(0.0));
    // Over TCP nobody may, without a token.
    let (status, answer) = ask(&api, "POST /v1/exchange?enabled=true");
    assert!(status.contains("403"), "{status}: {answer}");
    let answer = stage.rig.json("exchange", &["on"]);
    assert_eq!(
        (&answer["enabled"], &answer["changed"]),
        (&true.into(), &true.into())
    );
    assert_eq!(metric("thruway_exchange_enabled"), Some(1.0));
}
