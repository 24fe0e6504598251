//! What a verdict does to its record, in few words: what is counted, limited and compared.

use serde::Serialize;

use crate::Verdict;

/// The kind of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// `Pass`.
    Passed,
    /// `Abstain`.
    Abstained,
    /// `Replace`, or `Split` into at least one.
    Corrected,
    /// Something goes back up: `Retry`, `NextAlternative`, `Revise`, `Append`.
    Returned,
    /// `Reject`.
    Rejected,
    /// `Drop`, `Delete`, or `Split` into nothing.
    Dropped,
    /// `Escalate`.
    Escalated,
    /// `Reroute`.
    Rerouted,
}

impl Said {
    /// The kind of `verdict`.
    ///
    /// ```
    /// use eddyline_handlers::{Said, Verdict};
    ///
    /// let verdict: Verdict<i32> = Verdict::Replace(1);
    /// assert_eq!(Said::of(&verdict), Said::Corrected);
    /// ```
    pub fn of<T, R>(verdict: &Verdict<T, R>) -> Self {
        match verdict {
            Verdict::Pass => Said::Passed,
            Verdict::Abstain => Said::Abstained,
            Verdict::Split(parts) if parts.is_empty() => Said::Dropped,
            Verdict::Replace(_) | Verdict::Split(_) => Said::Corrected,
            Verdict::Retry(_) | Verdict::Revise(..) | Verdict::Append(..) => Said::Returned,
            Verdict::Reject(_) => Said::Rejected,
            Verdict::Drop(_) | Verdict::Delete(_) => Said::Dropped,
            Verdict::Escalate(_) => Said::Escalated,
            Verdict::Reroute(_) => Said::Rerouted,
        }
    }

    /// Whether it changes what becomes of the record: all but `Pass` and `Abstain`.
    pub fn fired(self) -> bool {
        !matches!(self, Said::Passed | Said::Abstained)
    }

    /// Whether it changes what the record is, here or further up.
    pub fn changes(self) -> bool {
        matches!(self, Said::Corrected | Said::Returned)
    }

    /// Whether it takes the record out.
    pub fn takes_out(self) -> bool {
        matches!(self, Said::Rejected | Said::Dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ancestors, NextAlternative};

    #[test]
    fn every_verdict_has_its_kind() {
        let kept = Ancestors::of([1]);
        let kept = kept.nearest().unwrap();
        let kinds = [
            (Verdict::Pass, Said::Passed),
            (Verdict::Abstain, Said::Abstained),
            (Verdict::Replace(1), Said::Corrected),
            (Verdict::Split(vec![1]), Said::Corrected),
            (Verdict::Split(vec![]), Said::Dropped),
            (Verdict::Retry(1), Said::Returned),
            (kept.revise(2), Said::Returned),
            (kept.append(2), Said::Returned),
            (kept.delete(), Said::Dropped),
            (Verdict::reject("no"), Said::Rejected),
            (Verdict::drop("no"), Said::Dropped),
        ];
        for (verdict, kind) in kinds {
            assert_eq!(Said::of(&verdict), kind);
            assert_eq!(kind.fired(), kind.changes() || kind.takes_out(), "no question is among them");
        }
        assert_eq!(Said::of::<i32, _>(&Verdict::Retry(NextAlternative)), Said::Returned);
    }
}
