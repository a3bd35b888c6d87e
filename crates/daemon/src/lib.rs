//! What `thruway serve` runs: threads, sockets and signals meet the engine here.
//!
//! `worker` is a thread with its transport and one engine worker; `bus` is the way to all of them; `daemon`
//! is the running server as the control plane sees it, and `server` answers the API's questions with it.
//! `peers` and `local` make of the configuration what the engine takes, `reload` puts it in force, and
//! `plan` says what a changed one would do.
//!
//! The room composes: it decides nothing about routes. It reads no argument of the command line, and
//! nothing of it is called by a worker's turn but `sink`.
#![forbid(unsafe_code)]

mod answers;
mod bus;
mod change;
mod clock;
mod daemon;
mod describe;
mod entry;
mod exchange;
mod expect;
mod limits;
mod local;
mod log;
mod members;
mod panic;
mod peers;
mod plan;
mod port;
mod reload;
mod serve;
mod server;
mod sink;
mod state_file;
mod stderr;
mod strangers;
mod switch;
mod view;
mod worker;

pub use serve::run;
