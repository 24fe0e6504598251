//! The devices divided among the models, exactly and without a solver: from the bound downwards.
//!
//! [`Prices`] say what no placement exceeds. A target just below it leaves so few ways to use devices that all of them fit into
//! tables ([`Yields`]); so either a placement that good is found, and then the best of them, or there is none, which is a
//! better bound. The target is lowered until one is found. Where devices are to be few or cheap it is the same with the negative of
//! their cost, and every yield that carries its demand is as good.
//!
//! With two kinds of device that is a matter of milliseconds, with four of seconds. Where there are too many devices for a
//! table they are divided in crates, and the bound is that of the prices. Where fractions are summed up the tables round up once
//! per model and kind, and not for each stage index too, so that a placement of that worth may not exist; then only the
//! bound holds.

use crate::{
    Limits, Problem, Progress,
    greedy::fill,
    grid::Grid,
    prices::{Prices, worth},
    search::Counts,
    template::Template,
    yields::{self, Allowance, Units, Yields},
};

/// Most places of all tables of a search together: some 100 MB.
const PLACES: usize = 1 << 21;
/// Of more devices it takes too long to say which templates are of use.
const MANY: u32 = 20_000;
/// So many sums are looked at in a second, more or less: limits are counted and not timed, so that runs repeat.
const SUMS_PER_SECOND: f64 = 1e8;

/// What is known when the search ends. More is better: of devices and cost it is the negative.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    /// The best placement found, where one keeps all rules, and what it is worth.
    pub found: Option<(Counts, f64)>,
    /// No placement is worth more.
    pub bound: f64,
    /// What devices are worth.
    pub prices: Prices,
}

impl Division {
    /// Divides the devices of a question; `None` where its objective or its rules are not for this way to search.
    pub fn of(problem: &Problem, templates: &[Vec<Template>], limits: &Limits) -> Option<Self> {
        if problem.rules().one_route_per_sequence {
            return None;
        }
        let prices = Prices::of(problem, templates).ok()?;
        let caps = problem.demands().iter().enumerate().filter(|_| !problem.objective().is_cost());
        let caps = caps.filter_map(|(m, demand)| Some(demand.at_most_per_s? / problem.weight(m)));
        let mut division = Self { bound: caps.fold(prices.bound, f64::min), found: None, prices };
        let units = Units::new(problem, templates, PLACES / templates.len());
        // In crates a small demand would seem to need much.
        if let Some(units) = units.filter(|units| units.crates == 1 || !problem.objective().is_cost()) {
            division.lower(problem, templates, &units, limits);
        }
        Some(division)
    }

    /// Whether what was found is proven to be within so much of the best.
    pub fn proves(&self, gap: f64) -> bool {
        self.found.as_ref().is_some_and(|(_, value)| self.is_near(*value, gap))
    }

    /// Whether no placement is worth more than this by so much of it.
    pub fn is_near(&self, value: f64, gap: f64) -> bool {
        self.bound - value <= value.abs() * gap.max(1e-9)
    }

    /// Lowers the target until the best is found, or what was found is near enough, or there is none.
    fn lower(&mut self, problem: &Problem, templates: &[Vec<Template>], units: &Units, limits: &Limits) {
        let mut sums_left = (limits.seconds * SUMS_PER_SECOND) as u64;
        // Crates leave some devices out.
        let exact = units.crates == 1;
        let prices = if exact { self.prices.clone() } else { self.prices.of_all(units.worth(&self.prices)) };
        let (upper, mut best) = (self.bound.min(prices.bound), NONE);
        // The least that a placement can be worth: nothing, or all devices at their cost.
        let least = 0.0 - worth(problem.counts(), &problem.costs());
        let devices: f64 = units.devices.most().iter().map(|count| f64::from(*count)).sum();
        let mut loss = (upper - least) * 0.25 / devices;
        while !self.proves(limits.gap) {
            let target = best.max(upper - loss).max(least);
            let candidates = Candidates::new(problem, templates, units, &prices, target, &mut sums_left);
            let Some(candidates) = candidates else { return };
            let Some(found) = candidates.first(&mut sums_left) else { return };
            if found.value > best {
                best = found.value;
                // Lexicographic: of those whose least share is as great, one with the greatest sum.
                let surplus = candidates.surplus(best * (1.0 - 1e-9), &mut sums_left);
                let mut choices = surplus.into_iter().chain([found]);
                self.found =
                    choices.find_map(|of| placeable(problem, templates, candidates.counts(&of.choice)));
            }
            let last = best >= target || target == least;
            if exact {
                self.bound = self.bound.min(if last { best.max(least) } else { target });
            }
            if let Some(watch) = &limits.watch {
                let sign = problem.objective().sign();
                let value = self.found.as_ref().map(|(_, value)| sign * value);
                watch.tell(Progress { seconds: None, value, bound: Some(sign * self.bound) });
            }
            if last {
                return;
            }
            loss *= 1.5;
        }
    }
}

/// Of these templates, those that a placement can use that is worth at least so much; all, where that is not known.
pub(crate) fn useful(
    problem: &Problem,
    templates: &[Vec<Template>],
    prices: &Prices,
    at_least: f64,
) -> Vec<Vec<bool>> {
    let (few, allowances) =
        (problem.counts().iter().sum::<u32>() <= MANY, allowances(problem, prices, at_least));
    match Units::new(problem, templates, usize::MAX).filter(|units| few && units.crates == 1) {
        None => templates.iter().map(|all| vec![true; all.len()]).collect(),
        Some(units) => {
            let of = |(all, of): (&Vec<Template>, &Allowance)| {
                all.iter().map(|template| yields::useful(template, &units, prices, of)).collect()
            };
            templates.iter().zip(&allowances).map(of).collect()
        }
    }
}

/// The counts with what is left over, where that is of use, and their worth; `None` where they break a rule.
fn placeable(problem: &Problem, templates: &[Vec<Template>], counts: Counts) -> Option<(Counts, f64)> {
    let counts = if problem.objective().is_cost() { counts } else { fill(problem, templates, counts) };
    let value = counts.value(problem, templates)?;
    Some((counts, value))
}

/// What each model may use in a placement worth at least `target`.
fn allowances(problem: &Problem, prices: &Prices, target: f64) -> Vec<Allowance> {
    let (models, of_cost) = (0..problem.demands().len(), problem.objective().is_cost());
    let least_per_s = |model| {
        let of_target = if of_cost { 0.0 } else { problem.weight(model) * target };
        of_target.max(problem.least_per_s(model))
    };
    let earned: f64 = models.clone().map(|model| prices.item[model] * least_per_s(model)).sum();
    // Sums of many terms are not exact.
    let loss = prices.bound - if of_cost { target } else { earned } + 1e-9 * prices.bound.abs();
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

/// Where there is no way.
const NONE: f64 = f64::NEG_INFINITY;

/// How the shares of several models, their rates ÷ weight, become one figure.
#[derive(Clone, Copy)]
struct Combine {
    of: fn(f64, f64) -> f64,
    nothing: f64,
}
const LEAST: Combine = Combine { of: f64::min, nothing: f64::INFINITY };
const SUM: Combine = Combine { of: std::ops::Add::add, nothing: 0.0 };
/// Whether there is a way is all that matters.
const ANY: Combine = Combine { of: |_, _| 1.0, nothing: 1.0 };

/// Of each model a yield, by number, and what they are worth together.
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

    /// The best choice under the objective; of no models where there is none, and `None` where it takes more sums than are left.
    fn first(&self, sums_left: &mut u64) -> Option<Best> {
        if self.problem.objective().is_cost() {
            self.cheapest(sums_left)
        } else {
            self.best(LEAST, 0.0, sums_left)
        }
    }

    /// Of the choices whose least share is at least so much one with the greatest sum, where there is a sum to look at.
    fn surplus(&self, least: f64, sums_left: &mut u64) -> Option<Best> {
        if self.problem.objective().is_cost() { None } else { self.best(SUM, least, sums_left) }
    }

    /// The choice whose devices cost least. All of them carry the demands, or they would be no yields.
    fn cheapest(&self, sums_left: &mut u64) -> Option<Best> {
        let (figures, chosen) = self.of_models(0..self.yields.len(), ANY, 0.0, sums_left)?;
        let (costs, mut cheapest) = (self.problem.costs(), None);
        self.units.devices.walk(|at, taken| {
            let value = 0.0 - worth(taken, &costs);
            if figures[at] > NONE && cheapest.is_none_or(|(_, best)| value > best) {
                cheapest = Some((at, value));
            }
        });
        let Some((at, value)) = cheapest else { return Some(Best { value: NONE, choice: Vec::new() }) };
        Some(Best { value, choice: self.choice(at, &chosen) })
    }

    /// Per number of devices: the best figure of some models together, and per model the yield that it has there.
    fn of_models(
        &self,
        models: std::ops::Range<usize>,
        combine: Combine,
        least: f64,
        sums_left: &mut u64,
    ) -> Option<(Vec<f64>, Vec<Vec<u32>>)> {
        let mut figures = vec![NONE; self.units.devices.len()];
        figures[0] = combine.nothing;
        let mut chosen = Vec::new();
        for model in models {
            let (next, of) = self.with(model, &figures, combine, least, sums_left)?;
            figures = next;
            chosen.push(of);
        }
        Some((figures, chosen))
    }

    /// Of each model that was chosen for, the yield by which these devices are taken.
    fn choice(&self, mut at: usize, chosen: &[Vec<u32>]) -> Vec<usize> {
        let mut choice = Vec::with_capacity(chosen.len());
        for (model, chosen) in chosen.iter().enumerate().rev() {
            let number = chosen[at] as usize;
            choice.push(number);
            at -= self.units.devices.at(&self.yields[model].all[number].devices);
        }
        choice.reverse();
        choice
    }

    /// The choice whose shares combine to the greatest figure, of shares that are at least so much.
    fn best(&self, combine: Combine, least: f64, sums_left: &mut u64) -> Option<Best> {
        let grid = &self.units.devices;
        let none = Best { value: NONE, choice: Vec::new() };
        let Some(last) = self.yields.len().checked_sub(1) else { return Some(none) };
        let (figures, chosen) = self.of_models(0..last, combine, least, sums_left)?;
        let mut of_last = vec![NONE; grid.len()];
        for of in &self.yields[last].all {
            let share = self.share(last, of.rate_per_s);
            of_last[grid.at(&of.devices)] = if share >= least { share } else { NONE };
        }
        let of_last = at_most(grid, of_last);
        let figure = |at: usize| (combine.of)(figures[at], of_last[grid.rest(at)]);
        let best =
            (0..grid.len()).max_by(|a, b| figure(*a).total_cmp(&figure(*b))).filter(|at| figure(*at) > 0.0);
        let Some(at) = best else { return Some(none) };

        let rest = grid.rest(at);
        let fitting =
            self.yields[last].all.iter().enumerate().filter(|(_, of)| grid.within(&of.devices, rest));
        let of_last = fitting.max_by(|a, b| a.1.rate_per_s.total_cmp(&b.1.rate_per_s))?.0;
        let mut choice = self.choice(at, &chosen);
        choice.push(of_last);
        Some(Best { value: figure(at), choice })
    }

    /// Adds the yields of one more model to each number of devices.
    fn with(
        &self,
        model: usize,
        figures: &[f64],
        combine: Combine,
        least: f64,
        sums_left: &mut u64,
    ) -> Option<(Vec<f64>, Vec<u32>)> {
        let (grid, all) = (&self.units.devices, &self.yields[model].all);
        let (mut next, mut chosen) = (vec![NONE; grid.len()], vec![u32::MAX; grid.len()]);
        let most = at_most(grid, figures.to_vec());
        // What the models up to this one may cost together.
        let of = &self.allowances[..=model];
        let earned: f64 = of.iter().map(|of| of.item * of.least_per_s).sum();
        let price: Vec<f64> = self.prices.device.iter().map(|p| p * f64::from(self.units.crates)).collect();
        let costs = all.iter().map(|of| (worth(&of.devices, &price), self.share(model, of.rate_per_s)));
        let costs: Vec<(f64, f64)> = costs.collect();
        let mut enough = true;
        grid.walk(|at, taken| {
            // What fewer devices do as well is of no use.
            if figures[at] <= grid.below(&most, at, taken) || !enough {
                return;
            }
            match sums_left.checked_sub(all.len() as u64) {
                Some(left) => *sums_left = left,
                None => enough = false,
            }
            let room = earned + of[0].loss - worth(taken, &price);
            for (number, (of, (cost, share))) in all.iter().zip(&costs).enumerate() {
                if *cost <= room && *share >= least && grid.fits(taken, &of.devices) {
                    let (to, figure) = (at + grid.at(&of.devices), (combine.of)(figures[at], *share));
                    if figure > next[to] {
                        (next[to], chosen[to]) = (figure, number as u32);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Division, useful};
    use crate::{
        Cluster, Demand, DeviceKind, EngineKind, Latency, Limits, Objective, Packing, Problem, Profile,
        Rules, Slo,
        exhaustive::best_least_share,
        formulation::Formulation,
        plan,
        random::{SOLVER, cases, checked, limits, small},
        search::{all_templates, best_over, only},
    };

    /// The same question, with a least and a greatest rate for its first model.
    fn between(problem: &Problem, least_per_s: f64, most_per_s: f64) -> Problem {
        let profiles = problem.profiles().iter().map(|profile| (profile.model().to_owned(), profile.clone()));
        let mut demands = problem.demands().to_vec();
        (demands[0].rate_per_s, demands[0].at_most_per_s) = (least_per_s, Some(most_per_s));
        let (rules, cluster) = (problem.rules().clone(), problem.cluster().clone());
        let profiles: BTreeMap<_, _> = profiles.collect();
        let same = Problem::new(cluster, &profiles, demands, rules, problem.objective()).unwrap();
        same.with_arrivals(problem.arrivals_per_s().unwrap().to_vec())
    }

    /// The same devices, each kind dearer than the one before, to carry a part of what they can at the least cost.
    fn to_carry(problem: &Problem, part: f64, objective: Objective) -> Option<Problem> {
        let all = plan(problem, SOLVER, &limits()).ok()?.placement;
        let mut demands = problem.demands().to_vec();
        for (demand, of) in demands.iter_mut().zip(all.models) {
            demand.rate_per_s = of.rate_per_s * part;
        }
        let kinds = problem.cluster().kinds().iter().zip(problem.counts()).enumerate();
        let dearer = |(at, (kind, count)): (usize, (&DeviceKind, &u32))| {
            (DeviceKind { cost: 1.0 + 1.7 * at as f64, ..kind.clone() }, *count)
        };
        let cluster = Cluster::of(kinds.map(dearer)).unwrap();
        let profiles = problem.profiles().iter().map(|profile| (profile.model().to_owned(), profile.clone()));
        let same =
            Problem::new(cluster, &profiles.collect(), demands, problem.rules().clone(), objective).unwrap();
        Some(same.with_arrivals(problem.arrivals_per_s().unwrap().to_vec()))
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-5 * b.max(1.0)
    }

    proptest! {
        #![proptest_config(cases(150))]

        #[test]
        fn three_models_on_three_kinds_are_worth_what_trying_all_gives(problem in small(3, 3, 3, 3)) {
            let Ok(templates) = all_templates(&problem) else { return Ok(()) };
            let division = Division::of(&problem, &templates, &limits()).unwrap();
            let (best, found) = (best_least_share(&problem), division.found.as_ref().map_or(0.0, |of| of.1));
            prop_assert!(close(found, best) && close(division.bound, best), "{found} {} {best}", division.bound);
        }

        #[test]
        fn with_a_least_and_a_greatest_rate_it_is_what_the_solver_finds(
            problem in small(2, 2, 5, 3), least in 0.0..1.2_f64, most in 0.3..2.0_f64,
        ) {
            let Ok(templates) = all_templates(&problem) else { return Ok(()) };
            let rate = Division::of(&problem, &templates, &limits()).unwrap().bound * problem.weight(0);
            prop_assume!(rate > 1.0);
            let problem = between(&problem, (least * rate).min(most * rate), most * rate);
            let division = Division::of(&problem, &templates, &limits()).unwrap();
            match best_over(&problem, &templates, None, SOLVER, &limits()) {
                Ok(solved) => {
                    let (counts, value) = division.found.as_ref().unwrap();
                    let best = solved.proof.value;
                    prop_assert!(close(*value, best) && close(division.bound, best), "{value} {best}");
                    checked(&problem, &counts.placement(&problem, &templates))?;
                }
                Err(_) => prop_assert!(division.found.is_none()),
            }
        }

        #[test]
        fn the_fewest_and_the_cheapest_devices_are_what_the_solver_finds(
            problem in small(2, 2, 6, 3), part in 0.1..1.0_f64, cost in any::<bool>(), summed in any::<bool>(),
        ) {
            let objective = if cost { Objective::LeastCost } else { Objective::LeastDevices };
            let Some(problem) = to_carry(&problem, part, objective) else { return Ok(()) };
            let packing = if summed { Packing::Summed } else { Packing::WholeDevices };
            let problem = problem.with_rules(Rules { packing, ..problem.rules().clone() });
            let templates = all_templates(&problem).unwrap();
            let best = -best_over(&problem, &templates, None, SOLVER, &limits()).unwrap().proof.value;
            let division = Division::of(&problem, &templates, &limits()).unwrap();
            prop_assert!(division.bound >= best - 1e-5, "{} {best}", division.bound);
            if let Some((counts, value)) = &division.found {
                prop_assert!(close(*value, best) || (summed && *value < best), "{value} {best}");
                checked(&problem, &counts.placement(&problem, &templates))?;
            }
            if !summed {
                prop_assert!(division.proves(1e-9), "{best}: {} {:?}", division.bound, division.found);
            }
            let answer = plan(&problem, SOLVER, &limits()).unwrap();
            prop_assert!(close(answer.proof.value, -best), "{} {best}", answer.proof.value);
            prop_assert!(answer.proof.bound.is_none_or(|bound| bound <= answer.proof.value), "{:?}", answer.proof);
        }

        #[test]
        fn no_plan_with_fractions_summed_up_exceeds_the_bound(problem in small(2, 2, 4, 3)) {
            let problem = problem.with_rules(Rules { packing: Packing::Summed, ..problem.rules().clone() });
            let Ok(templates) = all_templates(&problem) else { return Ok(()) };
            let division = Division::of(&problem, &templates, &limits()).unwrap();
            let Ok(solved) = best_over(&problem, &templates, None, SOLVER, &limits()) else { return Ok(()) };
            let (bound, best) = (division.bound, solved.proof.value);
            prop_assert!(best <= bound * (1.0 + 1e-6), "{best} is above {bound}");
            if let Some((counts, value)) = &division.found {
                prop_assert!(close(*value, best), "{value} {best}");
                checked(&problem, &counts.placement(&problem, &templates))?;
            }
        }

        #[test]
        fn templates_that_are_left_out_are_in_no_best_plan(problem in small(2, 2, 4, 3), summed in any::<bool>()) {
            let packing = if summed { Packing::Summed } else { Packing::WholeDevices };
            let problem = problem.with_rules(Rules { packing, ..problem.rules().clone() });
            let Ok(templates) = all_templates(&problem) else { return Ok(()) };
            let Ok(all) = best_over(&problem, &templates, None, SOLVER, &limits()) else { return Ok(()) };
            let prices = Division::of(&problem, &templates, &limits()).unwrap().prices;
            let kept = useful(&problem, &templates, &prices, all.proof.value * (1.0 - 1e-6));
            let few = best_over(&problem, &only(&templates, &kept), None, SOLVER, &limits()).unwrap();
            prop_assert!(close(few.proof.value, all.proof.value), "{} {}", few.proof.value, all.proof.value);
        }

        #[test]
        fn of_the_plans_with_the_best_least_share_it_is_one_with_the_greatest_sum(problem in small(2, 2, 4, 3)) {
            let Ok(templates) = all_templates(&problem) else { return Ok(()) };
            let division = Division::of(&problem, &templates, &limits()).unwrap();
            let Some((counts, value)) = division.found else { return Ok(()) };
            let sum = |rates: &[Vec<f64>]| -> f64 {
                rates.iter().enumerate().map(|(m, all)| all.iter().sum::<f64>() / problem.weight(m)).sum()
            };
            let mut second = Formulation::new(&problem, &templates).then_surplus(value * (1.0 - 1e-7));
            let program = std::mem::take(&mut second.program);
            let solved = crate::search::Counts::of(&second, &SOLVER.solve(program, &limits()).unwrap());
            let (ours, best) = (sum(&counts.rates), sum(&solved.rates));
            prop_assert!(ours >= best * (1.0 - 1e-5), "{ours} {best}");
        }
    }

    #[test]
    fn a_hundred_thousand_devices_are_divided_in_crates() {
        let table = |us: f64| vec![Latency::Table(vec![us]), Latency::Table(vec![us / 3.0])];
        let of = |model: &str, fast: f64, slow: f64| {
            let latency_us = [("fast".to_owned(), table(fast)), ("slow".to_owned(), table(slow))];
            (model.to_owned(), Profile::new(model, BTreeMap::from(latency_us), vec![1000]).unwrap())
        };
        let profiles = BTreeMap::from([of("a", 1000.0, 2700.0), of("b", 700.0, 3100.0)]);
        let kind = |name: &str| DeviceKind::new(name, EngineKind::Throttled);
        let cluster = Cluster::of([(kind("fast"), 25_001), (kind("slow"), 75_003)]).unwrap();
        let demand = |model| Demand::new(model, 0.0).within(Slo { latency_us: 1e4, margin: 0.0 });
        let demands = vec![demand("a"), demand("b")];
        let problem = Problem::new(cluster, &profiles, demands, Rules::normal(), Objective::MaxMin).unwrap();
        let problem = problem.with_arrivals(vec![1e3; 2]);
        let templates = all_templates(&problem).unwrap();
        let division = Division::of(&problem, &templates, &Limits::default()).unwrap();
        let (counts, value) = division.found.unwrap();
        counts.placement(&problem, &templates).check(&problem).unwrap();
        assert!(value <= division.bound && value > 0.997 * division.bound, "{value} of {}", division.bound);
    }
}
