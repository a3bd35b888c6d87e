//! Debian packages that tests and comparisons need: the daemons that Thruway is held against.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell;

/// (package, a file that it installs).
const PACKAGES: [(&str, &str); 9] = [
    ("bird2", "/usr/sbin/bird"),
    ("frr", "/usr/lib/frr/bgpd"),
    ("gobgpd", "/usr/bin/gobgpd"),
    ("openbgpd", "/usr/sbin/bgpd"),
    ("exabgp", "/usr/sbin/exabgp"),
    ("bgpdump", "/usr/bin/bgpdump"),
    ("iproute2", "/bin/ip"),
    ("iputils-ping", "/bin/ping"),
    ("valgrind", "/usr/bin/valgrind"),
];

/// Services that the packages start by themselves; the tests run daemons of their own.
const SERVICES: [&str; 5] = ["bird", "frr", "gobgpd", "openbgpd", "exabgp"];

/// Installs what is missing where it may, else names the command that does.
pub(crate) fn ensure() -> Result<()> {
    install(&PACKAGES)
}

/// The same for one of them alone.
pub(crate) fn ensure_one(name: &str) -> Result<()> {
    let one: Vec<_> = PACKAGES.into_iter().filter(|(of, _)| *of == name).collect();
    install(&one)
}

fn install(packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(_, file)| !std::path::Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() {
        bail!("this needs Debian packages; run: sudo apt-get install -y {list}");
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::step("apt-get update", &mut apt(&["update", "-qq"]))?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    shell::step(&format!("apt-get install {list}"), &mut apt(&install))?;
    stop_services();
    Ok(())
}

/// Best effort: without systemd there is nothing to stop.
fn stop_services() {
    for service in SERVICES {
        let _ = Command::new("systemctl")
            .args(["disable", "--now", service])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|out| out.stdout == b"0\n")
}
