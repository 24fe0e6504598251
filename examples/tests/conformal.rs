//! Thresholds that keep a rate of errors, on handwritten digits and a real model: fitted on some pictures, measured on others.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use eddyline::{handlers::Conformal, prelude::*};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

const SEEDS: u64 = 20;
const CERTAINTY: f64 = 0.9;

/// A picture with noise, and what the model says of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    seed: u64,
    label: u8,
    picture: Tensor,
    class: u8,
    confidence: f32,
}

impl Reading {
    fn is_right(&self) -> bool {
        self.class == self.label
    }
}

/// The pictures on which the model was not trained, in another order and with other noise for each seed.
fn pictures() -> Vec<Reading> {
    let rows =
        csv::Reader::from_reader(include_bytes!("../account-numbers/digits.csv").as_slice()).into_records();
    let rows = rows.map(Result::unwrap).filter(|row| &row[0] != "train");
    let clean: Vec<(u8, Vec<f32>)> = rows
        .map(|row| {
            (row[1].parse().unwrap(), row.iter().skip(2).map(|pixel| pixel.parse().unwrap()).collect())
        })
        .collect();
    let noise = Normal::new(0.0, 2.5).unwrap();
    let of_seed = |seed| {
        let (mut random, mut clean) = (StdRng::seed_from_u64(seed), clean.clone());
        clean.shuffle(&mut random);
        clean.into_iter().map(move |(label, pixels)| {
            let noisy = pixels.iter().map(|pixel| (pixel + noise.sample(&mut random)).clamp(0.0, 16.0));
            let picture = Tensor::new([1, 8, 8], noisy.collect::<Vec<f32>>()).unwrap();
            Reading { seed, label, picture, class: 0, confidence: 0.0 }
        })
    };
    (0..SEEDS).flat_map(of_seed).collect()
}

fn reader() -> Model<Reading, Reading> {
    Model::onnx_bytes("light.onnx", include_bytes!("../account-numbers/light.onnx"))
        .input("picture", |reading: &Reading| reading.picture.clone())
        .output("probabilities", |reading, output| {
            let probabilities = output.values::<f32>().unwrap();
            let best = (0..10_u8)
                .max_by(|a, b| probabilities[*a as usize].total_cmp(&probabilities[*b as usize]))
                .unwrap();
            Reading { class: best, confidence: probabilities[best as usize], ..reading.clone() }
        })
}

/// Of 20 seeds: the mean share of errors among what is accepted, its standard error, and the share that is accepted. Half of the
/// pictures of a seed are fitted on, the others measured.
fn held_out(readings: &[Reading], rate: f64, class: impl Fn(&Reading) -> u8) -> (f64, f64, f64) {
    let sure = |reading: &Reading| (class(reading), f64::from(reading.confidence), reading.is_right());
    let (mut rates, mut kept, mut all) = (Vec::new(), 0, 0);
    for seed in 0..SEEDS {
        let own: Vec<&Reading> = readings.iter().filter(|reading| reading.seed == seed).collect();
        let (fitted_on, others) = own.split_at(own.len() / 2);
        let conformal =
            Conformal::fit(fitted_on.iter().map(|reading| sure(reading)), rate, CERTAINTY).unwrap();
        let accepted =
            others.iter().filter(|reading| conformal.accepts(&class(reading), f64::from(reading.confidence)));
        let accepted: Vec<_> = accepted.collect();
        let errors = accepted.iter().filter(|reading| !reading.is_right()).count();
        if !accepted.is_empty() {
            rates.push(errors as f64 / accepted.len() as f64);
        }
        (kept, all) = (kept + accepted.len(), all + others.len());
    }
    let len = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / len;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (len - 1.0);
    (mean, (variance / len).sqrt(), kept as f64 / all as f64)
}

#[tokio::test]
async fn the_stated_rate_holds_on_pictures_that_were_not_fitted_on() {
    let flow = Workflow::new("digits");
    let readings = flow.source("pictures", pictures()).model("light", reader()).collect();
    let readings = flow.run().await.unwrap().take(readings);
    let wrong = readings.iter().filter(|reading| !reading.is_right()).count() as f64 / readings.len() as f64;
    println!("{} readings, {wrong:.4} of them wrong", readings.len());
    let one_class = |_: &Reading| 0;
    let its_class = |reading: &Reading| reading.class;
    let mut least = Vec::new();
    for rate in [0.02, 0.03, 0.05] {
        let (mean, error, kept) = held_out(&readings, rate, one_class);
        println!("all digits, at most {rate}: {mean:.4} ± {error:.4} among the {kept:.3} that are accepted");
        assert!(mean <= rate + error && mean < wrong, "{mean} of {rate}");
        least.push(kept);
    }
    // What is more sure is less.
    assert!(least.is_sorted() && least[0] > 0.2, "{least:?}");
    let (mean, error, kept) = held_out(&readings, 0.08, its_class);
    println!("each digit, at most 0.08: {mean:.4} ± {error:.4} among the {kept:.3} that are accepted");
    assert!(mean <= 0.08 + error && kept > 0.3, "{mean} of {kept}");
}

#[tokio::test]
async fn in_a_workflow_who_is_not_sure_enough_is_asked_about() {
    let flow = Workflow::new("digits");
    let readings = flow.source("pictures", pictures()).model("light", reader()).collect();
    let readings = flow.run().await.unwrap().take(readings);
    let sample = readings.iter().filter(|reading| reading.seed < 3);
    let sample = sample.map(|reading| (reading.class, f64::from(reading.confidence), reading.is_right()));
    let conformal = Conformal::fit(sample, 0.05, CERTAINTY).unwrap();
    let expected =
        readings.iter().filter(|reading| conformal.accepts(&reading.class, f64::from(reading.confidence)));
    let expected = expected.count();

    let flow = Workflow::new("digits");
    let check = Check::new().conformal(&conformal, |reading: &Reading| (reading.class, reading.confidence));
    let sure =
        flow.source("pictures", pictures()).model("light", reader()).handle_with("sure", check.or_reject());
    let accepted = sure.collect();
    let mut report = flow.run().await.unwrap();
    let faults = report.faults().len();
    let accepted = report.take(accepted);
    assert_eq!(accepted.len(), expected);
    assert_eq!(faults + expected, readings.len());
    assert!(faults > 0 && expected > readings.len() / 2);
}
