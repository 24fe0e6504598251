//! A part of a device: `L4/2` is one of two equal parts of an `L4`, with latencies of its own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One of `slices` equal parts of a device. Profiles name the kind of a fraction as it is written: `L4/2`; a whole device
/// is `L4`. Latencies hold while all parts of the device run the same work (PPipe, USENIX ATC 2025, §4, footnote).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fraction {
    /// The kind of the whole device.
    pub kind: String,
    /// Into how many parts it is divided, ≥ 1.
    pub slices: u32,
}

impl Fraction {
    /// One of `slices` parts of a device of that kind.
    pub fn new(kind: impl Into<String>, slices: u32) -> Self {
        Self { kind: kind.into(), slices }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slices {
            1 => f.write_str(&self.kind),
            slices => write!(f, "{}/{slices}", self.kind),
        }
    }
}

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, FractionError> {
        let Some((kind, slices)) = text.rsplit_once('/') else {
            return Ok(Self::new(text, 1));
        };
        match slices.parse() {
            Ok(slices) if slices > 0 && !kind.is_empty() => Ok(Self::new(kind, slices)),
            _ => Err(FractionError { text: text.to_owned() }),
        }
    }
}

/// Not a fraction of a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is no part of a device; write a kind and into how many parts it is divided, such as `L4/2`"
)]
pub struct FractionError {
    /// What was given.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_reads_as_it_is_written() {
        for fraction in [Fraction::new("L4", 1), Fraction::new("L4", 3)] {
            assert_eq!(fraction.to_string().parse(), Ok(fraction));
        }
        for wrong in ["L4/0", "L4/1.5", "L4/", "/2", "L4/-1"] {
            assert!(wrong.parse::<Fraction>().is_err(), "{wrong}");
        }
    }
}
