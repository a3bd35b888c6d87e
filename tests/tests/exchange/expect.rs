//! What must stay true of a virtual network: of kinds, sites and hosts, and of the switch.

use serde_json::Value;
use thruway_tests::lab::wait_until;
use thruway_tests::on_both;
use thruway_tests::rig::{PATIENCE, Rig};

use crate::stage::{CAST, ER0, SDWAN, Stage, config};

on_both! {
    a_network_expects_of_its_kinds,
}

const EXPECT: &str = r#"
[[expect]]
name = "no-transit"
learned-from = "kind:expressroute"
never-advertised-to = "kind:vpn"

[[expect]]
name = "branches-know-the-network"
within = "10.0.0.0/15"
learned-from = "hosts"
advertised-to = ["kind:nva", "expressroute", "vpn"]

[[expect]]
name = "hosts-have-the-branch"
prefix = "172.16.3.0/24"
advertised-to = "hosts"

[[expect]]
name = "all-there"
sessions = ["sdwan", "expressroute"]
"#;

fn broken(rig: &Rig) -> Vec<String> {
    let (all, _) = rig.expectations();
    assert_eq!(all.len(), 4, "{all:?}");
    let bad = all.iter().filter_map(|it| it.strip_suffix(" broken"));
    bad.map(str::to_owned).collect()
}

fn wait_broken(rig: &Rig, wanted: &[&str]) {
    wait_until(&format!("broken: {wanted:?}"), PATIENCE, || {
        broken(rig) == wanted
    });
}

fn a_network_expects_of_its_kinds(transport: &str) {
    let file = |enabled: bool| config(&format!("enabled = {enabled}"), EXPECT);
    let mut stage = Stage::with(transport, &file(false), &CAST);
    stage.all_tell();
    wait_broken(&stage.rig, &[]);
    // The switch would let the gateways learn each other's routes.
    stage.rig.rewrite(&file(true));
    let plan = stage.rig.command("plan", &["--json"]).output();
    let plan: Value = serde_json::from_slice(&plan.expect("it runs").stdout).expect("JSON");
    let breaks = plan["expectations"].as_array().expect("a list");
    let breaks: Vec<&Value> = breaks.iter().filter(|it| it["breaks"] == true).collect();
    assert_eq!(breaks.len(), 1, "{plan}");
    assert_eq!(breaks[0]["name"], "no-transit");
    let refused = stage.rig.command("reload", &[]).output().expect("it runs");
    assert!(!refused.status.success());
    let forced = stage.rig.command("reload", &["--force"]).output();
    assert!(forced.expect("it runs").status.success());
    wait_broken(&stage.rig, &["no-transit"]);
    stage.rig.rewrite(&file(false));
    let mended = stage.rig.command("reload", &[]).output().expect("it runs");
    assert!(mended.status.success(), "what mends needs no force");
    wait_broken(&stage.rig, &[]);
    // One of the gateway's instances goes, and with it the branch's prefix; the other has a session.
    stage.leave(ER0);
    wait_broken(&stage.rig, &["hosts-have-the-branch"]);
    stage.leave(SDWAN);
    wait_broken(&stage.rig, &["hosts-have-the-branch", "all-there"]);
}
