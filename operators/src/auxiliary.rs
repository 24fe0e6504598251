//! The auxiliary graph: on which edges something may still be taken back, and where that is waited for.
//!
//! After the auxiliary graph of POPPER (ICDE 2025, §3), which labels edges with what may be added and deleted on them and
//! freezes those where deletions have to be over first. Here a label is a promise to whoever reads the graph; the runtime keeps
//! it record by record.

use std::fmt;

use eddyline_runtime::view::{GraphView, Role};
use serde::Serialize;

use crate::workflow::Workflow;

/// What may happen on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// Records are added, and stay.
    Added,
    /// Records are added, and may be taken back.
    AddedAndTakenBack,
}

/// An edge of the auxiliary graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuxiliaryEdge {
    /// The operator before it.
    pub from: String,
    /// The operator behind it.
    pub to: String,
    /// What may happen on it.
    pub delta: Delta,
    /// Whether the operator behind it takes a record in only when it cannot be taken back any more.
    pub waits: bool,
    /// Whether it leads back.
    pub back: bool,
}

/// The auxiliary graph of a workflow; prints as text. See [`Workflow::auxiliary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Auxiliary {
    /// The workflow's name.
    pub workflow: String,
    /// Every edge, in the order in which they were made.
    pub edges: Vec<AuxiliaryEdge>,
}

impl Workflow {
    /// On which edges records may still be taken back, and which operators wait until they cannot be.
    ///
    /// Behind a place from which records may be revised everything can be taken back, until an operator waits for what is
    /// final: a sink that appends, `scan`, `batch`, `group_by`, `ordered`. Inside a loop these wait only for what was made
    /// elsewhere.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// let flow = Workflow::new("doubts");
    /// let (words, again) = flow.source("words", ["tea".to_owned()]).feedback("again", Rounds::at_most(1));
    /// let shown = words.clone().collect_changes().named("shown");
    /// let kept = words.handle_or_retry("judge", again, |_| Verdict::Pass).collect().named("kept");
    /// assert_eq!(
    ///     flow.auxiliary().to_string(),
    ///     "doubts\n  \
    ///        words ──+──▶ again\n  \
    ///        again ──±──▶ shown\n  \
    ///        again ──±──▶ judge\n  \
    ///        judge ──±──▶ again (back)\n  \
    ///        judge ──±──┤ kept: waits until final\n"
    /// );
    /// ```
    pub fn auxiliary(&self) -> Auxiliary {
        Auxiliary::of(&self.graph.view(&[]))
    }
}

impl Auxiliary {
    fn of(graph: &GraphView) -> Self {
        let inside: Vec<bool> = graph.nodes.iter().map(|node| leads_to_itself(graph, node.id)).collect();
        let waits =
            |node: u32| !inside[node as usize] && waits_for_finality(&graph.nodes[node as usize].kind);
        // Which operators put out what may be taken back: from the points on, until one waits.
        let mut open: Vec<bool> = graph.nodes.iter().map(|node| node.role == Role::Feedback).collect();
        while let Some(edge) = graph
            .edges
            .iter()
            .find(|edge| open[edge.from as usize] && !open[edge.to as usize] && !waits(edge.to))
        {
            open[edge.to as usize] = true;
        }
        let name = |node: u32| graph.nodes[node as usize].name.clone();
        let edges = graph.edges.iter().map(|edge| {
            let revisable = open[edge.from as usize];
            AuxiliaryEdge {
                from: name(edge.from),
                to: name(edge.to),
                delta: if revisable { Delta::AddedAndTakenBack } else { Delta::Added },
                waits: revisable && waits(edge.to),
                back: edge.back,
            }
        });
        Self { workflow: graph.workflow.clone(), edges: edges.collect() }
    }
}

/// Whether an operator of this kind takes in final records only. Each says so where it is built, with `Finally` or `UntilFinal`.
fn waits_for_finality(kind: &str) -> bool {
    matches!(
        kind,
        "collect"
            | "for_each"
            | "write_csv"
            | "write_json_lines"
            | "ignore"
            | "scan"
            | "batch"
            | "group_by"
            | "ordered"
    )
}

fn leads_to_itself(graph: &GraphView, node: u32) -> bool {
    let mut seen = vec![false; graph.nodes.len()];
    let mut next = vec![node];
    while let Some(at) = next.pop() {
        for edge in graph.edges.iter().filter(|edge| edge.from == at) {
            if !std::mem::replace(&mut seen[edge.to as usize], true) {
                next.push(edge.to);
            }
        }
    }
    seen[node as usize]
}

impl fmt::Display for Auxiliary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.workflow)?;
        for edge in &self.edges {
            let delta = if edge.delta == Delta::Added { '+' } else { '±' };
            let arrow = if edge.waits { '┤' } else { '▶' };
            write!(f, "  {} ──{delta}──{arrow} {}", edge.from, edge.to)?;
            if edge.waits {
                write!(f, ": waits until final")?;
            }
            if edge.back {
                write!(f, " (back)")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
