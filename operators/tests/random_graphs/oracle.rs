//! The oracle: what a case must come to, whoever is quicker.
//!
//! It evaluates the graph with its back edges cut, under a table that gives each origin its version, value and rounds.
//! While somebody says `Retry`, it puts the next version into the table and evaluates again. Where one
//! retry withdraws the record of another it goes both ways: every outcome is allowed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use eddyline::prelude::*;

use crate::{
    build::{Sequential, Step},
    case::mix,
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
}

impl Rec {
    fn seq(&self) -> u32 {
        self.roots.last().map_or(0, |root| *root as u32)
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

/// A row of a join: the record, its side, and whether it found a partner.
struct Row {
    record: Rec,
    matched: bool,
}

struct Evaluation<'a> {
    model: &'a Sequential,
    table: &'a Table,
    stack: Vec<(usize, usize, Rec)>,
    families: Vec<Family>,
    joins: HashMap<usize, [Vec<Row>; 2]>,
    best: Vec<Fate>,
    retries: Vec<Retry>,
    ends: Ends,
    /// What the sinks got: sink, place in the order, value.
    last: Vec<(usize, u32, Vec<u32>, u64)>,
    steps: usize,
}

/// Every outcome that is allowed; nothing if there are too many, or they take too long.
pub fn outcomes(model: &Sequential, records: usize, ordered: bool, limit: usize) -> Option<BTreeSet<Ends>> {
    let mut allowed = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![Table::new()];
    let mut steps = 0;
    while let Some(table) = open.pop() {
        if !seen.insert(table.clone()) {
            continue;
        }
        let (ends, retries, took) = evaluate(model, &table, records, ordered, limit)?;
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
        let joins = model.steps.iter().any(|step| matches!(step, Step::Join));
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
    records: usize,
    ordered: bool,
    limit: usize,
) -> Option<(Ends, Vec<Retry>, usize)> {
    let sinks = model.steps.iter().filter(|step| matches!(step, Step::Sink(_))).count();
    let mut run = Evaluation {
        model,
        table,
        stack: Vec::new(),
        families: Vec::new(),
        joins: HashMap::new(),
        best: vec![Fate::Withdrawn; records],
        retries: Vec::new(),
        ends: Ends { out: vec![Vec::new(); sinks], ..Ends::default() },
        last: Vec::new(),
        steps: 0,
    };
    for root in 0..records {
        let record = Rec {
            x: mix(root as u64, 99),
            id: mix(root as u64, 7),
            roots: [root].into(),
            rounds: BTreeMap::new(),
            scopes: Vec::new(),
            marks: Vec::new(),
            path: Vec::new(),
        };
        run.stack.push((0, 0, record));
        while let Some((node, side, record)) = run.stack.pop() {
            run.step(node, side, record);
            run.steps += 1;
            if run.steps > limit {
                return None;
            }
        }
    }
    for [left, right] in std::mem::take(&mut run.joins).into_values() {
        for row in left.into_iter().chain(right) {
            run.end(&row.record, if row.matched { Fate::Absorbed } else { Fate::Filtered });
        }
    }
    for fate in run.best {
        *run.ends.roots_ended.entry(fate.name()).or_default() += 1;
    }
    for out in &mut run.ends.out {
        out.sort_unstable();
    }
    if ordered && let Some(out) = run.ends.out.last_mut() {
        run.last.retain(|(sink, ..)| sink + 1 == sinks);
        run.last.sort();
        *out = run.last.iter().map(|(.., x)| *x).collect();
    }
    Some((run.ends, run.retries, run.steps))
}

impl Evaluation<'_> {
    /// A record comes to a point: it gets its mark there, and what the table says of its origin.
    fn enter<'t>(&self, point: usize, record: &mut Rec, table: &'t Table) -> (u32, Option<&'t Version>) {
        let marks = record.marks.iter().fold(0, |all, ((point, id), version)| {
            mix(mix(all, *point as u64), mix(*id, u64::from(*version)))
        });
        let origin = (point, mix(record.id, marks));
        let revised = table.get(&origin);
        let version = revised.map_or(1, |revised| revised.number);
        if let Some(revised) = revised {
            record.rounds.clone_from(&revised.rounds);
        }
        record.marks.push((origin, version));
        (version, revised)
    }

    fn step(&mut self, node: usize, side: usize, mut record: Rec) {
        let x = record.x;
        match self.model.steps[node] {
            Step::Through => self.on((node, 0), x, record),
            Step::Feedback(number) => {
                let (_, revised) = self.enter(number, &mut record, self.table);
                self.on((node, 0), revised.map_or(x, |revised| revised.x), record);
            }
            Step::Alternatives(a, number) => {
                let (version, _) = self.enter(number, &mut record, self.table);
                match a.of_way(version - 1).draw(x) {
                    Some(x) => self.on((node, 0), x, record),
                    None => self.fault(&record, "panic"),
                }
            }
            Step::Next(a, keys) => match a.verdict(x, true) {
                Some(Verdict::Retry(_)) => {
                    let left = |&(at, count): &(usize, u32)| {
                        let of_step = record.marks.iter().rev().filter(move |((point, _), _)| *point == at);
                        of_step.copied().find(|(_, version)| *version < count)
                    };
                    let Some((origin, version)) = keys.iter().find_map(left) else {
                        return self.fault(&record, "alternatives spent");
                    };
                    *record.rounds.entry(origin.0).or_default() += 1;
                    let next = Version { number: version + 1, x: 0, rounds: record.rounds };
                    self.retries.push(Retry { origin, next, marks: record.marks });
                }
                verdict => self.judged(node, verdict, record),
            },
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
                verdict => self.judged(node, verdict, record),
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
            Step::Join => self.join(node, side, record),
            Step::Sink(sink) => {
                self.ends.out[sink].push(x);
                self.last.push((sink, record.seq(), record.path.clone(), x));
                self.end(&record, Fate::Emitted);
            }
            Step::Gather(_) => {
                let (family, place) = *record.scopes.last().unwrap();
                self.families[family].parts[place].get_or_insert_default().push(x);
                self.end(&record, Fate::Absorbed);
            }
        }
    }

    /// Does what a verdict says that sends nothing back.
    fn judged(&mut self, node: usize, verdict: Option<Verdict<u64, u64>>, record: Rec) {
        match verdict {
            None => self.fault(&record, "panic"),
            Some(Verdict::Replace(x)) => self.on((node, 0), x, record),
            Some(Verdict::Split(all)) => self.put((node, 0), all, record, Fate::Dropped),
            Some(Verdict::Reject(_)) => self.fault(&record, "rejected"),
            Some(Verdict::Drop(_)) => self.end(&record, Fate::Dropped),
            Some(_) => self.on((node, 0), record.x, record),
        }
    }

    fn join(&mut self, node: usize, side: usize, record: Rec) {
        let rows = self.joins.entry(node).or_default();
        let mut matched = false;
        let mut pairs = Vec::new();
        for other in rows[1 - side].iter_mut().filter(|other| other.record.x % 4 == record.x % 4) {
            other.matched = true;
            matched = true;
            let (left, right) = if side == 0 { (&record, &other.record) } else { (&other.record, &record) };
            let mut pair = left.clone();
            pair.x = mix(left.x, right.x);
            pair.id = mix(left.id, right.id);
            let seqs = ([left.seq()], [right.seq()]);
            let path = seqs.0.iter().chain(&left.path).chain(&seqs.1).chain(&right.path);
            pair.path = path.copied().collect();
            pair.roots.extend(&right.roots);
            for (&point, &rounds) in &right.rounds {
                let mine = pair.rounds.entry(point).or_default();
                *mine = rounds.max(*mine);
            }
            for mark in &right.marks {
                if !pair.marks.contains(mark) {
                    pair.marks.push(*mark);
                }
            }
            pairs.push(pair);
        }
        rows[side].push(Row { record, matched });
        for pair in pairs {
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
            self.best[root] = self.best[root].min(fate);
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
