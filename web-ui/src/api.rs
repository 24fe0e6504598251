//! The graph and one snapshot as JSON; asking the run to drain or to stop.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use eddyline_runtime::observer::Watch;
use serde_json::json;
use thiserror::Error;

use crate::{present::PresentRun, ticker::MOST_READERS};

pub(crate) async fn graph(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    Ok(as_json(present.get()?.graph().await?))
}

pub(crate) async fn snapshot(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    Ok(as_json(present.get()?.snapshot().await?))
}

pub(crate) async fn drain(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    ask(&present, "drain", |run| run.drain())
}

pub(crate) async fn stop(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    ask(&present, "stop", |run| run.stop())
}

fn ask(present: &PresentRun, what: &str, ask: fn(&dyn Watch)) -> Result<Response, ApiError> {
    ask(present.get()?.run.as_ref());
    Ok((StatusCode::ACCEPTED, Json(json!({ "asked": what }))).into_response())
}

fn as_json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Why a question to the run has no answer.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    #[error("no run has started yet")]
    NoRun,
    #[error("{MOST_READERS} pages are open already")]
    TooManyReaders,
    #[error("there is nothing under this path")]
    NoSuchPath,
    #[error("looking at the run failed: {0}")]
    Look(#[from] tokio::task::JoinError),
    #[error("the view cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoRun | Self::TooManyReaders => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::Look(_) | Self::Json(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NoRun => "wait: the page shows the run as soon as it starts",
            Self::TooManyReaders => "close a page that is no longer looked at",
            Self::NoSuchPath => "use /api/graph, /api/snapshot, /api/events, /api/drain or /api/stop",
            Self::Look(_) | Self::Json(_) => "this is a fault of Eddyline; the run itself goes on",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "what": self.to_string(), "advice": self.advice() }));
        (self.status(), body).into_response()
    }
}
