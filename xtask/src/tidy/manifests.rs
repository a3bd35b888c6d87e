//! What the manifests bring in: dependencies that nothing uses, licences, and crates that are there twice.
//!
//! cargo-machete and cargo-deny ask the same, and take longer to compile than all of CI's other steps
//! leave; what they know beyond this are advisories, whose database no crate registry has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::shell;

/// Licences that a product under MIT or Apache-2.0 may take in. One of an `OR` is enough.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Crates that are in Cargo.lock twice, and why.
const TWICE: [(&str, &str); 8] = [
    (
        "hashbrown",
        "0.12: an optional part of a test tool's dependency, not built",
    ),
    ("getrandom", "0.2: ring, of TLS"),
    ("indexmap", "1: likewise"),
    ("itertools", "0.13: criterion, in the benches alone"),
    (
        "nom",
        "7: an optional part of what makes certificates for tests, not built",
    ),
    ("schemars", "0.9: an optional part, not built"),
    ("syn", "2: derive macros that have not moved to 3 yet"),
    ("windows-sys", "0.52: ring, not built here"),
];

/// Dependencies that no text names: they are there for what linking them does.
const BY_LINKING: [(&str, &str); 0] = [];

pub(super) fn check() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .current_dir(shell::root())
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .context("cannot read what the workspace depends on")?;
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        unused(package, &mut findings)?;
    }
    for package in &metadata.packages {
        licence(package, &mut findings);
    }
    twice(&metadata, &mut findings);
    Ok(findings)
}

/// A dependency whose name stands nowhere in the package's code.
fn unused(package: &Package, findings: &mut Vec<String>) -> Result<()> {
    let folder = package.manifest_path.parent();
    let folder = folder.context("a manifest has a folder")?;
    let mut text = String::new();
    read_all(folder.as_std_path(), &mut text)?;
    let words: BTreeSet<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    for dependency in &package.dependencies {
        let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
        let linked = BY_LINKING
            .iter()
            .any(|(known, _)| *known == dependency.name);
        if !linked && !words.contains(name.replace('-', "_").as_str()) {
            findings.push(format!("{}: nothing uses {name}", package.manifest_path));
        }
    }
    Ok(())
}

/// All Rust text below a folder; what is built there is no part of it.
fn read_all(folder: &Path, text: &mut String) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                read_all(&path, text)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let more = std::fs::read_to_string(&path);
            text.push_str(&more.with_context(|| path.display().to_string())?);
        }
    }
    Ok(())
}

fn licence(package: &Package, findings: &mut Vec<String>) {
    let text = package.license.as_deref().unwrap_or("none");
    if !allows(text) {
        findings.push(format!(
            "{} {}: the licence {text} is not among those that are allowed",
            package.name, package.version
        ));
    }
}

/// True where every part that must hold offers a licence that is allowed. Parentheses come in one form
/// only, `(A OR B) AND C`, and the older `/` means OR.
fn allows(text: &str) -> bool {
    text.replace('/', " OR ").split(" AND ").all(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')');
        let mut offers = part.split(" OR ").map(str::trim);
        offers.any(|licence| LICENCES.contains(&licence))
    })
}

fn twice(metadata: &Metadata, findings: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata.packages {
        let of = versions.entry(package.name.as_str()).or_default();
        of.insert(package.version.to_string());
    }
    for (name, of) in versions.iter().filter(|(_, of)| of.len() > 1) {
        if !TWICE.iter().any(|(known, _)| known == name) {
            let of: Vec<&str> = of.iter().map(String::as_str).collect();
            findings.push(format!("Cargo.lock: {name} is there as {}", of.join(", ")));
        }
    }
    for (name, _) in TWICE {
        if versions.get(name).is_none_or(|of| of.len() < 2) {
            findings.push(format!("tidy: {name} is there once; its exception can go"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn one_of_several_licences_is_enough_and_all_parts_count() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "none",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(GPL-2.0 OR MPL-2.0) AND MIT",
        ] {
            assert!(!allows(bad), "{bad}");
        }
    }
}
