//! Byte-exact docker tables: Go's `tabwriter` with a minimal cell width of 10 and a padding of 3 spaces.
//!
//! The input is lines of cells, each cell but the last of a line ended by a tab. Cells that stand in the same column of
//! adjacent lines are padded to the same width; the last cell of a line belongs to no column and is never padded. A
//! line with fewer cells ends the columns it does not have, so two blocks of a text are aligned on their own.

use unicode_width::UnicodeWidthStr;

const MINIMAL_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Aligns the columns of `text`. Line breaks are kept; a form feed is a line break that ends all columns.
pub fn align(text: &str) -> String {
    let sections: Vec<String> = text.split('\x0c').map(align_section).collect();
    sections.join("\n")
}

fn align_section(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split(['\t', '\x0b']).collect()).collect();
    let widths = column_widths(&lines);
    let mut out = String::with_capacity(text.len() * 2);
    for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(column) {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(display_width(cell))));
            }
        }
    }
    out
}

/// The width of each tab-ended cell of each line.
fn column_widths(lines: &[Vec<&str>]) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut line = 0;
        while line < lines.len() {
            let block = widths[line..].iter().take_while(|widths| widths.len() > column).count();
            let cells = lines[line..line + block].iter().map(|cells| display_width(cells[column]) + PADDING);
            let width = cells.max().unwrap_or(0).max(MINIMAL_WIDTH);
            for widths in &mut widths[line..line + block] {
                widths[column] = width;
            }
            line += block + 1;
        }
    }
    widths
}

/// Columns that `text` takes on a terminal: two for East Asian wide characters, none for control characters.
pub fn display_width(text: &str) -> usize {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return text.len();
    }
    text.split(char::is_control).map(UnicodeWidthStr::width).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn image_table() {
        let text = "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\nalpine\tlatest\t706db57fb206\t6 weeks ago\t8.32MB\n";
        assert_eq!(
            align(text),
            "REPOSITORY   TAG       IMAGE ID       CREATED       SIZE\n\
             alpine       latest    706db57fb206   6 weeks ago   8.32MB\n"
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(align("NAME\tX\n你好世界\ty\n"), "NAME       X\n你好世界   y\n");
    }

    #[test]
    fn an_empty_last_cell_leaves_the_padding_before_it() {
        assert_eq!(align("A\tB\nx\t\n"), "A         B\nx         \n");
    }

    #[test]
    fn blocks_are_aligned_on_their_own() {
        assert_eq!(align("aaaaaaaaaaaa\tb\tc\nx\ny\tz\n"), "aaaaaaaaaaaa   b         c\nx\ny         z\n");
        assert_eq!(align("aaaaaaaaaaaa\tb\x0cc\td\n"), "aaaaaaaaaaaa   b\nc         d\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cells_of_a_full_table_start_in_the_same_column(
            rows in proptest::collection::vec(proptest::collection::vec("[a-z]{0,14}", 4), 1..8)
        ) {
            let text: String = rows.iter().map(|row| row.join("\t") + "\n").collect();
            let aligned = align(&text);
            for column in 0..3 {
                let width = rows.iter().map(|row| row[column].len() + 3).max().unwrap().max(10);
                let start: usize = (0..column)
                    .map(|before| rows.iter().map(|row| row[before].len() + 3).max().unwrap().max(10))
                    .sum();
                for (line, row) in aligned.lines().zip(&rows) {
                    prop_assert_eq!(&line[start..start + width], format!("{:width$}", row[column]));
                }
            }
        }

        #[test]
        fn any_text_is_answered(text in "[a\t\n\x0b\x0c你]{0,40}") {
            prop_assert_eq!(align(&text).matches('a').count(), text.matches('a').count());
        }
    }
}
