//! A handler whose state is declared, so that another can take its place without forgetting what it has learned.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Handler, Seen, Verdict};

/// See [`stateful`].
#[derive(Clone, Debug)]
pub struct Stateful<S, F> {
    state: S,
    judge: F,
}

/// Makes a handler of a closure and what it remembers. Unlike what a closure captures, that is handed on where its parameters are
/// changed while it runs (see [`Handlers`](crate::Handlers)), and can be saved: [`Handler::state`].
///
/// ```
/// use eddyline_handlers::{Handler, NoLoop, Seen, Verdict, stateful, testing};
///
/// // A value that is more than `times` the largest so far is an outlier.
/// let outliers = |times: f64| {
///     stateful(1.0, move |largest: &mut f64, x: &f64, _: &Seen| -> Verdict<f64> {
///         if *x > times * *largest {
///             return Verdict::reject("an outlier");
///         }
///         *largest = largest.max(*x);
///         Verdict::Abstain
///     })
/// };
/// let mut strict = outliers(2.0);
/// let seen = Seen::default();
/// assert_eq!(strict.judge(&1.5, &seen), Verdict::Abstain);
/// assert_eq!(strict.judge(&5.0, &seen), Verdict::reject("an outlier"));
///
/// let mut lenient = outliers(4.0);
/// lenient.restore(strict.state().unwrap()).unwrap();
/// assert_eq!(lenient.judge(&5.0, &seen), Verdict::Abstain, "5 is less than 4 times 1.5");
/// ```
pub fn stateful<T, R, S, F>(state: S, judge: F) -> Stateful<S, F>
where
    S: Serialize + DeserializeOwned + Send + 'static,
    F: FnMut(&mut S, &T, &Seen) -> Verdict<T, R> + Send + 'static,
{
    Stateful { state, judge }
}

impl<T, R, S, F> Handler<T> for Stateful<S, F>
where
    S: Serialize + DeserializeOwned + Send + 'static,
    F: FnMut(&mut S, &T, &Seen) -> Verdict<T, R> + Send + 'static,
    R: 'static,
{
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        (self.judge)(&mut self.state, value, seen)
    }

    fn state(&self) -> Option<Value> {
        serde_json::to_value(&self.state).ok()
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        self.state = serde_json::from_value(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Chain, Meter, NoLoop, testing::judge};

    /// Rejects every value that it has seen before.
    fn once() -> impl Handler<u8, Retry = NoLoop> {
        stateful(Vec::<u8>::new(), |seen: &mut Vec<u8>, n: &u8, _: &Seen| {
            if seen.contains(n) {
                return Verdict::reject("twice");
            }
            seen.push(*n);
            Verdict::Abstain
        })
    }

    proptest! {
        #[test]
        fn one_that_takes_the_place_of_another_goes_on_where_that_was(
            before in prop::collection::vec(0..20_u8, 0..20), behind in prop::collection::vec(0..20_u8, 0..20),
        ) {
            let meter = Meter::new("once");
            // Around a handler, and in a chain, its state is the same.
            let boxed = || -> Box<dyn Handler<u8, Retry = NoLoop>> {
                Box::new(Chain::new().then(once().metered(&meter)).then(once().shadow(&meter)))
            };
            let whole = judge(boxed(), before.iter().chain(&behind).copied());
            let (mut first, mut second) = (boxed(), boxed());
            let mut said: Vec<_> = before.iter().map(|n| first.judge(n, &Seen::default())).collect();
            second.restore(first.state().unwrap()).unwrap();
            said.extend(behind.iter().map(|n| second.judge(n, &Seen::default())));
            prop_assert_eq!(said, whole);
        }
    }

    #[test]
    fn a_state_of_something_else_is_refused_and_changes_nothing() {
        let mut handler = once();
        handler.judge(&1, &Seen::default());
        assert!(handler.restore("seven".into()).is_err());
        assert_eq!(handler.judge(&1, &Seen::default()), Verdict::reject("twice"));
    }
}
