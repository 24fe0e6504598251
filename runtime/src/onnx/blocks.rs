//! Of many places to cut a model, those that make blocks of about equal time on every kind of device and send few bytes: a
//! shortest path over the cuts, found exactly.

/// Most places that are compared; of more, the cheapest ones are taken, spread over the model.
pub const MOST_CUTS: usize = 1_000;

/// Cuts a model into `count` blocks. `times`: per kind of device the time of every layer, in any unit. `cuts`: the places, as
/// the number of layers before, rising, with the bytes that cross there. Gives `count − 1` of them; `None` where there are fewer.
///
/// First the largest block (relative to an equal share, on the kind where it is worst) is made as small as can be; then, where no
/// block becomes more than `slack` larger than that (0.1: a tenth), the cuts with the least bytes in all.
///
/// ```
/// use eddyline_runtime::onnx::blocks::blocks;
///
/// let time = vec![2.0, 2.0, 3.9, 0.1, 2.0, 2.0];
/// let cuts = [(1, 10), (2, 20), (3, 900), (4, 10), (5, 10)];
/// assert_eq!(blocks(&[time.clone()], &cuts, 2, 0.0), Some(vec![3]));
/// assert_eq!(blocks(&[time], &cuts, 2, 0.1), Some(vec![4]));
/// ```
pub fn blocks(times: &[Vec<f64>], cuts: &[(usize, u64)], count: usize, slack: f64) -> Option<Vec<usize>> {
    let layers = times.iter().map(Vec::len).max()?;
    if count <= 1 {
        return (count == 1).then(Vec::new);
    }
    let cuts: Vec<(usize, u64)> = cuts.iter().copied().filter(|(at, _)| (1..layers).contains(at)).collect();
    if cuts.len() + 1 < count {
        return None;
    }
    let sums: Vec<Vec<f64>> = times.iter().map(|times| shares(times, layers, count)).collect();
    let cuts = thinned(cuts, &sums, count);
    let mut places = vec![(0, 0)];
    places.extend(cuts);
    places.push((layers, 0));
    let load = |from: usize, to: usize| {
        let (from, to) = (places[from].0, places[to].0);
        sums.iter().map(|sum| sum[to] - sum[from]).fold(0.0, f64::max)
    };
    let worst = path(places.len(), count, |from, to, so_far: f64| Some(so_far.max(load(from, to))))?.0;
    let most = worst * (1.0 + slack.max(0.0)) + 1e-9;
    // Of choices with the same bytes the more even one.
    let cheap = |from, to: usize, so_far: f64| {
        let load = load(from, to);
        (load <= most).then(|| so_far + places[to].1 as f64 + 1e-6 * load * load)
    };
    let (_, way) = path(places.len(), count, cheap)?;
    Some(way.into_iter().map(|place| places[place].0).collect())
}

/// Running sums, of which an equal share is 1.
fn shares(times: &[f64], layers: usize, count: usize) -> Vec<f64> {
    let mut sums = Vec::with_capacity(layers + 1);
    sums.push(0.0);
    let mut sum = 0.0;
    for layer in 0..layers {
        sum += times.get(layer).copied().filter(|time| *time > 0.0).unwrap_or(0.0);
        sums.push(sum);
    }
    let share = if sum > 0.0 { sum / count as f64 } else { 1.0 };
    sums.iter_mut().for_each(|sum| *sum /= share);
    sums
}

/// The cheapest cut of each of many equal parts of the time, on the first kind.
fn thinned(cuts: Vec<(usize, u64)>, sums: &[Vec<f64>], count: usize) -> Vec<(usize, u64)> {
    let Some(sum) = sums.first().filter(|_| cuts.len() > MOST_CUTS) else { return cuts };
    let part = |at: usize| (sum[at] / count as f64 * MOST_CUTS as f64) as usize;
    let mut kept: Vec<(usize, u64)> = Vec::with_capacity(MOST_CUTS);
    for cut in &cuts {
        match kept.last_mut() {
            Some(last) if part(last.0) == part(cut.0) => {
                if cut.1 < last.1 {
                    *last = *cut;
                }
            }
            _ => kept.push(*cut),
        }
    }
    if kept.len() + 1 < count { cuts } else { kept }
}

/// The best way from the first place to the last in `steps` steps: its value, and the places between.
fn path(
    places: usize,
    steps: usize,
    step: impl Fn(usize, usize, f64) -> Option<f64>,
) -> Option<(f64, Vec<usize>)> {
    let mut best = vec![None; places];
    best[0] = Some(0.0);
    let mut came = Vec::with_capacity(steps);
    for _ in 0..steps {
        let mut next: Vec<Option<f64>> = vec![None; places];
        let mut from_where = vec![0; places];
        for to in 1..places {
            for (from, so_far) in best.iter().enumerate().take(to) {
                let value = so_far.and_then(|so_far| step(from, to, so_far));
                if let Some(value) = value.filter(|value| next[to].is_none_or(|best| *value < best)) {
                    next[to] = Some(value);
                    from_where[to] = from;
                }
            }
        }
        best = next;
        came.push(from_where);
    }
    let value = best[places - 1]?;
    let mut way = Vec::with_capacity(steps - 1);
    let mut at = places - 1;
    for from_where in came.iter().rev() {
        at = from_where[at];
        way.push(at);
    }
    way.pop();
    way.reverse();
    Some((value, way))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way to choose `count` of these.
    fn choices(cuts: &[(usize, u64)], count: usize) -> Vec<Vec<(usize, u64)>> {
        match (count, cuts) {
            (0, _) => vec![vec![]],
            (_, []) => vec![],
            (_, [first, rest @ ..]) => {
                let with = choices(rest, count - 1).into_iter().map(|mut of| {
                    of.insert(0, *first);
                    of
                });
                with.chain(choices(rest, count)).collect()
            }
        }
    }

    fn worst(times: &[Vec<f64>], ends: &[usize], count: usize) -> f64 {
        let share = |times: &Vec<f64>| {
            let all: Vec<usize> = [0].into_iter().chain(ends.iter().copied()).chain([times.len()]).collect();
            let most =
                all.windows(2).map(|pair| times[pair[0]..pair[1]].iter().sum::<f64>()).fold(0.0, f64::max);
            most * count as f64 / times.iter().sum::<f64>()
        };
        times.iter().map(share).fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn no_other_choice_of_cuts_is_more_even_or_as_even_and_cheaper(
            layers in prop::collection::vec((1_u8..50, 1_u8..50, 0_u64..9, any::<bool>()), 4..11),
            count in 2_usize..5,
            slack in prop::sample::select(vec![0.0, 0.1, 0.5]),
        ) {
            let times = [layers.iter().map(|l| f64::from(l.0)).collect::<Vec<_>>(), layers.iter().map(|l| f64::from(l.1)).collect()];
            let cuts: Vec<(usize, u64)> =
                layers.iter().enumerate().filter(|(at, l)| *at > 0 && l.3).map(|(at, l)| (at, l.2)).collect();
            let all = choices(&cuts, count - 1);
            let found = blocks(&times, &cuts, count, slack);
            prop_assert_eq!(found.is_none(), all.is_empty());
            if let Some(found) = found {
                let at = |choice: &Vec<(usize, u64)>| choice.iter().map(|cut| cut.0).collect::<Vec<_>>();
                let bytes = |choice: &Vec<(usize, u64)>| choice.iter().map(|cut| cut.1).sum::<u64>();
                let even = all.iter().map(|choice| worst(&times, &at(choice), count)).fold(f64::MAX, f64::min);
                let least = all.iter().filter(|c| worst(&times, &at(c), count) <= even * (1.0 + slack) + 1e-9).map(bytes).min();
                let ours = all.iter().find(|choice| at(choice) == found).unwrap();
                prop_assert!(worst(&times, &found, count) <= even * (1.0 + slack) + 1e-6);
                prop_assert_eq!(Some(bytes(ours)), least);
            }
        }
    }

    #[test]
    fn of_very_many_cuts_the_cheapest_are_looked_at() {
        let times = vec![vec![1.0; 40_000]];
        let cuts: Vec<(usize, u64)> =
            (1..40_000).map(|at| (at, if at % 10 == 3 { 1 } else { 100 })).collect();
        let found = blocks(&times, &cuts, 4, 0.1).unwrap();
        assert!(
            found.iter().zip([10_000, 20_000, 30_000]).all(|(at, wanted)| at.abs_diff(wanted) < 1_500),
            "{found:?}"
        );
        assert!(found.iter().all(|at| at % 10 == 3), "{found:?}");
        assert_eq!(blocks(&times, &cuts, 1, 0.1), Some(vec![]));
        assert_eq!(blocks(&times, &[], 2, 0.1), None);
    }
}
