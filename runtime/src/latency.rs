//! How long calls take: counts in buckets that grow with the time, so that a mean and high percentiles cost little to keep.

use std::time::Duration;

use serde::Serialize;

/// Buckets per doubling: a percentile is at most an eighth too high.
const PARTS: u32 = 8;
const BUCKETS: usize = ((64 - PARTS.trailing_zeros() + 1) * PARTS) as usize;

/// Counts how long calls took.
#[derive(Clone, Debug)]
pub struct Latency {
    counts: Box<[u32; BUCKETS]>,
    calls: u64,
    sum_ns: u64,
    longest_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), calls: 0, sum_ns: 0, longest_ns: 0 }
    }
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LatencyView {
    /// Calls. Where they are quick only some are timed, and each of those stands for some others.
    pub calls: u64,
    /// Their mean, ns.
    pub mean_ns: u64,
    /// Half of them took no longer, ns; at most an eighth too high, as the others below.
    pub median_ns: u64,
    /// 99 of 100 took no longer, ns.
    pub p99_ns: u64,
    /// The longest, ns.
    pub longest_ns: u64,
}

fn bucket(ns: u64) -> usize {
    if ns < u64::from(PARTS) {
        return ns as usize;
    }
    let doubling = ns.ilog2() - PARTS.trailing_zeros();
    (doubling * PARTS) as usize + (ns >> doubling) as usize
}

/// The longest time in a bucket.
fn longest_in(bucket: usize) -> u64 {
    let parts = PARTS as usize;
    if bucket < parts {
        return bucket as u64;
    }
    let doubling = bucket / parts - 1;
    let first = ((bucket % parts + parts) as u64) << doubling;
    first + ((1 << doubling) - 1)
}

impl Latency {
    /// Counts so many calls, of which one was timed.
    pub fn add(&mut self, took: Duration, calls: u32) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let count = &mut self.counts[bucket(ns)];
        *count = count.saturating_add(calls);
        self.calls += u64::from(calls);
        self.sum_ns = self.sum_ns.saturating_add(ns.saturating_mul(u64::from(calls)));
        self.longest_ns = self.longest_ns.max(ns);
    }

    /// What it has counted; nothing where there was no call.
    pub fn view(&self) -> Option<LatencyView> {
        let mean_ns = self.sum_ns.checked_div(self.calls)?;
        let at = |share: f64| {
            let rank = (self.calls as f64 * share).ceil() as u64;
            let mut seen = 0;
            let reached = |count: &u32| {
                seen += u64::from(*count);
                seen >= rank
            };
            self.counts.iter().position(reached).map_or(self.longest_ns, longest_in).min(self.longest_ns)
        };
        let (median_ns, p99_ns) = (at(0.5), at(0.99));
        Some(LatencyView { calls: self.calls, mean_ns, median_ns, p99_ns, longest_ns: self.longest_ns })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_in_the_bucket_that_says_so(ns in any::<u64>()) {
            let at = bucket(ns);
            prop_assert!(at < BUCKETS);
            prop_assert!(longest_in(at) >= ns && longest_in(at) - ns <= ns / 8);
            prop_assert!(at == 0 || longest_in(at - 1) < ns);
        }

        #[test]
        fn one_call_stands_for_others(ns in 0..1_000_000_u64, calls in 1..1000_u32) {
            let (mut one, mut each) = (Latency::default(), Latency::default());
            one.add(Duration::from_nanos(ns), calls);
            (0..calls).for_each(|_| each.add(Duration::from_nanos(ns), 1));
            prop_assert_eq!(one.view(), each.view());
        }

        #[test]
        fn percentiles_are_at_most_an_eighth_too_high(mut times in prop::collection::vec(0..10_000_000_u64, 1..300)) {
            let mut latency = Latency::default();
            times.iter().for_each(|ns| latency.add(Duration::from_nanos(*ns), 1));
            let view = latency.view().unwrap();
            times.sort_unstable();
            for (said, share) in [(view.median_ns, 0.5), (view.p99_ns, 0.99)] {
                let true_one = times[(times.len() as f64 * share).ceil() as usize - 1];
                prop_assert!(said >= true_one && said - true_one <= true_one / 8);
            }
            prop_assert_eq!(view.mean_ns, times.iter().sum::<u64>() / times.len() as u64);
            prop_assert_eq!((view.longest_ns, view.calls), (times[times.len() - 1], times.len() as u64));
        }
    }
}
