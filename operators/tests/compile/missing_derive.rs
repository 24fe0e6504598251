use eddyline::prelude::*;

#[derive(Clone)]
struct Reading {
    celsius: f64,
}

fn main() {
    let flow = Workflow::new("no derive");
    let _readings = flow.source("numbers", [1.0, 2.0]).map(|celsius| Reading { celsius });
}
