//! A case as a workflow, and as the graph that the oracle evaluates.

use std::{collections::HashMap, time::Duration};

use eddyline::{Change, Child, prelude::*};

use crate::case::{Author, Case, May, Op, Put, Said, mix, or_panic, time, value};

/// The oracle's node.
#[derive(Clone, Copy)]
pub enum Step {
    Through,
    Map(Author),
    Filter(Author),
    FlatMap(Author),
    Feedback(usize),
    /// With the feedback and its rounds, and what else it may do. What is rerouted leaves by the second way.
    Judge(Author, Option<(usize, u32)>, May),
    /// The same where values are kept.
    Revise(Author, (usize, u32)),
    /// A step with alternatives; its number among the points.
    Alternatives(Author, usize),
    /// With the points that it may ask and how many alternatives each has, the nearest first; those without do not count.
    Next(Author, [(usize, u32); 2]),
    Split(Author),
    /// The same where a panic goes the other way too.
    Catch(Author),
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

/// A value that is kept, and handlers that may revise it.
struct Held {
    kept: Kept<u64>,
    number: usize,
    node: usize,
    rounds: u32,
    used: bool,
    /// Whether the last chance to revise it comes behind the gather.
    waits: bool,
    depth: usize,
}

#[derive(Default)]
pub struct Sequential {
    pub steps: Vec<Step>,
    /// The node of the second source, if there is one.
    pub second: Option<usize>,
    /// Where a node's ways out lead to (`Split` has two): node and side (`Join` has two).
    pub ways: HashMap<(usize, usize), Vec<(usize, usize)>>,
    /// Whether people are asked: their answers are in no order.
    pub asks: bool,
    /// By gather, whether each node is between it and its scatter.
    regions: HashMap<usize, Vec<bool>>,
}

impl Sequential {
    /// Whether a part can come from `node` to its `gather` without being scattered anew.
    pub fn is_between(&self, gather: usize, node: usize) -> bool {
        self.regions[&gather][node]
    }

    /// Whether there is a way from one node to another.
    fn leads(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.steps.len()];
        let mut next = vec![from];
        while let Some(node) = next.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                let on = self.ways.iter().filter(|((at, _), _)| *at == node);
                next.extend(on.flat_map(|(_, to)| to.iter().map(|(to, _)| *to)));
            }
        }
        seen[to]
    }

    /// Finds what lies between each scatter and its gather.
    fn find_regions(&mut self) {
        let point = |number| {
            let is_it =
                |step: &Step| matches!(step, Step::Feedback(it) | Step::Alternatives(_, it) if *it == number);
            self.steps.iter().position(is_it).unwrap()
        };
        let mut edges: Vec<(usize, usize)> =
            self.ways.iter().flat_map(|((from, _), to)| to.iter().map(|(to, _)| (*from, *to))).collect();
        for (node, step) in self.steps.iter().enumerate() {
            if let Step::Judge(_, Some((number, _)), _) | Step::Revise(_, (number, _)) = step {
                edges.push((node, point(*number)));
            }
            if let Step::Next(_, keys) = step {
                edges.extend(
                    keys.iter().filter(|(_, count)| *count > 0).map(|(number, _)| (node, point(*number))),
                );
            }
        }
        for (scatter, step) in self.steps.iter().enumerate() {
            let Step::Scatter(_, gather) = *step else { continue };
            let mut inside = vec![false; self.steps.len()];
            inside[gather] = true;
            let mut next = vec![gather];
            while let Some(node) = next.pop() {
                for &(from, _) in edges.iter().filter(|(_, to)| *to == node) {
                    if !std::mem::replace(&mut inside[from], true) && from != scatter {
                        next.push(from);
                    }
                }
            }
            self.regions.insert(gather, inside);
        }
    }

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

/// The key to a step with alternatives, as long as the operators behind it are being built.
struct Ways {
    tried: Tried,
    number: usize,
    count: u32,
    depth: usize,
    used: bool,
}

struct Builder<'a> {
    flow: &'a Workflow,
    model: Sequential,
    lateness: Option<u64>,
    records: usize,
    /// The sources: the second one once somebody wants it.
    sources: [Option<Stream<u64>>; 2],
    keys: Vec<Option<Key>>,
    held: Vec<Held>,
    ways: Vec<Ways>,
    /// Feedbacks, places where values are kept, and steps with alternatives.
    points: usize,
    depth: usize,
    /// How many joins its rows are beside of.
    beside: usize,
    /// Whether this way does not lead to the next gather.
    aside: bool,
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
        // Nothing behind it leads back to before it, or to a gather: of the loops only its own is open.
        let others = self.loops.len() + self.held.len() + self.ways.len() + self.depth + self.beside;
        let alone = others == 0 && self.keys.iter().all(Option::is_none);
        // What is answered may be late for a window, which is up to the schedule.
        let asks = salt.is_multiple_of(2) && alone && !(self.exact && self.lateness.is_some());
        self.model.asks |= asks;
        let may = May { ask: asks, reroute: salt.is_multiple_of(3) };
        let stream = match key {
            Some(key) => {
                stream.handle_or_retry(&name, key.feedback, move |x| or_panic(a.verdict(*x, true, may)))
            }
            None => stream.handle(&name, move |x| match or_panic(a.verdict(*x, false, may)) {
                Verdict::Pass => Verdict::Pass,
                Verdict::Replace(x) => Verdict::Replace(x),
                Verdict::Split(all) => Verdict::Split(all),
                Verdict::Reject(why) => Verdict::Reject(why),
                Verdict::Drop(why) => Verdict::Drop(why),
                Verdict::Escalate(question) => Verdict::Escalate(question),
                Verdict::Reroute(way) => Verdict::Reroute(way),
                _ => Verdict::Abstain,
            }),
        };
        let (stream, other) = match may.reroute {
            true => stream.rerouted("aside"),
            false => (stream.clone(), stream),
        };
        let stream = if asks {
            let (stream, clerks) = stream.escalate_to(&self.name("clerks"));
            clerks.answered_by(move |x, _| x.is_multiple_of(2).then(|| a.answer(*x)));
            stream
        } else {
            stream
        };
        let node = self.lead(from, Step::Judge(a, back, may));
        let line = Line { stream, from: (node, 0) };
        if may.reroute { self.merge(line, Line { stream: other, from: (node, 1) }) } else { line }
    }

    fn revise(&mut self, salt: u64, nth: usize, Line { stream, from }: Line) -> Line {
        let (a, name) = (self.author(salt), self.name("revise"));
        let behind = |held: &&mut Held| self.model.leads(held.node, from.0);
        let Some(held) = self.held.iter_mut().rev().filter(behind).nth(nth) else {
            return Line { stream, from };
        };
        held.used = true;
        let back = (held.number, held.rounds);
        let stream = stream.handle_kept(&name, &held.kept, move |x, kept| {
            let (value, said) = or_panic(a.of_ancestors(*x, kept.iter().map(|value| **value)));
            let ancestor = kept.iter().find(|ancestor| ***ancestor == value);
            match (said, ancestor) {
                (Said::Replace(x), _) => Verdict::Replace(x),
                (Said::Reject, _) => Verdict::reject("rejected"),
                (Said::Revise(x), Some(ancestor)) => ancestor.revise(x),
                (Said::Append(x), Some(ancestor)) => ancestor.append(x),
                (Said::Delete, Some(ancestor)) => ancestor.delete(),
                _ => Verdict::Pass,
            }
        });
        Line { stream, from: (self.lead(from, Step::Revise(a, back)), 0) }
    }

    /// The last chance to revise what is kept there.
    fn let_go(&mut self, number: usize, salt: u64, line: Line) -> Line {
        let place = self.held.iter().position(|held| held.number == number).unwrap();
        // For the moment the only one.
        let held = self.held.remove(place);
        let others = std::mem::take(&mut self.held);
        let used = held.used;
        let open = self.loops.iter().rposition(|depth| *depth == held.depth).unwrap();
        self.loops.remove(open);
        self.held.push(held);
        let line = if used { line } else { self.revise(salt, 0, line) };
        self.held = others;
        line
    }

    fn alternatives(&mut self, count: u32, salt: u64, Line { stream, from }: Line) -> Line {
        let (a, name) = (self.author(salt), self.name("ways"));
        let (stream, tried) = if self.exact {
            let way = |nth| move |x: &u64| or_panic(a.of_way(nth).draw(*x));
            let first = stream.alternatives(&name, way(0));
            (1..count).fold(first, |ways, nth| ways.or(way(nth))).key()
        } else {
            let names: Vec<String> = (0..count).map(|nth| format!("{name} {nth}")).collect();
            let model = |nth: u32| {
                let way = a.of_way(nth);
                Model::function(move |all: &[u64]| all.iter().map(|x| or_panic(way.draw(*x))).collect())
            };
            let models = (0..count).map(|nth| (names[nth as usize].as_str(), model(nth)));
            stream.model_cascade(&name, models)
        };
        self.points += 1;
        // Points of feedbacks have other numbers.
        let number = 1000 + self.points;
        self.ways.push(Ways { tried, number, count, depth: self.depth, used: false });
        Line { stream, from: (self.lead(from, Step::Alternatives(a, number)), 0) }
    }

    fn next(&mut self, salt: u64, more: usize, Line { stream, from }: Line) -> Line {
        let (a, name) = (self.author(salt), self.name("next"));
        // Every other one may also ask steps before a scatter that it is inside of.
        let nearest = self.ways.last().map_or(0, |ways| ways.depth);
        let depth = if salt.is_multiple_of(2) { nearest } else { 0 };
        let mut keys = Vec::new();
        let mut asked = [(0, 0); 2];
        for ways in self.ways.iter_mut().rev().filter(|ways| ways.depth >= depth).take(1 + more) {
            asked[keys.len()] = (ways.number, ways.count);
            ways.used = true;
            keys.push(&ways.tried);
        }
        let stream = stream.handle_or_next(&name, keys.as_slice(), move |x| {
            match or_panic(a.verdict(*x, true, May::default())) {
                Verdict::Pass => Verdict::Pass,
                Verdict::Replace(x) => Verdict::Replace(x),
                Verdict::Retry(_) => Verdict::NextAlternative,
                Verdict::Split(all) => Verdict::Split(all),
                Verdict::Reject(why) => Verdict::Reject(why),
                Verdict::Drop(why) => Verdict::Drop(why),
                _ => Verdict::Abstain,
            }
        });
        Line { stream, from: (self.lead(from, Step::Next(a, asked)), 0) }
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
            Op::Revise(salt, nth) => self.revise(salt, nth, Line { stream, from }),
            Op::Next(..) if self.ways.is_empty() => Line { stream, from },
            Op::Next(salt, more) => self.next(salt, more, Line { stream, from }),
            Op::Alternatives(count, salt, ref ops) => {
                let line = self.alternatives(count, salt, Line { stream, from });
                self.loops.push(self.depth);
                let line = self.all(ops, line);
                self.loops.pop();
                let used = self.ways.last().is_none_or(|ways| ways.used);
                let line = if used { line } else { self.next(salt + 1 - salt % 2, 0, line) };
                self.ways.pop();
                line
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
                if self.lateness.is_none()
                    || self.loops.first().is_some_and(|depth| self.depth > *depth)
                    || self.held.iter().any(|held| held.waits) =>
            {
                self.all(ops, Line { stream, from })
            }
            Op::Interval(within, ref ops) | Op::LeftInterval(within, ref ops) => {
                // What is kept there is not revised from behind the gather around the join either.
                let aside = std::mem::replace(&mut self.aside, true);
                let right = self.all(ops, Line { stream: stream.clone(), from });
                self.aside = aside;
                let outer = matches!(op, Op::LeftInterval(..)) && self.loops.is_empty();
                self.interval(Line { stream, from }, right, within, outer)
            }
            Op::Beside(..) if self.lateness.is_none() => Line { stream, from },
            Op::Beside(outer, other, within, ref ops) => {
                let right = self.line_of_source(usize::from(other));
                // What comes from there is in none of the loops and scatters around the join.
                let keys: Vec<Option<Key>> = self.keys.iter_mut().map(Option::take).collect();
                let (depth, loops) = (std::mem::take(&mut self.depth), std::mem::take(&mut self.loops));
                let (ways, held) = (std::mem::take(&mut self.ways), std::mem::take(&mut self.held));
                self.beside += 1;
                let right = self.all(ops, right);
                self.beside -= 1;
                (self.depth, self.loops, self.ways, self.held) = (depth, loops, ways, held);
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
                let aside = std::mem::replace(&mut self.aside, true);
                let other = self.all(ops, Line { stream: stream.clone(), from });
                self.aside = aside;
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
            Op::Catch(salt, ref ops) => {
                let a = self.author(salt);
                let keep = move |x: &u64| if or_panic(a.keep(*x)) { Ok(*x) } else { Err("no") };
                let (made, failed) = stream.try_map_catch(keep);
                let failed = failed.map(|failed| failed.value).named(&self.name("failed"));
                let node = self.lead(from, Step::Catch(a));
                let failed = self.all(ops, Line { stream: failed, from: (node, 1) });
                self.merge(Line { stream: made.named(&name), from: (node, 0) }, failed)
            }
            Op::Scatter(salt, ref ops) => {
                let a = self.author(salt);
                let (parts, wholes) = stream.scatter(move |x| or_panic(a.parts(*x)));
                let gather = self.model.add(Step::Gather(a));
                let node = self.lead(from, Step::Scatter(a, gather));
                self.depth += 1;
                let aside = std::mem::take(&mut self.aside);
                let parts = self.all(ops, Line { stream: parts.named(&name), from: (node, 0) });
                self.aside = aside;
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
                let mut line = Line { stream: stream.named(&self.name("gather")), from: (gather, 0) };
                let waits = |held: &Held| (held.waits && held.depth > self.depth).then_some(held.number);
                for number in self.held.iter().rev().filter_map(waits).collect::<Vec<_>>() {
                    line = self.let_go(number, salt, line);
                }
                line
            }
            Op::Keep(rounds, salt, ref ops) => {
                let (stream, kept) = stream.keep(&name, Rounds::at_most(rounds));
                let number = self.points;
                self.points += 1;
                let node = self.lead(from, Step::Feedback(number));
                let waits = salt % 2 == 1 && self.depth > 0 && !self.aside;
                self.held.push(Held { kept, number, node, rounds, used: false, waits, depth: self.depth });
                self.loops.push(self.depth);
                let line = self.all(ops, Line { stream, from: (node, 0) });
                if waits { line } else { self.let_go(number, salt, line) }
            }
            Op::Feedback(rounds, salt, ref ops) => {
                let (stream, feedback) = stream.feedback(&name, Rounds::at_most(rounds));
                let (place, number) = (self.keys.len(), self.points);
                self.points += 1;
                let node = self.lead(from, Step::Feedback(number));
                self.keys.push(Some(Key { feedback, number, rounds, depth: self.depth }));
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
        held: Vec::new(),
        ways: Vec::new(),
        points: 0,
        depth: 0,
        beside: 0,
        aside: false,
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
    builder.model.find_regions();
    let Builder { outputs, model, .. } = builder;
    (flow, outputs, changes, model)
}
