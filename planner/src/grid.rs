//! All numbers of devices of each kind, from none to all there are, as places of a table.

/// The places, and in which order: the last kind counts up first, so that what takes fewer devices of every kind comes first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    most: Vec<u32>,
    strides: Vec<usize>,
    len: usize,
}

impl Grid {
    /// `None` where there would be more than `limit` places.
    pub fn new(most: Vec<u32>, limit: usize) -> Option<Self> {
        let mut strides = vec![1; most.len()];
        let mut len = 1_usize;
        for (stride, most) in strides.iter_mut().zip(&most).rev() {
            *stride = len;
            len = len.checked_mul(*most as usize + 1).filter(|len| *len <= limit)?;
        }
        Some(Self { most, strides, len })
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn most(&self) -> &[u32] {
        &self.most
    }

    pub fn at(&self, numbers: &[u32]) -> usize {
        numbers.iter().zip(&self.strides).map(|(number, stride)| *number as usize * stride).sum()
    }

    /// The place of what is left when what is at a place is taken from all.
    pub fn rest(&self, at: usize) -> usize {
        self.len - 1 - at
    }

    /// Whether the sum of two is still on the grid.
    pub fn fits(&self, a: &[u32], b: &[u32]) -> bool {
        a.iter().zip(b).zip(&self.most).all(|((a, b), most)| a + b <= *most)
    }

    /// Whether there are no more of any kind than at a place.
    pub fn within(&self, numbers: &[u32], at: usize) -> bool {
        let there =
            self.strides.iter().zip(&self.most).map(|(stride, most)| at / stride % (*most as usize + 1));
        numbers.iter().zip(there).all(|(number, there)| *number as usize <= there)
    }

    /// Visits all places in order, with their numbers.
    pub fn walk(&self, mut visit: impl FnMut(usize, &[u32])) {
        let mut numbers = vec![0; self.most.len()];
        for at in 0..self.len {
            visit(at, &numbers);
            for (number, most) in numbers.iter_mut().zip(&self.most).rev() {
                if *number < *most {
                    *number += 1;
                    break;
                }
                *number = 0;
            }
        }
    }

    /// The greatest figure among the places with one device less.
    pub fn below(&self, figures: &[f64], at: usize, numbers: &[u32]) -> f64 {
        let less = numbers.iter().zip(&self.strides).filter(|(number, _)| **number > 0);
        less.map(|(_, stride)| figures[at - stride]).fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn places_come_in_order_and_what_is_taken_and_left_is_all() {
        let grid = Grid::new(vec![1, 2], 6).unwrap();
        let (mut seen, all) = (Vec::new(), grid.at(grid.most()));
        grid.walk(|at, numbers| {
            assert_eq!(grid.at(numbers), at);
            assert_eq!(at + grid.rest(at), all);
            seen.push(numbers.to_vec());
        });
        assert_eq!(seen, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert!(grid.fits(&[1, 0], &[0, 2]) && !grid.fits(&[1, 1], &[0, 2]));
    }

    #[test]
    fn a_table_that_is_too_large_is_not_made() {
        assert_eq!(Grid::new(vec![1, 2], 5), None);
        assert_eq!(Grid::new(vec![u32::MAX; 4], usize::MAX), None);
    }
}
