//! Progress on a terminal: one line per layer, rewritten in place, and the sum below.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use strata_format::size::human_size;
use strata_model::Digest;
use strata_transfer::{Phase, ProgressEvent};

use crate::output::terminal_size;

/// A layer's line is rewritten at most so often, unless its status changes.
const INTERVAL: Duration = Duration::from_millis(100);
/// Terminals narrower than this get no bar, as in docker.
const BAR_WIDTH: usize = 110;
/// Over how long the speed is measured.
const SPEED_WINDOW: Duration = Duration::from_secs(5);

/// The lines on the screen.
pub(super) struct Live {
    lines: Vec<Digest>,
    layers: HashMap<Digest, Layer>,
    /// Bytes that moved, over time.
    samples: Vec<(Instant, u64)>,
    has_sum: bool,
    uses_color: bool,
}

struct Layer {
    phase: Phase,
    /// Bytes moved over the network.
    moved: u64,
    total: u64,
    drawn: Instant,
}

impl Live {
    pub(super) fn new() -> Live {
        let uses_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Live { lines: Vec::new(), layers: HashMap::new(), samples: Vec::new(), has_sum: false, uses_color }
    }

    pub(super) fn event(&mut self, name: &str, status: &str, event: ProgressEvent) {
        let now = Instant::now();
        if status.is_empty() {
            return;
        }
        let is_new = !self.layers.contains_key(&event.digest);
        let layer = self.layers.entry(event.digest).or_insert(Layer {
            phase: event.phase,
            moved: 0,
            total: event.total,
            drawn: now,
        });
        let same_phase = std::mem::discriminant(&layer.phase) == std::mem::discriminant(&event.phase);
        let is_due = is_new || !same_phase || now.duration_since(layer.drawn) >= INTERVAL;
        layer.phase = event.phase;
        layer.total = event.total.max(layer.total);
        match event.phase {
            Phase::Downloading | Phase::Uploading => layer.moved = event.current,
            Phase::DownloadComplete | Phase::Complete => layer.moved = layer.total,
            _ => {}
        }
        if !is_due {
            return;
        }
        layer.drawn = now;
        let line = format!("{name}: {status} {}", bar(&event));
        self.draw(event.digest, is_new, &line);
        self.draw_sum(now);
    }

    /// Leaves the cursor below the lines, without the sum.
    pub(super) fn finish(&mut self) {
        if std::mem::take(&mut self.has_sum) {
            write("\x1b[2K\r");
        }
        self.lines.clear();
        self.layers.clear();
    }

    /// Writes the line of a layer. Between two draws the cursor is at the start of the line below all layers.
    fn draw(&mut self, digest: Digest, is_new: bool, line: &str) {
        let line = line.trim_end();
        if is_new {
            self.lines.push(digest);
            return write(&format!("\x1b[2K\r{line}\n"));
        }
        let position = self.lines.iter().position(|other| *other == digest).unwrap_or(0);
        let up = self.lines.len() - position;
        // What has scrolled off the screen cannot be reached any more.
        if terminal_size().is_some_and(|(_, rows)| up >= rows) {
            return;
        }
        write(&format!("\x1b[{up}A\x1b[2K\r{line}\r\x1b[{up}B"));
    }

    fn draw_sum(&mut self, now: Instant) {
        let moving = |layer: &&Layer| !matches!(layer.phase, Phase::Existed | Phase::Mounted);
        let (mut moved, mut total) = (0, 0);
        for layer in self.layers.values().filter(moving) {
            moved += layer.moved;
            total += layer.total;
        }
        self.samples.push((now, moved));
        self.samples.retain(|(time, _)| now.duration_since(*time) <= SPEED_WINDOW);
        let Some((first, before)) = self.samples.first().copied() else { return };
        let seconds = now.duration_since(first).as_secs_f64();
        if seconds < 0.2 || total == 0 {
            return;
        }
        let speed = moved.saturating_sub(before) as f64 / seconds;
        let mut line = format!("{}/{}  {}/s", human_size(moved as f64), human_size(total as f64), human_size(speed));
        if speed > 0.0 && moved < total {
            line.push_str(&format!("  {} left", seconds_text(((total - moved) as f64 / speed).ceil() as u64)));
        }
        self.has_sum = true;
        write(&if self.uses_color { format!("\x1b[2K\r\x1b[2m{line}\x1b[0m\r") } else { format!("\x1b[2K\r{line}\r") });
    }
}

/// Docker's bar and numbers; nothing for states without progress.
fn bar(event: &ProgressEvent) -> String {
    let moves = matches!(event.phase, Phase::Downloading | Phase::Uploading | Phase::Extracting);
    if !moves || (event.current == 0 && event.total == 0) {
        return String::new();
    }
    let current = human_size(event.current as f64);
    if event.total == 0 {
        return format!("{current:>8}");
    }
    let numbers = format!("{current:>8}/{}", human_size(event.total as f64));
    if terminal_size().is_none_or(|(columns, _)| columns <= BAR_WIDTH) {
        return numbers;
    }
    let done = (event.current.min(event.total) * 50 / event.total) as usize;
    format!("[{}>{}] {numbers}", "=".repeat(done), " ".repeat(50 - done))
}

fn seconds_text(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
