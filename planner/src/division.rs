//! The devices divided among the models, exactly and without a solver: from the bound downwards.
//!
//! [`Prices`] say what no placement exceeds. A target just below it leaves so few ways to use devices that all of them fit into
//! tables ([`Yields`]); so either a placement that good is found, and then the best of them, or there is none, which is a
//! better bound. The target is lowered until one is found.
//!
//! With two kinds of device that is a matter of milliseconds, with four of seconds. Where there are too many devices for a
//! table they are divided in crates, and the bound is that of the prices. Where fractions are summed up the tables round up once
//! per model and kind, and not for each stage index too, so that a placement of that worth may not exist; then only the
//! bound holds.

use crate::{
    Limits, Objective, Problem,
    greedy::fill,
    grid::Grid,
    prices::{Prices, worth},
    search::Counts,
    template::Template,
    yields::{Allowance, Units, Yields, useful},
};

/// Most places of all tables of a search together: some 100 MB.
const PLACES: usize = 1 << 22;
/// So many sums are looked at in a second, more or less: limits are counted and not timed, so that runs repeat.
const SUMS_PER_SECOND: f64 = 1e8;

/// What is known when the search ends.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    /// The best placement found, where one keeps all rules, and what it is worth.
    pub found: Option<(Counts, f64)>,
    /// No placement is worth more.
    pub bound: f64,
    prices: Prices,
}

impl Division {
    /// Divides the devices of a question; `None` where its objective or its rules are not for this way to search.
    pub fn of(problem: &Problem, templates: &[Vec<Template>], limits: &Limits) -> Option<Self> {
        if matches!(problem.objective(), Objective::LeastDevices | Objective::LeastCost)
            || problem.rules().one_route_per_sequence
        {
            return None;
        }
        let prices = Prices::of(problem, templates).ok()?;
        let caps = problem.demands().iter().enumerate();
        let caps = caps.filter_map(|(m, demand)| Some(demand.at_most_per_s? / problem.weight(m)));
        let mut division = Self { bound: caps.fold(prices.bound, f64::min), found: None, prices };
        if let Some(units) = Units::new(problem, templates, PLACES / templates.len()) {
            division.lower(problem, templates, &units, limits);
        }
        Some(division)
    }

    /// Whether what was found is proven to be within so much of the best.
    pub fn proves(&self, gap: f64) -> bool {
        self.found.as_ref().is_some_and(|(_, value)| self.bound <= value * (1.0 + gap.max(1e-9)))
    }

    /// Lowers the target until the best is found, or what was found is near enough, or there is none.
    fn lower(&mut self, problem: &Problem, templates: &[Vec<Template>], units: &Units, limits: &Limits) {
        let mut sums_left = (limits.seconds * SUMS_PER_SECOND) as u64;
        let (upper, exact) = (self.bound, units.crates == 1);
        let mut best = 0.0_f64;
        let mut loss = upper * 0.25 / problem.counts().iter().map(|count| f64::from(*count)).sum::<f64>();
        while !self.proves(limits.gap) {
            let target = best.max(upper - loss).max(0.0);
            let candidates = Candidates::new(problem, templates, units, &self.prices, target, &mut sums_left);
            let Some(candidates) = candidates else { return };
            let Some(found) = candidates.best(&mut sums_left) else { return };
            if found.value > best {
                best = found.value;
                let counts = candidates.counts(&found.choice);
                // With what is left over.
                let counts = fill(problem, templates, counts);
                let placement = counts.placement(problem, templates);
                let value = placement.value(problem);
                let better = self.found.as_ref().is_none_or(|(_, known)| value > *known);
                if better && placement.check(problem).is_ok() {
                    self.found = Some((counts, value));
                }
            }
            let last = best >= target || target == 0.0;
            if exact {
                self.bound = self.bound.min(if last { best } else { target });
            }
            if last {
                return;
            }
            loss *= 1.5;
        }
    }

    /// Of these templates, those that a placement can use that is worth at least so much.
    pub fn useful(&self, problem: &Problem, templates: &[Vec<Template>], at_least: f64) -> Vec<Vec<bool>> {
        let allowances = allowances(problem, &self.prices, at_least);
        let Some(units) = Units::new(problem, templates, usize::MAX)
            .filter(|_| problem.counts().iter().sum::<u32>() <= 1_000_000)
        else {
            return templates.iter().map(|all| vec![true; all.len()]).collect();
        };
        let of = |(all, allowance): (&Vec<Template>, &Allowance)| {
            all.iter().map(|template| useful(template, &units, &self.prices, allowance)).collect()
        };
        templates.iter().zip(&allowances).map(of).collect()
    }
}

/// What each model may use in a placement worth at least `target`.
fn allowances(problem: &Problem, prices: &Prices, target: f64) -> Vec<Allowance> {
    let models = 0..problem.demands().len();
    let least_per_s = |model| (problem.weight(model) * target).max(problem.least_per_s(model));
    let earned: f64 = models.clone().map(|model| prices.item[model] * least_per_s(model)).sum();
    // Sums of many terms are not exact.
    let loss = prices.bound - earned + 1e-9 * prices.bound;
    models
        .map(|model| Allowance { item: prices.item[model], least_per_s: least_per_s(model), loss })
        .collect()
}

/// The yields of all models that a placement of the target can have.
struct Candidates<'a> {
    problem: &'a Problem,
    templates: &'a [Vec<Template>],
    units: &'a Units,
    prices: &'a Prices,
    allowances: Vec<Allowance>,
    yields: Vec<Yields>,
}

/// Of each model a yield, by number; the least rate ÷ weight of them.
struct Best {
    value: f64,
    choice: Vec<usize>,
}

impl<'a> Candidates<'a> {
    fn new(
        problem: &'a Problem,
        templates: &'a [Vec<Template>],
        units: &'a Units,
        prices: &'a Prices,
        target: f64,
        sums_left: &mut u64,
    ) -> Option<Self> {
        let allowances = allowances(problem, prices, target);
        let yields = templates.iter().zip(&allowances);
        let yields = yields.map(|(all, allowance)| Yields::new(all, units, prices, allowance, sums_left));
        let yields = yields.collect::<Option<_>>()?;
        Some(Self { problem, templates, units, prices, allowances, yields })
    }

    fn share(&self, model: usize, rate_per_s: f64) -> f64 {
        let most = self.problem.demands()[model].at_most_per_s.unwrap_or(f64::INFINITY);
        rate_per_s.min(most) / self.problem.weight(model)
    }

    /// The best choice; of no models where there is none, and `None` where it takes more sums than are left.
    fn best(&self, sums_left: &mut u64) -> Option<Best> {
        let grid = &self.units.devices;
        let none = Best { value: 0.0, choice: Vec::new() };
        let Some(last) = self.yields.len().checked_sub(1) else { return Some(none) };
        // Per number of devices: the best least share of the models so far, and the yield of the last of them.
        let mut shares = vec![0.0; grid.len()];
        shares[0] = f64::INFINITY;
        let mut chosen: Vec<Vec<u32>> = Vec::new();
        for model in 0..last {
            let (next, of) = self.with(model, &shares, sums_left)?;
            shares = next;
            chosen.push(of);
        }
        let mut of_last = vec![0.0; grid.len()];
        for of in &self.yields[last].all {
            of_last[grid.at(&of.devices)] = self.share(last, of.rate_per_s);
        }
        let of_last = at_most(grid, of_last);
        let value = |at: usize| shares[at].min(of_last[grid.rest(at)]);
        let best =
            (0..grid.len()).max_by(|a, b| value(*a).total_cmp(&value(*b))).filter(|at| value(*at) > 0.0);
        let Some(mut at) = best else { return Some(none) };
        let value = value(at);

        let rest = grid.rest(at);
        let fitting = self.yields[last].all.iter().enumerate();
        let fitting = fitting.filter(|(_, of)| grid.within(&of.devices, rest));
        let mut choice = vec![fitting.max_by(|a, b| a.1.rate_per_s.total_cmp(&b.1.rate_per_s))?.0];
        for (model, chosen) in chosen.iter().enumerate().rev() {
            let number = chosen[at] as usize;
            choice.push(number);
            at -= grid.at(&self.yields[model].all[number].devices);
        }
        choice.reverse();
        Some(Best { value, choice })
    }

    /// Adds the yields of one more model to each number of devices.
    fn with(&self, model: usize, shares: &[f64], sums_left: &mut u64) -> Option<(Vec<f64>, Vec<u32>)> {
        let (grid, all) = (&self.units.devices, &self.yields[model].all);
        let (mut next, mut chosen) = (vec![0.0_f64; grid.len()], vec![u32::MAX; grid.len()]);
        let most = at_most(grid, shares.to_vec());
        // What the models up to this one may cost together.
        let of = &self.allowances[..=model];
        let earned: f64 = of.iter().map(|of| of.item * of.least_per_s).sum();
        let price: Vec<f64> = self.prices.device.iter().map(|p| p * f64::from(self.units.crates)).collect();
        let costs: Vec<f64> = all.iter().map(|of| worth(&of.devices, &price)).collect();
        let mut enough = true;
        grid.walk(|at, taken| {
            if shares[at] == 0.0 || shares[at] <= grid.below(&most, at, taken) || !enough {
                return;
            }
            match sums_left.checked_sub(all.len() as u64) {
                Some(left) => *sums_left = left,
                None => enough = false,
            }
            let room = earned + of[0].loss - worth(taken, &price);
            for (number, of) in all.iter().enumerate() {
                if costs[number] <= room && grid.fits(taken, &of.devices) {
                    let (to, share) =
                        (at + grid.at(&of.devices), self.share(model, of.rate_per_s).min(shares[at]));
                    if share > next[to] {
                        (next[to], chosen[to]) = (share, number as u32);
                    }
                }
            }
        });
        enough.then_some((next, chosen))
    }

    fn counts(&self, choice: &[usize]) -> Counts {
        let mut counts = Counts::none(self.templates);
        for (model, number) in choice.iter().enumerate() {
            let yields = &self.yields[model];
            let mut left = self.problem.demands()[model].at_most_per_s.unwrap_or(f64::INFINITY);
            for (t, rate_per_s) in yields.steps(&yields.all[*number]) {
                let needed = self.units.counts(&self.templates[model][t], rate_per_s);
                for (count, needed) in counts.counts[model][t].iter_mut().zip(needed) {
                    *count += needed;
                }
                counts.rates[model][t] += rate_per_s.min(left);
                left = (left - rate_per_s).max(0.0);
            }
        }
        counts
    }
}

/// The greatest figure of no more devices, for each number of them.
fn at_most(grid: &Grid, mut figures: Vec<f64>) -> Vec<f64> {
    grid.walk(|at, numbers| figures[at] = figures[at].max(grid.below(&figures, at, numbers)));
    figures
}
