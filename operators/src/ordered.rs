//! `ordered`: records go on in the order of their source.

use std::collections::{BTreeMap, HashMap};

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    operator::{Cx, Holding, Operator},
    origin::{Notice, Standing},
    ports::{Inlet, Outlet},
    record::{RecordId, Tag, Trail},
    view::Role,
};

use crate::{
    at_rest::ByOrigin,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Puts records back into the order of their source: each waits until everything that comes before it is there or can no
    /// longer come. Only final records go on: what might still be sent back and withdrawn waits.
    ///
    /// A record made of several sources takes its place by the one that was declared first; records of one source record come
    /// in the order in which they were made of it. What waits is bounded, since a source brings no more while many runs of its
    /// records are on their way. Inside a loop there is no order, and this is an error of the workflow.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RunError> {
    /// let flow = Workflow::new("in order");
    /// let (numbers, again) = flow.source("numbers", 0..100).feedback("again", Rounds::at_most(9));
    /// // Some go round the loop more often than others.
    /// let halved = numbers
    ///     .handle_or_retry("halve", again, |n| if n % 2 == 0 && *n > 0 { Verdict::Retry(n / 2) } else { Verdict::Pass })
    ///     .ordered()
    ///     .collect();
    /// let odd_part = |n: i32| if n == 0 { 0 } else { n >> n.trailing_zeros() };
    /// assert_eq!(flow.run().await?.take(halved), (0..100).map(odd_part).collect::<Vec<_>>());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn ordered(self) -> Stream<T> {
        let graph = self.graph.clone();
        let node = graph.add(spec("ordered", Role::Operator));
        let target = graph.ask_for_completion(node);
        let input = self.lead_to(node);
        let output = graph.output(node, "", false);
        let out = output.clone();
        graph.build_with(node, move |_| {
            let op = Ordered {
                target,
                queues: BTreeMap::new(),
                places: HashMap::new(),
                by_origin: ByOrigin::default(),
                next: 0,
            };
            (op, input.inlet(), out.outlet())
        });
        Stream::new(graph, output)
    }
}

/// Where a record stands in the order of its first declared source: the place there, the path of children; then by arrival.
pub(crate) type Place = (u64, Vec<u32>, u64);

struct Ordered<T> {
    target: u32,
    /// Per first declared source, what waits.
    queues: BTreeMap<u32, BTreeMap<Place, (T, Tag)>>,
    /// By arrival, where it waits.
    places: HashMap<u64, (u32, Place)>,
    by_origin: ByOrigin<u64>,
    next: u64,
}

impl<T: Data> Ordered<T> {
    fn take_in(&mut self, value: T, tag: Tag, cx: &mut Cx<'_>) {
        let number = self.next;
        if self.by_origin.hold(&tag, number, cx) == Standing::Withdrawn {
            return cx.end(&tag, Fate::Withdrawn);
        }
        self.next += 1;
        cx.arrive_at(self.target, &tag);
        let (source, place) = place_of(&tag, number);
        self.places.insert(number, (source, place.clone()));
        self.queues.entry(source).or_default().insert(place, (value, tag));
    }

    /// Lets go of what is complete, up to the first of each source that is not.
    fn put_complete(&mut self, out: &mut Outlet<T>, cx: &mut Cx<'_>) -> bool {
        let frontiers = cx.frontiers(self.target);
        let mut on = Batch::default();
        for queue in self.queues.values_mut() {
            while let Some(first) = queue.first_entry() {
                let trail = first.get().1.trail.as_deref();
                let goes = |trail: &Trail| frontiers.include(trail) && trail.standing() == Standing::Final;
                if !trail.is_none_or(goes) {
                    break;
                }
                let ((.., number), (value, tag)) = first.remove_entry();
                self.places.remove(&number);
                cx.go_from(self.target, &tag);
                on.push(value, tag);
            }
        }
        let any = !on.is_empty();
        out.put(on, cx);
        any
    }
}

/// The record's first declared source, and its place there.
///
/// By its source records and not by the epochs that it waits for: these depend on how the source's records were cut, and on
/// what the record was judged with before it came round a loop.
pub(crate) fn place_of(tag: &Tag, number: u64) -> (u32, Place) {
    let trail = tag.trail.as_deref();
    let roots = || {
        let itself = trail.is_none_or(|trail| trail.roots.is_empty()).then_some(tag.id);
        trail.into_iter().flat_map(|trail| &trail.roots).map(|root| root.id()).chain(itself)
    };
    let source = roots().filter_map(RecordId::source).min();
    let seq = roots().filter(|id| id.source() == source).map(RecordId::seq).max();
    let path = trail.map(|trail| trail.path.to_vec()).unwrap_or_default();
    (source.unwrap_or(u32::MAX), (seq.unwrap_or(u64::MAX), path, number))
}

impl<T: Data> Operator for Ordered<T> {
    type In = Inlet<T>;
    type Out = Outlet<T>;

    fn process(&mut self, batch: Batch<T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        for (value, tag) in batch.into_rows() {
            self.take_in(value, tag, cx);
        }
        self.put_complete(out, cx);
    }

    fn notice(&mut self, notices: &[Notice], out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        for (number, _) in self.by_origin.told(notices) {
            let Some((source, place)) = self.places.get(&number) else { continue };
            let Some(queue) = self.queues.get_mut(source) else { continue };
            let stands = |(_, tag): &(T, Tag)| {
                tag.trail.as_deref().is_none_or(|trail| trail.standing() != Standing::Withdrawn)
            };
            if queue.get(place).is_none_or(stands) {
                continue;
            }
            if let Some((_, tag)) = queue.remove(place) {
                self.places.remove(&number);
                cx.go_from(self.target, &tag);
                cx.end(&tag, Fate::Withdrawn);
            }
        }
        self.put_complete(out, cx);
    }

    fn wake(&mut self, out: &mut Outlet<T>, cx: &mut Cx<'_>) -> bool {
        self.put_complete(out, cx)
    }

    fn is_open(&self) -> bool {
        !self.places.is_empty()
    }

    fn holding(&self) -> Holding {
        Holding { waiting: self.places.len(), ..Holding::default() }
    }

    fn visit(&self, visit: &mut dyn FnMut(RecordId, Option<&Trail>)) {
        for (_, tag) in self.queues.values().flat_map(BTreeMap::values) {
            visit(tag.id, tag.trail.as_deref());
        }
    }
}
