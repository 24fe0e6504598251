use eddyline::prelude::*;

fn main() {
    let flow = Workflow::new("bool");
    flow.source("numbers", [1, 2, 3]).handle("positive", |n| *n > 0).ignore();
}
