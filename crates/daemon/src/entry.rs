//! The ways into the API as the configuration has them: the socket's mode and group, the file of
//! tokens, and certificates.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::Mode;
use thruway_config::Server;
use thruway_tls::{Clients, Identity, ServerTls};
use thruway_tokens::Tokens;
use tokio::net::UnixListener;

/// Who may come over TCP, and how.
#[derive(Clone, Default)]
pub(super) struct Access {
    /// The tokens; `None`: there is no file.
    pub(super) tokens: Option<Arc<Tokens>>,
    /// TLS; `None`: plain HTTP.
    pub(super) tls: Option<ServerTls>,
    /// Why nobody may come over TCP.
    pub(super) closed: Option<String>,
}

/// The same at the start: what is wrong with a file keeps TCP closed until a reload, and no route from anybody.
pub(super) fn first_access(server: &Server) -> Access {
    access(server).unwrap_or_else(|error| {
        tracing::error!("the API is closed over TCP until a reload: {error:#}");
        Access {
            closed: Some(format!("{error:#}")),
            ..Access::default()
        }
    })
}

/// Reads the files that say so.
///
/// # Errors
/// What is wrong with one of them.
pub(super) fn access(server: &Server) -> Result<Access> {
    let tokens = server.api_tokens.as_deref().map(Tokens::load).transpose();
    let tokens = tokens.context("api-tokens")?.map(Arc::new);
    let Some(tls) = &server.api_tls else {
        return Ok(Access {
            tokens,
            ..Access::default()
        });
    };
    let own = Identity {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
    };
    let clients = tls.client_ca.as_ref().map(|ca| Clients {
        ca: ca.clone(),
        // Without tokens there is nothing else to show.
        needed: tokens.is_none(),
    });
    let tls = thruway_tls::server(&own, clients.as_ref()).context("TLS of the API")?;
    Ok(Access {
        tokens,
        tls: Some(tls),
        closed: None,
    })
}

/// Listens at the Unix socket, for those whom its mode and group let in.
///
/// # Errors
/// Another server answers there, or what the system says.
pub(super) fn bind(server: &Server) -> Result<UnixListener> {
    let path = &server.api_socket;
    // A socket that a dead server left is in the way; one that answers is somebody's.
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(anyhow!("another server answers at {}", path.display()));
    }
    match fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_socket() => {
            let _ = fs::remove_file(path);
        }
        Ok(_) => bail!("api-socket: {} is there, and is no socket", path.display()),
        Err(_) => {}
    }
    // Until its mode is set nobody else comes in.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let bound = bound.with_context(|| format!("cannot listen at {}", path.display()))?;
    open_socket_to(server)?;
    Ok(bound)
}

/// Says what of a configuration's ways in cannot be put in force.
///
/// # Errors
/// There is no such group, or what is wrong with a file.
pub(super) fn check(server: &Server) -> Result<Access> {
    server.api_socket_group.as_deref().map(group).transpose()?;
    access(server)
}

/// Puts mode and group of the socket in force.
///
/// # Errors
/// There is no such group, or what the system says.
pub(super) fn open_socket_to(server: &Server) -> Result<()> {
    let path = &server.api_socket;
    let what = |key: &str| format!("{key}: {}", path.display());
    let group = match server.api_socket_group.as_deref() {
        Some(name) => group(name)?,
        // What a key gave goes with it.
        None => fs::metadata("/proc/self").context("who we are")?.gid(),
    };
    chown(path, None, Some(group)).with_context(|| what("api-socket-group"))?;
    let mode = Permissions::from_mode(server.api_socket_mode);
    fs::set_permissions(path, mode).with_context(|| what("api-socket-mode"))
}

/// A group's number.
fn group(name: &str) -> Result<u32> {
    let known = fs::read_to_string(Path::new("/etc/group")).unwrap_or_default();
    let found = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())
    });
    match found.flatten().or_else(|| name.parse().ok()) {
        Some(group) => Ok(group),
        None => bail!("api-socket-group: there is no group {name}"),
    }
}
