//! Random workflows as data, and what their author's functions do.

use eddyline::prelude::*;
use proptest::{prelude::*, strategy::Union};

/// One operator, or a block of operators. The numbers make its decisions differ from those of others.
#[derive(Clone, Debug)]
pub enum Op {
    Map(u64),
    Filter(u64),
    FlatMap(u64),
    /// A handler; the second number chooses an open feedback, if any, to which it sends back.
    Judge(u64, usize),
    /// A handler that may revise what is kept, add to it or delete it; the second number chooses among what is.
    Revise(u64, usize),
    /// A handler that may ask the open steps with alternatives for the next one: the nearest of them, so many more at most.
    Next(u64, usize),
    Model(u64),
    /// What code fails on goes another way, and both come together.
    Catch(u64, Vec<Op>),
    /// Into the order of the source; nothing inside a loop.
    Ordered,
    /// Depend on the schedule: only balances are compared.
    Batch(usize),
    /// The record itself is the left row, what these make of it the right one.
    Join(Vec<Op>),
    /// The same by times of their own; the number is the most that they may be apart.
    Interval(u64, Vec<Op>),
    /// With what is left of the left rows, where it cannot come round to the right side.
    LeftInterval(u64, Vec<Op>),
    /// The record is the left row; the right ones come from a source through these. With what is left of the left rows, or
    /// not; from another source, or from its own.
    Beside(bool, bool, u64, Vec<Op>),
    /// Into windows; by time, nothing inside a loop.
    Group(Put),
    /// Every record goes both ways, and both come together.
    Clone(Vec<Op>, Vec<Op>),
    Split(u64, Vec<Op>, Vec<Op>),
    /// A clone that goes its own way to a sink of its own.
    Aside(Vec<Op>),
    Scatter(u64, Vec<Op>),
    /// A feedback and its operators. Where none of them took the key, a handler at the end does.
    Feedback(u32, u64, Vec<Op>),
    /// Keeps what comes; where no operator may revise it, a handler at the end may, or one behind the gather around it.
    Keep(u32, u64, Vec<Op>),
    /// A step with so many alternatives and the operators behind it. Where none of them took the key, a handler at the end does.
    Alternatives(u32, u64, Vec<Op>),
}

/// How rows are put together.
#[derive(Clone, Copy, Debug)]
pub enum Put {
    Tumbling(u64),
    Session(u64),
    Count(usize),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub ops: Vec<Op>,
    pub records: usize,
    pub permits: usize,
    pub capacity: usize,
    pub panics: bool,
    /// Whether the last sink gets everything in order.
    pub ordered: bool,
    /// Open epochs.
    pub epochs: usize,
    /// Whether the oracle is to look.
    pub exact: bool,
    /// The lateness of the sources, if they give times.
    pub lateness: Option<u64>,
    pub seed: u64,
}

/// What a sweep's graphs are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything but models, joins and batches: seeded schedules, results as the oracle allows.
    Plain,
    /// With joins, but none between scatter and gather.
    Joins,
    /// With joins and windows by times of their own, and a second source.
    Times,
    /// With models, joins, windows and batches anywhere: only balances and ends are compared, and the schedule is the actors'.
    Anything,
}

/// One of these, by weight; those of no weight are left out, since shrinking would find them.
fn one_of(of: impl IntoIterator<Item = (u32, BoxedStrategy<Op>)>) -> Union<BoxedStrategy<Op>> {
    Union::new_weighted(of.into_iter().filter(|(weight, _)| *weight > 0).collect())
}

fn op(kind: Kind) -> impl Strategy<Value = Op> {
    let salt = || 0..1000_u64;
    let anything = u32::from(kind == Kind::Anything);
    let by_time = u32::from(matches!(kind, Kind::Times | Kind::Anything));
    let put = prop_oneof![
        (4..20_u64).prop_map(Put::Tumbling),
        (1..8_u64).prop_map(Put::Session),
        (1..5_usize).prop_map(Put::Count),
    ];
    let leaf = one_of([
        (2, salt().prop_map(Op::Map).boxed()),
        (2, salt().prop_map(Op::Filter).boxed()),
        (2, salt().prop_map(Op::FlatMap).boxed()),
        (4, (salt(), 0..4_usize).prop_map(|(salt, key)| Op::Judge(salt, key)).boxed()),
        (2, (salt(), 0..3_usize).prop_map(|(salt, key)| Op::Revise(salt, key)).boxed()),
        (2, (salt(), 0..2_usize).prop_map(|(salt, more)| Op::Next(salt, more)).boxed()),
        (1, Just(Op::Ordered).boxed()),
        (by_time, put.prop_map(Op::Group).boxed()),
        (anything, salt().prop_map(Op::Model).boxed()),
        (anything, (1..6_usize).prop_map(Op::Batch).boxed()),
    ]);
    leaf.prop_recursive(4, 14, 3, move |op| {
        let ops = || prop::collection::vec(op.clone(), 0..3);
        let salt = || 0..1000_u64;
        let join = if matches!(kind, Kind::Plain | Kind::Times) { 0 } else { 4 };
        let within = || 0..12_u64;
        one_of([
            (2, (ops(), ops()).prop_map(|(a, b)| Op::Clone(a, b)).boxed()),
            (2, (salt(), ops(), ops()).prop_map(|(salt, a, b)| Op::Split(salt, a, b)).boxed()),
            (join, ops().prop_map(Op::Join).boxed()),
            (2 * by_time, (within(), ops()).prop_map(|(w, ops)| Op::Interval(w, ops)).boxed()),
            (by_time, (within(), ops()).prop_map(|(w, ops)| Op::LeftInterval(w, ops)).boxed()),
            (
                3 * by_time,
                (any::<(bool, bool)>(), within(), ops())
                    .prop_map(|((left, other), w, ops)| Op::Beside(left, other, w, ops))
                    .boxed(),
            ),
            (3, (salt(), ops()).prop_map(|(salt, ops)| Op::Scatter(salt, ops)).boxed()),
            (2, (salt(), ops()).prop_map(|(salt, ops)| Op::Catch(salt, ops)).boxed()),
            (3, ops().prop_map(Op::Aside).boxed()),
            (
                5,
                (0..4_u32, salt(), ops())
                    .prop_map(|(rounds, salt, ops)| Op::Feedback(rounds, salt, ops))
                    .boxed(),
            ),
            (
                3,
                (0..3_u32, salt(), ops()).prop_map(|(rounds, salt, ops)| Op::Keep(rounds, salt, ops)).boxed(),
            ),
            (
                2,
                (2..4_u32, salt(), ops())
                    .prop_map(|(ways, salt, ops)| Op::Alternatives(ways, salt, ops))
                    .boxed(),
            ),
        ])
    })
}

pub fn case(kind: Kind) -> impl Strategy<Value = Case> {
    let permits = prop_oneof![2 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(5), 1 => Just(4096)];
    let records = if kind == Kind::Anything { 0..60_usize } else { 0..7_usize };
    let ops = prop::collection::vec(op(kind), 1..5);
    let lateness = match kind {
        Kind::Plain | Kind::Joins => Just(None).boxed(),
        Kind::Times => (2..12_u64).prop_map(Some).boxed(),
        Kind::Anything => prop::option::of(2..12_u64).boxed(),
    };
    let records = (records, lateness);
    (ops, records, permits, 1..5_usize, any::<bool>(), any::<bool>(), 1..4_usize, any::<u64>()).prop_map(
        move |(ops, (records, lateness), permits, capacity, panics, ordered, epochs, seed)| Case {
            ops,
            records,
            permits,
            capacity,
            panics,
            ordered,
            epochs,
            exact: kind != Kind::Anything,
            lateness,
            seed,
        },
    )
}

// What the author's functions do. They depend on the value alone; `None` is a panic.

pub fn mix(x: u64, salt: u64) -> u64 {
    let x = (x ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The value of record `n` of a source, the first or the second.
pub fn value(source: u64, n: usize) -> u64 {
    mix(n as u64, 99 + source)
}

/// Its time: about four milliseconds behind the one before, out of order by up to eight.
pub fn time(source: u64, n: usize) -> i64 {
    n as i64 * 4 - 6 + (mix(n as u64, 77 + source) % 9) as i64
}

#[derive(Clone, Copy)]
pub struct Author {
    pub salt: u64,
    pub panics: bool,
}

impl Author {
    pub fn draw(self, x: u64) -> Option<u64> {
        let drawn = mix(x, self.salt);
        (!self.panics || drawn % 23 != 5).then_some(drawn / 32)
    }

    pub fn keep(self, x: u64) -> Option<bool> {
        Some(!self.draw(x)?.is_multiple_of(3))
    }

    pub fn parts(self, x: u64) -> Option<Vec<u64>> {
        let drawn = self.draw(x)?;
        Some((0..drawn % 4).map(|part| mix(drawn, part)).collect())
    }

    pub fn whole(self, x: u64, parts: &[Option<Vec<u64>>]) -> Option<u64> {
        let of_part = |part: &Option<Vec<u64>>| {
            part.as_ref().map_or(7, |all| all.iter().fold(1, |sum, x| x.wrapping_add(sum)))
        };
        self.draw(parts.iter().map(of_part).fold(x, mix))
    }

    /// The author of one of a step's alternatives.
    pub fn of_way(self, way: u32) -> Self {
        Self { salt: mix(self.salt, u64::from(way) + 77), ..self }
    }

    /// What a person says who is asked about this value, if not nobody answers.
    pub fn answer(self, x: u64) -> Answer<u64> {
        match mix(x, self.salt + 5) % 8 {
            0 => Answer::Pass,
            1 => Answer::reject("rejected"),
            2 => Answer::drop("dropped"),
            drawn => Answer::Replace(mix(x, drawn)),
        }
    }

    pub fn verdict(self, x: u64, may_retry: bool, may: May) -> Option<Verdict<u64, u64>> {
        let drawn = self.draw(x)?;
        Some(match drawn % 16 {
            4 if may.reroute => Verdict::reroute("aside"),
            0..5 => Verdict::Pass,
            5..7 => Verdict::Replace(mix(drawn, 1)),
            7..12 if may_retry => Verdict::Retry(mix(drawn, 2)),
            // Half of them are answered, the others' time is over at once.
            10..12 | 15 if may.ask => {
                Verdict::Escalate(Question::new("what is it?", Duration::ZERO, self.answer(x)))
            }
            12 => Verdict::Split((0..drawn / 16 % 3).map(|i| mix(drawn, i)).collect()),
            13 => Verdict::reject("rejected"),
            14 => Verdict::drop("dropped"),
            _ => Verdict::Abstain,
        })
    }
}

/// What a handler may do besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct May {
    pub ask: bool,
    pub reroute: bool,
}

/// What a handler says of what a record was made of, of which it sees one value.
#[derive(Clone, Copy, Debug)]
pub enum Said {
    Pass,
    Replace(u64),
    Revise(u64),
    Append(u64),
    Delete,
    Reject,
}

impl Author {
    /// Which of these values it has something to say of, and what.
    pub fn of_ancestors(self, x: u64, ancestors: impl Iterator<Item = u64>) -> Option<(u64, Said)> {
        let drawn = self.draw(x)?;
        let chosen = ancestors.min_by_key(|value| mix(*value, self.salt));
        Some(match (drawn % 16, chosen) {
            (0, _) => (0, Said::Replace(mix(drawn, 1))),
            (1, _) => (0, Said::Reject),
            (2..7, Some(value)) => (value, Said::Revise(mix(drawn, value))),
            (7..9, Some(value)) => (value, Said::Append(mix(drawn, value))),
            (9, Some(value)) => (value, Said::Delete),
            _ => (0, Said::Pass),
        })
    }
}

/// What a function that panics does in the workflow.
pub fn or_panic<T>(value: Option<T>) -> T {
    value.unwrap_or_else(|| panic!("injected"))
}
