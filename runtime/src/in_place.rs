//! Changing a column where it lies: no memory is asked for, and what the author's code leaves as it is stays untouched.

use std::mem::{ManuallyDrop, align_of, size_of};

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
    let mut flags = Vec::with_capacity(values.len());
    let mut panics = Vec::new();
    // Old and new values are of one type here: what is kept is mapped to itself.
    let mut half = HalfMapped::<T, T>::new(std::mem::take(values));
    while let Err(panicked) = guard::call(|| half.keep(&mut f, &mut flags)) {
        flags.push(false);
        panics.push((half.read, half.take_next(), panicked));
    }
    *values = half.finish();
    (flags, panics)
}

/// A column that is looked at value by value: each stays, or is taken out.
pub struct Sieve<T>(HalfMapped<T, T>);

impl<T> Sieve<T> {
    /// Of these values.
    pub fn new(values: Vec<T>) -> Self {
        Self(HalfMapped::new(values))
    }

    /// The value that is looked at, until it is kept or taken, and which one it is; none when all have been.
    #[inline(always)]
    pub fn current(&mut self) -> Option<(usize, &mut T)> {
        let row = self.0.read;
        // SAFETY: it is one of the old values.
        (row < self.0.len).then(|| (row, unsafe { &mut *self.0.values.add(row) }))
    }

    /// Which value is looked at.
    pub fn row(&self) -> usize {
        self.0.read
    }

    /// How many have been kept.
    pub fn kept(&self) -> usize {
        self.0.written
    }

    /// It stays.
    #[inline(always)]
    pub fn keep(&mut self) {
        self.0.keep_next();
    }

    /// It is taken out. There must be one that is looked at.
    #[inline(always)]
    pub fn take(&mut self) -> T {
        self.0.take_next()
    }

    /// What stays, when all have been looked at; what has not been is dropped.
    pub fn finish(self) -> Vec<T> {
        self.0.finish()
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

impl<T> HalfMapped<T, T> {
    #[inline(always)]
    fn keep(&mut self, f: &mut impl FnMut(&T) -> bool, flags: &mut Vec<bool>) {
        while self.read < self.len {
            // SAFETY: it is one of the old values.
            let kept = f(unsafe { &*self.values.add(self.read) });
            flags.push(kept);
            if !kept {
                drop(self.take_next());
                continue;
            }
            self.keep_next();
        }
    }

    #[inline(always)]
    fn keep_next(&mut self) {
        assert!(self.read < self.len, "there is no other value");
        // SAFETY: the old value is not read again, and `written <= read`: its new place is its own, or nobody's.
        unsafe {
            if self.written < self.read {
                self.values.add(self.read).copy_to_nonoverlapping(self.values.add(self.written), 1);
            }
        }
        self.read += 1;
        self.written += 1;
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
