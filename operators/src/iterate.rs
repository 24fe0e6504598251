//! `iterate`: a loop in one method. A feedback, a body, and a handler that sends back what is not done.

use eddyline_handlers::{Seen, Verdict, by};
use eddyline_runtime::Data;
use serde::{Deserialize, Serialize};

use crate::{feedback::Rounds, stream::Stream};

/// What one turn of a loop comes to; see [`Stream::iterate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step<T, U = T> {
    /// Once more, with this value.
    Again(T),
    /// Out of the loop, with this one.
    Done(U),
}

impl<T, U> Step<T, U> {
    /// The value with which it leaves the loop, if it does.
    fn done(self) -> Option<U> {
        match self {
            Step::Again(_) => None,
            Step::Done(value) => Some(value),
        }
    }
}

impl<T: Data> Stream<T> {
    /// Leads each value through `body` again and again until it says [`Step::Done`].
    ///
    /// The body is a function from a stream to a stream, built once: it may hold models, handlers, scatters and further loops. Each
    /// value goes its own number of turns; none waits for the others. A value for which the body still says [`Step::Again`] when
    /// it has been sent back as often as `rounds` says, and so has had one turn more than that, ends in quarantine as "rounds
    /// spent".
    ///
    /// It is short for [`feedback`](Self::feedback), the body and [`handle_or_retry`](Self::handle_or_retry). So with a body that
    /// makes several values of one, the first that says `Again` withdraws the others; and a loop inside the body counts its rounds
    /// over all turns of the one around it, since a record does not get spent rounds back.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("roots");
    /// let roots = flow
    ///     .source("numbers", [2.0, 9.0, 1e6])
    ///     .map(|n: f64| (n, n))
    ///     .iterate("newton", Rounds::at_most(20), |guesses| {
    ///         guesses.map(|(n, guess)| {
    ///             let better = (guess + n / guess) / 2.0;
    ///             if (better - guess).abs() < 1e-9 { Step::Done(better) } else { Step::Again((n, better)) }
    ///         })
    ///     })
    ///     .map(|root: f64| (root * 1e6).round() / 1e6)
    ///     .collect();
    /// let mut roots = flow.run().await?.take(roots);
    /// roots.sort_by(f64::total_cmp);
    /// assert_eq!(roots, [1.414214, 3.0, 1000.0]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn iterate<U: Data>(
        self,
        name: &str,
        rounds: Rounds,
        body: impl FnOnce(Stream<T>) -> Stream<Step<T, U>>,
    ) -> Stream<U> {
        let (inside, again) = self.feedback(name, rounds);
        let once_more = by(|step: &Step<T, U>, _: &Seen| match step {
            Step::Again(value) => Verdict::Retry(value.clone()),
            Step::Done(_) => Verdict::Pass,
        });
        body(inside)
            .handle_or_retry_with(&format!("{name}: done?"), again, once_more)
            .flat_map(Step::done)
            .named(&format!("{name}: done"))
    }
}
