//! Several handlers in one place: the first that has an opinion is obeyed.

use serde_json::Value;

use crate::{Handler, NoLoop, Seen, Verdict};

/// Handlers in order, of which the first that does not abstain decides; the others are not asked. If all abstain, so does the
/// chain.
///
/// They are asked by priority, the highest first, and among equals in the order in which they were put in. All see the same value:
/// to correct what another has corrected, put one `.handle` behind the other. A `Pass` decides too: it is how a handler
/// says that the others need not look. A handler without a loop goes into a chain with one by
/// [`in_loop`](Handler::in_loop).
///
/// ```
/// use eddyline_handlers::{Chain, Check, NoLoop, Seen, Verdict, by, testing};
///
/// let chain = Chain::new()
///     .then(Check::new().range("age", |n: &i32| *n, 0..).or_reject())
///     .then(by(|n: &i32, _: &Seen| -> Verdict<i32> { if *n > 150 { Verdict::Replace(n - 1900) } else { Verdict::Abstain } }))
///     .at(10, by(|n: &i32, _: &Seen| -> Verdict<i32> { if *n == -1 { Verdict::Pass } else { Verdict::Abstain } }));
/// let verdicts = testing::judge(chain, [30, -2, 1930, -1]);
/// assert_eq!(verdicts, [Verdict::Abstain, Verdict::reject("age is not in 0.."), Verdict::Replace(30), Verdict::Pass]);
/// ```
pub struct Chain<T, R = NoLoop> {
    handlers: Vec<(i32, Box<dyn Handler<T, Retry = R>>)>,
}

impl<T, R> Chain<T, R> {
    /// A chain without handlers: it abstains.
    pub fn new() -> Self {
        Self { handlers: Vec::new() }
    }

    /// Also `handler`, with priority 0.
    #[must_use]
    pub fn then(self, handler: impl Handler<T, Retry = R>) -> Self {
        self.at(0, handler)
    }

    /// Also `handler`, with this priority: higher ones are asked first.
    #[must_use]
    pub fn at(mut self, priority: i32, handler: impl Handler<T, Retry = R>) -> Self {
        let place = self.handlers.partition_point(|(other, _)| *other >= priority);
        self.handlers.insert(place, (priority, Box::new(handler)));
        self
    }
}

impl<T, R> Default for Chain<T, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: 'static, R: 'static> Handler<T> for Chain<T, R> {
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        let mut verdicts = self.handlers.iter_mut().map(|(_, handler)| handler.judge(value, seen));
        verdicts.find(|verdict| !matches!(verdict, Verdict::Abstain)).unwrap_or(Verdict::Abstain)
    }

    fn late(&self) -> u64 {
        self.handlers.iter().map(|(_, handler)| handler.late()).sum()
    }

    /// Of each, in the order in which they are asked.
    fn state(&self) -> Option<Value> {
        let all: Vec<_> = self.handlers.iter().map(|(_, handler)| handler.state()).collect();
        all.iter().any(Option::is_some).then(|| all.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        let states: Vec<Value> = serde_json::from_value(state)?;
        let mut handlers = self.handlers.iter_mut().zip(states).filter(|(_, state)| !state.is_null());
        handlers.try_for_each(|((_, handler), state)| handler.restore(state))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::{by, testing::judge};

    proptest! {
        #[test]
        fn the_first_by_priority_that_does_not_abstain_decides_and_nobody_behind_it_is_asked(
            handlers in prop::collection::vec((0..4_i32, any::<bool>()), 0..8),
        ) {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let mut chain = Chain::new();
            for (place, &(priority, abstains)) in handlers.iter().enumerate() {
                let asked = Arc::clone(&asked);
                chain = chain.at(priority, by(move |_: &(), _: &Seen| -> Verdict<()> {
                    asked.lock().unwrap().push(place);
                    if abstains { Verdict::Abstain } else { Verdict::reject(place.to_string()) }
                }));
            }
            let mut order: Vec<usize> = (0..handlers.len()).collect();
            order.sort_by_key(|&place| -handlers[place].0);
            let first = order.iter().position(|&place| !handlers[place].1);
            let expected = first.map_or(Verdict::Abstain, |at| Verdict::reject(order[at].to_string()));
            prop_assert_eq!(judge(chain, [()]), [expected]);
            order.truncate(first.map_or(order.len(), |at| at + 1));
            prop_assert_eq!(&*asked.lock().unwrap(), &order);
        }
    }
}
