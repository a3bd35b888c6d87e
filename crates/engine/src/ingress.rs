//! Ingress: from octets of a socket to one batch of routes for each shard.
//!
//! `conns` holds what has come and was not parsed, `receive` frames and parses it and gives the session
//! what is its, `routes` turns UPDATEs into events of the shards.

pub(crate) mod conns;
pub(crate) mod receive;
pub(crate) mod routes;
