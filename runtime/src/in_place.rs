//! Mapping a column where it lies: where old and new values are of one size, no memory is asked for and none is touched twice.

use std::mem::{ManuallyDrop, align_of, size_of};

use crate::guard::{self, Panicked};

/// Runs the author's code on each value and keeps the results in order; gives the index and message of those on which it
/// panicked, which are left out.
pub fn map_each<T, U>(values: Vec<T>, mut f: impl FnMut(T) -> U) -> (Vec<U>, Vec<(usize, Panicked)>) {
    if size_of::<T>() != size_of::<U>() || align_of::<T>() != align_of::<U>() || size_of::<T>() == 0 {
        let mut mapped = Vec::with_capacity(values.len());
        let panics = guard::each(values, |value| mapped.push(f(value)));
        return (mapped, panics);
    }
    let mut half = HalfMapped::<T, U>::new(values);
    let panics = guard::each(0..half.len, |_| half.step(&mut f));
    (half.finish(), panics)
}

/// A column of which the first values are new, the last old, and those between are nobody's.
struct HalfMapped<T, U> {
    values: *mut T,
    capacity: usize,
    len: usize,
    /// Values before this one have been taken out.
    read: usize,
    /// Values before this one are new. Never more than have been taken out.
    written: usize,
    new: std::marker::PhantomData<U>,
}

impl<T, U> HalfMapped<T, U> {
    fn new(values: Vec<T>) -> Self {
        let mut values = ManuallyDrop::new(values);
        Self {
            values: values.as_mut_ptr(),
            capacity: values.capacity(),
            len: values.len(),
            read: 0,
            written: 0,
            new: std::marker::PhantomData,
        }
    }

    #[inline(always)]
    fn step(&mut self, f: &mut impl FnMut(T) -> U) {
        if self.read == self.len {
            return;
        }
        // SAFETY: it is one of the old values, and is not read again.
        let value = unsafe { self.values.add(self.read).read() };
        self.read += 1;
        let new = f(value);
        // SAFETY: `written < read`, so nobody's value lies there, and both types have one layout.
        unsafe { self.values.cast::<U>().add(self.written).write(new) };
        self.written += 1;
    }

    /// The new values, when no old one is left.
    fn finish(self) -> Vec<U> {
        let mut this = ManuallyDrop::new(self);
        this.drop_old();
        // SAFETY: the memory comes from a `Vec` of as many values of this layout, of which the first `written` are new.
        unsafe { Vec::from_raw_parts(this.values.cast::<U>(), this.written, this.capacity) }
    }

    fn drop_old(&mut self) {
        while self.read < self.len {
            self.read += 1;
            // SAFETY: it is one of the old values, and is not dropped again.
            unsafe { self.values.add(self.read - 1).drop_in_place() };
        }
    }
}

impl<T, U> Drop for HalfMapped<T, U> {
    /// Only where the guard itself panics.
    fn drop(&mut self) {
        self.drop_old();
        // SAFETY: as in `finish`, which takes care that it is done once.
        drop(unsafe { Vec::from_raw_parts(self.values.cast::<U>(), self.written, self.capacity) });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn values_of_one_size_stay_where_they_are() {
        let values: Vec<u64> = (0..10).collect();
        let place = values.as_ptr().cast::<i64>();
        let (mapped, panics) = map_each(values, |n| -(n as i64));
        assert_eq!((mapped.as_ptr(), mapped.len(), panics.len()), (place, 10, 0));
        assert_eq!(mapped[9], -9);
        assert_eq!(map_each(vec![1_u8, 2], u32::from).0, [1, 2]);
        assert_eq!(map_each(vec![(), ()], |()| ()).0.len(), 2);
    }

    #[test]
    fn a_panic_takes_one_value_only_and_none_is_dropped_twice() {
        guard::install_hook();
        let kept = Arc::new(());
        let values: Vec<(usize, Arc<()>)> = (0..5).map(|n| (n, Arc::clone(&kept))).collect();
        let (mapped, panics) = map_each(values, |(n, one)| {
            assert!(n % 2 == 0, "odd");
            (one, n)
        });
        assert_eq!(mapped.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(panics.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(Arc::strong_count(&kept), 4);
        drop(mapped);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
