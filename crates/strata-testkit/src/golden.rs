//! Comparison with recorded output.

use std::fmt::Write as _;
use std::path::Path;

/// Setting this variable to anything writes what was produced over the recorded files, instead of comparing.
pub const UPDATE: &str = "STRATA_UPDATE_GOLDEN";

/// Compares `actual` with the file at `path`.
///
/// # Panics
/// With a readable difference, when they are not the same.
pub fn assert_file(path: impl AsRef<Path>, actual: &str) {
    let path = path.as_ref();
    if std::env::var_os(UPDATE).is_some() {
        return std::fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}; set {UPDATE}=1 to record it", path.display()));
    if let Some(difference) = difference(&expected, actual) {
        panic!("{} differs (set {UPDATE}=1 to record what is new):\n{difference}", path.display());
    }
}

/// Compares two texts.
///
/// # Panics
/// With a readable difference, when they are not the same.
pub fn assert_text(expected: &str, actual: &str) {
    if let Some(difference) = difference(expected, actual) {
        panic!("texts differ:\n{difference}");
    }
}

/// The lines that differ, `-` expected and `+` actual, with two lines around; `None` for equal texts. Characters that
/// do not show (trailing spaces, tabs, carriage returns, escapes) are made visible.
pub fn difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let old: Vec<&str> = expected.split_inclusive('\n').collect();
    let new: Vec<&str> = actual.split_inclusive('\n').collect();
    let steps = steps(&old, &new);
    let is_near = |at: usize| steps[at.saturating_sub(2)..(at + 3).min(steps.len())].iter().any(|step| step.0 != ' ');
    let mut text = String::new();
    let mut skipped = false;
    for (at, (mark, line)) in steps.iter().enumerate() {
        if is_near(at) {
            if std::mem::take(&mut skipped) {
                text.push_str("  ⋮\n");
            }
            let _ = writeln!(text, "{mark} {}", visible(line));
        } else {
            skipped = true;
        }
    }
    Some(text)
}

/// The shortest edit by the longest common subsequence, after cutting what is equal at both ends.
fn steps<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let mut common = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let mut steps: Vec<(char, &str)> = old[..start].iter().map(|line| (' ', *line)).collect();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            steps.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            steps.push(('-', a[i]));
            i += 1;
        } else {
            steps.push(('+', b[j]));
            j += 1;
        }
    }
    steps.extend(old[old.len() - end..].iter().map(|line| (' ', *line)));
    steps
}

fn visible(line: &str) -> String {
    let (text, end) = match line.strip_suffix('\n') {
        Some(text) => (text, ""),
        None => (line, "⊣ (no newline)"),
    };
    let body = text.trim_end_matches(' ');
    let spaces = "·".repeat(text.len() - body.len());
    let shown: String =
        body.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() }).collect();
    format!("{shown}{spaces}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_show_what_does_not_show() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let shown = difference("1\n2\n3\n4\n5\nold \n7\n", "1\n2\n3\n4\n5\nnew\tx\n7").unwrap();
        assert_eq!(shown, "  ⋮\n  4\n  5\n- old·\n- 7\n+ new\\tx\n+ 7⊣ (no newline)\n");
        assert_eq!(difference("", "x\n").unwrap(), "+ x\n");
    }
}
