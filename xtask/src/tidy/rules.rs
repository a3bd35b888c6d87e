//! The rules for files, functions, names and documents.

use std::path::Path;

use anyhow::{Context, Result};

use super::source::SourceFile;
use super::tiers::CORE;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 1200;
const INLINE_TEST_LINES_MAX: usize = 200;
const README_LINES_MAX: usize = 150;

/// Functions that may be longer, each with the reason. Dispatch tables only.
const LONG_FUNCTIONS: [(&str, &str); 1] = [(
    "each_attribute_error_has_its_verdict",
    "one row for each rule of RFC 7606",
)];

/// Rooms where a failed unwrap would be a peer's way to end the daemon.
const NO_UNWRAP: [&str; 4] = ["wire", "session", "rib", "engine"];

/// (name, what to use instead), in core rooms.
const NOT_IN_CORE: [(&str, &str); 11] = [
    ("std::fs", "bytes as an argument"),
    ("std::thread", "a value that its owner drives"),
    ("std::net::Tcp", "events in, actions out"),
    ("std::net::Udp", "events in, actions out"),
    ("Instant::now", "a `Time` argument"),
    ("SystemTime", "a `Time` argument"),
    ("std::env", "an argument"),
    ("println!", "a sink that the caller owns"),
    ("eprintln!", "a sink that the caller owns"),
    ("RandomState::new", "a seed argument"),
    ("rand::rng", "a seed argument"),
];

/// (name, what to use instead), everywhere.
const NOWHERE: [(&str, &str); 5] = [
    (
        "unbounded_channel",
        "a bounded channel, its bound in limits.rs",
    ),
    (
        "channel::unbounded",
        "a bounded channel, its bound in limits.rs",
    ),
    (
        "mpsc::channel()",
        "a bounded channel, its bound in limits.rs",
    ),
    ("unimplemented!", "the thing itself"),
    ("todo!", "the thing itself"),
];

pub(super) fn check_file(file: &SourceFile, findings: &mut Vec<String>) {
    let path = &file.path;
    if !file.has_module_doc {
        findings.push(format!("{path}: starts without a `//!` doc"));
    }
    if file.name() == "lib.rs" && file.path.starts_with("crates/") && file.code_items > 0 {
        findings.push(format!(
            "{path}: lib.rs holds docs, modules and exports, no code"
        ));
    }
    if file.lines > FILE_LINES_MAX {
        findings.push(format!(
            "{path}: {} lines, at most {FILE_LINES_MAX}",
            file.lines
        ));
    }
    if !file.is_test && file.test_lines > INLINE_TEST_LINES_MAX {
        findings.push(format!(
            "{path}: {} lines of inline tests, at most {INLINE_TEST_LINES_MAX}: move them beside it",
            file.test_lines
        ));
    }
    check_functions(file, findings);
    check_names(file, findings);
}

fn check_functions(file: &SourceFile, findings: &mut Vec<String>) {
    for function in &file.functions {
        let place = format!("{}:{}: {}", file.path, function.line, function.name);
        let exempt = LONG_FUNCTIONS.iter().any(|(name, _)| place.ends_with(name));
        if function.lines > FUNCTION_LINES_MAX && !exempt {
            let lines = function.lines;
            findings.push(format!(
                "{place}: {lines} lines, at most {FUNCTION_LINES_MAX}"
            ));
        }
    }
}

fn check_names(file: &SourceFile, findings: &mut Vec<String>) {
    // This file names what it bans.
    if file.path == "xtask/src/tidy/rules.rs" {
        return;
    }
    let core = CORE.contains(&file.room.as_str()) && !file.is_test;
    // Fuzz entry points are judges: a broken property is a panic by design.
    let judge = file.path.contains("/fuzzing");
    let no_unwrap = NO_UNWRAP.contains(&file.room.as_str()) && !file.is_test && !judge;
    for (index, line) in file.code.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut say = |what: String| findings.push(format!("{}:{}: {what}", file.path, index + 1));
        for (name, instead) in NOWHERE.iter().filter(|(name, _)| code.contains(name)) {
            say(format!("no `{name}`: {instead}"));
        }
        if core {
            for (name, instead) in NOT_IN_CORE.iter().filter(|(name, _)| code.contains(name)) {
                say(format!("no `{name}` in the core: {instead}"));
            }
        }
        if no_unwrap && (code.contains(".unwrap()") || code.contains(".expect(")) {
            say("no unwrap here: let-else, or an error".to_owned());
        }
        if (code.contains("#[allow(") || code.contains("#[expect(")) && !has_reason(file, index) {
            say("a relaxed lint has its `reason = \"…\"` beside it".to_owned());
        }
        if code.contains("unsafe ")
            && !code.contains("unsafe_")
            && file.room != "net"
            && !file.is_test
        {
            say("`unsafe` stands in crates/net".to_owned());
        }
    }
}

/// The attribute may go over a few lines.
fn has_reason(file: &SourceFile, index: usize) -> bool {
    file.code
        .lines()
        .skip(index)
        .take(6)
        .any(|line| line.contains("reason"))
}

pub(super) fn check_documents(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "SPECIFICATION.md",
        "CHANGELOG.md",
    ] {
        if !root.join(name).is_file() {
            findings.push(format!("{name}: is missing"));
        }
    }
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap_or_default();
    if readme.lines().count() > README_LINES_MAX {
        findings.push(format!("README.md: over {README_LINES_MAX} lines"));
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).context("Cargo.toml")?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.unwrap_or_default().trim_matches('"');
    if !readme.contains(&format!("Rust {version}")) {
        findings.push(format!(
            "README.md: does not say Rust {version}, as Cargo.toml does"
        ));
    }
    Ok(())
}
