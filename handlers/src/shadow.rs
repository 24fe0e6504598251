//! A handler that is tried out beside the others: it judges, and changes nothing.

use std::panic::{self, AssertUnwindSafe};

use serde_json::Value;

use crate::{Handler, Seen, Verdict, meter::Metered};

/// See [`Handler::shadow`].
pub struct Shadow<T, H>(Metered<T, H>);

impl<T, H> Shadow<T, H> {
    pub(crate) fn new(handler: Metered<T, H>) -> Self {
        handler.meter().in_shadow();
        Self(handler)
    }
}

impl<T: 'static, H: Handler<T>> Handler<T> for Shadow<T, H> {
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        // Nor does a panic in it change anything. What it was about to change of itself is its own affair: it has no say.
        let said = panic::catch_unwind(AssertUnwindSafe(|| self.0.judge(value, seen)));
        if said.is_err() {
            self.0.meter().panicked();
        }
        Verdict::Abstain
    }

    fn late(&self) -> u64 {
        self.0.late()
    }

    fn state(&self) -> Option<Value> {
        self.0.state()
    }

    fn restore(&mut self, state: Value) -> Result<(), serde_json::Error> {
        self.0.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Chain, Handler, Meter, Said, Seen, Verdict, by, testing::judge};

    fn any_opinion() -> impl Handler<u8, Retry = u8> {
        by(|n: &u8, _: &Seen| match n % 5 {
            0 => Verdict::Pass,
            1 => Verdict::Replace(n + 1),
            2 => Verdict::Retry(*n),
            3 => Verdict::drop("three"),
            _ => Verdict::reject("four"),
        })
    }

    fn small() -> impl Handler<u8, Retry = u8> {
        by(|n: &u8, _: &Seen| if *n < 9 { Verdict::Pass } else { Verdict::reject("large") })
    }

    proptest! {
        #[test]
        fn a_handler_in_shadow_changes_nothing_and_is_counted_as_if_it_did(values in prop::collection::vec(any::<u8>(), 0..40)) {
            let meter = Meter::new("new");
            let with = Chain::new().then(any_opinion().shadow(&meter)).then(small());
            prop_assert_eq!(judge(with, values.clone()), judge(small(), values.clone()));
            let counts = meter.read();
            let rejected = judge(any_opinion(), values.clone()).iter().filter(|v| Said::of(v) == Said::Rejected).count();
            prop_assert!(counts.shadow);
            prop_assert_eq!((counts.seen, counts.rejected), (values.len() as u64, rejected as u64));
        }
    }
}
