//! Edges between rooms, from `cargo metadata`.

use std::collections::BTreeSet;

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::shell;

/// (room, the rooms that it may use). Downward edges only, and only these.
const MAY_USE: [(&str, &[&str]); 18] = [
    ("wire", &[]),
    ("policy", &["wire"]),
    ("session", &["wire"]),
    ("exchange", &["wire", "policy"]),
    ("rib", &["wire", "policy"]),
    ("engine", &["wire", "policy", "exchange", "session", "rib"]),
    ("net", &["wire"]),
    ("replay", &["wire", "net"]),
    ("dump", &["wire", "replay"]),
    ("tls", &[]),
    ("api", &["wire", "exchange", "tls"]),
    ("tokens", &[]),
    ("history", &[]),
    ("control", &["wire", "api", "tls", "tokens"]),
    ("hosts", &["wire", "api"]),
    (
        "config",
        &["wire", "policy", "exchange", "session", "rib", "engine"],
    ),
    (
        "daemon",
        &[
            "wire", "policy", "exchange", "session", "rib", "engine", "net", "api", "config",
            "control", "hosts", "history", "tls", "tokens",
        ],
    ),
    (
        "thruway",
        &[
            "wire", "policy", "exchange", "api", "config", "daemon", "dump", "replay", "tls",
            "tokens",
        ],
    ),
];

/// What a room's manifest must not name, because the room knows nothing of it.
const NOT_THERE: [(&str, &[&str]); 5] = [
    ("api", &["axum", "clap", "tracing"]),
    (
        "config",
        &["axum", "clap", "hyper", "rustix", "tokio", "tracing"],
    ),
    ("control", &["clap", "crossbeam", "toml"]),
    ("daemon", &["axum", "clap"]),
    ("hosts", &["axum", "clap", "hyper", "toml"]),
];

/// Rooms without sockets, files, threads, clocks or global randomness.
pub(super) const CORE: [&str; 6] = ["wire", "policy", "exchange", "session", "rib", "engine"];

/// What the core's manifests must not name.
const NOT_IN_CORE: [&str; 11] = [
    "tokio", "io-uring", "libc", "rustix", "socket2", "nix", "mio", "rand", "chrono", "tracing",
    "anyhow",
];

pub(super) fn check() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .current_dir(shell::root())
        .no_deps()
        .exec()?;
    let mut findings = Vec::new();
    for (room, allowed) in MAY_USE {
        let name = match room {
            "thruway" => room.to_owned(),
            room => format!("thruway-{room}"),
        };
        let Some(package) = metadata
            .packages
            .iter()
            .find(|package| package.name == name)
        else {
            findings.push(format!("crates/{room}: no package {name}"));
            continue;
        };
        let product = package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal);
        let used: BTreeSet<&str> = product.map(|d| d.name.as_str()).collect();
        for used in &used {
            let Some(other) = used.strip_prefix("thruway-") else {
                continue;
            };
            if !allowed.contains(&other) {
                let allowed = allowed.join(", ");
                findings.push(format!("crates/{room} may use [{allowed}], not {other}"));
            }
        }
        let not_there = NOT_THERE.iter().filter(|(other, _)| *other == room);
        for banned in not_there.flat_map(|(_, banned)| *banned) {
            if used.contains(banned) {
                findings.push(format!("crates/{room} knows nothing of {banned}"));
            }
        }
        if CORE.contains(&room) {
            for banned in NOT_IN_CORE.iter().filter(|banned| used.contains(**banned)) {
                findings.push(format!("crates/{room} is core: no {banned} there"));
            }
        }
    }
    Ok(findings)
}
