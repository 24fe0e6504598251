//! Which run the page shows now.

use std::sync::Arc;

use eddyline_runtime::{observer::Watch, people::QuestionView, record::RecordId};
use serde::Serialize;
use tokio::{sync::watch, task};

use crate::api::ApiError;

/// A run and which one it is: 1 for the first that this page saw.
#[derive(Clone)]
pub(crate) struct Present {
    pub(crate) number: u64,
    pub(crate) run: Arc<dyn Watch>,
}

/// What the browser gets: the runtime's view and the number of the run that it belongs to.
#[derive(Serialize)]
struct Numbered<V> {
    run: u64,
    #[serde(flatten)]
    view: V,
}

/// Questions that wait for people.
#[derive(Serialize)]
struct Waiting {
    questions: Vec<QuestionView>,
}

impl Present {
    /// The graph as JSON.
    pub(crate) async fn graph(&self) -> Result<String, ApiError> {
        self.look(|run| run.graph()).await
    }

    /// The snapshot as JSON.
    pub(crate) async fn snapshot(&self) -> Result<String, ApiError> {
        self.look(|run| run.snapshot()).await
    }

    /// The questions that wait for people as JSON, at most so many.
    pub(crate) async fn questions(&self, most: usize) -> Result<String, ApiError> {
        self.look(move |run| Waiting { questions: run.questions(most) }).await
    }

    /// What happened to a record as JSON; none where the run has not begun.
    pub(crate) async fn history(&self, record: RecordId) -> Result<String, ApiError> {
        let run = Arc::clone(&self.run);
        let history = task::spawn_blocking(move || run.history(record)).await?;
        Ok(serde_json::to_string(&history.ok_or(ApiError::NotBegun)?)?)
    }

    /// A number with which what belongs to the run is sent.
    pub(crate) fn numbered<V: Serialize>(&self, view: V) -> impl Serialize + use<V> {
        Numbered { run: self.number, view }
    }

    /// Looks on a thread that may block, because a look may wait for the end of a batch.
    async fn look<V: Serialize + Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Watch) -> V + Send + 'static,
    ) -> Result<String, ApiError> {
        let Self { number, run } = self.clone();
        let json = move || serde_json::to_string(&Numbered { run: number, view: look(run.as_ref()) });
        Ok(task::spawn_blocking(json).await??)
    }
}

/// The receiving end: `None` until the first run starts, closed once the last [`Page`](crate::Page) is dropped.
#[derive(Clone)]
pub(crate) struct PresentRun(watch::Receiver<Option<Present>>);

impl PresentRun {
    pub(crate) fn channel() -> (watch::Sender<Option<Present>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// The run that is shown now.
    pub(crate) fn get(&self) -> Result<Present, ApiError> {
        self.0.borrow().clone().ok_or(ApiError::NoRun)
    }

    /// Returns when there is nothing to show any more, now or later.
    pub(crate) async fn gone(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
