//! Asking a person: a question about a record, and what the answer may be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a person is asked about a record.
///
/// ```
/// use std::time::Duration;
/// use eddyline_handlers::{Answer, Question, Verdict};
///
/// let question = Question::new("is this a 7?", Duration::from_secs(3600), Answer::reject("nobody knew"))
///     .candidates(["7", "1"]);
/// let verdict: Verdict<&str> = Verdict::Escalate(question);
/// # assert!(matches!(verdict, Verdict::Escalate(question) if question.candidates == ["7", "1"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Question<T> {
    /// What is asked, in words.
    pub text: String,
    /// Values that it may be, the likeliest first.
    pub candidates: Vec<T>,
    /// How long it waits for an answer, from when it is asked.
    pub within: Duration,
    /// The answer where nobody gives one in that time, or where no more questions may wait.
    ///
    /// Boxed, so that a verdict, which may hold a question, is not larger for it.
    pub otherwise: Box<Answer<T>>,
}

impl<T> Question<T> {
    /// Asks `text`. Where nobody answers `within` that time, the answer is `otherwise`.
    pub fn new(text: impl Into<String>, within: Duration, otherwise: Answer<T>) -> Self {
        Self { text: text.into(), candidates: Vec::new(), within, otherwise: Box::new(otherwise) }
    }

    /// Values to choose from, the likeliest first. Any other may be given as well.
    pub fn candidates(self, candidates: impl IntoIterator<Item = T>) -> Self {
        Self { candidates: candidates.into_iter().collect(), ..self }
    }
}

/// What is to become of a record that a person was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// It goes on as it is.
    Pass,
    /// It goes on with this value.
    Replace(T),
    /// It ends in quarantine, where it is kept with this reason.
    Reject(String),
    /// It ends, and is not kept.
    Drop(String),
}

impl<T> Answer<T> {
    /// Into quarantine with this reason.
    pub fn reject(reason: impl Into<String>) -> Self {
        Answer::Reject(reason.into())
    }

    /// Thrown away with this reason.
    pub fn drop(reason: impl Into<String>) -> Self {
        Answer::Drop(reason.into())
    }
}
