//! One evaluation of the oracle: what comes of every record under a table of what handlers have asked for so far, and what
//! they ask for next.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use eddyline::prelude::*;

use crate::{
    build::{Sequential, Step},
    case::{Author, Case, May, Put, Said, mix, time, value},
    table::{Added, Asked, Origin, Table, Version, What},
};

/// What came of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// Per sink; the last in order where that is promised, the others sorted.
    pub out: Vec<Vec<u64>>,
    /// Per reason.
    pub quarantine: BTreeMap<String, u64>,
    pub roots_ended: BTreeMap<&'static str, u64>,
    /// Per sink, each value with the source records that it was made of; sorted.
    pub lineage: Vec<Vec<(u64, BTreeSet<usize>)>>,
}

/// A record.
#[derive(Clone, Debug)]
struct Rec {
    x: u64,
    /// The same in every evaluation.
    id: u64,
    roots: BTreeSet<usize>,
    /// All source records that went into it: unlike roots with those of a whole's parts, and of what a person was asked about.
    sources: BTreeSet<usize>,
    rounds: BTreeMap<usize, u32>,
    /// Families and the place in each.
    scopes: Vec<(usize, usize)>,
    marks: Vec<(Origin, u32)>,
    /// Which child of which child it is.
    path: Vec<u32>,
    time: i64,
}

/// Roots of the second source are numbered from here.
pub const SECOND: usize = 1000;
/// And those of answers.
const ANSWERS: usize = 1 << 40;

impl Rec {
    /// The latest place among its roots, whatever their source.
    pub fn latest(&self) -> u32 {
        self.roots.iter().map(|root| (root % SECOND) as u32).max().unwrap_or(0)
    }

    /// Its first declared source, and its latest place there.
    pub fn seq(&self) -> (usize, u32) {
        let of_first = self.roots.range(..SECOND).next_back().map(|root| (0, *root as u32));
        of_first.unwrap_or((1, self.latest()))
    }

    pub fn asks(&self, origin: Origin, what: What) -> Asked {
        Asked { origin, what, marks: self.marks.clone(), roots: self.roots.clone() }
    }

    /// The same record in the same state at the same handler has the same.
    pub fn identity(&self, node: usize) -> u64 {
        let rounds = self.rounds.iter().fold(self.x, |all, (at, n)| mix(mix(all, *at as u64), u64::from(*n)));
        let mark = |all, ((point, id), version): &(Origin, u32)| {
            mix(mix(all, *point as u64), mix(*id, u64::from(*version)))
        };
        mix(mix(self.id, node as u64), self.marks.iter().fold(rounds, mark))
    }
}

struct Family {
    gather: usize,
    parent: Rec,
    live: usize,
    parts: Vec<Option<Vec<u64>>>,
    /// What the parts were made of.
    sources: BTreeSet<usize>,
    /// What the parts add to what the whole carries.
    marks: Vec<(Origin, u32)>,
    rounds: BTreeMap<usize, u32>,
}

fn worst(rounds: &mut BTreeMap<usize, u32>, other: &BTreeMap<usize, u32>) {
    for (&point, &spent) in other {
        let mine = rounds.entry(point).or_default();
        *mine = spent.max(*mine);
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
        made.sources.extend(&one.sources);
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
    /// What stands at each origin.
    values: HashMap<Origin, u64>,
    /// What each origin came with.
    entries: HashMap<Origin, Vec<(Origin, u32)>>,
    asked: Vec<Asked>,
    ends: Ends,
    /// What the sinks got.
    last: Vec<(usize, Rec)>,
    steps: usize,
}

pub fn evaluate(
    model: &Sequential,
    table: &Table,
    case: &Case,
    limit: usize,
) -> Option<(Ends, Vec<Asked>, usize)> {
    let sinks = model.steps.iter().filter(|step| matches!(step, Step::Sink(_))).count();
    let mut run = Evaluation {
        model,
        table,
        stack: Vec::new(),
        families: Vec::new(),
        joins: HashMap::new(),
        best: BTreeMap::new(),
        values: HashMap::new(),
        entries: HashMap::new(),
        asked: Vec::new(),
        ends: Ends { out: vec![Vec::new(); sinks], ..Ends::default() },
        last: Vec::new(),
        steps: 0,
    };
    // Known before the first moves: what is added may descend from records of both sources.
    for source in [Some(0), model.second.map(|_| 1)].into_iter().flatten() {
        run.best.extend((0..case.records).map(|n| (source * SECOND + n, Fate::Withdrawn)));
    }
    for (source, node) in (0..).zip([Some(0), model.second]) {
        let mut newest = i64::MIN;
        for n in (0..case.records).filter(|_| node.is_some()) {
            let root = source * SECOND + n;
            let time = time(source as u64, n);
            let record = Rec {
                x: value(source as u64, n),
                id: mix(root as u64, 7),
                roots: [root].into(),
                sources: [root].into(),
                rounds: BTreeMap::new(),
                scopes: Vec::new(),
                marks: Vec::new(),
                path: Vec::new(),
                time,
            };
            if case.lateness.is_some_and(|lateness| time < newest.saturating_sub(lateness as i64)) {
                run.fault(0, &record, "late");
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
    run.ends.lineage = vec![Vec::new(); sinks];
    for (sink, record) in &run.last {
        run.ends.lineage[*sink].push((record.x, record.sources.clone()));
    }
    run.ends.lineage.iter_mut().for_each(|lineage| lineage.sort());
    if case.ordered
        && !model.asks
        && let Some(out) = run.ends.out.last_mut()
    {
        run.last.retain(|(sink, _)| sink + 1 == sinks);
        run.last.sort_by_key(|(_, record)| (record.seq(), record.path.clone()));
        *out = run.last.iter().map(|(_, record)| record.x).collect();
    }
    Some((run.ends, run.asked, run.steps))
}

impl Evaluation<'_> {
    /// A record comes to a point from which it may be revised: its origin, the version that stands, and what was made of it.
    fn enter(&mut self, point: usize, record: &mut Rec) -> (Origin, u32, Option<Version>) {
        let marks = record.marks.iter().fold(0, |all, ((point, id), version)| {
            mix(mix(all, *point as u64), mix(*id, u64::from(*version)))
        });
        let spent = |all, (point, spent): (&usize, &u32)| mix(mix(all, *point as u64), u64::from(*spent));
        let rounds = record.rounds.iter().fold(0, spent);
        let origin = (point, mix(record.id, mix(marks, rounds)));
        self.entries.insert(origin, record.marks.clone());
        let revised = self.table.versions.get(&origin).cloned();
        let version = revised.as_ref().map_or(1, |revised| revised.number);
        if let Some(revised) = &revised {
            record.rounds.clone_from(&revised.rounds);
        }
        record.marks.push((origin, version));
        (origin, version, revised)
    }

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
                true => self.end(node, &row.record, Fate::Absorbed),
                false if goes_on => self.on((node, 0), mix(row.record.x, 1), row.record),
                false => self.end(node, &row.record, Fate::Filtered),
            }
        }
        for row in right {
            self.end(node, &row.record, if row.matched { Fate::Absorbed } else { Fate::Filtered });
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
                self.end(node, row, Fate::Absorbed);
            }
        }
    }

    fn step(&mut self, node: usize, side: usize, mut record: Rec) {
        let x = record.x;
        match self.model.steps[node] {
            Step::Through => self.on((node, 0), x, record),
            Step::Feedback(number) => {
                let scopes = record.scopes.clone();
                let (origin, _, revised) = self.enter(number, &mut record);
                for added in self.table.added.get(&origin).into_iter().flatten() {
                    if self.table.is_current(&added.marks) {
                        let Added { by: _, x, id, roots, sources, rounds, marks, path, values, time } =
                            added.clone();
                        self.values.extend(values);
                        let scopes = scopes.clone();
                        let beside = Rec { x, id, roots, sources, rounds, marks, path, scopes, time };
                        self.fork(node, &beside, 1);
                        self.stack.push((node, 0, beside));
                    }
                }
                match revised.map_or(Some(x), |revised| revised.x) {
                    Some(x) => {
                        self.values.insert(origin, x);
                        self.on((node, 0), x, record);
                    }
                    None => self.end(node, &record, Fate::Dropped),
                }
            }
            Step::Alternatives(a, number) => {
                let (_, version, _) = self.enter(number, &mut record);
                match a.of_way(version - 1).draw(x) {
                    Some(x) => self.on((node, 0), x, record),
                    None => self.fault(node, &record, "panic"),
                }
            }
            Step::Next(a, keys) => match a.verdict(x, true, May::default()) {
                Some(Verdict::Retry(_)) => {
                    let left = |&(at, count): &(usize, u32)| {
                        let of_step = record.marks.iter().rev().filter(move |((point, _), _)| *point == at);
                        of_step.copied().find(|(_, version)| *version < count)
                    };
                    let Some((origin, version)) = keys.iter().find_map(left) else {
                        return self.fault(node, &record, "alternatives spent");
                    };
                    *record.rounds.entry(origin.0).or_default() += 1;
                    let next = Version { number: version + 1, x: Some(0), rounds: record.rounds.clone() };
                    self.asked.push(record.asks(origin, What::Revise(next)));
                }
                verdict => self.judged(node, verdict, record),
            },
            Step::Map(a) => match a.draw(x) {
                Some(x) => self.on((node, 0), x, record),
                None => self.fault(node, &record, "panic"),
            },
            Step::Filter(a) => match a.keep(x) {
                Some(true) => self.on((node, 0), x, record),
                Some(false) => self.end(node, &record, Fate::Filtered),
                None => self.fault(node, &record, "panic"),
            },
            Step::Split(a) => match a.keep(x) {
                Some(yes) => self.on((node, usize::from(!yes)), x, record),
                None => self.fault(node, &record, "panic"),
            },
            Step::Catch(a) => self.on((node, usize::from(a.keep(x) != Some(true))), x, record),
            Step::FlatMap(a) => match a.parts(x) {
                Some(parts) => self.put((node, 0), parts, record, Fate::Filtered),
                None => self.fault(node, &record, "panic"),
            },
            Step::Judge(a, back, may) => match a.verdict(x, back.is_some(), may) {
                Some(Verdict::Reroute(_)) => self.on((node, 1), x, record),
                Some(Verdict::Escalate(question)) => self.escalate(node, record, *question.otherwise),
                Some(Verdict::Retry(x)) => {
                    let (point, limit) = back.unwrap();
                    let spent = record.rounds.entry(point).or_default();
                    if *spent >= limit {
                        return self.fault(node, &record, "rounds spent");
                    }
                    *spent += 1;
                    let mark = record.marks.iter().rev().find(|((at, _), _)| *at == point).copied();
                    let (origin, number) = mark.unwrap();
                    let next = Version { number: number + 1, x: Some(x), rounds: record.rounds };
                    let (what, roots) = (What::Revise(next), record.roots);
                    self.asked.push(Asked { origin, what, marks: record.marks, roots });
                }
                verdict => self.judged(node, verdict, record),
            },
            Step::Revise(a, (point, limit)) => self.revise(node, record, a, point, limit),
            Step::Scatter(a, gather) => match a.parts(x) {
                Some(parts) => {
                    let number = self.families.len();
                    let (live, none) = (parts.len(), vec![None; parts.len()]);
                    self.families.push(Family {
                        gather,
                        parent: record.clone(),
                        live,
                        parts: none,
                        sources: BTreeSet::new(),
                        marks: Vec::new(),
                        rounds: BTreeMap::new(),
                    });
                    for (place, x) in parts.into_iter().enumerate() {
                        let mut child = Rec { x, id: mix(record.id, place as u64 + 1000), ..record.clone() };
                        child.scopes.push((number, place));
                        child.path.push(place as u32);
                        self.fan_out((node, 0), child);
                    }
                    // The parent goes there by a way of its own.
                    self.cross(node, gather, &record);
                    self.complete(number);
                }
                None => self.fault(node, &record, "panic"),
            },
            Step::Join => self.join(node, side, record, |a, b| a.x % 4 == b.x % 4),
            Step::Interval(within, _) => {
                self.join(node, side, record, |a, b| a.x % 2 == b.x % 2 && (a.time - b.time).abs() <= within);
            }
            Step::Group(_) => self.joins.entry(node).or_default()[0].push(Row { record, matched: false }),
            Step::Sink(sink) => {
                self.ends.out[sink].push(x);
                self.last.push((sink, record.clone()));
                self.end(node, &record, Fate::Emitted);
            }
            Step::Gather(_) => {
                let of_this = |(family, _): &&(usize, usize)| self.families[*family].gather == node;
                let (family, place) = *record.scopes.iter().rev().find(of_this).unwrap();
                let family = &mut self.families[family];
                family.parts[place].get_or_insert_default().push(x);
                family.sources.extend(&record.sources);
                for mark in record.marks.iter().filter(|mark| !family.parent.marks.contains(mark)) {
                    if !family.marks.contains(mark) {
                        family.marks.push(*mark);
                    }
                }
                self.end(node, &record, Fate::Absorbed);
            }
        }
    }

    /// What somebody answers goes on as a root of its own that nothing can withdraw; the oracle sees it in the order of what was
    /// asked about.
    fn escalate(&mut self, node: usize, record: Rec, answer: Answer<u64>) {
        let x = match answer {
            Answer::Reject(_) => return self.fault(node, &record, "rejected"),
            Answer::Drop(_) => return self.end(node, &record, Fate::Dropped),
            Answer::Pass => record.x,
            Answer::Replace(x) => x,
        };
        let id = record.identity(node);
        let root = ANSWERS + id as usize % ANSWERS;
        self.best.entry(root).or_insert(Fate::Withdrawn);
        let (rounds, scopes, marks, path) = Default::default();
        let (roots, sources, time) = ([root].into(), record.sources.clone(), record.time);
        let answered = Rec { x, id, roots, sources, rounds, scopes, marks, path, time };
        self.end(node, &record, Fate::Escalated);
        self.on((node, 0), x, answered);
    }

    /// Does what a verdict says that sends nothing back.
    fn judged(&mut self, node: usize, verdict: Option<Verdict<u64, u64>>, record: Rec) {
        match verdict {
            None => self.fault(node, &record, "panic"),
            Some(Verdict::Replace(x)) => self.on((node, 0), x, record),
            Some(Verdict::Split(all)) => self.put((node, 0), all, record, Fate::Dropped),
            Some(Verdict::Reject(_)) => self.fault(node, &record, "rejected"),
            Some(Verdict::Drop(_)) => self.end(node, &record, Fate::Dropped),
            Some(_) => self.on((node, 0), record.x, record),
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
            self.fork(node, &pair, 1);
            self.fan_out((node, 0), pair);
        }
    }

    /// A record goes on with a value.
    fn on(&mut self, way: (usize, usize), x: u64, record: Rec) {
        self.fan_out(way, Rec { x, ..record });
    }

    /// What a handler says of a record that may revise what it was made of.
    fn revise(&mut self, node: usize, mut record: Rec, a: Author, point: usize, limit: u32) {
        let marks = record.marks.iter().filter(|((at, _), _)| *at == point);
        let known: Vec<_> = marks.map(|(origin, number)| (*origin, *number, self.values[origin])).collect();
        let Some((value, said)) = a.of_ancestors(record.x, known.iter().map(|(.., value)| *value)) else {
            return self.fault(node, &record, "panic");
        };
        let spent = record.rounds.get(&point).copied().unwrap_or_default();
        // The workflow takes one of several of the same value, whichever comes first.
        let chosen =
            known.into_iter().filter(|(.., its)| *its == value).map(|(origin, number, _)| (origin, number));
        match said {
            Said::Pass => self.on((node, 0), record.x, record),
            Said::Replace(x) => self.on((node, 0), x, record),
            Said::Reject => self.fault(node, &record, "rejected"),
            Said::Revise(_) if spent >= limit => self.fault(node, &record, "rounds spent"),
            Said::Revise(x) => {
                record.rounds.insert(point, spent + 1);
                for (origin, number) in chosen {
                    let next = Version { number: number + 1, x: Some(x), rounds: record.rounds.clone() };
                    self.asked.push(record.asks(origin, What::Revise(next)));
                }
            }
            Said::Delete => {
                for (origin, number) in chosen {
                    let next = Version { number: number + 1, x: None, rounds: record.rounds.clone() };
                    self.asked.push(record.asks(origin, What::Revise(next)));
                }
            }
            Said::Append(_) if spent >= limit => {
                self.fork(node, &record, 1);
                self.fault(node, &record, "rounds spent");
                self.on((node, 0), record.x, record);
            }
            Said::Append(x) => {
                let by = record.identity(node);
                let mut rounds = record.rounds.clone();
                rounds.insert(point, spent + 1);
                let known = self.table.added.values().flatten().any(|added| added.by == by);
                let values = |(origin, _): &(Origin, u32)| Some((*origin, *self.values.get(origin)?));
                let values: Vec<_> = record.marks.iter().filter_map(values).collect();
                for (origin, _) in chosen.filter(|_| !known) {
                    let id = mix(record.id, node as u64 + 2000);
                    let (roots, sources) = (record.roots.clone(), record.sources.clone());
                    let mut marks = record.marks.clone();
                    if let Some(beside) = self.entries.get(&origin) {
                        marks.sort_by_key(|mark| beside.contains(mark) || mark.0 == origin);
                    }
                    let path = record.path.iter().copied().chain([u32::MAX - 1, node as u32]).collect();
                    let (rounds, values) = (rounds.clone(), values.clone());
                    let time = record.time;
                    let added = Added { by, x, id, roots, sources, rounds, marks, path, values, time };
                    self.asked.push(record.asks(origin, What::Append(added)));
                }
                self.on((node, 0), record.x, record);
            }
        }
    }

    /// A record goes on as several, or ends with this fate if there are none.
    fn put(&mut self, way: (usize, usize), all: Vec<u64>, record: Rec, otherwise: Fate) {
        if all.is_empty() {
            return self.end(way.0, &record, otherwise);
        }
        self.fork(way.0, &record, all.len() - 1);
        for (i, x) in all.into_iter().enumerate() {
            let id = if i == 0 { record.id } else { mix(record.id, mix(way.0 as u64, i as u64)) };
            let mut child = Rec { x, id, ..record.clone() };
            child.path.push(i as u32);
            self.fan_out(way, child);
        }
    }

    fn fan_out(&mut self, way: (usize, usize), record: Rec) {
        let ways = &self.model.ways[&way];
        self.fork(way.0, &record, ways.len() - 1);
        for (i, &(node, side)) in ways.iter().enumerate() {
            let id = if i == 0 { record.id } else { mix(record.id, mix(way.0 as u64 + 500, i as u64)) };
            let mut copy = Rec { id, ..record.clone() };
            if ways.len() > 1 {
                copy.path.push(i as u32);
            }
            self.cross(way.0, node, &copy);
            self.stack.push((node, side, copy));
        }
    }

    /// The family that counts a record here.
    fn family_at(&self, node: usize, record: &Rec) -> Option<usize> {
        let counts = |family: &usize| self.model.is_between(self.families[*family].gather, node);
        record.scopes.iter().rev().map(|(family, _)| *family).find(counts)
    }

    fn cross(&mut self, from: usize, to: usize, record: &Rec) {
        let (old, new) = (self.family_at(from, record), self.family_at(to, record));
        if old != new {
            if let Some(new) = new {
                self.families[new].live += 1;
            }
            self.leave(old, record);
        }
    }

    fn leave(&mut self, family: Option<usize>, record: &Rec) {
        if let Some(number) = family {
            let family = &mut self.families[number];
            worst(&mut family.rounds, &record.rounds);
            family.live -= 1;
            self.complete(number);
        }
    }

    fn fork(&mut self, node: usize, record: &Rec, more: usize) {
        if let Some(family) = self.family_at(node, record) {
            self.families[family].live += more;
        }
    }

    fn fault(&mut self, node: usize, record: &Rec, kind: &str) {
        *self.ends.quarantine.entry(kind.to_owned()).or_default() += 1;
        self.end(node, record, if kind == "panic" { Fate::Failed } else { Fate::Rejected });
    }

    fn end(&mut self, node: usize, record: &Rec, fate: Fate) {
        for &root in &record.roots {
            self.best.entry(root).and_modify(|best| *best = fate.min(*best));
        }
        self.leave(self.family_at(node, record), record);
    }

    fn complete(&mut self, number: usize) {
        let Family { gather, ref parent, live: 0, ref parts, ref sources, ref marks, ref rounds } =
            self.families[number]
        else {
            return;
        };
        let Step::Gather(a) = self.model.steps[gather] else { return };
        let mut record = parent.clone();
        worst(&mut record.rounds, rounds);
        record.sources.extend(sources);
        record.marks.extend(marks);
        match a.whole(record.x, parts) {
            Some(x) => self.on((gather, 0), x, record),
            None => self.fault(gather, &record, "panic"),
        }
    }
}
