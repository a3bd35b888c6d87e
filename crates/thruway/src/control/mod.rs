//! The control plane: questions to the workers, the HTTP API, the log.

mod access;
pub(crate) mod bus;
pub(crate) mod door;
pub(crate) mod events;
mod exchange;
mod forecast;
mod http;
mod limits;
pub(crate) mod log;
mod metrics;
pub mod model;
pub mod network;
pub mod plan;
mod problem;
mod timed;
pub(crate) mod view;
