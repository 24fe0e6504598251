//! How often handlers may correct: in a run, and per record.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::Serialize;

use serde_json::Value;

use crate::{Handler, Seen, Verdict, said::Said};

/// So many corrections, for all handlers that share it: one handler's if only that has it, a run's if all have.
///
/// A correction is whatever changes a record, here or further up: `Replace`, `Split`, `Retry`, `NextAlternative`, `Revise`, `Append`.
/// Once it is spent the handlers go on judging: their other verdicts are obeyed, and what would be a correction is an `Abstain`,
/// counted as refused. Cheap to clone: clones share it.
///
/// ```
/// use eddyline_handlers::{Budget, Check, Handler, Verdict, testing};
///
/// let budget = Budget::of(1);
/// let handler = Check::new().range("count", |n: &i32| *n, ..10).or_replace(|_| 9).budget(&budget);
/// assert_eq!(testing::judge(handler, [12, 15, 3]), [Verdict::Replace(9), Verdict::Abstain, Verdict::Abstain]);
/// assert_eq!((budget.spent().granted, budget.spent().refused), (1, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    corrections: u64,
    spent: Arc<Mutex<Spent>>,
}

/// What has been asked of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Corrections that it allowed.
    pub granted: u64,
    /// Corrections that it did not.
    pub refused: u64,
}

impl Spent {
    fn grant(&mut self, granted: bool) -> bool {
        *(if granted { &mut self.granted } else { &mut self.refused }) += 1;
        granted
    }
}

impl Budget {
    /// So many corrections.
    pub fn of(corrections: u64) -> Self {
        Self { corrections, spent: Arc::default() }
    }

    /// What has been asked of it so far.
    pub fn spent(&self) -> Spent {
        *self.spent.lock()
    }

    fn ask(&self) -> bool {
        let mut spent = self.spent.lock();
        let granted = spent.granted < self.corrections;
        spent.grant(granted)
    }
}

/// So many corrections for each record, for all handlers that share it.
///
/// Corrections are those of [`Budget`]. Which record it is says a key, such as the document's number; it is kept as a hash of 64
/// bits. Rounds at a feedback are bounded without this, by `Rounds`. Cheap to clone: clones share it.
///
/// ```
/// use eddyline_handlers::{Check, EachBudget, Handler, Verdict, testing};
///
/// // (record, value)
/// let budget = EachBudget::of(1, 10_000);
/// let handler = Check::new()
///     .range("count", |r: &(u8, i32)| r.1, ..10)
///     .or_replace(|r| (r.0, r.1 / 2))
///     .budget_each(&budget, |r| r.0);
/// let verdicts = testing::judge(handler, [(1, 40), (1, 20), (2, 12)]);
/// assert_eq!(verdicts, [Verdict::Replace((1, 20)), Verdict::Abstain, Verdict::Replace((2, 6))]);
/// ```
#[derive(Clone, Debug)]
pub struct EachBudget {
    corrections: u32,
    records: usize,
    state: Arc<Mutex<Each>>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Each {
    spent: Spent,
    by_record: HashMap<u64, u32>,
    /// Records in the order of their first correction.
    oldest: VecDeque<u64>,
}

impl EachBudget {
    /// So many corrections for each record, remembered of the last `records` that were corrected (about 40 bytes each): of those
    /// before it is forgotten what they spent. At least one is remembered.
    pub fn of(corrections: u32, records: usize) -> Self {
        Self { corrections, records: records.max(1), state: Arc::default(), hasher: RandomState::new() }
    }

    /// What has been asked of it so far, for all records.
    pub fn spent(&self) -> Spent {
        self.state.lock().spent
    }

    fn ask(&self, record: u64) -> bool {
        let state = &mut *self.state.lock();
        if !state.by_record.contains_key(&record) {
            if state.oldest.len() == self.records
                && let Some(oldest) = state.oldest.pop_front()
            {
                state.by_record.remove(&oldest);
            }
            state.oldest.push_back(record);
        }
        let corrections = state.by_record.entry(record).or_default();
        let granted = *corrections < self.corrections;
        *corrections += u32::from(granted);
        state.spent.grant(granted)
    }
}

/// A handler with a [`Budget`]; see [`Handler::budget`].
#[derive(Clone, Debug)]
pub struct Budgeted<H> {
    handler: H,
    budget: Budget,
}

impl<H> Budgeted<H> {
    pub(crate) fn new(handler: H, budget: Budget) -> Self {
        Self { handler, budget }
    }
}

impl<T, H: Handler<T>> Handler<T> for Budgeted<H> {
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        let verdict = self.handler.judge(value, seen);
        if Said::of(&verdict).changes() && !self.budget.ask() { Verdict::Abstain } else { verdict }
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

/// A handler with an [`EachBudget`]; see [`Handler::budget_each`].
pub struct BudgetedEach<T, H> {
    handler: H,
    budget: EachBudget,
    record: Box<dyn Fn(&T) -> u64 + Send>,
}

impl<T, H> BudgetedEach<T, H> {
    pub(crate) fn new<K: Hash>(
        handler: H,
        budget: EachBudget,
        key: impl Fn(&T) -> K + Send + 'static,
    ) -> Self {
        let hasher = budget.hasher.clone();
        Self { handler, budget, record: Box::new(move |value| hasher.hash_one(key(value))) }
    }
}

impl<T: 'static, H: Handler<T>> Handler<T> for BudgetedEach<T, H> {
    type Retry = H::Retry;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, H::Retry> {
        let verdict = self.handler.judge(value, seen);
        let spends = Said::of(&verdict).changes();
        if spends && !self.budget.ask((self.record)(value)) { Verdict::Abstain } else { verdict }
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{by, testing::judge};

    /// Corrects what is below 6 and rejects the others.
    fn eager() -> impl Handler<u8, Retry = ()> {
        by(|n: &u8, _: &Seen| match n {
            0..3 => Verdict::Replace(9),
            3..6 => Verdict::Retry(()),
            _ => Verdict::reject("large"),
        })
    }

    proptest! {
        #[test]
        fn no_more_is_corrected_than_the_budget_has_and_nothing_else_is_touched(
            values in prop::collection::vec(0..9_u8, 0..40), corrections in 0..12_u64,
        ) {
            let budget = Budget::of(corrections);
            let (mut first, mut second) = (eager().budget(&budget), eager().budget(&budget));
            let mut left = corrections;
            for (place, value) in values.iter().enumerate() {
                let asked = judge(eager(), [*value]).remove(0);
                let handler: &mut dyn Handler<u8, Retry = ()> = if place % 2 == 0 { &mut first } else { &mut second };
                let verdict = handler.judge(value, &Seen::default());
                let refused = *value < 6 && left == 0;
                prop_assert_eq!(verdict, if refused { Verdict::Abstain } else { asked });
                left -= u64::from(*value < 6 && !refused);
            }
            let wanted = values.iter().filter(|n| **n < 6).count() as u64;
            prop_assert_eq!(budget.spent(), Spent { granted: corrections - left, refused: wanted + left - corrections });
        }

        #[test]
        fn each_record_is_corrected_so_often_and_no_more(
            values in prop::collection::vec(0..9_u8, 0..60), corrections in 0..4_u32,
        ) {
            let budget = EachBudget::of(corrections, 9);
            let verdicts = judge(eager().budget_each(&budget, |n| *n), values.clone());
            let mut granted: BTreeMap<u8, u32> = BTreeMap::new();
            for (value, verdict) in values.iter().zip(verdicts) {
                if Said::of(&verdict).changes() {
                    *granted.entry(*value).or_default() += 1;
                }
            }
            for value in 0..6 {
                let wanted = values.iter().filter(|n| **n == value).count() as u32;
                prop_assert_eq!(granted.get(&value).copied().unwrap_or(0), wanted.min(corrections));
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let budget = EachBudget::of(1, 2);
        let verdicts = judge(eager().budget_each(&budget, |n| *n), [0, 1, 0, 2, 0]);
        let changed: Vec<_> = verdicts.iter().map(|v| Said::of(v).changes()).collect();
        // When the third record came the first was forgotten.
        assert_eq!(changed, [true, true, false, true, true]);
        assert_eq!(budget.state.lock().by_record.len(), 2);
    }
}
