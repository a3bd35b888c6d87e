//! Two network namespaces and a link between them: the server's and the load's.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Namespaces of all comparisons begin so; the process id follows.
const PREFIX: &str = "twcmp";

/// Which end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Load,
}

/// The server is `198.18.0.1`, peers follow from `198.18.1.1`; all of them on one link.
pub(super) struct Lab {
    name: String,
    dir: tempfile::TempDir,
}

/// The server's address.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub(super) const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, 1);

/// The address of the peer with this number.
pub(super) fn peer(number: usize) -> Ipv4Addr {
    let (third, fourth) = (1 + number / 250, 1 + number % 250);
    Ipv4Addr::new(198, 18, third as u8, fourth as u8)
}

/// Its IPv6 address, which next hops name.
pub(super) fn peer6(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 1, number as u16 + 1)
}

impl Lab {
    /// Makes the namespaces, with addresses for so many peers.
    pub(super) fn new(peers: usize) -> Result<Lab> {
        remove_stale();
        let dir = tempfile::Builder::new()
            .prefix("thruway-compare")
            .tempdir()?;
        // Daemons that drop their privileges must still reach their sockets.
        open_to_all(dir.path())?;
        let lab = Lab {
            name: format!("{PREFIX}{}", std::process::id()),
            dir,
        };
        for side in [Side::Server, Side::Load] {
            ip(&["netns", "add", &lab.namespace(side)])
                .context("network namespaces need root: sudo -E cargo xtask compare")?;
        }
        let (server, load) = (lab.namespace(Side::Server), lab.namespace(Side::Load));
        ip(&[
            "link", "add", "eth0", "netns", &server, "type", "veth", "peer", "name", "eth0",
            "netns", &load,
        ])?;
        lab.addresses(Side::Server, &[(SERVER, SERVER6)])?;
        let peers: Vec<_> = (0..peers).map(|n| (peer(n), peer6(n))).collect();
        lab.addresses(Side::Load, &peers)?;
        Ok(lab)
    }

    fn namespace(&self, side: Side) -> String {
        let end = match side {
            Side::Server => "s",
            Side::Load => "l",
        };
        format!("{}{end}", self.name)
    }

    fn addresses(&self, side: Side, addresses: &[(Ipv4Addr, Ipv6Addr)]) -> Result<()> {
        let namespace = self.namespace(side);
        let mut batch = String::from("link set lo up\nlink set eth0 up\n");
        for (v4, v6) in addresses {
            batch.push_str(&format!("addr add {v4}/16 dev eth0\n"));
            batch.push_str(&format!("addr add {v6}/64 dev eth0 nodad\n"));
        }
        let mut child = Command::new("ip")
            .args(["-n", &namespace, "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(batch.as_bytes())?;
        }
        if !child.wait()?.success() {
            bail!("cannot give {namespace} its addresses");
        }
        Ok(())
    }

    /// A folder for a daemon's files, empty.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        open_to_all(&path)?;
        Ok(path)
    }

    /// That folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `job` on a thread that lives in one of the namespaces; what it starts lives there, too.
    pub(super) fn inside<T: Send>(
        &self,
        side: Side,
        job: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let path = Path::new("/run/netns").join(self.namespace(side));
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                job()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in [Side::Server, Side::Load] {
            // Best effort: the namespace may never have been made.
            let _ = ip(&["netns", "del", &self.namespace(side)]);
        }
    }
}

/// Namespaces of comparisons that were killed.
fn remove_stale() {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name
            .strip_prefix(PREFIX)
            .map(|rest| rest.trim_end_matches(['s', 'l']));
        let stale =
            id.is_some_and(|id| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists());
        if stale {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let out = Command::new("ip")
        .args(args)
        .output()
        .context("cannot run ip: is iproute2 installed?")?;
    if !out.status.success() {
        bail!(
            "ip {args:?}: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(())
}

fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    Ok(())
}
