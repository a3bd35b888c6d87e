//! The real full table as a case.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use thruway_replay::generate::Viewpoint;
use thruway_replay::progress::Silent;
use thruway_replay::replay::{Feeds, PeerChoice};
use thruway_replay::table::Table;

/// The first peer's routes, as a session of `view` tells them.
pub(super) fn tables(file: &Path, view: &Viewpoint) -> Result<Vec<Table>> {
    let files = [file.to_path_buf()];
    let first = [PeerChoice::Place(0)];
    let feeds = Feeds::read(&files, &first, 1, &mut Silent, Instant::now())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let feed = feeds.feeds.first().context("nobody says anything in it")?;
    Ok(vec![feed.external(view.asn, view.next_hop4.into())])
}
