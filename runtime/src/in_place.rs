//! Changing a column where it lies: no memory is asked for, and what the author's code leaves as it is stays untouched.

use std::{
    cell::Cell,
    mem::{ManuallyDrop, align_of, size_of},
};

use crate::guard::{self, Panicked};

/// Runs the author's code on each value and keeps the results in order; gives the index and message of those on which it
/// panicked, which are left out.
pub fn map_each<T, U>(values: Vec<T>, mut f: impl FnMut(T) -> U) -> (Vec<U>, Vec<(usize, Panicked)>) {
    let mut panics = Vec::new();
    if size_of::<T>() != size_of::<U>() || align_of::<T>() != align_of::<U>() || size_of::<T>() == 0 {
        let mut mapped = Vec::with_capacity(values.len());
        let mut old = HalfMapped::<T, T>::new(values);
        let mut go_on = |old: &mut HalfMapped<T, T>| {
            while old.read < old.len {
                mapped.push(f(old.take_next()));
            }
        };
        while let Err(panicked) = guard::call(|| go_on(&mut old)) {
            panics.push((old.read - 1, panicked));
        }
        return (mapped, panics);
    }
    let mut half = HalfMapped::<T, U>::new(values);
    while let Err(panicked) = guard::call(|| half.go_on(&mut f)) {
        panics.push((half.read - 1, panicked));
    }
    (half.finish(), panics)
}

/// Keeps the values of which the author's code says `true`, and says which these were. Those on which it panicked are taken out,
/// with index and message.
pub fn retain_each<T>(
    values: &mut Vec<T>,
    mut f: impl FnMut(&T) -> bool,
) -> (Vec<bool>, Vec<(usize, T, Panicked)>) {
    let mut sieve = Sieve::new(std::mem::take(values));
    let mut flags = vec![true; sieve.len];
    let mut panics = Vec::new();
    let dropping = Cell::new(false);
    let mut go_on = |sieve: &mut Sieve<T>, flags: &mut [bool]| {
        while let Some((row, value)) = sieve.current() {
            if f(value) {
                sieve.keep();
            } else {
                flags[row] = false;
                let gone = sieve.take();
                dropping.set(true);
                drop(gone);
                dropping.set(false);
            }
        }
    };
    while let Err(panicked) = guard::call(|| go_on(&mut sieve, &mut flags)) {
        if dropping.take() {
            // It is gone all the same.
            continue;
        }
        let row = sieve.row();
        flags[row] = false;
        panics.push((row, sieve.take(), panicked));
    }
    *values = sieve.finish();
    (flags, panics)
}

/// A column that is looked at value by value: each stays, or is taken out.
///
/// What stays is moved up in whole runs, when one is taken out behind them.
pub struct Sieve<T> {
    values: *mut T,
    capacity: usize,
    len: usize,
    /// Values before this one have been looked at.
    read: usize,
    /// Those from here to `read` stay, and lie where they lay. Those between `moved` and here are nobody's.
    run: usize,
    /// Values before this one stay, and have been moved up.
    moved: usize,
}

impl<T> Sieve<T> {
    /// Of these values.
    pub fn new(values: Vec<T>) -> Self {
        let mut values = ManuallyDrop::new(values);
        let (capacity, len) = (values.capacity(), values.len());
        Self { values: values.as_mut_ptr(), capacity, len, read: 0, run: 0, moved: 0 }
    }

    /// The value that is looked at, until it is kept or taken, and which one it is; none when all have been.
    #[inline(always)]
    pub fn current(&mut self) -> Option<(usize, &mut T)> {
        // SAFETY: it is one of those that have not been looked at.
        (self.read < self.len).then(|| (self.read, unsafe { &mut *self.values.add(self.read) }))
    }

    /// Which value is looked at.
    pub fn row(&self) -> usize {
        self.read
    }

    /// How many have been kept.
    pub fn kept(&self) -> usize {
        self.moved + (self.read - self.run)
    }

    /// It stays.
    #[inline(always)]
    pub fn keep(&mut self) {
        assert!(self.read < self.len, "there is no other value");
        self.read += 1;
    }

    /// It is taken out. There must be one that is looked at.
    #[inline(always)]
    pub fn take(&mut self) -> T {
        assert!(self.read < self.len, "there is no other value");
        self.move_up();
        self.read += 1;
        self.run = self.read;
        // SAFETY: it is one of those that have not been looked at, and now it is nobody's.
        unsafe { self.values.add(self.read - 1).read() }
    }

    /// What stays, when all have been looked at; what has not been is dropped.
    pub fn finish(self) -> Vec<T> {
        let mut this = ManuallyDrop::new(self);
        this.move_up();
        this.drop_rest();
        // SAFETY: the memory comes from a `Vec` of such values, of which the first `moved` are somebody's.
        unsafe { Vec::from_raw_parts(this.values, this.moved, this.capacity) }
    }

    /// Moves the run up to those that stay.
    #[inline(always)]
    fn move_up(&mut self) {
        let rows = self.read - self.run;
        if self.moved < self.run {
            // SAFETY: the run's values are not read again where they lay, and up to it the places are nobody's, or its own.
            unsafe { self.values.add(self.run).copy_to(self.values.add(self.moved), rows) };
        }
        self.moved += rows;
        self.run = self.read;
    }

    /// Drops what has not been looked at.
    fn drop_rest(&mut self) {
        while self.read < self.len {
            self.read += 1;
            self.run = self.read;
            // SAFETY: it is one of those that have not been looked at, and is not dropped again.
            unsafe { self.values.add(self.read - 1).drop_in_place() };
        }
    }
}

impl<T> Drop for Sieve<T> {
    fn drop(&mut self) {
        self.move_up();
        self.drop_rest();
        // SAFETY: as in `finish`.
        drop(unsafe { Vec::from_raw_parts(self.values, self.moved, self.capacity) });
    }
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
    fn go_on(&mut self, f: &mut impl FnMut(T) -> U) {
        // As long as nothing was left out each value stays in its place, and the compiler sees what of it does not change.
        while self.read == self.written && self.read < self.len {
            // SAFETY: an old value, which is not read again, and behind it nobody's place for a new one of the same layout.
            unsafe {
                let place = self.values.add(self.read);
                self.read += 1;
                let new = f(place.read());
                place.cast::<U>().write(new);
            }
            self.written += 1;
        }
        while self.read < self.len {
            let new = f(self.take_next());
            // SAFETY: `written < read`, so nobody's value lies there, and both types have one layout.
            unsafe { self.values.cast::<U>().add(self.written).write(new) };
            self.written += 1;
        }
    }

    /// The next old value, of which there must be one.
    #[inline(always)]
    fn take_next(&mut self) -> T {
        assert!(self.read < self.len, "there is no other value");
        self.read += 1;
        // SAFETY: it is one of the old values, and is not read again.
        unsafe { self.values.add(self.read - 1).read() }
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
    fn what_is_kept_moves_up_and_what_is_not_is_dropped_once() {
        guard::install_hook();
        let kept = Arc::new(());
        let mut values: Vec<(usize, Arc<()>)> = (0..6).map(|n| (n, Arc::clone(&kept))).collect();
        let (flags, panics) = retain_each(&mut values, |(n, _)| {
            assert!(*n != 3, "three");
            n % 3 != 0
        });
        assert_eq!(values.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert_eq!(flags, [false, true, true, false, true, true]);
        assert_eq!((panics.len(), panics[0].0, panics[0].1.0), (1, 3, 3));
        assert_eq!(Arc::strong_count(&kept), 6);
        drop((values, panics));
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[test]
    fn a_value_that_panics_as_it_is_dropped_is_gone_all_the_same() {
        struct Bad(u32);
        impl Drop for Bad {
            fn drop(&mut self) {
                assert!(self.0 % 3 != 2, "not this one");
            }
        }
        guard::install_hook();
        let mut values: Vec<Bad> = [0, 2, 3, 4, 5].map(Bad).into();
        let (flags, panics) = retain_each(&mut values, |bad| bad.0 % 3 != 2);
        assert_eq!(values.iter().map(|bad| bad.0).collect::<Vec<_>>(), [0, 3, 4]);
        assert_eq!((flags, panics.len()), (vec![true, false, true, true, false], 0));
    }

    #[test]
    fn a_sieve_keeps_or_gives_each_value_once() {
        let one = Arc::new(());
        let values: Vec<(usize, Arc<()>)> = (0..7).map(|n| (n, Arc::clone(&one))).collect();
        let mut sieve = Sieve::new(values);
        let mut taken = Vec::new();
        while let Some((_, (n, _))) = sieve.current() {
            *n += 10;
            match *n % 3 {
                0 => taken.push((sieve.row(), sieve.kept(), sieve.take().0)),
                _ if *n == 16 => break,
                _ => sieve.keep(),
            }
        }
        assert_eq!(taken, [(2, 2, 12), (5, 4, 15)]);
        assert_eq!(sieve.finish().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [10, 11, 13, 14]);
        assert_eq!(Arc::strong_count(&one), 1);
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
