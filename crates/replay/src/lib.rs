//! What users run to load and check a BGP speaker, and what the benches and tests run.
//!
//! - [`generate`]: realistic tables from a seed; [`table`]: what one peer says
//! - [`load`]: many sessions on one thread, counted, timed and compared
//! - [`replay`]: MRT files as a load; [`cli`]: the commands of the binary
//! - [`speaker`]: one scripted neighbour on a thread of its own
//! - [`relay`]: the least server, to find this tool's own ceiling
//!
//! The BGP in here is written apart from the server's session layer, so that the one can judge the
//! other; only the codec is shared.
#![forbid(unsafe_code)]

pub mod cli;
mod describe;
pub mod dump;
mod endpoint;
pub mod generate;
mod hash;
pub mod limits;
pub mod load;
pub mod mrt_file;
mod pack;
mod peer;
pub mod progress;
mod random;
pub mod relay;
pub mod replay;
pub mod speaker;
pub mod table;

pub use endpoint::{Link, SessionOptions};
pub use peer::{Negotiated, PeerOptions, SessionEnd};
