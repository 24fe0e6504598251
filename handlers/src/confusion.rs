//! What a handler did to values of which the truth is known.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use serde::Serialize;

use crate::{Said, Verdict};

/// Right and wrong values against what a handler made of them. Values of which the truth is not known are not in it.
///
/// Each value is counted where it was judged: one that is sent back is `returned`, and counted again when it comes round.
///
/// | | left | to right | to wrong | returned | escalated | taken out |
/// |---|---|---|---|---|---|---|
/// | **right** before | as it should be | changed, still right | **harmed** | looked at in vain | asked in vain | withheld |
/// | **wrong** before | **undetected** | **repaired** | still wrong | caught | caught | caught |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// What became of values that were right.
    pub right: Outcomes,
    /// What became of values that were wrong.
    pub wrong: Outcomes,
}

/// What became of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// Passed or abstained from.
    pub left: u64,
    /// Corrected, and right then.
    pub to_right: u64,
    /// Corrected, and wrong then.
    pub to_wrong: u64,
    /// Something was sent back up.
    pub returned: u64,
    /// Left to a person, or sent another way.
    pub escalated: u64,
    /// Rejected or dropped.
    pub taken_out: u64,
}

impl Outcomes {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.left + self.fired()
    }

    fn fired(&self) -> u64 {
        self.to_right + self.to_wrong + self.returned + self.escalated + self.taken_out
    }
}

impl Confusion {
    /// Wrong values that were made right.
    pub fn repaired(&self) -> u64 {
        self.wrong.to_right
    }

    /// Right values that were made wrong.
    pub fn harmed(&self) -> u64 {
        self.right.to_wrong
    }

    /// Wrong values that were left as they are.
    pub fn undetected(&self) -> u64 {
        self.wrong.left
    }

    /// Right values that were taken out.
    pub fn withheld(&self) -> u64 {
        self.right.taken_out
    }

    /// Of the values at which the handler fired, the share that was wrong; none where it never did.
    pub fn precision(&self) -> Option<f64> {
        share(self.wrong.fired(), self.wrong.fired() + self.right.fired())
    }

    /// Of the wrong values, the share at which the handler fired; none where nothing was wrong.
    pub fn recall(&self) -> Option<f64> {
        share(self.wrong.fired(), self.wrong.all())
    }

    pub(crate) fn count(&mut self, change: Change) {
        let Some(right) = change.before else { return };
        let outcomes = if right { &mut self.right } else { &mut self.wrong };
        let place = match (change.said, change.after) {
            (Said::Passed | Said::Abstained, _) => &mut outcomes.left,
            (Said::Corrected, Some(true)) => &mut outcomes.to_right,
            (Said::Corrected, Some(false)) => &mut outcomes.to_wrong,
            (Said::Corrected, None) => return,
            (Said::Returned, _) => &mut outcomes.returned,
            (Said::Escalated | Said::Rerouted, _) => &mut outcomes.escalated,
            (Said::Rejected | Said::Dropped, _) => &mut outcomes.taken_out,
        };
        *place += 1;
    }
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl Display for Confusion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | left | to right | to wrong | returned | escalated | taken out |")?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        for (name, o) in [("right", self.right), ("wrong", self.wrong)] {
            let Outcomes { left, to_right, to_wrong, returned, escalated, taken_out } = o;
            writeln!(
                f,
                "| {name} | {left} | {to_right} | {to_wrong} | {returned} | {escalated} | {taken_out} |"
            )?;
        }
        Ok(())
    }
}

/// Says whether a value is right, where it is known.
pub(crate) type Truth<T> = Arc<dyn Fn(&T) -> Option<bool> + Send + Sync>;

/// One verdict, and whether the value was right before it and is after it, where that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub said: Said,
    pub before: Option<bool>,
    pub after: Option<bool>,
}

impl Change {
    pub fn of<T, R>(value: &T, verdict: &Verdict<T, R>, truth: impl Fn(&T) -> Option<bool>) -> Self {
        let after = match verdict {
            Verdict::Replace(value) => truth(value),
            // Several are right together.
            Verdict::Split(parts) => parts.iter().map(&truth).try_fold(true, |all, part| Some(all & part?)),
            _ => None,
        };
        Self { said: Said::of(verdict), before: truth(value), after }
    }

    pub fn repaired(self) -> bool {
        (self.before, self.after) == (Some(false), Some(true))
    }

    pub fn harmed(self) -> bool {
        (self.before, self.after) == (Some(true), Some(false))
    }
}
