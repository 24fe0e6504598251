//! What shape a graph has once it is whole: its loops, what a record counts for where, and which loops are linear.

use std::sync::Arc;

use petgraph::{algo::tarjan_scc, graph::DiGraph};

use super::{Feedback, Inner};
use crate::{
    edge::EdgeInfo,
    linear::{self, Makes, Way},
    loops::Loop,
    regions::{self, Regions},
    rules::Rules,
};

impl Inner {
    /// The feedback points of the loop that a node is in.
    pub(crate) fn loop_around(&self, node: u32) -> Option<String> {
        let component = self.components().into_iter().find(|members| members.contains(&node))?;
        let inside = |f: &&Feedback| component.contains(&f.node);
        let names: Vec<String> =
            self.feedbacks.iter().filter(inside).map(|f| format!("`{}`", f.name)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The strongly connected components.
    pub(super) fn components(&self) -> Vec<Vec<u32>> {
        let mut graph = DiGraph::<(), ()>::with_capacity(self.nodes.len(), self.edges.len());
        let index: Vec<_> = self.nodes.iter().map(|_| graph.add_node(())).collect();
        for edge in &self.edges {
            graph.add_edge(index[edge.info().from as usize], index[edge.info().to as usize], ());
        }
        let members = |component: Vec<petgraph::graph::NodeIndex>| {
            let mut members: Vec<u32> = component.iter().map(|n| n.index() as u32).collect();
            members.sort_unstable();
            members
        };
        tarjan_scc(&graph).into_iter().map(members).collect()
    }

    pub(super) fn is_linear(&self, loop_: &Loop, rules: Rules) -> bool {
        let points: Vec<u32> = self.feedbacks.iter().map(|feedback| feedback.node).collect();
        if !rules.only_linear_loops_need_no_origins {
            let point = linear::only_point(loop_.members(), &points);
            return point.is_some_and(|point| self.nodes[point as usize].makes == Makes::One);
        }
        let ways = self.edges.iter().map(|edge| edge.info());
        let way = |edge: &EdgeInfo| Way { from: edge.from, to: edge.to, back: edge.back, label: edge.label };
        let ways: Vec<Way> = ways.map(way).collect();
        let makes: Vec<Makes> = self.nodes.iter().map(|def| def.makes).collect();
        linear::is_linear(loop_.members(), &ways, &makes, &points)
    }

    pub(super) fn find_regions(&self, loops: &[Arc<Loop>]) -> Vec<Regions> {
        let edges = self.ends();
        let mut regions = vec![Regions::default(); self.nodes.len()];
        for (node, regions) in regions.iter_mut().enumerate() {
            let loop_ = loops.iter().position(|l| l.place_of(node as u32).is_some());
            regions.loop_ = loop_.map(|number| number as u32);
        }
        for (scope, &(scatter, gather)) in self.scopes.iter().enumerate() {
            let inside = regions::between(self.nodes.len(), &edges, scatter, gather);
            for (regions, _) in regions.iter_mut().zip(inside).filter(|(_, inside)| *inside) {
                regions.scopes.push(scope as u32);
            }
        }
        for (number, ask) in (0..).zip(&self.asks) {
            let leading = self.leading_to(ask, &edges);
            for (regions, _) in regions.iter_mut().zip(leading).filter(|(_, leads)| *leads) {
                regions.targets.push(number);
            }
        }
        regions
    }

    pub(super) fn find_loops(&self, permits: usize, rules: Rules) -> Vec<Arc<Loop>> {
        let mut loops = Vec::new();
        for members in self.components() {
            let has = |node: u32| members.binary_search(&node).is_ok();
            let inner: Vec<_> =
                self.edges.iter().filter(|e| has(e.info().from) && has(e.info().to)).collect();
            if inner.is_empty() {
                continue;
            }
            let open_inputs = self.edges.iter().filter(|e| !has(e.info().from) && has(e.info().to)).count();
            let names = self.feedbacks.iter().filter(|f| has(f.node)).map(|f| f.name.clone()).collect();
            let with_wakers =
                members.iter().map(|&m| (m, Arc::clone(&self.nodes[m as usize].waker))).collect();
            let loop_ = Loop::new(permits, rules, with_wakers, names, open_inputs);
            for edge in inner {
                edge.put_inside(&loop_);
            }
            loops.push(loop_);
        }
        loops
    }
}
