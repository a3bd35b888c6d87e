//! Which configuration a server starts with.

use crate::{Entry, Kind, NewEntry, Pending, Running, Store};

/// What a start takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The file: it is the truth.
    File,
    /// A configuration of the history: the file holds what was taken back.
    Kept {
        /// Which.
        entry: Entry,
        /// Its text.
        text: String,
        /// The change that nobody confirmed before the server ended, if it is that.
        unconfirmed: Option<u64>,
    },
}

impl Store {
    /// What to start with, where the file has the digest `file` (`None`: it cannot be read). What is wrong with
    /// the history goes to `warn`, and the file counts then.
    ///
    /// A change that waits for its confirmation is taken back here: who restarts has not confirmed it.
    pub fn boot(&self, file: Option<&str>, at: &str, mut warn: impl FnMut(String)) -> Boot {
        let running = self.running().unwrap_or_else(|error| {
            warn(error.to_string());
            self.drop_damaged(&error);
            None
        });
        let pending = self.pending().unwrap_or_else(|error| {
            warn(error.to_string());
            self.drop_damaged(&error);
            self.never_confirmed(running.as_ref())
        });
        let ran = running.as_ref().map_or(0, |running| running.number);
        match pending {
            // What ran later was meant to stay: the file of one that waits could not be removed then.
            Some(pending) if pending.number <= ran => {
                if let Err(error) = self.clear_pending() {
                    warn(error.to_string());
                }
            }
            Some(pending) => return self.take_back(&pending, at, &mut warn),
            None => {}
        }
        let Some(Running {
            number,
            taken_back: Some(passed_over),
        }) = running
        else {
            return Boot::File;
        };
        if file != Some(passed_over.as_str()) {
            return Boot::File;
        }
        self.kept(number, None, &mut warn)
    }

    /// What waited, where the file that said so is damaged: a change is noted before it is in force, and what runs
    /// only once it is meant to stay.
    fn never_confirmed(&self, running: Option<&Running>) -> Option<Pending> {
        let running = running?;
        let (entries, _) = self.list().ok()?;
        let last = entries.last().filter(|it| it.number > running.number)?;
        Some(Pending {
            number: last.number,
            back_to: running.number,
            confirmed: None,
            taken_back: Some(last.sha256.clone()),
            until: 0,
            author: last.author.clone(),
        })
    }

    fn kept(&self, number: u64, unconfirmed: Option<u64>, warn: &mut impl FnMut(String)) -> Boot {
        match self.read(number) {
            Ok((entry, text)) => Boot::Kept {
                entry,
                text,
                unconfirmed,
            },
            Err(error) => {
                warn(format!("{error}: the file is taken instead"));
                Boot::File
            }
        }
    }

    fn take_back(&self, pending: &Pending, at: &str, warn: &mut impl FnMut(String)) -> Boot {
        let boot = self.kept(pending.back_to, Some(pending.number), warn);
        let Boot::Kept { text, .. } = &boot else {
            return boot;
        };
        let new = NewEntry {
            at: at.to_owned(),
            author: "thruway".to_owned(),
            comment: String::new(),
            kind: Kind::TakenBack,
            what: format!(
                "back to {}: the server ended before change {} was confirmed",
                pending.back_to, pending.number
            ),
            undone: Some(pending.number),
        };
        // In this order: a crash in between takes it back once more.
        let number = match self.append(new, text) {
            Ok(entry) => entry.number,
            Err(error) => {
                warn(error.to_string());
                pending.back_to
            }
        };
        let running = Running {
            number,
            taken_back: pending.taken_back.clone(),
        };
        let written = self
            .set_running(&running)
            .and_then(|()| self.clear_pending());
        if let Err(error) = written {
            warn(error.to_string());
        }
        boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    fn store(texts: &[&str]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), |_| ()).unwrap();
        for text in texts {
            let new = NewEntry {
                at: String::new(),
                author: String::new(),
                comment: String::new(),
                kind: Kind::Reload,
                what: String::new(),
                undone: None,
            };
            store.append(new, text).unwrap();
        }
        (folder, store)
    }

    fn boot(store: &Store, file: &str) -> (Option<(u64, Option<u64>)>, Vec<String>) {
        let mut warnings = Vec::new();
        let boot = store.boot(Some(&digest(file)), "now", |text| warnings.push(text));
        match boot {
            Boot::File => (None, warnings),
            Boot::Kept {
                entry, unconfirmed, ..
            } => (Some((entry.number, unconfirmed)), warnings),
        }
    }

    #[test]
    fn the_file_is_the_truth_unless_it_was_taken_back() {
        let (_folder, store) = store(&["old", "new"]);
        assert_eq!(boot(&store, "new").0, None);
        store
            .set_running(&Running {
                number: 1,
                taken_back: Some(digest("new")),
            })
            .unwrap();
        assert_eq!(boot(&store, "new").0, Some((1, None)));
        assert_eq!(boot(&store, "edited since").0, None);
    }

    #[test]
    fn a_change_whose_waiting_is_unreadable_is_taken_back_too() {
        let (folder, store) = store(&["old", "new"]);
        store
            .set_running(&Running {
                number: 1,
                taken_back: None,
            })
            .unwrap();
        std::fs::write(folder.path().join("pending"), "\0garbage").unwrap();
        let (found, warnings) = boot(&store, "new");
        assert_eq!((found, warnings.len()), (Some((1, Some(2))), 1));
        assert_eq!(boot(&store, "new").0, Some((3, None)), "and stays so");
        // Where nothing waited there is nothing to take back.
        std::fs::write(folder.path().join("pending"), "").unwrap();
        assert_eq!(boot(&store, "new").0, Some((3, None)));
        assert_eq!(boot(&store, "edited since").0, None);
    }

    #[test]
    fn a_restart_confirms_nothing() {
        let (_folder, store) = store(&["old", "new"]);
        let pending = Pending {
            number: 2,
            back_to: 1,
            confirmed: None,
            taken_back: Some(digest("new")),
            until: u64::MAX,
            author: String::new(),
        };
        store.set_pending(&pending).unwrap();
        assert_eq!(boot(&store, "new").0, Some((1, Some(2))));
        assert_eq!(store.pending().unwrap(), None);
        // And the next start goes on with it, under the number that this got.
        assert_eq!(boot(&store, "new").0, Some((3, None)));
        let (entry, text) = store.read(3).unwrap();
        assert_eq!((entry.kind, text.as_str()), (Kind::TakenBack, "old"));
    }

    #[test]
    fn a_file_that_was_left_behind_takes_nothing_back() {
        let (_folder, store) = store(&["old", "new", "newer"]);
        let pending = Pending {
            number: 2,
            back_to: 1,
            confirmed: None,
            taken_back: None,
            until: 0,
            author: String::new(),
        };
        store.set_pending(&pending).unwrap();
        let running = Running {
            number: 3,
            taken_back: None,
        };
        store.set_running(&running).unwrap();
        assert_eq!(boot(&store, "newer"), (None, Vec::new()));
        assert_eq!(store.pending().unwrap(), None);
    }

    #[test]
    fn a_damaged_history_is_no_reason_not_to_start() {
        let (folder, store) = store(&["old"]);
        let running = Running {
            number: 1,
            taken_back: Some(digest("new")),
        };
        store.set_running(&running).unwrap();
        std::fs::write(folder.path().join("000001.toml"), "half").unwrap();
        let (found, warnings) = boot(&store, "new");
        assert_eq!(found, None);
        assert!(
            warnings.iter().any(|text| text.contains("000001.toml")),
            "{warnings:?}"
        );
        for file in ["running", "pending"] {
            std::fs::write(folder.path().join(file), [0, 159, 146]).unwrap();
        }
        let (found, warnings) = boot(&store, "new");
        assert_eq!((found, warnings.len()), (None, 2));
        assert_eq!(boot(&store, "new"), (None, Vec::new()), "once");
    }
}
