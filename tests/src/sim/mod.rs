//! Whole topologies in one thread from a seed: the engine's workers, a network in memory, speakers
//! made from the wire layer alone, and a naive model that says what each of them must know.
//!
//! - [`world`]: workers, clock, faults, and the order in which they get their turns
//! - [`link`]: one connection's octets between a worker and a host
//! - [`host`]: a BGP speaker
//! - [`model`]: what each host must have been told
//! - [`rng`]: the seed's numbers

pub mod host;
pub mod link;
pub mod model;
pub mod rng;
pub mod world;
