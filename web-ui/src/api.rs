//! The graph, one snapshot and the questions for people as JSON; asking the run to drain, to stop, to pause and to go on; answers.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use eddyline_runtime::{
    observer::{Part, SteerError, Watch},
    people::AnswerError,
    quarantine::{ReplayError, StoreError},
    record::{NoRecordId, RecordId},
    slots::SlotError,
};
use serde_json::json;
use thiserror::Error;
use tokio::task;

use crate::{present::PresentRun, ticker::MOST_READERS};

pub(crate) async fn graph(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    Ok(as_json(present.get()?.graph().await?))
}

pub(crate) async fn snapshot(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    Ok(as_json(present.get()?.snapshot().await?))
}

/// Questions that are sent at once; answered ones make room for others.
const MOST_QUESTIONS: usize = 100;

pub(crate) async fn questions(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    Ok(as_json(present.get()?.questions(MOST_QUESTIONS).await?))
}

pub(crate) async fn question(
    State(present): State<PresentRun>,
    question: Result<Path<(u32, u64)>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path((node, number)) = question.map_err(|_| ApiError::NoSuchPath)?;
    let run = present.get()?.run;
    // It may be a large picture.
    let value = task::spawn_blocking(move || run.question(node, number)).await??;
    Ok(Json(json!({ "value": value })).into_response())
}

pub(crate) async fn answer(
    State(present): State<PresentRun>,
    question: Result<Path<(u32, u64)>, PathRejection>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Path((node, number)) = question.map_err(|_| ApiError::NoSuchPath)?;
    let answer = serde_json::from_slice(&body)
        .map_err(|error| AnswerError::Unreadable { why: format!("it is no JSON ({error})") })?;
    present.get()?.run.answer(node, number, answer)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "answered": number }))).into_response())
}

pub(crate) async fn lineage(
    State(present): State<PresentRun>,
    record: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(record) = record.map_err(|_| ApiError::NoSuchPath)?;
    Ok(as_json(present.get()?.history(record.parse::<RecordId>()?).await?))
}

pub(crate) async fn drain(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    ask(&present, "drain", |run| {
        run.drain();
        Ok(())
    })
}

pub(crate) async fn stop(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    ask(&present, "stop", |run| {
        run.stop();
        Ok(())
    })
}

pub(crate) async fn pause(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    ask(&present, "pause", |run| run.pause(Part::All))
}

pub(crate) async fn resume(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    ask(&present, "resume", |run| run.resume(Part::All))
}

pub(crate) async fn pause_node(
    State(present): State<PresentRun>,
    node: Result<Path<u32>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(node) = node.map_err(|_| ApiError::NoSuchPath)?;
    ask(&present, "pause", |run| run.pause(Part::Node(node)))
}

pub(crate) async fn resume_node(
    State(present): State<PresentRun>,
    node: Result<Path<u32>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(node) = node.map_err(|_| ApiError::NoSuchPath)?;
    ask(&present, "resume", |run| run.resume(Part::Node(node)))
}

fn ask(
    present: &PresentRun,
    what: &str,
    ask: impl FnOnce(&dyn Watch) -> Result<(), SteerError>,
) -> Result<Response, ApiError> {
    ask(present.get()?.run.as_ref())?;
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
    #[error("the run has not begun, so nothing has happened to any record")]
    NotBegun,
    #[error(transparent)]
    Record(#[from] NoRecordId),
    #[error(transparent)]
    Steer(#[from] SteerError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("there is no fault {0} in the quarantine")]
    NoSuchFault(u64),
    #[error("this does not say which faults: {0}")]
    Filter(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error("looking at the run failed: {0}")]
    Look(#[from] tokio::task::JoinError),
    #[error("the view cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoRun | Self::TooManyReaders => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSuchPath | Self::NoSuchFault(_) | Self::Steer(SteerError::NoSuchNode(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Answer(AnswerError::NoSuchDesk(_)) => StatusCode::NOT_FOUND,
            Self::Record(_) | Self::Answer(AnswerError::Unreadable { .. }) => StatusCode::BAD_REQUEST,
            Self::Filter(_) | Self::Slot(SlotError::Wrong(_)) => StatusCode::BAD_REQUEST,
            Self::Slot(SlotError::NoSuchSlot(_)) => StatusCode::NOT_FOUND,
            Self::Slot(_) => StatusCode::CONFLICT,
            Self::Answer(_) | Self::Steer(SteerError::NotRunning) | Self::Replay(_) | Self::NotBegun => {
                StatusCode::CONFLICT
            }
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Look(_) | Self::Json(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NoRun => "wait: the page shows the run as soon as it starts",
            Self::TooManyReaders => "close a page that is no longer looked at",
            Self::NoSuchPath => {
                "use /api/graph, /api/snapshot, /api/events, /api/drain, /api/stop, /api/pause, /api/resume, \
                 /api/questions, /api/lineage/3-17, /api/slots, /api/slots/3, /api/quarantine, /api/quarantine/replay, or /api/nodes/3/pause and /api/nodes/3/resume"
            }
            Self::NotBegun => "wait until its models are loaded",
            Self::Record(_) => "look into /api/snapshot for the records that went into quarantine, by `id`",
            Self::Steer(SteerError::NoSuchNode(_)) => "look into /api/graph for the operators and their ids",
            Self::Steer(SteerError::NotRunning) => {
                "wait until the run is running; one that is over stays over"
            }
            Self::Answer(_) => "look into /api/questions for those that wait, with their desks and numbers",
            Self::Filter(_) => {
                "the fields are run, operator, handler, kind, reason, replayed, ids, before and most; all are optional"
            }
            Self::Slot(_) => {
                "look into /api/slots for the slots, their handlers and parameters; say {\"handler\": \"threshold\", \
                 \"parameters\": {\"least\": 0.9}, \"shadow\": true}"
            }
            Self::Store(_) => "look at the file; the run itself goes on",
            Self::Replay(_) | Self::NoSuchFault(_) => {
                "look into /api/quarantine for the faults and what of them is kept"
            }
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
