use eddyline::prelude::*;

fn main() {
    let flow = Workflow::new("another type");
    let (numbers, again) = flow.source("numbers", [1, 2, 3]).feedback("again", Rounds::at_most(1));
    let words = numbers.map(|n: i32| n.to_string());
    words.handle_or_retry("short", again, |word| Verdict::Retry(word.clone())).ignore();
}
