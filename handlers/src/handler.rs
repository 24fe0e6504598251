//! Who judges, and what it sees beside the value.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::{
    Breaker, Budget, EachBudget, InLoop, Meter, NoLoop, Verdict, breaker, budget, meter, shadow, within,
};

/// What a handler sees beside the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// How often this record has been sent back to the handler's feedback point.
    pub rounds: u32,
    /// How often it can still be sent back; 0 where there is no feedback.
    pub rounds_left: u32,
    /// How many further alternatives [`Verdict::NextAlternative`] can ask for at the step that it would ask; 0 where there is no
    /// such step.
    pub alternatives_left: u32,
}

impl Seen {
    /// A record that has been sent back `rounds` times and can be sent back `rounds_left` times more.
    pub fn after(rounds: u32, rounds_left: u32) -> Self {
        Self { rounds, rounds_left, ..Self::default() }
    }

    /// The same where `left` alternatives are left.
    pub fn with_alternatives_left(self, left: u32) -> Self {
        Self { alternatives_left: left, ..self }
    }
}

/// Judges values of type `T`.
///
/// Its fields are its state; it is called by one actor at a time. A panic in it is a fault of the record that it judged.
pub trait Handler<T>: Send + 'static {
    /// What it may send back: the type of its feedback point, [`NextAlternative`](crate::NextAlternative), or
    /// [`NoLoop`](crate::NoLoop).
    type Retry;

    /// Judges one value.
    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, Self::Retry>;

    /// For how many values it gave no verdict in time, so that another was said in its place. See [`within`](Handler::within).
    /// Whoever wraps a handler passes this on.
    fn late(&self) -> u64 {
        0
    }

    /// What it has learned, to be saved or handed to another of its kind; nothing where it has no declared state. See
    /// [`stateful`](crate::stateful).
    fn state(&self) -> Option<Value> {
        None
    }

    /// Goes on from what another of its kind has learned.
    ///
    /// # Errors
    /// This is a state of something else; nothing has changed then.
    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        let _ = state;
        Ok(())
    }

    /// Counts what it says, in `meter`. See [`Meter`].
    fn metered(self, meter: &Meter<T>) -> meter::Metered<T, Self>
    where
        Self: Sized,
    {
        meter::Metered::new(self, meter.clone())
    }

    /// Lets it judge and change nothing: what it would have said is counted in `meter`, and it abstains. A panic in it is counted too.
    ///
    /// ```
    /// use eddyline_handlers::{Check, Handler, Meter, Verdict, testing};
    ///
    /// let meter = Meter::new("warm");
    /// let tried = Check::new().range("degrees", |t: &f64| *t, 0.0..=40.0).or_reject().shadow(&meter);
    /// assert_eq!(testing::judge(tried, [20.0, 50.0]), [Verdict::Abstain, Verdict::Abstain]);
    /// assert_eq!(meter.read().rejected, 1);
    /// ```
    fn shadow(self, meter: &Meter<T>) -> shadow::Shadow<T, Self>
    where
        Self: Sized,
    {
        shadow::Shadow::new(self.metered(meter))
    }

    /// Lets it correct so often as `budget` allows, for all handlers that share it; beyond it abstains. See [`Budget`].
    fn budget(self, budget: &Budget) -> budget::Budgeted<Self>
    where
        Self: Sized,
    {
        budget::Budgeted::new(self, budget.clone())
    }

    /// Lets it correct each record so often as `budget` allows, for all handlers that share it; beyond it abstains. `key` says
    /// which record it is. See [`EachBudget`].
    fn budget_each<K: std::hash::Hash>(
        self,
        budget: &EachBudget,
        key: impl Fn(&T) -> K + Send + 'static,
    ) -> budget::BudgetedEach<T, Self>
    where
        Self: Sized,
    {
        budget::BudgetedEach::new(self, budget.clone(), key)
    }

    /// Lets it judge as long as what it says stays within the limits of `breaker`; beyond it abstains. See [`Breaker`].
    fn breaker(self, breaker: &Breaker<T>) -> breaker::Guarded<T, Self>
    where
        Self: Sized,
    {
        breaker::Guarded::new(self, breaker.clone())
    }

    /// Gives it `limit` for each value, and no longer: then it abstains, or, with [`or_reject`](within::Within::or_reject) behind this,
    /// rejects.
    ///
    /// Code cannot be ended from outside. So it judges clones of the values on a thread of its own; where the time is up the record goes
    /// on, and what is said of it later is thrown away. Until then the handler is not asked, and further records go on at once: a
    /// handler that hangs costs the stream one `limit`, and one that always takes too long, at most one `limit` each time that it
    /// comes back. Records on which it was late, or was not asked as it still was, are counted ([`late`](Handler::late)): in its
    /// meter, the report and on the page; [`late_at_most`](Breaker::late_at_most) has a breaker open.
    ///
    /// Handing a value over takes a clone and two changes of threads: it is for handlers that ask a model, a file or a service. What is a future goes into
    /// `map_async` with a limit of its own, several at a time, and its answer to a handler behind that: `map_async_within` shows how; a model has a limit by itself
    /// (`model.within(limit)`). A panic is a fault of its record, and is printed too. What a handler has learned cannot be handed on
    /// while it is late.
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use eddyline_handlers::{Handler, NoLoop, Seen, Verdict, by, testing};
    ///
    /// // Hangs on 2.
    /// let second_engine = by(|n: &i32, _: &Seen| -> Verdict<i32> {
    ///     if *n == 2 {
    ///         thread::sleep(Duration::from_secs(60));
    ///     }
    ///     Verdict::Replace(10 * n)
    /// });
    /// let said = testing::judge(second_engine.within(Duration::from_secs(1)), [1, 2, 3]);
    /// assert_eq!(said, [Verdict::Replace(10), Verdict::Abstain, Verdict::Abstain], "nobody waits for it with 3");
    /// ```
    fn within(self, limit: Duration) -> within::Within<T, Self>
    where
        Self: Handler<T, Retry: Send + Sync> + Sized,
        T: Clone + Send + 'static,
    {
        within::Within::new(self, limit)
    }

    /// The same handler where one is asked for that may send records back to a feedback point: in a [`Chain`](crate::Chain), or
    /// behind a key.
    fn in_loop<R>(self) -> InLoop<Self, R>
    where
        Self: Handler<T, Retry = NoLoop> + Sized,
    {
        InLoop::new(self)
    }
}

/// A boxed handler is a handler: several kinds fit into one list.
impl<T, H: Handler<T> + ?Sized> Handler<T> for Box<H> {
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        (**self).judge(value, seen)
    }

    fn late(&self) -> u64 {
        (**self).late()
    }

    fn state(&self) -> Option<Value> {
        (**self).state()
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        (**self).restore(state)
    }
}

/// A closure as a handler; see [`by`].
#[derive(Clone, Debug)]
pub struct FnHandler<F>(F);

/// Makes a handler of a closure that also wants to see the rounds.
///
/// ```
/// use eddyline_handlers::{NoLoop, Seen, Verdict, by, testing};
///
/// let strict = by(|x: &i32, seen: &Seen| -> Verdict<i32, i32> {
///     if *x > 0 { Verdict::Pass } else if seen.rounds_left > 0 { Verdict::Retry(-x) } else { Verdict::reject("not positive") }
/// });
/// assert_eq!(testing::judge(strict, [1, -1]), [Verdict::Pass, Verdict::reject("not positive")]);
/// ```
pub fn by<T, R, F>(judge: F) -> FnHandler<F>
where
    F: FnMut(&T, &Seen) -> Verdict<T, R> + Send + 'static,
{
    FnHandler(judge)
}

impl<T, R, F> Handler<T> for FnHandler<F>
where
    F: FnMut(&T, &Seen) -> Verdict<T, R> + Send + 'static,
    R: 'static,
{
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        (self.0)(value, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, testing::judge};

    #[test]
    fn handlers_of_several_kinds_fit_into_one_list() {
        let even = Check::new().holds("even", |n: &i32| n % 2 == 0).or_reject();
        let handlers: Vec<Box<dyn Handler<i32, Retry = NoLoop>>> =
            vec![Box::new(even), Box::new(by(|n: &i32, _: &Seen| Verdict::Replace(n + 1)))];
        let verdicts: Vec<_> = handlers.into_iter().flat_map(|handler| judge(handler, [3])).collect();
        assert_eq!(verdicts, [Verdict::reject("does not hold: even"), Verdict::Replace(4)]);
    }
}
