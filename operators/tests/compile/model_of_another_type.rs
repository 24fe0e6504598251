use eddyline::prelude::*;

fn main() {
    let flow = Workflow::new("wrong model");
    let lengths = Model::function(|words: &[String]| words.iter().map(String::len).collect());
    flow.source("numbers", [1, 2, 3]).model("length", lengths).ignore();
}
