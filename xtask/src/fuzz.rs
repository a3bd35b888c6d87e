//! Runs each fuzz target of `fuzz/` for a while, on the toolchain at hand.
//!
//! The targets are ordinary cargo-fuzz ones. Here they are built with coverage instrumentation and
//! without a sanitizer, which stable Rust can do: the code under test has no `unsafe`, so panics and
//! broken properties are what there is to find.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::shell::{self, cargo};

/// Lines of a failed target's log that are printed.
const LINES_TOLD: usize = 60;

const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// Seconds for each target.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Only the targets whose names contain this.
    #[arg(default_value = "")]
    filter: String,
}

impl FuzzArgs {
    /// Every target, for `seconds` each.
    pub(crate) fn all(seconds: u32) -> Self {
        FuzzArgs {
            seconds,
            filter: String::new(),
        }
    }
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    let targets: Vec<String> = targets()?
        .into_iter()
        .filter(|name| name.contains(&args.filter))
        .collect();
    if targets.is_empty() {
        bail!("no fuzz target's name contains `{}`", args.filter);
    }
    let folder = shell::root().join("fuzz");
    shell::step("fuzz: build", build(&mut cargo(&[]))?)?;
    let binaries = folder.join("target").join(host()?).join("release");
    for pair in targets.chunks(2) {
        let mut children = Vec::new();
        for name in pair {
            println!("==> fuzz: {name} for {} s", args.seconds);
            let child = target_command(&binaries, name, args.seconds)?
                .spawn()
                .with_context(|| format!("cannot start fuzz target {name}"))?;
            children.push((name, child));
        }
        let mut failed = Vec::new();
        for (name, mut child) in children {
            if !child.wait()?.success() {
                failed.push(name.as_str());
            }
        }
        if !failed.is_empty() {
            failed.iter().for_each(|name| tell(name));
            bail!(
                "{} failed; its input is in fuzz/artifacts",
                failed.join(" and ")
            );
        }
    }
    Ok(())
}

/// All targets, instrumented. `cargo` is the command to begin with.
pub(crate) fn build(cargo: &mut Command) -> Result<&mut Command> {
    // A target triple of its own keeps the flags away from build scripts and procedural macros.
    Ok(cargo
        .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"])
        .args(["--target", &host()?])
        // Where they are looked for, whatever the environment says.
        .args(["--target-dir", "fuzz/target"])
        .env("RUSTFLAGS", INSTRUMENT))
}

/// What a failed target said: where it panicked, and its input.
fn tell(name: &str) {
    let log = shell::root()
        .join("fuzz/target")
        .join(format!("{name}.log"));
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.iter().position(|line| line.contains("panicked at"));
    let from = from.unwrap_or(lines.len().saturating_sub(LINES_TOLD));
    for line in lines.iter().skip(from).take(LINES_TOLD) {
        println!("    {line}");
    }
}

fn target_command(binaries: &std::path::Path, name: &str, seconds: u32) -> Result<Command> {
    let folder = shell::root().join("fuzz");
    let found = folder.join("target").join("corpus").join(name);
    std::fs::create_dir_all(&found)?;
    let artifacts = folder.join("artifacts").join(name);
    std::fs::create_dir_all(&artifacts)?;
    let log = std::fs::File::create(folder.join("target").join(format!("{name}.log")))?;
    let mut command = Command::new(binaries.join(name));
    command.arg(&found);
    let seeds = folder.join("corpus").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([
            "-rss_limit_mb=2048",
            "-timeout=10",
            "-print_final_stats=1",
            "-max_len=8192",
        ])
        .stdout(log.try_clone()?)
        .stderr(log);
    let dictionary = folder.join("bgp.dict");
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    Ok(command)
}

fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz").join("fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .filter_map(|path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn host() -> Result<String> {
    let out = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&out.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}
