//! `cargo xtask mutants CRATE`: small mistakes put into a crate one by one (cargo-mutants), and which of them
//! no unit test of the crate notices.
//!
//! No part of CI: a crate takes from minutes to an hour, and not every survivor is a fault. One that changes
//! what a user gets is.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::shell::{self, step};

#[derive(Args)]
pub(crate) struct MutantsArgs {
    /// The crate: exchange, policy, session, rib, …
    room: String,
    /// Only mistakes in files that match this glob.
    #[arg(long)]
    file: Option<String>,
    /// List the mistakes, and try none.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &MutantsArgs) -> Result<()> {
    let room = args.room.trim_start_matches("crates/");
    let package = match room {
        "thruway" => room.to_owned(),
        room => format!("thruway-{room}"),
    };
    if !shell::root().join("crates").join(room).is_dir() {
        bail!("there is no crates/{room}");
    }
    let tool = tool()?;
    let output = shell::root().join("target/mutants");
    let mut command = Command::new(tool);
    command
        .args([
            "mutants",
            "--package",
            &package,
            "--exclude",
            "**/fuzzing*/**",
        ])
        .args([
            "--exclude",
            "**/fuzzing.rs",
            "--timeout",
            "60",
            "--in-place",
        ])
        .arg("--output")
        .arg(&output);
    if let Some(file) = &args.file {
        command.args(["--file", file]);
    }
    if args.list {
        command.arg("--list");
    } else if !is_clean()? {
        bail!("the mistakes are made in place: commit or stash first");
    }
    step("mutants", &mut command)
}

/// True where nothing in the work tree could be lost.
fn is_clean() -> Result<bool> {
    let mut git = Command::new("git");
    let out = git
        .args(["status", "--porcelain", "--untracked-files=no"])
        .current_dir(shell::root())
        .output()?;
    Ok(out.status.success() && out.stdout.is_empty())
}

/// cargo-mutants, built once below `target`.
fn tool() -> Result<PathBuf> {
    let folder = shell::root().join("target/tools");
    let tool = folder.join("bin/cargo-mutants");
    if !tool.exists() {
        let mut install = shell::cargo(&["install", "cargo-mutants", "--locked", "--root"]);
        step("mutants: the tool", install.arg(&folder))?;
    }
    Ok(tool)
}
