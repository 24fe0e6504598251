//! `GET /api/quarantine`: the faults that fit; `GET /api/quarantine/17`: one, whole; `POST /api/quarantine/replay`: has them come back into the run.

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use eddyline_runtime::quarantine::Filter;
use serde_json::json;
use tokio::task;

use crate::{api::ApiError, present::PresentRun};

/// Faults that are sent at once; the next ones are those `before` the last.
const MOST: usize = 1000;
const USUAL: usize = 50;
/// Reasons that are sent where many faults did not come back.
const MOST_REFUSED: usize = 20;

pub(crate) async fn faults(
    State(present): State<PresentRun>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(filter) = filter.map_err(|wrong| ApiError::Filter(wrong.body_text()))?;
    let filter = Filter { most: Some(filter.most.unwrap_or(USUAL).min(MOST)), ..filter };
    let present = present.get()?;
    let run = present.run.clone();
    // It may read a file.
    let faults = task::spawn_blocking(move || {
        let faults = run.quarantine(&filter)?;
        Ok::<_, ApiError>(faults.iter().map(|fault| fault.to_json(false)).collect::<Vec<_>>())
    });
    let faults = faults.await??;
    Ok(Json(present.numbered(json!({ "faults": faults }))).into_response())
}

pub(crate) async fn fault(
    State(present): State<PresentRun>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoSuchPath)?;
    let run = present.get()?.run;
    let faults = task::spawn_blocking(move || run.quarantine(&Filter::new().ids([id]))).await??;
    let fault = faults.first().ok_or(ApiError::NoSuchFault(id))?;
    Ok(Json(fault.to_json(true)).into_response())
}

pub(crate) async fn replay(State(present): State<PresentRun>, body: Bytes) -> Result<Response, ApiError> {
    let filter: Filter =
        serde_json::from_slice(&body).map_err(|wrong| ApiError::Filter(wrong.to_string()))?;
    let run = present.get()?.run;
    let done = task::spawn_blocking(move || run.replay(&filter)).await??;
    let why: Vec<_> = done.refused.iter().take(MOST_REFUSED).collect();
    let body = json!({ "replayed": done.replayed, "refused": done.refused.len(), "why": why });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}
