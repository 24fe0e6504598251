//! The workflow, in the five ways that the table compares.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use eddyline::{check_digit::luhn_remainder, prelude::*};

use crate::{
    number::{Digit, Number, Probabilities, Reading},
    policy::Policy,
};

/// One way to read account numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    None,
    Drop,
    Heavy,
    HeavyCorrected,
    Handlers,
}

impl Mode {
    pub const ALL: [Mode; 5] = [Mode::None, Mode::Drop, Mode::Heavy, Mode::HeavyCorrected, Mode::Handlers];

    pub fn name(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Drop => "detect and drop",
            Mode::Heavy => "heavy everywhere",
            Mode::HeavyCorrected => "heavy everywhere with the corrector",
            Mode::Handlers => "light with handlers",
        }
    }

    /// Its name in `expected.json`.
    pub fn key(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Drop => "detect_and_drop",
            Mode::Heavy => "heavy_everywhere",
            Mode::HeavyCorrected => "heavy_with_corrector",
            Mode::Handlers => "light_with_handlers",
        }
    }

    /// Its name among the figures of the benchmark `handlers`.
    pub fn figure(self) -> &'static str {
        match self {
            Mode::None => "none",
            Mode::Drop => "drop",
            Mode::Heavy => "heavy",
            Mode::HeavyCorrected => "heavy-corrected",
            Mode::Handlers => "handlers",
        }
    }

    /// Whether the first look is by the heavy model.
    pub fn begins_heavy(self) -> bool {
        matches!(self, Mode::Heavy | Mode::HeavyCorrected)
    }
}

/// Writes the workflow of `mode` behind `numbers`. `first_right` counts the numbers that the first look read right.
pub fn read(
    numbers: Stream<Number>,
    mode: Mode,
    policy: Policy,
    first_right: &Arc<AtomicU64>,
) -> Stream<Number> {
    let right = Arc::clone(first_right);
    let count = move |number: &Number| {
        if number.wanted.len() == number.read.len() && number.is_right() {
            right.fetch_add(1, Ordering::Relaxed);
        }
    };
    match mode {
        Mode::None | Mode::Heavy => look(numbers).inspect(count).named("count"),
        Mode::Drop => look(numbers).inspect(count).named("count").handle("check digit", |number| {
            if luhn_remainder(&number.read) == 0 {
                Verdict::Pass
            } else {
                Verdict::drop("the check digit does not fit")
            }
        }),
        Mode::HeavyCorrected => correct(look(numbers).inspect(count).named("count"), policy),
        Mode::Handlers => {
            let (numbers, again) = numbers.feedback("look again", Rounds::at_most(1));
            let unsure = by(move |number: &Number, seen: &Seen| policy.look_again(number, seen));
            correct(
                look(numbers).inspect(count).named("count").handle_or_retry_with("unsure", again, unsure),
                policy,
            )
        }
    }
}

/// Reads the wanted digits of each number, each by the model that it asks for.
fn look(numbers: Stream<Number>) -> Stream<Number> {
    let (digits, wholes) = numbers.scatter(Number::digits);
    let (heavily, lightly) = digits.named("digits").split(|digit| digit.heavily);
    let light =
        lightly.named("which model").model("light", model("light.onnx", include_bytes!("light.onnx")));
    let heavy = heavily.model("heavy", model("heavy.onnx", include_bytes!("heavy.onnx")));
    let readings = light.merge(heavy).named("readings");
    readings.gather(wholes, |number, readings| number.with(readings.into_values())).named("number")
}

fn correct(numbers: Stream<Number>, policy: Policy) -> Stream<Number> {
    numbers
        .handle("check digit", move |number| policy.correct(number))
        .handle("improbable", move |number| policy.reject(number))
}

fn model(name: &str, bytes: &[u8]) -> Model<Digit, Reading> {
    Model::onnx_bytes(name, bytes).input("picture", |digit: &Digit| digit.picture.clone()).output(
        "probabilities",
        |digit, output| {
            let mut probabilities: Probabilities = [0.0; 10];
            if let Ok(values) = output.values::<f32>() {
                for (mine, value) in probabilities.iter_mut().zip(values) {
                    *mine = *value;
                }
            }
            Reading { place: digit.place, probabilities }
        },
    )
}
