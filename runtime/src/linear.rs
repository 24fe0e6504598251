//! Linear loops: where a record inside is always alone, going back needs no origin.
//!
//! An origin is there for what else was made of a record: to withdraw it when the record is sent back, and to tell who waits for it
//! that it is final. In a loop without anything that makes several of one, or one of several, there is nothing else: a record that
//! is sent back is the next version, and one that has left the loop is final. Only its rounds are counted. Whether a loop is such
//! is decided once, from the graph.

/// How many records an operator makes of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Makes {
    /// Any number, or one of several; or it keeps records until others come.
    #[default]
    Many,
    /// At most one, which goes one way only and is the record itself.
    One,
    /// At most one that goes back; any number of those that go on.
    OneThatReturns,
}

/// An edge, as far as this matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub from: u32,
    pub to: u32,
    pub back: bool,
    /// The way out that it belongs to.
    pub label: &'static str,
}

/// Whether the loop of these members (ascending) is linear. `points` are the places in the graph from which records may be
/// revised.
pub(crate) fn is_linear(members: &[u32], ways: &[Way], makes: &[Makes], points: &[u32]) -> bool {
    let is_in = |node: u32| members.binary_search(&node).is_ok();
    let Some(point) = only_point(members, points) else { return false };
    let comes_in_there = ways.iter().all(|way| is_in(way.from) || !is_in(way.to) || way.to == point);
    let all_single = members.iter().all(|&node| match makes[node as usize] {
        Makes::Many => false,
        Makes::One => true,
        Makes::OneThatReturns => {
            ways.iter().filter(|way| way.from == node && !way.back).all(|way| !is_in(way.to))
        }
    });
    let forks = |way: &Way| {
        let beside = |other: &&Way| other.from == way.from && other.label == way.label;
        is_in(way.from) && is_in(way.to) && ways.iter().filter(beside).count() > 1
    };
    comes_in_there && all_single && !ways.iter().any(forks)
}

/// The one point of a loop that has no other.
pub(crate) fn only_point(members: &[u32], points: &[u32]) -> Option<u32> {
    let mut inside = points.iter().filter(|point| members.binary_search(point).is_ok());
    match (inside.next(), inside.next()) {
        (Some(point), None) => Some(*point),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: u32 = 1;
    const HANDLER: u32 = 3;

    /// 0 source → 1 feedback → 2 step → 3 handler → 4 sink, and back; with these edges besides.
    fn loop_with(more: &[(u32, u32)], step: Makes) -> bool {
        let mut ways: Vec<Way> = [(0, 1), (1, 2), (2, 3), (3, 4)]
            .iter()
            .chain(more)
            .map(|&(from, to)| Way { from, to, back: false, label: "" })
            .collect();
        ways.push(Way { from: HANDLER, to: POINT, back: true, label: "retry" });
        let mut makes = [Makes::Many; 6];
        makes[POINT as usize] = Makes::One;
        makes[2] = step;
        makes[HANDLER as usize] = Makes::OneThatReturns;
        is_linear(&[1, 2, 3], &ways, &makes, &[POINT])
    }

    #[test]
    fn a_loop_is_linear_where_a_record_is_alone() {
        assert!(loop_with(&[], Makes::One));
        assert!(loop_with(&[(3, 5)], Makes::One), "what has left may go several ways");
        assert!(!loop_with(&[], Makes::Many), "a step that makes several");
        assert!(!loop_with(&[(2, 5)], Makes::One), "a copy that goes aside");
        assert!(!loop_with(&[(0, 2)], Makes::One), "a second way in");
        assert!(!loop_with(&[(3, 2)], Makes::One), "a handler that may split what stays inside");
    }
}
