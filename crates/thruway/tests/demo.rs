//! `thruway demo` ends well, and what it measured is what the matrix says.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use std::process::Command;

use serde_json::Value;

/// VNet, on-premises 1, 2 and 3, of one phase's receivers: hosts first.
fn known(phase: &Value) -> Vec<Vec<u64>> {
    let known = phase["known"].as_array().unwrap().iter();
    let routes = known.map(|known| known["routes"].as_array().unwrap());
    let counts = routes.map(|routes| routes.iter().map(|count| count.as_u64().unwrap()).collect());
    counts.collect()
}

#[test]
fn the_demo_shows_the_switch() {
    let run = Command::new(env!("CARGO_BIN_EXE_thruway"))
        .args(["demo", "--json"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    let outcome: Value = serde_json::from_slice(&run.stdout).unwrap();
    let sources = ["VNet", "on-premises 1", "on-premises 2", "on-premises 3"];
    assert_eq!(outcome["sources"], Value::from(sources.to_vec()));
    let hosts = [0, 4_000, 10_000, 4_000];
    let apart = [[2, 0, 0, 0]; 4];
    let on = [
        [2, 0, 10_000, 4_000],
        [2, 4_000, 0, 4_000],
        [2, 4_000, 10_000, 0],
        [2, 4_000, 10_000, 0],
    ];
    for (phase, expected) in [("apart", apart), ("on", on), ("off", apart)] {
        let expected: Vec<_> = [hosts].into_iter().chain(expected).collect();
        assert_eq!(known(&outcome[phase]), expected, "{phase}");
    }
    let told: u64 = on.iter().flatten().sum::<u64>() - 4 * 2;
    assert_eq!(outcome["on"]["announced"], told);
    assert_eq!(outcome["on"]["withdrawn"], 0);
    assert_eq!(outcome["off"]["withdrawn"], told);
    for receiver in outcome["on"]["known"].as_array().unwrap().iter().skip(1) {
        let after = receiver["arrivedMs"].as_f64().unwrap();
        assert!(after > 0.0, "{receiver}");
    }
}
