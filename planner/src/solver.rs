//! The door to solvers: a program of variables, rows and an objective goes in, values and a proof come out.
//!
//! Whoever solves sees only good_lp's algebra. A new solver is one file with one `impl Solver`; `microlp.rs` is the one to
//! copy.

use std::sync::Arc;

use good_lp::{Constraint, Expression, ProblemVariables, Variable, VariableDefinition};
use serde::Serialize;
use thiserror::Error;

/// A mixed-integer linear program, to be maximised.
#[derive(Default)]
pub struct Program {
    pub(crate) variables: ProblemVariables,
    pub(crate) columns: Vec<Variable>,
    pub(crate) rows: Vec<Constraint>,
    pub(crate) objective: Expression,
    /// A feasible value for every column, where one is known.
    pub(crate) start: Option<Vec<f64>>,
}

impl Program {
    pub(crate) fn column(&mut self, definition: VariableDefinition) -> Column {
        let variable = self.variables.add(definition);
        self.columns.push(variable);
        Column { at: self.columns.len() - 1, variable }
    }

    pub(crate) fn row(&mut self, row: Constraint) {
        self.rows.push(row);
    }
}

/// A variable with its place among the values of a solution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub at: usize,
    pub variable: Variable,
}

/// When a solver may stop before it has the whole proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// After so many seconds of the solver's own clock; before that, after some 10⁸ sums in tables for each of them.
    pub seconds: f64,
    /// At so small a difference between the best plan and the bound, relative to the plan.
    pub gap: f64,
    /// After so many nodes of the search tree: the limit to take where runs must repeat exactly.
    pub nodes: Option<u32>,
    /// Where the solver writes what it does, for those who want all of it.
    pub log: Option<std::path::PathBuf>,
    /// Who is told how far the search for the best is.
    pub watch: Option<Watcher>,
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// On the solver's clock; `None` before the solver begins.
    pub seconds: Option<f64>,
    /// What the best placement so far is worth, where there is one.
    pub value: Option<f64>,
    /// What no placement exceeds (or, of devices and cost, falls below), as far as it is known by now.
    pub bound: Option<f64>,
}

/// Who is told how far a search is: every time something better is found, and now and then.
///
/// ```
/// use eddyline_planner::{Limits, Watcher};
///
/// let watch = Watcher::new(|progress| println!("best {:?}, bound {:?}", progress.value, progress.bound));
/// let limits = Limits { watch: Some(watch), ..Limits::seconds(10.0) };
/// assert_eq!(limits.clone(), limits);
/// ```
#[derive(Clone)]
pub struct Watcher(Arc<dyn Fn(Progress) + Send + Sync>);

impl Watcher {
    /// Calls this while a search goes on, from within the search, which waits for it.
    pub fn new(tell: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, progress: Progress) {
        (self.0)(progress);
    }

    /// Tells of a program whose objective is `sign` times what is asked.
    pub(crate) fn signed(self, sign: f64) -> Self {
        Self::new(move |of| {
            let signed = |figure: Option<f64>| figure.map(|figure| sign * figure);
            self.tell(Progress { value: signed(of.value), bound: signed(of.bound), ..of });
        })
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl PartialEq for Watcher {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Limits {
    /// A minute, a gap of 10⁻⁴: the published limits.
    fn default() -> Self {
        Self { seconds: 60.0, gap: 1e-4, nodes: None, log: None, watch: None }
    }
}

impl Limits {
    /// The default gap after so many seconds.
    pub fn seconds(seconds: f64) -> Self {
        Self { seconds, ..Self::default() }
    }

    /// The same for a search of which nobody is told, since it answers another question.
    pub(crate) fn untold(&self) -> Self {
        Self { watch: None, ..self.clone() }
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing better exists, within the gap that was allowed.
    Optimal,
    /// A limit came first; the bound says how much better a plan could be.
    Limit,
    /// Found without looking for a proof.
    Heuristic,
}

/// What a solver found.
#[derive(Clone, Debug)]
pub struct Solved {
    /// One value per column.
    pub(crate) values: Vec<f64>,
    /// How it ended.
    pub status: Status,
    /// The value that no solution exceeds, where the solver says one.
    pub bound: Option<f64>,
    /// Nodes of the search tree.
    pub nodes: Option<u64>,
    /// On the solver's clock.
    pub seconds: Option<f64>,
}

/// Solves programs.
pub trait Solver {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Finds values for all columns that keep all rows, and the best such as far as the limits allow.
    ///
    /// # Errors
    /// Where there are none, or none was found in time.
    fn solve(&self, program: Program, limits: &Limits) -> Result<Solved, SolveError>;
}

/// A program that was not solved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SolveError {
    /// No values keep all rows.
    #[error("no placement keeps all rules")]
    Infeasible,
    /// None was found in time.
    #[error("no placement was found within the limit; allow more seconds or nodes")]
    Limit,
    /// The solver failed.
    #[error("the solver failed: {message}; try other limits, and report the problem if it stays")]
    Failed {
        /// What it says.
        message: String,
    },
}
