//! A configuration as one text: what it names in other files stands in their place.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Keys of sets and the one of their members, which a file may hold.
const SETS: [(&str, &str); 4] = [
    ("prefix-set", "prefixes"),
    ("community-set", "communities"),
    ("as-set", "asns"),
    ("as-path-set", "expressions"),
];

/// A configuration that names no files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfContained {
    /// Its text: as it was read, where it named no file.
    pub text: String,
    /// It holds keys of TCP MD5.
    pub has_keys: bool,
    /// It named files, which stand in their place now.
    pub inlined: bool,
}

/// Why a configuration cannot be made one text.
#[derive(Debug)]
pub struct InlineError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for InlineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for InlineError {}

/// Reads a configuration with all that it names.
///
/// # Errors
/// A file that cannot be read, or is no TOML.
pub fn self_contained(path: &Path) -> Result<SelfContained, InlineError> {
    let fault = |path: &Path, why: &dyn fmt::Display| InlineError {
        path: path.into(),
        why: why.to_string(),
    };
    let text = super::load::read_bounded(path).map_err(|error| fault(path, &error))?;
    // Large ones are all members of sets: what names no file need not be read twice.
    if !text.contains("file") {
        let has_keys = text.contains("md5");
        return Ok(SelfContained {
            text,
            has_keys,
            inlined: false,
        });
    }
    let mut table: Table = toml::from_str(&text).map_err(|error| fault(path, &error))?;
    let has_keys = has_key(&Value::Table(table.clone()), "md5");
    let whole = std::path::absolute(path).map_err(|error| fault(path, &error))?;
    let folder = whole.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut named = inline_keys(&mut table, &folder)?;
    for (kind, members) in SETS {
        let Some(Value::Table(sets)) = table.get_mut(kind) else {
            continue;
        };
        for (_, set) in sets.iter_mut() {
            if let Value::Table(set) = set {
                named |= inline(set, members, &folder)?;
            }
        }
    }
    let text = match named {
        // Comments and order are worth keeping.
        false => text,
        true => toml::to_string(&table).map_err(|error| fault(path, &error))?,
    };
    Ok(SelfContained {
        text,
        has_keys,
        inlined: named,
    })
}

fn has_key(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Table(table) => table
            .iter()
            .any(|(key, value)| key == wanted || has_key(value, wanted)),
        Value::Array(list) => list.iter().any(|value| has_key(value, wanted)),
        _ => false,
    }
}

fn read(path: &Path) -> Result<String, InlineError> {
    super::load::read_bounded(path).map_err(|error| InlineError {
        path: path.into(),
        why: error.to_string(),
    })
}

/// Puts what files of keys hold in their place. True where there was one.
fn inline_keys(table: &mut Table, folder: &Path) -> Result<bool, InlineError> {
    let mut named = false;
    if let Some(Value::String(file)) = table.remove("password-file") {
        let text = read(&folder.join(file))?;
        let key = text.trim_end_matches(['\r', '\n']).to_owned();
        table.insert("password".to_owned(), Value::String(key));
        named = true;
    }
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(table) => named |= inline_keys(table, folder)?,
            Value::Array(list) => {
                for table in list.iter_mut().filter_map(Value::as_table_mut) {
                    named |= inline_keys(table, folder)?;
                }
            }
            _ => {}
        }
    }
    Ok(named)
}

/// Puts the lines of a set's file among its members. True where it has one.
fn inline(set: &mut Table, members: &str, folder: &Path) -> Result<bool, InlineError> {
    let Some(Value::String(file)) = set.remove("file") else {
        return Ok(false);
    };
    let text = read(&folder.join(file))?;
    let mut list = match set.remove(members) {
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for line in text.lines() {
        let member = line.split('#').next().unwrap_or_default().trim();
        if !member.is_empty() {
            list.push(Value::String(member.to_owned()));
        }
    }
    set.insert(members.to_owned(), Value::Array(list));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn sets_bring_the_members_of_their_files_along() {
        let text = "[prefix-set.a]\nprefixes = \"10.0.0.0/16\"\nfile = \"list.txt\"\n\
                    [as-set.b]\nasns = [65001]\n";
        let lines = "10.1.0.0/16 # one\n\n# none\n10.2.0.0/16 le 24\n";
        let folder = folder(&[("thruway.toml", text), ("list.txt", lines)]);
        let whole = self_contained(&folder.path().join("thruway.toml")).unwrap();
        let table: Table = toml::from_str(&whole.text).unwrap();
        let members = &table["prefix-set"]["a"]["prefixes"];
        let expected = ["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16 le 24"];
        assert_eq!(members.clone().try_into(), Ok(expected.map(str::to_owned)));
        assert!(table["prefix-set"]["a"].get("file").is_none());
        assert_eq!(table["as-set"]["b"]["asns"][0].as_integer(), Some(65001));
        assert!(!whole.has_keys);
    }

    #[test]
    fn files_of_keys_are_read_and_a_text_without_files_stays_as_it_is() {
        let text = "[[nva]]\nname = \"a\"\nmd5 = { password-file = \"key\" }\n";
        let plain = "# a comment\n[server]\nasn = 64500\n";
        let files = [("t.toml", text), ("key", "secret\n"), ("plain.toml", plain)];
        let folder = folder(&files);
        let whole = self_contained(&folder.path().join("t.toml")).unwrap();
        let table: Table = toml::from_str(&whole.text).unwrap();
        let md5 = table["nva"][0]["md5"].as_table().unwrap();
        assert_eq!(md5.get("password").and_then(Value::as_str), Some("secret"));
        assert!(!md5.contains_key("password-file") && whole.has_keys);
        let plain_too = self_contained(&folder.path().join("plain.toml")).unwrap();
        assert_eq!(plain_too.text, plain);
        let missing = self_contained(&folder.path().join("none.toml")).unwrap_err();
        assert!(missing.to_string().contains("none.toml"), "{missing}");
    }
}
