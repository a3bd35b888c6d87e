//! The resources of the API.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRef, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use thruway_api::{
    ConfigurationText, ConfirmReport, ExchangeView, Expectations, Failure, HistoryView, HostsView,
    Peer, PeerTable, Plan, Proposal, ReloadReport, Reset, ResetReport, Status, SwitchReport,
    Wanted,
};
use thruway_wire::{Family, Prefix};
use tokio::sync::OwnedSemaphorePermit;

use super::door::{Reason, Site};
use super::events;
use super::limits::{BODY_TIME, COMMENT_MAX, CONFIRM_SECONDS_MAX, PIECE_BYTES, PROPOSAL_MAX};
use super::problem::{Parameters, PathParts, Problem, bad};
use super::server::{ChangeRequest, Found, Refused, RouteServer, Routes};
use super::who::Asker;

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
        .route("/v1/confirm", post(confirm))
        .route("/v1/rollback", get(rollback_plan).post(rollback))
        .route("/v1/history", get(history))
        .route("/v1/configuration", get(configuration))
        .route("/v1/expectations", get(expectations))
        .route("/v1/exchange", get(exchange).post(switch))
        .route("/v1/hosts", get(hosts))
        .route("/v1/plan", post(plan))
        // Its former name.
        .route("/v1/check", post(plan))
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

type Shared = State<Arc<dyn RouteServer>>;
type Said<T> = Result<Json<T>, Problem>;

impl FromRef<Site> for Arc<dyn RouteServer> {
    fn from_ref(site: &Site) -> Self {
        Arc::clone(&site.server)
    }
}

async fn status(State(server): Shared) -> Said<Status> {
    Ok(Json(server.status().await?))
}

async fn peers(State(server): Shared) -> Said<Vec<Peer>> {
    Ok(Json(server.peers().await?))
}

/// One peer, or a list: those of an NVA or gateway.
async fn peer(
    State(server): Shared,
    PathParts(name): PathParts<String>,
) -> Result<Response, Problem> {
    Ok(match server.peer(&name).await? {
        Found::Peer(peer) => Json(peer).into_response(),
        Found::Site(peers) => Json(peers).into_response(),
    })
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
    fn wanted(&self, longest: bool) -> Result<Wanted, Problem> {
        let family: Option<Family> = self
            .family
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(bad)?;
        let Some(text) = &self.prefix else {
            return Ok(Wanted::All(family));
        };
        let prefix: Prefix = text.parse().map_err(bad)?;
        Ok(match (self.longer, longest && !text.contains('/')) {
            (true, _) => Wanted::Longer(prefix),
            (false, true) => Wanted::Longest(prefix),
            (false, false) => Wanted::Exact(prefix),
        })
    }
}

async fn peer_routes(
    State(site): State<Site>,
    PathParts((name, table)): PathParts<(String, String)>,
    Parameters(parameters): Parameters<RouteParameters>,
) -> Result<Response, Problem> {
    let wanted = parameters.wanted(false)?;
    let Some(table) = PeerTable::named(&table) else {
        // What is not there is said first.
        site.server.peer(&name).await?;
        let known = PeerTable::ALL.map(PeerTable::as_str).join(", ");
        return Err(bad(format!("`{table}` is no table: {known}")));
    };
    let routes = site.server.peer_routes(&name, table, wanted).await?;
    stream(&site, routes)
}

async fn routes(
    State(site): State<Site>,
    Parameters(parameters): Parameters<RouteParameters>,
) -> Result<Response, Problem> {
    let wanted = parameters.wanted(true)?;
    let mut routes = site.server.routes(wanted).await?;
    if !matches!(wanted, Wanted::Longest(_)) {
        return stream(&site, routes);
    }
    // The paths of one prefix are no long answer, and wait behind none.
    let mut text = Vec::new();
    while routes.wait().await? {
        while let Some(route) = routes.take() {
            push_line(&mut text, &route);
        }
    }
    Ok(lines(Body::from(text)))
}

async fn explain(
    State(server): Shared,
    Parameters(parameters): Parameters<RouteParameters>,
) -> Result<Response, Problem> {
    let text = parameters
        .prefix
        .as_deref()
        .ok_or_else(|| bad("explain needs a prefix"))?;
    let prefix: Prefix = text.parse().map_err(bad)?;
    let routes = server.explain(prefix, parameters.to.as_deref()).await?;
    let mut text = Vec::new();
    routes.iter().for_each(|route| push_line(&mut text, route));
    Ok(lines(Body::from(text)))
}

/// Routes on their way to a reader. What it holds is small: a few rows, and one piece of text.
struct Answers {
    routes: Box<dyn Routes>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Answers {
    /// Lines of the next piece; `None` at the end.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while !self.ended {
            while let Some(route) = self.routes.take() {
                push_line(&mut text, &route);
                if text.len() >= PIECE_BYTES {
                    text.shrink_to_fit();
                    return Some(text);
                }
            }
            if !text.is_empty() {
                // Nobody waits for the next shard with what is there in hand.
                text.shrink_to_fit();
                return Some(text);
            }
            match self.routes.wait().await {
                Ok(more) => self.ended = !more,
                Err(refused) => {
                    self.ended = true;
                    let error = Problem::from(refused).1;
                    push_line(&mut text, &Failure { error });
                    return Some(text);
                }
            }
        }
        None
    }
}

/// A line of JSON for each route, as the shards find them.
fn stream(site: &Site, routes: Box<dyn Routes>) -> Result<Response, Problem> {
    let answers = Answers {
        _place: site.door.stream()?,
        routes,
        ended: false,
    };
    let pieces = futures_util::stream::unfold(answers, |mut answers| async move {
        let text = answers.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), answers))
    });
    Ok(lines(Body::from_stream(pieces)))
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
    State(server): Shared,
    PathParts(name): PathParts<String>,
    Parameters(parameters): Parameters<ResetParameters>,
) -> Said<ResetReport> {
    let reset = match Reset::parse(&parameters.kind, parameters.text) {
        Ok(reset) => reset,
        Err(why) => {
            server.peer(&name).await?;
            return Err(bad(why));
        }
    };
    Ok(Json(server.reset(&name, reset).await?))
}

/// How a change is to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeParameters {
    number: Option<u64>,
    /// What is thought to run: where it does not, nothing is done.
    running: Option<u64>,
    /// Seconds.
    confirm: Option<u64>,
    #[serde(default)]
    comment: String,
    /// Also where it breaks what is expected.
    #[serde(default)]
    force: bool,
}

impl ChangeParameters {
    fn request(&self, asker: &Asker) -> Result<ChangeRequest, Problem> {
        let wrong = |seconds: &u64| !(1..=CONFIRM_SECONDS_MAX).contains(seconds);
        if let Some(seconds) = self.confirm.filter(wrong) {
            return Err(bad(format!(
                "confirm: {seconds} s is not within 1 and {CONFIRM_SECONDS_MAX}"
            )));
        }
        if self.comment.len() > COMMENT_MAX || self.comment.contains(is_no_text) {
            return Err(bad(format!(
                "the comment is one line of up to {COMMENT_MAX} bytes"
            )));
        }
        Ok(ChangeRequest {
            author: asker.to_string(),
            comment: self.comment.clone(),
            confirm: self.confirm.map(Duration::from_secs),
            running: self.running,
            force: self.force,
        })
    }
}

/// True for what moves a cursor, breaks a line or turns the direction of a text.
fn is_no_text(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}')
}

/// Does something to its end, also where whoever asked goes away in the middle.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Said<T> {
    let done = tokio::spawn(work).await;
    Ok(Json(done.map_err(anyhow::Error::from)??))
}

async fn reload(
    State(server): Shared,
    Extension(asker): Extension<Asker>,
    Parameters(parameters): Parameters<ChangeParameters>,
) -> Said<ReloadReport> {
    if parameters.number.is_some() || parameters.running.is_some() {
        return Err(bad("a reload takes no number"));
    }
    let change = parameters.request(&asker)?;
    to_the_end(async move { server.reload(change).await }).await
}

/// `POST /v1/rollback`.
async fn rollback(
    State(server): Shared,
    Extension(asker): Extension<Asker>,
    Parameters(parameters): Parameters<ChangeParameters>,
) -> Said<ReloadReport> {
    let change = parameters.request(&asker)?;
    to_the_end(async move { server.rollback(parameters.number, change).await }).await
}

/// `GET /v1/rollback`: what it would do.
async fn rollback_plan(
    State(site): State<Site>,
    Parameters(parameters): Parameters<NumberParameters>,
) -> Said<Plan> {
    let _place = site.door.check()?;
    Ok(Json(site.server.rollback_plan(parameters.number).await?))
}

async fn confirm(State(server): Shared, Extension(asker): Extension<Asker>) -> Said<ConfirmReport> {
    let author = asker.to_string();
    to_the_end(async move { server.confirm(&author).await }).await
}

async fn history(State(server): Shared) -> Said<HistoryView> {
    Ok(Json(server.history().await?))
}

async fn expectations(State(server): Shared) -> Said<Expectations> {
    Ok(Json(server.expectations().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberParameters {
    number: Option<u64>,
}

async fn configuration(
    State(server): Shared,
    Parameters(parameters): Parameters<NumberParameters>,
) -> Said<ConfigurationText> {
    Ok(Json(server.configuration(parameters.number).await?))
}

/// `POST /v1/plan`.
async fn plan(State(site): State<Site>, request: Request) -> Said<Plan> {
    let place = site.door.check()?;
    let proposal = proposal(&site, request).await?;
    let server = Arc::clone(&site.server);
    // Whoever asked may go; what was begun for him keeps its place until it has ended.
    let checking = tokio::spawn(async move {
        let plan = server.plan(proposal).await;
        drop(place);
        plan
    });
    Ok(Json(checking.await.map_err(anyhow::Error::from)??))
}

/// True for the media type of JSON.
pub(super) fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The body, where it comes in time.
async fn proposal(site: &Site, request: Request) -> Result<Proposal, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !is_json(kind) {
        let text = "the body must be JSON: Content-Type: application/json".to_owned();
        return Err(Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let too_large = || {
        let text = format!("the body has over {PROPOSAL_MAX} bytes");
        Problem(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if request.body().size_hint().lower() > PROPOSAL_MAX as u64 {
        return Err(too_large());
    }
    let body = to_bytes(request.into_body(), PROPOSAL_MAX);
    let Ok(body) = tokio::time::timeout(BODY_TIME, body).await else {
        site.door.count(Reason::SlowBody);
        let text = format!("the body did not come within {} s", BODY_TIME.as_secs());
        return Err(Problem(StatusCode::REQUEST_TIMEOUT, text));
    };
    let body = body.map_err(|error| match error.source() {
        Some(source) if source.is::<LengthLimitError>() => too_large(),
        _ => bad(format!("the body cannot be read: {error}")),
    })?;
    serde_json::from_slice(&body).map_err(bad)
}

/// `GET /v1/exchange`.
async fn exchange(State(server): Shared) -> Said<ExchangeView> {
    Ok(Json(server.exchange().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchParameters {
    enabled: bool,
}

/// `POST /v1/exchange?enabled=`.
async fn switch(
    State(server): Shared,
    Parameters(parameters): Parameters<SwitchParameters>,
) -> Said<SwitchReport> {
    let enabled = parameters.enabled;
    to_the_end(async move { server.switch(enabled).await }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsParameters {
    prefix: Option<String>,
}

/// `GET /v1/hosts`: all routes of hosts, those in a prefix, or the best match of an address.
async fn hosts(
    State(server): Shared,
    Parameters(parameters): Parameters<HostsParameters>,
) -> Said<HostsView> {
    let wanted = match &parameters.prefix {
        None => Wanted::All(None),
        Some(text) if text.contains('/') => Wanted::Longer(text.parse().map_err(bad)?),
        Some(text) => match text.parse() {
            Ok(addr) => Wanted::Longest(Prefix::host(addr)),
            Err(_) => return Err(bad(format!("`{text}` is neither a prefix nor an address"))),
        },
    };
    Ok(Json(server.hosts(wanted).await?))
}

async fn metrics(State(site): State<Site>) -> Result<Response, Problem> {
    let figures = site.server.figures().await?;
    let text = super::metrics::text(&site, figures)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What is logged from now on, as it happens.
async fn stream_events(State(site): State<Site>) -> Result<Response, Problem> {
    use tokio::sync::broadcast::error::RecvError;
    let start = (events::listen(), site.door.stream()?);
    let (server, known) = (Arc::clone(&site.server), site.server.tokens());
    let is_known = move || {
        let tokens = server.tokens();
        tokens.as_ref().map(Arc::as_ptr) == known.as_ref().map(Arc::as_ptr)
    };
    let over_tcp = site.door.name == "tcp";
    let pieces = futures_util::stream::unfold(start, move |(mut heard, place)| {
        // Who may listen is asked again when the tokens are others.
        let ends = over_tcp && !is_known();
        async move {
            if ends {
                return None;
            }
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
        }
    });
    Ok(lines(Body::from_stream(pieces)))
}
