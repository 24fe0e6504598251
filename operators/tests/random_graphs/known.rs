//! Graphs that once failed, here or in the trial of the semantics that came before: the smallest of each kind.

use crate::case::{Op, Put, mix};

fn loop_of(ops: Vec<Op>) -> Op {
    Op::Feedback(2, 1, ops)
}

/// A copy that a handler of its own judges: what it sends back withdraws the other copy.
fn judged_aside() -> Op {
    loop_of(vec![Op::Aside(vec![Op::Map(2), Op::Judge(3, 0)])])
}

/// Parts that are kept, and revised from behind their gather.
fn kept_across(ops: Vec<Op>) -> Op {
    Op::Scatter(61, vec![Op::Keep(2, 63, ops)])
}

pub fn graphs() -> Vec<(&'static str, Vec<Op>)> {
    let diamonds = |n| (0..n).map(|_| Op::Clone(vec![], vec![])).collect::<Vec<_>>();
    vec![
        (
            "a withdrawal must hold open what it can still reach",
            vec![loop_of(vec![Op::Aside(vec![Op::Filter(4), Op::Map(5)]), Op::Map(6)])],
        ),
        ("two loops over one copy", vec![loop_of(vec![Op::Aside(vec![loop_of(vec![])]), Op::Map(7)])]),
        ("a withdrawal goes round two loops once", vec![loop_of(vec![loop_of(vec![])])]),
        ("a withdrawal through diamonds", vec![loop_of(vec![Op::Aside(diamonds(5))])]),
        ("overflow and withdrawals with few permits", vec![loop_of(vec![Op::FlatMap(8)])]),
        (
            "speculation: the right row is judged while it is joined",
            vec![loop_of(vec![Op::Join(vec![judged_aside()])])],
        ),
        ("speculation before a loop", vec![Op::Join(vec![judged_aside()]), loop_of(vec![])]),
        ("two inputs, few open epochs", vec![Op::Join(vec![Op::Map(9)])]),
        ("order behind a join", vec![Op::Join(vec![Op::Map(9)]), Op::Ordered, Op::Map(10)]),
        ("a self-join with a sink aside", vec![Op::Join(vec![]), Op::Aside(vec![loop_of(vec![])])]),
        (
            "quarantine and fates of what is withdrawn",
            vec![loop_of(vec![Op::Aside(vec![Op::Judge(11, 9)]), Op::Map(12)])],
        ),
        (
            "copies that both ask for a retry",
            vec![loop_of(vec![Op::Clone(vec![Op::Map(13)], vec![Op::Map(14)])])],
        ),
        ("loops that cross", vec![loop_of(vec![loop_of(vec![Op::Judge(15, 1), Op::Map(16)]), Op::Map(17)])]),
        (
            "a part sent back to before its scatter",
            vec![loop_of(vec![Op::Scatter(18, vec![Op::Judge(19, 0)])])],
        ),
        ("a part that leaves its scope", vec![Op::Scatter(20, vec![Op::Aside(vec![Op::Map(21)])])]),
        ("a loop inside of a scope", vec![Op::Scatter(22, vec![judged_aside(), loop_of(vec![])])]),
        (
            "alternatives of two steps, and a loop around them",
            vec![loop_of(vec![Op::Alternatives(
                2,
                31,
                vec![Op::Aside(vec![]), Op::Alternatives(3, 33, vec![Op::FlatMap(34), Op::Next(35, 1)])],
            )])],
        ),
        (
            "a part asks for another alternative of what it was cut from",
            vec![Op::Alternatives(
                3,
                37,
                vec![Op::Scatter(38, vec![Op::Next(39, 0)]), Op::Clone(vec![], vec![])],
            )],
        ),
        (
            "no whole is made of parts of which one is on its way back",
            vec![loop_of(vec![
                Op::Judge(71, 9),
                loop_of(vec![Op::FlatMap(190), Op::Scatter(790, vec![Op::Judge(791, 0)])]),
            ])],
        ),
        (
            "a copy of a part is cut up aside, where its whole cannot come back but its parts can",
            vec![Op::Scatter(
                64,
                vec![Op::Keep(1, 65, vec![]), Op::Aside(vec![Op::Scatter(66, vec![Op::Revise(67, 0)])])],
            )],
        ),
        ("a whole is made again for a part", vec![kept_across(vec![])]),
        ("what is revised, then ends: the whole is made again", vec![kept_across(vec![Op::Judge(31, 9)])]),
        ("two places where values are kept", vec![kept_across(vec![Op::Keep(1, 33, vec![])])]),
        (
            "a part of a part, with a loop between",
            vec![Op::Scatter(40, vec![Op::Keep(1, 41, vec![]), Op::Scatter(42, vec![loop_of(vec![])])])],
        ),
        (
            "parts of parts are revised from outside",
            vec![Op::Scatter(43, vec![kept_across(vec![Op::Map(44)])])],
        ),
        (
            "wholes inside of a loop",
            vec![loop_of(vec![kept_across(vec![Op::FlatMap(45)]), Op::Judge(46, 9)]), Op::Ordered],
        ),
        (
            "what is added at two places has an order",
            vec![Op::Clone(vec![], vec![Op::Keep(1, 48, vec![])]), Op::Keep(1, 50, vec![]), Op::FlatMap(51)],
        ),
        (
            "parents wait at a gather for parts that wait for their turn",
            vec![
                Op::Join(vec![Op::Map(53), Op::Scatter(203, vec![Op::Judge(249, 0)])]),
                Op::Join(vec![]),
                Op::Scatter(723, vec![Op::Ordered, Op::Scatter(738, vec![])]),
                Op::Join(vec![Op::Join(vec![Op::Ordered, Op::Map(52)])]),
            ],
        ),
    ]
}

/// The same with times.
pub fn graphs_with_times() -> Vec<(&'static str, Vec<Op>)> {
    let beside = |ops| Op::Beside(false, true, 6, ops);
    vec![
        ("a left row that comes round meets what it met before", vec![loop_of(vec![beside(vec![])])]),
        ("the right rows come round a loop of their own", vec![loop_of(vec![beside(vec![judged_aside()])])]),
        (
            "the right rows are later ones of the same source",
            vec![loop_of(vec![Op::Beside(false, false, 9, vec![])])],
        ),
        ("both sides come round", vec![loop_of(vec![Op::Interval(6, vec![Op::Map(3)])])]),
        (
            "two joins round one loop",
            vec![loop_of(vec![beside(vec![]), Op::Interval(3, vec![]), beside(vec![])])],
        ),
        ("windows behind a loop", vec![judged_aside(), Op::Group(Put::Tumbling(10)), loop_of(vec![])]),
        (
            "windows of what was joined, joined again",
            vec![
                loop_of(vec![Op::Beside(true, true, 4, vec![])]),
                Op::Group(Put::Session(2)),
                Op::Beside(true, true, 9, vec![judged_aside(), Op::Group(Put::Count(2))]),
            ],
        ),
        (
            "parts wait in a join",
            vec![Op::Scatter(5, vec![Op::LeftInterval(5, vec![judged_aside()]), beside(vec![])])],
        ),
        (
            "what is lonely is sent back",
            vec![loop_of(vec![Op::Beside(true, true, 2, vec![Op::Filter(3)]), Op::Judge(4, 0)])],
        ),
    ]
}

/// The same graph with other functions.
pub fn salted(ops: &[Op], seed: u64) -> Vec<Op> {
    let salt = |salt: u64| mix(salt, seed) % 1000;
    let all = |ops: &[Op]| salted(ops, seed);
    let one = |op: &Op| match op {
        Op::Map(s) => Op::Map(salt(*s)),
        Op::Filter(s) => Op::Filter(salt(*s)),
        Op::FlatMap(s) => Op::FlatMap(salt(*s)),
        // Whether the key of a feedback beyond a scatter may be taken hangs on whether the number is odd.
        Op::Judge(s, key) => Op::Judge(salt(*s) * 2 + s % 2, *key),
        Op::Next(s, more) => Op::Next(salt(*s) * 2 + s % 2, *more),
        Op::Alternatives(ways, s, ops) => Op::Alternatives(*ways, salt(*s), all(ops)),
        Op::Model(s) => Op::Model(salt(*s)),
        Op::Ordered => Op::Ordered,
        Op::Batch(size) => Op::Batch(*size),
        Op::Join(ops) => Op::Join(all(ops)),
        Op::Interval(within, ops) => Op::Interval(*within, all(ops)),
        Op::LeftInterval(within, ops) => Op::LeftInterval(*within, all(ops)),
        Op::Beside(left, other, within, ops) => Op::Beside(*left, *other, *within, all(ops)),
        Op::Group(put) => Op::Group(*put),
        Op::Clone(left, right) => Op::Clone(all(left), all(right)),
        Op::Split(s, yes, no) => Op::Split(salt(*s), all(yes), all(no)),
        Op::Catch(s, ops) => Op::Catch(salt(*s), all(ops)),
        Op::Aside(ops) => Op::Aside(all(ops)),
        Op::Scatter(s, ops) => Op::Scatter(salt(*s), all(ops)),
        Op::Feedback(rounds, s, ops) => Op::Feedback(*rounds, salt(*s), all(ops)),
        Op::Revise(s, key) => Op::Revise(salt(*s), *key),
        // Whether it is revised from behind a gather hangs on whether the number is odd.
        Op::Keep(rounds, s, ops) => Op::Keep(*rounds, salt(*s) * 2 + s % 2, all(ops)),
    };
    ops.iter().map(one).collect()
}
