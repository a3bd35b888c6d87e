//! `thruway decode`: MRT files and BGP messages in hex, for people, for programs and for scripts.
//!
//! The input's first octets tell what it is: a text is read as hex digits, sixteen `ff` as raw
//! messages, anything else as an MRT file, compressed or not. What is damaged goes to the error
//! output with its offset; reading goes on behind it, and the command fails at the end. What can be
//! read in spite of it is shown. Types of records that are known but not supported are counted, and
//! what had to be assumed is said, both at the end.

#![forbid(unsafe_code)]

mod args;
mod assumed;
mod decoder;
mod facts;
mod faults;
mod hex;
mod json;
mod line;
mod packet;
mod put;
mod raw;
mod scratch;
#[cfg(test)]
mod tests;
mod text;

pub use args::{AddPath, DecodeArgs};
pub use decoder::{run, run_to};
