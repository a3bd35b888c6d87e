//! The file: read, checked, written.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Tokens of one file at most.
pub const TOKENS_MAX: usize = 1000;
/// Octets of a name at most.
pub const NAME_MAX: usize = 64;
/// Octets of the file at most.
const FILE_MAX: u64 = 1 << 20;
/// What every token begins with, so that one that leaks is known for what it is.
const PREFIX: &str = "thruway_";

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

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Role::Read, Role::Operate, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no role: read, operate or admin"))
    }
}

/// One token, without what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Token {
    /// Whose it is; unique.
    pub name: String,
    /// What it is good for.
    #[serde(default)]
    pub role: Role,
    /// Until when, RFC 3339 in UTC as `2027-01-01T00:00:00Z`; `None`: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The digest of it, in hex.
    pub sha256: String,
    /// It is no secret but a client's certificate, whose digest that is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificate: bool,
}

/// The tokens of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// In the file's order.
    #[serde(default, rename = "token")]
    pub list: Vec<Token>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// Nobody knows it.
    Unknown,
    /// Its time is over.
    Expired,
}

/// What is wrong with a file of tokens.
#[derive(Debug, Error)]
#[error("{}: {why}", path.display())]
pub struct TokenError {
    path: PathBuf,
    why: String,
}

impl TokenError {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        TokenError {
            path: path.into(),
            why: why.to_string(),
        }
    }
}

fn digest(secret: &str) -> String {
    let octets = Sha256::digest(secret.as_bytes());
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A fault by its line, without the line itself: whoever reads the message need not be one who may read the
/// file.
fn syntax(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.as_bytes().get(..start).unwrap_or_default();
    let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', ", "))
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, others may read or write it, or it makes no sense.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let fault = |why: &dyn fmt::Display| TokenError::new(path, why);
        // A pipe would keep its reader for ever.
        let about = fs::metadata(path).map_err(|error| fault(&error))?;
        if !about.is_file() {
            return Err(fault(&"it is no regular file"));
        }
        let file = File::open(path).map_err(|error| fault(&error))?;
        let about = file.metadata().map_err(|error| fault(&error))?;
        let own = fs::metadata("/proc/self")
            .map_err(|error| fault(&error))?
            .uid();
        if about.uid() != 0 && about.uid() != own {
            return Err(fault(&format_args!(
                "it belongs to user {}, who could let anybody in",
                about.uid()
            )));
        }
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(fault(&format_args!(
                "others may read or write it (mode {mode:04o}): chmod 600"
            )));
        }
        let mut text = String::new();
        file.take(FILE_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|error| fault(&error))?;
        if text.len() as u64 > FILE_MAX {
            return Err(fault(&format_args!("it has over {FILE_MAX} bytes")));
        }
        let tokens: Tokens =
            toml::from_str(&text).map_err(|error| fault(&syntax(&error, &text)))?;
        tokens.check().map_err(|why| fault(&why))?;
        Ok(tokens)
    }

    fn check(&self) -> Result<(), String> {
        if self.list.len() > TOKENS_MAX {
            return Err(format!("it has over {TOKENS_MAX} tokens"));
        }
        for (at, token) in self.list.iter().enumerate() {
            let name = &token.name;
            check_name(name)?;
            if self.list.iter().take(at).any(|other| other.name == *name) {
                return Err(format!("the name {name} stands twice"));
            }
            let hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
            if token.sha256.len() != 64 || !token.sha256.bytes().all(hex) {
                return Err(format!("{name}: sha256 is no digest of 64 hex digits"));
            }
            if let Some(expires) = &token.expires {
                check_time(expires).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        Ok(())
    }

    /// Writes the file so that a crash leaves the old one or the new one, for its owner alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TokenError> {
        let written = (|| {
            let text = toml::to_string(self).map_err(io::Error::other)?;
            // Through a link, to what it names.
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let path = path.as_path();
            let folder = folder(path);
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            // Whose the file is stays as it is.
            if let Ok(about) = fs::metadata(path) {
                std::os::unix::fs::fchown(file.as_file(), Some(about.uid()), Some(about.gid()))?;
            }
            file.persist(path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        })();
        written.map_err(|error| TokenError::new(path, error))
    }

    /// Adds a token and returns it: nobody can tell it again.
    ///
    /// # Errors
    /// The name is taken or none, there are too many, or there is no randomness.
    pub fn add(
        &mut self,
        name: &str,
        role: Role,
        expires: Option<String>,
    ) -> Result<String, String> {
        let secret = secret().map_err(|error| error.to_string())?;
        self.put(Token {
            name: name.to_owned(),
            role,
            expires,
            sha256: digest(&secret),
            certificate: false,
        })?;
        Ok(secret)
    }

    /// Adds a client's certificate by its digest, in hex.
    ///
    /// # Errors
    /// As [`Tokens::add`], or it is there already.
    pub fn add_certificate(
        &mut self,
        name: &str,
        role: Role,
        expires: Option<String>,
        sha256: String,
    ) -> Result<(), String> {
        let same = |token: &&Token| token.certificate && token.sha256 == sha256;
        if let Some(known) = self.list.iter().find(same) {
            return Err(format!("the certificate is {} already", known.name));
        }
        self.put(Token {
            name: name.to_owned(),
            role,
            expires,
            sha256,
            certificate: true,
        })
    }

    fn put(&mut self, token: Token) -> Result<(), String> {
        let name = &token.name;
        check_name(name)?;
        if self.list.iter().any(|other| other.name == *name) {
            return Err(format!("the name {name} is taken: revoke it first"));
        }
        if self.list.len() >= TOKENS_MAX {
            return Err(format!("there are {TOKENS_MAX} tokens already"));
        }
        self.list.push(token);
        Ok(())
    }

    /// Takes a token away; false where there is none of that name.
    pub fn revoke(&mut self, name: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|token| token.name != name);
        self.list.len() < before
    }

    /// The token that somebody shows, at a moment in RFC 3339.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn find(&self, secret: &str, now: &str) -> Result<&Token, Unwelcome> {
        // Digests are compared: how long that takes says nothing of the token.
        self.known(false, &digest(secret), now)
    }

    /// What a client's certificate of this digest is good for.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn find_certificate(&self, sha256: &str, now: &str) -> Result<&Token, Unwelcome> {
        self.known(true, sha256, now)
    }

    fn known(&self, certificate: bool, sha256: &str, now: &str) -> Result<&Token, Unwelcome> {
        let is = |token: &&Token| token.certificate == certificate && token.sha256 == sha256;
        let known = self.list.iter().find(is);
        let token = known.ok_or(Unwelcome::Unknown)?;
        if token.has_expired(now) {
            return Err(Unwelcome::Expired);
        }
        Ok(token)
    }
}

/// Keeps others from changing a file of tokens at the same time, until it is dropped.
///
/// # Errors
/// Its folder cannot be opened.
pub fn alone(path: &Path) -> Result<File, TokenError> {
    let folder = folder(path);
    let fault = |error: io::Error| TokenError::new(folder, error);
    let lock = File::open(folder).map_err(fault)?;
    lock.lock().map_err(fault)?;
    Ok(lock)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

impl Token {
    /// True from its end on; both are RFC 3339 in UTC, whose texts are in the order of their times.
    #[must_use]
    pub fn has_expired(&self, now: &str) -> bool {
        self.expires
            .as_deref()
            .is_some_and(|expires| expires <= now)
    }
}

fn secret() -> io::Result<String> {
    let mut octets = [0u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(format!("{PREFIX}{hex}"))
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_.@".contains(it);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        return Err(format!(
            "`{name}` is no name: up to {NAME_MAX} letters, digits, or one of - _ . @"
        ));
    }
    Ok(())
}

/// Checks a moment as `2027-01-01T00:00:00Z`.
///
/// # Errors
/// It is none.
pub fn check_time(text: &str) -> Result<(), String> {
    let pattern = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(found, wanted): (u8, &u8)| match wanted {
        b'd' => found.is_ascii_digit(),
        other => found == *other,
    };
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let within = |from: usize, low: u32, high: u32| {
        part(from, from + 2).is_some_and(|value| (low..=high).contains(&value))
    };
    if text.len() == pattern.len()
        && text.bytes().zip(pattern).all(fits)
        && within(5, 1, 12)
        && within(8, 1, 31)
        && within(11, 0, 23)
        && within(14, 0, 59)
        && within(17, 0, 59)
    {
        return Ok(());
    }
    Err(format!("`{text}` is no moment: 2027-01-01T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-01T00:00:00Z";

    #[test]
    fn a_token_is_known_until_it_expires_or_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let mut tokens = Tokens::default();
        let one = tokens.add("one", Role::Admin, None).unwrap();
        let later = Some("2026-06-01T00:00:01Z".to_owned());
        let two = tokens.add("two", Role::Read, later).unwrap();
        assert!(tokens.add("one", Role::Read, None).is_err());
        assert!(tokens.add("a name", Role::Read, None).is_err());
        tokens.save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&one) && one.len() == PREFIX.len() + 64);
        let mut tokens = Tokens::load(&path).unwrap();
        let found = tokens.find(&one, NOW).unwrap();
        assert_eq!((found.name.as_str(), found.role), ("one", Role::Admin));
        assert_eq!(tokens.find(&two, NOW).unwrap().name, "two");
        let expired = tokens.find(&two, "2026-06-01T00:00:01Z");
        assert_eq!(expired.unwrap_err(), Unwelcome::Expired);
        assert_eq!(tokens.find("guessed", NOW).unwrap_err(), Unwelcome::Unknown);
        assert_eq!(
            tokens.find(&two.to_uppercase(), NOW).unwrap_err(),
            Unwelcome::Unknown
        );
        assert!(tokens.revoke("one") && !tokens.revoke("one"));
        assert_eq!(tokens.find(&one, NOW).unwrap_err(), Unwelcome::Unknown);
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let good = format!("sha256 = '{}'", "a".repeat(64));
        let fault = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Tokens::load(&path).map_err(|error| error.to_string())
        };
        let one = format!("[[token]]\nname = 'a'\n{good}\n");
        assert_eq!(fault(&one, 0o600).unwrap().list.len(), 1);
        for (text, mode, says) in [
            (one.as_str(), 0o640, "chmod 600"),
            (&one.repeat(2), 0o600, "twice"),
            ("[[token]]\nname = 'a'\nsha256 = 'x'", 0o600, "no digest"),
            (&format!("{one}expires = 'tomorrow'"), 0o600, "no moment"),
            (
                &format!("{one}expires = '2027-13-01T00:00:00Z'"),
                0o600,
                "no moment",
            ),
            (&format!("{one}rule = 'admin'"), 0o600, "rule"),
            (&format!("{one}role = 'root'"), 0o600, "root"),
            ("[[token]", 0o600, "line 1"),
        ] {
            let said = fault(text, mode).unwrap_err();
            assert!(
                said.contains(says) && said.contains("tokens.toml"),
                "{said}"
            );
        }
        assert!(Tokens::load(&folder.path().join("none")).is_err());
    }

    #[test]
    fn roles_are_an_order() {
        assert!(Role::Admin > Role::Operate && Role::Operate > Role::Read);
        assert_eq!("operate".parse(), Ok(Role::Operate));
        assert!("root".parse::<Role>().is_err());
    }
}
