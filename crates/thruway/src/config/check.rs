//! `thruway check FILE`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use thruway_exchange::HOST_POLICY;
use thruway_policy::PolicyDef;

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
            "policies": count(policies),
            "mode": loaded.as_ref().ok().map(|config| config.server.mode.as_str()),
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
                let (file, summary) = (args.file.display(), summary(config));
                writeln!(out, "{file}: ok: {summary}")?;
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

/// What the file holds, in a few words.
fn summary(config: &Config) -> String {
    let policies = counted(policies(config), "policy", "policies");
    let Some(exchange) = &config.exchange else {
        let peers = counted(config.peers.len(), "peer", "peers");
        return format!("{peers}, {policies}");
    };
    let prefixes = exchange.vnet.all_prefixes().count();
    let prefixes = counted(prefixes, "VNet prefix", "VNet prefixes");
    let nvas = counted(exchange.nvas.len(), "NVA", "NVAs");
    let gateways = counted(exchange.gateways.len(), "gateway", "gateways");
    let switch = if exchange.enabled { "on" } else { "off" };
    format!("{prefixes}, {nvas}, {gateways}, route exchange {switch}, {policies}")
}

/// Policies of the file: not those that the server makes.
fn policies(config: &Config) -> usize {
    let made = |def: &&PolicyDef| def.name == HOST_POLICY && config.exchange.is_some();
    let made = config.policy_defs.iter().filter(made).count();
    config.policy_defs.len() - made
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
