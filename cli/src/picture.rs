//! A plan as a picture: a row per route, a box per pool, lines as wide as their share of the model's items.

use std::fmt::Write as _;

use eddyline_planner::Placement;

const ROW: f64 = 64.0;
const BOX: f64 = 190.0;
const GAP: f64 = 70.0;

/// An SVG document.
pub fn svg(placement: &Placement) -> String {
    let (mut body, mut y, mut columns) = (String::new(), 20.0, 1);
    let mut colours: Vec<&str> = Vec::new();
    for model in &placement.models {
        text(&mut body, 10.0, y + 14.0, "15", &format!("{}: {:.1} items/s", model.model, model.rate_per_s));
        y += 26.0;
        for route in &model.routes {
            let middle = y + ROW / 2.0 - 8.0;
            let width = 1.0 + 9.0 * route.rate_per_s / model.rate_per_s.max(1e-9);
            columns = columns.max(route.stages.len());
            for (d, stage) in route.stages.iter().enumerate() {
                let x = 10.0 + d as f64 * (BOX + GAP);
                if d > 0 {
                    let _ = writeln!(
                        body,
                        r##"<line x1="{}" y1="{middle}" x2="{x}" y2="{middle}" stroke="#557" stroke-width="{width:.1}"/>"##,
                        x - GAP
                    );
                }
                let at = colours.iter().position(|kind| *kind == stage.kind).unwrap_or_else(|| {
                    colours.push(&stage.kind);
                    colours.len() - 1
                });
                // Steps of the golden angle keep neighbours apart.
                let hue = (210.0 + 137.5 * at as f64) % 360.0;
                let _ = writeln!(
                    body,
                    r#"<rect x="{x}" y="{y}" width="{BOX}" height="{}" rx="6" fill="hsl({hue:.0} 60% 88%)" stroke="hsl({hue:.0} 40% 45%)"/>"#,
                    ROW - 16.0
                );
                text(&mut body, x + 8.0, y + 19.0, "13", &format!("{} × {}", stage.count, stage.fraction()));
                let ms = (stage.latency_us + stage.transfer_us) / 1e3;
                let what = format!(
                    "blocks {}, batch {}, {ms:.1} ms",
                    run(stage.first_block, stage.end_block),
                    stage.batch
                );
                text(&mut body, x + 8.0, y + 37.0, "11", &what);
            }
            let x = 16.0 + route.stages.len() as f64 * (BOX + GAP) - GAP;
            text(&mut body, x, middle + 4.0, "11", &format!("{:.1}/s", route.rate_per_s));
            y += ROW;
        }
        y += 10.0;
    }
    let width = 90.0 + columns as f64 * (BOX + GAP);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif">{body}</svg>"#
    ) + "\n"
}

/// A run of blocks by its first and its last.
fn run(first: u32, end: u32) -> String {
    if end == first + 1 { first.to_string() } else { format!("{first}–{}", end - 1) }
}

fn text(body: &mut String, x: f64, y: f64, size: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, r#"<text x="{x}" y="{y}" font-size="{size}">{what}</text>"#);
}
