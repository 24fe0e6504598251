//! The oracle: what a case must come to, whoever is quicker.
//!
//! It evaluates the graph with its back edges cut, under a table that gives each origin its version, value and rounds, and
//! what was added beside it. While somebody says that something is to be revised, it puts the next version into the table and
//! evaluates again. Where one such verdict withdraws the record of another it goes both ways: every outcome is allowed.

use std::collections::BTreeSet;

use crate::{
    build::{Sequential, Step},
    case::Case,
    evaluate::{Ends, evaluate},
    table::{Asked, Table, What},
};

/// Every outcome that is allowed; nothing if there are too many, or they take too long.
pub fn outcomes(model: &Sequential, case: &Case, limit: usize) -> Option<BTreeSet<Ends>> {
    let mut allowed = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![Table::default()];
    let mut steps = 0;
    while let Some(table) = open.pop() {
        if !seen.insert(table.clone()) {
            continue;
        }
        let (ends, asked, took) = evaluate(model, &table, case, limit)?;
        steps += took;
        if steps > limit || seen.len() > 3000 {
            return None;
        }
        if asked.is_empty() {
            allowed.insert(ends);
            continue;
        }
        // Verdicts of which none withdraws another's record are obeyed together, unless a join brings together what they make.
        let joins =
            model.steps.iter().any(|step| matches!(step, Step::Join | Step::Interval(..) | Step::Group(_)));
        let meet = |a: &Asked, b: &Asked| joins || !a.roots.is_disjoint(&b.roots);
        let touches = |a: &Asked, b: &Asked| !std::ptr::eq(a, b) && meet(a, b) && a.withdraws(b);
        let touched = |a: &&Asked| joins || asked.iter().any(|b| touches(a, b) || touches(b, a));
        if asked.len() == 1 || !asked.iter().any(|a| touched(&a)) {
            let mut table = table;
            asked.iter().for_each(|one| table.obey(one));
            open.push(table);
            continue;
        }
        // Those of one root are tried; the others' turn comes.
        let first = asked.iter().find(touched)?;
        let these: Vec<_> = asked.iter().filter(|b| meet(first, b)).collect();
        if !these.iter().any(|one| matches!(one.what, What::Append(_))) {
            open.extend(these.iter().map(|one| table.and(&[one])));
            continue;
        }
        // What is added withdraws nobody at once: handlers that are quick enough are all obeyed.
        if these.len() > 6 {
            return None;
        }
        for chosen in 1..1_u32 << these.len() {
            let some: Vec<_> = (0..these.len()).filter(|i| chosen >> i & 1 == 1).map(|i| these[i]).collect();
            let clash = |a: &Asked, b: &Asked| !std::ptr::eq(a, b) && a.revises(b);
            if !some.iter().any(|a| some.iter().any(|b| clash(a, b))) {
                open.push(table.and(&some));
            }
        }
    }
    Some(allowed)
}
