//! The oracle: what a case must come to, whoever is quicker.
//!
//! It evaluates the graph with its back edges cut, under a table that gives each origin its version, value and rounds.
//! While somebody says `Retry`, it puts the next version into the table and evaluates again. Where one
//! retry withdraws the record of another it goes both ways: every outcome is allowed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use eddyline::prelude::*;

use crate::{
    build::{Sequential, Step},
    case::{Case, Put, mix, time, value},
};

/// What came of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// Per sink; the last in order where that is promised, the others sorted.
    pub out: Vec<Vec<u64>>,
    /// Per reason.
    pub quarantine: BTreeMap<String, u64>,
    pub roots_ended: BTreeMap<&'static str, u64>,
}

/// A feedback point and a record that came to it, by its identity.
type Origin = (usize, u64);

/// A record.
#[derive(Clone, Debug)]
struct Rec {
    x: u64,
    /// The same in every evaluation.
    id: u64,
    roots: BTreeSet<usize>,
    rounds: BTreeMap<usize, u32>,
    /// Families and the place in each.
    scopes: Vec<(usize, usize)>,
    marks: Vec<(Origin, u32)>,
    /// Which child of which child it is.
    path: Vec<u32>,
    time: i64,
}

/// Roots of the second source are numbered from here.
const SECOND: usize = 1000;

impl Rec {
    /// The latest place among its roots, whatever their source.
    fn latest(&self) -> u32 {
        self.roots.iter().map(|root| (root % SECOND) as u32).max().unwrap_or(0)
    }

    /// Its first declared source, and its latest place there.
    fn seq(&self) -> (usize, u32) {
        let of_first = self.roots.range(..SECOND).next_back().map(|root| (0, *root as u32));
        of_first.unwrap_or((1, self.latest()))
    }
}

struct Family {
    gather: usize,
    parent: Rec,
    live: usize,
    parts: Vec<Option<Vec<u64>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    number: u32,
    x: u64,
    rounds: BTreeMap<usize, u32>,
}

type Table = BTreeMap<Origin, Version>;

struct Retry {
    origin: Origin,
    next: Version,
    marks: Vec<(Origin, u32)>,
}

impl Retry {
    /// Whether obeying this one withdraws the record of the other.
    fn withdraws(&self, other: &Retry) -> bool {
        other.marks.iter().any(|(origin, _)| *origin == self.origin)
    }
}

/// A row of a join or a window: the record, and whether it found a partner.
struct Row {
    record: Rec,
    matched: bool,
}

/// A record made of several, with the value of the first.
fn made_of(all: &[&Rec]) -> Rec {
    let mut made = all[0].clone();
    made.path.clear();
    for (nth, one) in all.iter().enumerate() {
        made.path.extend([u32::MAX, one.latest()]);
        made.path.extend(&one.path);
        if nth == 0 {
            continue;
        }
        made.id = mix(made.id, one.id);
        made.time = made.time.max(one.time);
        made.roots.extend(&one.roots);
        for (&point, &rounds) in &one.rounds {
            let mine = made.rounds.entry(point).or_default();
            *mine = rounds.max(*mine);
        }
        for mark in &one.marks {
            if !made.marks.contains(mark) {
                made.marks.push(*mark);
            }
        }
    }
    made
}

struct Evaluation<'a> {
    model: &'a Sequential,
    table: &'a Table,
    stack: Vec<(usize, usize, Rec)>,
    families: Vec<Family>,
    joins: HashMap<usize, [Vec<Row>; 2]>,
    best: BTreeMap<usize, Fate>,
    retries: Vec<Retry>,
    ends: Ends,
    /// What the sinks got.
    last: Vec<(usize, Rec)>,
    steps: usize,
}

/// Every outcome that is allowed; nothing if there are too many, or they take too long.
pub fn outcomes(model: &Sequential, case: &Case, limit: usize) -> Option<BTreeSet<Ends>> {
    let mut allowed = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![Table::new()];
    let mut steps = 0;
    while let Some(table) = open.pop() {
        if !seen.insert(table.clone()) {
            continue;
        }
        let (ends, retries, took) = evaluate(model, &table, case, limit)?;
        steps += took;
        if steps > limit || seen.len() > 3000 {
            return None;
        }
        if retries.is_empty() {
            allowed.insert(ends);
            continue;
        }
        // Retries of which none withdraws another's record are obeyed together, unless a join brings together what they make.
        let touch = |a: &Retry| retries.iter().any(|b| !std::ptr::eq(a, b) && a.withdraws(b));
        let joins =
            model.steps.iter().any(|step| matches!(step, Step::Join | Step::Interval(..) | Step::Group(_)));
        if retries.len() == 1 || !(joins || retries.iter().any(touch)) {
            let mut table = table;
            table.extend(retries.into_iter().map(|retry| (retry.origin, retry.next)));
            open.push(table);
        } else {
            open.extend(retries.into_iter().map(|retry| {
                let mut table = table.clone();
                table.insert(retry.origin, retry.next);
                table
            }));
        }
    }
    Some(allowed)
}

fn evaluate(
    model: &Sequential,
    table: &Table,
    case: &Case,
    limit: usize,
) -> Option<(Ends, Vec<Retry>, usize)> {
    let sinks = model.steps.iter().filter(|step| matches!(step, Step::Sink(_))).count();
    let mut run = Evaluation {
        model,
        table,
        stack: Vec::new(),
        families: Vec::new(),
        joins: HashMap::new(),
        best: BTreeMap::new(),
        retries: Vec::new(),
        ends: Ends { out: vec![Vec::new(); sinks], ..Ends::default() },
        last: Vec::new(),
        steps: 0,
    };
    for (source, node) in (0..).zip([Some(0), model.second]) {
        let mut newest = i64::MIN;
        for n in (0..case.records).filter(|_| node.is_some()) {
            let root = source * SECOND + n;
            let time = time(source as u64, n);
            let record = Rec {
                x: value(source as u64, n),
                id: mix(root as u64, 7),
                roots: [root].into(),
                rounds: BTreeMap::new(),
                scopes: Vec::new(),
                marks: Vec::new(),
                path: Vec::new(),
                time,
            };
            run.best.insert(root, Fate::Withdrawn);
            if case.lateness.is_some_and(|lateness| time < newest.saturating_sub(lateness as i64)) {
                run.fault(&record, "late");
                continue;
            }
            newest = newest.max(time);
            run.stack.extend(node.map(|node| (node, 0, record)));
            run.empty_stack(limit)?;
        }
    }
    // What waits at a node waits for what comes from those before it.
    for node in 0..model.steps.len() {
        let Some(rows) = run.joins.remove(&node) else { continue };
        run.let_go(node, rows);
        run.empty_stack(limit)?;
    }
    for fate in run.best.into_values() {
        *run.ends.roots_ended.entry(fate.name()).or_default() += 1;
    }
    for out in &mut run.ends.out {
        out.sort_unstable();
    }
    if case.ordered
        && let Some(out) = run.ends.out.last_mut()
    {
        run.last.retain(|(sink, _)| sink + 1 == sinks);
        run.last.sort_by_key(|(_, record)| (record.seq(), record.path.clone()));
        *out = run.last.iter().map(|(_, record)| record.x).collect();
    }
    Some((run.ends, run.retries, run.steps))
}

impl Evaluation<'_> {
    fn empty_stack(&mut self, limit: usize) -> Option<()> {
        while let Some((node, side, record)) = self.stack.pop() {
            self.step(node, side, record);
            self.steps += 1;
            if self.steps > limit {
                return None;
            }
        }
        Some(())
    }

    /// Nothing more can come to the rows of this node.
    fn let_go(&mut self, node: usize, [left, right]: [Vec<Row>; 2]) {
        if let Step::Group(put) = self.model.steps[node] {
            return self.group(node, put, left.into_iter().map(|row| row.record).collect());
        }
        let goes_on = matches!(self.model.steps[node], Step::Interval(_, true));
        for row in left {
            match row.matched {
                true => self.end(&row.record, Fate::Absorbed),
                false if goes_on => self.on((node, 0), mix(row.record.x, 1), row.record),
                false => self.end(&row.record, Fate::Filtered),
            }
        }
        for row in right {
            self.end(&row.record, if row.matched { Fate::Absorbed } else { Fate::Filtered });
        }
    }

    fn group(&mut self, node: usize, put: Put, mut rows: Vec<Rec>) {
        rows.sort_by_key(|row| (row.x % 2, row.time, row.seq(), row.path.clone()));
        let together = |group: &[Rec], next: &Rec| {
            let last = &group[group.len() - 1];
            let same = match put {
                Put::Tumbling(size) => last.time.div_euclid(size as i64) == next.time.div_euclid(size as i64),
                Put::Session(gap) => next.time - last.time <= gap as i64,
                Put::Count(size) => group.len() < size,
            };
            same && last.x % 2 == next.x % 2
        };
        let mut groups: Vec<Vec<Rec>> = Vec::new();
        for row in rows {
            match groups.last_mut() {
                Some(group) if together(group, &row) => group.push(row),
                _ => groups.push(vec![row]),
            }
        }
        for group in groups {
            let x = group.iter().map(|row| row.x).fold(0, mix);
            let made = made_of(&group.iter().collect::<Vec<_>>());
            self.on((node, 0), x, made);
            for row in &group {
                self.end(row, Fate::Absorbed);
            }
        }
    }

    fn step(&mut self, node: usize, side: usize, mut record: Rec) {
        let x = record.x;
        match self.model.steps[node] {
            Step::Through => self.on((node, 0), x, record),
            Step::Feedback(number) => {
                let marks = record.marks.iter().fold(0, |all, ((point, id), version)| {
                    mix(mix(all, *point as u64), mix(*id, u64::from(*version)))
                });
                let origin = (number, mix(record.id, marks));
                let mut version = 1;
                if let Some(revised) = self.table.get(&origin) {
                    version = revised.number;
                    record.x = revised.x;
                    record.rounds.clone_from(&revised.rounds);
                }
                record.marks.push((origin, version));
                self.on((node, 0), record.x, record);
            }
            Step::Map(a) => match a.draw(x) {
                Some(x) => self.on((node, 0), x, record),
                None => self.fault(&record, "panic"),
            },
            Step::Filter(a) => match a.keep(x) {
                Some(true) => self.on((node, 0), x, record),
                Some(false) => self.end(&record, Fate::Filtered),
                None => self.fault(&record, "panic"),
            },
            Step::Split(a) => match a.keep(x) {
                Some(yes) => self.on((node, usize::from(!yes)), x, record),
                None => self.fault(&record, "panic"),
            },
            Step::FlatMap(a) => match a.parts(x) {
                Some(parts) => self.put((node, 0), parts, record, Fate::Filtered),
                None => self.fault(&record, "panic"),
            },
            Step::Judge(a, back) => match a.verdict(x, back.is_some()) {
                None => self.fault(&record, "panic"),
                Some(Verdict::Replace(x)) => self.on((node, 0), x, record),
                Some(Verdict::Split(all)) => self.put((node, 0), all, record, Fate::Dropped),
                Some(Verdict::Reject(_)) => self.fault(&record, "rejected"),
                Some(Verdict::Drop(_)) => self.end(&record, Fate::Dropped),
                Some(Verdict::Retry(x)) => {
                    let (point, limit) = back.unwrap();
                    let spent = record.rounds.entry(point).or_default();
                    if *spent >= limit {
                        return self.fault(&record, "rounds spent");
                    }
                    *spent += 1;
                    let mark = record.marks.iter().rev().find(|((at, _), _)| *at == point).copied();
                    let (origin, number) = mark.unwrap();
                    let next = Version { number: number + 1, x, rounds: record.rounds };
                    self.retries.push(Retry { origin, next, marks: record.marks });
                }
                Some(_) => self.on((node, 0), x, record),
            },
            Step::Scatter(a, gather) => match a.parts(x) {
                Some(parts) => {
                    let number = self.families.len();
                    let (live, none) = (parts.len(), vec![None; parts.len()]);
                    self.families.push(Family { gather, parent: record.clone(), live, parts: none });
                    for (place, x) in parts.into_iter().enumerate() {
                        let mut child = Rec { x, id: mix(record.id, place as u64 + 1000), ..record.clone() };
                        child.scopes.push((number, place));
                        child.path.push(place as u32);
                        self.fan_out((node, 0), child);
                    }
                    self.complete(number);
                }
                None => self.fault(&record, "panic"),
            },
            Step::Join => self.join(node, side, record, |a, b| a.x % 4 == b.x % 4),
            Step::Interval(within, _) => {
                self.join(node, side, record, |a, b| a.x % 2 == b.x % 2 && (a.time - b.time).abs() <= within);
            }
            Step::Group(_) => self.joins.entry(node).or_default()[0].push(Row { record, matched: false }),
            Step::Sink(sink) => {
                self.ends.out[sink].push(x);
                self.last.push((sink, record.clone()));
                self.end(&record, Fate::Emitted);
            }
            Step::Gather(_) => {
                let (family, place) = *record.scopes.last().unwrap();
                self.families[family].parts[place].get_or_insert_default().push(x);
                self.end(&record, Fate::Absorbed);
            }
        }
    }

    fn join(&mut self, node: usize, side: usize, record: Rec, meet: impl Fn(&Rec, &Rec) -> bool) {
        let rows = self.joins.entry(node).or_default();
        let mut matched = false;
        let mut pairs = Vec::new();
        for other in rows[1 - side].iter_mut().filter(|other| meet(&other.record, &record)) {
            other.matched = true;
            matched = true;
            let (left, right) = if side == 0 { (&record, &other.record) } else { (&other.record, &record) };
            pairs.push(Rec { x: mix(left.x, right.x), ..made_of(&[left, right]) });
        }
        rows[side].push(Row { record, matched });
        for pair in pairs {
            self.fork(&pair, 1);
            self.fan_out((node, 0), pair);
        }
    }

    /// A record goes on with a value.
    fn on(&mut self, way: (usize, usize), x: u64, record: Rec) {
        self.fan_out(way, Rec { x, ..record });
    }

    /// A record goes on as several, or ends with this fate if there are none.
    fn put(&mut self, way: (usize, usize), all: Vec<u64>, record: Rec, otherwise: Fate) {
        if all.is_empty() {
            return self.end(&record, otherwise);
        }
        self.fork(&record, all.len() - 1);
        for (i, x) in all.into_iter().enumerate() {
            let id = if i == 0 { record.id } else { mix(record.id, mix(way.0 as u64, i as u64)) };
            let mut child = Rec { x, id, ..record.clone() };
            child.path.push(i as u32);
            self.fan_out(way, child);
        }
    }

    fn fan_out(&mut self, way: (usize, usize), record: Rec) {
        let ways = &self.model.ways[&way];
        self.fork(&record, ways.len() - 1);
        for (i, &(node, side)) in ways.iter().enumerate() {
            let id = if i == 0 { record.id } else { mix(record.id, mix(way.0 as u64 + 500, i as u64)) };
            let mut copy = Rec { id, ..record.clone() };
            if ways.len() > 1 {
                copy.path.push(i as u32);
            }
            self.stack.push((node, side, copy));
        }
    }

    fn fork(&mut self, record: &Rec, more: usize) {
        if let Some(&(family, _)) = record.scopes.last() {
            self.families[family].live += more;
        }
    }

    fn fault(&mut self, record: &Rec, kind: &str) {
        *self.ends.quarantine.entry(kind.to_owned()).or_default() += 1;
        self.end(record, if kind == "panic" { Fate::Failed } else { Fate::Rejected });
    }

    fn end(&mut self, record: &Rec, fate: Fate) {
        for &root in &record.roots {
            self.best.entry(root).and_modify(|best| *best = fate.min(*best));
        }
        if let Some(&(family, _)) = record.scopes.last() {
            self.families[family].live -= 1;
            self.complete(family);
        }
    }

    fn complete(&mut self, number: usize) {
        let Family { gather, ref parent, live: 0, ref parts } = self.families[number] else { return };
        let Step::Gather(a) = self.model.steps[gather] else { return };
        let record = parent.clone();
        match a.whole(record.x, parts) {
            Some(x) => self.on((gather, 0), x, record),
            None => self.fault(&record, "panic"),
        }
    }
}
