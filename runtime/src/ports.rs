//! The typed ends of edges: [`Port`] and [`Inlet`]s and [`Outlet`]s, and tuples of them.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::{
    batch::{Batch, MAX_ROWS},
    data::Data,
    edge::Edge,
    operator::{Cx, Stats},
    record::{RecordId, Trail},
    times::Timestamps,
};

/// The edges of one port, which grow while the workflow is being written and are then read once.
pub(crate) type EdgeList<T> = Arc<Mutex<Vec<Arc<Edge<T>>>>>;

/// A typed end of an operator, out or in.
#[derive(Debug)]
pub struct Port<T> {
    pub(crate) node: u32,
    pub(crate) edges: EdgeList<T>,
    pub(crate) label: &'static str,
    /// Of a source's output: how its records tell their times.
    pub(crate) times: Arc<Mutex<Option<Timestamps<T>>>>,
}

impl<T> Clone for Port<T> {
    fn clone(&self) -> Self {
        let (edges, times) = (Arc::clone(&self.edges), Arc::clone(&self.times));
        Self { node: self.node, edges, label: self.label, times }
    }
}

impl<T> Port<T> {
    /// The operator's node number.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// Whether it leads somewhere so far.
    pub fn is_led(&self) -> bool {
        !self.edges.lock().is_empty()
    }

    /// How the records that leave here tell their times, if somebody said; asked once, when the graph is whole.
    pub fn take_times(&self) -> Option<Timestamps<T>> {
        self.times.lock().take()
    }
}

impl<T: Data> Port<T> {
    /// The receiving end, once the graph is whole.
    pub fn inlet(&self) -> Inlet<T> {
        let mut lanes: Vec<_> =
            self.edges.lock().iter().map(|edge| Lane { edge: Arc::clone(edge), finished: false }).collect();
        // Back edges first.
        lanes.sort_by_key(|lane| !lane.edge.is_back());
        Inlet { lanes, turn: 0 }
    }

    /// The sending end, once the graph is whole.
    pub fn outlet(&self) -> Outlet<T> {
        let edges = self.edges.lock();
        let ways = edges.iter().map(|edge| Way { edge: Arc::clone(edge), waiting: VecDeque::new() });
        Outlet { ways: ways.collect() }
    }
}

/// What comes in: an [`Inlet`], a pair of them, or nothing.
pub trait Inputs: Send + 'static {
    /// One batch from any of them.
    type Batch;
    /// Takes one batch, back edges first.
    fn take(&mut self, cx: &mut Cx<'_>) -> Option<Self::Batch>;
    /// Rows of a batch.
    fn rows(batch: &Self::Batch) -> usize;
    /// Edges from outside the node's loop that are newly found to be finished.
    fn newly_finished(&mut self) -> usize;
    /// Whether every edge is finished.
    fn all_finished(&self) -> bool;
    /// Whether another step would find something: records, or the end of an edge.
    fn is_waiting(&self) -> bool;
}

/// The receiving end of the edges that bring one type.
#[derive(Debug)]
pub struct Inlet<T> {
    lanes: Vec<Lane<T>>,
    turn: usize,
}

#[derive(Debug)]
struct Lane<T> {
    edge: Arc<Edge<T>>,
    finished: bool,
}

impl<T: Data> Inputs for Inlet<T> {
    type Batch = Batch<T>;

    fn take(&mut self, cx: &mut Cx<'_>) -> Option<Batch<T>> {
        let n = self.lanes.len();
        let comes_first = |lane: &&Lane<T>| lane.edge.is_back() && cx.shared.rules.back_edges_come_first;
        let back = self.lanes.iter().take_while(comes_first).count();
        let forward = n - back;
        let turn = self.turn;
        let order = (0..back).chain((0..forward).map(|i| back + (turn + i) % forward));
        for i in order {
            let edge = &self.lanes[i].edge;
            // A batch of which nothing stands is not worth a step.
            while let Some(batch) = take_from(edge, cx) {
                if let Some(ask) = edge.arrival() {
                    batch.trails().iter().flatten().for_each(|trail| cx.arrived(trail, ask));
                }
                if let Some(batch) = without_withdrawn(batch, cx) {
                    cx.note_taken_in(&batch);
                    self.turn = (i + 1).saturating_sub(back) % forward.max(1);
                    return Some(batch);
                }
            }
        }
        None
    }

    fn rows(batch: &Batch<T>) -> usize {
        batch.len()
    }

    fn newly_finished(&mut self) -> usize {
        let mut count = 0;
        for lane in &mut self.lanes {
            if !lane.finished && lane.edge.inside().is_none() && lane.edge.is_finished() {
                lane.finished = true;
                count += 1;
            }
        }
        count
    }

    fn all_finished(&self) -> bool {
        self.lanes.iter().all(|lane| lane.finished || lane.edge.is_finished())
    }

    fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.finished && lane.edge.is_waiting())
    }
}

/// Takes rows from an edge, with their permits.
fn take_from<T: Data>(edge: &Edge<T>, cx: &mut Cx<'_>) -> Option<Batch<T>> {
    match (cx.inside, edge.inside()) {
        (Some((loop_, member)), None) => {
            let waiting = edge.len().min(cx.most);
            let admitted = if waiting == 0 { 0 } else { loop_.admit(member, waiting) };
            cx.permits += admitted;
            if admitted == 0 { None } else { edge.take(admitted) }
        }
        (inside, _) => {
            let batch = edge.take(cx.most);
            if inside.is_some() {
                cx.permits += batch.as_ref().map_or(0, Batch::len);
            }
            batch
        }
    }
}

/// Ends the rows that were made from a version which has been revised; `None` if no other is left.
fn without_withdrawn<T>(batch: Batch<T>, cx: &mut Cx<'_>) -> Option<Batch<T>> {
    if !batch.carries_marks() {
        return Some(batch);
    }
    let stands = |i: usize, cx: &mut Cx<'_>| !cx.end_if_withdrawn(&batch.tag(i));
    let flags: Vec<bool> = (0..batch.len()).map(|i| stands(i, cx)).collect();
    let (batch, _) = batch.partition(&flags);
    (!batch.is_empty()).then_some(batch)
}

impl Inputs for () {
    type Batch = ();
    fn take(&mut self, _: &mut Cx<'_>) -> Option<()> {
        None
    }
    fn rows((): &()) -> usize {
        0
    }
    fn newly_finished(&mut self) -> usize {
        0
    }
    fn all_finished(&self) -> bool {
        true
    }
    fn is_waiting(&self) -> bool {
        false
    }
}

/// Two inputs of different types.
#[derive(Debug)]
pub struct Two<A, B> {
    /// The first.
    pub left: Inlet<A>,
    /// The second.
    pub right: Inlet<B>,
    right_first: bool,
    in_turns: bool,
}

impl<A, B> Two<A, B> {
    /// Both inlets, taken in turns.
    pub fn new(left: Inlet<A>, right: Inlet<B>) -> Self {
        Self { left, right, right_first: false, in_turns: true }
    }

    /// The left one only when nothing waits on the right one.
    pub fn right_first(left: Inlet<A>, right: Inlet<B>) -> Self {
        Self { left, right, right_first: true, in_turns: false }
    }
}

/// A batch from one of two inputs.
#[derive(Debug)]
pub enum Side<A, B> {
    /// From the first.
    Left(Batch<A>),
    /// From the second.
    Right(Batch<B>),
}

impl<A: Data, B: Data> Inputs for Two<A, B> {
    type Batch = Side<A, B>;

    fn take(&mut self, cx: &mut Cx<'_>) -> Option<Side<A, B>> {
        self.right_first ^= self.in_turns || !cx.shared.rules.back_edges_come_first;
        if self.right_first {
            let right = self.right.take(cx).map(Side::Right);
            right.or_else(|| self.left.take(cx).map(Side::Left))
        } else {
            let left = self.left.take(cx).map(Side::Left);
            left.or_else(|| self.right.take(cx).map(Side::Right))
        }
    }

    fn rows(batch: &Side<A, B>) -> usize {
        match batch {
            Side::Left(batch) => batch.len(),
            Side::Right(batch) => batch.len(),
        }
    }

    fn newly_finished(&mut self) -> usize {
        self.left.newly_finished() + self.right.newly_finished()
    }

    fn all_finished(&self) -> bool {
        self.left.all_finished() && self.right.all_finished()
    }

    fn is_waiting(&self) -> bool {
        self.left.is_waiting() || self.right.is_waiting()
    }
}

/// What goes out: an [`Outlet`], a pair of them, or nothing.
pub trait Outputs: Send + 'static {
    /// Records that wait for a permit of the node's loop.
    fn waiting_inside(&self) -> usize;
    /// Whether records wait for room outside the loop.
    fn is_blocked(&self) -> bool;
    /// Sends what waits: up to `permits` records inside, and outside what there is room for. Gives the records sent inside.
    fn send(&mut self, permits: usize) -> usize;
    /// No more will come.
    fn close(&self);
    /// Looks at the identity of every record that waits.
    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>));
}

/// The sending end of the edges that take one type. Each edge gets every record.
#[derive(Debug)]
pub struct Outlet<T> {
    ways: Vec<Way<T>>,
}

#[derive(Debug)]
struct Way<T> {
    edge: Arc<Edge<T>>,
    /// Put out, but not sent yet: no room (outside) or no permit (inside: the accounted overflow).
    waiting: VecDeque<Batch<T>>,
}

impl<T: Data> Outlet<T> {
    /// Whether it leads somewhere. One that does not takes no records.
    pub fn is_led(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Puts records out. They are sent at the end of the step.
    pub fn put(&mut self, batch: Batch<T>, cx: &mut Cx<'_>) {
        if batch.is_empty() {
            return;
        }
        let ways = self.ways.len();
        Stats::add(&cx.node.stats.records_out, (batch.len() * ways) as u64);
        if ways == 1 {
            self.ways[0].file(batch, cx);
            return;
        }
        // Fan-out: the first way gets the record, the others get records made from it.
        let mut copies: Vec<Batch<T>> = (0..ways).map(|_| Batch::with_capacity(batch.len())).collect();
        for (value, mut tag) in batch.into_rows() {
            for (nth, copy) in copies.iter_mut().enumerate().skip(1) {
                let mut fork = cx.fork(&mut tag);
                cx.is_child(&mut fork, nth);
                copy.push(value.clone(), fork);
            }
            cx.is_child(&mut tag, 0);
            copies[0].push(value, tag);
        }
        for (way, copy) in self.ways.iter_mut().zip(copies) {
            way.file(copy, cx);
        }
    }

    /// Puts one record out.
    pub fn put_one(&mut self, value: T, tag: crate::record::Tag, cx: &mut Cx<'_>) {
        let mut batch = Batch::default();
        batch.push(value, tag);
        self.put(batch, cx);
    }
}

impl<T: Data> Way<T> {
    fn file(&mut self, mut batch: Batch<T>, cx: &mut Cx<'_>) {
        if let Some(crossing) = self.edge.crossing() {
            let back = self.edge.is_back();
            for trail in batch.trails_mut().iter_mut().flatten() {
                cx.cross(trail, crossing, back);
            }
        }
        while batch.len() > MAX_ROWS {
            let rest = batch.split_off(MAX_ROWS);
            self.waiting.push_back(std::mem::replace(&mut batch, rest));
        }
        self.waiting.push_back(batch);
    }

    fn rows_waiting(&self) -> usize {
        self.waiting.iter().map(Batch::len).sum()
    }
}

impl<T: Data> Outputs for Outlet<T> {
    fn waiting_inside(&self) -> usize {
        self.ways.iter().filter(|way| way.edge.inside().is_some()).map(Way::rows_waiting).sum()
    }

    fn is_blocked(&self) -> bool {
        self.ways.iter().any(|way| way.edge.inside().is_none() && !way.waiting.is_empty())
    }

    fn send(&mut self, permits: usize) -> usize {
        let mut sent = 0;
        for way in &mut self.ways {
            let inside = way.edge.inside().is_some();
            while let Some(mut batch) = way.waiting.pop_front() {
                if inside {
                    let free = permits - sent;
                    if free == 0 {
                        way.waiting.push_front(batch);
                        break;
                    }
                    if batch.len() > free {
                        let rest = batch.split_off(free);
                        way.waiting.push_front(rest);
                    }
                    sent += batch.len();
                }
                if let Err(batch) = way.edge.offer(batch) {
                    way.waiting.push_front(batch);
                    break;
                }
            }
        }
        sent
    }

    fn close(&self) {
        for way in &self.ways {
            way.edge.close();
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for batch in self.ways.iter().flat_map(|way| &way.waiting) {
            batch.visit_tags(visit);
        }
    }
}

impl Outputs for () {
    fn waiting_inside(&self) -> usize {
        0
    }
    fn is_blocked(&self) -> bool {
        false
    }
    fn send(&mut self, _: usize) -> usize {
        0
    }
    fn close(&self) {}
    fn visit(&self, _: &mut dyn FnMut(RecordId, Option<&Trail>)) {}
}

/// Any number of ways out, the first one first.
impl<O: Outputs> Outputs for Vec<O> {
    fn waiting_inside(&self) -> usize {
        self.iter().map(O::waiting_inside).sum()
    }

    fn is_blocked(&self) -> bool {
        self.iter().any(O::is_blocked)
    }

    fn send(&mut self, permits: usize) -> usize {
        self.iter_mut().fold(0, |sent, out| sent + out.send(permits - sent))
    }

    fn close(&self) {
        self.iter().for_each(O::close);
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.iter().for_each(|out| out.visit(visit));
    }
}

impl<A: Outputs, B: Outputs> Outputs for (A, B) {
    fn waiting_inside(&self) -> usize {
        self.0.waiting_inside() + self.1.waiting_inside()
    }

    fn is_blocked(&self) -> bool {
        self.0.is_blocked() || self.1.is_blocked()
    }

    fn send(&mut self, permits: usize) -> usize {
        // The second way out is the way back, where there is one: what goes round goes first.
        let second = self.1.send(permits);
        second + self.0.send(permits - second)
    }

    fn close(&self) {
        self.0.close();
        self.1.close();
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        self.0.visit(visit);
        self.1.visit(visit);
    }
}
