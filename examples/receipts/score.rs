//! What was read, held against what was written.

use std::ops::AddAssign;

use crate::{fields::Fields, receipt::Receipt};

/// Fields that were written, read, and read right. An item with its price is one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    pub written: u32,
    pub read: u32,
    pub right: u32,
}

impl Score {
    /// Of one receipt; nothing was read of one that did not come out.
    pub fn of(read: Option<&Fields>, truth: &Receipt) -> Self {
        let nothing = Fields::default();
        let read = read.unwrap_or(&nothing);
        let mut score = Score::default();
        for (read, truth) in
            [(&read.merchant, &truth.merchant), (&read.date, &truth.date), (&read.number, &truth.number)]
        {
            score.field(read.as_deref().map(squeezed), squeezed(truth));
        }
        for (read, truth) in
            [(read.subtotal, truth.subtotal), (read.tax, truth.tax), (read.total, truth.total)]
        {
            score.field(read, truth);
        }
        score.written += truth.items.len() as u32;
        score.read += read.items.len() as u32;
        // No two items of a receipt have the same name.
        let is_right = |item: &&crate::receipt::Item| {
            truth.items.iter().any(|t| t.price == item.price && squeezed(&t.name) == squeezed(&item.name))
        };
        score.right += read.items.iter().filter(is_right).count() as u32;
        score
    }

    fn field<T: PartialEq>(&mut self, read: Option<T>, truth: T) {
        self.written += 1;
        self.read += u32::from(read.is_some());
        self.right += u32::from(read == Some(truth));
    }

    /// Everything is read, everything is right, and nothing is read that was not written.
    pub fn is_perfect(self) -> bool {
        self.right == self.written && self.right == self.read
    }

    pub fn precision(self) -> f64 {
        share(self.right, self.read)
    }

    pub fn recall(self) -> f64 {
        share(self.right, self.written)
    }

    pub fn f1(self) -> f64 {
        share(2 * self.right, self.read + self.written)
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.read += other.read;
        self.right += other.right;
    }
}

fn share(some: u32, of: u32) -> f64 {
    if of == 0 { 0.0 } else { f64::from(some) / f64::from(of) }
}

/// Without spaces, which readers see or do not see.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_receipt_that_is_read_as_it_is_printed_is_perfect() {
        for seed in 0..50 {
            let truth = Receipt::invented(&mut StdRng::seed_from_u64(seed));
            let score = Score::of(Some(&Fields::of(&truth.lines())), &truth);
            assert!(score.is_perfect() && score.f1() == 1.0, "{seed}: {score:?}");
            let nothing = Score::of(None, &truth);
            assert_eq!((nothing.written, nothing.read, nothing.recall()), (score.written, 0, 0.0));
        }
    }

    #[test]
    fn what_is_read_wrong_costs_precision_and_recall_and_what_is_not_read_only_recall() {
        let truth = Receipt::invented(&mut StdRng::seed_from_u64(1));
        let mut fields = Fields::of(&truth.lines());
        fields.date = None;
        let missing = Score::of(Some(&fields), &truth);
        fields.date = Some("2000-01-01".to_owned());
        let wrong = Score::of(Some(&fields), &truth);
        assert_eq!((missing.precision(), wrong.recall()), (1.0, missing.recall()));
        assert!(wrong.precision() < 1.0 && wrong.f1() < missing.f1());
    }
}
