//! Names the species of iris flowers, and puts those aside that it cannot name.

use eddyline::prelude::*;
use serde::{Deserialize, Serialize};

const SPECIES: [&str; 3] = ["setosa", "versicolor", "virginica"];

/// A row of flowers.csv, in cm, and what we find out about it.
#[derive(Clone, Serialize, Deserialize)]
struct Flower {
    sepal_length: f32,
    sepal_width: f32,
    petal_length: f32,
    petal_width: f32,
    species: String,
    #[serde(default)]
    named: String,
    #[serde(default)]
    certain: f32,
}

#[tokio::main]
async fn main() -> Result<(), RunError> {
    let classifier = Model::onnx("iris.onnx")
        .input("measurements", |f: &Flower| {
            Tensor::vector(vec![f.sepal_length, f.sepal_width, f.petal_length, f.petal_width])
        })
        .output("probabilities", |f, output| {
            let probabilities = output.values::<f32>().expect("iris.onnx gives f32");
            let best = (0..3).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap();
            Flower { named: SPECIES[best].into(), certain: probabilities[best], ..f.clone() }
        });

    let flow = Workflow::new("iris");
    let flowers = flow.csv("flowers", "flowers.csv");
    let named = flowers.model("classify", classifier).handle("plausible", |f| match f {
        f if f.petal_length > 10.0 => Verdict::reject("no iris has so long a petal"),
        f if f.certain < 0.6 => Verdict::reject("less than 60 % certain"),
        _ => Verdict::Pass,
    });
    named.clone().write_csv("named.csv");
    let named = named.collect();

    // The page stays open until Ctrl-C; what is printed below comes after that.
    let mut report = if std::env::args().any(|arg| arg == "--no-page") {
        flow.run().await?
    } else {
        flow.run_with(web_ui::on("127.0.0.1:8080").until_ctrl_c()).await?
    };
    let named = report.take(named);
    let right = named.iter().filter(|f| f.named == f.species).count();
    print!("{report}");
    println!("{right} of {} flowers in named.csv are what the botanist says", named.len());
    Ok(())
}
