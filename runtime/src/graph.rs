//! The graph of a workflow while it is written, and its checks.
//!
//! Operators are added with everything they need to be built later; edges are typed from the moment they are made. When
//! the graph is whole, [`Graph::check`] reports everything that is wrong with it at once, and loops are found as strongly
//! connected components.

mod shape;

use std::{
    collections::HashMap,
    fmt,
    panic::Location,
    path::Path,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use thiserror::Error;

use crate::{
    clock::Clock,
    data::Data,
    edge::{AnyEdge, Edge, EdgeInfo},
    epochs::Board,
    linear::Makes,
    loops::{Attention, Loop},
    node::{AnyNode, Node},
    operator::{Meters, NodeCore, Operator},
    people::Questions,
    ports::Port,
    quarantine::{Replays, Store},
    record::FeedbackId,
    regions::Crossing,
    run::RunOptions,
    schedule::Schedule,
    scope::Scope,
    serve::{ModelClient, ServedModel, Serving},
    slots::Slot,
    team,
    times::Ask,
    view::{GraphView, NodeView, ProblemView, Role},
    waker::Waker,
};

/// Where in the author's code something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(&'static Location<'static>);

impl Place {
    /// The caller's place.
    #[track_caller]
    pub fn here() -> Self {
        Self(Location::caller())
    }

    /// The file's name without folders, and the line: `main.rs:12`.
    pub fn short(self) -> String {
        let file = self.0.file().rsplit(['/', '\\']).next().unwrap_or_default();
        format!("{file}:{}", self.0.line())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.file(), self.0.line())
    }
}

/// One thing that is wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The node it belongs to, if any.
    pub node: Option<u32>,
    /// Where it was written, if it was.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What to do next.
    pub advice: String,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}\n    {}", self.what, self.advice)
    }
}

/// Everything that is wrong with a workflow.
#[derive(Clone, Debug, Error)]
pub struct BuildErrors {
    /// The workflow.
    pub workflow: String,
    /// At least one.
    pub errors: Vec<BuildError>,
}

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.errors.len();
        let errors = if n == 1 { "error" } else { "errors" };
        write!(f, "the workflow `{}` cannot run: {n} {errors}", self.workflow)?;
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

/// What a new operator is.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// The operator's kind as the author knows it.
    pub kind: &'static str,
    /// How it is drawn.
    pub role: Role,
    /// The author's name; `kind@file:line` where she gave none.
    pub name: Option<String>,
    /// Where it was written.
    pub place: Place,
    /// Short facts worth showing.
    pub notes: Vec<String>,
}

/// What an operator is given when it is built.
pub struct Start<'a> {
    pub(crate) core: Arc<NodeCore>,
    pub(crate) clock: Clock,
    pub(crate) serving: &'a Serving,
    pub(crate) inside: Option<(Arc<Loop>, usize)>,
    pub(crate) schedule: Schedule,
    pub(crate) linear: bool,
    pub(crate) stores: &'a [Arc<dyn Store>],
    /// Per ask, whether the records that come to it have times.
    pub(crate) timed: &'a [bool],
}

impl Start<'_> {
    /// Whether the records that come to the input that asked for time under this number have one.
    pub fn is_timed(&self, ask: u32) -> bool {
        self.timed.get(ask as usize).copied().unwrap_or_default()
    }

    /// Whether a record inside the operator's loop is always alone: see [`linear`](crate::linear).
    pub fn is_in_linear_loop(&self) -> bool {
        self.linear
    }

    /// Where the run marks what comes back from this file.
    pub fn store_at(&self, path: &Path) -> Option<Arc<dyn Store>> {
        self.stores.iter().find(|store| store.is_at(path)).cloned()
    }

    /// The run's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Who steps when.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Wakes the operator's actor.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.core.waker)
    }

    /// The way to a model that was declared with [`Graph::declare_model`].
    pub fn model(&self, name: &str) -> Option<ModelClient> {
        self.serving.client(name)
    }
}

pub(crate) type Build = Box<dyn FnOnce(Start<'_>) -> Box<dyn AnyNode> + Send>;

pub(crate) struct Def {
    pub spec: NodeSpec,
    pub name: String,
    waker: Arc<Waker>,
    attention: Arc<Attention>,
    meters: Arc<Meters>,
    build: Option<Build>,
    /// A source that gives its records times.
    pub timed: bool,
    /// Whether it is to have an actor of its own.
    alone: bool,
    makes: Makes,
    /// How many edges leave each of its outputs; asked when the graph is whole.
    outputs: Vec<Box<dyn Fn() -> usize + Send>>,
}

struct Feedback {
    name: String,
    node: u32,
    /// Whether the key was used, and what to do where it was not.
    closed: bool,
    advice: &'static str,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub nodes: Vec<Def>,
    pub edges: Vec<Arc<dyn AnyEdge>>,
    feedbacks: Vec<Feedback>,
    /// Scatter and gather.
    pub scopes: Vec<(u32, u32)>,
    /// Who is told what can still come.
    pub asks: Vec<Ask>,
    models: Vec<ServedModel>,
    /// Where people are asked, with the node.
    pub desks: Vec<(u32, Arc<dyn Questions>)>,
    /// Where handlers can be put, with the node.
    pub slots: Vec<(u32, Arc<dyn Slot>)>,
    /// Sources at which records may come back, with the node.
    pub replays: Vec<(u32, Arc<dyn Replays>)>,
    /// Where what comes back is marked.
    pub stores: Vec<Arc<dyn Store>>,
    /// Whether a task outside of the graph brings records or answers.
    fed_by_tasks: bool,
    errors: Vec<BuildError>,
}

/// The graph of one workflow. Clones are the same graph.
#[derive(Clone)]
pub struct Graph {
    name: Arc<str>,
    pub(crate) inner: Arc<Mutex<Inner>>,
}

/// A graph, as long as somebody else has it.
#[derive(Clone)]
pub struct WeakGraph {
    name: Arc<str>,
    inner: Weak<Mutex<Inner>>,
}

impl WeakGraph {
    /// The graph, where it is still there.
    pub fn upgrade(&self) -> Option<Graph> {
        Some(Graph { name: Arc::clone(&self.name), inner: self.inner.upgrade()? })
    }
}

impl Graph {
    /// The same graph for those who are not to keep it alive.
    pub fn downgrade(&self) -> WeakGraph {
        WeakGraph { name: Arc::clone(&self.name), inner: Arc::downgrade(&self.inner) }
    }

    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), inner: Arc::default() }
    }

    /// The workflow's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are the same graph.
    pub fn is(&self, other: &Graph) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Adds a node; it does nothing until [`build_with`](Self::build_with) says what.
    pub fn add(&self, spec: NodeSpec) -> u32 {
        let mut inner = self.inner.lock();
        let id = inner.nodes.len() as u32;
        let name = spec.name.clone().unwrap_or_else(|| {
            let base = format!("{}@{}", spec.kind, spec.place.short());
            let mut name = base.clone();
            let mut again = 1;
            while inner.nodes.iter().any(|n| n.name == name) {
                again += 1;
                name = format!("{base}#{again}");
            }
            name
        });
        let waker = Waker::new();
        inner.nodes.push(Def {
            spec,
            name,
            attention: Attention::new(Arc::clone(&waker)),
            waker,
            meters: Arc::default(),
            build: None,
            timed: false,
            alone: false,
            makes: Makes::default(),
            outputs: Vec::new(),
        });
        id
    }

    /// Says how the node is built once the graph is whole.
    pub fn build_with<Op: Operator>(
        &self,
        node: u32,
        build: impl FnOnce(&Start<'_>) -> (Op, Op::In, Op::Out) + Send + 'static,
    ) {
        self.inner.lock().nodes[node as usize].build = Some(Box::new(move |start| {
            let (op, inputs, outputs) = build(&start);
            Box::new(Node::new(start.core, op, inputs, outputs, start.inside))
        }));
    }

    /// An output of `node`. One that leads nowhere when the graph is checked is an error, unless it is `optional`.
    pub fn output<T: Data>(&self, node: u32, label: &'static str, optional: bool) -> Port<T> {
        let port = Port { node, edges: Arc::default(), label, times: Arc::default() };
        if !optional {
            let edges: Weak<_> = Arc::downgrade(&port.edges);
            let count = move || edges.upgrade().map_or(0, |edges| edges.lock().len());
            self.inner.lock().nodes[node as usize].outputs.push(Box::new(count));
        }
        port
    }

    /// An input of `node`.
    pub fn input<T: Data>(&self, node: u32) -> Port<T> {
        Port { node, edges: Arc::default(), label: "", times: Arc::default() }
    }

    /// Leads `from` to `to`.
    pub fn connect<T: Data>(&self, from: &Port<T>, to: &Port<T>, back: bool) {
        let mut inner = self.inner.lock();
        let info =
            EdgeInfo { id: inner.edges.len() as u32, from: from.node, to: to.node, back, label: from.label };
        let producer = Arc::clone(&inner.nodes[from.node as usize].waker);
        let consumer = Arc::clone(&inner.nodes[to.node as usize].waker);
        let edge = Edge::new(info, producer, consumer);
        from.edges.lock().push(Arc::clone(&edge));
        to.edges.lock().push(Arc::clone(&edge));
        inner.edges.push(edge);
    }

    /// Gives a node the author's name.
    pub fn rename(&self, node: u32, name: &str) {
        let mut inner = self.inner.lock();
        let def = &mut inner.nodes[node as usize];
        def.spec.name = Some(name.to_owned());
        def.name = name.to_owned();
    }

    /// Says how many records a node makes of one.
    pub fn set_makes(&self, node: u32, makes: Makes) {
        self.inner.lock().nodes[node as usize].makes = makes;
    }

    /// Gives a node an actor of its own.
    pub fn set_alone(&self, node: u32) {
        self.inner.lock().nodes[node as usize].alone = true;
    }

    /// Adds a fact worth showing beside a node.
    pub fn note(&self, node: u32, note: impl Into<String>) {
        self.inner.lock().nodes[node as usize].spec.notes.push(note.into());
    }

    /// Says that a node was written at `place`.
    pub fn place(&self, node: u32, place: Place) {
        self.inner.lock().nodes[node as usize].spec.place = place;
    }

    /// What is scattered at one node is gathered at another.
    pub fn open_scope(&self, scatter: u32, gather: u32) -> Arc<Scope> {
        let mut inner = self.inner.lock();
        inner.scopes.push((scatter, gather));
        let attention = Arc::clone(&inner.nodes[gather as usize].attention);
        Scope::new(inner.scopes.len() as u32 - 1, attention)
    }

    /// Opens a feedback point at `node`.
    pub fn open_feedback(&self, node: u32, name: &str) -> FeedbackId {
        let mut inner = self.inner.lock();
        let advice = "give its key to `.handle_or_retry(name, key, …)` or `.handle_kept(name, &key, …)`, or leave it out";
        inner.feedbacks.push(Feedback { name: name.to_owned(), node, closed: false, advice });
        inner.feedbacks.len() as FeedbackId - 1
    }

    /// Opens a point at `node` to which records come back for another alternative.
    pub fn open_alternatives(&self, node: u32, name: &str) -> FeedbackId {
        let id = self.open_feedback(node, name);
        self.inner.lock().feedbacks[id as usize].advice =
            "give its key to `.handle_or_next(name, &key, …)`, or keep the first alternative only";
        id
    }

    /// The feedback's key was used.
    pub fn close_feedback(&self, id: FeedbackId) {
        self.inner.lock().feedbacks[id as usize].closed = true;
    }

    /// Declares a model that the run must serve.
    pub fn declare_model(&self, model: ServedModel) {
        self.inner.lock().models.push(model);
    }

    /// The node asks for completion: it is told when everything of an epoch that can reach it is there. Gives its number
    /// among those that ask.
    pub fn ask_for_completion(&self, node: u32) -> u32 {
        let mut inner = self.inner.lock();
        inner.asks.push(Ask::Order(node));
        inner.asks.len() as u32 - 1
    }

    /// Says that a task outside of the graph brings records or answers.
    pub fn fed_by_task(&self) {
        self.inner.lock().fed_by_tasks = true;
    }

    /// Remembers something that is wrong, to be reported with everything else.
    pub fn error(
        &self,
        node: Option<u32>,
        place: Option<Place>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.inner.lock().errors.push(BuildError { node, place, what: what.into(), advice: advice.into() });
    }

    /// What is wrong with a run without this handler.
    pub(crate) fn check_without(&self, name: &str) -> Option<BuildError> {
        let inner = self.inner.lock();
        let handlers = inner.nodes.iter().filter(|def| def.spec.role == Role::Handler);
        let names: Vec<&str> = handlers.map(|def| def.name.as_str()).collect();
        let error = || BuildError {
            node: None,
            place: None,
            what: format!("there is no handler `{name}` to go without"),
            advice: match names.as_slice() {
                [] => "this workflow has no handler".to_owned(),
                names => format!("its handlers are `{}`", names.join("`, `")),
            },
        };
        (!names.contains(&name)).then(error)
    }

    /// Everything that is wrong with the graph.
    pub fn check(&self) -> Vec<BuildError> {
        let inner = self.inner.lock();
        let mut errors = inner.errors.clone();
        for error in errors.iter_mut().filter(|error| error.node.is_none()) {
            // Found before the node was added: it is the one that was written at the same place.
            let here = |def: &Def| error.place == Some(def.spec.place);
            error.node = inner.nodes.iter().position(here).map(|node| node as u32);
        }
        let mut report = |node: u32, what: String, advice: &str| {
            let place = Some(inner.nodes[node as usize].spec.place);
            errors.push(BuildError { node: Some(node), place, what, advice: advice.to_owned() });
        };
        let mut seen: HashMap<&str, u32> = HashMap::new();
        for (id, def) in inner.nodes.iter().enumerate() {
            let id = id as u32;
            if let Some(&first) = seen.get(def.name.as_str()) {
                let place = inner.nodes[first as usize].spec.place;
                report(
                    id,
                    format!("the name `{}` is used twice (first at {})", def.name, place.short()),
                    "give each operator a name of its own",
                );
            }
            seen.entry(&def.name).or_insert(id);
            if def.outputs.iter().any(|edges| edges() == 0) {
                report(
                    id,
                    format!("what `{}` puts out goes nowhere", def.name),
                    "lead it to a sink such as `.collect()` or `.for_each(…)`, or end it with `.ignore()`",
                );
            }
        }
        for feedback in inner.feedbacks.iter().filter(|f| !f.closed) {
            report(
                feedback.node,
                format!("the feedback `{}` is open: nothing sends records back to it", feedback.name),
                feedback.advice,
            );
        }
        let components = inner.components();
        for edge in inner.edges.iter().map(|edge| edge.info()).filter(|edge| edge.back) {
            let in_one = |members: &Vec<u32>| members.contains(&edge.from) && members.contains(&edge.to);
            if !components.iter().any(in_one) {
                let [from, to] = [edge.from, edge.to].map(|node| &inner.nodes[node as usize].name);
                report(
                    edge.from,
                    format!("`{from}` sends back to `{to}`, but nothing that passes there comes to it"),
                    "judge a stream that is made of what passes there",
                );
            }
        }
        let orders = inner.asks.iter().filter(|ask| matches!(ask, Ask::Order(_))).map(Ask::node);
        for (node, loop_) in orders.filter_map(|node| Some((node, inner.loop_around(node)?))) {
            report(
                node,
                format!("`{}` is inside the loop of {loop_}", inner.nodes[node as usize].name),
                "what comes round again has no place in an order: put it behind the loop",
            );
        }
        errors.extend(inner.check_desks());
        errors.extend(inner.check_times());
        if !inner.nodes.iter().any(|def| def.spec.role == Role::Source) {
            errors.push(BuildError {
                node: None,
                place: None,
                what: "the workflow has no source".to_owned(),
                advice: "begin it with `flow.source(name, records)`".to_owned(),
            });
        }
        errors
    }

    /// The node with this name, and where it was written.
    pub(crate) fn find(&self, name: &str) -> Option<(u32, Place)> {
        let inner = self.inner.lock();
        let at = inner.nodes.iter().position(|def| def.name == name)?;
        Some((at as u32, inner.nodes[at].spec.place))
    }

    /// The models to be served.
    pub(crate) fn models(&self) -> Vec<ServedModel> {
        self.inner.lock().models.clone()
    }

    /// The graph for the page.
    pub fn view(&self, errors: &[BuildError]) -> GraphView {
        let inner = self.inner.lock();
        let mut notes = inner.notes_on_times();
        let nodes = (0..).zip(&inner.nodes).map(|(id, def)| NodeView {
            id,
            name: def.name.clone(),
            kind: def.spec.kind.to_owned(),
            role: def.spec.role,
            location: def.spec.place.short(),
            notes: {
                let on_times = notes.extract_if(.., |(node, _)| *node == id).map(|(_, note)| note.to_owned());
                def.spec.notes.iter().cloned().chain(on_times).collect()
            },
        });
        GraphView {
            workflow: self.name.to_string(),
            version: 1,
            nodes: nodes.collect(),
            edges: inner.edges.iter().map(|edge| edge.view()).collect(),
            errors: errors.iter().map(ProblemView::from).collect(),
        }
    }

    /// Finds the loops, tells the edges, and builds every node.
    pub(crate) fn build(&self, options: &RunOptions, clock: &Clock, serving: &Serving) -> Built {
        let stores = self.stores(options.store.as_ref());
        let mut inner = self.inner.lock();
        let loops = inner.find_loops(options.permits, options.rules);
        let regions = inner.find_regions(&loops);
        let edges = inner.edges.clone();
        let arrivals = inner.arrivals();
        for edge in &edges {
            edge.set_capacity(options.edge_capacity);
            let from = regions[edge.info().from as usize].clone();
            let mut to = regions[edge.info().to as usize].clone();
            let asks = arrivals.iter().filter(|(number, _)| *number == edge.info().id).map(|(_, ask)| *ask);
            // What is on this edge still counts for an input to which it leads: until it is taken in, and then no more,
            // unless it can come round again.
            for ask in asks.filter(|ask| !to.targets.contains(ask)).collect::<Vec<_>>() {
                to.targets.push(ask);
                edge.put_arrival(ask);
            }
            to.targets.sort_unstable();
            if from != to {
                edge.put_across(Crossing::new(from, to));
            }
        }
        let linear: Vec<bool> = loops.iter().map(|l| inner.is_linear(l, options.rules)).collect();
        let timed: Vec<bool> = inner.asks.iter().map(|ask| inner.is_timed(ask)).collect();
        let mut nodes = Vec::new();
        for (id, def) in inner.nodes.iter_mut().enumerate() {
            let id = id as u32;
            let core = Arc::new(NodeCore {
                id,
                name: def.name.as_str().into(),
                is_off: def.spec.role == Role::Handler && options.without.contains(&def.name),
                waker: Arc::clone(&def.waker),
                stats: Default::default(),
                meters: Arc::clone(&def.meters),
                regions: regions[id as usize].clone(),
                attention: Arc::clone(&def.attention),
                notices: Default::default(),
            });
            let inside = loops.iter().find_map(|l| l.place_of(id).map(|place| (Arc::clone(l), place)));
            if let Some((loop_, member)) = &inside {
                def.attention.put_inside(Arc::clone(loop_), *member);
            }
            let start = Start {
                core: Arc::clone(&core),
                clock: clock.clone(),
                serving,
                inside,
                schedule: options.schedule,
                linear: core.regions.loop_.is_some_and(|number| linear[number as usize]),
                timed: &timed,
                stores: &stores,
            };
            if let Some(build) = def.build.take() {
                nodes.push((core, def.spec.role, build(start)));
            }
        }
        let sources = nodes.iter().filter(|(_, role, _)| matches!(role, Role::Source | Role::Desk));
        let sources =
            sources.map(|(core, _, _)| (core.id, Arc::clone(&core.waker), core.regions.targets.clone()));
        let targets = inner.asks.iter().map(|ask| Arc::clone(&inner.nodes[ask.node() as usize].attention));
        let board = Board::new(targets.collect(), sources.collect::<Vec<_>>(), options.open_epochs);
        for (desk, _) in &inner.desks {
            // An answer may come any time, and nobody waits for it.
            board.raise_watermark(*desk, i64::MAX);
        }
        let waits_for_outside = !inner.models.is_empty() || inner.fed_by_tasks;
        let alone: Vec<bool> = inner.nodes.iter().map(|def| def.alone || !options.fused).collect();
        let teams = team::teams(nodes.len(), &inner.ends(), &alone);
        Built { nodes, edges, loops, teams, board, waits_for_outside }
    }
}

/// A graph with its nodes built.
pub(crate) struct Built {
    pub nodes: Vec<(Arc<NodeCore>, Role, Box<dyn AnyNode>)>,
    pub edges: Vec<Arc<dyn AnyEdge>>,
    pub loops: Vec<Arc<Loop>>,
    /// Which nodes one actor steps.
    pub teams: Vec<Vec<u32>>,
    /// Who asks for completion.
    pub board: Board,
    /// Whether something outside of the graph may wake a node.
    pub waits_for_outside: bool,
}

impl From<&BuildError> for ProblemView {
    fn from(error: &BuildError) -> Self {
        ProblemView {
            node: error.node,
            location: error.place.map(Place::short).unwrap_or_default(),
            what: error.what.clone(),
            advice: error.advice.clone(),
        }
    }
}
