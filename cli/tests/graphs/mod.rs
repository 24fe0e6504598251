//! The graphs of full cost that tests cut. `scripts/fetch-models.sh` fetches those that are on PyPI; `EDDYLINE_SHARED=skip` leaves all of
//! them out.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use eddyline_runtime::onnx::OnnxModel;

use crate::models;

pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn is_left_out() -> bool {
    std::env::var_os("EDDYLINE_SHARED").is_some_and(|value| value == "skip")
}

fn exists(path: PathBuf, what_to_do: &str) -> PathBuf {
    assert!(path.exists(), "{} is missing: {what_to_do}, or set EDDYLINE_SHARED=skip", path.display());
    path
}

/// A file of a graph whose weights are made up, in `../shared/models/graphs`.
pub fn seeded_file(name: &str) -> PathBuf {
    exists(home().join(format!("../shared/models/graphs/{name}.seeded.onnx")), "get the shared folder")
}

/// Such a graph; `None` where they are left out.
pub fn seeded(name: &str) -> Option<Arc<OnnxModel>> {
    (!is_left_out()).then(|| models::seeded(&seeded_file(name)))
}

/// A file that `scripts/fetch-models.sh` fetched.
pub fn fetched_file(name: &str) -> PathBuf {
    exists(home().join(format!("target/models/{name}.onnx")), "run scripts/fetch-models.sh")
}

/// Such a graph; `None` where they are left out.
pub fn fetched(name: &str) -> Option<Arc<OnnxModel>> {
    (!is_left_out()).then(|| Arc::new(OnnxModel::load(fetched_file(name)).unwrap()))
}

/// A test for each graph that the cpu engine accepts: a call with the graph and how long its open dimensions are.
macro_rules! graphs {
    ($check:ident) => {
        $crate::graphs::graphs!(@ $check;
            convnext: seeded("convnext_tiny"), 64;
            deeplab: seeded("deeplabv3_mbv3"), 64;
            densenet: seeded("densenet121"), 64;
            efficientnet: seeded("efficientnet_b0"), 64;
            fcn: seeded("fcn_resnet50"), 64;
            mobilenet: seeded("mobilenet_v2"), 64;
            resnet: seeded("resnet50"), 64;
            light_alexnet: fetched("light_bvlc_alexnet"), 64;
            light_densenet: fetched("light_densenet121"), 64;
            light_inception_v1: fetched("light_inception_v1"), 64;
            light_inception_v2: fetched("light_inception_v2"), 64;
            light_resnet: fetched("light_resnet50"), 64;
            light_shufflenet: fetched("light_shufflenet"), 64;
            light_squeezenet: fetched("light_squeezenet"), 64;
            light_vgg: fetched("light_vgg19"), 64;
            light_zfnet: fetched("light_zfnet512"), 64;
            the_tiny_text_detector: fetched("ocr_det_tiny"), 64;
            the_tiny_text_reader: fetched("ocr_rec_tiny"), 48;
            the_text_detector: fetched("ocr_det_v4"), 64;
            the_text_reader: fetched("ocr_rec_v4"), 48;
            the_page_orientation: fetched("doc_orientation"), 64;
            the_page_layout: fetched("layout_cdla"), 64;
            the_faces: fetched("yunet"), 64;
            the_pictures: fetched("mobilenet_v2_real"), 64;
            the_street: fetched("yolov4_tiny"), 64;
            the_file_types: fetched("magika"), 64;
        );
    };
    (@ $check:ident; $($test:ident: $source:ident($name:literal), $open:literal;)*) => {
        $(#[test] fn $test() {
            if let Some(model) = $crate::graphs::$source($name) {
                $check(&model, $open);
            }
        })*
    };
}
pub(crate) use graphs;
