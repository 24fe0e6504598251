//! Rows that wait for partners: found by key, forgotten in order of arrival.
//!
//! The rows lie one behind the other as they came; beside them a table leads from a key to the last row with it, and each row to
//! the one before it with the same key. So a row costs one place in memory that is asked for in large pieces, and a few bytes of
//! a table that is small enough to be near.

use std::{collections::VecDeque, hash::Hash};

use eddyline_runtime::{
    clock::Moment,
    fate::Fate,
    operator::Cx,
    origin::{Change, Notice, Standing},
    record::{RecordId, Tag, Trail},
};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{at_rest::ByOrigin, join::Matched};

/// One side's rows.
pub(crate) struct Waiting<K, T> {
    /// In order of arrival; those that went before their time leave their place empty.
    places: VecDeque<Place<K, T>>,
    /// The number of the first place. Numbers begin again behind the last one, long after their rows are forgotten.
    first: u32,
    by_key: HashTable<Last>,
    /// Until when the places wait that come before each of these numbers.
    until: VecDeque<(Moment, u32)>,
    by_origin: ByOrigin<u32>,
    /// Places that are not empty.
    len: usize,
}

struct Place<K, T> {
    key: K,
    hash: Hashed,
    /// The place before it with the same key, or any that is forgotten.
    before: u32,
    row: Option<Row<T>>,
}

/// A row that waits for partners.
pub(crate) struct Row<T> {
    pub value: T,
    pub tag: Tag,
    pub matched: Matched,
}

/// The last place of a key.
#[derive(Clone, Copy)]
struct Last {
    hash: u32,
    number: u32,
}

/// What a key is found by.
#[derive(Clone, Copy)]
pub(crate) struct Hashed(u32);

/// Hashes the keys of both sides alike.
#[derive(Clone, Default)]
pub(crate) struct Hashes(RandomState);

impl Hashes {
    pub fn of<K: Hash>(&self, key: &K) -> Hashed {
        use std::hash::BuildHasher;
        Hashed((self.0.hash_one(key) >> 32) as u32)
    }
}

impl Hashed {
    /// The table looks at the highest bits and at the lowest.
    fn wide(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

impl<K: Eq, T> Waiting<K, T> {
    pub fn new() -> Self {
        Self {
            places: VecDeque::new(),
            first: 0,
            by_key: HashTable::new(),
            until: VecDeque::new(),
            by_origin: ByOrigin::default(),
            len: 0,
        }
    }

    /// Rows that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A row begins to wait, after those before it.
    pub fn park(&mut self, key: K, hash: Hashed, row: Row<T>, until: Moment, cx: &mut Cx<'_>) {
        let number = self.first.wrapping_add(self.places.len() as u32);
        if self.by_origin.hold(&row.tag, number, cx) == Standing::Withdrawn {
            return cx.end(&row.tag, Fate::Withdrawn);
        }
        cx.park(&row.tag);
        self.len += 1;
        let (places, first) = (&self.places, self.first);
        let is_it =
            |last: &Last| last.hash == hash.0 && places[last.number.wrapping_sub(first) as usize].key == key;
        let last = Last { hash: hash.0, number };
        let before = match self.by_key.find_mut(hash.wide(), is_it) {
            Some(known) => std::mem::replace(known, last).number,
            None => {
                self.by_key.insert_unique(hash.wide(), last, |last| Hashed(last.hash).wide());
                // That it is itself says that there is none.
                number
            }
        };
        self.places.push_back(Place { key, hash, before, row: Some(row) });
        match self.until.back_mut() {
            Some((then, end)) if *then == until => *end = number.wrapping_add(1),
            _ => self.until.push_back((until, number.wrapping_add(1))),
        }
    }

    /// The rows with this key, the last one first.
    pub fn for_each_partner(&mut self, key: &K, hash: Hashed, mut f: impl FnMut(&mut Row<T>)) {
        let (places, first) = (&self.places, self.first);
        let is_it =
            |last: &Last| last.hash == hash.0 && places[last.number.wrapping_sub(first) as usize].key == *key;
        let mut next = self.by_key.find(hash.wide(), is_it).map(|last| last.number);
        while let Some(number) = next
            && let Some(place) = self.places.get_mut(number.wrapping_sub(self.first) as usize)
        {
            if let Some(row) = &mut place.row {
                f(row);
            }
            next = (place.before != number).then_some(place.before);
        }
    }

    /// Ends the rows whose time has passed, or all: those that found a partner as absorbed, the others as filtered. Says whether
    /// there were any.
    pub fn forget(&mut self, now: Option<Moment>, cx: &mut Cx<'_>) -> bool {
        let before = self.len;
        if now.is_none() {
            self.by_key.clear();
        }
        // One count for all that are alike.
        let (mut absorbed, mut filtered) = (0, 0);
        while let Some((_, end)) = self.until.pop_front_if(|(until, _)| now.is_none_or(|now| *until <= now)) {
            while self.first != end
                && let Some(place) = self.places.pop_front()
            {
                let number = self.first;
                self.first = self.first.wrapping_add(1);
                if let Ok(last) = self.by_key.find_entry(place.hash.wide(), |last| last.number == number) {
                    last.remove();
                }
                let Some(row) = place.row else { continue };
                self.len -= 1;
                let fate = if row.matched.stands() { Fate::Absorbed } else { Fate::Filtered };
                match row.tag.trail {
                    None if fate == Fate::Absorbed => absorbed += 1,
                    None => filtered += 1,
                    Some(_) => {
                        cx.unpark(&row.tag);
                        cx.end(&row.tag, fate);
                    }
                }
            }
        }
        cx.end_plain(absorbed, Fate::Absorbed);
        cx.end_plain(filtered, Fate::Filtered);
        self.len < before
    }

    /// Ends the rows that were made from a version which has been revised.
    pub fn notice(&mut self, notices: &[Notice], cx: &mut Cx<'_>) {
        for (number, change) in self.by_origin.told(notices) {
            if change != Change::Settled
                && let Some(place) = self.places.get_mut(number.wrapping_sub(self.first) as usize)
                && let Some(row) = place.row.take()
            {
                self.len -= 1;
                cx.unpark(&row.tag);
                cx.end(&row.tag, Fate::Withdrawn);
            }
        }
    }

    /// When the first of them is forgotten.
    pub fn next_wake(&self) -> Option<Moment> {
        self.until.front().map(|(until, _)| *until)
    }

    pub fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for row in self.places.iter().filter_map(|place| place.row.as_ref()) {
            visit(row.tag.id, row.tag.trail.as_deref());
        }
    }
}
