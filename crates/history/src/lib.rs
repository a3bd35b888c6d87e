//! Configurations that were in force, in a folder: one file each, and two small ones that say which of
//! them runs and which waits for its confirmation.
//!
//! ```text
//!  000007.toml    #!thruway-history {"number":7,"at":…,"sha256":…}   and the configuration's text
//!  running        {"number":7,"takenBack":"…"}      what runs, where it is not what the file says
//!  pending        {"number":8,"backTo":7,"until":…} what goes back unless somebody confirms it
//! ```
//!
//! Everything is written beside its place, synced and renamed, and the folder is synced: a crash leaves
//! the old file or the new one. What is damaged all the same is named and passed over: it is never a reason
//! not to start. The files hold what the configuration holds, keys included: nobody but their owner
//! reads them.
#![forbid(unsafe_code)]

mod boot;
mod entry;
mod store;

pub use boot::Boot;
pub use entry::{Damaged, Entry, Kind, NewEntry, Pending, Running};
pub use store::{ENTRIES_MAX, HistoryError, OCTETS_MAX, Store, digest};
