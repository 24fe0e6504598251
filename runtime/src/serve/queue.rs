//! The queue of one model: parts of calls in the order in which they came, cut and merged into launches.

use std::collections::VecDeque;

use super::call::{Part, PartWork, Ticket};
use crate::{clock::Moment, engine::thread::Work};

/// First in, first out. Its length is what the callers have in flight.
#[derive(Default)]
pub(crate) struct Queue {
    parts: VecDeque<Part>,
    items: u64,
}

/// What the next launch would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Parts it takes.
    pub parts: usize,
    /// Items in them.
    pub items: u32,
    /// Since when the oldest has waited.
    pub since: Moment,
    /// The earliest deadline among them.
    pub deadline: Option<Moment>,
}

impl Queue {
    pub fn push(&mut self, part: Part) {
        self.items += u64::from(part.ticket.items);
        self.parts.push_back(part);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether what waits first is a function; then all is.
    pub fn is_of_functions(&self) -> bool {
        self.parts.front().is_some_and(|part| matches!(part.work, PartWork::Call(_)))
    }

    /// Items in it.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The first parts that hold at most `batch` items together, at least one part.
    pub fn head(&self, batch: u32) -> Option<Head> {
        let first = self.parts.front()?;
        let mut head = Head { parts: 0, items: 0, since: first.since, deadline: None };
        for part in &self.parts {
            let items = head.items.saturating_add(part.ticket.items);
            if head.parts > 0 && items > batch {
                break;
            }
            head.parts += 1;
            head.items = items;
            head.deadline = match (head.deadline, part.deadline) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Some(head)
    }

    /// Takes the first parts for a launch.
    pub fn take(&mut self, parts: usize) -> (Vec<Ticket>, Work) {
        let (mut tickets, mut items, mut calls) = (Vec::with_capacity(parts), Vec::new(), Vec::new());
        for part in self.parts.drain(..parts.min(self.parts.len())) {
            self.items -= u64::from(part.ticket.items);
            tickets.push(part.ticket);
            match part.work {
                PartWork::Item(item) => items.push(item),
                PartWork::Call(call) => calls.push(call),
            }
        }
        (tickets, if calls.is_empty() { Work::Items(items) } else { Work::Calls(calls) })
    }

    /// Adds items to the last part if it is the function that is meant, and takes no more than `most` with them.
    pub fn top_up(&mut self, is_it: impl Fn(&Ticket) -> bool, items: u32, retries: u32, most: u32) -> bool {
        let Some(Part { ticket, work: PartWork::Call(call), .. }) = self.parts.back_mut() else {
            return false;
        };
        if !is_it(ticket) || ticket.items.saturating_add(items) > most {
            return false;
        }
        ticket.items += items;
        ticket.retries += retries;
        call.items += items as usize;
        self.items += u64::from(items);
        true
    }

    /// Takes out what nobody wants any more.
    pub fn take_given_up(&mut self, into: &mut Vec<Part>) {
        let (given_up, parts) =
            std::mem::take(&mut self.parts).into_iter().partition(|part| part.ticket.is_given_up());
        let given_up: VecDeque<Part> = given_up;
        self.parts = parts;
        self.items = self.parts.iter().map(|part| u64::from(part.ticket.items)).sum();
        into.extend(given_up);
    }

    /// Takes out the first part.
    pub fn pop(&mut self) -> Option<Part> {
        let part = self.parts.pop_front()?;
        self.items -= u64::from(part.ticket.items);
        Some(part)
    }

    /// All that waits.
    pub fn into_parts(self) -> impl Iterator<Item = Part> {
        self.parts.into_iter()
    }

    /// The earliest deadline and the size of the oldest part.
    pub fn front(&self) -> Option<(Option<Moment>, u32)> {
        self.parts.front().map(|part| (part.deadline, part.ticket.items))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use parking_lot::Mutex;

    use super::*;
    use crate::{
        engine::{Item, ItemErrorKind},
        serve::{
            CallResult, Outcome,
            call::{Call, Work as CallWork, split},
        },
    };

    fn call(
        work: CallWork,
        retries: u32,
        deadline: Option<u64>,
    ) -> (Vec<Part>, Arc<Mutex<Option<CallResult>>>) {
        let told = Arc::new(Mutex::new(None));
        let tell = told.clone();
        let done = Box::new(move |result| *tell.lock() = Some(result));
        let deadline = deadline.map(Duration::from_millis);
        let mut parts = Vec::new();
        split(Call { work, retries, deadline, done, wake: None }, Duration::ZERO, &mut parts);
        (parts, told)
    }

    fn function(items: usize) -> CallWork {
        CallWork::function(items, || ())
    }

    #[test]
    fn calls_are_merged_and_cut_to_the_batch() {
        let mut queue = Queue::default();
        let (first, first_told) = call(CallWork::Items(vec![Item::default(); 3]), 2, Some(9));
        let (second, second_told) = call(CallWork::Items(vec![Item::default(); 3]), 0, Some(7));
        first.into_iter().chain(second).for_each(|part| queue.push(part));
        let head = queue.head(4).unwrap();
        assert_eq!((head.parts, head.items, head.deadline), (4, 4, Some(Duration::from_millis(7))));
        let (tickets, work) = queue.take(head.parts);
        assert_eq!(tickets.iter().map(|ticket| ticket.retries).collect::<Vec<_>>(), [1, 1, 0, 0]);
        assert!(matches!(work, Work::Items(items) if items.len() == 4));
        assert_eq!(queue.items(), 2);
        tickets.into_iter().for_each(|ticket| drop(ticket.answer(Ok(Item::default()))));
        let result = first_told.lock().take().unwrap();
        assert_eq!(result.outcome, Outcome::Items(vec![Ok(Item::default()); 3]));
        assert!(second_told.lock().is_none());
        // Whoever drops what is left answers for it.
        drop(queue);
        let Outcome::Items(items) = second_told.lock().take().unwrap().outcome else {
            panic!("these were items")
        };
        assert_eq!(items[0], Ok(Item::default()));
        assert!(items[1..].iter().all(|item| item.as_ref().unwrap_err().kind == ItemErrorKind::Stopped));
    }

    #[test]
    fn functions_are_merged_but_never_cut() {
        let mut queue = Queue::default();
        for items in [3, 1, 9, 0] {
            call(function(items), 0, None).0.into_iter().for_each(|part| queue.push(part));
        }
        let mut launches = Vec::new();
        while let Some(head) = queue.head(4) {
            launches.push((head.parts, head.items));
            assert!(matches!(queue.take(head.parts).1, Work::Calls(calls) if calls.len() == head.parts));
        }
        assert_eq!(launches, [(2, 4), (1, 9), (1, 0)]);
    }

    #[test]
    fn a_call_of_nothing_ends_at_once() {
        let (parts, told) = call(CallWork::Items(vec![]), 0, None);
        assert!(parts.is_empty());
        assert_eq!(told.lock().take().unwrap().outcome, Outcome::Items(vec![]));
    }
}
