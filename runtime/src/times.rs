//! Event time: when something happened, as its source says, and what of it can still come to an input.
//!
//! A source's records may come out of order by a *lateness*: its *watermark* is the newest time seen less that, and a record
//! below it is late, a fault. An input that asks for time (one side of an interval join, a window's input) is told below which
//! time nothing can still come to it. That is counted with the epochs (see [`epochs`](crate::epochs)), by where records are: on
//! every way from a source to the input they hold time back, and no longer from the moment they are taken in.

use std::{fmt, sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::{
    data::Data,
    epochs::Moves,
    graph::{BuildError, Graph, Inner, Place},
    guard::{self, Panicked},
    operator::Cx,
    ports::Port,
    record::{Tag, Trail},
    regions,
    view::Role,
};

/// Milliseconds of a duration: whole ones, and as many as there can be at most.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How a source's records tell their times.
pub struct Timestamps<T> {
    of: Box<dyn FnMut(&T) -> i64 + Send>,
    lateness: i64,
    watermark: i64,
    idle_after: Option<Duration>,
}

impl<T> fmt::Debug for Timestamps<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timestamps, {} ms late at most, watermark {}", self.lateness, self.watermark)
    }
}

/// What a source's record says of its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its time in milliseconds.
    Time(i64),
    /// It is below the watermark.
    Late,
    /// The author's code panicked on it.
    Panic(Panicked),
}

impl<T> Timestamps<T> {
    /// The author's code tells a record's time in milliseconds; records come out of order by `lateness` at most.
    pub fn new(of: impl FnMut(&T) -> i64 + Send + 'static, lateness: Duration) -> Self {
        Self { of: Box::new(of), lateness: millis(lateness), watermark: i64::MIN, idle_after: None }
    }

    /// The time of the next record.
    pub fn tell(&mut self, value: &T) -> Told {
        match guard::call(|| (self.of)(value)) {
            Err(panicked) => Told::Panic(panicked),
            Ok(time) if time < self.watermark => Told::Late,
            Ok(time) => {
                self.watermark = self.watermark.max(time.saturating_sub(self.lateness));
                Told::Time(time)
            }
        }
    }

    /// No later record has an earlier time.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// How long the source may bring nothing before others do not wait for it any more.
    pub fn idle_after(&self) -> Option<Duration> {
        self.idle_after
    }
}

/// What an input that asks for time demands of the graph.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// What to do where a source has no times; `None` where the operator can do without, if no source has.
    pub without_times: Option<&'static str>,
    /// What to do where what the operator puts out can come back to the input; `None` where that may be.
    pub without_loop: Option<&'static str>,
}

/// An input that asks for time.
pub(crate) struct TimeAsk {
    pub node: u32,
    /// The numbers of the edges that lead to it, once the graph is whole.
    edges: Box<dyn Fn() -> Vec<u32> + Send>,
    demands: Demands,
}

/// An operator, or one input of it, that is told what can still come.
pub(crate) enum Ask {
    /// This node asks for the order of the sources.
    Order(u32),
    Time(TimeAsk),
}

impl Ask {
    pub fn node(&self) -> u32 {
        match self {
            Ask::Order(node) => *node,
            Ask::Time(ask) => ask.node,
        }
    }
}

impl Graph {
    /// Has the source of `port` give its records times.
    pub fn give_times<T: Data>(&self, port: &Port<T>, times: Timestamps<T>, place: Place) {
        let mut inner = self.inner.lock();
        let def = &mut inner.nodes[port.node as usize];
        let (name, is_source) = (def.name.clone(), def.spec.role == Role::Source);
        if is_source && !def.timed {
            def.timed = true;
            def.spec.notes.push(format!("timestamps, late by at most {} ms", times.lateness));
            *port.times.lock() = Some(times);
            return;
        }
        drop(inner);
        if is_source {
            let advice = "keep one of the two `.timestamps(…)`: clones of a source's stream share it";
            self.error(Some(port.node), Some(place), format!("`{name}` is given times twice"), advice);
        } else {
            let what = format!("`.timestamps(…)` stands behind `{name}`, which is no source");
            let advice = "put it straight behind the source: only there is known what is still to come";
            self.error(Some(port.node), Some(place), what, advice);
        }
    }

    /// Has others wait no longer than this for the source of `port` while it brings nothing.
    pub fn give_idle_time<T: Data>(&self, port: &Port<T>, after: Duration, place: Place) {
        let mut times = port.times.lock();
        let what = match times.as_mut() {
            Some(Timestamps { idle_after: given @ None, .. }) => {
                *given = Some(after);
                drop(times);
                return self.note(port.node, format!("idle after {after:?}"));
            }
            Some(_) => "`.idle_after(…)` stands twice behind one source",
            None => "`.idle_after(…)` stands behind something whose records have no times",
        };
        drop(times);
        let advice = "put it once, straight behind the `.timestamps(…)` of a source";
        self.error(Some(port.node), Some(place), what, advice);
    }

    /// This input of `port`'s node asks for time: it is told below which nothing can still come to it. Gives its number among
    /// all that ask.
    pub fn ask_for_time<T: Data>(&self, port: &Port<T>, demands: Demands) -> u32 {
        let list = Arc::clone(&port.edges);
        let edges = Box::new(move || list.lock().iter().map(|edge| edge.number()).collect());
        let mut inner = self.inner.lock();
        inner.asks.push(Ask::Time(TimeAsk { node: port.node, edges, demands }));
        inner.asks.len() as u32 - 1
    }
}

impl Inner {
    /// The ends of all edges.
    pub(crate) fn ends(&self) -> Vec<(u32, u32)> {
        self.edges.iter().map(|edge| (edge.info().from, edge.info().to)).collect()
    }

    /// The nodes from which the one that asks can be reached; none where nothing can be told.
    pub(crate) fn leading_to(&self, ask: &Ask, ends: &[(u32, u32)]) -> Vec<bool> {
        match ask {
            Ask::Order(node) => regions::leading_to(self.nodes.len(), ends, &[*node]),
            Ask::Time(ask) => {
                let leading = self.leading_to_input(ask, ends);
                let told = self.sources_among(&leading).all(|node| self.nodes[node].timed);
                if told { leading } else { vec![false; self.nodes.len()] }
            }
        }
    }

    fn leading_to_input(&self, ask: &TimeAsk, ends: &[(u32, u32)]) -> Vec<bool> {
        let producers: Vec<u32> = (ask.edges)().iter().map(|edge| ends[*edge as usize].0).collect();
        regions::leading_to(self.nodes.len(), ends, &producers)
    }

    fn sources_among(&self, leading: &[bool]) -> impl Iterator<Item = usize> {
        let is_source = |node: &usize| leading[*node] && self.nodes[*node].spec.role == Role::Source;
        (0..self.nodes.len()).filter(is_source)
    }

    /// Whether the records that come to this ask have times; `false` too where it asks for order.
    pub(crate) fn is_timed(&self, ask: &Ask) -> bool {
        let Ask::Time(ask) = ask else { return false };
        let leading = self.leading_to_input(ask, &self.ends());
        self.sources_among(&leading).all(|node| self.nodes[node].timed)
    }

    /// The inputs that stop counting a record when they take it in: the number of the edge and of the ask.
    pub(crate) fn arrivals(&self) -> Vec<(u32, u32)> {
        let asks = (0..).zip(&self.asks);
        let edges = |(number, ask): (u32, &Ask)| match ask {
            Ask::Order(_) => Vec::new(),
            Ask::Time(_) if !self.is_timed(ask) => Vec::new(),
            Ask::Time(ask) => (ask.edges)().into_iter().map(|edge| (edge, number)).collect(),
        };
        asks.flat_map(edges).collect()
    }

    /// What is wrong about the inputs that ask for time.
    pub(crate) fn check_times(&self) -> Vec<BuildError> {
        let ends = self.ends();
        let backwards: Vec<(u32, u32)> = ends.iter().map(|(from, to)| (*to, *from)).collect();
        let mut errors = Vec::new();
        for ask in self.asks.iter().filter_map(|ask| if let Ask::Time(ask) = ask { Some(ask) } else { None })
        {
            let def = &self.nodes[ask.node as usize];
            let leading = self.leading_to_input(ask, &ends);
            let mut report = |what, advice: &str| {
                let place = Some(def.spec.place);
                let error = BuildError { node: Some(ask.node), place, what, advice: advice.to_owned() };
                // Both sides of a join may lack the same.
                if !errors.contains(&error) {
                    errors.push(error);
                }
            };
            let any_timed = self.sources_among(&leading).any(|node| self.nodes[node].timed);
            let untimed = self.sources_among(&leading).find(|node| !self.nodes[*node].timed);
            if let Some(source) = untimed.filter(|_| any_timed || ask.demands.without_times.is_some()) {
                let what =
                    format!("records of `{}` come to `{}` without a time", self.nodes[source].name, def.name);
                report(
                    what,
                    ask.demands.without_times.unwrap_or("put `.timestamps(…)` behind that source too"),
                );
            }
            if let Some(advice) = ask.demands.without_loop.filter(|_| any_timed && leading[ask.node as usize])
            {
                report(format!("what `{}` puts out can come back to it", def.name), advice);
            }
            // Rows of the other input are parts, which would wait for what comes of their whole, and the whole for them.
            let others = self
                .asks
                .iter()
                .filter_map(|other| if let Ask::Time(other) = other { Some(other) } else { None });
            let others = others.filter(|other| other.node == ask.node && !std::ptr::eq(*other, ask));
            let from: Vec<u32> =
                others.flat_map(|other| (other.edges)()).map(|edge| ends[edge as usize].0).collect();
            let waits_for_itself = |(scatter, gather): &&(u32, u32)| {
                let between = regions::between(self.nodes.len(), &ends, *scatter, *gather);
                // From the scatter, and not by way of the gather.
                let cut = regions::between(self.nodes.len(), &backwards, *gather, *scatter);
                let are_parts = |node: &u32| cut[*node as usize] && between[*node as usize];
                leading[*gather as usize] && between[ask.node as usize] && from.iter().any(are_parts)
            };
            if let Some((_, gather)) = self.scopes.iter().find(waits_for_itself).filter(|_| any_timed) {
                let gather = &self.nodes[*gather as usize].name;
                let what = format!(
                    "`{}` pairs parts for `{gather}`, and what that makes can come back to it",
                    def.name
                );
                report(what, "pair before the scatter or behind the gather, or send back before the gather");
            }
        }
        errors
    }

    /// What is worth knowing about the inputs that ask for time: the node, and the words.
    pub(crate) fn notes_on_times(&self) -> Vec<(u32, &'static str)> {
        let ends = self.ends();
        let mut sides: Vec<(u32, usize)> = Vec::new();
        for ask in &self.asks {
            let Ask::Time(time) = ask else { continue };
            if self.leading_to(ask, &ends)[time.node as usize] {
                match sides.iter_mut().find(|(node, _)| *node == time.node) {
                    Some((_, count)) => *count += 1,
                    None => sides.push((time.node, 1)),
                }
            }
        }
        let held = "both sides come round again: keeps rows until its inputs end";
        sides.into_iter().filter(|(_, count)| *count == 2).map(|(node, _)| (node, held)).collect()
    }
}

/// What an operator asks and says about time.
impl Cx<'_> {
    /// What this source brings from now on has no time below `watermark`. Called behind [`enter`](Self::enter).
    pub fn raise_watermark(&mut self, watermark: i64) {
        self.shared.board.raise_watermark(self.node.id, watermark);
    }

    /// This source has brought nothing for a while, or brings something again. While it is idle others go by the newest time that
    /// any source has that they ask about.
    pub fn set_idle(&mut self, idle: bool) {
        self.shared.board.set_idle(self.node.id, idle);
    }

    /// This source brings nothing more.
    pub fn leave(&mut self) {
        self.shared.board.leave(self.node.id);
    }

    /// A record has been taken in by the input that asked for time under this number, from which it cannot come back there.
    pub(crate) fn arrived(&self, trail: &Trail, ask: u32) {
        self.count_epochs(trail, &[ask], Moves::Less);
    }

    /// No record with an earlier time can still come to the input that asked for time under this number.
    pub fn time_at(&self, ask: u32) -> i64 {
        self.shared.board.time_at(ask, self.shared.rules.records_hold_time)
    }

    /// Whether joins go by what may come to a row's other side.
    #[doc(hidden)]
    pub fn looks_across(&self) -> bool {
        self.shared.rules.joins_look_across
    }

    /// Parks a record in the state of an operator whose inputs asked for time under these numbers. In a loop it may come
    /// back to them, but only with a record that has come to them after it, unless it can be revised in this loop itself.
    pub fn park_at(&mut self, asks: &[u32], tag: &Tag) {
        self.rest_at(asks, tag, Moves::Arrives, Moves::Parks);
    }

    /// It is about to go on, or to end.
    pub fn unpark_at(&mut self, asks: &[u32], tag: &Tag) {
        self.rest_at(asks, tag, Moves::Goes, Moves::Unparks);
    }

    fn rest_at(&self, asks: &[u32], tag: &Tag, here: Moves, behind: Moves) {
        let revisable = tag.trail.as_deref().is_some_and(|trail| self.own_marks(trail).next().is_some());
        let counts = |ask: &&u32| !revisable && self.node.regions.targets.contains(ask);
        let asks: SmallVec<[u32; 4]> = asks.iter().filter(counts).copied().collect();
        self.wait_at(&asks, tag, here, behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_below_the_watermark_is_late_and_does_not_move_it() {
        let mut times = Timestamps::new(|time: &i64| *time, Duration::from_millis(5));
        let told: Vec<Told> = [10, 5, 4, 5, -3, 20, 15, 14].iter().map(|time| times.tell(time)).collect();
        use Told::{Late, Time};
        assert_eq!(told, [Time(10), Time(5), Late, Time(5), Late, Time(20), Time(15), Late]);
        assert_eq!(times.watermark(), 15);
    }

    #[test]
    fn the_ends_of_time_are_no_overflow() {
        let mut times = Timestamps::new(|time: &i64| *time, Duration::MAX);
        assert_eq!(times.tell(&i64::MIN), Told::Time(i64::MIN));
        assert_eq!(times.tell(&i64::MAX), Told::Time(i64::MAX));
        assert_eq!((times.watermark(), times.tell(&-1)), (0, Told::Late));
    }
}
