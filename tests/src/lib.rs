//! Black-box tests: what they share.
//!
//! - [`data`]: the real dumps and captures; [`capture`] takes BGP messages out of the latter
//! - [`dump`]: real tables by peer
//! - [`lab`]: hosts as network namespaces
//! - [`daemon`]: BIRD, FRR, GoBGP, OpenBGPD, ExaBGP and Thruway on such hosts
//! - [`pki`]: certificates of a CA of their own
//! - [`rig`]: Thruway on loopback with scripted neighbours
//! - [`route`]: routes as tests compare them
//! - [`sim`]: whole topologies in one thread, from a seed
#![forbid(unsafe_code)]

pub mod capture;
pub mod daemon;
pub mod data;
pub mod dump;
pub mod lab;
pub mod pki;
pub mod rig;
pub mod route;
pub mod sim;
