//! Graphs of full cost, cut into 2, 3 and 5: no difference to the whole. `scripts/fetch-models.sh` fetches those that are on PyPI;
//! `EDDYLINE_SHARED=skip` leaves all of them out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eddyline_runtime::onnx::OnnxModel;

#[path = "../../runtime/tests/models/mod.rs"]
mod models;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn is_left_out() -> bool {
    std::env::var_os("EDDYLINE_SHARED").is_some_and(|value| value == "skip")
}

fn exists(path: PathBuf, what_to_do: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing: {what_to_do}, or set EDDYLINE_SHARED=skip", path.display());
    path
}

/// A graph whose weights are made up, from `../shared/models/graphs`.
fn seeded(name: &str) {
    if !is_left_out() {
        let path = home().join(format!("../shared/models/graphs/{name}.seeded.onnx"));
        models::assert_cuts_change_nothing(
            &models::seeded(&exists(path, "get the shared folder")),
            64,
            &[2, 3, 5],
        );
    }
}

/// A graph that `scripts/fetch-models.sh` fetched.
fn fetched(name: &str, open: usize) {
    if !is_left_out() {
        let path = exists(home().join(format!("target/models/{name}.onnx")), "run scripts/fetch-models.sh");
        models::assert_cuts_change_nothing(&Arc::new(OnnxModel::load(path).unwrap()), open, &[2, 3, 5]);
    }
}

macro_rules! graphs {
    ($($test:ident: $call:expr;)*) => {
        $(#[test] fn $test() { $call })*
    };
}

graphs! {
    convnext_is_cut_without_a_difference: seeded("convnext_tiny");
    deeplab_is_cut_without_a_difference: seeded("deeplabv3_mbv3");
    densenet_is_cut_without_a_difference: seeded("densenet121");
    efficientnet_is_cut_without_a_difference: seeded("efficientnet_b0");
    fcn_is_cut_without_a_difference: seeded("fcn_resnet50");
    mobilenet_is_cut_without_a_difference: seeded("mobilenet_v2");
    resnet_is_cut_without_a_difference: seeded("resnet50");
    light_alexnet_is_cut_without_a_difference: fetched("light_bvlc_alexnet", 64);
    light_densenet_is_cut_without_a_difference: fetched("light_densenet121", 64);
    light_inception_v1_is_cut_without_a_difference: fetched("light_inception_v1", 64);
    light_inception_v2_is_cut_without_a_difference: fetched("light_inception_v2", 64);
    light_resnet_is_cut_without_a_difference: fetched("light_resnet50", 64);
    light_shufflenet_is_cut_without_a_difference: fetched("light_shufflenet", 64);
    light_squeezenet_is_cut_without_a_difference: fetched("light_squeezenet", 64);
    light_vgg_is_cut_without_a_difference: fetched("light_vgg19", 64);
    light_zfnet_is_cut_without_a_difference: fetched("light_zfnet512", 64);
    the_tiny_text_detector_is_cut_without_a_difference: fetched("ocr_det_tiny", 64);
    the_tiny_text_reader_is_cut_without_a_difference: fetched("ocr_rec_tiny", 48);
    the_text_detector_is_cut_without_a_difference: fetched("ocr_det_v4", 64);
    the_text_reader_is_cut_without_a_difference: fetched("ocr_rec_v4", 48);
    the_page_orientation_is_cut_without_a_difference: fetched("doc_orientation", 64);
    the_file_types_are_cut_without_a_difference: fetched("magika", 64);
}

#[test]
fn a_graph_without_its_weights_is_refused_with_the_node() {
    if is_left_out() {
        return;
    }
    let path = exists(home().join("../shared/models/graphs/ssdlite320.seeded.onnx"), "get the shared folder");
    let refused = OnnxModel::load(path).unwrap_err().to_string();
    assert!(refused.contains("which no input, constant or node gives"), "{refused}");
}
