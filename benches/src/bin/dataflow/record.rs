//! What is moved: 72 bytes of plain data, and what a sink makes of them.

use std::{
    error::Error,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
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

/// What a sink has seen that runs on another thread.
#[derive(Clone, Default)]
pub struct Shared(Arc<[AtomicU64; 2]>);

impl Shared {
    /// Adds a number; only one thread does.
    pub fn add(&self, id: u64) {
        let [count, sum] = &*self.0;
        count.store(count.load(Relaxed) + 1, Relaxed);
        sum.store(sum.load(Relaxed).wrapping_add(id), Relaxed);
    }

    /// Adds a record, and hides it from the optimiser.
    pub fn add_record(&self, record: &Rec) {
        self.add(black_box(record).id);
    }

    pub fn get(&self) -> Seen {
        Seen { count: self.0[0].load(Relaxed), sum: self.0[1].load(Relaxed) }
    }
}
