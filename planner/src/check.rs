//! Whether a placement keeps the rules and promises nothing that its profiles do not: no solver, only arithmetic.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{ModelPlacement, Packing, Placement, Problem, Route, RouteStage, template::Sums};

/// Solvers are exact to about 10⁻⁶; sums of many terms are not exact either.
const TOLERANCE: f64 = 1e-6;

impl Placement {
    /// Checks everything that was asked: every model runs once, all of its blocks in order, on devices where it was measured,
    /// within its deadline, as often as is claimed and demanded, and on no more devices than there are.
    ///
    /// Where the question knows no arrivals, the time that a batch takes to fill is not checked.
    ///
    /// # Errors
    /// With all that is wrong.
    pub fn check(&self, problem: &Problem) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        let asked: Vec<&str> = problem.demands().iter().map(|demand| demand.model.as_str()).collect();
        let placed: Vec<&str> = self.models.iter().map(|model| model.model.as_str()).collect();
        if asked != placed {
            let text = |names: &[&str]| names.join(", ");
            return Err(vec![Violation::Models { asked: text(&asked), placed: text(&placed) }]);
        }
        for (at, model) in self.models.iter().enumerate() {
            let sums = Sums::new(problem, at);
            for (route, of) in model.routes.iter().enumerate() {
                let mut found = Vec::new();
                check_route(problem, at, &sums, of, &mut found);
                wrong.extend(found.into_iter().map(|what| Violation::Route {
                    model: model.model.clone(),
                    route,
                    what,
                }));
            }
            check_rates(problem, at, model, &mut wrong);
        }
        for (kind, used) in self.devices(problem.rules().packing) {
            let cluster = problem.cluster().kinds().iter().zip(problem.counts());
            let there = cluster.filter(|(of, _)| of.name == kind).map(|(_, count)| *count).sum();
            if used > there {
                wrong.push(Violation::Devices { kind, used, there });
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

fn check_rates(problem: &Problem, at: usize, model: &ModelPlacement, wrong: &mut Vec<Violation>) {
    let demand = &problem.demands()[at];
    let sum: f64 = model.routes.iter().map(|route| route.rate_per_s).sum();
    let name = || model.model.clone();
    if !near(sum, model.rate_per_s) {
        wrong.push(Violation::Sum { model: name(), claimed_per_s: model.rate_per_s, sum_per_s: sum });
    }
    let least_per_s = problem.least_per_s(at);
    if model.rate_per_s < least_per_s * (1.0 - TOLERANCE) {
        wrong.push(Violation::Demand {
            model: name(),
            asked_per_s: least_per_s,
            planned_per_s: model.rate_per_s,
        });
    }
    if demand.at_most_per_s.is_some_and(|most| model.rate_per_s > most * (1.0 + TOLERANCE)) {
        let asked_per_s = demand.at_most_per_s.unwrap_or(f64::INFINITY);
        wrong.push(Violation::TooMuch { model: name(), asked_per_s, planned_per_s: model.rate_per_s });
    }
    if problem.rules().one_route_per_sequence {
        let kinds = problem.cluster().kinds().len() as f64;
        let mut openings: BTreeMap<Vec<&str>, f64> = BTreeMap::new();
        for route in &model.routes {
            let sequence: Vec<&str> = route.stages.iter().map(|stage| stage.kind.as_str()).collect();
            for depth in 1..=sequence.len() {
                *openings.entry(sequence[..depth].to_vec()).or_default() += 1.0;
            }
        }
        let room = |opening: &[&str]| kinds.powi(problem.rules().stages as i32 - opening.len() as i32);
        if let Some((opening, _)) = openings.iter().find(|(opening, count)| **count > room(opening)) {
            wrong.push(Violation::Sequence { model: name(), sequence: opening.join(" → ") });
        }
    }
}

fn check_route(
    problem: &Problem,
    model: usize,
    sums: &Sums<'_>,
    route: &Route,
    wrong: &mut Vec<RouteViolation>,
) {
    let (rules, blocks) = (problem.rules(), problem.profiles()[model].blocks());
    if route.stages.is_empty() || route.stages.len() > rules.stages as usize {
        wrong.push(RouteViolation::Stages { found: route.stages.len(), most: rules.stages });
        return;
    }
    let (mut next, mut latency_us) = (0, 0.0);
    for (d, stage) in route.stages.iter().enumerate() {
        if stage.first_block != next || stage.end_block <= stage.first_block || stage.end_block > blocks {
            let RouteStage { first_block, end_block, .. } = *stage;
            wrong.push(RouteViolation::Blocks { stage: d, first: first_block, end: end_block, next, blocks });
            return;
        }
        next = stage.end_block;
        let after = route.stages.get(d + 1);
        match check_stage(problem, model, sums, (d, stage, after), route.rate_per_s) {
            Ok(us) => latency_us += us,
            Err(violation) => {
                wrong.push(violation);
                return;
            }
        }
    }
    if next != blocks {
        wrong.push(RouteViolation::Blocks {
            stage: route.stages.len(),
            first: next,
            end: next,
            next,
            blocks,
        });
    }
    let batch = route.stages.iter().map(|stage| stage.batch).max().unwrap_or(1);
    let build_us = match problem.arrivals_per_s() {
        Some(_) => problem.build_us(model, batch),
        None => route.build_us,
    };
    if !near(latency_us, route.latency_us) || !near(build_us, route.build_us) {
        let (found_us, claimed_us) = (latency_us + build_us, route.latency_us + route.build_us);
        wrong.push(RouteViolation::Claim { what: "latency", found: found_us, claimed: claimed_us });
    }
    let budget_us = problem.budget_us(model);
    if latency_us + build_us > budget_us * (1.0 + TOLERANCE) {
        wrong.push(RouteViolation::Late { takes_us: latency_us + build_us, budget_us });
    }
}

/// Checks a stage against its profile; gives its µs, with the transfer to the next.
fn check_stage(
    problem: &Problem,
    model: usize,
    sums: &Sums<'_>,
    (d, stage, after): (usize, &RouteStage, Option<&RouteStage>),
    rate_per_s: f64,
) -> Result<f64, RouteViolation> {
    let rules = problem.rules();
    let kind_of = |name: &str| problem.cluster().kinds().iter().position(|kind| kind.name == name);
    let Some(kind) = kind_of(&stage.kind) else {
        return Err(RouteViolation::Kind { stage: d, kind: stage.kind.clone() });
    };
    if stage.count == 0 || stage.batch == 0 || stage.slices == 0 {
        return Err(RouteViolation::Nothing { stage: d });
    }
    if rules.packing == Packing::WholeDevices && !stage.count.is_multiple_of(stage.slices) {
        return Err(RouteViolation::Fractions { stage: d, count: stage.count, slices: stage.slices });
    }
    if stage.slices > rules.slices || stage.batch > rules.batch {
        return Err(RouteViolation::Limits { stage: d, slices: stage.slices, batch: stage.batch });
    }
    let grows = |next: &RouteStage| {
        if rules.growing_batches { next.batch >= stage.batch } else { next.batch == stage.batch }
    };
    if after.is_some_and(|next| !grows(next)) {
        return Err(RouteViolation::Batches { stage: d });
    }
    let known = sums.stage(kind, stage.slices, stage.first_block, stage.end_block, stage.batch);
    let Some(known) = known else {
        return Err(RouteViolation::NotMeasured {
            stage: d,
            on: stage.fraction().to_string(),
            batch: stage.batch,
        });
    };
    let transfer_us = match after.and_then(|next| kind_of(&next.kind)) {
        Some(next) => problem.transfer_us(model, stage.end_block, kind, next) * f64::from(stage.batch),
        None => 0.0,
    };
    for (what, found, claimed) in
        [("stage latency", known.latency_us, stage.latency_us), ("transfer", transfer_us, stage.transfer_us)]
    {
        if !near(found, claimed) {
            return Err(RouteViolation::Claim { what, found, claimed });
        }
    }
    let most_per_s = known.rate_per_s * f64::from(stage.count);
    if !rate_per_s.is_finite() || rate_per_s < 0.0 || rate_per_s > most_per_s * (1.0 + TOLERANCE) {
        return Err(RouteViolation::Claim {
            what: "items per second",
            found: most_per_s,
            claimed: rate_per_s,
        });
    }
    Ok(known.latency_us + transfer_us)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

/// A rule that a placement breaks.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// Other models than asked.
    #[error("the placement is of {placed}, but {asked} are asked for; plan again")]
    Models {
        /// The demands.
        asked: String,
        /// The placement.
        placed: String,
    },
    /// A route that breaks a rule.
    #[error("model `{model}`, route {route}: {what}")]
    Route {
        /// The model.
        model: String,
        /// Which of its routes, from 0.
        route: usize,
        /// What is wrong.
        what: RouteViolation,
    },
    /// A sum that is none.
    #[error(
        "model `{model}` claims {claimed_per_s:.3} items/s, but its routes add up to {sum_per_s:.3}; correct rate_per_s"
    )]
    Sum {
        /// The model.
        model: String,
        /// Claimed.
        claimed_per_s: f64,
        /// Found.
        sum_per_s: f64,
    },
    /// Less than was asked.
    #[error(
        "model `{model}` is planned for {planned_per_s:.3} items/s, but {asked_per_s:.3} are asked; add devices"
    )]
    Demand {
        /// The model.
        model: String,
        /// Asked.
        asked_per_s: f64,
        /// Planned.
        planned_per_s: f64,
    },
    /// More than is of use.
    #[error(
        "model `{model}` is planned for {planned_per_s:.3} items/s, but at most {asked_per_s:.3} are of use; lower its rate"
    )]
    TooMuch {
        /// The model.
        model: String,
        /// Asked.
        asked_per_s: f64,
        /// Planned.
        planned_per_s: f64,
    },
    /// Two routes where one is allowed.
    #[error(
        "model `{model}` has too many routes through {sequence}; the rules allow one per sequence of kinds"
    )]
    Sequence {
        /// The model.
        model: String,
        /// The kinds.
        sequence: String,
    },
    /// More devices than there are.
    #[error("{used} devices of kind `{kind}` are in use, but there are {there}; use fewer or add some")]
    Devices {
        /// The kind.
        kind: String,
        /// In use.
        used: u32,
        /// There are.
        there: u32,
    },
}

/// A rule that a route breaks. `stage` counts from 0.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum RouteViolation {
    /// No stage, or too many.
    #[error("it has {found} stages; the rules allow 1 to {most}")]
    Stages {
        /// Found.
        found: usize,
        /// Allowed.
        most: u32,
    },
    /// Blocks missing, twice, or beyond the model.
    #[error(
        "stage {stage} has blocks {first} up to {end}, after {next} of {blocks}; stages hold all blocks once and in order"
    )]
    Blocks {
        /// The stage.
        stage: usize,
        /// Its first block.
        first: u32,
        /// Its end.
        end: u32,
        /// Where it should begin.
        next: u32,
        /// How many there are.
        blocks: u32,
    },
    /// A kind that is not there.
    #[error("stage {stage} is on `{kind}`, of which the cluster has none")]
    Kind {
        /// The stage.
        stage: usize,
        /// The kind.
        kind: String,
    },
    /// A stage of no devices, slices or items.
    #[error("stage {stage} has a count, batch or slices of 0; give 1 or more")]
    Nothing {
        /// The stage.
        stage: usize,
    },
    /// Fractions that fill no device.
    #[error(
        "stage {stage} has {count} parts of devices that are divided into {slices}; a device is divided for one stage only, so give a multiple"
    )]
    Fractions {
        /// The stage.
        stage: usize,
        /// Parts.
        count: u32,
        /// Parts per device.
        slices: u32,
    },
    /// More slices or a larger batch than allowed.
    #[error("stage {stage} has {slices} slices and a batch of {batch}, beyond the rules")]
    Limits {
        /// The stage.
        stage: usize,
        /// Slices.
        slices: u32,
        /// Batch.
        batch: u32,
    },
    /// Batches that shrink, or change where they may not.
    #[error("the batch changes after stage {stage} in a way that the rules do not allow")]
    Batches {
        /// The stage.
        stage: usize,
    },
    /// No figures, or no room in memory.
    #[error(
        "stage {stage} was not measured on `{on}` with a batch of {batch}, or does not fit into its memory"
    )]
    NotMeasured {
        /// The stage.
        stage: usize,
        /// The kind or fraction.
        on: String,
        /// The batch.
        batch: u32,
    },
    /// A figure that the profile does not give.
    #[error("it claims a {what} of {claimed:.3}, the profile gives {found:.3}")]
    Claim {
        /// Which figure.
        what: &'static str,
        /// By the profile.
        found: f64,
        /// By the placement.
        claimed: f64,
    },
    /// Too slow.
    #[error("it takes {takes_us:.0} µs, but has {budget_us:.0}")]
    Late {
        /// It takes.
        takes_us: f64,
        /// It has.
        budget_us: f64,
    },
}
