//! The API over mutual TLS: who shows which certificate may what, and files that are not good.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::time::Duration;

use thruway_tests::lab::wait_until;
use thruway_tests::pki::Pki;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, clients};

/// A server whose API takes certificates of its CA, and the folder with all files.
struct Place {
    rig: Rig,
    addr: String,
    folder: tempfile::TempDir,
    ca: Pki,
}

const FAR: i32 = 2090;

impl Place {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = Pki::new(folder.path(), "ca");
        for name in ["server", "boss", "guest"] {
            ca.issue(name, FAR);
        }
        ca.issue("late", 2020);
        Pki::new(folder.path(), "other-ca").issue("stranger", FAR);
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = free.local_addr().expect("bound").to_string();
        drop(free);
        let at = folder.path().display();
        let server = format!(
            "api = \"{addr}\"\napi-certificate = \"{at}/server.pem\"\napi-key = \"{at}/server.key\"\n\
             api-client-ca = \"{at}/ca.pem\"\n{more}"
        );
        let server = server.replace("FOLDER", &at.to_string());
        let file = folder.path().join("tokens");
        Self::add(
            &file,
            "boss",
            &[
                "--certificate",
                &format!("{at}/boss.pem"),
                "--role",
                "admin",
            ],
        );
        let rig = Rig::start_with("auto", &server, &clients(1, OPEN));
        Place {
            rig,
            addr,
            folder,
            ca,
        }
    }

    fn add(file: &std::path::Path, name: &str, args: &[&str]) {
        let mut line = std::process::Command::new(thruway_tests::daemon::binary());
        line.args(["token", "add", name])
            .args(args)
            .arg("--file")
            .arg(file);
        thruway_tests::lab::output(&mut line);
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A command over TLS, showing somebody's certificate, or none.
    fn ask(&self, who: Option<&str>, args: &[&str]) -> Output {
        let mut line = std::process::Command::new(thruway_tests::daemon::binary());
        line.args(args)
            .args(["--api", &self.addr, "--ca", &self.file("ca.pem")]);
        if let Some(who) = who {
            line.args(["--certificate", &self.file(&format!("{who}.pem"))]);
            line.args(["--key", &self.file(&format!("{who}.key"))]);
        }
        line.env_remove("THRUWAY_SOCKET").output().expect("it runs")
    }

    #[track_caller]
    fn refused(&self, who: Option<&str>, args: &[&str], says: &str) {
        let done = self.ask(who, args);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{who:?} {args:?}: {said}");
        assert!(said.contains(says), "{who:?} {args:?}: {said}");
    }

    #[track_caller]
    fn taken(&self, who: Option<&str>, args: &[&str]) {
        let done = self.ask(who, args);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{who:?} {args:?}: {said}");
    }
}

const SHOW: &[&str] = &["show", "status"];

#[test]
fn a_certificate_says_who_may_what() {
    let place = Place::start("api-tokens = \"FOLDER/tokens\"");
    place.taken(Some("boss"), SHOW);
    place.taken(Some("boss"), &["reload"]);
    // The CA's word is enough to read, and for no more.
    place.taken(Some("guest"), SHOW);
    place.refused(Some("guest"), &["reload"], "the role admin is needed");
    place.refused(
        Some("guest"),
        &["reset", "c1"],
        "the role operate is needed",
    );
    place.refused(None, SHOW, "a token is needed");
    place.refused(Some("stranger"), SHOW, "does not take this certificate");
    place.refused(
        Some("late"),
        SHOW,
        "late.pem: the certificate expired at 2020-01-01",
    );
    assert!(
        place.rig.log().contains("author=\"boss from 127.0.0.1"),
        "{}",
        place.rig.log()
    );
    // Taken away, it is one of the CA's like any other.
    let mut line = std::process::Command::new(thruway_tests::daemon::binary());
    line.args(["token", "revoke", "boss", "--file", &place.file("tokens")]);
    thruway_tests::lab::output(&mut line);
    thruway_tests::lab::output(&mut place.rig.command("reload", &[]));
    place.refused(Some("boss"), &["reload"], "the role admin is needed");
    let history = place.rig.log();
    assert!(
        history.contains("certificate "),
        "a certificate without a name has its digest"
    );
}

#[test]
fn without_tokens_a_certificate_is_needed() {
    let place = Place::start("");
    place.taken(Some("guest"), SHOW);
    place.refused(Some("boss"), &["reload"], "the role admin is needed");
    place.refused(None, SHOW, "nobody without a certificate");
    let mut plainly = std::process::Command::new(thruway_tests::daemon::binary());
    let said = plainly
        .args(SHOW)
        .args(["--api", &place.addr])
        .output()
        .expect("it runs");
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("TLS, maybe (--ca)"),
        "{said:?}"
    );
    // What speaks no TLS gets no answer, and is counted.
    let mut plain = TcpStream::connect(&place.addr).expect("it listens");
    plain
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    plain
        .write_all(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .expect("it reads");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let counter = "thruway_api_refused_total{over=\"tcp\",reason=\"tls\"} ";
    let count = |text: String| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(counter).map(str::to_owned));
        line.and_then(|count| count.parse::<u64>().ok())
            .unwrap_or(0)
    };
    wait_until("both are counted", PATIENCE, || {
        count(place.rig.metrics()) >= 2
    });
    assert!(place.rig.log().contains("a TLS handshake"));
}

#[test]
fn a_handshake_that_does_not_end_ends() {
    let place = Place::start("");
    let mut slow = TcpStream::connect(&place.addr).expect("it listens");
    // The first octets of a ClientHello.
    slow.write_all(&[22, 3, 1, 2, 0, 1, 0, 1])
        .expect("it reads");
    slow.set_read_timeout(Some(Duration::from_secs(15)))
        .expect("a time limit");
    let mut rest = Vec::new();
    let ended = slow.read_to_end(&mut rest);
    assert!(
        ended.is_ok() || ended.is_err_and(|it| it.kind() == std::io::ErrorKind::ConnectionReset),
        "the connection is closed in the time for a head"
    );
    place.taken(Some("guest"), SHOW);
}

#[test]
fn certificates_are_read_again_and_bad_ones_change_nothing() {
    let place = Place::start("");
    place.taken(Some("guest"), SHOW);
    for (bad, says) in [
        ("old", "server.pem: the certificate expired"),
        ("junk", "server.pem: it has no certificate"),
    ] {
        match bad {
            "old" => place.ca.issue("server", 2020),
            _ => std::fs::write(place.file("server.pem"), "nothing").expect("our own file"),
        }
        let done = place.rig.command("reload", &[]).output().expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            !done.status.success() && said.contains(says),
            "{bad}: {said}"
        );
        place.taken(Some("guest"), SHOW);
    }
    place.ca.issue("server", FAR);
    thruway_tests::lab::output(&mut place.rig.command("reload", &[]));
    place.taken(Some("guest"), SHOW);
}

#[test]
fn a_certificate_that_is_over_keeps_no_neighbour_out() {
    let mut place = Place::start("");
    place.ca.issue("server", 2020);
    place.rig.restart();
    let _client = place.rig.connect(1);
    let status = place.rig.show(&["status"]);
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("closed over TCP") && warnings.contains("server.pem"),
        "{warnings}"
    );
    let done = place.ask(Some("guest"), SHOW);
    assert!(!done.status.success(), "nobody comes in over TCP");
    place.ca.issue("server", FAR);
    thruway_tests::lab::output(&mut place.rig.command("reload", &[]));
    place.taken(Some("guest"), SHOW);
    let status = place.rig.show(&["status"]);
    assert!(!status["warnings"].to_string().contains("closed over TCP"));
}
