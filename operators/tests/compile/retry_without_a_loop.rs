use eddyline::prelude::*;

fn main() {
    let flow = Workflow::new("no loop");
    flow.source("numbers", [1, 2, 3]).handle("again", |n| Verdict::Retry(*n)).ignore();
}
