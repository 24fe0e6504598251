//! Lines over numbers as an SVG picture.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;

/// A picture with one scale across and one upwards, both from 0.
pub struct Chart {
    pub title: String,
    /// What is across.
    pub across: String,
    pub lines: Vec<Line>,
    /// Where vertical lines are.
    pub marks: Vec<f64>,
}

pub struct Line {
    pub name: String,
    /// Where there is no height, the line has a gap.
    pub points: Vec<(f64, Option<f64>)>,
}

impl Chart {
    /// An SVG document.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let most = |values: &mut dyn Iterator<Item = f64>| round(values.fold(1e-9, f64::max));
        let (right, top) =
            (most(&mut points().map(|point| point.0)), most(&mut points().filter_map(|point| point.1)));
        let (wide, high) = (WIDTH - LEFT - 130.0, HEIGHT - TOP - 50.0);
        let x = |value: f64| LEFT + wide * value / right;
        let y = |value: f64| TOP + high * (1.0 - value / top);
        let mut body = String::new();
        text(&mut body, 10.0, 20.0, "start", &self.title);
        text(&mut body, LEFT + wide / 2.0, HEIGHT - 10.0, "middle", &self.across);
        for step in 0..=4 {
            let part = f64::from(step) / 4.0;
            let (across, up) = (right * part, top * part);
            line(&mut body, (LEFT, y(up)), (LEFT + wide, y(up)), "#ddd");
            text(&mut body, LEFT - 6.0, y(up) + 4.0, "end", &number(up));
            text(&mut body, x(across), TOP + high + 18.0, "middle", &number(across));
        }
        for mark in &self.marks {
            line(&mut body, (x(*mark), TOP), (x(*mark), TOP + high), "#c55");
        }
        for (at, of) in self.lines.iter().enumerate() {
            // Steps of the golden angle keep neighbours apart.
            let colour = format!("hsl({:.0} 60% 42%)", (210.0 + 137.5 * at as f64) % 360.0);
            for run in of.points.split(|point| point.1.is_none()) {
                let places: Vec<String> = run
                    .iter()
                    .filter_map(|(across, up)| Some(format!("{:.1},{:.1}", x(*across), y((*up)?))))
                    .collect();
                if let [only] = places.as_slice() {
                    let (cx, cy) = only.split_once(',').unwrap_or_default();
                    let _ = writeln!(body, r#"<circle cx="{cx}" cy="{cy}" r="1.5" fill="{colour}"/>"#);
                } else if !places.is_empty() {
                    let places = places.join(" ");
                    let _ = writeln!(
                        body,
                        r#"<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>"#
                    );
                }
            }
            let beside = TOP + 14.0 + 18.0 * at as f64;
            let _ = writeln!(
                body,
                r#"<rect x="{}" y="{}" width="10" height="10" fill="{colour}"/>"#,
                LEFT + wide + 12.0,
                beside - 9.0
            );
            text(&mut body, LEFT + wide + 27.0, beside, "start", &of.name);
        }
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">{body}</svg>"#
        ) + "\n"
    }
}

/// The next number with one digit that is not 0 and even.
fn round(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0].into_iter().map(|n| n * unit).find(|n| *n >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    match value {
        v if v.abs() >= 100.0 || v.fract().abs() < 1e-9 => format!("{v:.0}"),
        v => format!("{v:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

fn line(body: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        body,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(body, r#"<text x="{x:.1}" y="{y:.1}" font-size="12" text-anchor="{anchor}">{what}</text>"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_drawn_with_its_gaps_and_the_scales_are_round() {
        let points = vec![(0.0, Some(3.0)), (1.0, Some(7.0)), (2.0, None), (3.0, Some(5.0))];
        let lines = vec![Line { name: "a < b".into(), points }];
        let svg = Chart { title: "t".into(), across: "x".into(), lines, marks: vec![1.5] }.svg();
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert_eq!(svg.matches("#c55").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.contains(">8</text>"), "{svg}");
        assert_eq!((round(7.0), round(0.3), round(1000.0)), (8.0, 0.4, 1000.0));
    }
}
