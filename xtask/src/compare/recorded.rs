//! The real full table as a case.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use thruway_replay::generate::Viewpoint;
use thruway_replay::progress::Silent;
use thruway_replay::replay::{Feeds, PeerChoice};
use thruway_replay::table::Table;
use thruway_wire::Asn;
use thruway_wire::attrs::{AttrSet, AttrSetBuf, code};

/// The first peer's routes, as a session of `view` tells them.
pub(super) fn tables(file: &Path, view: &Viewpoint) -> Result<Vec<Table>> {
    let files = [file.to_path_buf()];
    let first = [PeerChoice::Place(0)];
    let feeds = Feeds::read(&files, &first, 1, &mut Silent, Instant::now())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let feed = feeds.feeds.first().context("nobody says anything in it")?;
    let table = feed.external(view.asn, view.next_hop4.into());
    // What daemons differ about is left out, so that one expectation fits all: four routes with AS 0
    // in their paths (RFC 7607), and extended communities of types that nobody has defined.
    let mut scratch = AttrSetBuf::new();
    let lawful = table.with_sets(|_, set| {
        if set.as_path().contains(Asn::ZERO) {
            return None;
        }
        scratch.copy_from(set);
        scratch.remove(code::EXTENDED_COMMUNITIES);
        Some(AttrSet::new(scratch.as_ref()))
    });
    Ok(vec![lawful])
}
