//! A handler without a loop, where one with a loop is asked for.

use std::marker::PhantomData;

use serde_json::Value;

use crate::{Handler, NoLoop, Seen, Verdict};

/// See [`Handler::in_loop`].
///
/// ```
/// use eddyline_handlers::{Chain, Check, Handler, Verdict, testing};
///
/// let far = Check::new().range("degrees", |t: &f64| *t, -273.15..);
/// let hot = Check::new().range("degrees", |t: &f64| *t, ..45.0);
/// let chain = Chain::new()
///     .then(far.or_reject().in_loop())                  // never sends back
///     .then(hot.or_retry(|t: &f64| (t - 32.0) / 1.8));  // does
/// let seen = eddyline_handlers::Seen::after(0, 1);
/// assert_eq!(testing::judge_seen(chain, seen, [20.0, 68.0]), [Verdict::Abstain, Verdict::Retry(20.0)]);
/// ```
#[derive(Clone, Debug)]
pub struct InLoop<H, R> {
    handler: H,
    retry: PhantomData<fn() -> R>,
}

impl<H, R> InLoop<H, R> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, retry: PhantomData }
    }
}

impl<T, R: 'static, H: Handler<T, Retry = NoLoop>> Handler<T> for InLoop<H, R> {
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        match self.handler.judge(value, seen) {
            Verdict::Pass => Verdict::Pass,
            Verdict::Replace(value) => Verdict::Replace(value),
            Verdict::Retry(never) | Verdict::Revise(_, never) | Verdict::Append(_, never) => match never {},
            Verdict::Delete(nothing) => match *nothing {},
            Verdict::Split(values) => Verdict::Split(values),
            Verdict::Reject(reason) => Verdict::Reject(reason),
            Verdict::Drop(reason) => Verdict::Drop(reason),
            Verdict::Escalate(question) => Verdict::Escalate(question),
            Verdict::Reroute(way) => Verdict::Reroute(way),
            Verdict::Abstain => Verdict::Abstain,
        }
    }

    fn late(&self) -> u64 {
        self.handler.late()
    }

    fn state(&self) -> Option<Value> {
        self.handler.state()
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        self.handler.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Answer, Question, by, testing::judge};

    #[test]
    fn every_verdict_stays_what_it_is() {
        let question = Question::new("which?", Duration::from_secs(1), Answer::Pass);
        let verdicts: Vec<Verdict<i32>> = vec![
            Verdict::Pass,
            Verdict::Replace(1),
            Verdict::Split(vec![1, 2]),
            Verdict::reject("no"),
            Verdict::drop("no"),
            Verdict::Escalate(question.clone()),
            Verdict::reroute("aside"),
            Verdict::Abstain,
        ];
        let places = 0..verdicts.len();
        let handler = by(move |place: &i32, _: &Seen| verdicts[*place as usize].clone()).in_loop();
        let in_loop: Vec<Verdict<i32, String>> = vec![
            Verdict::Pass,
            Verdict::Replace(1),
            Verdict::Split(vec![1, 2]),
            Verdict::reject("no"),
            Verdict::drop("no"),
            Verdict::Escalate(question),
            Verdict::reroute("aside"),
            Verdict::Abstain,
        ];
        assert_eq!(judge(handler, places.map(|place| place as i32)), in_loop);
    }
}
