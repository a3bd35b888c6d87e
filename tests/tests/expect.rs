//! What must stay true of the network: watched, foretold, and kept from changes that break it.

use serde_json::Value;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{OPEN, PATIENCE, Rig, announce, clients, expect, prefix};
use thruway_wire::Prefix;

on_both! {
    what_is_expected_is_watched,
    a_change_that_breaks_it_is_refused,
    what_a_limit_holds_back_and_who_is_new_break_nothing,
}

const EXPECT: &str = r#"
[[expect]]
name = "default"
prefix = "0.0.0.0/0"
best-from = "c1"

[[expect]]
name = "no-transit"
within = "10.128.0.0/9"
learned-from = "c1"
never-advertised-to = "c2"

[[expect]]
name = "few"
advertised-to = ["c2"]
max = 3

[[expect]]
name = "up"
sessions = "all"
"#;

/// Two clients, of whom the second is told what `export` lets through, and what is expected of them.
fn network(export: &str) -> String {
    let policy = "[policy.low]\n[[policy.low.statement]]\n\
                  match.prefix = [\"0.0.0.0/0\", \"10.0.0.0/9 le 24\"]\nthen = \"accept\"\n";
    let text = clients(2, OPEN);
    let second = text.rfind("group = \"clients\"").expect("two clients");
    let (first, rest) = text.split_at(second);
    format!("{policy}{first}export = \"{export}\"\n{rest}{EXPECT}")
}

fn wait_states(rig: &Rig, wanted: [&str; 4]) {
    let names = ["default", "no-transit", "few", "up"];
    let wanted: Vec<String> = names
        .iter()
        .zip(wanted)
        .map(|(name, state)| format!("{name} {state}"))
        .collect();
    wait_until(&format!("{wanted:?}"), PATIENCE, || {
        rig.expectations().0 == wanted
    });
}

fn metric(rig: &Rig, name: &str) -> Option<String> {
    let text = rig.metrics();
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.rsplit(' ').next()?.to_owned())
}

fn what_is_expected_is_watched(transport: &str) {
    let rig = Rig::start(transport, &network("accept"));
    wait_states(&rig, ["broken", "unjudged", "unjudged", "broken"]);
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(&one, 1, &["0.0.0.0/0", "10.1.0.0/16"], &[64_601]);
    wait_states(&rig, ["holds"; 4]);
    assert_eq!(rig.expectations().1, Some(0));
    // Another's default with a shorter path, and what must not pass.
    announce(&two, 2, &["0.0.0.0/0"], &[64_602]);
    announce(&one, 1, &["0.0.0.0/0"], &[64_601, 7]);
    wait_states(&rig, ["broken", "holds", "holds", "holds"]);
    announce(
        &one,
        1,
        &["10.128.0.0/16", "10.200.3.0/24", "10.2.0.0/16"],
        &[64_601],
    );
    wait_states(&rig, ["broken", "broken", "broken", "holds"]);
    assert_eq!(
        rig.expectations().1,
        Some(2),
        "a status that a script can look at"
    );
    let log = rig.log();
    for text in [
        "the best path of 0.0.0.0/0 comes from c2",
        "is advertised to c2 (2 prefixes in all)",
        "at most 3 expected",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert_eq!(
        metric(
            &rig,
            "thruway_expectation_holds{expectation=\"no-transit\"}"
        )
        .as_deref(),
        Some("0")
    );
    let gone: Vec<Prefix> = ["10.128.0.0/16", "10.200.3.0/24"].map(prefix).to_vec();
    one.withdraw(&gone);
    wait_states(&rig, ["broken", "holds", "holds", "holds"]);
    drop(two);
    wait_states(&rig, ["holds", "unjudged", "unjudged", "broken"]);
    assert!(rig.log().contains("expectation holds again"));
    assert!(one.ended().is_none());
}

fn a_change_that_breaks_it_is_refused(transport: &str) {
    let rig = Rig::start(transport, &network("low"));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(
        &one,
        1,
        &["0.0.0.0/0", "10.1.0.0/16", "10.128.0.0/16"],
        &[64_601],
    );
    expect(&two, "two of them", |table| table.len() == 2);
    wait_states(&rig, ["holds"; 4]);
    rig.rewrite(&network("accept"));
    let plan = rig.command("plan", &["--json"]).output().expect("it runs");
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    let breaks: Vec<&Value> = plan["expectations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["breaks"] == true)
        .collect();
    assert_eq!(breaks.len(), 1, "{plan}");
    assert_eq!(breaks[0]["name"], "no-transit");
    let done = rig.command("reload", &[]).output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    let text = "no-transit: 10.128.0.0/16 is advertised to c2";
    assert!(said.contains(text) && said.contains("--force"), "{said}");
    assert_eq!(
        rig.show(&["status"])["revision"]["number"],
        1,
        "nothing is in force"
    );
    assert_eq!(two.table().len(), 2);
    let done = rig
        .command("reload", &["--force", "--json"])
        .output()
        .expect("it runs");
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(report["broken"], serde_json::json!(["no-transit"]));
    expect(&two, "all of them", |table| table.len() == 3);
    wait_states(&rig, ["holds", "broken", "holds", "holds"]);
    let history = rig.json("history", &[]);
    let last = history["entries"]
        .as_array()
        .and_then(|all| all.last())
        .expect("an entry");
    assert!(
        last["what"]
            .as_str()
            .expect("a text")
            .contains("by force, against no-transit"),
        "{last}"
    );
    // What mends it needs no force.
    assert!(rig.reload(&network("low")).status.success());
    wait_states(&rig, ["holds"; 4]);
}

fn what_a_limit_holds_back_and_who_is_new_break_nothing(transport: &str) {
    let file = |third: bool, text: &str| {
        let limit = "max-advertised = { limit = 2, action = \"block\" }";
        let peers = clients(if third { 3 } else { 2 }, &format!("{OPEN}\n{limit}"));
        let few = "[[expect]]\nname = \"few\"\nadvertised-to = \"c2\"\nmax = 2\n";
        let up = "[[expect]]\nname = \"up\"\nsessions = \"all\"\n";
        format!("{peers}{few}{up}").replacen(
            "role =",
            &format!("description = \"{text}\"\nrole ="),
            1,
        )
    };
    let rig = Rig::start(transport, &file(false, "before"));
    let (one, two) = (rig.connect(1), rig.connect(2));
    announce(
        &one,
        1,
        &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"],
        &[64_601],
    );
    expect(&two, "what the limit lets through", |table| {
        table.len() == 2
    });
    wait_until("both hold", PATIENCE, || {
        rig.expectations().0 == ["few holds", "up holds"]
    });
    let done = rig.reload(&file(false, "after"));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "the limit is kept: {said}");
    let done = rig.reload(&file(true, "after"));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.success(),
        "nobody waits for a new session yet: {said}"
    );
    wait_until("it is missed", PATIENCE, || {
        rig.expectations().0[1] == "up broken"
    });
    let three = rig.connect(3);
    wait_until("all are there", PATIENCE, || {
        rig.expectations().1 == Some(0)
    });
    // What ends for good breaks it.
    let third = file(true, "after");
    let at = third.rfind("group = \"clients\"").expect("three clients");
    let stopped = format!("{}shutdown = true\n{}", &third[..at], &third[at..]);
    rig.rewrite(&stopped);
    let plan = rig.command("plan", &["--json"]).output().expect("it runs");
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    assert_eq!(plan["expectations"][1]["breaks"], true, "{plan}");
    assert!(three.ended().is_none());
}
