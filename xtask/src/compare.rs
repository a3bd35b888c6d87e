//! `cargo xtask compare`: Thruway beside other BGP daemons.
//!
//! Each run starts one daemon afresh in a network namespace of its own and plays a load from
//! another, over a virtual link. What every receiver holds in the end is compared with what it
//! should hold; a wrong table voids the run. Daemons take turns, so that a change of the machine's
//! mood meets all of them.

mod cases;
mod config;
mod curve;
mod daemon;
mod document;
mod lab;
mod measure;
mod plot;
mod policy;
mod process;
mod recorded;
mod results;
mod table;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::packages;
use crate::shell::{self, cargo, step};
use cases::Case;
use daemon::Kind;
use lab::Lab;
use measure::Run;
use results::{CaseResult, Results, Row};

#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArgs {
    /// Cases, in one list with commas; also curves, which are prefixes, receivers and peers
    /// [default: A,B,C,D,E,F,G,G5k,clients,table]
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    case: Vec<String>,

    /// Daemons: thruway, thruway-epoll, thruway-wide, bird, bird3, frr, openbgpd, rustybgp, rustbgpd,
    /// gobgp, ceiling [default: all that are installed, but thruway-wide]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    daemon: Vec<String>,

    /// Runs of each daemon in each case; the medians count
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: usize,

    /// Size of the tables; figures are published at 1 only
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    scale: f64,

    /// Seconds of updates in the churn cases
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    churn_seconds: u64,

    /// A daemon that takes longer for a table is noted as such
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    limit: u64,

    /// Also the cases that take much memory or time: feeds, curves
    #[arg(long)]
    large: bool,

    /// Write all results of this call to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Leave docs/performance.md and its plots as they are
    #[arg(long)]
    no_docs: bool,

    /// Write docs/performance.md and its plots again from the results that are there
    #[arg(long)]
    only_docs: bool,

    /// Measure the Thruway that is built, and build nothing
    #[arg(long)]
    no_build: bool,

    /// Compare with what is installed, and install nothing
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    if args.only_docs {
        return document::write(&document::published()?);
    }
    if !args.no_install {
        packages::ensure()?;
    }
    if cfg!(debug_assertions) {
        return run_optimised();
    }
    if !args.no_build {
        let build = ["build", "--release", "--locked", "--package", "thruway"];
        step("build Thruway", &mut cargo(&build))?;
    }
    let daemons = chosen_daemons(args)?;
    if args.case.iter().any(|name| name == "policy") {
        return policy::run(args, &daemons);
    }
    let cases = chosen_cases(args)?;
    let largest = cases.iter().map(Case::sessions).max().unwrap_or(0);
    let lab = Lab::new(largest)?;
    let mut results = Results::default();
    for case in &cases {
        let like = CaseResult::of(case);
        for row in play(args, case, &daemons, &lab)? {
            results.put(&like, row);
        }
        let result = results.cases.iter().find(|result| result.key == case.key);
        if let Some(result) = result.filter(|result| result.curve.is_none()) {
            println!("{}", table::of_case(result));
        }
        // After each case: a later one that fails, or is stopped, takes nothing away.
        if let Some(path) = &args.json {
            results.write(path)?;
        }
        if args.scale >= 1.0 && !args.no_docs {
            document::publish(&results)?;
        }
    }
    println!("{}{}", table::summary(&results), table::curves(&results));
    Ok(())
}

/// The load tool must not be what is measured: the same command again, optimised.
fn run_optimised() -> Result<()> {
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "xtask",
        "--",
    ]);
    command.args(std::env::args_os().skip(1));
    let status = command.current_dir(std::env::current_dir()?).status()?;
    if !status.success() {
        bail!("the comparison failed");
    }
    Ok(())
}

fn chosen_cases(args: &CompareArgs) -> Result<Vec<Case>> {
    let all = Case::all(args);
    for name in &args.case {
        if !all.iter().any(|case| is_named(case, name)) {
            let names = all.iter().filter(|case| case.curve.is_none());
            let names: Vec<_> = names.map(|case| case.key.as_str()).collect();
            bail!("no case `{name}`: there are {}, curves", names.join(", "));
        }
    }
    let is_chosen = |case: &Case| match args.case.is_empty() {
        true => args.large || !case.large,
        false => args.case.iter().any(|name| is_named(case, name)),
    };
    let chosen = all.into_iter().filter(is_chosen).filter(|case| {
        let is_there = case.key != "table" || case.file.is_some();
        if !is_there {
            println!("case table: left out, no recorded table here (see THRUWAY_DATA)");
        }
        is_there
    });
    Ok(chosen.collect())
}

fn is_named(case: &Case, name: &str) -> bool {
    let curve = case
        .curve
        .is_some_and(|(curve, _)| name == "curves" || name == curve);
    curve || case.key.eq_ignore_ascii_case(name)
}

fn chosen_daemons(args: &CompareArgs) -> Result<Vec<Kind>> {
    for name in &args.daemon {
        if !Kind::ALL.iter().any(|kind| kind.key() == name) {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.key()).collect();
            bail!("no daemon `{name}`: there are {}", names.join(", "));
        }
    }
    let is_chosen = |kind: &Kind| match args.daemon.is_empty() {
        true => *kind != Kind::ThruwayWide,
        false => args.daemon.iter().any(|name| kind.key() == name),
    };
    let chosen = Kind::ALL.into_iter().filter(is_chosen).filter(|kind| {
        let is_there = *kind == Kind::Ceiling || kind.program().is_some();
        if !is_there {
            println!("{}: left out, not installed", kind.key());
        }
        is_there
    });
    Ok(chosen.collect())
}

fn order(daemon: &str) -> usize {
    let place = Kind::ALL.iter().position(|kind| kind.key() == daemon);
    place.unwrap_or(Kind::ALL.len())
}

/// All runs of one case, the daemons in turn.
fn play(args: &CompareArgs, case: &Case, daemons: &[Kind], lab: &Lab) -> Result<Vec<Row>> {
    let bar = ProgressBar::new((args.runs * daemons.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(format!("{}: making its tables", case.key));
    bar.tick();
    let load = case.load(args)?;
    let mut rows: Vec<Row> = daemons.iter().map(|kind| new_row(args, *kind)).collect();
    for number in 0..args.runs {
        for (kind, row) in daemons.iter().zip(&mut rows) {
            bar.inc(1);
            if row.runs.iter().any(|run| run.too_slow) {
                continue;
            }
            let run = measure::run(*kind, case, &load, lab, &bar);
            let run = run.unwrap_or_else(|error| Run {
                trouble: Some(format!("{error:#}")),
                ..Run::default()
            });
            bar.suspend(|| println!("{}", table::line(case, *kind, number, &run)));
            row.runs.push(run);
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn new_row(args: &CompareArgs, kind: Kind) -> Row {
    Row {
        daemon: kind.key().to_owned(),
        title: kind.title(),
        date: results::today(),
        machine: results::machine(),
        revision: if kind.is_ours() {
            results::revision()
        } else {
            String::new()
        },
        scale: args.scale,
        limit: args.limit,
        runs: Vec::new(),
    }
}

/// The folder of plots and published results.
fn folder() -> PathBuf {
    shell::root().join("docs/performance")
}
