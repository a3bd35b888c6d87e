//! `thruway check FILE --against API`: what a changed file would do, before it is in force.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use thruway_api::{Client, Forecast, LimitForecast, Move, Proposal, SessionChange};
use thruway_config::Config;
use toml::{Table, Value};

use super::exchange::{number, prefixes};
use super::instances::{InstancesArgs, instances};
use super::{print, print_json, runtime, tables};
use crate::check::{self, CheckArgs};

/// `thruway check`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CheckCommand {
    #[command(flatten)]
    file: Option<CheckArgs>,
    /// Say also what the file would do to a running server: ADDRESS:PORT of its `api`, or the path of
    /// its Unix socket
    #[arg(long, value_name = "API", requires = "file")]
    against: Option<String>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Compare what two running instances learned and advertise, peer by peer.
    Instances(InstancesArgs),
}

/// Keys of sets and the one of their members, which a file may hold.
const SETS: [(&str, &str); 4] = [
    ("prefix-set", "prefixes"),
    ("community-set", "communities"),
    ("as-set", "asns"),
    ("as-path-set", "expressions"),
];

/// Runs `thruway check`.
///
/// # Errors
/// What the server says, or that there is none.
pub fn check(args: &CheckCommand) -> Result<ExitCode> {
    if let Some(What::Instances(args)) = &args.what {
        return instances(args);
    }
    let Some(file) = &args.file else {
        bail!("which file?");
    };
    let Some(against) = &args.against else {
        return Ok(check::check(file, &mut std::io::stdout().lock())?);
    };
    // With --json there is one object: the forecast, or what is wrong with the file.
    let good = Config::load(&file.file).is_ok();
    if !file.json || !good {
        let code = check::check(file, &mut std::io::stdout().lock())?;
        if !good {
            return Ok(code);
        }
    }
    let client = Client::to(against);
    let proposal = proposal(&file.file, &client)?;
    let body = serde_json::to_vec(&proposal)?;
    let forecast: Forecast = runtime()?.block_on(client.post_body("/v1/check", body))?;
    if file.json {
        print_json(&forecast)?;
    } else {
        print(&text(&forecast))?;
    }
    Ok(if forecast.restart.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The file's text, with what it names in other files.
fn proposal(path: &Path, client: &Client) -> Result<Proposal> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut table: Table = toml::from_str(&text)?;
    if !client.is_local() && has_key(&Value::Table(table.clone()), "md5") {
        bail!(
            "{} has MD5 keys, which must not go over HTTP: ask on the server itself, over its Unix \
             socket",
            path.display()
        );
    }
    let path = std::path::absolute(path)?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    inline_keys(&mut table, &folder)?;
    for (kind, members) in SETS {
        let Some(Value::Table(sets)) = table.get_mut(kind) else {
            continue;
        };
        for (_, set) in sets.iter_mut() {
            if let Value::Table(set) = set {
                inline(set, members, &folder)?;
            }
        }
    }
    Ok(Proposal {
        text: toml::to_string(&table)?,
    })
}

fn has_key(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Table(table) => table
            .iter()
            .any(|(key, value)| key == wanted || has_key(value, wanted)),
        Value::Array(list) => list.iter().any(|value| has_key(value, wanted)),
        _ => false,
    }
}

/// Puts what files of keys hold in their place: the server reads no file for somebody else.
fn inline_keys(table: &mut Table, folder: &Path) -> Result<()> {
    if let Some(Value::String(file)) = table.remove("password-file") {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let key = text.trim_end_matches(['\r', '\n']).to_owned();
        table.insert("password".to_owned(), Value::String(key));
    }
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(table) => inline_keys(table, folder)?,
            Value::Array(list) => {
                let mut tables = list.iter_mut().filter_map(Value::as_table_mut);
                tables.try_for_each(|table| inline_keys(table, folder))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts the lines of a set's file among its members.
fn inline(set: &mut Table, members: &str, folder: &Path) -> Result<()> {
    let Some(Value::String(file)) = set.remove("file") else {
        return Ok(());
    };
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut list = match set.remove(members) {
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for line in text.lines() {
        let member = line.split('#').next().unwrap_or_default().trim();
        if !member.is_empty() {
            list.push(Value::String(member.to_owned()));
        }
    }
    set.insert(members.to_owned(), Value::Array(list));
    Ok(())
}

fn text(forecast: &Forecast) -> String {
    let mut lines = Vec::new();
    if !forecast.restart.is_empty() {
        lines.push(format!(
            "takes a restart: [server] {}",
            forecast.restart.join(", ")
        ));
    }
    let listed = |what: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    lines.extend(listed("added", &forecast.added));
    for (what, list) in [
        ("removed", &forecast.removed),
        ("reset", &forecast.reset),
        ("changed in place", &forecast.in_place),
    ] {
        lines.extend(list.iter().map(|change| line(change, what)));
    }
    lines.extend(listed("policies", &forecast.policies));
    lines.extend(listed("server", &forecast.server));
    lines.extend(listed("VNet prefixes added", &forecast.vnet_added));
    lines.extend(listed("VNet prefixes removed", &forecast.vnet_removed));
    if let Some(Move { from, to }) = &forecast.switch {
        lines.push(format!("route exchange: {from} to {to}, no session resets"));
    }
    for effect in &forecast.effects {
        lines.push(format!(
            "  {} to {}: {}, now {}",
            effect.from.source(),
            effect.to.receiver(),
            prefixes(effect.then),
            number(effect.now)
        ));
    }
    if let Some(Move { from, to }) = &forecast.preference {
        lines.push(format!(
            "preference: {from} to {to}; for {} another kind of source wins",
            prefixes(forecast.contested)
        ));
    }
    lines.extend(forecast.notes.iter().map(|note| format!("note: {note}")));
    if lines.is_empty() {
        lines.push("nothing changes".to_owned());
    }
    if !forecast.limits.is_empty() {
        lines.push(String::new());
        lines.push(limits(&forecast.limits));
    }
    lines.join("\n")
}

fn line(change: &SessionChange, what: &str) -> String {
    let mut text = format!("{what}: {}", change.name);
    if !change.keys.is_empty() {
        text += &format!(" ({})", change.keys.join(", "));
    }
    match (what, change.sessions.as_slice()) {
        ("changed in place", _) => {}
        (_, []) => text += ", no session is up",
        (_, [one]) if *one == change.name => text += ", its session ends",
        (_, all) => text += &format!(", these sessions end: {}", all.join(", ")),
    }
    text
}

fn limits(limits: &[LimitForecast]) -> String {
    let mut table = tables::table(&["session", "limit", "family", "count", "of", ""]);
    tables::align_right(&mut table, 3..5);
    for limit in limits {
        table.add_row([
            limit.peer.clone(),
            limit.key.clone(),
            limit.family.clone(),
            number(limit.count),
            number(limit.limit.into()),
            limit.effect.clone(),
        ]);
    }
    tables::trim(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_bring_the_members_of_their_files_along() {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = "10.1.0.0/16 # one\n\n# none\n10.2.0.0/16 le 24\n";
        std::fs::write(folder.path().join("list.txt"), lines).expect("it is written");
        let file = folder.path().join("thruway.toml");
        let text = "[prefix-set.a]\nprefixes = \"10.0.0.0/16\"\nfile = \"list.txt\"\n\
                    [as-set.b]\nasns = [65001]\n";
        std::fs::write(&file, text).expect("it is written");
        let proposal = proposal(&file, &Client::to("/a/socket")).expect("a proposal");
        let table: Table = toml::from_str(&proposal.text).expect("TOML");
        let members = &table["prefix-set"]["a"]["prefixes"];
        let expected = ["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16 le 24"];
        assert_eq!(members.clone().try_into(), Ok(expected.map(str::to_owned)));
        assert!(table["prefix-set"]["a"].get("file").is_none());
        assert_eq!(table["as-set"]["b"]["asns"][0].as_integer(), Some(65001));
    }

    #[test]
    fn files_of_keys_are_read_by_who_asks() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "secret\n").expect("it is written");
        let file = folder.path().join("thruway.toml");
        let text = "[[nva]]\nname = \"a\"\nmd5 = { password-file = \"key\" }\n";
        std::fs::write(&file, text).expect("it is written");
        let proposal = proposal(&file, &Client::to("/a/socket")).expect("a proposal");
        let table: Table = toml::from_str(&proposal.text).expect("TOML");
        let md5 = table["nva"][0]["md5"].as_table().expect("a table");
        assert_eq!(md5.get("password").and_then(Value::as_str), Some("secret"));
        assert!(!md5.contains_key("password-file"));
    }

    #[test]
    fn keys_do_not_go_over_the_network() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("thruway.toml");
        std::fs::write(&file, "[[nva]]\nname = \"a\"\nmd5 = \"secret\"\n").expect("it is written");
        assert!(proposal(&file, &Client::to("192.0.2.1:8080")).is_err());
        assert!(proposal(&file, &Client::to("/a/socket")).is_ok());
    }
}
