//! The folder, whole and damaged.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::Kind;

fn new(what: &str) -> NewEntry {
    NewEntry {
        at: "2026-01-01T00:00:00Z".to_owned(),
        author: "somebody".to_owned(),
        comment: String::new(),
        kind: Kind::Reload,
        what: what.to_owned(),
        undone: None,
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("history"), |why| panic!("{why}")).unwrap();
    (folder, store)
}

#[test]
fn what_is_remembered_comes_back() {
    let (_folder, store) = store();
    let text = "[server]\nasn = 64500\n";
    let first = store.append(new("one"), text).unwrap();
    let second = store.append(new("two"), "").unwrap();
    assert_eq!((first.number, second.number), (1, 2));
    assert_eq!(store.read(1).unwrap(), (first.clone(), text.to_owned()));
    assert_eq!(store.list().unwrap(), (vec![first, second], Vec::new()));
    assert!(matches!(store.read(3), Err(HistoryError::Unknown(3))));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.folder()), 0o700);
    assert_eq!(mode(&store.folder().join("000001.toml")), 0o600);
}

#[test]
fn the_oldest_go_but_not_what_is_needed() {
    let (_folder, store) = store();
    store.append(new("first"), "a").unwrap();
    let pending = Pending {
        number: 9,
        back_to: 1,
        confirmed: None,
        taken_back: Some(digest("b")),
        until: 0,
        author: "somebody".to_owned(),
    };
    store.set_pending(&pending).unwrap();
    for n in 0..ENTRIES_MAX + 5 {
        store.append(new("more"), &n.to_string()).unwrap();
    }
    let (entries, _) = store.list().unwrap();
    assert_eq!(
        entries.first().map(|it| it.number),
        Some(1),
        "it is gone back to"
    );
    assert!(
        (ENTRIES_MAX..=ENTRIES_MAX + 1).contains(&entries.len()),
        "{}",
        entries.len()
    );
    assert_eq!(store.pending().unwrap(), Some(pending));
    store.clear_pending().unwrap();
    store.clear_pending().unwrap();
    assert_eq!(store.pending().unwrap(), None);
}

#[test]
fn damage_is_named_and_passed_over() {
    let (_folder, store) = store();
    for n in 0..3 {
        store.append(new("one"), &format!("text {n}")).unwrap();
    }
    let path = |n: u64| store.folder().join(name(n));
    let whole = fs::read_to_string(path(1)).unwrap();
    // Every cut, and a changed octet of the text.
    for cut in 0..whole.len() {
        fs::write(path(1), &whole[..cut]).unwrap();
        assert!(store.read(1).is_err(), "{cut} octets");
    }
    fs::write(path(1), whole.replace("text 0", "text 9")).unwrap();
    fs::write(path(2), [0xff, 0xfe, 0]).unwrap();
    fs::write(store.folder().join("rubbish"), "x").unwrap();
    fs::write(store.folder().join("running"), "{").unwrap();
    let (entries, damaged) = store.list().unwrap();
    assert_eq!(entries.iter().map(|it| it.number).collect::<Vec<_>>(), [3]);
    let files: Vec<&str> = damaged.iter().map(|it| it.file.as_str()).collect();
    assert_eq!(files, ["000001.toml", "000002.toml"]);
    assert!(store.running().unwrap_err().to_string().contains("running"));
    assert_eq!(store.append(new("next"), "").unwrap().number, 4);
}

#[test]
fn nothing_is_left_of_a_write_that_fails() {
    let (_folder, store) = store();
    store.append(new("one"), "a").unwrap();
    // Where the name is taken by a folder nothing can be renamed to.
    fs::create_dir(store.folder().join(name(2))).unwrap();
    fs::write(store.folder().join(name(2)).join("x"), "").unwrap();
    let error = store.write(&name(2), &["b"]).unwrap_err().to_string();
    assert!(error.contains("000002.toml"), "{error}");
    let files = fs::read_dir(store.folder()).unwrap().count();
    assert_eq!(files, 2, "no temporary file");
}

#[test]
fn one_server_holds_a_history() {
    let (_folder, store) = store();
    let second = Store::open(store.folder(), |_| ());
    assert!(matches!(second, Err(HistoryError::Held(_))));
    let path = store.folder().to_owned();
    fs::write(path.join(".tmpabc"), "cut off").unwrap();
    drop(store);
    let store = Store::open(&path, |why| panic!("{why}")).unwrap();
    assert_eq!(
        fs::read_dir(&path).unwrap().count(),
        0,
        "what was cut off is gone"
    );
    // It goes on where the folder was taken away, and knows no number that is none.
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(store.append(new("one"), "a").unwrap().number, 1);
    fs::write(path.join(format!("{}.toml", u64::MAX)), "").unwrap();
    assert_eq!(store.append(new("two"), "b").unwrap().number, 2);
}

#[test]
fn what_is_no_file_keeps_nobody() {
    let (_folder, store) = store();
    fs::create_dir(store.folder().join("000001.toml")).unwrap();
    fs::create_dir(store.folder().join("running")).unwrap();
    assert!(store.running().is_err());
    assert_eq!(store.list().unwrap().1.len(), 1);
}
