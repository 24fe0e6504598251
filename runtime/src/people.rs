//! Questions that wait for people, without the types of what is asked: what a page shows, and how an answer comes back.
//!
//! The records wait in their operator, which knows their types; it fills a [`Questions`].

use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::{
    graph::{BuildError, Graph, Inner},
    regions,
};

/// Where people are asked.
pub trait Questions: Send + Sync + 'static {
    /// Those that wait for an answer, oldest first, at most `most`.
    fn open(&self, most: usize) -> Vec<QuestionView>;
    /// The whole value that a question is about, as JSON; none where it does not wait, or cannot be written.
    fn whole(&self, number: u64) -> Option<serde_json::Value>;
    /// Answers one: `"pass"`, `{"choose": 0}` for a candidate, `{"replace": value}`, `{"reject": "why"}` or `{"drop": "why"}`.
    ///
    /// # Errors
    /// It no longer waits, or this is no answer to it.
    fn answer(&self, number: u64, answer: serde_json::Value) -> Result<(), AnswerError>;
}

/// A question that waits for an answer.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionView {
    /// The desk: a node of the graph.
    pub node: u32,
    /// Its number there, from 0.
    pub number: u64,
    /// What is asked.
    pub text: String,
    /// The value that it is about, as JSON; cut where it is long, with small pictures.
    pub value: serde_json::Value,
    /// Values to choose from, likewise, the likeliest first.
    pub candidates: Vec<serde_json::Value>,
    /// When it was asked, µs since the run started.
    pub asked_at_us: u64,
    /// When it is answered by itself, likewise.
    pub until_us: u64,
}

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It was answered, its time is over, its record was withdrawn, or it was never asked.
    #[error("question {0} does not wait for an answer; look at those that do")]
    NotOpen(u64),
    /// The answer is not one of these, or its value is not of the record's type.
    #[error(
        "this is no answer: {why}; say \"pass\", {{\"choose\": 0}}, {{\"replace\": value}}, {{\"reject\": \"why\"}} or {{\"drop\": \"why\"}}"
    )]
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// There is no such desk.
    #[error("nobody is asked at the operator with the id {0}; look at the questions that wait")]
    NoSuchDesk(u32),
}

impl Graph {
    /// People are asked at `node`.
    pub fn open_desk(&self, node: u32, questions: Arc<dyn Questions>) {
        self.inner.lock().desks.push((node, questions));
    }

    /// Where people are asked, with the node.
    pub(crate) fn desks(&self) -> Vec<(u32, Arc<dyn Questions>)> {
        self.inner.lock().desks.clone()
    }
}

impl Inner {
    /// What is wrong about where people are asked. Their answers come any time, as new source records that nobody waits for and
    /// nothing can withdraw: so not where something may be sent back to before the question, nor for a gather.
    pub(crate) fn check_desks(&self) -> Vec<BuildError> {
        let edges = self.ends();
        let error = |node: u32, what: String, advice: &str| {
            let place = Some(self.nodes[node as usize].spec.place);
            BuildError { node: Some(node), place, what, advice: advice.to_owned() }
        };
        let mut errors = Vec::new();
        for &(desk, _) in &self.desks {
            let name = &self.nodes[desk as usize].name;
            if let Some(loop_) = self.loop_around(desk) {
                errors.push(error(
                    desk,
                    format!("`{name}` is inside the loop of {loop_}: its answers could be sent back to before they were given"),
                    "escalate in the handler that ends the loop, or behind it",
                ));
            }
            let between = |(scatter, gather): &(u32, u32)| {
                regions::between(self.nodes.len(), &edges, *scatter, *gather)[desk as usize]
            };
            if self.scopes.iter().any(between) {
                errors.push(error(
                    desk,
                    format!("`{name}` is between a scatter and its gather, which would wait for a person"),
                    "escalate the whole, behind the gather",
                ));
            }
        }
        errors
    }
}
