//! `GET /api/slots`: where handlers can be put; `POST /api/slots/{node}`: puts one there.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use eddyline_runtime::slots::{Filling, SlotError};
use serde_json::json;
use tokio::task;

use crate::{api::ApiError, present::PresentRun};

pub(crate) async fn slots(State(present): State<PresentRun>) -> Result<Response, ApiError> {
    let present = present.get()?;
    let run = present.run.clone();
    // A slot may be in the middle of a batch.
    let slots = task::spawn_blocking(move || run.slots()).await?;
    Ok(Json(present.numbered(json!({ "slots": slots }))).into_response())
}

pub(crate) async fn fill(
    State(present): State<PresentRun>,
    node: Result<Path<u32>, PathRejection>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Path(node) = node.map_err(|_| ApiError::NoSuchPath)?;
    let filling: Filling = serde_json::from_slice(&body)
        .map_err(|wrong| SlotError::Wrong(format!("this fills no slot: {wrong}")))?;
    let run = present.get()?.run;
    task::spawn_blocking(move || run.fill(node, filling)).await??;
    Ok((StatusCode::ACCEPTED, Json(json!({ "filled": node }))).into_response())
}
