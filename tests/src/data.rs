//! Where the test data lies.

use std::path::{Path, PathBuf};

/// The folder of real dumps and captures: `$THRUWAY_DATA`, else `../shared/data` beside the
/// workspace. `None`, with one line that says so, where there is none: a clone alone can still be
/// tested.
#[must_use]
pub fn data_dir() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os("THRUWAY_DATA").map_or(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    println!(
        "no test data in {}: set THRUWAY_DATA; nothing is compared",
        dir.display()
    );
    None
}
