//! `cargo xtask count`: instructions of fixed workloads under callgrind, against recorded counts.
//!
//! Time on a shared machine wobbles by a fifth; the count of instructions of one build does not. So
//! this is what can fail in CI when a hot path gets worse, and the benches say what it means in time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{packages, shell};

/// Above this many percent more than recorded the run fails.
const WORSE_PERCENT: f64 = 5.0;
/// From this many percent less on it is time to record the better count.
const BETTER_PERCENT: f64 = -5.0;
/// The function of `benches/src/bin/count` in which counting is on.
const COUNTED: &str = "--toggle-collect=*counted_section*";
const RECORDED: &str = "benches/counts.toml";
const HEAD: &str = "# Instructions a unit, counted under callgrind. `cargo xtask count --record` \
                    writes this file.\n\n";

#[derive(Args, Default)]
pub(crate) struct CountArgs {
    /// Write the counts to benches/counts.toml instead of comparing with it.
    #[arg(long)]
    record: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "record")]
    json: bool,
    /// Only workloads whose name has this in it.
    #[arg(conflicts_with = "record")]
    name: Option<String>,
}

/// What the committed file holds.
#[derive(Serialize, Deserialize)]
struct Recorded {
    toolchain: String,
    counts: BTreeMap<String, Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    /// Instructions a unit.
    instructions: f64,
    unit: String,
    /// When it was counted.
    date: String,
}

/// One workload, counted now.
#[derive(Serialize)]
struct Row {
    name: String,
    unit: String,
    instructions: f64,
    recorded: Option<f64>,
    /// More than recorded, in percent.
    change: Option<f64>,
}

pub(crate) fn run(args: &CountArgs) -> Result<()> {
    packages::ensure_one("valgrind")?;
    let program = build()?;
    let recorded = read()?;
    let wanted = args.name.as_deref().unwrap_or_default();
    let mut rows = Vec::new();
    for (name, unit) in workloads(&program)? {
        if name.contains(wanted) {
            let instructions = count(&program, &name)?;
            let before = recorded.as_ref().and_then(|all| all.counts.get(&name));
            let before = before.map(|entry| entry.instructions);
            rows.push(Row {
                change: before.map(|before| (instructions / before - 1.0) * 100.0),
                recorded: before,
                name,
                unit,
                instructions,
            });
        }
    }
    ensure!(!rows.is_empty(), "no workload's name has `{wanted}` in it");
    if args.record {
        return record(&rows, recorded);
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&rows)?),
        false => print!("{}", table(&rows)),
    }
    judge(&rows, recorded.as_ref())
}

/// As a step of `cargo xtask test`. A count that is not of this machine's kind says nothing.
pub(crate) fn step() -> Result<()> {
    println!("==> instruction counts");
    if cfg!(not(target_arch = "x86_64")) {
        println!("    passed over: the recorded counts are of x86-64");
        return Ok(());
    }
    run(&CountArgs::default())
}

/// What builds the workloads.
pub(crate) const BUILD: [&str; 8] = [
    "build",
    "--release",
    "--locked",
    "--quiet",
    "--package",
    "thruway-benches",
    "--bin",
    "count",
];

fn build() -> Result<PathBuf> {
    let mut command = shell::cargo(&BUILD);
    let status = command.current_dir(shell::root()).status();
    let status = status.context("cannot start cargo")?;
    ensure!(status.success(), "cannot build the workloads: {status}");
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(shell::root())
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    let program = metadata.target_directory.join("release").join("count");
    Ok(program.into())
}

/// Names and units.
fn workloads(program: &Path) -> Result<Vec<(String, String)>> {
    let text = output(&mut Command::new(program))?;
    let line = |line: &str| {
        let (name, unit) = line.split_once('\t')?;
        Some((name.to_owned(), unit.to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Instructions a unit of one workload.
fn count(program: &Path, name: &str) -> Result<f64> {
    let file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--collect-atstart=no", COUNTED])
        .arg(format!("--callgrind-out-file={}", file.path().display()))
        .arg(program)
        .arg(name);
    let units = output(&mut command)?;
    let units: f64 = units
        .trim()
        .parse()
        .with_context(|| format!("{name} tells no units: `{units}`"))?;
    let counted = fs::read_to_string(file.path())
        .with_context(|| format!("cannot read {}", file.path().display()))?;
    let total = counted
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total
        .and_then(|total| total.trim().parse().ok())
        .with_context(|| format!("callgrind counted nothing in {name}"))?;
    ensure!(total > 0.0 && units > 0.0, "{name}: nothing was counted");
    // A tenth of an instruction is as fine as it gets.
    Ok((total / units * 10.0).round() / 10.0)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{errors}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read() -> Result<Option<Recorded>> {
    let path = shell::root().join(RECORDED);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {RECORDED}"))?;
    let recorded = toml::from_str(&text).with_context(|| format!("{RECORDED} is not valid"))?;
    Ok(Some(recorded))
}

/// Counts that did not change keep their date.
fn record(rows: &[Row], before: Option<Recorded>) -> Result<()> {
    let date = today()?;
    let before = before.map(|recorded| recorded.counts).unwrap_or_default();
    let entry = |row: &Row| {
        let same = before
            .get(&row.name)
            .filter(|entry| entry.instructions == row.instructions);
        let entry = same.cloned().unwrap_or_else(|| Entry {
            instructions: row.instructions,
            unit: row.unit.clone(),
            date: date.clone(),
        });
        (row.name.clone(), entry)
    };
    let recorded = Recorded {
        toolchain: toolchain()?,
        counts: rows.iter().map(entry).collect(),
    };
    let text = format!("{HEAD}{}", toml::to_string(&recorded)?);
    fs::write(shell::root().join(RECORDED), text)
        .with_context(|| format!("cannot write {RECORDED}"))?;
    println!("{}{RECORDED} is written", table(rows));
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "    {:<16} {:>12} {:>10} {:>8}  a\n",
        "workload", "instructions", "recorded", "change"
    );
    for row in rows {
        let recorded = row.recorded.map_or("-".to_owned(), |n| format!("{n:.1}"));
        let change = row.change.map_or("-".to_owned(), |n| format!("{n:+.1} %"));
        let Row {
            name,
            unit,
            instructions,
            ..
        } = row;
        let _ = writeln!(
            text,
            "    {name:<16} {instructions:>12.1} {recorded:>10} {change:>8}  {unit}"
        );
    }
    text
}

fn judge(rows: &[Row], recorded: Option<&Recorded>) -> Result<()> {
    let Some(recorded) = recorded else {
        bail!("there is no {RECORDED}: `cargo xtask count --record` writes it");
    };
    let name_of = |rows: Vec<&Row>| {
        let names = rows.iter().map(|row| row.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let new = rows.iter().filter(|row| row.change.is_none()).collect();
    let new = name_of(new);
    ensure!(
        new.is_empty(),
        "not in {RECORDED}: {new}; `cargo xtask count --record` adds them"
    );
    let change = |row: &Row| row.change.unwrap_or_default();
    let better = rows.iter().filter(|row| change(row) <= BETTER_PERCENT);
    let better = name_of(better.collect());
    if !better.is_empty() {
        eprintln!("    better than recorded: {better}; `cargo xtask count --record` keeps it");
    }
    let worse = rows.iter().filter(|row| change(row) > WORSE_PERCENT);
    let worse = name_of(worse.collect());
    if worse.is_empty() {
        return Ok(());
    }
    let now = toolchain()?;
    if now != recorded.toolchain {
        // Another compiler makes other code: that is no change of ours, and must be recorded.
        eprintln!(
            "    over {WORSE_PERCENT} % more, but by {now}, and recorded by {}: {worse}",
            recorded.toolchain
        );
        return Ok(());
    }
    bail!("over {WORSE_PERCENT} % more instructions than recorded: {worse}")
}

fn toolchain() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = output(
        Command::new(rustc)
            .arg("--version")
            .current_dir(shell::root()),
    )?;
    Ok(text.trim().to_owned())
}

fn today() -> Result<String> {
    let text = output(Command::new("date").arg("+%Y-%m-%d"))?;
    Ok(text.trim().to_owned())
}
