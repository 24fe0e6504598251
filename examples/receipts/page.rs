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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Receipts without end, with each fault in turn; the same seed gives the same pictures.
    pub fn all(seed: u64, heavily: bool) -> impl Iterator<Item = Page> + Send {
        Fault::ALL.into_iter().cycle().enumerate().map(move |(number, fault)| {
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

    /// Through red glass, which takes stamps away, and softened, which takes noise away.
    pub fn cleaned(&self) -> Self {
        self.with(picture::softened(&picture::red(&self.image)))
    }

    /// To be looked at by the heavy models.
    pub fn for_the_heavy(&self) -> Self {
        Page { heavily: true, ..self.with(picture::red(&self.image)) }
    }

    /// The same page with another picture.
    pub fn with(&self, image: Image) -> Self {
        Page { image, ..self.clone() }
    }
}
