//! All ways to run a model that meet its deadline, less those that another one replaces: the columns of the program.
//!
//! A template is a sequence of stages with kind, slices, batch and cut for each, but no counts yet. Deadlines are met by
//! construction, so the program needs no rows for latency, which is what makes it small (notes *Pooled pipelines* §4).

use crate::{Blocks, Fraction, Packing, Problem};

/// One stage of a template. Times are µs for a whole batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TemplateStage {
    /// Its kind, as an index into the cluster's kinds.
    pub kind: usize,
    pub slices: u32,
    pub first: u32,
    pub end: u32,
    pub batch: u32,
    pub latency_us: f64,
    /// To the next stage; charged to the sender, 0 for the last.
    pub transfer_us: f64,
    /// Of one virtual device, items per second.
    pub rate_per_s: f64,
    /// Whether the latency is that of the uncut model.
    pub whole: bool,
}

impl TemplateStage {
    /// Items per second of a device all of whose parts run this stage.
    pub fn device_rate_per_s(&self) -> f64 {
        self.rate_per_s * f64::from(self.slices)
    }
}

/// One way to run a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    pub stages: Vec<TemplateStage>,
    /// Computing and transfers, without the time that a batch takes to fill.
    pub latency_us: f64,
}

impl Template {
    fn batch(&self) -> u32 {
        self.stages.last().map_or(1, |stage| stage.batch)
    }

    fn end(&self) -> u32 {
        self.stages.last().map_or(0, |stage| stage.end)
    }

    /// Whether the two are one way to run the model.
    pub fn same_work(&self, other: &Template) -> bool {
        let work = |stage: &TemplateStage| (stage.kind, stage.slices, stage.first, stage.end, stage.batch);
        self.stages.iter().map(work).eq(other.stages.iter().map(work))
    }

    /// Whether whatever this one can do, `self` can do on the same devices: at least the rate of each stage per device, and
    /// any number of its fractions representable (slices that are a multiple), where fractions count one by one.
    fn replaces(&self, other: &Template, packing: Packing) -> bool {
        self.stages.iter().zip(&other.stages).all(|(a, b)| {
            a.device_rate_per_s() >= b.device_rate_per_s()
                && (packing == Packing::WholeDevices || a.slices.is_multiple_of(b.slices))
        })
    }
}

/// Latencies of a model, summed up so that any run of blocks is one subtraction.
pub(crate) struct Sums<'a> {
    problem: &'a Problem,
    model: usize,
    /// Per kind, slices − 1 and batch − 1: the sum up to each block. Empty where nothing was measured.
    sums: Vec<Vec<Vec<Vec<f64>>>>,
}

impl<'a> Sums<'a> {
    pub fn new(problem: &'a Problem, model: usize) -> Self {
        let (profile, rules) = (&problem.profiles()[model], problem.rules());
        let table = |kind: &str, slices: u32| -> Vec<Vec<f64>> {
            let fraction = Fraction::new(kind, slices).to_string();
            let most = profile.batches(&fraction).map_or(rules.batch, |most| most.min(rules.batch));
            (1..=most).map_while(|batch| running_sum(profile, &fraction, batch)).collect()
        };
        let kinds = problem.cluster().kinds().iter();
        let sums = kinds.map(|kind| (1..=rules.slices).map(|v| table(&kind.name, v)).collect()).collect();
        Self { problem, model, sums }
    }

    fn batches(&self, kind: usize, slices: u32) -> u32 {
        self.sums[kind][slices as usize - 1].len() as u32
    }

    fn blocks(&self) -> u32 {
        self.problem.profiles()[self.model].blocks()
    }

    /// The stage of these blocks there, with its rate; `None` where it was not measured, does not fit into memory, or would move
    /// what nobody measured over a link.
    pub fn stage(&self, kind: usize, slices: u32, first: u32, end: u32, batch: u32) -> Option<TemplateStage> {
        let at = |count: u32| count.checked_sub(1).map(|at| at as usize);
        let sum = self.sums.get(kind)?.get(at(slices)?)?.get(at(batch)?)?;
        let of = &self.problem.cluster().kinds()[kind];
        let profile = &self.problem.profiles()[self.model];
        // What is moved over a link must be known.
        let unknown = |cut: u32| cut > 0 && cut < self.blocks() && profile.cut_bytes(cut - 1).is_none();
        if first >= end || (of.link.is_some() && (unknown(first) || unknown(end))) {
            return None;
        }
        if of.memory_bytes.is_some_and(|most| profile.memory_bytes(first..end) > most / u64::from(slices)) {
            return None;
        }
        let uncut = first == 0 && end == self.blocks() && slices == 1 && self.problem.rules().whole_latency;
        let whole = uncut.then(|| profile.whole_us(&of.name, batch)).flatten();
        let latency_us = whole.unwrap_or(sum.get(end as usize)? - sum.get(first as usize)?);
        let mut rate_per_s = 1e6 * f64::from(batch) / latency_us.max(1.0);
        // A virtual device has an equal part of its server's link in each direction (PPipe's artefact).
        let shares = f64::from(slices) * f64::from(of.per_server);
        for cut in [first, end] {
            if cut > 0 && cut < self.blocks() {
                let transfer_us = self.problem.transfer_us(self.model, cut, kind, kind);
                rate_per_s = rate_per_s.min(1e6 / (transfer_us * shares));
            }
        }
        Some(TemplateStage {
            kind,
            slices,
            first,
            end,
            batch,
            latency_us,
            transfer_us: 0.0,
            rate_per_s,
            whole: whole.is_some(),
        })
    }

    /// Per batch − 1 and block: the least that the blocks from there on can take, µs, whatever runs them.
    fn least_rest_us(&self) -> Vec<Vec<f64>> {
        let (blocks, batches) = (self.blocks() as usize, self.problem.rules().batch as usize);
        let mut rest = vec![vec![f64::INFINITY; blocks]; batches];
        for sums in self.sums.iter().flatten() {
            for (batch, sum) in sums.iter().enumerate() {
                for (least, pair) in rest[batch].iter_mut().zip(sum.windows(2)) {
                    *least = least.min(pair[1] - pair[0]);
                }
            }
        }
        if self.problem.rules().growing_batches {
            for batch in (1..batches).rev() {
                let (less, more) = rest.split_at_mut(batch);
                for (least, larger) in less[batch - 1].iter_mut().zip(&more[0]) {
                    *least = least.min(*larger);
                }
            }
        }
        for row in &mut rest {
            for block in (0..blocks.saturating_sub(1)).rev() {
                row[block] += row[block + 1];
            }
            row.push(0.0);
        }
        rest
    }
}

fn running_sum(profile: &crate::Profile, fraction: &str, batch: u32) -> Option<Vec<f64>> {
    let mut sum = vec![0.0];
    for block in 0..profile.blocks() {
        let us = profile.latency_us(fraction, &Blocks::Run(block..block + 1), batch)?;
        // Below the clock's resolution a block would be free (notes §8.2).
        sum.push(sum[block as usize] + us.max(1.0));
    }
    Some(sum)
}

/// All templates of a model that are worth a column.
pub(crate) fn templates(problem: &Problem, model: usize) -> Vec<Template> {
    let sums = Sums::new(problem, model);
    let mut search = Search {
        rest_us: sums.least_rest_us(),
        budget_us: problem.budget_us(model) + 1e-6,
        sums,
        found: Vec::new(),
    };
    search.extend(&[Template { stages: Vec::new(), latency_us: 0.0 }], 1);
    search.found
}

struct Search<'a> {
    sums: Sums<'a>,
    rest_us: Vec<Vec<f64>>,
    budget_us: f64,
    found: Vec<Template>,
}

impl Search<'_> {
    /// Extends the openings of one sequence of kinds by each kind, and those by each kind again.
    fn extend(&mut self, openings: &[Template], depth: u32) {
        let (problem, packing) = (self.sums.problem, self.sums.problem.rules().packing);
        for kind in 0..problem.cluster().kinds().len() {
            let (mut ended, mut open) = (Vec::new(), Vec::new());
            for opening in openings {
                self.extend_by(opening, kind, depth < problem.rules().stages, &mut ended, &mut open);
            }
            self.found.extend(best(ended, |_, _| true, packing));
            // Two openings are alike if the same continuations fit them; the quicker one then fits more of them.
            let alike = |a: &Template, b: &Template| {
                a.end() == b.end() && a.batch() == b.batch() && a.latency_us <= b.latency_us
            };
            let open = best(open, alike, packing);
            if !open.is_empty() {
                self.extend(&open, depth + 1);
            }
        }
    }

    fn extend_by(
        &self,
        opening: &Template,
        kind: usize,
        may_go_on: bool,
        ended: &mut Vec<Template>,
        open: &mut Vec<Template>,
    ) {
        let (problem, model) = (self.sums.problem, self.sums.model);
        let (rules, blocks, first) = (problem.rules(), self.sums.blocks(), opening.end());
        for slices in 1..=rules.slices {
            for batch in 1..=self.sums.batches(kind, slices) {
                let before = opening.stages.last();
                let fits = before.is_none_or(|stage| match rules.growing_batches {
                    true => batch >= stage.batch,
                    false => batch == stage.batch,
                });
                if !fits {
                    continue;
                }
                // The transfer into this stage is of the sender's batches.
                let transfer_us = before.map_or(0.0, |stage| {
                    problem.transfer_us(model, first, stage.kind, kind) * f64::from(stage.batch)
                });
                let ends = if may_go_on { first + 1..blocks + 1 } else { blocks..blocks + 1 };
                for end in ends {
                    let Some(stage) = self.sums.stage(kind, slices, first, end, batch) else { continue };
                    let latency_us = opening.latency_us + transfer_us + stage.latency_us;
                    let rest_us = self.rest_us[batch as usize - 1][end as usize];
                    if latency_us + rest_us + problem.build_us(model, batch) > self.budget_us {
                        continue;
                    }
                    let mut stages = opening.stages.clone();
                    if let Some(sender) = stages.last_mut() {
                        sender.transfer_us = transfer_us;
                    }
                    stages.push(stage);
                    let template = Template { stages, latency_us };
                    if end == blocks { ended.push(template) } else { open.push(template) }
                }
            }
        }
    }
}

/// Those that no other one, alike to it, replaces.
fn best(
    mut all: Vec<Template>,
    alike: impl Fn(&Template, &Template) -> bool,
    packing: Packing,
) -> Vec<Template> {
    // Whoever replaces another has at least the product of its rates, so one pass from the top is enough; of equals the
    // quicker one and, since its parts can be counted more finely, the one of more parts comes first.
    let product = |t: &Template| t.stages.iter().map(|s| s.device_rate_per_s().ln()).sum::<f64>();
    let parts = |t: &Template| t.stages.iter().map(|s| s.slices).sum::<u32>();
    all.sort_by(|a, b| {
        let by_rate = product(b).total_cmp(&product(a));
        by_rate.then(parts(b).cmp(&parts(a))).then(a.latency_us.total_cmp(&b.latency_us))
    });
    let mut kept: Vec<Template> = Vec::new();
    for template in all {
        if !kept.iter().any(|k| k.replaces(&template, packing) && alike(k, &template)) {
            kept.push(template);
        }
    }
    kept
}
