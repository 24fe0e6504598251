//! What must hold of a value, apart from what is to become of one of which it does not.

/// What must hold of values of type `T`: a list of rules, each with the words that are said where it does not hold.
///
/// A check finds; what is to become of what it finds is said behind it, and makes a [`Handler`](crate::Handler) of it:
///
/// | behind a check | what does not fit |
/// |---|---|
/// | [`or_reject`](Check::or_reject), [`or_drop`](Check::or_drop) | ends, with all rules that do not hold as the reason |
/// | [`or_replace`](Check::or_replace) | goes on with another value |
/// | [`or_retry`](Check::or_retry) | goes back to a feedback point, as long as rounds are left |
/// | [`or_next`](Check::or_next) | has the nearest step with alternatives try the next one |
/// | [`or_retry(…).or_ask(…)`](crate::OrAgain), [`or_next().or_ask(…)`](crate::OrAgain) | goes back, and in the end, when nothing is left, waits for a person; so with `or_replace`, `or_drop`, `or_else` |
/// | [`or_ask`](Check::or_ask) | waits for a person |
/// | [`or_else`](Check::or_else) | is what your closure says |
///
/// Where everything holds the handler abstains, so that checks can stand behind one another in a [`Chain`](crate::Chain).
///
/// Rules are added by methods, of which [`holds`](Check::holds) is the general one. The closure of the first rule names the type of
/// the values, as in `|r: &Receipt|`; the others know it then. The words of a rule are
/// the same whatever the value, because reasons are counted.
///
/// ```
/// use eddyline_handlers::{Check, Verdict, testing};
///
/// struct Receipt { date: Option<&'static str>, items: Vec<f64>, total: f64 }
///
/// let check = Check::new()
///     .required("date", |r: &Receipt| r.date.is_some())
///     .range("total", |r| r.total, 0.0..10_000.0)
///     .sum("the items add up to the total", |r| r.items.iter().sum(), |r| r.total, 0.005);
///
/// let good = Receipt { date: Some("2026-03-01"), items: vec![1.2, 2.3], total: 3.5 };
/// let bad = Receipt { date: None, items: vec![1.2, 2.3], total: 8.5 };
/// assert!(check.violations(&good).is_empty());
/// assert_eq!(check.violations(&bad), ["date is missing", "does not hold: the items add up to the total"]);
///
/// let reasons: Vec<_> = testing::judge(check.or_reject(), [bad])
///     .into_iter()
///     .map(|verdict| match verdict { Verdict::Reject(reason) => reason, _ => String::new() })
///     .collect();
/// assert_eq!(reasons, ["date is missing; does not hold: the items add up to the total"]);
/// ```
pub struct Check<T> {
    rules: Vec<Rule<T>>,
}

type Which<T> = Box<dyn Fn(&T) -> Option<usize> + Send>;

struct Rule<T> {
    /// What it may say, fixed when it is made.
    words: Vec<String>,
    /// Which of them it says of a value; nothing where it holds.
    violation: Which<T>,
}

impl<T> Check<T> {
    /// A check without rules: everything fits.
    pub fn new() -> Self {
        Self { rules: Vec::new() }
    }

    /// A rule of your own. `statement` is what must hold, in words; where it does not, the violation reads
    /// "does not hold: …".
    ///
    /// ```
    /// # use eddyline_handlers::Check;
    /// let check = Check::new().holds("even", |n: &u32| n % 2 == 0);
    /// assert_eq!(check.violations(&3), ["does not hold: even"]);
    /// ```
    #[must_use]
    pub fn holds(self, statement: &str, predicate: impl Fn(&T) -> bool + Send + 'static) -> Self {
        self.rule(format!("does not hold: {statement}"), predicate)
    }

    /// The rules of `other` too.
    #[must_use]
    pub fn and(mut self, other: Check<T>) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// What does not hold of `value`, in the order of the rules; nothing where everything does.
    pub fn violations(&self, value: &T) -> Vec<&str> {
        self.rules.iter().filter_map(|rule| Some(rule.words[(rule.violation)(value)?].as_str())).collect()
    }

    /// A rule, and the words that are said where it does not hold.
    pub(crate) fn rule(self, words: String, holds: impl Fn(&T) -> bool + Send + 'static) -> Self {
        self.rule_in_words(vec![words], move |value| (!holds(value)).then_some(0))
    }

    /// A rule that may say one of several `words`; `violation` says which.
    pub(crate) fn rule_in_words(
        mut self,
        words: Vec<String>,
        violation: impl Fn(&T) -> Option<usize> + Send + 'static,
    ) -> Self {
        self.rules.push(Rule { words, violation: Box::new(violation) });
        self
    }
}

impl<T> Default for Check<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> std::fmt::Debug for Check<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rules.iter().flat_map(|rule| &rule.words)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_rule_that_does_not_hold_is_named_in_order(flags in prop::collection::vec(any::<bool>(), 0..8)) {
            let places = 0..flags.len();
            let check = places.clone().fold(Check::new(), |check, place| {
                check.holds(&place.to_string(), move |flags: &Vec<bool>| flags[place])
            });
            let wrong: Vec<_> =
                places.filter(|&place| !flags[place]).map(|place| format!("does not hold: {place}")).collect();
            prop_assert_eq!(check.violations(&flags), wrong);
        }
    }

    #[test]
    fn two_checks_become_one() {
        let both = Check::new()
            .holds("even", |n: &u32| n.is_multiple_of(2))
            .and(Check::new().holds("small", |n| *n < 9));
        assert_eq!(both.violations(&11).len(), 2);
        assert_eq!(format!("{both:?}"), r#"["does not hold: even", "does not hold: small"]"#);
    }
}
