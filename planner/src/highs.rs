//! HiGHS, the solver that proves: bound, gap and nodes are read from its own model beside good_lp's algebra.

use std::ffi::{CStr, c_char, c_int, c_void};

use good_lp::{SolverModel as _, solvers::highs::highs as of_good_lp};
use highs::{HighsModelStatus, HighsSolutionStatus, Model, SolvedModel};

use crate::solver::{Limits, Program, Progress, SolveError, Solved, Solver, Status, Watcher};

/// HiGHS on one thread, which makes runs repeat.
#[derive(Clone, Copy, Debug, Default)]
pub struct Highs;

impl Solver for Highs {
    fn name(&self) -> &'static str {
        "HiGHS"
    }

    fn solve(&self, program: Program, limits: &Limits) -> Result<Solved, SolveError> {
        let Program { variables, columns, rows, objective, start } = program;
        let mut problem = variables.maximise(objective).using(of_good_lp);
        for row in rows {
            problem.add_constraint(row);
        }
        let mut model = problem.try_into_inner().map_err(failed)?;
        set_options(&mut model, limits)?;
        if let Some(values) = &start {
            model.try_set_solution(Some(values), None, None, None).map_err(failed)?;
        }
        if let Some(watcher) = &limits.watch {
            watch(&mut model, watcher)?;
        }
        let solved = model.try_solve().map_err(failed)?;
        let status = match solved.status() {
            HighsModelStatus::Optimal | HighsModelStatus::ModelEmpty => Status::Optimal,
            HighsModelStatus::Infeasible | HighsModelStatus::UnboundedOrInfeasible => {
                return Err(SolveError::Infeasible);
            }
            HighsModelStatus::ReachedTimeLimit
            | HighsModelStatus::ReachedSolutionLimit
            | HighsModelStatus::ReachedInterrupt
            | HighsModelStatus::ReachedIterationLimit
            | HighsModelStatus::ReachedMemoryLimit => Status::Limit,
            other => return Err(failed(other)),
        };
        if solved.primal_solution_status() != HighsSolutionStatus::Feasible {
            return Err(SolveError::Limit);
        }
        let number = |name: &CStr| solved.double_info_value(name).ok().filter(|value| value.is_finite());
        let values = solved.get_solution().columns().to_vec();
        if values.len() != columns.len() {
            return Err(failed("a solution of another size"));
        }
        Ok(Solved {
            values,
            status,
            bound: number(c"mip_dual_bound"),
            nodes: nodes(&solved),
            // SAFETY: the pointer is that of a live HiGHS model, which the call only reads.
            seconds: Some(unsafe { highs_sys::Highs_getRunTime(solved.as_ptr()) }),
        })
    }
}

/// Has HiGHS tell of every better solution, and now and then. The watcher must outlive the search.
fn watch(model: &mut Model, watcher: &Watcher) -> Result<(), SolveError> {
    let whom = std::ptr::from_ref(watcher).cast_mut().cast::<c_void>();
    let events = [highs_sys::kHighsCallbackMipImprovingSolution, highs_sys::kHighsCallbackMipLogging];
    // SAFETY: the pointers are to a live model and to a watcher that its caller borrows until the search has ended; HiGHS calls
    // back during the search only.
    let set = unsafe {
        let set = highs_sys::Highs_setCallback(model.as_mut_ptr(), Some(told), whom);
        events
            .iter()
            .fold(set, |set, event| set.max(highs_sys::Highs_startCallback(model.as_mut_ptr(), *event)))
    };
    if set == highs_sys::STATUS_OK { Ok(()) } else { Err(failed("it cannot be watched")) }
}

/// What HiGHS calls.
unsafe extern "C" fn told(
    _event: c_int,
    _message: *const c_char,
    out: *const highs_sys::HighsCallbackDataOut,
    _into: *mut highs_sys::HighsCallbackDataIn,
    whom: *mut c_void,
) {
    // SAFETY: `whom` is what `watch` gave, and what HiGHS tells lives for the call.
    let (Some(watcher), Some(out)) = (unsafe { whom.cast::<Watcher>().as_ref() }, unsafe { out.as_ref() })
    else {
        return;
    };
    // Before there is one, HiGHS says infinity, or a very large number.
    let known = |figure: f64| Some(figure).filter(|figure| figure.abs() < 1e100);
    let (value, bound) = (known(out.mip_primal_bound), known(out.mip_dual_bound));
    let progress = Progress { seconds: Some(out.running_time), value, bound };
    // A panic must not unwind through HiGHS; who watches badly is not told.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watcher.tell(progress)));
}

/// Nodes of the search tree, which `highs` does not read since the figure has 64 bits.
fn nodes(solved: &SolvedModel) -> Option<u64> {
    let mut count = -1_i64;
    // SAFETY: the pointer is that of a live HiGHS model, the name ends with a zero, and the figure is of that type.
    let read = unsafe {
        highs_sys::Highs_getInt64InfoValue(solved.as_ptr(), c"mip_node_count".as_ptr(), &raw mut count)
    };
    if read == highs_sys::STATUS_OK { count.try_into().ok() } else { None }
}

fn set_options(model: &mut Model, limits: &Limits) -> Result<(), SolveError> {
    model.try_set_option("output_flag", false).map_err(failed)?;
    model.try_set_option("log_to_console", false).map_err(failed)?;
    model.try_set_option("time_limit", limits.seconds).map_err(failed)?;
    model.try_set_option("mip_rel_gap", limits.gap).map_err(failed)?;
    model.try_set_option("mip_abs_gap", 1e-9).map_err(failed)?;
    model.try_set_option("threads", 1).map_err(failed)?;
    if let Some(nodes) = limits.nodes {
        model.try_set_option("mip_max_nodes", i32::try_from(nodes).unwrap_or(i32::MAX)).map_err(failed)?;
    }
    // What is not logged is not told either.
    if limits.watch.is_some() {
        model.try_set_option("output_flag", true).map_err(failed)?;
    }
    if let Some(log) = &limits.log {
        model.try_set_option("output_flag", true).map_err(failed)?;
        model.try_set_option("log_file", log.display().to_string().as_str()).map_err(failed)?;
    }
    Ok(())
}

fn failed(message: impl std::fmt::Debug) -> SolveError {
    SolveError::Failed { message: format!("{message:?}") }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use crate::{Highs, Limits, Objective, Progress, Watcher, objectives::problem, plan};

    #[test]
    fn who_watches_is_told_of_what_is_found_in_the_units_that_were_asked_for() {
        let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let seen = Arc::clone(&told);
        let watch = Watcher::new(move |progress| seen.lock().unwrap().push(progress));
        let question = problem(4, 8, [1000.0, 1000.0], Objective::LeastCost);
        let answer = plan(&question, &Highs, &Limits { watch: Some(watch), ..Limits::default() }).unwrap();
        let told = told.lock().unwrap();
        let best = told.iter().filter_map(|progress| progress.value).fold(f64::INFINITY, f64::min);
        assert!((best - answer.proof.value).abs() < 1e-6, "{told:?}");
        let fits = |of: &Progress| of.value.zip(of.bound).is_none_or(|(value, bound)| bound <= value + 1e-6);
        assert!(told.iter().all(fits), "{told:?}");
    }
}
