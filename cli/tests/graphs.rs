//! Graphs of full cost, cut into 2, 3 and 5: no difference to the whole.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use eddyline_runtime::onnx::OnnxModel;

#[path = "../../runtime/tests/models/mod.rs"]
mod models;

#[path = "graphs/mod.rs"]
mod graphs;

mod is_cut_without_a_difference {
    use super::*;

    fn check(model: &Arc<OnnxModel>, open: usize) {
        models::assert_cuts_change_nothing(model, open, &[2, 3, 5]);
    }

    graphs::graphs!(check);
}

#[test]
fn a_graph_without_its_weights_is_refused_with_the_node() {
    if !graphs::is_left_out() {
        let refused = OnnxModel::load(graphs::seeded_file("ssdlite320")).unwrap_err().to_string();
        assert!(refused.contains("which no input, constant or node gives"), "{refused}");
    }
}
