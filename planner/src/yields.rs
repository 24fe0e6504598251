//! What a model makes of so many devices of each kind, over any set of routes: a knapsack of whole steps, by table.
//!
//! A *step* is one template with just as many devices in each stage as a rate takes. Valued with [`Prices`], its devices are worth
//! at least what its items earn; the difference is its *loss*. Losses add up, and all losses of a placement, with what its
//! unused devices are worth, are bound − value. Whoever looks only for placements worth at least a target can leave out every
//! step, and every sum of steps, that loses more than bound − target: few are left, and none that such a placement could use.

use std::collections::HashMap;

use crate::{
    Packing, Problem,
    grid::Grid,
    prices::{Prices, worth},
    template::{Template, TemplateStage},
};

/// In which units devices are counted: parts of them where fractions are summed up, and crates of several where there are many.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    packing: Packing,
    /// Units of each kind.
    pub grid: Grid,
    /// Devices of each kind, or crates.
    pub devices: Grid,
    /// Units of a device, per kind.
    parts: Vec<u32>,
    /// Devices of a crate.
    pub crates: u32,
}

impl Units {
    /// With no more than `limit` places; `None` where fractions are summed up and need more.
    pub fn new(problem: &Problem, templates: &[Vec<Template>], limit: usize) -> Option<Self> {
        let packing = problem.rules().packing;
        let mut parts = vec![1; problem.counts().len()];
        if packing == Packing::Summed {
            for stage in templates.iter().flatten().flat_map(|template| &template.stages) {
                parts[stage.kind] = common_multiple(parts[stage.kind], stage.slices);
            }
            let units = problem.counts().iter().zip(&parts).map(|(count, parts)| count.checked_mul(*parts));
            let (grid, devices) = (
                Grid::new(units.collect::<Option<_>>()?, limit)?,
                Grid::new(problem.counts().to_vec(), limit)?,
            );
            return Some(Self { packing, grid, devices, parts, crates: 1 });
        }
        let most = problem.counts().iter().copied().max()?;
        let of =
            |crates: u32| Grid::new(problem.counts().iter().map(|count| count / crates).collect(), limit);
        // Twice as large crates until the table is small enough.
        let sizes = std::iter::successors(Some(1_u32), |crates| crates.checked_mul(2).filter(|c| *c <= most));
        let (crates, grid) = sizes.into_iter().find_map(|crates| Some((crates, of(crates)?)))?;
        Some(Self { packing, devices: grid.clone(), grid, parts, crates })
    }

    /// What one of a stage's count takes, and how many items per second it does.
    fn of(&self, stage: &TemplateStage) -> (u32, f64) {
        match self.packing {
            Packing::Summed => (self.parts[stage.kind] / stage.slices, stage.rate_per_s),
            Packing::WholeDevices => (1, stage.device_rate_per_s() * f64::from(self.crates)),
        }
    }

    /// The prices of units.
    fn prices(&self, prices: &Prices) -> Vec<f64> {
        let of_unit = prices.device.iter().zip(&self.parts);
        of_unit.map(|(price, parts)| price * f64::from(self.crates) / f64::from(*parts)).collect()
    }

    /// What all of them are worth.
    pub fn worth(&self, prices: &Prices) -> f64 {
        worth(self.grid.most(), &self.prices(prices))
    }

    /// The counts that a template needs for a rate, as the program counts them.
    pub fn counts(&self, template: &Template, rate_per_s: f64) -> Vec<f64> {
        let count = |stage| (rate_per_s / self.of(stage).1 - 1e-9).ceil().max(1.0) * f64::from(self.crates);
        template.stages.iter().map(count).collect()
    }
}

fn common_multiple(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

/// How much a model of a placement may cost that is worth at least the target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// The price of an item per second.
    pub item: f64,
    /// The least items per second that the target asks for.
    pub least_per_s: f64,
    /// What may be lost.
    pub loss: f64,
}

impl Allowance {
    /// Of what costs `worth` and earns `rate_per_s`: whether such a placement can have it.
    fn allows(&self, worth: f64, rate_per_s: f64) -> bool {
        worth - self.item * rate_per_s <= self.loss && !self.spent(worth)
    }

    /// Whether the devices are worth more than what the target earns and the loss.
    fn spent(&self, worth: f64) -> bool {
        worth > self.item * self.least_per_s + self.loss
    }
}

/// Sums in another order differ in their last digits.
const MORE: f64 = 1.0 + 1e-11;

struct Step {
    units: Vec<u32>,
    at: usize,
    rate_per_s: f64,
    template: usize,
}

/// The steps of a template that are allowed: one of each stage, and then one more wherever it is short, until too much.
fn steps_of(
    template: &Template,
    units: &Units,
    prices: &[f64],
    allowance: &Allowance,
    mut found: impl FnMut(Vec<u32>, f64),
) {
    let stages: Vec<_> = template.stages.iter().map(|stage| (stage.kind, units.of(stage))).collect();
    let mut counts = vec![1_u32; stages.len()];
    loop {
        let mut taken = vec![0; units.grid.most().len()];
        let mut rate_per_s = f64::INFINITY;
        for ((kind, (size, rate)), count) in stages.iter().zip(&counts) {
            taken[*kind] += size * count;
            rate_per_s = rate_per_s.min(rate * f64::from(*count));
        }
        let worth = worth(&taken, prices);
        if taken.iter().zip(units.grid.most()).any(|(taken, most)| taken > most) || allowance.spent(worth) {
            return;
        }
        if allowance.allows(worth, rate_per_s) {
            found(taken, rate_per_s);
        }
        for ((_, (_, rate)), count) in stages.iter().zip(&mut counts) {
            if rate * f64::from(*count) <= rate_per_s * (1.0 + 1e-12) {
                *count += 1;
            }
        }
    }
}

/// Whether a placement that keeps the allowance can use the template at all.
pub(crate) fn useful(template: &Template, units: &Units, prices: &Prices, allowance: &Allowance) -> bool {
    let mut any = false;
    steps_of(template, units, &units.prices(prices), allowance, |_, _| any = true);
    any
}

/// The most items per second of a model for some numbers of devices, where no fewer do as much.
#[derive(Clone, Debug)]
pub(crate) struct Yield {
    pub devices: Vec<u32>,
    pub rate_per_s: f64,
    /// Its place among units.
    at: usize,
}

/// All yields of a model that are worth something, and how they come about.
pub(crate) struct Yields {
    steps: Vec<Step>,
    last: Vec<u32>,
    pub all: Vec<Yield>,
}

impl Yields {
    /// `None` where it takes more sums than are left.
    pub fn new(
        templates: &[Template],
        units: &Units,
        prices: &Prices,
        allowance: &Allowance,
        sums_left: &mut u64,
    ) -> Option<Self> {
        let (prices, grid) = (units.prices(prices), &units.grid);
        let mut best: HashMap<usize, Step> = HashMap::new();
        for (template, of) in templates.iter().enumerate() {
            steps_of(of, units, &prices, allowance, |taken, rate_per_s| {
                let step = Step { at: grid.at(&taken), units: taken, rate_per_s, template };
                match best.get_mut(&step.at) {
                    Some(known) if known.rate_per_s >= rate_per_s => {}
                    Some(known) => *known = step,
                    None => drop(best.insert(step.at, step)),
                }
            });
        }
        let mut steps: Vec<Step> = best.into_values().collect();
        steps.sort_by_key(|step| step.at);

        let mut rates = vec![f64::NEG_INFINITY; grid.len()];
        let mut most = vec![f64::NEG_INFINITY; grid.len()];
        let mut last = vec![u32::MAX; grid.len()];
        let mut of_devices: HashMap<usize, Yield> = HashMap::new();
        // Any sum is reached by adding its last step first, so a step is added from its own place onwards, and only if the
        // steps before it do not do as well there.
        let (mut next, mut active, mut enough) = (0, Vec::new(), true);
        rates[0] = 0.0;
        grid.walk(|at, taken| {
            let is_step = steps.get(next).filter(|step| step.at == at).filter(|_| at > 0);
            if let Some(step) = is_step {
                if step.rate_per_s > rates[at] * MORE {
                    (rates[at], last[at]) = (step.rate_per_s, next as u32);
                }
                next += 1;
            }
            let (rate, below) = (rates[at], grid.below(&most, at, taken));
            most[at] = rate.max(below);
            // What fewer units do as well is of no use, and what loses too much now only loses more.
            if rate <= below * MORE || !allowance.allows(worth(taken, &prices), rate) || !enough {
                return;
            }
            if is_step.is_some() && last[at] + 1 == next as u32 {
                active.push(last[at]);
            }
            let devices: Vec<u32> =
                taken.iter().zip(&units.parts).map(|(u, parts)| u.div_ceil(*parts)).collect();
            let known = of_devices.entry(units.devices.at(&devices));
            let known = known.or_insert_with(|| Yield { devices, rate_per_s: rate, at });
            if rate > known.rate_per_s {
                (known.rate_per_s, known.at) = (rate, at);
            }
            match sums_left.checked_sub(1 + active.len() as u64) {
                Some(left) => *sums_left = left,
                None => enough = false,
            }
            for number in &active {
                let step = &steps[*number as usize];
                if rate + step.rate_per_s > rates.get(at + step.at).copied().unwrap_or(f64::INFINITY)
                    && grid.fits(taken, &step.units)
                {
                    rates[at + step.at] = rate + step.rate_per_s;
                    last[at + step.at] = *number;
                }
            }
        });
        let enough_per_s = allowance.least_per_s / MORE;
        let mut all: Vec<Yield> = of_devices.into_values().filter(|y| y.rate_per_s >= enough_per_s).collect();
        all.sort_by(|a, b| a.devices.cmp(&b.devices));
        enough.then_some(Self { steps, last, all })
    }

    /// The steps of a yield: a template and its rate.
    pub fn steps(&self, of: &Yield) -> Vec<(usize, f64)> {
        let (mut at, mut found) = (of.at, Vec::new());
        while let Some(step) = self.steps.get(self.last[at] as usize).filter(|_| at > 0) {
            found.push((step.template, step.rate_per_s));
            at -= step.at;
        }
        found
    }
}
