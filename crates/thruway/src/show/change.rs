//! `thruway reload`, `confirm`, `history`, `diff` and `rollback`: changes of the configuration, and the way back.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use similar::TextDiff;
use thruway_api::{
    Client, ConfigurationText, ConfirmReport, HistoryView, Plan, ReloadReport, encode,
};

use super::plan::{short, text as plan_text};
use super::{ServerArgs, exchange, print, print_json, runtime, tables};

/// Two configurations differ.
const DIFFERS: u8 = 2;

/// How a change is made.
#[derive(Args, Debug)]
struct ChangeArgs {
    /// Take it back after so long, unless `thruway confirm` keeps it: seconds, or `5m`, `1h`
    #[arg(long, value_name = "TIME", value_parser = time)]
    confirm: Option<Duration>,
    /// What to say of it in the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
    /// Make it although it breaks what is expected (`[[expect]]`); the history says so
    #[arg(long)]
    force: bool,
}

impl ChangeArgs {
    /// As parameters of a request that has `?` already.
    fn parameters(&self) -> String {
        let mut text = format!("comment={}", encode(&self.comment));
        if let Some(confirm) = self.confirm {
            text += &format!("&confirm={}", confirm.as_secs());
        }
        if self.force {
            text += "&force=true";
        }
        text
    }
}

/// Reads `90`, `90s`, `5m`, `1h`.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|it: char| !it.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => return Err(format!("`{other}` is no unit: s, m or h")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a number is needed: 300, 5m, 1h".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

/// `thruway reload`.
#[derive(Args, Debug)]
pub struct ReloadArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Name every peer, however many there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Has the server read its configuration again.
///
/// # Errors
/// What is wrong with the file: then nothing of it is in force.
pub fn reload(args: &ReloadArgs) -> Result<()> {
    let client = args.server.client()?;
    let path = format!("/v1/reload?{}", args.change.parameters());
    let report: ReloadReport = runtime()?.block_on(client.post(&path))?;
    if args.server.json {
        return print_json(&report);
    }
    let mut text = report_text(&report, args.all);
    if args.change.confirm.is_some() && report.confirm_seconds.is_none() {
        text += "\nnothing changes, so nothing waits for a confirmation";
    }
    print(&text)
}

fn report_text(report: &ReloadReport, all: bool) -> String {
    let names = |list: &[String]| match list {
        [] => "none".to_owned(),
        list if list.len() > 1 && !all => format!("{}: {}", list.len(), short(list, false)),
        list => short(list, all),
    };
    let mut text = format!(
        "added: {}\nremoved: {}\nchanged: {}\nunchanged: {}",
        names(&report.added),
        names(&report.removed),
        names(&report.changed),
        report.unchanged
    );
    if !report.ended.is_empty() {
        text += &format!("\nsessions ended: {}", short(&report.ended, all));
    }
    if !report.server.is_empty() {
        text += &format!("\nserver: {}", short(&report.server, all));
    }
    if !report.exchange.is_empty() {
        text += &format!("\nvirtual network: {}", short(&report.exchange, all));
    }
    if !report.expect.is_empty() {
        text += &format!("\nexpectations: {}", short(&report.expect, all));
    }
    if !report.broken.is_empty() {
        text += &format!("\nexpectations broken: {}", short(&report.broken, all));
    }
    if let Some(number) = report.number {
        text += &format!("\nconfiguration: {number}");
    }
    if let Some(seconds) = report.confirm_seconds {
        text += &format!("\ntaken back in {seconds} s, unless `thruway confirm` keeps it");
    }
    if let Some(switch) = &report.switch {
        text += &format!("\n\n{}", exchange::switch(switch));
    }
    text
}

/// `thruway confirm`.
#[derive(Args, Debug)]
pub struct ConfirmArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Keeps the change that waits for its confirmation.
///
/// # Errors
/// What the server says, or that there is none.
pub fn confirm(args: &ConfirmArgs) -> Result<()> {
    let client = args.server.client()?;
    let report: ConfirmReport = runtime()?.block_on(client.post("/v1/confirm"))?;
    if args.server.json {
        return print_json(&report);
    }
    print(&format!("configuration {} stays", report.number))
}

/// `thruway history`.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Lists the configurations that were in force, the newest first.
///
/// # Errors
/// What the server says, or that there is none.
pub fn history(args: &HistoryArgs) -> Result<()> {
    let client = args.server.client()?;
    let view: HistoryView = runtime()?.block_on(client.get("/v1/history"))?;
    if args.server.json {
        return print_json(&view);
    }
    let mut table = tables::table(&["", "number", "when", "who", "how", "what", "comment"]);
    tables::align_right(&mut table, 1..2);
    for entry in view.entries.iter().rev() {
        table.add_row([
            if entry.running { "*" } else { "" }.to_owned(),
            entry.number.to_string(),
            entry.at.clone(),
            entry.author.clone(),
            entry.kind.clone(),
            entry.what.clone(),
            entry.comment.clone(),
        ]);
    }
    let mut text = tables::trim(&table);
    for damaged in &view.damaged {
        text += &format!("\nnot readable: {damaged}");
    }
    print(&text)
}

/// `thruway diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// A configuration of the history; without it: what runs against the file
    from: Option<u64>,
    /// Another one; without it: what runs
    to: Option<u64>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows how two configurations differ: status 2 where they do.
///
/// # Errors
/// What the server says, or that there is none.
pub fn diff(args: &DiffArgs) -> Result<ExitCode> {
    let client = args.server.client()?;
    let runs = Some(0);
    let (from, to) = match (args.from, args.to) {
        (None, _) => (runs, None),
        (Some(from), None) => (Some(from), runs),
        (Some(from), Some(to)) => (Some(from), Some(to)),
    };
    let name = |number: Option<u64>| match number {
        None => "the file".to_owned(),
        Some(0) => "what runs".to_owned(),
        Some(number) => format!("configuration {number}"),
    };
    let (old, new) = runtime()?.block_on(async {
        let old = configuration(&client, from).await?;
        let new = configuration(&client, to).await?;
        anyhow::Ok((old, new))
    })?;
    let differ = TextDiff::from_lines(&old, &new);
    let text = differ
        .unified_diff()
        .context_radius(3)
        .header(&name(from), &name(to))
        .to_string();
    if args.server.json {
        print_json(&serde_json::json!({
            "from": name(from),
            "to": name(to),
            "same": old == new,
            "diff": text,
        }))?;
    } else if !text.is_empty() {
        print(&text)?;
    }
    Ok(if old == new {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DIFFERS)
    })
}

async fn configuration(client: &Client, number: Option<u64>) -> Result<String> {
    let path = match number {
        None => "/v1/configuration".to_owned(),
        Some(number) => format!("/v1/configuration?number={number}"),
    };
    let found: ConfigurationText = client.get(&path).await?;
    Ok(found.text)
}

/// `thruway rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The configuration of the history to go back to; without it: the one before, or what a change that
    /// waits for its confirmation took the place of
    number: Option<u64>,
    /// Only say what it would do
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    change: ChangeArgs,
    /// Show every line, however many there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Says what going back would do, and goes back.
///
/// # Errors
/// What the server says, or that there is none.
pub fn rollback(args: &RollbackArgs) -> Result<ExitCode> {
    let client = args.server.client()?;
    let runtime = runtime()?;
    let number = args
        .number
        .map_or_else(String::new, |number| format!("number={number}"));
    let plan: Plan = runtime.block_on(client.get(&format!("/v1/rollback?{number}")))?;
    if args.plan {
        match args.server.json {
            true => print_json(&plan)?,
            false => print(&plan_text(&plan, args.all))?,
        }
        let differs = if plan.changes { DIFFERS } else { 0 };
        return Ok(ExitCode::from(differs));
    }
    if !args.server.json {
        print(&plan_text(&plan, args.all))?;
        print("")?;
    }
    // What was shown is what is done, or nothing: a change that waits may have been taken back meanwhile.
    let shown = plan
        .back_to
        .map_or(number, |number| format!("number={number}"));
    let (how, running) = (args.change.parameters(), plan.running);
    let path = format!("/v1/rollback?{how}&running={running}&{shown}");
    let report: ReloadReport = runtime.block_on(client.post(path.trim_end_matches('&')))?;
    if args.server.json {
        print_json(&serde_json::json!({ "plan": plan, "report": report }))?;
    } else {
        print(&report_text(&report, args.all))?;
        print(
            "the file stays as it is: `thruway diff` shows where it differs, `thruway reload` takes it again",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let read = |text| time(text).map(|time| time.as_secs());
        assert_eq!(read("90"), Ok(90));
        assert_eq!(read("90s"), Ok(90));
        assert_eq!(read("5m"), Ok(300));
        assert_eq!(read("1h"), Ok(3600));
        assert!(read("m").is_err() && read("5 m").is_err() && read("-5").is_err());
    }
}
