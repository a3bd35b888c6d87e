//! Where the switch's position is kept when a command sets it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use thruway_exchange::SwitchState;

const HEAD: &str = "# What `thruway exchange on|off` said last. It holds until `enabled` changes in the\n\
                    # configuration file; without this file the configuration's word holds.\n";

/// What a command left behind, if it can be read.
pub(super) fn read(path: &Path) -> Option<SwitchState> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the switch's state cannot be read");
            return None;
        }
    };
    match toml::from_str(&text) {
        Ok(state) => Some(state),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the switch's state makes no sense");
            None
        }
    }
}

/// Writes it so that a crash leaves the old state or the new one.
pub(super) fn write(path: &Path, state: &SwitchState) -> io::Result<()> {
    let text = toml::to_string(state).map_err(io::Error::other)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(HEAD.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The new name is on the disk when its folder is.
    File::open(folder)?.sync_all()
}

/// Forgets it.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "the switch's state cannot be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("thruway.toml.state");
        assert_eq!(read(&path), None);
        let mut state = SwitchState {
            enabled: true,
            set_at: "2026-01-01T00:00:00Z".to_owned(),
            file_said: false,
        };
        write(&path, &state).expect("it is written");
        assert_eq!(read(&path).as_ref(), Some(&state));
        state.enabled = false;
        write(&path, &state).expect("it is written again");
        assert_eq!(read(&path).as_ref(), Some(&state));
        let names = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 1, "nothing else is left");
        remove(&path);
        assert_eq!(read(&path), None);
        remove(&path);
    }

    #[test]
    fn nonsense_is_no_state() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        fs::write(&path, "enabled = \"perhaps\"").expect("it is written");
        assert_eq!(read(&path), None);
        let nowhere = folder.path().join("none/state");
        let state = SwitchState {
            enabled: true,
            set_at: String::new(),
            file_said: false,
        };
        assert!(write(&nowhere, &state).is_err());
    }
}
