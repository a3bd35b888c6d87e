//! The configuration file: TOML in, checked and typed values out.
//!
//! A file is read in three steps. `reader` and `value` read keys into what they may hold and note
//! every fault with its line; `resolve` lets peers inherit from their groups, fills in defaults and
//! checks what takes several keys; `exchange` makes peers of a virtual network's NVAs and gateways;
//! `load` checks what takes several tables, and compiles policies.
//! Reading goes on after a fault: all of them are told at once.

#![forbid(unsafe_code)]

mod diff;
mod exchange;
mod expect;
mod files;
mod inline;
mod keys;
pub mod limits;
mod load;
mod long;
mod model;
mod peer;
mod policy;
mod problem;
mod reader;
mod resolve;
mod server;
mod sets;
mod shown;
mod suggest;
mod trial;
mod value;

#[cfg(test)]
mod tests;

pub use diff::{Diff, ExpectChange, KeyChange, PeerChange};
pub use expect::{Bounds, Claim, Expect, Who};
pub use inline::{InlineError, SelfContained, self_contained};
pub use keys::Effect;
pub use model::{
    ApiTls, Config, Connection, Exchange, Export, Gateway, GracefulRestart, HostsConfig, Import,
    LogLevel, MaxPrefixes, Mode, NextHopRule, Nva, Peer, Secret, Server, Session, Target,
    Transport,
};
pub use problem::{ConfigErrors, Problem};
pub use server::default_api_socket;
