//! The daemon and its tools.
#![forbid(unsafe_code)]

pub mod config;
pub mod control;
pub mod decode;
pub mod demo;
pub mod hosts;
pub mod serve;
pub mod show;
