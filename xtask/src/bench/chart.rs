//! A bar chart of the pull rows as SVG, written by hand: one group for each image, one bar for each tool.

use super::rows::Row;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 13.0;
const GROUP_GAP: f64 = 14.0;
const HEAD: f64 = 34.0;
const COLOURS: &[(&str, &str)] = &[
    ("strata --no-sync", "#7fb2e5"),
    ("strata", "#1f6fb5"),
    ("floor", "#9a9a9a"),
    ("docker", "#d9822b"),
    ("podman", "#8a4fb0"),
    ("containerd", "#3a9e5c"),
    ("skopeo", "#c44e52"),
];

/// The chart of all rows `pull/…`. Bars are relative to the slowest tool of their image, so that small and large
/// images are both readable; the seconds stand at the end of each bar.
pub fn pulls(rows: &[&Row]) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    for row in rows.iter().filter(|row| row.id.starts_with("pull/")) {
        let bars: Vec<(&str, f64)> =
            row.series.iter().filter_map(|series| Some((series.tool.as_str(), series.median()?))).collect();
        let slowest = bars.iter().map(|(_, seconds)| *seconds).fold(f64::MIN_POSITIVE, f64::max);
        let name = row.id.trim_start_matches("pull/");
        let _ = writeln!(body, r#"<text x="8" y="{:.0}" font-weight="bold">{}</text>"#, y + BAR - 3.0, escaped(name));
        for (tool, seconds) in bars {
            let width = (seconds / slowest * (WIDTH - LEFT - RIGHT)).max(1.0);
            let text = y + BAR - 3.0;
            let _ = writeln!(
                body,
                r#"<rect x="{LEFT}" y="{y:.0}" width="{width:.1}" height="{:.0}" fill="{}"><title>{}</title></rect>"#,
                BAR - 2.0,
                colour(tool),
                escaped(tool),
            );
            let _ = writeln!(body, r#"<text x="{:.0}" y="{text:.0}">{seconds:.2} s</text>"#, LEFT + width + 5.0);
            y += BAR;
        }
        y += GROUP_GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y:.0}\" viewBox=\"0 0 {WIDTH} {y:.0}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{body}</svg>\n",
        legend()
    )
}

fn legend() -> String {
    let mut text = String::new();
    for (number, (tool, colour)) in COLOURS.iter().enumerate() {
        let x = 8.0 + number as f64 * 122.0;
        let _ = writeln!(text, r#"<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/>"#);
        let _ = writeln!(text, r#"<text x="{}" y="17">{tool}</text>"#, x + 14.0);
    }
    text
}

fn colour(tool: &str) -> &'static str {
    COLOURS.iter().find(|(name, _)| tool.starts_with(name)).map_or("#555555", |(_, colour)| colour)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::measure::{Sample, Series};
    use super::*;

    #[test]
    fn one_bar_for_each_tool() {
        let series = |tool: &str, wall| {
            let mut series = Series::new(tool);
            series.samples.push(Sample { wall, cpu: 0.0, peak_kib: 0 });
            series
        };
        let series = vec![series("strata", 0.5), series("docker 20.10", 5.0), Series::new("podman")];
        let row = Row { id: "pull/a<b".into(), series, notes: Vec::new() };
        let svg = pulls(&[&row]);
        assert_eq!(svg.matches("<title>").count(), 2, "a tool that failed has no bar");
        assert!(svg.contains("a&lt;b") && svg.contains("#1f6fb5\"><title>strata<") && svg.contains("5.00 s"));
    }
}
