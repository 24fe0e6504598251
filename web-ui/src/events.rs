//! `GET /api/events`: the graph whenever it or the run changes, then snapshots, as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::stream::{self, Stream};

use crate::{
    api::ApiError,
    ticker::{Frame, Reader, Ticker},
};

/// A comment is sent when nothing else was for this long, so that both ends learn of a broken connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(crate) async fn events(
    State(ticker): State<Ticker>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let reading = Reading { reader: ticker.read()?, graph: None, held: None };
    let events = stream::unfold(reading, |mut reading| async {
        let event = reading.next().await?;
        Some((Ok(event), reading))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What one reader has been told.
struct Reading {
    reader: Reader,
    /// The graph that was sent last.
    graph: Option<Arc<str>>,
    /// A snapshot whose graph has just gone out.
    held: Option<Arc<str>>,
}

impl Reading {
    async fn next(&mut self) -> Option<Event> {
        if let Some(snapshot) = self.held.take() {
            return Some(Event::default().event("snapshot").data(snapshot));
        }
        let Frame { graph, snapshot } = self.reader.next().await?;
        if self.graph.as_ref() == Some(&graph) {
            return Some(Event::default().event("snapshot").data(snapshot));
        }
        self.held = Some(snapshot);
        let event = Event::default().event("graph").data(&graph);
        self.graph = Some(graph);
        Some(event)
    }
}
