//! What the API asks of the server behind it. One trait: the daemon answers it in earnest, a test with
//! whatever it wants to see.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thruway_api::{
    ConfigurationText, ConfirmReport, ExchangeView, Expectations, HistoryView, HostsTotals,
    HostsView, Member, Peer, PeerTable, Plan, Proposal, ReloadReport, Reset, ResetReport, Route,
    Status, SwitchReport, Wanted,
};
use thruway_tls::ServerTls;
use thruway_tokens::Tokens;
use thruway_wire::Prefix;

/// An answer that is being made.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refused>> + Send + 'a>>;

/// How a change of the configuration is asked for.
#[derive(Clone, Debug, Default)]
pub struct ChangeRequest {
    /// Who asks.
    pub author: String,
    /// What they say of it.
    pub comment: String,
    /// It is taken back after so long, unless somebody confirms it.
    pub confirm: Option<Duration>,
    /// The number of what is thought to run: where it does not, nothing is done.
    pub running: Option<u64>,
    /// It is made although it breaks what is expected of the network.
    pub force: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Refused {
    /// The question makes no sense here, and never will.
    Bad(String),
    /// It is about something that is not there.
    Unknown(String),
    /// The server cannot answer now.
    Failed(anyhow::Error),
}

impl Refused {
    /// The question makes no sense here.
    pub fn bad(why: impl std::fmt::Display) -> Self {
        Refused::Bad(why.to_string())
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Refused::Failed(error)
    }
}

/// The peers of a name.
#[derive(Clone, Debug)]
pub enum Found {
    /// The peer of this name or address.
    Peer(Box<Peer>),
    /// The sessions of an NVA or gateway, in the order of their addresses.
    Site(Vec<Peer>),
}

/// Routes as the shards find them. What it holds is small, however many there are: rows become routes
/// only as they are taken.
pub trait Routes: Send {
    /// Waits until there are routes to take. False at the end.
    fn wait(&mut self) -> Answer<'_, bool>;

    /// The next of those that are there.
    fn take(&mut self) -> Option<Route>;
}

/// What is counted: of one moment, and without a walk through any table.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The whole server.
    pub status: Status,
    /// Connections to the BGP port that no peer wanted, since the start.
    pub refused: u64,
    /// Every peer.
    pub peers: Vec<Peer>,
    /// What must stay true.
    pub expectations: Expectations,
    /// The virtual network, where there is one.
    pub network: Option<NetworkFigures>,
}

/// What is counted of the virtual network.
#[derive(Clone, Debug)]
pub struct NetworkFigures {
    /// Route exchange is on.
    pub enabled: bool,
    /// NVAs and gateways.
    pub members: Vec<Member>,
    /// Routes of hosts.
    pub hosts: HostsTotals,
}

/// The server behind the API.
pub trait RouteServer: Send + Sync + 'static {
    /// Names that requests over TCP may give the server, besides its addresses (`api-hosts`).
    fn api_hosts(&self) -> Vec<String>;

    /// Who may come over TCP; `None`: there are no tokens, and who comes from the machine itself may ask.
    fn tokens(&self) -> Option<Arc<Tokens>>;

    /// Why nobody may come over TCP, where something is wrong with what says who may.
    fn closed(&self) -> Option<String>;

    /// TLS over TCP; `None`: plain HTTP.
    fn tls(&self) -> Option<ServerTls>;

    /// The whole server.
    fn status(&self) -> Answer<'_, Status>;

    /// All peers, in the order of their addresses.
    fn peers(&self) -> Answer<'_, Vec<Peer>>;

    /// One peer, or the sessions of an NVA or gateway.
    fn peer<'a>(&'a self, name: &'a str) -> Answer<'a, Found>;

    /// A peer's routes; with the name of an NVA or gateway, those of all its sessions.
    fn peer_routes<'a>(
        &'a self,
        name: &'a str,
        table: PeerTable,
        wanted: Wanted,
    ) -> Answer<'a, Box<dyn Routes>>;

    /// The Loc-RIB and every path beside the best.
    fn routes(&self, wanted: Wanted) -> Answer<'_, Box<dyn Routes>>;

    /// Every path of a prefix with the step that it lost at; with `to`, why that peer is or is not
    /// advertised each.
    fn explain<'a>(&'a self, prefix: Prefix, to: Option<&'a str>) -> Answer<'a, Vec<Route>>;

    /// Resets the sessions of a name.
    fn reset<'a>(&'a self, name: &'a str, reset: Reset) -> Answer<'a, ResetReport>;

    /// Reads the configuration again.
    fn reload(&self, change: ChangeRequest) -> Answer<'_, ReloadReport>;

    /// Goes back to a configuration of the history, or to the one before.
    fn rollback(&self, number: Option<u64>, change: ChangeRequest) -> Answer<'_, ReloadReport>;

    /// What that would do.
    fn rollback_plan(&self, number: Option<u64>) -> Answer<'_, Plan>;

    /// Keeps the change that waits for its confirmation.
    fn confirm<'a>(&'a self, author: &'a str) -> Answer<'a, ConfirmReport>;

    /// The configurations that were in force.
    fn history(&self) -> Answer<'_, HistoryView>;

    /// The text of one of them; 0: of what runs; `None`: of the file.
    fn configuration(&self, number: Option<u64>) -> Answer<'_, ConfigurationText>;

    /// What must stay true of the network, and whether it is.
    fn expectations(&self) -> Answer<'_, Expectations>;

    /// What a changed configuration would do.
    fn plan(&self, proposal: Proposal) -> Answer<'_, Plan>;

    /// The virtual network.
    fn exchange(&self) -> Answer<'_, ExchangeView>;

    /// Turns route exchange on or off.
    fn switch(&self, enabled: bool) -> Answer<'_, SwitchReport>;

    /// The hosts' routes: all, those within a prefix, or the longest match of one.
    fn hosts(&self, wanted: Wanted) -> Answer<'_, HostsView>;

    /// What is counted.
    fn figures(&self) -> Answer<'_, Figures>;
}
