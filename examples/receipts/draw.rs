//! Pictures of receipts, the same on every machine: the letters are pictures too, and come with a crate.

use eddyline::prelude::*;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use rand::{Rng, rngs::StdRng};
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use crate::{
    picture::{self, PAPER},
    receipt::{COLUMNS, Receipt},
};

/// Pixels of a page that stands upright; both are multiples of 32, as detectors want them.
pub const WIDTH: u32 = 416;
pub const HEIGHT: u32 = 480;
/// Thermal paper is grey on white.
const INK: u8 = 110;
const LETTERS: RasterHeight = RasterHeight::Size20;
/// From line to line.
const PITCH: u32 = 28;

/// What was done to a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    Clean,
    /// Turned by three degrees, to either side.
    Crooked3,
    /// By eight.
    Crooked8,
    /// By one, two or three right angles.
    Sideways,
    /// With Gaussian noise of standard deviation 30.
    Noisy,
    /// With 12 % of its contrast.
    Faint,
    /// With a red stamp across it.
    Stamped,
}

impl Fault {
    pub const ALL: [Fault; 7] = [
        Fault::Clean,
        Fault::Crooked3,
        Fault::Crooked8,
        Fault::Sideways,
        Fault::Noisy,
        Fault::Faint,
        Fault::Stamped,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Fault::Clean => "clean",
            Fault::Crooked3 => "crooked by 3°",
            Fault::Crooked8 => "crooked by 8°",
            Fault::Sideways => "turned by 90, 180, 270°",
            Fault::Noisy => "noise, σ = 30",
            Fault::Faint => "faint, 12 % contrast",
            Fault::Stamped => "red stamp",
        }
    }

    /// Spoils a clean picture.
    fn spoil(self, clean: &Image, random: &mut StdRng) -> Image {
        let side = if random.random_bool(0.5) { 1.0 } else { -1.0 };
        match self {
            Fault::Clean => clean.clone(),
            Fault::Crooked3 => picture::turned(clean, 3.0 * side),
            Fault::Crooked8 => picture::turned(clean, 8.0 * side),
            Fault::Sideways => picture::quarter_turned(clean, random.random_range(1..=3)),
            Fault::Noisy => noisy(clean, 30.0, random),
            Fault::Faint => picture::recoloured(clean, |pixel| {
                pixel.map(|value| (160.0 + (f32::from(value) - 160.0) * 0.12).round() as u8)
            }),
            Fault::Stamped => stamped(clean, random),
        }
    }
}

/// A page as it comes in.
pub fn page(receipt: &Receipt, fault: Fault, random: &mut StdRng) -> Image {
    let spoilt = fault.spoil(&printed(receipt, random), random);
    // No camera is without noise.
    noisy(&spoilt, 3.0, random)
}

fn printed(receipt: &Receipt, random: &mut StdRng) -> Image {
    let weight = if random.random_bool(0.5) { FontWeight::Regular } else { FontWeight::Bold };
    let advance = get_raster_width(weight, LETTERS) as u32;
    let lines = receipt.lines();
    let left = (WIDTH - advance * COLUMNS as u32) / 2;
    let top = (HEIGHT - PITCH * lines.len() as u32) / 2;
    let mut rgb = picture::blank(WIDTH, HEIGHT).rgb.to_vec();
    for (line, y) in lines.iter().zip((top..).step_by(PITCH as usize)) {
        for (letter, x) in line.chars().zip((left..).step_by(advance as usize)) {
            let Some(raster) = get_raster(letter, weight, LETTERS) else { continue };
            for (dy, row) in raster.rows().enumerate() {
                for (dx, ink) in row.iter().enumerate() {
                    let at = 3 * ((y as usize + dy) * WIDTH as usize + x as usize + dx);
                    let value = PAPER - ((u32::from(*ink) * u32::from(PAPER - INK)) / 255) as u8;
                    rgb[at..at + 3].fill(value);
                }
            }
        }
    }
    picture::made(WIDTH, HEIGHT, rgb)
}

fn noisy(image: &Image, sigma: f32, random: &mut StdRng) -> Image {
    let Ok(noise) = Normal::new(0.0, sigma) else { return image.clone() };
    // The same for the three channels, as of a scanner for grey.
    picture::recoloured(image, |pixel| {
        let n: f32 = noise.sample(random);
        pixel.map(|value| (f32::from(value) + n).round().clamp(0.0, 255.0) as u8)
    })
}

/// A ring and slanting bars of red ink, which lets black ink through and hides nothing from who looks at red alone.
fn stamped(image: &Image, random: &mut StdRng) -> Image {
    let (x0, y0) = (random.random_range(140..280) as f32, random.random_range(150..330) as f32);
    let mut rgb = image.rgb.to_vec();
    for (at, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((at as u32 % WIDTH) as f32 - x0, (at as u32 / WIDTH) as f32 - y0);
        let r = x.hypot(y);
        let is_ring = (95.0..110.0).contains(&r);
        let is_bar = r < 95.0 && (x * 0.5 + y).rem_euclid(26.0) < 13.0;
        if is_ring || is_bar {
            // Red ink swallows green and blue.
            pixel[1] = (f32::from(pixel[1]) * 0.15) as u8;
            pixel[2] = (f32::from(pixel[2]) * 0.2) as u8;
        }
    }
    picture::made(image.width, image.height, rgb)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_picture_and_each_fault_another() {
        let of = |fault, seed| {
            let mut random = StdRng::seed_from_u64(seed);
            page(&Receipt::invented(&mut random), fault, &mut random)
        };
        for fault in Fault::ALL {
            assert_eq!(of(fault, 3), of(fault, 3));
            assert_ne!(of(fault, 3), of(fault, 4));
            assert!(fault == Fault::Clean || of(fault, 3) != of(Fault::Clean, 3), "{fault:?}");
        }
    }
}
