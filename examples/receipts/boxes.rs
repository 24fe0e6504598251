//! From a detector's map of text to boxes around lines: threshold, connected components, the smallest rectangle around each, grown
//! to where the text ends. After DB, Liao et al., AAAI 2020, §3.4.

use eddyline::prelude::*;
use serde::{Deserialize, Serialize};

use crate::picture;

/// A rectangle around a run of text. Pixels; the y axis points down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextBox {
    /// Its middle.
    pub x: f32,
    pub y: f32,
    /// Along its text, and across.
    pub width: f32,
    pub height: f32,
    /// Of its text, clockwise in degrees, −45 to 45, or about 90 where the text is upright.
    pub slope: f32,
}

/// More than this is text, as opposed to paper.
const IS_TEXT: f32 = 0.3;
/// The mean over a box that is believed.
const IS_BOX: f32 = 0.5;
/// A detector's regions are shrunk by their area over their perimeter times this, and are grown again by as much.
const GROWTH: f32 = 1.5;
/// Shorter sides are specks.
const LEAST_SIDE: f32 = 3.0;

/// The boxes in a map of probabilities of `width` columns, from the top.
pub fn boxes(map: &[f32], width: usize) -> Vec<TextBox> {
    let mut seen: Vec<bool> = map.iter().map(|p| *p <= IS_TEXT).collect();
    let mut found = Vec::new();
    for start in 0..map.len() {
        if !seen[start] {
            found.extend(boxed(&component(start, width, &mut seen), map, width));
        }
    }
    found
}

/// All places that hang together with `start`; marks them as seen.
fn component(start: usize, width: usize, seen: &mut [bool]) -> Vec<usize> {
    let mut places = vec![start];
    seen[start] = true;
    let mut next = 0;
    while let Some(&at) = places.get(next) {
        next += 1;
        let (x, y) = ((at % width) as i64, (at / width) as i64);
        for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
            let (x, y) = (x + dx, y + dy);
            let neighbour = (y * width as i64 + x) as usize;
            if (0..width as i64).contains(&x) && y >= 0 && seen.get(neighbour) == Some(&false) {
                seen[neighbour] = true;
                places.push(neighbour);
            }
        }
    }
    places
}

fn boxed(places: &[usize], map: &[f32], width: usize) -> Option<TextBox> {
    let mean = places.iter().map(|at| map[*at]).sum::<f32>() / places.len() as f32;
    let points = places.iter().map(|at| ((at % width) as f32, (at / width) as f32)).collect();
    let around = smallest_rectangle(&hull(points))?;
    if mean < IS_BOX || around.width.min(around.height) < LEAST_SIDE {
        return None;
    }
    let growth = GROWTH * around.width * around.height / (around.width + around.height);
    Some(TextBox { width: around.width + growth, height: around.height + growth, ..around })
}

type Point = (f32, f32);

/// The corners of the smallest convex shape around these points (Andrew's monotone chain).
fn hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let half = |points: &mut dyn Iterator<Item = &Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for &point in points {
            while let [.., a, b] = chain[..] {
                if (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut all = half(&mut points.iter());
    all.extend(half(&mut points.iter().rev()));
    all
}

/// The smallest rectangle around a convex shape has a side along one of its sides.
fn smallest_rectangle(hull: &[Point]) -> Option<TextBox> {
    let sides = hull.iter().zip(hull.iter().cycle().skip(1));
    let rectangles = sides.map(|(a, b)| rectangle(hull, (b.1 - a.1).atan2(b.0 - a.0)));
    let smallest = rectangles.min_by(|a, b| (a.width * a.height).total_cmp(&(b.width * b.height)))?;
    // Text runs along the longer side, or upright where a box is much higher than wide.
    Some(if smallest.height > 1.5 * smallest.width {
        TextBox {
            width: smallest.height,
            height: smallest.width,
            slope: if smallest.slope > 0.0 { smallest.slope - 90.0 } else { smallest.slope + 90.0 },
            ..smallest
        }
    } else {
        smallest
    })
}

/// The rectangle around a shape whose sides have this angle, or a right one to it.
fn rectangle(hull: &[Point], angle: f32) -> TextBox {
    let right = std::f32::consts::FRAC_PI_2;
    // Of the four that mean the same, the one nearest to level.
    let angle = angle - (angle / right).round() * right;
    let (sin, cos) = angle.sin_cos();
    let span = |along: &dyn Fn(&Point) -> f32| {
        hull.iter()
            .map(along)
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), at| (least.min(at), most.max(at)))
    };
    let (left, right) = span(&|(x, y)| cos * x + sin * y);
    let (top, bottom) = span(&|(x, y)| cos * y - sin * x);
    let (u, v) = ((left + right) / 2.0, (top + bottom) / 2.0);
    TextBox {
        x: cos * u - sin * v,
        y: sin * u + cos * v,
        width: right - left + 1.0,
        height: bottom - top + 1.0,
        slope: angle.to_degrees(),
    }
}

/// The slope of a page: that of most of its text, by length. Short boxes say little about it.
pub fn slope(boxes: &[TextBox]) -> f32 {
    let mut long: Vec<&TextBox> = boxes.iter().filter(|b| b.width > 3.0 * b.height).collect();
    long.sort_by(|a, b| a.slope.total_cmp(&b.slope));
    let half = long.iter().map(|b| b.width).sum::<f32>() / 2.0;
    let mut so_far = 0.0;
    let middle = long.iter().find(|b| {
        so_far += b.width;
        so_far >= half
    });
    middle.map_or(0.0, |b| b.slope)
}

impl TextBox {
    /// What is in it, `height` pixels high and in proportion, upright: red, green and blue from −1 to 1, one after the other. To the
    /// right it is filled with 0 to a multiple of `step`; what is wider than `widest` is squeezed.
    pub fn cut_out(&self, page: &Image, height: usize, step: usize, widest: usize) -> Tensor {
        let text = ((self.width / self.height * height as f32).ceil() as usize).clamp(1, widest);
        let width = text.div_ceil(step) * step;
        let (sin, cos) = self.slope.to_radians().sin_cos();
        let mut values = vec![0.0_f32; 3 * height * width];
        for row in 0..height {
            let v = ((row as f32 + 0.5) / height as f32 - 0.5) * self.height;
            for column in 0..text {
                let u = ((column as f32 + 0.5) / text as f32 - 0.5) * self.width;
                let colour = picture::colour_at(page, self.x + cos * u - sin * v, self.y + sin * u + cos * v);
                for (channel, value) in colour.into_iter().enumerate() {
                    values[(channel * height + row) * width + column] = value / 127.5 - 1.0;
                }
            }
        }
        Tensor::new([3, height, width], values).unwrap_or_else(|_| Tensor::scalar(0.0_f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 200;

    /// A map with text in a rectangle around (x, y).
    fn map(x: f32, y: f32, width: f32, height: f32, slope: f32) -> Vec<f32> {
        let (sin, cos) = slope.to_radians().sin_cos();
        let is_in = |at: usize| {
            let (dx, dy) = ((at % WIDTH) as f32 - x, (at / WIDTH) as f32 - y);
            (cos * dx + sin * dy).abs() <= width / 2.0 && (cos * dy - sin * dx).abs() <= height / 2.0
        };
        (0..WIDTH * 160).map(|at| if is_in(at) { 0.9 } else { 0.05 }).collect()
    }

    #[test]
    fn a_slanting_rectangle_is_found_with_its_slope_and_grown() {
        for slope in [-20.0, -3.0, 0.0, 8.0, 30.0] {
            let found = boxes(&map(100.0, 80.0, 90.0, 12.0, slope), WIDTH);
            let [found] = found[..] else { panic!("{found:?}") };
            assert!((found.slope - slope).abs() < 1.5, "{slope}: {found:?}");
            assert!((found.x - 100.0).abs() < 1.5 && (found.y - 80.0).abs() < 1.5, "{found:?}");
            let growth = GROWTH * 90.0 * 12.0 / 102.0;
            assert!((found.width - 90.0 - growth).abs() < 5.0, "{found:?}");
            assert!((found.height - 12.0 - growth).abs() < 5.0, "{found:?}");
        }
    }

    #[test]
    fn text_that_stands_upright_runs_along_its_longer_side() {
        let found = boxes(&map(100.0, 80.0, 10.0, 60.0, 0.0), WIDTH);
        assert_eq!((found[0].slope.abs(), found[0].width > found[0].height), (90.0, true));
    }

    #[test]
    fn specks_and_doubtful_regions_are_no_boxes() {
        assert!(boxes(&map(100.0, 80.0, 1.0, 1.0, 0.0), WIDTH).is_empty());
        let doubtful: Vec<f32> = map(100.0, 80.0, 90.0, 12.0, 0.0).iter().map(|p| p * 0.5).collect();
        assert!(boxes(&doubtful, WIDTH).is_empty());
        assert!(boxes(&[], WIDTH).is_empty());
    }

    #[test]
    fn the_slope_of_a_page_is_that_of_most_of_its_text() {
        let text = |width, slope| TextBox { x: 0.0, y: 0.0, width, height: 10.0, slope };
        assert_eq!(slope(&[text(100.0, 3.0), text(90.0, 3.2), text(80.0, -40.0), text(20.0, 45.0)]), 3.0);
        assert_eq!(slope(&[]), 0.0);
    }
}
