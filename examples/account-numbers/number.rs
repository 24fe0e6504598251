//! What travels: account numbers as pictures of handwritten digits, and what has been read of them.

use std::{collections::HashMap, error::Error, sync::Arc};

use eddyline::{check_digit::luhn_substitute, prelude::*};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use crate::policy::Policy;

/// Digits of an account number; the last is the check digit.
pub const PLACES: usize = 10;

/// What a model thinks of one picture: the probability of each digit.
pub type Probabilities = [f32; 10];

/// An account number on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Number {
    /// The digits as read so far.
    pub read: Vec<u8>,
    /// What was written; only the table at the end looks at it.
    pub truth: Vec<u8>,
    /// The first reading.
    pub first: Vec<u8>,
    /// The places to be read next, and whether by the heavy model.
    pub wanted: Vec<usize>,
    pub heavily: bool,
    /// What the models think of each picture.
    pub thoughts: Vec<Probabilities>,
    /// The ten pictures, `f32[1,8,8]`, 0 to 16.
    pub pictures: Vec<Tensor>,
}

/// One digit's picture on its way to a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Digit {
    pub place: usize,
    pub heavily: bool,
    pub picture: Tensor,
}

/// What a model says of one digit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reading {
    pub place: usize,
    pub probabilities: Probabilities,
}

impl Number {
    /// The digits that are to be read.
    pub fn digits(&self) -> Vec<Digit> {
        let digit =
            |&place: &usize| Digit { place, heavily: self.heavily, picture: self.pictures[place].clone() };
        self.wanted.iter().map(digit).collect()
    }

    /// The number with these readings in their places.
    pub fn with(mut self, readings: impl Iterator<Item = Reading>) -> Self {
        for reading in readings {
            self.read[reading.place] = most_probable(&reading.probabilities);
            self.thoughts[reading.place] = reading.probabilities;
        }
        if self.first.is_empty() {
            self.first.clone_from(&self.read);
        }
        self
    }

    pub fn is_right(&self) -> bool {
        self.read == self.truth
    }
}

pub fn most_probable(probabilities: &Probabilities) -> u8 {
    (0..10).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0) as u8
}

/// The real digits of `digits.csv`, and the noise that every picture gets.
#[derive(Clone)]
pub struct Pictures {
    by_label: Arc<HashMap<u8, Vec<Vec<f32>>>>,
    noise: Normal<f32>,
}

impl Pictures {
    /// The pictures that no model was trained on and no threshold was chosen on.
    pub fn test(policy: &Policy) -> Result<Self, Box<dyn Error>> {
        let mut by_label: HashMap<u8, Vec<Vec<f32>>> = HashMap::new();
        for row in csv::Reader::from_reader(include_bytes!("digits.csv").as_slice()).records() {
            let row = row?;
            if &row[0] == "test" {
                let pixels = row.iter().skip(2).map(str::parse).collect::<Result<_, _>>()?;
                by_label.entry(row[1].parse()?).or_default().push(pixels);
            }
        }
        Ok(Self { by_label: Arc::new(by_label), noise: Normal::new(0.0, policy.noise_sigma)? })
    }

    /// Account numbers without end; the same seed gives the same numbers.
    pub fn numbers(self, seed: u64, heavily: bool) -> impl Iterator<Item = Number> + Send {
        let mut random = StdRng::seed_from_u64(seed);
        std::iter::repeat_with(move || {
            let mut truth: Vec<u8> = (0..PLACES).map(|_| random.random_range(0..10)).collect();
            truth[PLACES - 1] = luhn_substitute(&truth, PLACES - 1);
            Number {
                pictures: truth.iter().map(|&digit| self.picture(digit, &mut random)).collect(),
                read: vec![0; PLACES],
                first: Vec::new(),
                wanted: (0..PLACES).collect(),
                heavily,
                thoughts: vec![[0.0; 10]; PLACES],
                truth,
            }
        })
    }

    fn picture(&self, digit: u8, random: &mut StdRng) -> Tensor {
        let clean = self.by_label.get(&digit).and_then(|pictures| pictures.choose(random));
        let noisy = |pixel: &f32| (pixel + self.noise.sample(random)).clamp(0.0, 16.0);
        let pixels: Vec<f32> = clean.map(|pixels| pixels.iter().map(noisy).collect()).unwrap_or_default();
        Tensor::new([1, 8, 8], pixels).unwrap_or_else(|_| Tensor::vector(vec![0.0f32]))
    }
}
