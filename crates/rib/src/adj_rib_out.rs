//! Adj-RIB-Out: what update groups are advertised, from the change log to octets.
//!
//! `groups` reads the log for every group and every member that joins or fell behind; `group` decides what
//! one group gets of a slot, with `export` saying whether it may have a path at all and `quota` how much
//! one member may have. What was advertised is kept by `one_path`, or by `add_path` where members get
//! several paths (RFC 7911), and `on_wire` says what it is where it arrives. `runs` gathers the changes of a turn for egress, and there `packer` writes
//! them as UPDATEs.

pub(crate) mod add_path;
pub(crate) mod export;
pub(crate) mod group;
pub(crate) mod groups;
pub(crate) mod members;
pub(crate) mod on_wire;
pub(crate) mod one_path;
pub(crate) mod packer;
pub(crate) mod quota;
pub(crate) mod runs;
