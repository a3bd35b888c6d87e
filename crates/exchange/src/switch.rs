//! Route exchange on or off: whose word counts.

use serde::{Deserialize, Serialize};

/// What a command left behind, so that its word outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SwitchState {
    /// What the command said.
    pub enabled: bool,
    /// When, as a text.
    pub set_at: String,
    /// What the configuration file said at that time.
    pub file_said: bool,
}

/// The switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Switch {
    /// Route exchange is on.
    pub enabled: bool,
    /// Who said so.
    pub set_by: SetBy,
}

/// Whose word holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum SetBy {
    /// The configuration file's.
    File,
    /// A command's.
    Command {
        /// When it came.
        at: String,
    },
}

impl Switch {
    /// The switch's position from what the file says now and what a command left behind.
    ///
    /// A command holds over restarts and reloads until somebody changes the file: the file's word is
    /// then the newer one. A command's state does not count any more where the answer's `set_by` is
    /// [`SetBy::File`], and should go then: were it kept, it would come back to life when the file
    /// returns to what it said before.
    #[must_use]
    pub fn decide(file_says: bool, state: Option<&SwitchState>) -> Switch {
        match state {
            Some(state) if state.file_said == file_says => Switch {
                enabled: state.enabled,
                set_by: SetBy::Command {
                    at: state.set_at.clone(),
                },
            },
            _ => Switch {
                enabled: file_says,
                set_by: SetBy::File,
            },
        }
    }

    /// True where a command's state decided.
    #[must_use]
    pub fn by_command(&self) -> bool {
        matches!(self.set_by, SetBy::Command { .. })
    }
}
