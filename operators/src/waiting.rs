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
use hashbrown::{HashTable, hash_table::Entry};

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

    /// The last rows with these keys.
    pub fn find(&self, keys: &[K], hashes: &[Hashed]) -> Vec<Option<u32>> {
        let found = keys.iter().zip(hashes).map(|(key, hash)| {
            let is_it = |last: &Last| last.hash == hash.0 && self.key_of(last.number) == Some(key);
            self.by_key.find(hash.wide(), is_it).map(|last| last.number)
        });
        found.collect()
    }

    /// The rows with a key, beginning with the last one.
    pub fn for_each_from(&mut self, last: u32, mut f: impl FnMut(&mut Row<T>)) {
        let mut next = Some(last);
        while let Some(number) = next
            && let Some(place) = self.places.get_mut(number.wrapping_sub(self.first) as usize)
        {
            if let Some(row) = &mut place.row {
                f(row);
            }
            next = (place.before != number).then_some(place.before);
        }
    }

    /// A row begins to wait, after those before it. It is found from when it is [linked](Self::link).
    pub fn park(&mut self, key: K, hash: Hashed, row: Row<T>, cx: &mut Cx<'_>) {
        let number = self.end();
        let row = if self.by_origin.hold(&row.tag, number, cx) == Standing::Withdrawn {
            cx.end(&row.tag, Fate::Withdrawn);
            None
        } else {
            cx.park(&row.tag);
            self.len += 1;
            Some(row)
        };
        // That it is itself says that there is none before.
        self.places.push_back(Place { key, hash, before: number, row });
    }

    /// The last rows so many are found by their keys from now on, and wait until this time.
    ///
    /// Apart from parking: a search in the table mostly waits for memory, and several in a row wait together.
    pub fn link(&mut self, rows: usize, until: Moment) {
        let end = self.end();
        for at in self.places.len() - rows..self.places.len() {
            let number = self.first.wrapping_add(at as u32);
            let (places, first) = (&self.places, self.first);
            let Place { key, hash, .. } = &places[at];
            let is_it = |last: &Last| {
                last.hash == hash.0
                    && places
                        .get(last.number.wrapping_sub(first) as usize)
                        .is_some_and(|place| place.key == *key)
            };
            let last = Last { hash: hash.0, number };
            match self.by_key.entry(hash.wide(), is_it, |last| Hashed(last.hash).wide()) {
                Entry::Vacant(entry) => {
                    entry.insert(last);
                }
                Entry::Occupied(mut entry) => {
                    let before = std::mem::replace(entry.get_mut(), last).number;
                    self.places[at].before = before;
                }
            }
        }
        match self.until.back_mut() {
            Some((then, upto)) if *then == until => *upto = end,
            _ => self.until.push_back((until, end)),
        }
    }

    fn end(&self) -> u32 {
        self.first.wrapping_add(self.places.len() as u32)
    }

    fn key_of(&self, number: u32) -> Option<&K> {
        self.places.get(number.wrapping_sub(self.first) as usize).map(|place| &place.key)
    }

    /// Ends the rows whose time has passed, or all: those that found a partner as absorbed, the others as filtered, or they go on
    /// by `alone`. Says whether there were any.
    pub fn forget(
        &mut self,
        now: Option<Moment>,
        mut alone: Option<&mut dyn FnMut(T, Tag)>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let before = self.len;
        if now.is_none() {
            self.by_key.clear();
        }
        // One count for all that are alike.
        let (mut absorbed, mut filtered) = (0, 0);
        let mut ids: [Vec<RecordId>; 2] = Default::default();
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
                if let Some(go_on) = alone.as_mut().filter(|_| !row.matched.stands()) {
                    cx.unpark(&row.tag);
                    go_on(row.value, row.tag);
                    continue;
                }
                let fate = if row.matched.stands() { Fate::Absorbed } else { Fate::Filtered };
                if cx.keeps_lineage() && row.tag.trail.is_none() {
                    ids[usize::from(fate == Fate::Filtered)].push(row.tag.id);
                }
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
        let [ids_absorbed, ids_filtered] = ids;
        cx.end_plain(absorbed, Fate::Absorbed, ids_absorbed);
        cx.end_plain(filtered, Fate::Filtered, ids_filtered);
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
