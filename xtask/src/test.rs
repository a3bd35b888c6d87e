//! `cargo xtask test`: what CI runs, and a quick part of it for the hand.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use clap::Args;

use crate::shell::{cargo, cargo_aside, root, step};
use crate::{count, fuzz, packages, tidy};

/// The package of the black-box tests.
const BLACK_BOX: &str = "thruway-tests";
/// Files of it that need no other daemon and take seconds.
const QUICK: [&str; 2] = ["sim", "behaviour"];

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Seconds for each fuzz target; 0 leaves them out.
    #[arg(long, default_value_t = 15)]
    fuzz_seconds: u32,
    /// Leaves out the tests against other daemons and the instruction counts, and so the packages
    /// they need.
    #[arg(long)]
    no_daemons: bool,
    /// The loop for the hand, under a minute once all is built: format, house rules, unit tests, and
    /// the black-box files that take seconds.
    #[arg(long, conflicts_with_all = ["no_daemons", "fuzz_seconds"])]
    quick: bool,
}

/// What failed, and how to run it again.
#[derive(Default)]
struct Summary {
    failed: Vec<String>,
}

impl Summary {
    /// Runs a step, and goes on where it fails.
    fn step(&mut self, again: &str, step: impl FnOnce() -> Result<()>) {
        if let Err(error) = step() {
            println!("    FAILED: {error:#}");
            self.failed.push(again.to_owned());
        }
    }

    fn end(self) -> Result<()> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let list = self.failed.join("\n  ");
        bail!("{} failed; to run again:\n  {list}", self.failed.len())
    }
}

pub(crate) fn run(args: &TestArgs) -> Result<()> {
    if args.quick {
        return quick();
    }
    let mut summary = Summary::default();
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    step("clippy", &mut cargo(&clippy))?;
    println!("==> tidy");
    tidy::run()?;
    if !args.no_daemons {
        packages::ensure()?;
    }
    unit_tests(&mut summary);
    build_black_box()?;
    let (counts, fuzzing) = (!args.no_daemons, args.fuzz_seconds > 0);
    let builds = std::thread::spawn(move || build_aside(counts, fuzzing));
    black_box(&mut summary, args.no_daemons, |_| true)?;
    // What it could not build, the steps below try again, and say so.
    let _ = builds.join();
    if !args.no_daemons {
        summary.step("cargo xtask count", count::step);
    }
    if args.fuzz_seconds > 0 {
        let again = format!("cargo xtask fuzz --seconds {}", args.fuzz_seconds);
        summary.step(&again, || {
            fuzz::run(&fuzz::FuzzArgs::all(args.fuzz_seconds))
        });
    }
    summary.end()
}

fn quick() -> Result<()> {
    let mut summary = Summary::default();
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    println!("==> tidy");
    tidy::run()?;
    unit_tests(&mut summary);
    build_black_box()?;
    black_box(&mut summary, true, |file| QUICK.contains(&file))?;
    summary.end()
}

fn unit_tests(summary: &mut Summary) {
    let tests = [
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--exclude",
        BLACK_BOX,
    ];
    let again = format!("cargo {}", tests.join(" "));
    summary.step(&again, || step("unit tests", &mut cargo(&tests)));
}

/// Builds what later steps need while the black-box tests wait for timers and other daemons.
fn build_aside(counts: bool, fuzzing: bool) {
    if fuzzing && let Ok(build) = fuzz::build(&mut cargo_aside(&[])) {
        let _ = build.status();
    }
    if counts {
        let _ = cargo_aside(&count::BUILD).status();
    }
}

/// The tests run the binary as a user does; it belongs to another package.
fn build_black_box() -> Result<()> {
    let binary = ["build", "--locked", "--package", "thruway"];
    step("the binary", &mut cargo(&binary))?;
    let build = ["test", "--locked", "--package", BLACK_BOX, "--no-run"];
    step("the black-box tests", &mut cargo(&build))
}

/// Real sockets, namespaces and daemons: one test at a time in each file, two cores do not give more,
/// and a daemon's own timers would be what is tested. Every file is run, whatever the others did.
fn black_box(summary: &mut Summary, no_daemons: bool, wanted: impl Fn(&str) -> bool) -> Result<()> {
    for file in files()?.iter().filter(|file| wanted(file)) {
        println!("==> black-box tests: {file}");
        let started = Instant::now();
        let failed = run_file(file, no_daemons)?;
        for test in &failed {
            let again =
                format!("cargo test -p {BLACK_BOX} --test {file} -- --test-threads=1 {test}");
            summary.failed.push(again.trim_end().to_owned());
        }
        println!("    {file}: {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The files of black-box tests, in order.
fn files() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| *package.name == BLACK_BOX);
    let package = package.context("the package of the black-box tests is gone")?;
    let tests = package.targets.iter().filter(|target| target.is_test());
    let mut files: Vec<String> = tests.map(|target| target.name.clone()).collect();
    files.sort();
    Ok(files)
}

/// Runs one file; the names of the tests that failed. An empty name stands for the file itself.
fn run_file(file: &str, no_daemons: bool) -> Result<Vec<String>> {
    let mut command: Command = cargo(&["test", "--locked", "--package", BLACK_BOX, "--test", file]);
    command.args(["--", "--test-threads=1"]);
    if no_daemons {
        command.env("THRUWAY_NO_DAEMONS", "1");
    }
    let mut child = command
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let mut failed = Vec::new();
    let output = child.stdout.take().context("the output is piped")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("reading the tests' output")?;
        println!("{line}");
        let name = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "));
        if let Some((name, result)) = name
            && result.ends_with("FAILED")
        {
            failed.push(name.to_owned());
        }
    }
    if !child.wait()?.success() && failed.is_empty() {
        failed.push(String::new());
    }
    Ok(failed)
}
