//! A number of each of the last days, as a line and the area below it.

use crate::words;

/// Days that a chart shows.
pub(super) const DAYS: u32 = 90;
/// Size of a chart in its own units.
const WIDTH: u64 = 900;
const HEIGHT: u64 = 200;
const NANOSECONDS_OF_A_DAY: i64 = 86_400_000_000_000;

/// A chart, ready to be drawn.
pub(super) struct Chart {
    /// What it shows.
    pub(super) heading: &'static str,
    pub(super) path: String,
    pub(super) area: String,
    /// What it says, in words.
    pub(super) caption: String,
    /// The first day.
    pub(super) first: String,
}

impl Chart {
    /// Pulls on each day; nothing when there were none.
    pub(super) fn of_pulls(pulls: &[(i64, u64)], now: i64) -> Option<Chart> {
        let counts = days(now).map(|day| pulls.iter().find(|(found, _)| *found == day).map_or(0, |(_, count)| *count));
        let counts: Vec<u64> = counts.collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        let total = counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let caption = format!("{}, at most {} a day", words::exactly(total, "pull"), words::thousands(most));
        Chart::of("Pulls", &counts, now, caption)
    }

    /// Stars at the end of each day, from the days on which they changed; nothing when there were none.
    pub(super) fn of_stars(changes: &[(i64, u64)], now: i64) -> Option<Chart> {
        let level = |day| changes.iter().rev().find(|(changed, _)| *changed <= day).map_or(0, |(_, stars)| *stars);
        let levels: Vec<u64> = days(now).map(level).collect();
        let (before, after) = (levels.first().copied().unwrap_or(0), levels.last().copied().unwrap_or(0));
        Chart::of(
            "Stars",
            &levels,
            now,
            format!("{} stars became {}", words::thousands(before), words::thousands(after)),
        )
    }

    fn of(heading: &'static str, numbers: &[u64], now: i64, caption: String) -> Option<Chart> {
        let most = numbers.iter().copied().max().filter(|most| *most > 0)?;
        let height = |number: u64| HEIGHT - (u128::from(number) * u128::from(HEIGHT - 10) / u128::from(most)) as u64;
        let last = numbers.len().saturating_sub(1).max(1) as u64;
        let points: Vec<String> =
            (0..).zip(numbers).map(|(at, number)| format!("{} {}", at * WIDTH / last, height(*number))).collect();
        let line = points.join(" L");
        Some(Chart {
            heading,
            path: format!("M{line}"),
            area: format!("M0 {HEIGHT} L{line} L{WIDTH} {HEIGHT} Z"),
            caption,
            first: words::day(days(now).start),
        })
    }
}

/// The days that are shown, since 1970.
fn days(now: i64) -> std::ops::Range<i64> {
    let end = now.div_euclid(NANOSECONDS_OF_A_DAY) + 1;
    end - i64::from(DAYS)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: i64 = 20_000;
    const NOW: i64 = TODAY * NANOSECONDS_OF_A_DAY + 1;

    /// How high the line is on each day.
    fn heights(chart: &Chart) -> Vec<u64> {
        chart.path[1..].split(" L").map(|point| point.split_once(' ').unwrap().1.parse().unwrap()).collect()
    }

    #[test]
    fn pulls_stay_in_their_frame() {
        assert!(Chart::of_pulls(&[], NOW).is_none());
        let chart = Chart::of_pulls(&[(TODAY - 89, 7), (TODAY - 50, 1), (TODAY, u64::MAX / 4)], NOW).unwrap();
        assert!(chart.path.starts_with("M0 ") && chart.path.ends_with(&format!("L{WIDTH} 10")), "{}", chart.path);
        let heights = heights(&chart);
        assert!(heights.len() == DAYS as usize && heights.iter().all(|height| *height <= HEIGHT));
    }

    #[test]
    fn stars_stay_until_they_change() {
        assert!(Chart::of_stars(&[], NOW).is_none());
        assert!(Chart::of_stars(&[(TODAY - 500, 3), (TODAY - 400, 0)], NOW).is_none());
        let chart = Chart::of_stars(&[(TODAY - 200, 5), (TODAY - 1, 10)], NOW).unwrap();
        assert_eq!(chart.caption, "5 stars became 10");
        let heights = heights(&chart);
        assert_eq!((&heights[..88], &heights[88..]), (&[105; 88][..], &[10, 10][..]));
    }
}
