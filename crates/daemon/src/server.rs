//! The API's questions, answered by the running server.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use thruway_api::{
    ConfigurationText, ConfirmReport, ExchangeView, Expectations, HistoryView, HostsView, Peer,
    PeerTable, Plan, Proposal, ReloadReport, Reset, ResetReport, Route, Status, SwitchReport,
    Wanted,
};
use thruway_control::{
    Answer, ChangeRequest, Figures, Found, NetworkFigures, Refused, RouteServer, Routes,
};
use thruway_engine::status::PeerStatus;
use thruway_engine::{self as engine, Command};
use thruway_rib::{Filter, NotAdvertised, Query, RouteRow};
use thruway_tls::ServerTls;
use thruway_tokens::Tokens;
use thruway_wire::Prefix;

use super::answers::{Answers, Ready};
use super::bus::Rows;
use super::daemon::Daemon;
use super::describe::Receiver;
use super::view::Snapshot;
use super::{members, plan};

fn unknown(peer: &str) -> Refused {
    Refused::Unknown(format!(
        "no peer, NVA or gateway has the name or address `{peer}`"
    ))
}

/// What is asked for makes no sense here and now.
fn refused(error: &anyhow::Error) -> Refused {
    Refused::bad(format!("{error:#}"))
}

fn filter(wanted: Wanted) -> Filter {
    match wanted {
        Wanted::All(family) => Filter::All(family),
        Wanted::Exact(prefix) => Filter::Exact(prefix),
        Wanted::Longer(prefix) => Filter::Longer(prefix),
        Wanted::Longest(prefix) => Filter::Longest(prefix),
    }
}

async fn collect(rows: &mut Rows) -> Result<Vec<RouteRow>> {
    let mut all = Vec::new();
    while let Some(piece) = rows.next().await {
        all.extend(piece?);
    }
    Ok(all)
}

impl Daemon {
    /// The peers of a name; of an NVA or gateway there may be none.
    fn named<'s>(
        &self,
        snapshot: &'s Snapshot,
        name: &str,
    ) -> Result<Vec<&'s PeerStatus>, Refused> {
        let found = self.find_peers(snapshot, name);
        if found.is_empty() && !self.has_site(name) {
            return Err(unknown(name));
        }
        Ok(found)
    }

    /// The one peer of a name.
    fn one_peer<'s>(&self, snapshot: &'s Snapshot, name: &str) -> Result<&'s PeerStatus, Refused> {
        match self.find_peers(snapshot, name).as_slice() {
            [] => Err(unknown(name)),
            [one] => Ok(*one),
            all => {
                let names: Vec<&str> = all.iter().map(|peer| &*peer.name).collect();
                let names = names.join(", ");
                Err(Refused::bad(format!(
                    "{name} has several sessions: {names}"
                )))
            }
        }
    }

    fn describe_peers(&self, snapshot: &Snapshot) -> Vec<Peer> {
        let mut list: Vec<_> = snapshot.peers().map(|peer| snapshot.peer(peer)).collect();
        self.fill_in_configured(&mut list);
        list.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        list
    }

    async fn find(&self, name: &str) -> Result<Found, Refused> {
        let snapshot = self.snapshot().await?;
        let mut list = Vec::new();
        for status in self.named(&snapshot, name)? {
            let mut peer = snapshot.peer(status);
            self.fill_in_hits(&snapshot, status.peer, &mut peer);
            list.push(peer);
        }
        self.fill_in_configured(&mut list);
        if !self.has_site(name) && list.len() == 1 {
            return Ok(Found::Peer(Box::new(list.remove(0))));
        }
        Ok(Found::Site(list))
    }

    async fn routes_of(
        &self,
        name: &str,
        table: PeerTable,
        wanted: Wanted,
    ) -> Result<Box<dyn Routes>, Refused> {
        let snapshot = self.snapshot().await?;
        let filter = filter(wanted);
        let mut questions = VecDeque::new();
        for status in self.named(&snapshot, name)? {
            let peer = status.peer;
            let question = match table {
                PeerTable::Learned => (Query::Learned(peer, filter), None),
                PeerTable::Rejected => (Query::Rejected(peer, filter), None),
                PeerTable::Advertised => {
                    // Without a session it was advertised nothing.
                    let Some(group) = snapshot.group(peer) else {
                        continue;
                    };
                    let query = Query::Advertised {
                        peer,
                        group,
                        filter,
                    };
                    (query, Some(Receiver::new(status)))
                }
            };
            questions.push_back(question);
        }
        let names = self.share_names(snapshot.names());
        Ok(Box::new(Answers::new(self.bus(), questions, names)))
    }

    async fn all_routes(&self, wanted: Wanted) -> Result<Box<dyn Routes>, Refused> {
        let snapshot = self.snapshot().await?;
        let query = Query::Routes(filter(wanted));
        if !matches!(wanted, Wanted::Longest(_)) {
            let questions = VecDeque::from([(query, None)]);
            let names = self.share_names(snapshot.names());
            return Ok(Box::new(Answers::new(self.bus(), questions, names)));
        }
        // Each shard named its longest match; the longest of them is the answer.
        let mut found = collect(&mut self.bus().query(query)?).await?;
        let longest = found.iter().map(|row| row.prefix.prefix_len()).max();
        found.retain(|row| Some(row.prefix.prefix_len()) == longest);
        let names = snapshot.names();
        let routes: Vec<Route> = found.iter().map(|row| names.route(row)).collect();
        Ok(Box::new(Ready(routes.into_iter())))
    }

    async fn explained(&self, prefix: Prefix, to: Option<&str>) -> Result<Vec<Route>, Refused> {
        let snapshot = self.snapshot().await?;
        let receiver = to.map(|name| self.one_peer(&snapshot, name)).transpose()?;
        let to = match receiver {
            None => None,
            Some(peer) => {
                let missing = || Refused::bad(format!("{} has no session", peer.name));
                Some((peer.peer, peer.group.ok_or_else(missing)?))
            }
        };
        let mut rows = self.bus().query(Query::Explain { prefix, to })?;
        let found = collect(&mut rows).await?;
        let names = snapshot.names();
        let route = |row: &RouteRow| {
            let mut route = names.route(row);
            if let (Some(Err(NotAdvertised::Matrix)), Some(to)) = (&row.advertised, receiver)
                && let Some(why) = self.why_not(&snapshot, row.peer, to)
            {
                route.told = Some(why);
            }
            route
        };
        Ok(found.iter().map(route).collect())
    }

    async fn reset_peers(&self, name: &str, reset: Reset) -> Result<ResetReport, Refused> {
        let snapshot = self.snapshot().await?;
        let found = self.find_peers(&snapshot, name);
        if found.is_empty() {
            return Err(unknown(name));
        }
        let done = reset.as_str().to_owned();
        let kind = match reset {
            Reset::SoftIn => engine::Reset::SoftIn,
            Reset::SoftOut => engine::Reset::SoftOut,
            Reset::Hard(text) => engine::Reset::Hard(text),
            Reset::Shutdown(text) => engine::Reset::Shutdown(text),
            Reset::Start => engine::Reset::Start,
        };
        for peer in &found {
            let command = Command::Reset {
                peer: peer.peer,
                kind: kind.clone(),
            };
            self.bus().command(self.home(peer.addr.ip()), command)?;
        }
        let names: Vec<&str> = found.iter().map(|peer| &*peer.name).collect();
        Ok(ResetReport {
            peer: names.join(", "),
            reset: done,
        })
    }

    async fn count(&self) -> Result<Figures, Refused> {
        let snapshot = self.snapshot().await?;
        let network = self.network().map(|network| NetworkFigures {
            enabled: network.position().switch.enabled,
            members: members::states(self, &snapshot),
            hosts: network.hosts().map(|it| it.totals()).unwrap_or_default(),
        });
        Ok(Figures {
            status: Daemon::status(self, &snapshot),
            refused: self.refused(),
            peers: self.describe_peers(&snapshot),
            expectations: self.watcher.view(),
            network,
        })
    }
}

impl RouteServer for Daemon {
    fn api_hosts(&self) -> Vec<String> {
        self.config().server.api_hosts.clone()
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        self.state().access.tokens.clone()
    }

    fn closed(&self) -> Option<String> {
        self.state().access.closed.clone()
    }

    fn tls(&self) -> Option<ServerTls> {
        self.state().access.tls.clone()
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async {
            let mut status = Daemon::status(self, &self.snapshot().await?);
            status.revision = self.revision().await;
            Ok(status)
        })
    }

    fn peers(&self) -> Answer<'_, Vec<Peer>> {
        Box::pin(async { Ok(self.describe_peers(&self.snapshot().await?)) })
    }

    fn peer<'a>(&'a self, name: &'a str) -> Answer<'a, Found> {
        Box::pin(self.find(name))
    }

    fn peer_routes<'a>(
        &'a self,
        name: &'a str,
        table: PeerTable,
        wanted: Wanted,
    ) -> Answer<'a, Box<dyn Routes>> {
        Box::pin(self.routes_of(name, table, wanted))
    }

    fn routes(&self, wanted: Wanted) -> Answer<'_, Box<dyn Routes>> {
        Box::pin(self.all_routes(wanted))
    }

    fn explain<'a>(&'a self, prefix: Prefix, to: Option<&'a str>) -> Answer<'a, Vec<Route>> {
        Box::pin(self.explained(prefix, to))
    }

    fn reset<'a>(&'a self, name: &'a str, reset: Reset) -> Answer<'a, ResetReport> {
        Box::pin(self.reset_peers(name, reset))
    }

    fn reload(&self, change: ChangeRequest) -> Answer<'_, ReloadReport> {
        Box::pin(async move {
            Daemon::reload(self, &change)
                .await
                .map_err(|error| refused(&error))
        })
    }

    fn rollback(&self, number: Option<u64>, change: ChangeRequest) -> Answer<'_, ReloadReport> {
        Box::pin(async move {
            let report = Daemon::rollback(self, number, &change).await;
            report.map_err(|error| refused(&error))
        })
    }

    fn rollback_plan(&self, number: Option<u64>) -> Answer<'_, Plan> {
        Box::pin(Daemon::rollback_plan(self, number))
    }

    fn confirm<'a>(&'a self, author: &'a str) -> Answer<'a, ConfirmReport> {
        Box::pin(async move {
            Daemon::confirm(self, author)
                .await
                .map_err(|error| refused(&error))
        })
    }

    fn history(&self) -> Answer<'_, HistoryView> {
        Box::pin(async { Daemon::history(self).await.map_err(|error| refused(&error)) })
    }

    fn expectations(&self) -> Answer<'_, Expectations> {
        Box::pin(async { Ok(self.watcher.view()) })
    }

    fn configuration(&self, number: Option<u64>) -> Answer<'_, ConfigurationText> {
        Box::pin(async move {
            let text = Daemon::configuration(self, number)?;
            Ok(ConfigurationText { text })
        })
    }

    fn plan(&self, proposal: Proposal) -> Answer<'_, Plan> {
        Box::pin(plan::plan(self, proposal))
    }

    fn exchange(&self) -> Answer<'_, ExchangeView> {
        Box::pin(members::view(self))
    }

    fn switch(&self, enabled: bool) -> Answer<'_, SwitchReport> {
        Box::pin(async move {
            members::running(self)?;
            Ok(self.set_exchange(enabled).await?)
        })
    }

    fn hosts(&self, wanted: Wanted) -> Answer<'_, HostsView> {
        Box::pin(members::hosts(self, wanted))
    }

    fn figures(&self) -> Answer<'_, Figures> {
        Box::pin(self.count())
    }
}
