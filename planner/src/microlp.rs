//! microlp, a solver in Rust: for small problems, and to cross-check the other.

use good_lp::{
    ResolutionError, Solution as _, SolutionStatus, SolverModel as _, WithMipGap as _, WithTimeLimit as _,
    solvers::microlp::microlp as of_good_lp,
};

use crate::solver::{Limits, Program, SolveError, Solved, Solver, Status};

/// microlp. It says no bound, has no limit of nodes, and takes no start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Microlp;

impl Solver for Microlp {
    fn name(&self) -> &'static str {
        "microlp"
    }

    fn solve(&self, program: Program, limits: &Limits) -> Result<Solved, SolveError> {
        let Program { variables, columns, rows, objective, start: _ } = program;
        let mut problem = variables.maximise(objective).using(of_good_lp).with_time_limit(limits.seconds);
        problem = problem.with_mip_gap(limits.gap as f32).map_err(failed)?;
        for row in rows {
            problem.add_constraint(row);
        }
        let solution = problem.solve().map_err(|error| match error {
            ResolutionError::Infeasible => SolveError::Infeasible,
            other => failed(other),
        })?;
        let status = match solution.status() {
            SolutionStatus::TimeLimit => Status::Limit,
            _ => Status::Optimal,
        };
        let values = columns.iter().map(|column| solution.value(*column)).collect();
        Ok(Solved { values, status, bound: None, nodes: None, seconds: None })
    }
}

fn failed(message: impl std::fmt::Debug) -> SolveError {
    SolveError::Failed { message: format!("{message:?}") }
}
