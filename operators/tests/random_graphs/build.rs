//! A case as a workflow, and as the graph that the oracle evaluates.

use std::{collections::HashMap, time::Duration};

use eddyline::{Change, Child, prelude::*};

use crate::case::{Author, Case, Op, Put, mix, or_panic, time, value};

/// The oracle's node.
#[derive(Clone, Copy)]
pub enum Step {
    Through,
    Map(Author),
    Filter(Author),
    FlatMap(Author),
    Feedback(usize),
    /// With the feedback and its rounds.
    Judge(Author, Option<(usize, u32)>),
    Split(Author),
    Join,
    /// By time; with the most that two may be apart, and whether left rows without a partner go on.
    Interval(i64, bool),
    Group(Put),
    /// With its number.
    Sink(usize),
    /// With its gather.
    Scatter(Author, usize),
    Gather(Author),
}

#[derive(Default)]
pub struct Sequential {
    pub steps: Vec<Step>,
    /// The node of the second source, if there is one.
    pub second: Option<usize>,
    /// Where a node's ways out lead to (`Split` has two): node and side (`Join` has two).
    pub ways: HashMap<(usize, usize), Vec<(usize, usize)>>,
}

impl Sequential {
    fn add(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }
}

/// A stream, and the same for the oracle: the node and its way out.
struct Line {
    stream: Stream<u64>,
    from: (usize, usize),
}

struct Key {
    feedback: Feedback<u64>,
    number: usize,
    rounds: u32,
    /// How many scatters it is inside of.
    depth: usize,
}

struct Builder<'a> {
    flow: &'a Workflow,
    model: Sequential,
    lateness: Option<u64>,
    records: usize,
    /// The sources: the second one once somebody wants it.
    sources: [Option<Stream<u64>>; 2],
    keys: Vec<Option<Key>>,
    depth: usize,
    /// Per feedback that is open around it, how many scatters were.
    loops: Vec<usize>,
    names: usize,
    panics: bool,
    exact: bool,
    outputs: Vec<Output<u64>>,
}

impl Builder<'_> {
    fn author(&self, salt: u64) -> Author {
        Author { salt, panics: self.panics }
    }

    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind} {}", self.names)
    }

    fn lead(&mut self, from: (usize, usize), step: Step) -> usize {
        let node = self.model.add(step);
        self.model.ways.entry(from).or_default().push((node, 0));
        node
    }

    /// A source, with its times.
    fn source(&self, name: &str, number: u64) -> Stream<u64> {
        let all: Vec<u64> = (0..self.records).map(|n| value(number, n)).collect();
        let times: HashMap<u64, i64> =
            (0..self.records).map(|n| (value(number, n), time(number, n))).collect();
        let stream = self.flow.source(name, all);
        match self.lateness {
            Some(lateness) => stream.timestamps(move |x| times[x], Duration::from_millis(lateness)),
            None => stream,
        }
    }

    fn line_of_source(&mut self, number: usize) -> Line {
        let node = match number {
            0 => 0,
            _ => *self.model.second.get_or_insert_with(|| {
                self.model.steps.push(Step::Through);
                self.model.steps.len() - 1
            }),
        };
        let stream = self.sources[number].take().unwrap_or_else(|| self.source("others", 1));
        self.sources[number] = Some(stream.clone());
        Line { stream, from: (node, 0) }
    }

    /// Rows by time: the left ones, and what comes of the right ones.
    fn interval(&mut self, left: Line, right: Line, within: u64, outer: bool) -> Line {
        let node = self.lead(left.from, Step::Interval(within as i64, outer));
        self.model.ways.entry(right.from).or_default().push((node, 1));
        let (name, pair) = (self.name("join"), self.name("pair"));
        let within = Duration::from_millis(within);
        // As with the other joins: they make ever more of what they made.
        let mut budget = if self.exact { u32::MAX } else { 500 };
        let mut few = move || {
            budget -= u32::from(budget > 0);
            budget > 0
        };
        let (left, right) = (left.stream, right.stream);
        let stream = if outer {
            let joined = left.left_interval_join(right, within, |x| x % 2, |x| x % 2).named(&name);
            joined.filter(move |_| few()).map(|(a, b)| mix(a, b.unwrap_or(1))).named(&pair)
        } else {
            let joined = left.interval_join(right, within, |x| x % 2, |x| x % 2).named(&name);
            joined.filter(move |_| few()).map(|(a, b)| mix(a, b)).named(&pair)
        };
        Line { stream, from: (node, 0) }
    }

    fn all(&mut self, ops: &[Op], line: Line) -> Line {
        ops.iter().fold(line, |line, op| self.one(op, line))
    }

    fn judge(&mut self, salt: u64, key: Option<Key>, Line { stream, from }: Line) -> Line {
        let (a, name) = (self.author(salt), self.name("judge"));
        let back = key.as_ref().map(|key| (key.number, key.rounds));
        let stream = match key {
            Some(key) => stream.handle_or_retry(&name, key.feedback, move |x| or_panic(a.verdict(*x, true))),
            None => stream.handle(&name, move |x| match or_panic(a.verdict(*x, false)) {
                Verdict::Pass => Verdict::Pass,
                Verdict::Replace(x) => Verdict::Replace(x),
                Verdict::Split(all) => Verdict::Split(all),
                Verdict::Reject(why) => Verdict::Reject(why),
                Verdict::Drop(why) => Verdict::Drop(why),
                _ => Verdict::Abstain,
            }),
        };
        Line { stream, from: (self.lead(from, Step::Judge(a, back)), 0) }
    }

    fn sink(&mut self, Line { stream, from }: Line) {
        self.lead(from, Step::Sink(self.outputs.len()));
        let name = self.name("out");
        self.outputs.push(stream.collect().named(&name));
    }

    fn merge(&mut self, a: Line, b: Line) -> Line {
        let node = self.lead(a.from, Step::Through);
        self.model.ways.entry(b.from).or_default().push((node, 0));
        let name = self.name("merge");
        Line { stream: a.stream.merge(b.stream).named(&name), from: (node, 0) }
    }

    fn one(&mut self, op: &Op, line: Line) -> Line {
        let name = self.name("op");
        let Line { stream, from } = line;
        match *op {
            Op::Map(salt) => {
                let a = self.author(salt);
                let stream = stream.map(move |x| or_panic(a.draw(x))).named(&name);
                Line { stream, from: (self.lead(from, Step::Map(a)), 0) }
            }
            Op::Filter(salt) => {
                let a = self.author(salt);
                let stream = stream.filter(move |x| or_panic(a.keep(*x))).named(&name);
                Line { stream, from: (self.lead(from, Step::Filter(a)), 0) }
            }
            Op::Ordered if !self.loops.is_empty() => Line { stream, from },
            Op::Ordered => {
                Line { stream: stream.ordered().named(&name), from: (self.lead(from, Step::Through), 0) }
            }
            Op::FlatMap(salt) => {
                let a = self.author(salt);
                let stream = stream.flat_map(move |x| or_panic(a.parts(x))).named(&name);
                Line { stream, from: (self.lead(from, Step::FlatMap(a)), 0) }
            }
            Op::Model(salt) => {
                let a = self.author(salt);
                let model =
                    Model::function(move |all: &[u64]| all.iter().map(|x| or_panic(a.draw(*x))).collect());
                Line { stream: stream.model(&name, model), from: (self.lead(from, Step::Map(a)), 0) }
            }
            Op::Judge(salt, nth) => {
                // Every other one may also send back to before a scatter that it is inside of.
                let depth = if salt % 2 == 0 { self.depth } else { 0 };
                let open = |key: &&mut Option<Key>| key.as_ref().is_some_and(|key| key.depth >= depth);
                let key = self.keys.iter_mut().rev().filter(open).nth(nth).and_then(Option::take);
                self.judge(salt, key, Line { stream, from })
            }
            Op::Batch(size) => {
                let stream = stream
                    .batch(size)
                    .named(&name)
                    .map(|all| all.into_iter().fold(0, mix))
                    .named(&self.name("fold"));
                Line { stream, from: (self.lead(from, Step::Through), 0) }
            }
            // A gather waits for parts that are parked in a join, and so for its time: where the oracle looks, there is none.
            Op::Join(ref ops) if self.depth > 0 && self.exact => self.all(ops, Line { stream, from }),
            Op::Join(ref ops) => {
                let other = self.all(ops, Line { stream: stream.clone(), from });
                let node = self.lead(from, Step::Join);
                self.model.ways.entry(other.from).or_default().push((node, 1));
                let within =
                    if self.depth > 0 { Duration::from_millis(5) } else { Duration::from_secs(1000) };
                let joined = stream.join(other.stream, within, |x| x % 4, |x| x % 4).named(&name);
                // Joins in a loop make ever more of what they made; the oracle's cases are small.
                let mut budget = if self.exact { u32::MAX } else { 500 };
                let pairs = joined.filter(move |_| {
                    budget -= u32::from(budget > 0);
                    budget > 0
                });
                let stream = pairs.map(|(a, b)| mix(a, b)).named(&self.name("pair"));
                Line { stream, from: (node, 0) }
            }
            // By time a gather can do so, but for one in a loop around both: its whole may come round to the join.
            Op::Interval(_, ref ops) | Op::LeftInterval(_, ref ops)
                if self.lateness.is_none() || self.loops.first().is_some_and(|depth| self.depth > *depth) =>
            {
                self.all(ops, Line { stream, from })
            }
            Op::Interval(within, ref ops) | Op::LeftInterval(within, ref ops) => {
                let right = self.all(ops, Line { stream: stream.clone(), from });
                let outer = matches!(op, Op::LeftInterval(..)) && self.loops.is_empty();
                self.interval(Line { stream, from }, right, within, outer)
            }
            Op::Beside(..) if self.lateness.is_none() => Line { stream, from },
            Op::Beside(outer, other, within, ref ops) => {
                let right = self.line_of_source(usize::from(other));
                // What comes from there is in none of the loops and scatters around the join.
                let keys: Vec<Option<Key>> = self.keys.iter_mut().map(Option::take).collect();
                let (depth, loops) = (std::mem::take(&mut self.depth), std::mem::take(&mut self.loops));
                let right = self.all(ops, right);
                (self.depth, self.loops) = (depth, loops);
                for (place, key) in keys.into_iter().enumerate() {
                    self.keys[place] = key;
                }
                self.interval(Line { stream, from }, right, within, outer)
            }
            // In a loop only without times.
            Op::Group(_) if self.exact && self.depth > 0 => Line { stream, from },
            Op::Group(_) if self.lateness.is_some() && !self.loops.is_empty() => Line { stream, from },
            Op::Group(put) => {
                let window = match put {
                    Put::Tumbling(size) => Window::tumbling(Duration::from_millis(size)),
                    Put::Session(gap) => Window::session(Duration::from_millis(gap)),
                    Put::Count(rows) => Window::count(rows),
                };
                let groups =
                    stream.group_by(|x| x % 2, window, 0, |all, x| *all = mix(*all, *x)).named(&name);
                let stream = groups.map(|g| g.value).named(&self.name("group"));
                Line { stream, from: (self.lead(from, Step::Group(put)), 0) }
            }
            Op::Clone(ref left, ref right) => {
                let other = Line { stream: stream.clone(), from };
                let left = self.all(left, Line { stream, from });
                let right = self.all(right, other);
                self.merge(left, right)
            }
            Op::Aside(ref ops) => {
                let other = self.all(ops, Line { stream: stream.clone(), from });
                self.sink(other);
                Line { stream, from }
            }
            Op::Split(salt, ref yes, ref no) => {
                let a = self.author(salt);
                let (left, right) = stream.split(move |x| or_panic(a.keep(*x)));
                let node = self.lead(from, Step::Split(a));
                let left = self.all(yes, Line { stream: left.named(&name), from: (node, 0) });
                let right = self.all(no, Line { stream: right, from: (node, 1) });
                self.merge(left, right)
            }
            Op::Scatter(salt, ref ops) => {
                let a = self.author(salt);
                let (parts, wholes) = stream.scatter(move |x| or_panic(a.parts(*x)));
                let gather = self.model.add(Step::Gather(a));
                let node = self.lead(from, Step::Scatter(a, gather));
                self.depth += 1;
                let parts = self.all(ops, Line { stream: parts.named(&name), from: (node, 0) });
                self.depth -= 1;
                self.model.ways.entry(parts.from).or_default().push((gather, 0));
                let stream = parts.stream.gather(wholes, move |x, parts| {
                    let parts: Vec<Option<Vec<u64>>> = parts
                        .iter()
                        .map(|part| match part {
                            Child::Arrived(values) => Some(values.clone()),
                            Child::Lost(_) | Child::Left => None,
                        })
                        .collect();
                    or_panic(a.whole(x, &parts))
                });
                Line { stream: stream.named(&self.name("gather")), from: (gather, 0) }
            }
            Op::Feedback(rounds, salt, ref ops) => {
                let (stream, feedback) = stream.feedback(&name, Rounds::at_most(rounds));
                let place = self.keys.len();
                let node = self.lead(from, Step::Feedback(place));
                self.keys.push(Some(Key { feedback, number: place, rounds, depth: self.depth }));
                self.loops.push(self.depth);
                let line = self.all(ops, Line { stream, from: (node, 0) });
                self.loops.pop();
                match self.keys[place].take() {
                    Some(key) => self.judge(salt, Some(key), line),
                    None => line,
                }
            }
        }
    }
}

/// Builds the workflow and what the oracle evaluates.
pub fn build(case: &Case, records: usize) -> (Workflow, Vec<Output<u64>>, Output<Change<u64>>, Sequential) {
    let flow = Workflow::new("random")
        .loop_permits(case.permits)
        .edge_capacity(case.capacity)
        .open_epochs(case.epochs);
    let mut builder = Builder {
        flow: &flow,
        model: Sequential::default(),
        lateness: case.lateness,
        records,
        sources: [None, None],
        keys: Vec::new(),
        depth: 0,
        loops: Vec::new(),
        names: 0,
        panics: case.panics,
        exact: case.exact,
        outputs: Vec::new(),
    };
    let source = builder.model.add(Step::Through);
    let stream = builder.source("numbers", 0);
    builder.sources[0] = Some(stream.clone());
    let mut line = builder.all(&case.ops, Line { stream, from: (source, 0) });
    if case.ordered {
        line.stream = line.stream.ordered().named("in order");
    }
    let changes = line.stream.clone().collect_changes().named("changes");
    builder.sink(line);
    let Builder { outputs, model, .. } = builder;
    (flow, outputs, changes, model)
}
