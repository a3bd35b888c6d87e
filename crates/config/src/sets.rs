//! `[prefix-set.NAME]`, `[community-set.NAME]`, `[as-set.NAME]`, `[as-path-set.NAME]`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use thruway_policy::{AsPathExpression, AsnRange, CommunityPattern, PrefixEntry, SetDefs};

use super::files;
use super::limits::{SET_FILE_ERRORS_MAX, SET_FILE_LEN_MAX};
use super::reader::{FromValue, Reader, Section, Spot};
use super::value::Members;

/// A kind of set: its table, and the key that holds its members.
pub(super) trait Member: FromValue + FromStr<Err: Display> {
    const TABLE: &str;
    const KEYS: &[&str];
}

impl Member for PrefixEntry {
    const TABLE: &str = "prefix-set";
    const KEYS: &[&str] = &["prefixes", "file"];
}

impl Member for CommunityPattern {
    const TABLE: &str = "community-set";
    const KEYS: &[&str] = &["communities", "file"];
}

impl Member for AsnRange {
    const TABLE: &str = "as-set";
    const KEYS: &[&str] = &["asns", "file"];
}

impl Member for AsPathExpression {
    const TABLE: &str = "as-path-set";
    const KEYS: &[&str] = &["expressions", "file"];
}

/// Reads all sets of the file.
pub(super) fn read(top: &Section<'_>, reader: &mut Reader) -> SetDefs {
    SetDefs {
        prefix_sets: kind(top, reader),
        community_sets: kind(top, reader),
        as_sets: kind(top, reader),
        as_path_sets: kind(top, reader),
    }
}

fn kind<T: Member>(top: &Section<'_>, reader: &mut Reader) -> BTreeMap<String, Vec<T>> {
    let Some(value) = top.value(T::TABLE) else {
        return BTreeMap::new();
    };
    let Some(tables) = Section::new(value, T::TABLE.into(), reader) else {
        return BTreeMap::new();
    };
    let mut sets = BTreeMap::new();
    for (name, section) in tables.named(reader) {
        // A set with faults still has a name: a policy that uses it has no second fault.
        let members = one(&section, reader);
        sets.insert(name, members);
    }
    sets
}

fn one<T: Member>(section: &Section<'_>, reader: &mut Reader) -> Vec<T> {
    section.check_keys(&[T::KEYS], reader);
    let [members_key, file_key] = T::KEYS else {
        return Vec::new();
    };
    if section.value(members_key).is_none() && section.value(file_key).is_none() {
        let message = format!("it needs `{members_key}` or `{file_key}`");
        reader.error(section.line, &section.path, message);
    }
    let members = section.get::<Members<T>>(members_key, reader);
    let mut members = members.map_or_else(Vec::new, |members| members.value.0);
    if let Some(file) = section.get::<PathBuf>(file_key, reader) {
        read_file(&file, &mut members, reader);
    }
    members
}

/// Reads a file with one member a line; `#` starts a comment.
fn read_file<T: Member>(spot: &Spot<PathBuf>, members: &mut Vec<T>, reader: &mut Reader) {
    let Some((path, text)) = files::read(spot, &spot.value, SET_FILE_LEN_MAX, reader) else {
        return;
    };
    let path = Arc::new(path);
    let mut faults = 0usize;
    for (index, line) in text.lines().enumerate() {
        let member = line.split('#').next().unwrap_or_default().trim();
        if member.is_empty() {
            continue;
        }
        match member.parse() {
            Ok(member) => members.push(member),
            Err(error) => {
                faults += 1;
                if faults <= SET_FILE_ERRORS_MAX {
                    reader.error_in(&path, index + 1, error.to_string());
                }
            }
        }
    }
    if let Some(more @ 1..) = faults.checked_sub(SET_FILE_ERRORS_MAX) {
        reader.error_in(&path, 0, format!("{more} more lines are wrong"));
    }
}
