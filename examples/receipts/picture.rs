//! Pictures: turned, cleaned and cut out. All are [`Image`]s, RGB with 8 bits per channel.

use eddyline::prelude::*;

/// The colour of paper, which is also what lies outside of a picture.
pub const PAPER: u8 = 250;

/// A picture of one colour.
pub fn blank(width: u32, height: u32) -> Image {
    made(width, height, vec![PAPER; 3 * (width * height) as usize])
}

/// A picture of these bytes.
pub fn made(width: u32, height: u32, rgb: Vec<u8>) -> Image {
    Image { name: "".into(), width, height, rgb: rgb.into() }
}

/// The same picture with other colours.
pub fn recoloured(image: &Image, f: impl FnMut([u8; 3]) -> [u8; 3]) -> Image {
    let pixels = image.rgb.as_chunks().0;
    made(image.width, image.height, pixels.iter().copied().flat_map(f).collect())
}

/// The colour at a place between pixels; their centres are whole numbers.
pub fn colour_at(image: &Image, x: f32, y: f32) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, lower_share) = (x - left, y - top);
    let mut colour = [0.0; 3];
    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let share = (if dx == 1 { right_share } else { 1.0 - right_share })
            * (if dy == 1 { lower_share } else { 1.0 - lower_share });
        let pixel = pixel_at(image, left as i64 + dx, top as i64 + dy);
        for (mine, value) in colour.iter_mut().zip(pixel) {
            *mine += share * f32::from(value);
        }
    }
    colour
}

fn pixel_at(image: &Image, x: i64, y: i64) -> [u8; 3] {
    let (width, height) = (i64::from(image.width), i64::from(image.height));
    if !(0..width).contains(&x) || !(0..height).contains(&y) {
        return [PAPER; 3];
    }
    let at = 3 * (y * width + x) as usize;
    [image.rgb[at], image.rgb[at + 1], image.rgb[at + 2]]
}

/// A picture of this size whose pixel (x, y) is what `image` has at `place(x, y)`.
fn drawn(width: u32, height: u32, image: &Image, place: impl Fn(f32, f32) -> (f32, f32)) -> Image {
    let mut rgb = Vec::with_capacity(3 * (width * height) as usize);
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = place(x as f32, y as f32);
            rgb.extend(colour_at(image, from_x, from_y).map(|value| value.round() as u8));
        }
    }
    made(width, height, rgb)
}

/// Turned clockwise about its middle, in a frame of the same size.
pub fn turned(image: &Image, degrees: f32) -> Image {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (x0, y0) = ((image.width - 1) as f32 / 2.0, (image.height - 1) as f32 / 2.0);
    drawn(image.width, image.height, image, |x, y| {
        let (dx, dy) = (x - x0, y - y0);
        (x0 + cos * dx + sin * dy, y0 - sin * dx + cos * dy)
    })
}

/// Turned clockwise by so many right angles.
pub fn quarter_turned(image: &Image, quarters: u32) -> Image {
    let (width, height) = (image.width as f32 - 1.0, image.height as f32 - 1.0);
    match quarters % 4 {
        0 => image.clone(),
        1 => drawn(image.height, image.width, image, |x, y| (y, height - x)),
        2 => drawn(image.width, image.height, image, |x, y| (width - x, height - y)),
        _ => drawn(image.height, image.width, image, |x, y| (width - y, x)),
    }
}

/// Shrunk or stretched to another size.
pub fn resized(image: &Image, width: u32, height: u32) -> Image {
    let (by_x, by_y) = (image.width as f32 / width as f32, image.height as f32 / height as f32);
    drawn(width, height, image, |x, y| ((x + 0.5) * by_x - 0.5, (y + 0.5) * by_y - 0.5))
}

/// How much of it is of such colours, 0 to 1.
pub fn share(image: &Image, is: impl Fn([u8; 3]) -> bool) -> f64 {
    let pixels = image.rgb.as_chunks().0;
    pixels.iter().filter(|pixel| is(**pixel)).count() as f64 / pixels.len().max(1) as f64
}

/// What it is through red glass: the red of each pixel is its grey.
pub fn red(image: &Image) -> Image {
    recoloured(image, |pixel| [pixel[0]; 3])
}

/// Each pixel is a weighted mean of the nine around it, so that noise falls to three eighths.
pub fn softened(image: &Image) -> Image {
    const WEIGHTS: [u32; 9] = [1, 2, 1, 2, 4, 2, 1, 2, 1];
    let mut rgb = Vec::with_capacity(image.rgb.len());
    for y in 0..i64::from(image.height) {
        for x in 0..i64::from(image.width) {
            let mut sums = [8; 3];
            let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)));
            for ((dx, dy), weight) in around.zip(WEIGHTS) {
                for (sum, value) in sums.iter_mut().zip(pixel_at(image, x + dx, y + dy)) {
                    *sum += weight * u32::from(value);
                }
            }
            rgb.extend(sums.map(|sum| (sum / 16) as u8));
        }
    }
    made(image.width, image.height, rgb)
}

/// The middle of it.
pub fn cropped(image: &Image, width: u32, height: u32) -> Image {
    let (left, top) =
        ((image.width as f32 - width as f32) / 2.0, (image.height as f32 - height as f32) / 2.0);
    drawn(width, height, image, |x, y| (x + left.floor(), y + top.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn striped() -> Image {
        made(4, 3, (0..36).map(|at| (at * 7) as u8).collect())
    }

    #[test]
    fn four_quarters_are_a_whole_turn() {
        let once = quarter_turned(&striped(), 1);
        assert_eq!((once.width, once.height), (3, 4));
        // What was on the left below is on the left above.
        assert_eq!(pixel_at(&once, 0, 0), pixel_at(&striped(), 0, 2));
        assert_eq!(quarter_turned(&once, 3), striped());
        assert_eq!(quarter_turned(&quarter_turned(&striped(), 2), 2), striped());
    }

    #[test]
    fn a_turn_and_back_leaves_what_is_in_the_middle() {
        let flat = recoloured(&blank(41, 41), |_| [100; 3]);
        let back = turned(&turned(&flat, 8.0), -8.0);
        assert_eq!(pixel_at(&back, 20, 20), [100; 3]);
        assert_eq!(pixel_at(&turned(&flat, 45.0), 0, 0), [PAPER; 3], "what comes in from outside is paper");
    }

    #[test]
    fn softening_keeps_what_is_even_and_spreads_a_point() {
        let even = recoloured(&blank(5, 5), |_| [80; 3]);
        assert_eq!(pixel_at(&softened(&even), 2, 2), [80; 3]);
        let mut rgb = vec![0; 75];
        rgb[3 * 12] = 160;
        assert_eq!(pixel_at(&softened(&made(5, 5, rgb)), 2, 2), [40, 0, 0]);
    }
}
