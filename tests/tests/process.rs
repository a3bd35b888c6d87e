//! The process itself: how it starts where another one was, how it ends, and what strangers cost it.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use thruway_tests::daemon::binary;
use thruway_tests::lab::{output, wait_until};
use thruway_tests::on_both;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, client_addr, clients};

on_both! {
    it_starts_again_right_after_it_was_killed,
    the_owner_of_its_port_is_named,
    a_panic_of_any_thread_ends_it,
    connections_without_an_open_are_bounded,
    strangers_are_summed_up,
    a_log_that_nobody_reads_stops_nothing,
    a_peer_that_fails_again_and_again_is_shown_and_can_be_let_in,
}

fn it_starts_again_right_after_it_was_killed(transport: &str) {
    let mut rig = Rig::start(transport, &clients(1, OPEN));
    for _ in 0..10 {
        let one = rig.connect(1);
        rig.kill();
        rig.start_again();
        drop(one);
    }
}

fn the_owner_of_its_port_is_named(transport: &str) {
    let rig = Rig::start(transport, &clients(1, OPEN));
    let file = rig.file("second.toml");
    let text = format!(
        "[server]\nasn = 64500\nrouter-id = \"198.18.0.9\"\nlisten = [\"{}\"]\n\
         api-socket = \"{}\"\ntransport = \"{transport}\"\n",
        rig.addr(),
        rig.file("second.sock").display(),
    );
    std::fs::write(&file, text).expect("a writable folder");
    let second = Command::new(binary())
        .args(["serve", "--config"])
        .arg(&file)
        .output()
        .expect("thruway runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    let owner = format!("thruway (pid {})", rig.id());
    assert_eq!(
        said.matches(&owner).count(),
        2,
        "once while it waits, once at the end: {said}"
    );
    assert!(
        said.contains(&format!("cannot listen at {}", rig.addr())),
        "{said}"
    );
}

fn a_panic_of_any_thread_ends_it(transport: &str) {
    // The place for it is in debug builds only.
    if !cfg!(debug_assertions) {
        println!("passed over: this build has no place to panic");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = free.local_addr().expect("its address");
    drop(free);
    let config = dir.path().join("thruway.toml");
    let text = format!(
        "[server]\nmode = \"exchange\"\nrouter-id = \"198.18.0.1\"\nlisten = [\"{addr}\"]\n\
         api-socket = \"{}\"\ntransport = \"{transport}\"\nworkers = 2\n\
         [vnet]\nprefixes = [\"10.0.0.0/16\"]\n[[nva]]\nname = \"a\"\nasn = 65001\n\
         addresses = [\"127.0.1.1\"]\n[hosts]\n",
        dir.path().join("sock").display()
    );
    std::fs::write(&config, text).expect("a writable folder");
    for thread in ["worker-0", "worker-1", "hosts", "control"] {
        let mut child = Command::new(binary())
            .args(["serve", "--config"])
            .arg(&config)
            .env("THRUWAY_PANIC", thread)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("thruway starts");
        let mut status = None;
        wait_until("it ends", PATIENCE, || {
            status = child.try_wait().expect("it is ours");
            status.is_some()
        });
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("it is piped");
        stderr.read_to_string(&mut said).expect("text");
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(1),
            "{thread}: {said}"
        );
        let text = format!("panic: asked for in {thread}; the server ends");
        assert!(said.contains(&text), "{thread}: {said}");
    }
}

/// A connection from an address of 127.0.0.0/8.
fn connect_from(addr: IpAddr, to: SocketAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::new(addr, 0).into())
        .expect("an address of ours");
    socket.connect(&to.into()).expect("it listens");
    socket.into()
}

fn open_files(rig: &Rig) -> usize {
    let folder = format!("/proc/{}/fd", rig.id());
    std::fs::read_dir(folder).expect("it runs").count()
}

fn connections_without_an_open_are_bounded(transport: &str) {
    let rig = Rig::start(transport, &clients(2, OPEN));
    let two = rig.connect(2);
    let before = open_files(&rig);
    let from = IpAddr::V4(client_addr(1));
    let held: Vec<TcpStream> = (0..300).map(|_| connect_from(from, rig.addr())).collect();
    wait_until("a handful is left", PATIENCE, || {
        open_files(&rig) <= before + 8
    });
    drop(held);
    // The neighbour itself gets in, and nobody else has noticed.
    let _one = rig.connect(1);
    assert_eq!(two.ended(), None);
}

fn strangers_are_summed_up(transport: &str) {
    let rig = Rig::start(transport, &clients(1, OPEN));
    for n in 0..2000u16 {
        let host = [127, 0, 9, (n % 40 + 1) as u8];
        drop(connect_from(host.into(), rig.addr()));
    }
    wait_until("all are counted", PATIENCE, || {
        rig.log().matches("connection refused").count() == 16
    });
    // One line each for the first addresses, and none for the other connections.
    assert!(rig.log().lines().count() < 60, "{}", rig.log());
}

fn a_peer_that_fails_again_and_again_is_shown_and_can_be_let_in(transport: &str) {
    let keys = format!("{OPEN}\nidle-hold = 20\nidle-hold-max = 40");
    let rig = Rig::start(transport, &clients(1, &keys));
    // An OPEN of the wrong AS is an error of the peer's.
    let mut wrong = rig.client(1);
    wrong.asn = thruway_wire::Asn(64_999);
    let one = rig.spawn(1, wrong);
    one.wait_until_ended(PATIENCE).expect("it is refused");
    rig.wait_peer("c1", "/damped/failures", 1);
    let damped = rig.peer("c1")["damped"].clone();
    let seconds = |key: &str| damped[key].as_f64().expect("a number");
    assert!((0.0..20.0).contains(&seconds("sinceSeconds")), "{damped}");
    assert!((1.0..=20.0).contains(&seconds("untilSeconds")), "{damped}");
    let reason = damped["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("Bad Peer AS"), "{damped}");
    let text = output(&mut rig.command("show", &["peer", "c1"]));
    assert!(text.contains("thruway reset NAME start"), "{text}");
    assert!(
        rig.log()
            .contains("its connections are refused for a while"),
        "{}",
        rig.log()
    );
    let refused = rig.spawn(1, rig.client(1));
    let end = refused
        .wait_until_ended(PATIENCE)
        .expect("it is refused, too");
    assert!(format!("{end:?}").contains("subcode: 5"), "{end:?}");
    let _ = output(&mut rig.command("reset", &["c1", "start"]));
    rig.wait_peer("c1", "/damped", serde_json::Value::Null);
    let _one = rig.connect(1);
}

/// The log goes into a pipe that is full: the API answers, and SIGTERM ends it.
fn a_log_that_nobody_reads_stops_nothing(transport: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, socket) = (folder.path().join("t.toml"), folder.path().join("api"));
    let text = format!(
        "[server]\nasn = 64500\nrouter-id = \"198.18.0.9\"\nlisten = [\"127.0.0.1:0\"]\n\
         api-socket = \"{}\"\ntransport = \"{transport}\"\n",
        socket.display(),
    );
    std::fs::write(&file, text).expect("a writable folder");
    let mut server = Command::new(binary())
        .args(["serve", "--config"])
        .arg(&file)
        .env("THRUWAY_LOG", "trace")
        .stderr(Stdio::piped())
        .spawn()
        .expect("thruway runs");
    let log = server.stderr.take().expect("it is piped");
    let asked = || {
        Command::new(binary())
            .args(["show", "--json", "--socket"])
            .arg(&socket)
            .arg("status")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    // Requests are logged, too.
    let mut before = 0;
    wait_until("the pipe is full", PATIENCE, || {
        let answered = asked();
        let lies = rustix::io::ioctl_fionread(&log).expect("a pipe");
        let full = answered && lies > 0 && lies == before;
        before = lies;
        full
    });
    assert!((0..5).all(|_| asked()), "the API answers");
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
    let mut status = None;
    wait_until("it ends", PATIENCE, || {
        status = server.try_wait().expect("ours");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()));
    drop(log);
}
