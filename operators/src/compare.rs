//! What two runs gave, cell by cell.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;
use serde_json::Value;

/// Where the results of two runs differ: of the same workflow without a handler, with another parameter, with another model.
///
/// Results are told apart by a key of the author's; of several with one key the first is compared with the first, and so on. A cell is
/// a field, or an element of a list, that is not made of others, as JSON has it: `items[2].price`. It is `Serialize`.
///
/// ```
/// use eddyline::Comparison;
///
/// #[derive(serde::Serialize)]
/// struct Receipt { id: u32, prices: Vec<f64>, total: f64 }
///
/// let before = [Receipt { id: 1, prices: vec![1.5, 2.0], total: 3.5 }, Receipt { id: 2, prices: vec![4.0], total: 4.0 }];
/// let after = [Receipt { id: 1, prices: vec![1.5, 2.5], total: 4.0 }, Receipt { id: 3, prices: vec![], total: 0.0 }];
/// let comparison = Comparison::of(&before, &after, |receipt| receipt.id);
/// let text = "1 of 1 changed, in 2 cells; 1 only before: 2; 1 only after: 3\n1: prices[1] 2.0 → 2.5\n1: total 3.5 → 4.0\n";
/// assert_eq!(comparison.to_string(), text);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Results that are there in both.
    pub compared: usize,
    /// The cells that differ, in the order of their results' keys.
    pub changed: Vec<Cell>,
    /// The keys of results that only the first run gave.
    pub only_before: Vec<String>,
    /// The keys of results that only the second run gave.
    pub only_after: Vec<String>,
}

/// A cell that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The key of its result.
    pub key: String,
    /// Where in it: `items[2].price`; empty where the result is one value.
    pub path: String,
    /// What was there; nothing where the cell was not.
    pub before: Option<Value>,
    /// What is there; nothing where the cell is not.
    pub after: Option<Value>,
}

impl Comparison {
    /// Compares what two runs gave.
    pub fn of<T: Serialize, K: Ord + fmt::Display>(before: &[T], after: &[T], key: impl Fn(&T) -> K) -> Self {
        let keyed = |results: &[T]| {
            let mut all: BTreeMap<(K, usize), Value> = BTreeMap::new();
            let mut counts: BTreeMap<K, usize> = BTreeMap::new();
            for result in results {
                let count = counts.entry(key(result)).or_default();
                let value =
                    serde_json::to_value(result).unwrap_or_else(|error| Value::String(error.to_string()));
                all.insert((key(result), *count), value);
                *count += 1;
            }
            all
        };
        let (before, mut after) = (keyed(before), keyed(after));
        let mut comparison =
            Self { compared: 0, changed: Vec::new(), only_before: Vec::new(), only_after: Vec::new() };
        for (key, was) in before {
            let name = key.0.to_string();
            match after.remove(&key) {
                None => comparison.only_before.push(name),
                Some(is) => {
                    comparison.compared += 1;
                    cells(&name, &mut String::new(), Some(&was), Some(&is), &mut comparison.changed);
                }
            }
        }
        comparison.only_after = after.into_keys().map(|(key, _)| key.to_string()).collect();
        comparison
    }

    /// Whether both gave the same.
    pub fn is_same(&self) -> bool {
        self.changed.is_empty() && self.only_before.is_empty() && self.only_after.is_empty()
    }
}

/// The cells in which two values differ.
fn cells(key: &str, path: &mut String, before: Option<&Value>, after: Option<&Value>, into: &mut Vec<Cell>) {
    if before == after {
        return;
    }
    let whole = path.len();
    let mut within = |part: String, before: Option<&Value>, after: Option<&Value>, into: &mut Vec<Cell>| {
        path.push_str(&part);
        cells(key, path, before, after, into);
        path.truncate(whole);
    };
    // A value that is not there is compared as an empty one of the other's kind.
    let (objects, lists) = (
        [before, after].map(|value| value.and_then(Value::as_object)),
        [before, after].map(|value| value.and_then(Value::as_array)),
    );
    let alike = |found: [bool; 2]| (found[0] || before.is_none()) && (found[1] || after.is_none());
    if alike(objects.map(|of| of.is_some_and(|of| !of.is_empty()))) {
        let names: BTreeSet<&String> = objects.iter().flatten().flat_map(|of| of.keys()).collect();
        let dot = if whole == 0 { "" } else { "." };
        for name in names {
            let [was, is] = objects.map(|of| of.and_then(|of| of.get(name)));
            within(format!("{dot}{name}"), was, is, into);
        }
    } else if alike(lists.map(|of| of.is_some_and(|of| !of.is_empty()))) {
        let len = lists.iter().flatten().map(|of| of.len()).max().unwrap_or(0);
        for nth in 0..len {
            let [was, is] = lists.map(|of| of.and_then(|of| of.get(nth)));
            within(format!("[{nth}]"), was, is, into);
        }
    } else {
        let cell =
            Cell { key: key.to_owned(), path: path.clone(), before: before.cloned(), after: after.cloned() };
        into.push(cell);
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, path, before, after } = self;
        let space = if path.is_empty() { "" } else { " " };
        let said =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        write!(f, "{key}: {path}{space}{} → {}", said(before), said(after))
    }
}

/// The first line sums up; the others are the cells, up to 100 of them.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 100;
        let Self { compared, changed, only_before, only_after } = self;
        let results = changed.chunk_by(|a, b| a.key == b.key).count();
        let cells = if changed.len() == 1 { "cell" } else { "cells" };
        write!(f, "{results} of {compared} changed, in {} {cells}", changed.len())?;
        for (keys, when) in [(only_before, "before"), (only_after, "after")] {
            let more = keys.len().saturating_sub(8);
            let few = keys[..keys.len() - more].join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            if !keys.is_empty() {
                write!(f, "; {} only {when}: {few}{more}", keys.len())?;
            }
        }
        writeln!(f)?;
        changed.iter().take(MOST).try_for_each(|cell| writeln!(f, "{cell}"))?;
        match changed.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => writeln!(f, "and {more} cells more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i32).prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from);
            let object = prop::collection::btree_map("[ab]", inner, 0..3);
            prop_oneof![list, object.prop_map(|of| Value::Object(of.into_iter().collect()))]
        })
    }

    /// All cells of a value, by their paths.
    fn flat(value: &Value) -> BTreeMap<String, Value> {
        let mut cells_of = Vec::new();
        cells("", &mut String::new(), None, Some(value), &mut cells_of);
        cells_of.into_iter().map(|cell| (cell.path, cell.after.unwrap())).collect()
    }

    proptest! {
        #[test]
        fn what_it_names_is_all_that_differs(before in values(), after in values()) {
            let comparison = Comparison::of(std::slice::from_ref(&before), std::slice::from_ref(&after), |_| 0);
            prop_assert_eq!(comparison.is_same(), before == after);
            let (was, is) = (flat(&before), flat(&after));
            // Cells that are there in both and are not named are the same; those that are named are not.
            for path in was.keys().filter(|path| is.contains_key(*path)) {
                let named = comparison.changed.iter().any(|cell| cell.path == *path);
                prop_assert_eq!(named, was[path] != is[path], "{}", path);
            }
            for cell in &comparison.changed {
                prop_assert_ne!(&cell.before, &cell.after);
            }
        }
    }

    #[test]
    fn results_of_one_key_are_compared_in_order_and_cells_that_come_or_go_are_named() {
        let before =
            [json!({"id": 1, "x": 1}), json!({"id": 1, "x": 2}), json!({"id": 2, "list": [1, {"y": 2}]})];
        let after = [
            json!({"id": 1, "x": 1}),
            json!({"id": 1, "x": 3}),
            json!({"id": 2, "list": [1]}),
            json!({"id": 1, "x": 9}),
        ];
        let comparison = Comparison::of(&before, &after, |value| value["id"].to_string());
        assert_eq!(
            comparison.to_string(),
            "2 of 3 changed, in 2 cells; 1 only after: 1\n1: x 2 → 3\n2: list[1].y 2 → nothing\n"
        );
    }
}
