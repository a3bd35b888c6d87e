//! The HTTP API, on TCP and on a Unix socket.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRef, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use thruway_engine::status::PeerStatus;
use thruway_engine::{Command, Reset};
use thruway_rib::{Filter, NotTold, Query, RouteRow};
use thruway_wire::{Family, Prefix};
use tokio::sync::OwnedSemaphorePermit;

use super::bus::{Bus, Rows};
use super::door::Site;
use super::events;
use super::limits::PIECE_BYTES;
use super::model::{Failure, Route};
use super::problem::{Parameters, PathParts, Problem, bad};
use super::view::{Names, Snapshot};
use super::{exchange, forecast};
use crate::serve::daemon::Daemon;
use crate::serve::describe::Export;

/// The routes of the API, for those who come one way.
pub(super) fn router(site: Site) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/peers", get(peers))
        .route("/v1/peers/{name}", get(peer))
        .route("/v1/peers/{name}/reset", post(reset))
        .route("/v1/peers/{name}/{table}", get(peer_routes))
        .route("/v1/routes", get(routes))
        .route("/v1/explain", get(explain))
        .route("/v1/reload", post(reload))
        .route("/v1/exchange", get(exchange::show).post(exchange::switch))
        .route("/v1/hosts", get(exchange::hosts))
        .route("/v1/check", post(forecast::check))
        .route("/v1/events", get(stream_events))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem(StatusCode::NOT_FOUND, "no such resource".to_owned()) })
        .method_not_allowed_fallback(|method: Method| async move {
            let text =
                format!("the resource knows no {method}; the header Allow says what it knows");
            Problem(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .with_state(site)
}

pub(super) type Shared = State<Arc<Daemon>>;

impl FromRef<Site> for Arc<Daemon> {
    fn from_ref(site: &Site) -> Self {
        Arc::clone(&site.daemon)
    }
}

fn unknown(peer: &str) -> Problem {
    Problem(
        StatusCode::NOT_FOUND,
        format!("no peer, NVA or gateway has the name or address `{peer}`"),
    )
}

async fn status(State(daemon): Shared) -> Result<Response, Problem> {
    let snapshot = daemon.snapshot().await?;
    Ok(Json(daemon.status(&snapshot)).into_response())
}

async fn peers(State(daemon): Shared) -> Result<Response, Problem> {
    let snapshot = daemon.snapshot().await?;
    let mut list: Vec<_> = snapshot.peers().map(|peer| snapshot.peer(peer)).collect();
    daemon.fill_in_configured(&mut list);
    list.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    Ok(Json(list).into_response())
}

/// One peer, or a list: those of an NVA or gateway.
async fn peer(
    State(daemon): Shared,
    PathParts(name): PathParts<String>,
) -> Result<Response, Problem> {
    let snapshot = daemon.snapshot().await?;
    let found = daemon.find_peers(&snapshot, &name);
    if found.is_empty() && !daemon.has_site(&name) {
        return Err(unknown(&name));
    }
    let mut list = Vec::new();
    for status in &found {
        let mut peer = snapshot.peer(status);
        daemon.fill_in_hits(&snapshot, status.peer, &mut peer);
        list.push(peer);
    }
    daemon.fill_in_configured(&mut list);
    if !daemon.has_site(&name) && list.len() == 1 {
        return Ok(Json(list.remove(0)).into_response());
    }
    Ok(Json(list).into_response())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RouteParameters {
    prefix: Option<String>,
    #[serde(default)]
    longer: bool,
    family: Option<String>,
    to: Option<String>,
}

impl RouteParameters {
    /// All, one with its best cover where `longest`, or one and its more specifics.
    fn filter(&self, longest: bool) -> Result<Filter, Problem> {
        let family: Option<Family> = self
            .family
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(bad)?;
        let Some(text) = &self.prefix else {
            return Ok(Filter::All(family));
        };
        let prefix: Prefix = text.parse().map_err(bad)?;
        Ok(match (self.longer, longest && !text.contains('/')) {
            (true, _) => Filter::Longer(prefix),
            (false, true) => Filter::Longest(prefix),
            (false, false) => Filter::Exact(prefix),
        })
    }
}

async fn peer_routes(
    State(site): State<Site>,
    PathParts((name, table)): PathParts<(String, String)>,
    Parameters(parameters): Parameters<RouteParameters>,
) -> Result<Response, Problem> {
    let daemon = &site.daemon;
    let snapshot = daemon.snapshot().await?;
    let found = daemon.find_peers(&snapshot, &name);
    if found.is_empty() && !daemon.has_site(&name) {
        return Err(unknown(&name));
    }
    let filter = parameters.filter(false)?;
    let mut questions = VecDeque::new();
    for peer in found {
        let id = peer.peer;
        let query = match table.as_str() {
            "learned" => Query::Learned(id, filter),
            "rejected" => Query::Rejected(id, filter),
            "advertised" => match snapshot.group(id) {
                Some(group) => Query::Advertised {
                    peer: id,
                    group,
                    filter,
                },
                // Without a session it was told nothing.
                None => continue,
            },
            _ => {
                return Err(bad(format!(
                    "`{table}` is no table: learned, rejected, advertised"
                )));
            }
        };
        let export = (table == "advertised").then(|| daemon.export_of(peer));
        questions.push_back((query, export.flatten()));
    }
    stream(&site, questions, snapshot.names())
}

async fn routes(
    State(site): State<Site>,
    Parameters(parameters): Parameters<RouteParameters>,
) -> Result<Response, Problem> {
    let daemon = &site.daemon;
    let snapshot = daemon.snapshot().await?;
    let filter = parameters.filter(true)?;
    let query = Query::Routes(filter);
    if !matches!(filter, Filter::Longest(_)) {
        let questions = VecDeque::from([(query, None)]);
        return stream(&site, questions, snapshot.names());
    }
    let mut rows = daemon.bus().query(query)?;
    // Each shard named its longest match; the longest of them is the answer.
    let mut found = collect(&mut rows).await?;
    let longest = found.iter().map(|row| row.prefix.prefix_len()).max();
    found.retain(|row| Some(row.prefix.prefix_len()) == longest);
    let names = snapshot.names();
    Ok(all_lines(found.iter().map(|row| names.route(row))))
}

async fn explain(
    State(daemon): Shared,
    Parameters(parameters): Parameters<RouteParameters>,
) -> Result<Response, Problem> {
    let snapshot = daemon.snapshot().await?;
    let text = parameters
        .prefix
        .as_deref()
        .ok_or_else(|| bad("explain needs a prefix"))?;
    let prefix: Prefix = text.parse().map_err(bad)?;
    let receiver = match &parameters.to {
        None => None,
        Some(name) => Some(one_peer(&daemon, &snapshot, name)?),
    };
    let to = match receiver {
        None => None,
        Some(peer) => {
            let missing = || bad(format!("{} has no session", peer.name));
            Some((peer.peer, peer.group.ok_or_else(missing)?))
        }
    };
    let mut rows = daemon.bus().query(Query::Explain { prefix, to })?;
    let found = collect(&mut rows).await?;
    let names = snapshot.names();
    Ok(all_lines(found.iter().map(|row| {
        let mut route = names.route(row);
        if let (Some(Err(NotTold::Matrix)), Some(to)) = (&row.told, receiver)
            && let Some(why) = daemon.why_not(&snapshot, row.peer, to)
        {
            route.told = Some(why);
        }
        route
    })))
}

/// The one peer of a name.
fn one_peer<'s>(
    daemon: &Daemon,
    snapshot: &'s Snapshot,
    name: &str,
) -> Result<&'s PeerStatus, Problem> {
    match daemon.find_peers(snapshot, name).as_slice() {
        [] => Err(unknown(name)),
        [one] => Ok(*one),
        all => {
            let names: Vec<&str> = all.iter().map(|peer| &*peer.name).collect();
            let names = names.join(", ");
            Err(bad(format!("{name} has several sessions: {names}")))
        }
    }
}

async fn collect(rows: &mut Rows) -> Result<Vec<RouteRow>, Problem> {
    let mut all = Vec::new();
    while let Some(piece) = rows.next().await {
        all.extend(piece?);
    }
    Ok(all)
}

/// A question, and what happens to its routes on their way to the peer that was told them.
type Question = (Query, Option<Export>);

/// Questions that are answered one after the other. What it holds for its reader is small: a few rows, and
/// one piece of text.
struct Answers {
    bus: Arc<Bus>,
    waiting: VecDeque<Question>,
    current: Option<(Rows, Option<Export>)>,
    /// Found and not written yet.
    rows: std::vec::IntoIter<RouteRow>,
    names: Arc<Names>,
    _place: OwnedSemaphorePermit,
}

impl Answers {
    /// Lines of the next piece; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.current.is_none() {
                let (query, export) = self.waiting.pop_front()?;
                match self.bus.query_in_turn(query) {
                    Ok(rows) => self.current = Some((rows, export)),
                    Err(error) => return Some(self.failed(&error)),
                }
            }
            let (rows, export) = self.current.as_mut()?;
            if self.rows.as_slice().is_empty() {
                match rows.next().await {
                    None => self.current = None,
                    Some(Err(error)) => return Some(self.failed(&error)),
                    Some(Ok(piece)) => self.rows = piece.into_iter(),
                }
                continue;
            }
            let mut text = Vec::new();
            for row in self.rows.by_ref() {
                let route = match export {
                    Some(export) => export.route(&self.names, &row),
                    None => self.names.route(&row),
                };
                push_line(&mut text, &route);
                if text.len() >= PIECE_BYTES {
                    break;
                }
            }
            text.shrink_to_fit();
            return Some(text);
        }
    }

    /// The last line.
    fn failed(&mut self, error: &anyhow::Error) -> Vec<u8> {
        self.waiting.clear();
        self.current = None;
        let mut text = Vec::new();
        let error = format!("{error:#}");
        push_line(&mut text, &Failure { error });
        text
    }
}

/// A line of JSON for each route, as the shards find them.
fn stream(site: &Site, waiting: VecDeque<Question>, names: Names) -> Result<Response, Problem> {
    let answers = Answers {
        _place: site.door.stream()?,
        bus: Arc::clone(site.daemon.bus()),
        waiting,
        current: None,
        rows: Vec::new().into_iter(),
        names: site.share(names),
    };
    let pieces = futures_util::stream::unfold(answers, |mut answers| async move {
        let text = answers.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), answers))
    });
    Ok(lines(Body::from_stream(pieces)))
}

fn all_lines(routes: impl Iterator<Item = Route>) -> Response {
    let mut text = Vec::new();
    routes.for_each(|route| push_line(&mut text, &route));
    lines(Body::from(text))
}

fn push_line(text: &mut Vec<u8>, value: &impl serde::Serialize) {
    if serde_json::to_writer(&mut *text, value).is_ok() {
        text.push(b'\n');
    }
}

fn lines(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetParameters {
    kind: String,
    #[serde(default)]
    text: String,
}

async fn reset(
    State(daemon): Shared,
    PathParts(name): PathParts<String>,
    Parameters(parameters): Parameters<ResetParameters>,
) -> Result<Response, Problem> {
    let snapshot = daemon.snapshot().await?;
    let found = daemon.find_peers(&snapshot, &name);
    if found.is_empty() {
        return Err(unknown(&name));
    }
    let text = parameters.text;
    let kind = match parameters.kind.as_str() {
        "soft-in" => Reset::SoftIn,
        "soft-out" => Reset::SoftOut,
        "hard" => Reset::Hard(text),
        "shutdown" => Reset::Shutdown(text),
        "start" => Reset::Start,
        other => {
            return Err(bad(format!(
                "`{other}` is no reset: soft-in, soft-out, hard, shutdown, start"
            )));
        }
    };
    for peer in &found {
        let command = Command::Reset {
            peer: peer.peer,
            kind: kind.clone(),
        };
        daemon.bus().command(daemon.home(peer.addr.ip()), command)?;
    }
    let names: Vec<&str> = found.iter().map(|peer| &*peer.name).collect();
    let answer = serde_json::json!({ "peer": names.join(", "), "reset": parameters.kind });
    Ok(Json(answer).into_response())
}

async fn reload(State(daemon): Shared) -> Result<Response, Problem> {
    match daemon.reload().await {
        Ok(report) => Ok(Json(report).into_response()),
        Err(error) => Err(bad(format!("{error:#}"))),
    }
}

async fn metrics(State(site): State<Site>) -> Result<Response, Problem> {
    let snapshot = site.daemon.snapshot().await?;
    let text = super::metrics::text(&site, &snapshot)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What is logged from now on, as it happens.
async fn stream_events(State(site): State<Site>) -> Result<Response, Problem> {
    use tokio::sync::broadcast::error::RecvError;
    let start = (events::listen(), site.door.stream()?);
    let pieces = futures_util::stream::unfold(start, |(mut heard, place)| async move {
        let line = match heard.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(missed)) => {
                let mut text = Vec::new();
                push_line(&mut text, &serde_json::json!({ "missed": missed }));
                text.into()
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok::<_, Infallible>(line), (heard, place)))
    });
    Ok(lines(Body::from_stream(pieces)))
}
