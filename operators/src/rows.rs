//! The shape that most operators share: the author's code runs on each value of a batch, and a panic is a fault of one record.

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    guard::{self, Panicked},
    in_place,
    operator::Cx,
    record::Tag,
};

/// Runs `f` on every value by value, keeping rows where they are. Rows on which it panicked end as faults.
pub(crate) fn map_rows<T, U>(batch: Batch<T>, cx: &mut Cx<'_>, mut f: impl FnMut(T) -> U) -> Batch<U> {
    let (values, mut tags) = batch.into_parts();
    let (mapped, panics) = in_place::map_each(values, &mut f);
    if !panics.is_empty() {
        let rows: Vec<usize> = panics.iter().map(|(row, _)| *row).collect();
        for (tag, (_, panicked)) in tags.remove(&rows).iter().zip(&panics) {
            fault_of_panic::<()>(cx, tag, panicked, None);
        }
    }
    Batch::from_parts(mapped, tags)
}

/// Runs `f` on every value by reference; rows on which it panicked end as faults that keep their value.
///
/// Gives the rows with what `f` said of each.
pub(crate) fn look_at_rows<T: Data, R>(
    batch: Batch<T>,
    cx: &mut Cx<'_>,
    mut f: impl FnMut(&T, &Tag) -> R,
) -> Vec<(T, Tag, R)> {
    let mut results = Vec::with_capacity(batch.len());
    for (value, tag) in batch.into_rows() {
        match guard::call(|| f(&value, &tag)) {
            Ok(result) => results.push((value, tag, result)),
            Err(panicked) => fault_of_panic(cx, &tag, &panicked, Some(&value)),
        }
    }
    results
}

/// Keeps the rows of which `f` says `true`; the others end with this fate. Rows on which it panicked end as faults.
pub(crate) fn keep_rows<T: Data>(
    batch: Batch<T>,
    fate: Fate,
    cx: &mut Cx<'_>,
    mut f: impl FnMut(&T) -> bool,
) -> Batch<T> {
    if !batch.is_plain() {
        let (kept, gone) = divide_rows(batch, cx, f);
        gone.into_rows().for_each(|(_, tag)| cx.end(&tag, fate));
        return kept;
    }
    let before = batch.len();
    let (mut values, mut tags) = batch.into_parts();
    let (flags, panics) = in_place::retain_each(&mut values, &mut f);
    let gone = |(row, stays): (usize, &bool)| {
        let panicked = || panics.binary_search_by_key(&row, |(at, ..)| *at).is_ok();
        (!stays && !panicked()).then(|| tags.ids().get(row))
    };
    let ids = flags.iter().enumerate().filter_map(gone);
    cx.end_plain(before - values.len() - panics.len(), fate, ids);
    for (row, value, panicked) in &panics {
        fault_of_panic(cx, &tags.get(*row), panicked, Some(value));
    }
    tags.retain(&flags);
    Batch::from_parts(values, tags)
}

/// Divides the rows: those of which `f` says `true`, and the others. Rows on which it panicked end as faults.
pub(crate) fn divide_rows<T: Data>(
    batch: Batch<T>,
    cx: &mut Cx<'_>,
    mut f: impl FnMut(&T) -> bool,
) -> (Batch<T>, Batch<T>) {
    let (flags, panics) = ask(&batch, &mut f);
    divide(batch, flags, panics, cx)
}

/// What `f` says of each row, `false` where it panicked.
fn ask<T>(batch: &Batch<T>, f: &mut impl FnMut(&T) -> bool) -> (Vec<bool>, Vec<(usize, Panicked)>) {
    let mut flags = Vec::with_capacity(batch.len());
    let panics = guard::each(batch.values(), |value| flags.push(f(value)));
    for (row, _) in &panics {
        flags.insert(*row, false);
    }
    (flags, panics)
}

fn divide<T: Data>(
    batch: Batch<T>,
    flags: Vec<bool>,
    panics: Vec<(usize, Panicked)>,
    cx: &mut Cx<'_>,
) -> (Batch<T>, Batch<T>) {
    let (these, others) = batch.partition(&flags);
    if panics.is_empty() {
        return (these, others);
    }
    let mut rest = Batch::with_capacity(others.len());
    let mut panics = panics.into_iter().peekable();
    let rows = flags.iter().enumerate().filter(|(_, flag)| !**flag).map(|(row, _)| row);
    for (row, (value, tag)) in rows.zip(others.into_rows()) {
        match panics.next_if(|(at, _)| *at == row) {
            Some((_, panicked)) => fault_of_panic(cx, &tag, &panicked, Some(&value)),
            None => rest.push(value, tag),
        }
    }
    (these, rest)
}

/// The key of a row, as the author's code gives it. None if it panicked, which is a fault that keeps the value.
pub(crate) fn key_of<T: Data, K>(
    value: &T,
    tag: &Tag,
    key: &mut impl FnMut(&T) -> K,
    cx: &mut Cx<'_>,
) -> Option<K> {
    match guard::call(|| key(value)) {
        Ok(key) => Some(key),
        Err(panicked) => {
            fault_of_panic(cx, tag, &panicked, Some(value));
            None
        }
    }
}

/// The keys of a batch's rows. Rows on which the author's code panicked are left out and end as faults that keep the value.
pub(crate) fn keys_of<T: Data, K>(
    batch: Batch<T>,
    cx: &mut Cx<'_>,
    key: &mut impl FnMut(&T) -> K,
) -> (Batch<T>, Vec<K>) {
    let mut keys = Vec::with_capacity(batch.len());
    let panics = guard::each(batch.values(), |value| keys.push(key(value)));
    if panics.is_empty() {
        return (batch, keys);
    }
    let mut flags = vec![true; batch.len()];
    panics.iter().for_each(|(row, _)| flags[*row] = false);
    (divide(batch, flags, panics, cx).0, keys)
}

/// Ends a record on which the author's code panicked.
pub(crate) fn fault_of_panic<T: serde::Serialize>(
    cx: &mut Cx<'_>,
    tag: &Tag,
    panicked: &Panicked,
    value: Option<&T>,
) {
    cx.fault(tag, FaultKind::Panic, &panicked.0, value);
}
