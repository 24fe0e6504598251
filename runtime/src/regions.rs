//! Where in the graph a record still counts: in a loop for the origins that may be revised there, between a scatter and its
//! gather for its family.
//!
//! Whether a record counts is decided by where it is, not by what it carries: it stops counting on the edge from which there
//! is no way back. Regions are computed once, when the graph is whole.

use crate::{record::Trail, scope::Membership};

/// The regions that a node lies in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// Its loop, by number.
    pub loop_: Option<u32>,
    /// The scopes whose gather can be reached from it without passing their scatter, ascending.
    pub scopes: Vec<u32>,
    /// The operators that ask for completion and can be reached from it, ascending.
    pub targets: Vec<u32>,
}

impl Regions {
    /// The family that counts a record here: that of the innermost scope which it has not left.
    pub fn family_of<'t>(&self, trail: &'t Trail) -> Option<&'t Membership> {
        trail.scopes.iter().rev().find(|scope| self.scopes.contains(&scope.family.scope()))
    }
}

/// An edge on which records leave a region.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// Of the producer.
    pub from: Regions,
    /// Of the consumer.
    pub to: Regions,
    /// Whether the loop is left.
    pub leaves_loop: bool,
    /// The operators that ask for completion and can be reached no more.
    pub left: Vec<u32>,
}

impl Crossing {
    pub(crate) fn new(from: Regions, to: Regions) -> Self {
        let left = from.targets.iter().filter(|target| !to.targets.contains(target)).copied().collect();
        Self { leaves_loop: from.loop_ != to.loop_, left, from, to }
    }
}

/// Of `nodes` nodes, those from which one of `ends` can be reached, themselves among them.
pub(crate) fn leading_to(nodes: usize, edges: &[(u32, u32)], ends: &[u32]) -> Vec<bool> {
    let mut leading = vec![false; nodes];
    let mut next = ends.to_vec();
    while let Some(node) = next.pop() {
        if !std::mem::replace(&mut leading[node as usize], true) {
            next.extend(edges.iter().filter(|(_, to)| *to == node).map(|(from, _)| *from));
        }
    }
    leading
}

/// For each scatter and gather, whether each of `nodes` nodes is between them: can reach the gather without passing the scatter.
pub(crate) fn between(nodes: usize, edges: &[(u32, u32)], scatter: u32, gather: u32) -> Vec<bool> {
    let mut inside = vec![false; nodes];
    let mut next = vec![gather];
    inside[gather as usize] = true;
    while let Some(node) = next.pop() {
        for &(from, _) in edges.iter().filter(|(_, to)| *to == node) {
            if !std::mem::replace(&mut inside[from as usize], true) && from != scatter {
                next.push(from);
            }
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_reached_by_scattering_again_is_outside() {
        // 0 feedback → 1 scatter → 2 → 3 gather → 4 handler → 0; 2 → 5 aside; 2 → 0 back.
        let edges = [(0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (4, 0), (2, 5), (2, 0)];
        assert_eq!(between(6, &edges, 1, 3), [false, true, true, true, false, false]);
    }
}
