//! `thruway check FILE`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use thruway_config::{Config, Problem};
use thruway_exchange::HOST_POLICY;
use thruway_policy::PolicyDef;

/// Arguments of `thruway check`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The configuration file
    pub(crate) file: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks a file and says what is wrong with it. Success means that `serve` would take it.
///
/// # Errors
/// Those of writing to `out`.
pub(crate) fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_reports_as_text_and_as_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        let check = |text: &str, json: bool| {
            std::fs::write(&file, text).unwrap();
            let mut out = Vec::new();
            let code = check(
                &CheckArgs {
                    file: file.clone(),
                    json,
                },
                &mut out,
            )
            .unwrap();
            let code = format!("{code:?}").contains("(0)");
            (code, String::from_utf8(out).unwrap())
        };
        let path = file.display();
        let good = "[server]\nasn = 64500\nrouter-id = \"198.18.0.1\"\n\
                    listen = [\"198.18.0.1:179\", \"[2001:db8::1]:179\"]\n\
                    [[peer]]\naddress = \"198.18.1.1\"\nasn = 64601\nimport = 'accept'\n";
        let warning =
            "peer[1].export: no export policy: nothing is advertised to this peer (RFC 8212)";
        let text = format!("warning: {path}:5: {warning}\n{path}: ok: 1 peer, 0 policies\n");
        assert_eq!(check(good, false), (true, text));
        let (ok, bad) = check("[server]\nasn = 1", false);
        assert!(!ok);
        assert_eq!(
            bad,
            format!("error: {path}:1: server.router-id: the key is missing\n1 error\n")
        );
        let (ok, json) = check("[server]\nasn = 1", true);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(!ok);
        assert_eq!(json["ok"], false);
        assert_eq!(json["errors"][0]["line"], 1);
        assert_eq!(json["errors"][0]["key"], "server.router-id");
        let (ok, json) = check(good, true);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(ok);
        assert_eq!((&json["ok"], &json["peers"]), (&true.into(), &1.into()));
        assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
    }
}
