//! What travels at first: pictures of receipts, as they come in and as handlers make them.

use eddyline::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::{
    draw::{self, Fault},
    picture,
    receipt::Receipt,
};

/// A receipt on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Its place among the receipts.
    pub number: usize,
    pub image: Image,
    /// Whether the heavy models are to look at it.
    pub heavily: bool,
    /// What was done to it and what it says; only the table at the end looks at these.
    pub fault: Fault,
    pub truth: Receipt,
}

impl Page {
    /// Receipts without end, with each fault in turn, two of eight clean; the same seed gives the same pictures.
    pub fn all(seed: u64, heavily: bool) -> impl Iterator<Item = Page> + Send {
        let mix = std::iter::once(Fault::Clean).chain(Fault::ALL);
        mix.cycle().enumerate().map(move |(number, fault)| {
            // Far apart, so that no two seeds have a receipt in common.
            let mut random = StdRng::seed_from_u64(seed * 1_000_003 + number as u64);
            let truth = Receipt::invented(&mut random);
            let image = draw::page(&truth, fault, &mut random);
            Page { number, image, heavily, fault, truth }
        })
    }

    /// Turned clockwise by so many right angles.
    pub fn turned(&self, quarters: u32) -> Self {
        self.with(picture::quarter_turned(&self.image, quarters))
    }

    /// Softened, which takes away more of the noise than of the text.
    pub fn softened(&self) -> Self {
        self.with(picture::softened(&self.image))
    }

    /// To be looked at by the heavy models.
    pub fn for_the_heavy(&self) -> Self {
        Page { heavily: true, ..self.clone() }
    }

    /// The same page with another picture.
    pub fn with(&self, image: Image) -> Self {
        Page { image, ..self.clone() }
    }
}
