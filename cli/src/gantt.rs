//! What ran where as an SVG picture: a row per device, a box per launch.

use std::fmt::Write as _;

use eddyline_planner::serving::{Fleet, Ran};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 90.0;
const ROW: f64 = 9.0;
/// What is drawn, µs.
const SHOWN_US: u64 = 1_000_000;

/// An SVG document of the first second.
pub fn svg(fleet: &Fleet, ran: &[Ran]) -> String {
    let high = 40.0 + ROW * fleet.devices.len() as f64;
    let wide = WIDTH - LEFT - 10.0;
    let x = |us: u64| LEFT + wide * us.min(SHOWN_US) as f64 / SHOWN_US as f64;
    let mut body = String::new();
    // Writing into a string does not fail.
    for (at, device) in fleet.devices.iter().enumerate() {
        let y = 30.0 + ROW * at as f64;
        let name = escaped(&device.name);
        let _ =
            writeln!(body, r#"<text x="{}" y="{:.1}" text-anchor="end">{name}</text>"#, LEFT - 4.0, y + 7.0);
    }
    for launch in ran.iter().filter(|launch| launch.from_us < SHOWN_US) {
        let (from, until) = (x(launch.from_us), x(launch.until_us));
        let y = 30.0 + ROW * f64::from(launch.device);
        let hue = (210.0 + 137.5 * f64::from(launch.model)) % 360.0;
        let light = 42 + 14 * launch.stage.min(3);
        let model = fleet.models.get(launch.model as usize).map_or("", |model| &model.name);
        let _ = writeln!(
            body,
            r#"<rect x="{from:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="hsl({hue:.0} 60% {light}%)"><title>{}, stage {}, {} items, {} to {} µs</title></rect>"#,
            (until - from).max(0.5),
            ROW - 1.0,
            escaped(model),
            launch.stage,
            launch.items,
            launch.from_us,
            launch.until_us,
        );
    }
    let title = "what ran where, first second; models by colour, later stages lighter";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {high}\" font-family=\"sans-serif\" font-size=\"7\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"18\" font-size=\"12\">{title}</text>\n{body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
