//! The program: which templates run, on how many devices. One function per family of rows, named as in the notes *Pooled
//! pipelines* §4; x is a rate in items per second, n a number of virtual devices or of whole ones (see [`Packing`]).

use std::collections::BTreeMap;

use good_lp::{Expression, constraint, variable};

use crate::{
    Packing, Problem,
    solver::{Column, Program},
    template::{Template, TemplateStage},
};

/// A program with the places of its columns.
pub(crate) struct Formulation<'a> {
    problem: &'a Problem,
    templates: &'a [Vec<Template>],
    pub program: Program,
    /// The least rate ÷ weight, where that is what counts.
    pub z: Option<Column>,
    /// Per model and template: its rate.
    pub x: Vec<Vec<Column>>,
    /// Per model, template and stage: how many devices.
    pub n: Vec<Vec<Vec<Column>>>,
    /// Per model, stage index and kind: devices after rounding up, where fractions are summed.
    rounded: BTreeMap<(usize, usize, usize), Column>,
    /// Per pool: devices that are new to it, and those that it has, where movement counts.
    new: BTreeMap<PoolKey, (Column, f64)>,
    /// Per model and template: whether it is used, where a sequence of kinds may be used once only.
    used: Vec<Vec<Column>>,
}

impl<'a> Formulation<'a> {
    /// The program of a question over these templates, one list per model.
    pub fn new(problem: &'a Problem, templates: &'a [Vec<Template>]) -> Self {
        let (program, (x, n, used)) = (Program::default(), Default::default());
        let mut this = Self {
            problem,
            templates,
            program,
            z: None,
            x,
            n,
            rounded: BTreeMap::new(),
            new: BTreeMap::new(),
            used,
        };
        this.columns();
        this.stage_rates();
        this.demands();
        this.devices();
        if problem.rules().one_route_per_sequence {
            this.one_route_per_sequence();
        }
        if problem.objective().is_cost() {
            this.least_cost();
        } else {
            this.least_share();
        }
        this
    }

    /// Of `n`, how many a device gives: its parts where fractions are counted, one where devices are.
    pub fn per_device(&self, stage: &TemplateStage) -> f64 {
        match self.problem.rules().packing {
            Packing::Summed => f64::from(stage.slices),
            Packing::WholeDevices => 1.0,
        }
    }

    /// Items per second of one of `n`.
    pub fn unit_rate_per_s(&self, stage: &TemplateStage) -> f64 {
        stage.device_rate_per_s() / self.per_device(stage)
    }

    fn columns(&mut self) {
        for templates in self.templates {
            let (mut x, mut n) = (Vec::new(), Vec::new());
            for template in templates {
                x.push(self.program.column(variable().min(0)));
                let mut of_stages = Vec::with_capacity(template.stages.len());
                for stage in &template.stages {
                    let most = f64::from(self.problem.counts()[stage.kind]) * self.per_device(stage);
                    of_stages.push(self.program.column(variable().integer().bounds(0.0..=most)));
                }
                n.push(of_stages);
            }
            self.x.push(x);
            self.n.push(n);
        }
    }

    /// x_T ≤ X_{T,d} · n_{T,d} for each stage d.
    fn stage_rates(&mut self) {
        for (model, templates) in self.templates.iter().enumerate() {
            for (t, template) in templates.iter().enumerate() {
                for (d, stage) in template.stages.iter().enumerate() {
                    let unit = self.unit_rate_per_s(stage);
                    let (x, n) = (self.x[model][t].variable, self.n[model][t][d].variable);
                    self.program.row(constraint!(x <= unit * n));
                }
            }
        }
    }

    /// Σ_T x_T of a model.
    pub fn rate(&self, model: usize) -> Expression {
        self.x[model].iter().map(|x| Expression::from(x.variable)).sum()
    }

    /// least_m ≤ Σ_T x_T ≤ most_m.
    fn demands(&mut self) {
        for (model, demand) in self.problem.demands().iter().enumerate() {
            let least = self.problem.least_per_s(model);
            if least > 0.0 {
                let row = constraint!(self.rate(model) >= least);
                self.program.row(row);
            }
            if let Some(most) = demand.at_most_per_s {
                let row = constraint!(self.rate(model) <= most);
                self.program.row(row);
            }
        }
    }

    /// Σ n ≤ N_k per kind; where fractions are summed, c_{m,d,k} ≥ Σ n ÷ v with integer c, and Σ c ≤ N_k.
    fn devices(&mut self) {
        if self.problem.rules().packing == Packing::Summed {
            let mut sums: BTreeMap<(usize, usize, usize), Expression> = BTreeMap::new();
            for (model, t, d, stage) in self.stages() {
                let part = 1.0 / f64::from(stage.slices);
                *sums.entry((model, d, stage.kind)).or_default() += part * self.n[model][t][d].variable;
            }
            for (key, sum) in sums {
                let most = f64::from(self.problem.counts()[key.2]);
                let c = self.program.column(variable().integer().bounds(0.0..=most));
                self.program.row(constraint!(sum <= c.variable));
                self.rounded.insert(key, c);
            }
        }
        for (kind, used) in self.devices_used().into_iter().enumerate() {
            let most = f64::from(self.problem.counts()[kind]);
            self.program.row(constraint!(used <= most));
        }
    }

    /// Devices in use, per kind.
    fn devices_used(&self) -> Vec<Expression> {
        let mut used = vec![Expression::default(); self.problem.counts().len()];
        match self.problem.rules().packing {
            Packing::Summed => {
                for ((_, _, kind), c) in &self.rounded {
                    used[*kind] += c.variable;
                }
            }
            Packing::WholeDevices => {
                for (model, t, d, stage) in self.stages() {
                    used[stage.kind] += self.n[model][t][d].variable;
                }
            }
        }
        used
    }

    /// n ≤ N·v·y_T, and for each opening a of a sequence of kinds: Σ_{T opens with a} y_T ≤ K^(D − |a|): a route of fewer
    /// stages may stand for any sequence that opens like it.
    fn one_route_per_sequence(&mut self) {
        let (kinds, most) = (self.problem.counts().len() as f64, self.problem.rules().stages as i32);
        for model in 0..self.templates.len() {
            let mut openings: BTreeMap<Vec<usize>, Expression> = BTreeMap::new();
            let mut used = Vec::new();
            for (t, template) in self.templates[model].iter().enumerate() {
                let y = self.program.column(variable().binary());
                for (d, stage) in template.stages.iter().enumerate() {
                    let most = f64::from(self.problem.counts()[stage.kind]) * self.per_device(stage);
                    let n = self.n[model][t][d].variable;
                    self.program.row(constraint!(n <= most * y.variable));
                }
                let sequence: Vec<usize> = template.stages.iter().map(|stage| stage.kind).collect();
                for depth in 1..=sequence.len() {
                    *openings.entry(sequence[..depth].to_vec()).or_default() += y.variable;
                }
                used.push(y);
            }
            for (opening, sum) in openings {
                let room = kinds.powi(most - opening.len() as i32);
                self.program.row(constraint!(sum <= room));
            }
            self.used.push(used);
        }
    }

    /// max z with w_m · z ≤ Σ_T x_T for each model m.
    fn least_share(&mut self) {
        let z = self.program.column(variable().min(0));
        for model in 0..self.templates.len() {
            let weight = self.problem.weight(model);
            let row = constraint!(weight * z.variable <= self.rate(model));
            self.program.row(row);
        }
        self.program.objective = z.variable.into();
        self.z = Some(z);
    }

    /// min Σ_k cost_k · devices_k, as the maximum of its negative.
    fn least_cost(&mut self) {
        let cost: Expression =
            self.problem.costs().into_iter().zip(self.devices_used()).map(|(each, used)| each * used).sum();
        self.program.objective = -cost;
    }

    /// z ≤ what is known to be the most.
    pub fn no_more_than(&mut self, most: f64) {
        if let Some(z) = self.z {
            self.program.row(constraint!(z.variable <= most));
        }
    }

    /// Second objective: with the least share at `at_least`, max Σ_m (Σ_T x_T) ÷ w_m.
    pub fn then_surplus(mut self, at_least: f64) -> Self {
        if let Some(z) = self.z {
            self.program.row(constraint!(z.variable >= at_least));
        }
        let models = 0..self.templates.len();
        self.program.objective =
            models.map(|model| (1.0 / self.problem.weight(model)) * self.rate(model)).sum();
        self
    }

    /// Second objective: with the first at `at_least`, the least Σ_p max(0, n_p − present_p) over the pools p: devices that
    /// have to take up work that they do not do now.
    pub fn then_least_movement(mut self, at_least: f64, present: &BTreeMap<PoolKey, f64>) -> Self {
        let first = std::mem::take(&mut self.program.objective);
        self.program.row(constraint!(first >= at_least));
        let mut pools: BTreeMap<PoolKey, Expression> = BTreeMap::new();
        for (model, t, d, stage) in self.stages() {
            let devices = (1.0 / self.per_device(stage)) * self.n[model][t][d].variable;
            *pools.entry(PoolKey::of(model, stage)).or_default() += devices;
        }
        let mut moved = Expression::default();
        for (pool, devices) in pools {
            let new = self.program.column(variable().min(0));
            let stay = present.get(&pool).copied().unwrap_or(0.0);
            self.program.row(constraint!(devices - stay <= new.variable));
            moved += new.variable;
            self.new.insert(pool, (new, stay));
        }
        self.program.objective = -moved;
        self
    }

    /// Values for all columns from rates and counts, as a solver takes them to start from.
    pub fn start(&self, rates: &[Vec<f64>], counts: &[Vec<Vec<f64>>]) -> Vec<f64> {
        let mut values = vec![0.0; self.program.columns.len()];
        let mut sums: BTreeMap<(usize, usize, usize), f64> = BTreeMap::new();
        let mut pools: BTreeMap<PoolKey, f64> = BTreeMap::new();
        for (model, t, d, stage) in self.stages() {
            let count = counts[model][t][d];
            values[self.n[model][t][d].at] = count;
            values[self.x[model][t].at] = rates[model][t];
            *sums.entry((model, d, stage.kind)).or_default() += count / f64::from(stage.slices);
            *pools.entry(PoolKey::of(model, stage)).or_default() += count / self.per_device(stage);
            if let Some(y) = self.used.get(model) {
                values[y[t].at] = if count > 0.0 || values[y[t].at] > 0.0 { 1.0 } else { 0.0 };
            }
        }
        for (key, c) in &self.rounded {
            values[c.at] = (sums[key] - 1e-9).ceil();
        }
        for (pool, (new, stay)) in &self.new {
            values[new.at] = (pools[pool] - stay).max(0.0);
        }
        if let Some(z) = self.z {
            let share = |(model, x): (usize, &Vec<f64>)| x.iter().sum::<f64>() / self.problem.weight(model);
            values[z.at] = rates.iter().enumerate().map(share).fold(f64::INFINITY, f64::min);
        }
        values
    }

    fn stages(&self) -> impl Iterator<Item = (usize, usize, usize, &'a TemplateStage)> + use<'a> {
        self.templates.iter().enumerate().flat_map(|(model, templates)| {
            templates.iter().enumerate().flat_map(move |(t, template)| {
                template.stages.iter().enumerate().map(move |(d, stage)| (model, t, d, stage))
            })
        })
    }
}

/// Which work a device holds ready: two pools of one key can exchange devices without loading anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub model: usize,
    pub kind: usize,
    pub slices: u32,
    pub first: u32,
    pub end: u32,
}

impl PoolKey {
    pub fn of(model: usize, stage: &TemplateStage) -> Self {
        let TemplateStage { kind, slices, first, end, .. } = *stage;
        Self { model, kind, slices, first, end }
    }
}
