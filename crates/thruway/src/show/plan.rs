//! `thruway plan [FILE]`: what a changed file would do, before it is in force.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use thruway_api::{
    AttributeChange, Client, LimitForecast, Move, Plan, PlannedKey, PlannedRoute, PlannedRoutes,
    Proposal, SessionChange,
};
use thruway_config::{Config, self_contained};

use super::exchange::{number, prefixes};
use super::instances::{InstancesArgs, instances};
use super::server::client_to;
use super::{ServerArgs, print, print_json, runtime, tables};
use crate::check::{self, CheckArgs};

/// Something would change.
const CHANGES: u8 = 2;
/// Lines of one kind that are shown without `--all`.
const SHOWN: usize = 12;

/// `thruway plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// The changed configuration; without it the file that the server runs from, as it is now
    file: Option<PathBuf>,
    /// List the routes of this peer that change, by its name or address; `hosts` for the network's
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// Show every line, however many there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// `thruway check`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CheckCommand {
    #[command(flatten)]
    file: Option<CheckArgs>,
    /// Say also what the file would do to a running server, as `thruway plan` does: ADDRESS:PORT of its
    /// `api`, or the path of its Unix socket
    #[arg(long, value_name = "API", requires = "file")]
    against: Option<String>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Compare what two running instances learned and advertise, peer by peer.
    Instances(InstancesArgs),
}

/// Runs `thruway plan`: status 0 where nothing would change, 2 where something would.
///
/// # Errors
/// What is wrong with the file, or that no server answers.
pub fn plan(args: &PlanArgs) -> Result<ExitCode> {
    let client = args.server.client()?;
    if let Some(file) = &args.file {
        // Faults are named by the file's own name and lines.
        Config::load(file).map_err(|errors| anyhow!("{errors}"))?;
    }
    let proposal = Proposal {
        text: args
            .file
            .as_deref()
            .map(|file| text_of(file, &client))
            .transpose()?,
        peer: args.peer.clone(),
    };
    let plan = ask(&client, &proposal)?;
    if args.server.json {
        print_json(&plan)?;
    } else {
        print(&text(&plan, args.all))?;
    }
    Ok(match (&plan.refused, plan.changes) {
        (Some(_), _) => ExitCode::FAILURE,
        (None, true) => ExitCode::from(CHANGES),
        (None, false) => ExitCode::SUCCESS,
    })
}

fn ask(client: &Client, proposal: &Proposal) -> Result<Plan> {
    let body = serde_json::to_vec(proposal)?;
    runtime()?.block_on(client.post_body("/v1/plan", body))
}

/// Runs `thruway check`.
///
/// # Errors
/// What the server says, or that there is none.
pub fn check(args: &CheckCommand) -> Result<ExitCode> {
    if let Some(What::Instances(args)) = &args.what {
        return instances(args);
    }
    let Some(file) = &args.file else {
        bail!("which file?");
    };
    let Some(against) = &args.against else {
        return Ok(check::check(file, &mut std::io::stdout().lock())?);
    };
    // With --json there is one object: the plan, or what is wrong with the file.
    let good = Config::load(&file.file).is_ok();
    if !file.json || !good {
        let code = check::check(file, &mut std::io::stdout().lock())?;
        if !good {
            return Ok(code);
        }
    }
    let client = client_to(against)?;
    let proposal = Proposal {
        text: Some(text_of(&file.file, &client)?),
        peer: None,
    };
    let plan = ask(&client, &proposal)?;
    if file.json {
        print_json(&plan)?;
    } else {
        print(&text(&plan, true))?;
    }
    Ok(if plan.restart.is_empty() && plan.refused.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The file's text, with what it names in other files: the server reads no file for somebody else.
fn text_of(path: &Path, client: &Client) -> Result<String> {
    let whole = self_contained(path)?;
    if whole.has_keys && !client.is_local() {
        bail!(
            "{} has MD5 keys, which must not go over HTTP: ask on the server itself, over its Unix \
             socket",
            path.display()
        );
    }
    Ok(whole.text)
}

/// A plan for people.
pub(super) fn text(plan: &Plan, all: bool) -> String {
    let mut lines = Vec::new();
    if !plan.restart.is_empty() {
        lines.push(format!(
            "takes a restart: [server] {}",
            plan.restart.join(", ")
        ));
    }
    if let Some(why) = &plan.refused {
        lines.push(format!("the running server refuses this: {why}"));
    }
    let keys = plan.keys.iter().map(key_line);
    lines.extend(bounded(keys.collect(), all, "keys"));
    let added = plan.added.iter().map(|name| format!("added: {name}"));
    lines.extend(bounded(added.collect(), all, "peers"));
    for (what, list) in [
        ("removed", &plan.removed),
        ("reset", &plan.reset),
        ("changed in place", &plan.in_place),
    ] {
        let list = list.iter().map(|change| line(change, what)).collect();
        lines.extend(bounded(list, all, "peers"));
    }
    let listed = |what: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("{what}: {}", short(names, all)))
    };
    // Tables have no short value to show.
    let told = |key: &&String| !plan.keys.iter().any(|known| known.key == **key);
    let tables: Vec<String> = plan.exchange.iter().filter(told).cloned().collect();
    lines.extend(listed("virtual network", &tables));
    lines.extend(listed("policies", &plan.policies));
    lines.extend(listed("expectations", &plan.expect));
    lines.extend(listed("VNet prefixes added", &plan.vnet_added));
    lines.extend(listed("VNet prefixes removed", &plan.vnet_removed));
    if let Some(Move { from, to }) = &plan.switch {
        lines.push(format!("route exchange: {from} to {to}, no session resets"));
    }
    for effect in &plan.effects {
        lines.push(format!(
            "  {} to {}: {}, now {}",
            effect.from.source(),
            effect.to.receiver(),
            prefixes(effect.then),
            number(effect.now)
        ));
    }
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    if lines.is_empty() && !plan.changes {
        lines.push("nothing changes".to_owned());
    } else if plan.restart.is_empty() {
        lines.push(String::new());
        lines.push(routes(&plan.routes, all));
    }
    lines.extend(listed_and_expected(plan));
    let shown: Vec<&LimitForecast> = plan
        .limits
        .iter()
        .filter(|limit| all || !limit.fits)
        .collect();
    if !shown.is_empty() {
        lines.push(String::new());
        lines.push(limits(&shown));
    }
    lines.join("\n")
}

/// The routes of the peer that was asked about, and what becomes of what is expected.
fn listed_and_expected(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if !plan.listed.is_empty() {
        lines.push(String::new());
        lines.extend(plan.listed.iter().map(route_line));
        if plan.not_listed > 0 {
            lines.push(format!("and {} more", number(plan.not_listed)));
        }
    }
    if !plan.expectations.is_empty() {
        lines.push(String::new());
        lines.extend(super::expect::planned(&plan.expectations));
    }
    lines
}

/// The first lines, and how many more there are.
fn bounded(mut lines: Vec<String>, all: bool, what: &str) -> Vec<String> {
    if !all && lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("  and {more} more {what} (--all)"));
    }
    lines
}

/// The first names, and how many more there are.
pub(super) fn short(names: &[String], all: bool) -> String {
    if all || names.len() <= SHOWN {
        return names.join(", ");
    }
    let first = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    format!("{} and {} more", first.join(", "), names.len() - SHOWN)
}

fn key_line(key: &PlannedKey) -> String {
    let PlannedKey {
        place,
        key,
        effect,
        from,
        to,
    } = key;
    format!("{place} {key}: {from} -> {to} ({effect})")
}

/// What becomes of routes, a line for each session and family.
fn routes(routes: &[PlannedRoutes], all: bool) -> String {
    if routes.is_empty() {
        return "no route changes".to_owned();
    }
    let mut table = tables::table(&[
        "peer",
        "family",
        "advertised now",
        "then",
        "+",
        "~",
        "-",
        "learned now",
        "then",
        "+",
        "~",
        "-",
        "gone",
        "session",
    ]);
    tables::align_right(&mut table, 2..13);
    let shown = if all { routes.len() } else { SHOWN * 4 };
    for row in routes.iter().take(shown) {
        let session = row.session.as_deref().unwrap_or("goes on");
        let mut cells = vec![row.peer.clone(), row.family.clone()];
        cells.extend(
            [
                row.advertised_now,
                row.advertised_then,
                row.announced,
                row.changed,
                row.withdrawn,
                row.accepted_now,
                row.accepted_then,
                row.newly_accepted,
                row.accepted_changed,
                row.newly_rejected,
                row.gone,
            ]
            .map(number),
        );
        cells.push(session.to_owned());
        table.add_row(cells);
    }
    let mut text = tables::trim(&table);
    if routes.len() > shown {
        text += &format!("\nand {} more sessions (--all)", routes.len() - shown);
    }
    text
}

fn route_line(route: &PlannedRoute) -> String {
    let mut text = format!("{} {} {}", route.mark, route.direction, route.network);
    if route.path_id != 0 {
        text += &format!(" (path {})", route.path_id);
    }
    if let Some(from) = &route.from {
        text += &format!(" from {from}");
    }
    if let Some(why) = &route.why {
        text += &format!(", {why}");
    }
    let value = |value: &Option<String>| match value.as_deref() {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => text.to_owned(),
    };
    let attribute = |change: &AttributeChange| match route.mark {
        '+' => format!("{} {}", change.name, value(&change.then)),
        '-' => format!("{} {}", change.name, value(&change.now)),
        _ => {
            let (now, then) = (value(&change.now), value(&change.then));
            format!("{} {now} -> {then}", change.name)
        }
    };
    let attributes: Vec<String> = route.attributes.iter().map(attribute).collect();
    if !attributes.is_empty() {
        text += &format!(": {}", attributes.join(", "));
    }
    text
}

fn line(change: &SessionChange, what: &str) -> String {
    let mut text = format!("{what}: {}", change.name);
    if !change.keys.is_empty() {
        text += &format!(" ({})", change.keys.join(", "));
    }
    match (what, change.sessions.as_slice()) {
        ("changed in place", _) => {}
        (_, []) => text += ", no session is up",
        (_, [one]) if *one == change.name => text += ", its session ends",
        (_, all) => text += &format!(", these sessions end: {}", all.join(", ")),
    }
    text
}

fn limits(limits: &[&LimitForecast]) -> String {
    let mut table = tables::table(&["session", "limit", "family", "count", "of", ""]);
    tables::align_right(&mut table, 3..5);
    for limit in limits {
        table.add_row([
            limit.peer.clone(),
            limit.key.clone(),
            limit.family.clone(),
            number(limit.count),
            number(limit.limit.into()),
            limit.effect.clone(),
        ]);
    }
    tables::trim(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_go_over_the_network() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("thruway.toml");
        std::fs::write(&file, "[[nva]]\nname = \"a\"\nmd5 = \"secret\"\n").expect("it is written");
        assert!(text_of(&file, &Client::to("192.0.2.1:8080")).is_err());
        assert!(text_of(&file, &Client::to("/a/socket")).is_ok());
    }

    #[test]
    fn long_lists_are_summed_up() {
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        assert!(short(&names, false).ends_with("c11 and 8 more"));
        assert!(short(&names, true).ends_with("c19"));
        assert_eq!(
            bounded(names, false, "peers").last().map(String::as_str),
            Some("  and 8 more peers (--all)")
        );
    }
}
