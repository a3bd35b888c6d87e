//! The real full table as a case.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use thruway_replay::generate::Viewpoint;
use thruway_replay::progress::Silent;
use thruway_replay::replay::{Feeds, PeerChoice};
use thruway_replay::table::Table;
use thruway_wire::Asn;
use thruway_wire::attrs::AttrSet;

/// The first peer's routes, as a session of `view` tells them.
pub(super) fn tables(file: &Path, view: &Viewpoint) -> Result<Vec<Table>> {
    let files = [file.to_path_buf()];
    let first = [PeerChoice::Place(0)];
    let feeds = Feeds::read(&files, &first, 1, &mut Silent, Instant::now())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let feed = feeds.feeds.first().context("nobody says anything in it")?;
    let table = feed.external(view.asn, view.next_hop4.into());
    // RFC 7607 forbids AS 0; four routes of the recorded table have it, and not every daemon obeys.
    let lawful = table.with_sets(|_, set| {
        let is_lawful = !set.as_path().contains(Asn::ZERO);
        is_lawful.then(|| AttrSet::new(set))
    });
    Ok(vec![lawful])
}
