//! Changes of a running server: foretold, confirmed, taken back, remembered. Nothing that ends the server on
//! the way leaves one that does not start, or runs something else than what was promised.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use thruway_tests::on_both;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, announce, clients, expect};

on_both! {
    a_plan_foretells_what_a_reload_does,
    a_plan_foretells_sessions_and_limits,
    a_change_waits_for_its_confirmation,
    a_change_is_kept_or_taken_back_by_hand,
    what_was_in_force_comes_back,
    a_kill_at_any_moment_keeps_the_promise,
}

/// Kills of one run; `THRUWAY_KILLS` sets another number.
const KILLS: usize = 12;

/// Two clients, of whom the second is told what `export` lets through.
fn network(export: &str, group: &str) -> String {
    let policy = "[prefix-set.low]\nprefixes = [\"10.0.0.0/9 le 24\"]\n\
                  [policy.low]\n[[policy.low.statement]]\nmatch.prefix-set = \"low\"\nthen = \"accept\"\n\
                  [policy.longer]\ndefault = \"accept\"\n[[policy.longer.statement]]\n\
                  set.prepend = { asn = \"self\", count = 1 }\nthen = \"accept\"\n";
    let text = clients(2, &format!("{OPEN}\n{group}"));
    let second = text.rfind("group = \"clients\"").expect("two clients");
    let (first, rest) = text.split_at(second);
    format!("{policy}{first}export = \"{export}\"\n{rest}")
}

/// A command's status and JSON.
fn asked(rig: &Rig, command: &str, args: &[&str]) -> (Option<i32>, Value) {
    let done = rig.command(command, args).arg("--json").output();
    let done = done.expect("thruway runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (done.status.code(), value)
}

/// What a command says on standard error.
fn refused(rig: &Rig, command: &str, args: &[&str]) -> String {
    let done = rig.command(command, args).output().expect("thruway runs");
    assert!(!done.status.success(), "{command} {args:?}");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// What a plan says of a peer's IPv4 routes.
fn planned(plan: &Value, peer: &str) -> [u64; 4] {
    let routes = plan["routes"].as_array().cloned().unwrap_or_default();
    let of = routes
        .iter()
        .find(|row| row["peer"] == peer && row["family"] == "ipv4");
    ["announced", "changed", "withdrawn", "advertisedThen"]
        .map(|key| of.map_or(0, |row| row[key].as_u64().unwrap_or_default()))
}

fn a_plan_foretells_what_a_reload_does(transport: &str) {
    let rig = Rig::start(transport, &network("accept", ""));
    let (one, two) = (rig.connect(1), rig.connect(2));
    let prefixes = [
        "10.1.0.0/16",
        "10.2.0.0/16",
        "10.200.0.0/16",
        "10.201.0.0/16",
    ];
    announce(&one, 1, &prefixes, &[64_601]);
    expect(&two, "all of them", |table| table.len() == 4);
    assert_eq!(asked(&rig, "plan", &[]).0, Some(0), "nothing changes");
    for (export, counts) in [
        ("low", [0, 0, 2, 2]),
        ("longer", [2, 2, 0, 4]),
        ("accept", [0, 4, 0, 4]),
    ] {
        rig.rewrite(&network(export, ""));
        let (status, plan) = asked(&rig, "plan", &["--peer", "c2"]);
        assert_eq!(status, Some(2), "{plan}");
        assert_eq!(planned(&plan, "c2"), counts, "{export}: {plan}");
        assert_eq!(planned(&plan, "c1"), [0; 4], "{export}");
        let key = &plan["keys"][0];
        assert_eq!(
            (&key["place"], &key["key"], &key["effect"]),
            (&"c2".into(), &"export".into(), &"routes".into())
        );
        let listed = plan["listed"].as_array().expect("a list");
        assert_eq!(
            listed.len() as u64,
            counts[0] + counts[1] + counts[2],
            "{plan}"
        );
        let before = rig.peer("c2");
        let file = rig.file("thruway.toml").display().to_string();
        assert_eq!(
            planned(&asked(&rig, "plan", &[&file]).1, "c2"),
            counts,
            "the same by its name"
        );
        assert_eq!(
            rig.peer("c2")["ipv4"],
            before["ipv4"],
            "a plan changes nothing"
        );
        assert!(
            rig.command("reload", &[])
                .output()
                .expect("it runs")
                .status
                .success()
        );
        let len = usize::try_from(counts[3]).expect("a small number");
        expect(&two, export, |table| table.len() == len);
        let path = if export == "longer" {
            "64500 64601"
        } else {
            "64601"
        };
        expect(&two, path, |table| {
            thruway_tests::rig::path_of(table, "10.1.0.0/16").as_deref() == Some(path)
        });
    }
    assert!(one.ended().is_none() && two.ended().is_none());
}

fn a_plan_foretells_sessions_and_limits(transport: &str) {
    let rig = Rig::start(transport, &network("accept", ""));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(
        &one,
        1,
        &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"],
        &[64_601],
    );
    expect(&two, "all of them", |table| table.len() == 3);
    // A session that ends and comes back is taken to say the same.
    rig.rewrite(&network("accept", "hold-time = 30"));
    let (_, plan) = asked(&rig, "plan", &[]);
    assert_eq!(plan["reset"].as_array().map(Vec::len), Some(2), "{plan}");
    assert_eq!(planned(&plan, "c2"), [0; 4], "{plan}");
    // A limit that it meets then holds some of it back.
    let limit = "hold-time = 30\nmax-prefixes = { limit = 2, action = \"block\" }";
    rig.rewrite(&network("accept", limit));
    let (_, plan) = asked(&rig, "plan", &[]);
    let row = plan["routes"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["peer"] == "c1").cloned());
    let row = row.expect("c1 has fewer routes");
    assert_eq!(row["acceptedThen"], 2, "{plan}");
    assert!(plan["notes"].to_string().contains("takes 2 of 3"), "{plan}");
    // One that a limit ends does not.
    rig.rewrite(&network("accept", "max-prefixes = { limit = 2 }"));
    let (_, plan) = asked(&rig, "plan", &[]);
    assert_eq!(planned(&plan, "c2"), [0, 0, 3, 0], "{plan}");
    let row = plan["routes"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["peer"] == "c1").cloned());
    let row = row.expect("c1 loses its routes");
    assert_eq!(
        (&row["gone"], &row["session"]),
        (&3.into(), &"ends: over max-prefixes".into()),
        "{plan}"
    );
    // And one that holds back says how many.
    rig.rewrite(&network("accept", "max-advertised = { limit = 2 }"));
    let (_, plan) = asked(&rig, "plan", &[]);
    assert_eq!(planned(&plan, "c2"), [0, 0, 1, 2], "{plan}");
    assert!(
        rig.command("reload", &[])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    expect(&two, "two are left", |table| table.len() == 2);
    rig.rewrite(&network("accept", "max-prefixes = { limit = 2 }"));
    assert!(
        rig.command("reload", &[])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    one.wait_until_ended(PATIENCE).expect("over the limit");
    expect(&two, "none is left", |table| table.is_empty());
}

fn number(rig: &Rig) -> u64 {
    rig.show(&["status"])["revision"]["number"]
        .as_u64()
        .expect("a number")
}

fn a_change_waits_for_its_confirmation(transport: &str) {
    let rig = Rig::start(transport, &network("accept", ""));
    let one = rig.connect(1);
    let two = rig.connect(2);
    announce(&one, 1, &["10.1.0.0/16", "10.200.0.0/16"], &[64_601]);
    expect(&two, "both", |table| table.len() == 2);
    assert!(refused(&rig, "confirm", &[]).contains("no change waits"));
    rig.rewrite(&network("low", ""));
    let (status, report) = asked(
        &rig,
        "reload",
        &["--confirm", "2", "--comment", "only the low ones"],
    );
    assert_eq!(
        (status, &report["confirmSeconds"]),
        (Some(0), &2.into()),
        "{report}"
    );
    expect(&two, "one", |table| table.len() == 1);
    let status = rig.show(&["status"]);
    assert_eq!(
        status["revision"]["pending"]["number"], report["number"],
        "{status}"
    );
    let said = refused(&rig, "reload", &[]);
    assert!(said.contains("waits for its confirmation"), "{said}");
    expect(&two, "both again", |table| table.len() == 2);
    let status = rig.show(&["status"]);
    assert_eq!(status["revision"]["fileDiffers"], true, "{status}");
    assert_eq!(status["revision"]["pending"], Value::Null);
    assert!(
        one.ended().is_none() && two.ended().is_none(),
        "no session was touched"
    );
}

fn a_change_is_kept_or_taken_back_by_hand(transport: &str) {
    let rig = Rig::start(transport, &network("accept", ""));
    let one = rig.connect(1);
    let two = rig.connect(2);
    announce(&one, 1, &["10.1.0.0/16", "10.200.0.0/16"], &[64_601]);
    expect(&two, "both", |table| table.len() == 2);
    rig.rewrite(&network("low", ""));
    let (_, report) = asked(
        &rig,
        "reload",
        &["--confirm", "1h", "--comment", "only the low ones"],
    );
    expect(&two, "one", |table| table.len() == 1);
    assert_eq!(asked(&rig, "confirm", &[]).1["number"], report["number"]);
    let status = rig.show(&["status"]);
    assert_eq!(
        status["revision"],
        serde_json::json!({ "number": report["number"], "fileDiffers": false })
    );
    rig.rewrite(&network("accept", ""));
    asked(&rig, "reload", &["--confirm", "1h"]);
    expect(&two, "both", |table| table.len() == 2);
    assert_eq!(asked(&rig, "rollback", &[]).0, Some(0));
    expect(&two, "one", |table| table.len() == 1);
    let (_, history) = asked(&rig, "history", &[]);
    let kinds: Vec<&str> = history["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect();
    assert_eq!(
        kinds,
        ["start", "reload", "reload", "taken back"],
        "{history}"
    );
    assert!(
        history.to_string().contains("only the low ones"),
        "{history}"
    );
    assert!(
        one.ended().is_none() && two.ended().is_none(),
        "no session was touched"
    );
}

fn what_was_in_force_comes_back(transport: &str) {
    let mut rig = Rig::start(transport, &network("accept", ""));
    let one = rig.connect(1);
    let two = rig.connect(2);
    announce(&one, 1, &["10.1.0.0/16", "10.200.0.0/16"], &[64_601]);
    expect(&two, "both", |table| table.len() == 2);
    assert!(rig.reload(&network("low", "")).status.success());
    expect(&two, "one", |table| table.len() == 1);
    let (status, diff) = asked(&rig, "diff", &["1", "2"]);
    assert_eq!(status, Some(2));
    assert!(
        diff["diff"]
            .as_str()
            .is_some_and(|it| it.contains("-export = \"accept\"\n+export = \"low\"")),
        "{diff}"
    );
    let (_, plan) = asked(&rig, "rollback", &["--plan"]);
    assert_eq!(planned(&plan, "c2"), [1, 0, 0, 2], "{plan}");
    assert_eq!(
        asked(&rig, "rollback", &["1", "--comment", "as it was"]).0,
        Some(0)
    );
    expect(&two, "both", |table| table.len() == 2);
    // A restart keeps it, though the file says something else; and says so.
    drop((one, two));
    let before = number(&rig);
    rig.restart();
    assert_eq!(number(&rig), before);
    assert!(rig.log().contains("was taken back"), "{}", rig.log());
    let one = rig.connect(1);
    let two = rig.connect(2);
    announce(&one, 1, &["10.1.0.0/16", "10.200.0.0/16"], &[64_601]);
    expect(&two, "both", |table| table.len() == 2);
    // The file is the truth as soon as somebody asks for it, or edits it.
    assert!(
        rig.command("reload", &[])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    expect(&two, "one", |table| table.len() == 1);
    // What is damaged is named, and the rest is there.
    let folder = rig.file("thruway.toml.history");
    fs::write(folder.join("000001.toml"), "half a f").expect("it is written");
    let (_, history) = asked(&rig, "history", &[]);
    assert!(
        history["damaged"][0]
            .as_str()
            .is_some_and(|it| it.contains("000001.toml")),
        "{history}"
    );
    let said = refused(&rig, "rollback", &["1"]);
    assert!(said.contains("000001.toml"), "{said}");
    for file in ["running", "pending"] {
        fs::write(folder.join(file), [0xff, 0]).expect("it is written");
    }
    drop((one, two));
    rig.restart();
    assert!(rig.log().contains("pending:"), "{}", rig.log());
    // A disk that takes nothing more: nothing of the new configuration is in force.
    fs::remove_dir_all(&folder).expect("it goes");
    fs::write(&folder, "no folder").expect("it is in the way");
    let said = String::from_utf8_lossy(&rig.reload(&network("accept", "")).stderr).into_owned();
    assert!(
        said.contains("nothing of the new configuration is in force"),
        "{said}"
    );
    assert_eq!(rig.show(&["status"])["revision"]["fileDiffers"], true);
}

/// Which of two hold times runs, by the text of what runs.
fn running(rig: &Rig, next: u32, kept: u32) -> u32 {
    let (status, diff) = asked(rig, "diff", &[]);
    if status == Some(0) {
        return next;
    }
    let text = diff["diff"].as_str().unwrap_or_default();
    assert!(text.contains(&format!("-hold-time = {kept}\n")), "{text}");
    kept
}

/// What is under way when the server is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Under {
    Reload,
    Confirmation,
    Rollback,
}

/// Kills the server in the middle of something; true where that was answered before.
fn kill_in_the_middle(rig: &mut Rig, under: Under, after: Duration) -> bool {
    let spawn = |command: &str, args: &[&str]| {
        let mut line = rig.command(command, args);
        line.stdout(std::process::Stdio::null());
        line.stderr(std::process::Stdio::null());
        line.spawn().expect("it runs")
    };
    let mut child = match under {
        Under::Reload => spawn("reload", &["--confirm", "1h"]),
        Under::Confirmation => {
            spawn("reload", &["--confirm", "1h"])
                .wait()
                .expect("it ends");
            spawn("confirm", &[])
        }
        Under::Rollback => {
            spawn("reload", &[]).wait().expect("it ends");
            spawn("rollback", &[])
        }
    };
    // Not an event: the point is that it may be any moment.
    std::thread::sleep(after);
    rig.kill();
    child.wait().expect("it ends").success()
}

/// Kills the server at every step of a reload, a confirmation and a rollback.
fn a_kill_at_any_moment_keeps_the_promise(transport: &str) {
    let kills = std::env::var("THRUWAY_KILLS").ok();
    let kills = kills.map_or(KILLS, |text| text.parse().expect("a number"));
    let configuration = |hold: u32| network("accept", &format!("hold-time = {hold}"));
    let mut rig = Rig::start(transport, &configuration(90));
    let (mut kept, mut answered) = (90, 0);
    for kill in 0..kills {
        let next = 30 + u32::try_from(kill % 20).expect("small");
        rig.rewrite(&configuration(next));
        let under = [Under::Reload, Under::Confirmation, Under::Rollback][kill % 3];
        let after = u64::try_from(kill).expect("small") * 3700 % 45_000;
        let acknowledged = kill_in_the_middle(&mut rig, under, Duration::from_micros(after));
        answered += usize::from(acknowledged);
        rig.start_again();
        let runs = running(&rig, next, kept);
        if acknowledged {
            // What nobody confirmed is taken back; what was confirmed, or gone back to, holds.
            let promised = if under == Under::Confirmation {
                next
            } else {
                kept
            };
            assert_eq!(runs, promised, "kill {kill}: {under:?} after {after} us");
        }
        // From a known place.
        let done = rig.command("reload", &[]).output().expect("it runs");
        assert!(done.status.success(), "{done:?}");
        assert_eq!(running(&rig, next, kept), next);
        kept = next;
    }
    println!("{kills} kills, {answered} of them after the answer");
}
