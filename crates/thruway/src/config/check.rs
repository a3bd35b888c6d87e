//! `thruway check FILE`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{Config, Problem};

/// Arguments of `thruway check`.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration file
    pub file: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Checks a file and says what is wrong with it. Success means that `serve` would take it.
///
/// # Errors
/// Those of writing to `out`.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
    let loaded = Config::load(&args.file);
    let none: &[Problem] = &[];
    let (errors, warnings) = match &loaded {
        Ok(config) => (none, config.warnings.as_slice()),
        Err(errors) => (errors.0.as_slice(), none),
    };
    if args.json {
        let count = |count: fn(&Config) -> usize| loaded.as_ref().ok().map(count);
        let report = json!({
            "file": args.file,
            "ok": loaded.is_ok(),
            "errors": errors,
            "warnings": warnings,
            "peers": count(|config| config.peers.len()),
            "policies": count(|config| config.policy_defs.len()),
        });
        writeln!(out, "{report:#}")?;
    } else {
        for problem in errors {
            writeln!(out, "error: {problem}")?;
        }
        for problem in warnings {
            writeln!(out, "warning: {problem}")?;
        }
        match &loaded {
            Ok(config) => {
                let peers = counted(config.peers.len(), "peer", "peers");
                let policies = counted(config.policy_defs.len(), "policy", "policies");
                let file = args.file.display();
                writeln!(out, "{file}: ok: {peers}, {policies}")?;
            }
            Err(errors) => writeln!(out, "{}", counted(errors.0.len(), "error", "errors"))?,
        }
    }
    Ok(if loaded.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
