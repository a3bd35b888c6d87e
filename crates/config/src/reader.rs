//! Reading tables of keys: every fault is noted with its line, and reading goes on.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use super::files::Files;
use super::long::LongLists;
use super::suggest::hint;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    /// Line from 1.
    pub(super) line: usize,
    /// The key from the top.
    pub(super) key: String,
}

/// Collects what is wrong while a file is read.
#[derive(Debug)]
pub(super) struct Reader {
    file: Arc<PathBuf>,
    files: Files,
    /// Lists that are not in the TOML tree.
    pub(super) long: Option<Arc<LongLists>>,
    /// Octet at which each line starts.
    line_starts: Vec<usize>,
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(path: &Path, text: &str, files: Files) -> Self {
        let newlines = text
            .bytes()
            .enumerate()
            .filter(|(_, octet)| *octet == b'\n');
        Reader {
            file: Arc::new(path.into()),
            files,
            long: None,
            line_starts: std::iter::once(0)
                .chain(newlines.map(|(at, _)| at + 1))
                .collect(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The configuration file.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Whether it may name files.
    pub(super) fn files(&self) -> Files {
        self.files
    }

    /// The folder that paths in the file are relative to.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Line of a span's start, from 1.
    pub(super) fn line(&self, span: Range<usize>) -> usize {
        let octet = match &self.long {
            Some(long) => long.octet(span.start),
            None => span.start,
        };
        self.line_starts.partition_point(|start| *start <= octet)
    }

    /// Notes a fault in the configuration file.
    pub(super) fn error(&mut self, line: usize, key: &str, message: impl Into<String>) {
        let problem = self.problem(line, key, message.into());
        self.errors.push(problem);
    }

    /// Notes a fault at a value.
    pub(super) fn error_at<T>(&mut self, spot: &Spot<T>, message: impl Into<String>) {
        self.error(spot.line, &spot.key, message);
    }

    /// Notes what is legal but may not be meant.
    pub(super) fn warn(&mut self, line: usize, key: &str, message: impl Into<String>) {
        let problem = self.problem(line, key, message.into());
        self.warnings.push(problem);
    }

    /// Notes a fault in another file.
    pub(super) fn error_in(&mut self, file: &Arc<PathBuf>, line: usize, message: String) {
        self.errors.push(Problem {
            file: Arc::clone(file),
            line,
            key: String::new(),
            message,
        });
    }

    fn problem(&self, line: usize, key: &str, message: String) -> Problem {
        Problem {
            file: Arc::clone(&self.file),
            line,
            key: key.into(),
            message,
        }
    }
}

/// What a TOML value can be read as.
pub(super) trait FromValue: Sized {
    /// Reads a value; `None` where it is wrong, which is noted then.
    fn from_value(value: &Spanned<DeValue<'_>>, key: &str, reader: &mut Reader) -> Option<Self>;
}

/// A table that is being read, and its place.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    pub(super) table: &'t DeTable<'t>,
    pub(super) line: usize,
    /// Its key from the top; empty for the whole file.
    pub(super) path: String,
}

impl<'t> Section<'t> {
    /// A value as a table.
    pub(super) fn new(
        value: &'t Spanned<DeValue<'_>>,
        path: String,
        reader: &mut Reader,
    ) -> Option<Self> {
        let line = reader.line(value.span());
        match value.get_ref().as_table() {
            Some(table) => Some(Section { table, line, path }),
            None => {
                let found = found(value.get_ref());
                reader.error(line, &path, format!("expected a table, found {found}"));
                None
            }
        }
    }

    /// A key's full name.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The value of a key, if the table has it.
    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Reads the value of a key, if the table has it.
    pub(super) fn get<T: FromValue>(&self, key: &str, reader: &mut Reader) -> Option<Spot<T>> {
        let value = self.value(key)?;
        let path = self.key(key);
        let line = reader.line(value.span());
        let value = T::from_value(value, &path, reader)?;
        Some(Spot {
            value,
            line,
            key: path,
        })
    }

    /// The table's members that are tables themselves: `[policy.NAME]` and the like.
    pub(super) fn named(&self, reader: &mut Reader) -> Vec<(String, Section<'t>)> {
        let mut named = Vec::new();
        for (name, value) in self.table {
            let path = self.key(name.get_ref());
            let section = Section::new(value, path, reader);
            named.extend(section.map(|section| (name.get_ref().to_string(), section)));
        }
        named
    }

    /// Notes every key that is not among `known`.
    pub(super) fn check_keys(&self, known: &[&[&str]], reader: &mut Reader) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if known.iter().any(|known| known.contains(&name)) {
                continue;
            }
            let names = known.iter().copied().flatten().copied();
            let hint = other_name(name, known).unwrap_or_else(|| hint(name, names));
            let line = reader.line(key.span());
            reader.error(line, &self.key(name), format!("unknown key{hint}"));
        }
    }
}

/// The tables of `[[key]]`; anything else is noted, and `what` are written so.
pub(super) fn tables_of<'t>(
    value: &'t Spanned<DeValue<'t>>,
    (key, what): (&str, &str),
    reader: &mut Reader,
) -> &'t [Spanned<DeValue<'t>>] {
    if let Some(list) = value.get_ref().as_array() {
        return list;
    }
    let line = reader.line(value.span());
    let message = format!("{what} are written as [[{key}]], with two brackets");
    reader.error(line, key, message);
    &[]
}

/// The same as sections with their numbers, each with its unknown keys noted.
pub(super) fn sections_of<'t>(
    value: &'t Spanned<DeValue<'t>>,
    (key, what): (&str, &str),
    known: &[&str],
    reader: &mut Reader,
) -> Vec<Section<'t>> {
    let mut sections = Vec::new();
    for (index, value) in tables_of(value, (key, what), reader).iter().enumerate() {
        let path = format!("{key}[{}]", index + 1);
        if let Some(section) = Section::new(value, path, reader) {
            section.check_keys(&[known], reader);
            sections.push(section);
        }
    }
    sections
}

/// What other BGP speakers call some of the keys; nearness in letters would not find them.
const OTHER_NAMES: [(&str, &str); 15] = [
    ("as", "asn"),
    ("remote-as", "asn"),
    ("local-as", "asn"),
    ("neighbor", "address"),
    ("neighbor-address", "address"),
    ("multihop", "ttl"),
    ("ebgp-multihop", "ttl"),
    ("ttl-security", "gtsm"),
    ("password", "md5"),
    ("max-prefix", "max-prefixes"),
    ("source-address", "local-address"),
    ("neighbor-address", "addresses"),
    ("address", "addresses"),
    ("prefix", "subnet"),
    ("branch-to-branch", "enabled"),
];

fn other_name(name: &str, known: &[&[&str]]) -> Option<String> {
    let name = name.replace('_', "-");
    let here = |ours: &str| known.iter().any(|known| known.contains(&ours));
    let mut ours = OTHER_NAMES.iter().filter(|(other, _)| *other == name);
    let (_, ours) = ours.find(|(_, ours)| here(ours))?;
    Some(format!("; did you mean `{ours}`?"))
}

/// A value's kind, for messages.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`{text}`"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Declares a table's keys once: the struct that they are read into, their names for the check for
/// unknown ones, and how a table inherits from another.
macro_rules! keys {
    ($(#[$meta:meta])* $vis:vis struct $name:ident inherits {
        $($field:ident: $type:ty = $key:literal,)*
    }) => {
        $crate::reader::keys! {
            $(#[$meta])* $vis struct $name { $($field: $type = $key,)* }
        }

        impl $name {
            /// What is said here, and from `other` what is not.
            $vis fn or(self, other: &$name) -> Self {
                $name { $($field: self.$field.or_else(|| other.$field.clone()),)* }
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($field:ident: $type:ty = $key:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name {
            $($vis $field: Option<$crate::reader::Spot<$type>>,)*
        }

        impl $name {
            $vis const KEYS: &[&str] = &[$($key),*];

            /// Reads the keys without looking for unknown ones.
            $vis fn read(
                section: &$crate::reader::Section<'_>,
                reader: &mut $crate::reader::Reader,
            ) -> Self {
                $name { $($field: section.get($key, reader),)* }
            }
        }
    };
}
pub(super) use keys;
