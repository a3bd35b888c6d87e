//! Running other programs and saying so.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Runs `command` in the root, its output shown; fails where it does.
pub(crate) fn step(title: &str, command: &mut Command) -> Result<()> {
    println!("==> {title}");
    let started = Instant::now();
    let status = command
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{title}: {status} after {:.0?}", started.elapsed());
    }
    println!("    {title}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A cargo command that leaves the machine to others, and says nothing.
pub(crate) fn cargo_aside(args: &[&str]) -> Command {
    let mut command = Command::new("nice");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    command.args(["-n", "19"]).arg(cargo).args(args);
    command
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A cargo command.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}
