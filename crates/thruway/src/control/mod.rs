//! The control plane: questions to the workers, the HTTP API, the log.

pub(crate) mod bus;
pub(crate) mod events;
mod exchange;
mod forecast;
pub(crate) mod http;
pub(crate) mod log;
mod metrics;
pub mod model;
pub mod network;
pub mod plan;
pub(crate) mod view;
