//! `thruway show expectations`, and what a plan says of them.

use anyhow::Result;
use thruway_api::{Client, ExpectationState, Expectations, PlannedExpectation};

use super::tables::{self, span};
use super::{print, print_json};

/// A look that is older is said to be.
const LATE: f64 = 5.0;

/// What must stay true of the network, and whether it is. True where all of it is.
pub(super) async fn show(client: &Client, json: bool) -> Result<bool> {
    let view: Expectations = client.get("/v1/expectations").await?;
    let good = |state| state != ExpectationState::Broken;
    let all = view.expectations.iter().all(|one| good(one.state));
    if json {
        print_json(&view)?;
        return Ok(all);
    }
    if view.expectations.is_empty() {
        print("nothing is expected: the configuration has no [[expect]]")?;
        return Ok(all);
    }
    let mut table = tables::table(&["expectation", "state", "since", "why"]);
    for one in &view.expectations {
        table.add_row([
            one.name.clone(),
            one.state.as_str().to_owned(),
            span(one.since_seconds as u64),
            one.detail.clone(),
        ]);
    }
    let mut text = tables::trim(&table);
    if let Some(seconds) = view.looked_seconds.filter(|seconds| *seconds > LATE) {
        text += &format!(
            "\nlooked at {} ago: there is much to count",
            span(seconds as u64)
        );
    }
    print(&text)?;
    Ok(all)
}

/// Lines for those that a change breaks or mends, and a sum of the others.
pub(super) fn planned(all: &[PlannedExpectation]) -> Vec<String> {
    let line = |one: &PlannedExpectation| match (one.now, one.then) {
        _ if one.breaks => Some(format!("breaks: {}: {}", one.name, one.detail)),
        (_, ExpectationState::Broken) => {
            Some(format!("stays broken: {}: {}", one.name, one.detail))
        }
        (ExpectationState::Broken, _) => Some(format!("mends: {}", one.name)),
        _ => None,
    };
    let mut lines: Vec<String> = all.iter().filter_map(line).collect();
    match all.len() - lines.len() {
        0 => {}
        1 => lines.push("1 expectation stays as it is".to_owned()),
        many => lines.push(format!("{many} expectations stay as they are")),
    }
    lines
}
