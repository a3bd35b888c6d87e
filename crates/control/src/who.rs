//! Who asks, and what they may.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody may do; each may what those before it may.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Ask.
    #[default]
    Read,
    /// Reset sessions, turn the switch.
    Operate,
    /// Change the configuration.
    Admin,
}

impl Role {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// As the log and the history name them.
    name: String,
    role: Role,
}

impl Asker {
    pub(super) fn new(name: String, role: Role) -> Self {
        Asker { name, role }
    }

    pub(super) fn may(&self, needed: Role) -> bool {
        self.role >= needed
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A user's name and number.
pub(super) fn user_name(uid: u32) -> String {
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    match name {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_an_order_and_users_have_names() {
        let may = |role: Role, needed: Role| Asker::new(String::new(), role).may(needed);
        assert!(may(Role::Admin, Role::Operate) && may(Role::Operate, Role::Read));
        assert!(!may(Role::Read, Role::Operate) && !may(Role::Operate, Role::Admin));
        assert_eq!(user_name(0), "root (uid 0)");
        assert_eq!(user_name(4_000_000_000), "uid 4000000000");
    }
}
