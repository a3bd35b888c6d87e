//! What is asked of a running server and what it answers, as types, and a client that asks.
//!
//! The server writes these as JSON, and whoever asks it reads them: the command line, a view in a
//! terminal, a page, another server. So a field that is here stays: a reader of an older release must
//! not stumble, and a field that is new has a default.
//!
//! The room knows nothing of the daemon or the engine, and never will: it is what both ends of the API
//! may share.
#![forbid(unsafe_code)]

mod client;
mod expect;
mod history;
mod hosts;
mod network;
mod peer;
mod plan;
mod route;
mod server;
mod time;

pub use client::{Client, encode};
pub use expect::{Expectation, ExpectationState, Expectations, PlannedExpectation};
pub use history::{
    ConfigurationText, ConfirmReport, HistoryEntry, HistoryView, PendingView, Revision,
};
pub use hosts::{HostGateway, HostHop, HostRoute, HostState, HostsTotals, HostsView, KernelTable};
pub use network::{
    ExchangeView, HostsSummary, MatrixCell, Member, MemberSession, PeeredView, SwitchPeer,
    SwitchReport, VnetView,
};
pub use peer::{
    Peer, PeerDamped, PeerLimit, PolicyHits, Reset, ResetReport, RouteCounts, StatementHits,
};
pub use plan::{
    AttributeChange, Effect, LimitForecast, Move, Plan, PlannedKey, PlannedRoute, PlannedRoutes,
    Proposal, SessionChange,
};
pub use route::{Lost, PeerTable, Route, Wanted};
pub use server::{Failure, ReloadReport, Status};
pub use time::time_text;
