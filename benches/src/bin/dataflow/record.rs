//! What is moved: 72 bytes of plain data, and what a sink makes of them.

use std::{
    error::Error,
    hint::black_box,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// A record of 72 bytes, moved by value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rec {
    pub id: u64,
    pub p: [u64; 8],
}

impl Rec {
    /// Record `i` of a source.
    pub fn new(i: u64) -> Self {
        Self { id: i, p: [i; 8] }
    }
}

/// What a sink has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub count: u64,
    pub sum: u64,
}

impl Seen {
    pub fn add(&mut self, id: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(id);
    }

    /// Adds a record, and hides it from the optimiser.
    pub fn add_record(&mut self, record: &Rec) {
        self.add(black_box(record).id);
    }

    /// Fails where it is not what it should be.
    pub fn check(self, expected: Seen) -> Result<(), Box<dyn Error>> {
        if self == expected { Ok(()) } else { Err(format!("{self:?}, and it should be {expected:?}").into()) }
    }
}

/// What a sink that runs elsewhere has seen.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Seen>>);

impl Shared {
    pub fn put(&self, seen: Seen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    pub fn get(&self) -> Seen {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sink's closure: adds each record, and is put down when the closure is dropped.
    pub fn sink(&self) -> Sink {
        Sink { seen: Seen::default(), into: self.clone() }
    }
}

/// Adds on a thread of its own and tells at its end.
pub struct Sink {
    pub seen: Seen,
    into: Shared,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.into.put(self.seen);
    }
}
