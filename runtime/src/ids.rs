//! Which records the rows of a batch are: a column that is not there as long as the rows are consecutive source records.

use std::{cell::Cell, mem, ops::Range};

use crate::record::RecordId;

/// Which record each row is.
#[derive(Clone, Debug)]
pub enum Ids {
    /// These, one after the other, as a source brings them.
    Run {
        /// The first row's record.
        first: RecordId,
        /// Rows.
        len: usize,
    },
    /// Any.
    Column(Vec<RecordId>),
}

impl Default for Ids {
    fn default() -> Self {
        Self::Column(Vec::new())
    }
}

impl From<Vec<RecordId>> for Ids {
    fn from(ids: Vec<RecordId>) -> Self {
        Self::Column(ids)
    }
}

impl Ids {
    /// None so far, with room for so many.
    pub fn with_capacity(rows: usize) -> Self {
        Self::Column(Vec::with_capacity(rows))
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Run { len, .. } => *len,
            Self::Column(ids) => ids.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that there is room for.
    pub fn capacity(&self) -> usize {
        match self {
            Self::Run { len, .. } => *len,
            Self::Column(ids) => ids.capacity(),
        }
    }

    /// Which record row `i` is. There must be such a row.
    #[inline]
    pub fn get(&self, i: usize) -> RecordId {
        match self {
            Self::Run { first, len } => {
                assert!(i < *len, "there are only {len} rows");
                first.behind(i)
            }
            Self::Column(ids) => ids[i],
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = RecordId> {
        let (run, column) = match self {
            Self::Run { first, len } => (first.run(*len), &[][..]),
            Self::Column(ids) => (RecordId::of_source(0, 0).run(0), ids.as_slice()),
        };
        run.chain(column.iter().copied())
    }

    /// As a column.
    fn into_column(self) -> Vec<RecordId> {
        match self {
            Self::Run { first, len } => first.run(len).collect(),
            Self::Column(ids) => ids,
        }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, id: RecordId) {
        match self {
            Self::Column(ids) => ids.push(id),
            Self::Run { .. } => {
                let mut ids = mem::take(self).into_column();
                ids.push(id);
                *self = Self::Column(ids);
            }
        }
    }

    /// Adds the rows of `other`.
    pub fn append(&mut self, other: Self) {
        if let (Self::Run { first, len }, Self::Run { first: next, len: more }) = (&mut *self, &other)
            && first.behind(*len) == *next
        {
            *len += more;
            return;
        }
        let mut ids = mem::take(self).into_column();
        match other {
            Self::Column(mut more) => ids.append(&mut more),
            Self::Run { first, len } => ids.extend(first.run(len)),
        }
        *self = Self::Column(ids);
    }

    /// Keeps the first `rows` and gives back the others.
    pub fn split_off(&mut self, rows: usize) -> Self {
        match self {
            Self::Column(ids) => Self::Column(ids.split_off(rows)),
            Self::Run { first, len } => {
                let rest = Self::Run { first: first.behind(rows), len: *len - rows };
                *len = rows;
                rest
            }
        }
    }

    /// Keeps the rows whose flag is set.
    pub fn retain(&mut self, flags: &[bool]) {
        debug_assert_eq!(flags.len(), self.len());
        match self {
            Self::Run { first, len } => {
                let mut ids = vec![*first; *len];
                let kept = keep(cells(&mut ids), first.run(*len), flags);
                ids.truncate(kept);
                *self = Self::Column(ids);
            }
            Self::Column(ids) => {
                let cells = cells(ids);
                let kept = keep(cells, cells.iter().map(Cell::get), flags);
                ids.truncate(kept);
            }
        }
    }
}

fn cells(ids: &mut [RecordId]) -> &[Cell<RecordId>] {
    Cell::from_mut(ids).as_slice_of_cells()
}

/// Puts those of `ids` that stay into `cells`, which may be where they are, and says how many stay. Each is written where the next one that
/// stays belongs: no branch to be mispredicted.
fn keep(cells: &[Cell<RecordId>], ids: impl Iterator<Item = RecordId>, flags: &[bool]) -> usize {
    let mut kept = 0;
    for (id, &stays) in ids.zip(flags) {
        cells[kept].set(id);
        kept += usize::from(stays);
    }
    kept
}

impl IntoIterator for Ids {
    type Item = RecordId;
    type IntoIter = IntoIds;

    fn into_iter(self) -> IntoIds {
        match self {
            Self::Run { first, len } => IntoIds { first, run: 0..len, column: Vec::new().into_iter() },
            Self::Column(ids) => {
                IntoIds { first: RecordId::of_source(0, 0), run: 0..0, column: ids.into_iter() }
            }
        }
    }
}

/// The records of a batch's rows, by value.
#[derive(Debug)]
pub struct IntoIds {
    first: RecordId,
    run: Range<usize>,
    column: std::vec::IntoIter<RecordId>,
}

impl Iterator for IntoIds {
    type Item = RecordId;

    #[inline]
    fn next(&mut self) -> Option<RecordId> {
        match self.column.next() {
            None => self.run.next().map(|i| self.first.behind(i)),
            id => id,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let rows = self.run.len() + self.column.len();
        (rows, Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(seq: u64) -> RecordId {
        RecordId::of_source(1, seq)
    }

    proptest! {
        /// Whatever is done to it: a run is as the column of the same records.
        #[test]
        fn a_run_is_as_its_column(len in 0_usize..20, steps in prop::collection::vec((0_u8..5, 0_usize..30, any::<u32>()), 0..12)) {
            let mut run = Ids::Run { first: id(5), len };
            let mut column = Ids::Column((5..5 + len as u64).map(id).collect());
            for (step, at, bits) in steps {
                match step {
                    0 => [&mut run, &mut column].into_iter().for_each(|ids| ids.push(id(at as u64))),
                    1 => {
                        let flags: Vec<bool> = (0..run.len()).map(|row| bits >> (row % 32) & 1 == 1).collect();
                        run.retain(&flags);
                        column.retain(&flags);
                    }
                    2 => {
                        let at = at.min(run.len());
                        let (a, b) = (run.split_off(at), column.split_off(at));
                        prop_assert_eq!(a.iter().collect::<Vec<_>>(), b.into_iter().collect::<Vec<_>>());
                    }
                    3 => {
                        let more = Ids::Run { first: id(5 + run.len() as u64), len: at };
                        run.append(more.clone());
                        column.append(Ids::Column(more.iter().collect()));
                    }
                    _ => {
                        run.append(Ids::Column(vec![id(7), id(1)]));
                        column.append(Ids::Run { first: id(7), len: 1 });
                        column.append(Ids::Run { first: id(1), len: 1 });
                    }
                }
                prop_assert_eq!(run.iter().collect::<Vec<_>>(), column.iter().collect::<Vec<_>>());
                prop_assert_eq!((run.len(), run.is_empty()), (column.len(), column.is_empty()));
                for row in 0..run.len() {
                    prop_assert_eq!(run.get(row), column.get(row));
                }
                prop_assert_eq!(run.clone().into_iter().collect::<Vec<_>>(), column.iter().collect::<Vec<_>>());
                prop_assert_eq!(run.clone().into_iter().size_hint(), (run.len(), Some(run.len())));
            }
        }
    }
}
