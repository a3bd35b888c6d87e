//! The command line: arguments, tables for people, and the demo. All else is other rooms' work.
#![forbid(unsafe_code)]

mod check;
pub mod demo;
pub mod serve;
pub mod show;
pub mod token;
