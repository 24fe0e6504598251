//! What a device of each kind is worth, and so what no placement exceeds: the linear program without whole numbers.
//!
//! With counts that need not be whole, a template is nothing but the devices of each kind that it takes per item and second, so
//! the program has a row per kind and model and its dual a row per template:
//! min Σ_k N_k · λ_k with Σ_k a_{T,k} · λ_k ≥ μ_m for each template T of model m, and Σ_m w_m · μ_m = 1.
//! Whatever prices keep these rows are a proof: the devices of a placement are worth at least what its models earn with them.
//!
//! Where demands r_m are to be carried by devices that cost c_k, the value is the negative of their cost and the dual
//! min Σ_k N_k · (λ_k − c_k) − Σ_m r_m · μ_m with the same rows and λ_k ≥ c_k.

use good_lp::{Expression, constraint, variable};

use crate::{
    Limits, Microlp, Problem, SolveError, Solver as _,
    solver::{Column, Program},
    template::Template,
};

/// So many times what it costs a device may be worth where it is scarce. Every price proves; these are high enough to prove well.
const DEAR: f64 = 1e3;

/// Prices that keep all rows, in units of the objective (least rate ÷ weight, or cost).
#[derive(Clone, Debug)]
pub(crate) struct Prices {
    /// λ, per kind: of a device.
    pub device: Vec<f64>,
    /// μ, per model: of an item per second.
    pub item: Vec<f64>,
    /// No placement is worth more: all devices together, or the negative of the least cost.
    pub bound: f64,
}

impl Prices {
    /// The lowest ones, by adding the row that is broken most until none is.
    pub fn of(problem: &Problem, templates: &[Vec<Template>]) -> Result<Self, SolveError> {
        let kinds = problem.counts().len();
        let needs: Vec<Vec<Vec<f64>>> =
            templates.iter().map(|all| all.iter().map(|template| need(template, kinds)).collect()).collect();
        let mut device: Vec<f64> =
            problem.counts().iter().map(|count| 1.0 / f64::from((*count).max(1))).collect();
        let mut item = vec![0.0; templates.len()];
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); templates.len()];
        loop {
            let mut grown = false;
            for (model, needs) in needs.iter().enumerate() {
                let Some((t, least)) = cheapest(needs, &device) else { continue };
                if least < item[model] * (1.0 - 1e-9) || rows[model].is_empty() {
                    // A row that the solver was given and still breaks is kept as well as it can keep it.
                    grown |= !rows[model].contains(&t);
                    if !rows[model].contains(&t) {
                        rows[model].push(t);
                    }
                }
            }
            if !grown {
                break;
            }
            (device, item) = solve(problem, &needs, &rows)?;
        }
        // Solvers are exact to about 10⁻⁷: the items are priced as low as the devices really allow.
        for (model, needs) in needs.iter().enumerate() {
            item[model] = cheapest(needs, &device).map_or(0.0, |(_, least)| least * (1.0 - 1e-12));
        }
        let weighed: f64 = (0..item.len()).map(|model| problem.weight(model) * item[model]).sum();
        if problem.objective().is_cost() {
            // What the demands earn, as their weights, is what the devices cost at least.
            let above: Vec<f64> =
                device.iter().zip(problem.costs()).map(|(price, cost)| price - cost).collect();
            return Ok(Self { bound: worth(problem.counts(), &above) - weighed, device, item });
        }
        if weighed.is_nan() || weighed <= 0.0 {
            return Err(SolveError::Failed { message: "the prices of devices are all 0".to_owned() });
        }
        device.iter_mut().chain(&mut item).for_each(|price| *price /= weighed);
        Ok(Self { bound: worth(problem.counts(), &device), device, item })
    }

    /// The same, where all that is to be divided is worth this.
    pub fn of_all(&self, bound: f64) -> Self {
        Self { bound, ..self.clone() }
    }

    /// So many templates of each model: those whose devices are worth least per item.
    pub fn nearest(&self, templates: &[Vec<Template>], most: usize) -> Vec<Vec<bool>> {
        let of_model = |all: &Vec<Template>| {
            let needs = all.iter().map(|template| need(template, self.device.len()));
            let worth =
                needs.map(|need| need.iter().zip(&self.device).map(|(n, price)| n * price).sum::<f64>());
            let mut by_worth: Vec<(usize, f64)> = worth.enumerate().collect();
            by_worth.sort_by(|a, b| a.1.total_cmp(&b.1));
            let mut kept = vec![false; all.len()];
            by_worth.iter().take(most).for_each(|(t, _)| kept[*t] = true);
            kept
        };
        templates.iter().map(of_model).collect()
    }
}

/// Devices of each kind per item and second.
fn need(template: &Template, kinds: usize) -> Vec<f64> {
    let mut need = vec![0.0; kinds];
    for stage in &template.stages {
        need[stage.kind] += 1.0 / stage.device_rate_per_s();
    }
    need
}

/// What so many devices of each kind are worth.
pub(crate) fn worth(numbers: &[u32], prices: &[f64]) -> f64 {
    numbers.iter().zip(prices).map(|(number, price)| f64::from(*number) * price).sum()
}

fn cheapest(needs: &[Vec<f64>], device: &[f64]) -> Option<(usize, f64)> {
    let worth = |need: &Vec<f64>| need.iter().zip(device).map(|(need, price)| need * price).sum::<f64>();
    let all = needs.iter().enumerate().map(|(t, need)| (t, worth(need)));
    all.min_by(|a, b| a.1.total_cmp(&b.1))
}

fn solve(
    problem: &Problem,
    needs: &[Vec<Vec<f64>>],
    rows: &[Vec<usize>],
) -> Result<(Vec<f64>, Vec<f64>), SolveError> {
    let mut program = Program::default();
    let costs = problem.costs();
    let column = |least: f64, most: f64| variable().bounds(least..=most);
    // The rows that are there so far may not be enough to carry the demands, which no price would be too high for.
    let most = if problem.objective().is_cost() {
        DEAR * costs.iter().fold(1.0, |a: f64, b| a.max(*b))
    } else {
        f64::INFINITY
    };
    let device: Vec<_> = costs.iter().map(|cost| program.column(column(*cost, most))).collect();
    let item: Vec<_> = needs.iter().map(|_| program.column(variable().min(0))).collect();
    for (model, rows) in rows.iter().enumerate() {
        for t in rows {
            let worth: Expression = device.iter().zip(&needs[model][*t]).map(|(d, n)| *n * d.variable).sum();
            program.row(constraint!(worth >= item[model].variable));
        }
    }
    let weighed: Expression =
        item.iter().enumerate().map(|(model, item)| problem.weight(model) * item.variable).sum();
    let worth: Expression =
        device.iter().zip(problem.counts()).map(|(d, count)| f64::from(*count) * d.variable).sum();
    if problem.objective().is_cost() {
        program.objective = weighed - worth;
    } else {
        program.row(constraint!(weighed == 1.0));
        program.objective = -worth;
    }
    let solved = Microlp.solve(program, &Limits::default())?;
    let value = |(column, least): (&Column, f64)| solved.values[column.at].max(least);
    Ok((device.iter().zip(costs).map(value).collect(), item.iter().map(|item| value((item, 0.0))).collect()))
}
