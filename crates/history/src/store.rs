//! The folder.
//!
//! A file for each configuration, one for what runs and one for what waits. Every write goes beside, is synced and
//! renamed, so that a crash leaves the old or the new one; what cannot be read is named and passed over.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{Damaged, Entry, NewEntry, Pending, Running};

/// Configurations that are kept; the oldest goes first.
pub const ENTRIES_MAX: usize = 50;
/// Octets that their files take together; the oldest goes first, but two stay.
pub const OCTETS_MAX: u64 = 128 << 20;
/// Octets of a file of the folder at most.
const FILE_MAX: u64 = 64 << 20;

/// What no number comes to: a file with a larger one is not ours.
const NUMBER_END: u64 = 1_000_000_000_000;

const HEAD: &str = "#!thruway-history ";
const RUNNING: &str = "running";
const PENDING: &str = "pending";

/// Why the history does not do what it is asked for.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The system's word.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A file makes no sense.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another server holds the folder.
    #[error("{}: another server uses it", .0.display())]
    Held(PathBuf),
    /// There is no such configuration.
    #[error("there is no configuration {0} in the history")]
    Unknown(u64),
}

/// The history of one server, which holds it alone as long as this is there.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Locked; `None`: there is no folder.
    _lock: Option<File>,
    writable: bool,
}

/// The digest of a text, in hex.
#[must_use]
pub fn digest(text: &str) -> String {
    let octets = Sha256::digest(text.as_bytes());
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Store {
    /// The history in a folder, which is made where it is not there. Where nothing can be written it can still
    /// be read: `warn` hears why.
    ///
    /// # Errors
    /// Another server holds it: then nothing of it may be touched.
    pub fn open(folder: &Path, mut warn: impl FnMut(String)) -> Result<Self, HistoryError> {
        let fault = |error| HistoryError::Io {
            path: folder.into(),
            error,
        };
        if !folder.exists()
            && let Err(error) = make(folder)
        {
            warn(fault(error).to_string());
        }
        let lock = File::open(folder).ok();
        if let Some(lock) = &lock
            && let Err(TryLockError::WouldBlock) = lock.try_lock()
        {
            return Err(HistoryError::Held(folder.into()));
        }
        // What can be written today may be written when it counts.
        let writable = match tempfile::NamedTempFile::new_in(folder) {
            Ok(_) => true,
            Err(error) => {
                if folder.exists() {
                    warn(fault(error).to_string());
                }
                false
            }
        };
        let store = Store {
            folder: folder.into(),
            _lock: lock,
            writable,
        };
        store.clear_up();
        Ok(store)
    }

    /// True where it could be written when it was opened.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// What a write that was cut off left behind.
    fn clear_up(&self) {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for file in files {
            let name = file.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(".tmp")) {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All configurations, the oldest first, and what makes no sense.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<(Vec<Entry>, Vec<Damaged>), HistoryError> {
        let (mut entries, mut damaged) = (Vec::new(), Vec::new());
        for number in self.numbers()? {
            match self.read(number) {
                Ok((entry, _)) => entries.push(entry),
                Err(error) => damaged.push(Damaged {
                    file: name(number),
                    why: error.to_string(),
                }),
            }
        }
        Ok((entries, damaged))
    }

    /// One configuration with its text.
    ///
    /// # Errors
    /// It is not there, or makes no sense.
    pub fn read(&self, number: u64) -> Result<(Entry, String), HistoryError> {
        let path = self.folder.join(name(number));
        let whole = match bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(HistoryError::Unknown(number));
            }
            Err(error) => return Err(HistoryError::Io { path, error }),
        };
        match parse(&whole, number) {
            Ok(found) => Ok(found),
            Err(why) => Err(HistoryError::Damaged { path, why }),
        }
    }

    /// Remembers a configuration under the next number, and forgets the oldest beyond [`ENTRIES_MAX`].
    ///
    /// # Errors
    /// It cannot be written; the history is as it was then.
    pub fn append(&self, new: NewEntry, text: &str) -> Result<Entry, HistoryError> {
        let NewEntry {
            at,
            author,
            comment,
            kind,
            what,
            undone,
        } = new;
        let entry = Entry {
            number: self.next()?,
            at,
            author,
            comment,
            kind,
            what,
            undone,
            sha256: digest(text),
        };
        let head = serde_json::to_string(&entry).map_err(|error| HistoryError::Io {
            path: self.folder.clone(),
            error: io::Error::other(error),
        })?;
        self.write(&name(entry.number), &[HEAD, &head, "\n", text])?;
        self.prune(entry.number);
        Ok(entry)
    }

    /// Forgets a configuration that never came into force.
    pub fn forget(&self, number: u64) {
        let _ = fs::remove_file(self.folder.join(name(number)));
    }

    /// Forgets a small file that makes no sense: nobody can use it.
    pub(crate) fn drop_damaged(&self, error: &HistoryError) {
        match error {
            HistoryError::Damaged { path, .. } => {
                let _ = fs::remove_file(path);
            }
            HistoryError::Io { path, error } if error.kind() == io::ErrorKind::InvalidData => {
                let _ = fs::remove_file(path);
            }
            _ => {}
        }
    }

    /// The number that the next configuration gets.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn next(&self) -> Result<u64, HistoryError> {
        let last = self.numbers()?.last().copied().unwrap_or(0);
        let running = self.running().ok().flatten().map_or(0, |it| it.number);
        Ok(last.max(running).saturating_add(1))
    }

    /// What runs, where that was written down.
    ///
    /// # Errors
    /// The file makes no sense.
    pub fn running(&self) -> Result<Option<Running>, HistoryError> {
        self.small(RUNNING)
    }

    /// Writes down what runs.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_running(&self, running: &Running) -> Result<(), HistoryError> {
        self.set_small(RUNNING, running)
    }

    /// What waits for its confirmation.
    ///
    /// # Errors
    /// The file makes no sense.
    pub fn pending(&self) -> Result<Option<Pending>, HistoryError> {
        self.small(PENDING)
    }

    /// Writes down what waits.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set_pending(&self, pending: &Pending) -> Result<(), HistoryError> {
        self.set_small(PENDING, pending)
    }

    /// Nothing waits any more.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn clear_pending(&self) -> Result<(), HistoryError> {
        let path = self.folder.join(PENDING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(HistoryError::Io { path, error })
            }
            _ => self.sync(),
        }
    }

    fn numbers(&self) -> Result<Vec<u64>, HistoryError> {
        let fault = |error| HistoryError::Io {
            path: self.folder.clone(),
            error,
        };
        let mut numbers = Vec::new();
        let files = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
            files => files.map_err(fault)?,
        };
        for file in files {
            let file = file.map_err(fault)?.file_name();
            let number = file.to_str().and_then(|it| it.strip_suffix(".toml"));
            let number = number.and_then(|it| it.parse::<u64>().ok());
            numbers.extend(number.filter(|number| *number < NUMBER_END));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Forgets the oldest, but never what something goes back to.
    fn prune(&self, latest: u64) {
        let pending = self.pending().ok().flatten().map(|it| it.back_to);
        let running = self.running().ok().flatten().map(|it| it.number);
        let numbers = self.numbers().unwrap_or_default();
        let size = |number: &u64| {
            let about = fs::metadata(self.folder.join(name(*number)));
            about.map_or(0, |about| about.len())
        };
        let mut octets: u64 = numbers.iter().map(size).sum();
        let mut left = numbers.len();
        for number in numbers {
            if left <= ENTRIES_MAX && (octets <= OCTETS_MAX || left <= 2) {
                return;
            }
            left -= 1;
            octets = octets.saturating_sub(size(&number));
            let needed = [Some(latest), pending, running].contains(&Some(number));
            if !needed {
                let _ = fs::remove_file(self.folder.join(name(number)));
            }
        }
    }

    fn small<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, HistoryError> {
        let path = self.folder.join(file);
        let text = match bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(HistoryError::Io { path, error }),
        };
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(HistoryError::Damaged {
                path,
                why: error.to_string(),
            }),
        }
    }

    fn set_small<T: Serialize>(&self, file: &str, value: &T) -> Result<(), HistoryError> {
        let text = serde_json::to_string(value).map_err(|error| HistoryError::Io {
            path: self.folder.join(file),
            error: io::Error::other(error),
        })?;
        self.write(file, &[&text, "\n"])
    }

    /// Writes a file so that a crash leaves the old one or the new one.
    fn write(&self, file: &str, parts: &[&str]) -> Result<(), HistoryError> {
        let path = self.folder.join(file);
        if !self.folder.exists() {
            // Somebody took it away: what is to be remembered from now on has a place again.
            make(&self.folder).map_err(|error| HistoryError::Io {
                path: self.folder.clone(),
                error,
            })?;
        }
        let written = (|| {
            // Its owner alone may read it: what `tempfile` makes by itself.
            let mut temporary = tempfile::NamedTempFile::new_in(&self.folder)?;
            for part in parts {
                temporary.write_all(part.as_bytes())?;
            }
            temporary.as_file().sync_all()?;
            temporary.persist(&path).map_err(|error| error.error)?;
            Ok(())
        })();
        written.map_err(|error| HistoryError::Io { path, error })?;
        self.sync()
    }

    /// A new name is on the disk when its folder is.
    fn sync(&self) -> Result<(), HistoryError> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| HistoryError::Io {
            path: self.folder.clone(),
            error,
        })
    }
}

/// Makes the folder, for its owner alone.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn name(number: u64) -> String {
    format!("{number:06}.toml")
}

fn bounded(path: &Path) -> io::Result<String> {
    // A pipe would keep its reader for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no regular file",
        ));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_MAX).read_to_string(&mut text)?;
    if read as u64 >= FILE_MAX {
        let why = format!("the file has over {FILE_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(text)
}

fn parse(whole: &str, number: u64) -> Result<(Entry, String), String> {
    let (head, text) = whole.split_once('\n').ok_or("it has no head")?;
    let head = head.strip_prefix(HEAD).ok_or("it has no head")?;
    let entry: Entry = serde_json::from_str(head).map_err(|error| format!("its head: {error}"))?;
    if entry.number != number {
        return Err(format!("its head says that it is {}", entry.number));
    }
    if entry.sha256 != digest(text) {
        return Err("its text is not what its head says".to_owned());
    }
    Ok((entry, text.to_owned()))
}

#[cfg(test)]
mod tests;
