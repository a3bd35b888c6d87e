//! Files that the configuration names: sets' members, MD5 keys.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::reader::{Reader, Spot};

/// Whether a configuration may name files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// Those beside it: it is a file of this machine's operator.
    Beside,
    /// None: it came over the API, and whoever sent it must not read with the server's eyes.
    Nowhere,
}

/// The path of a file that the value at `spot` names, and its text, of `max` bytes at most. What is wrong
/// is noted there.
pub(super) fn read<T>(
    spot: &Spot<T>,
    file: &Path,
    max: u64,
    reader: &mut Reader,
) -> Option<(PathBuf, String)> {
    if reader.files() == Files::Nowhere {
        let message = "a configuration that comes over the API names no files: what they hold stands \
                       in their place (`thruway check FILE --against` does that)";
        reader.error_at(spot, message);
        return None;
    }
    let path = reader.folder().join(file);
    match bounded(&path, max) {
        Ok(text) => Some((path, text)),
        Err(why) => {
            reader.error_at(spot, format!("{}: {why}", path.display()));
            None
        }
    }
}

fn bounded(path: &Path, max: u64) -> Result<String, String> {
    // A pipe or a device may keep its reader for ever.
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(max.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > max {
        return Err(format!("the file has over {max} bytes"));
    }
    Ok(text)
}
