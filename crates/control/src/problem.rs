//! How the API says that something went wrong: always as JSON, also where a request could not be read.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::de::DeserializeOwned;
use thruway_api::Failure;

use super::limits::RETRY_AFTER;
use super::server::Refused;

/// An answer that went wrong.
pub(super) struct Problem(pub(super) StatusCode, pub(super) String);

/// Beside an answer: what went wrong, for the log.
#[derive(Clone)]
pub(super) struct Why(pub(super) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let why = Why(self.1.clone());
        let mut response = (self.0, Json(Failure { error: self.1 })).into_response();
        response.extensions_mut().insert(why);
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            let again = HeaderValue::from_static(RETRY_AFTER);
            response.headers_mut().insert(header::RETRY_AFTER, again);
        }
        response
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Problem(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Bad(why) => Problem(StatusCode::BAD_REQUEST, why),
            Refused::Unknown(what) => Problem(StatusCode::NOT_FOUND, what),
            Refused::Failed(error) => error.into(),
        }
    }
}

pub(super) fn bad(text: impl std::fmt::Display) -> Problem {
    Problem(StatusCode::BAD_REQUEST, format!("{text}"))
}

/// What follows the `?`.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(read)) => Ok(Parameters(read)),
            Err(error) => Err(Problem(error.status(), error.body_text())),
        }
    }
}

/// The changing parts of a path.
pub(super) struct PathParts<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(read)) => Ok(PathParts(read)),
            Err(error) => Err(Problem(error.status(), error.body_text())),
        }
    }
}
