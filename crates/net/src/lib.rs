//! Sockets for BGP sessions: one completion-shaped [`Transport`] per worker thread, with io_uring
//! and epoll behind it as equals.
//!
//! The caller's turn is always the same: [`Transport::poll`] hands events to a sink, the sink only
//! notes what is to be done, and after `poll` the caller does it ([`Transport::send`],
//! [`Transport::close`], ...). Nothing of this crate starts a thread.
//!
//! This crate is the one home of `unsafe` in the product.

mod deadline;
mod epoll;
mod error;
mod exit;
mod faulty;
pub mod limits;
mod links;
mod listeners;
mod md5;
mod memory;
mod open;
mod socket;
mod sockopt;
mod table;
mod transport;
mod turn;
mod uring;
mod waker;

pub use exit::exit_now;
pub use faulty::{Faults, Faulty};
pub use links::Links;
pub use md5::md5_key_limit;
pub use memory::{give_back_all_memory, give_back_memory};
pub use open::open;
pub use transport::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, Counters, Event, ListenOptions,
    ListenerId, Md5Key, Transport, TransportChoice, TransportKind, UnknownTransport,
};
pub use waker::Waker;
