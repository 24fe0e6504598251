//! What is on its way into the file: bounded in number and bytes.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};

/// Notes that wait at most, and their bytes.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

/// A bounded queue between the steps of a run and the thread that writes.
#[derive(Debug)]
pub(crate) struct Queue<N> {
    state: Mutex<State<N>>,
    /// There is something to write, or no more will come.
    filled: Condvar,
    /// There is room, or nobody makes any.
    room: Condvar,
    /// No more will come.
    closing: Condvar,
}

#[derive(Debug)]
struct State<N> {
    notes: VecDeque<N>,
    bytes: usize,
    closed: bool,
    /// Nothing can be written at present, so nobody waits for room.
    stuck: bool,
}

impl<N> Queue<N> {
    pub fn new() -> Self {
        let state = State { notes: VecDeque::new(), bytes: 0, closed: false, stuck: false };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            room: Condvar::new(),
            closing: Condvar::new(),
        }
    }

    /// Adds a note of about so many bytes; waits for room. Says whether it took it: a queue that is full while nothing can be
    /// written, or that is closed, does not.
    pub fn put(&self, note: N, bytes: usize) -> bool {
        let mut state = self.state.lock();
        while state.is_full() && !state.stuck && !state.closed {
            self.room.wait(&mut state);
        }
        if state.closed || state.is_full() {
            return false;
        }
        state.notes.push_back(note);
        state.bytes += bytes;
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Takes all that is there; waits for something. `None` when no more will come.
    pub fn take(&self) -> Option<Vec<N>> {
        let mut state = self.state.lock();
        while state.notes.is_empty() {
            if state.closed {
                return None;
            }
            self.filled.wait(&mut state);
        }
        state.bytes = 0;
        let notes = state.notes.drain(..).collect();
        drop(state);
        self.room.notify_all();
        Some(notes)
    }

    /// Waits a while before what could not be written is tried again. Says whether more may come.
    pub fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        state.stuck = true;
        self.room.notify_all();
        if !state.closed {
            self.closing.wait_for(&mut state, time);
        }
        !state.closed
    }

    /// It can be written again.
    pub fn goes_on(&self) {
        self.state.lock().stuck = false;
    }

    /// No more will come.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
        self.room.notify_all();
        self.closing.notify_all();
    }
}

impl<N> State<N> {
    fn is_full(&self) -> bool {
        self.notes.len() >= MOST || self.bytes >= MOST_BYTES
    }
}
