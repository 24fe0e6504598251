use eddyline::prelude::*;

fn main() {
    let flow = Workflow::new("twice");
    let (numbers, again) = flow.source("numbers", [1, 2, 3]).feedback("again", Rounds::at_most(1));
    numbers
        .handle_or_retry("first", again, |n| Verdict::Retry(*n))
        .handle_or_retry("second", again, |n| Verdict::Retry(*n))
        .ignore();
}
