use eddyline::prelude::*;

fn main() {
    let flow = Workflow::new("no key");
    flow.source("numbers", [1, 2, 3]).handle("again", |_| Verdict::NextAlternative).ignore();
}
