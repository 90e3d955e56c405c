//! Cutting a cell to a number of display columns: history's CREATED BY, search's DESCRIPTION, the command of `ps`.

use unicode_width::UnicodeWidthChar;

/// Returns `text` if it fits into `columns`, else as much of it as fits before a final `…`.
///
/// Wide characters count as two columns. With one column the first character is returned, with none nothing.
pub fn ellipsis(text: &str, columns: usize) -> String {
    if columns <= 1 {
        return text.chars().take(columns).collect();
    }
    let mut width = 0;
    // Where to cut so that the ellipsis still fits.
    let mut cut = 0;
    for (start, character) in text.char_indices() {
        width += character.width().unwrap_or(1);
        if width > columns {
            return format!("{}…", &text[..cut]);
        }
        if width < columns {
            cut = start + character.len_utf8();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn cases_of_docker() {
        for (text, columns, expected) in [
            ("t🐳ststring", 0, ""),
            ("t🐳ststring", 1, "t"),
            ("t🐳ststring", 2, "t…"),
            ("t🐳ststring", 6, "t🐳st…"),
            ("t🐳ststring", 20, "t🐳ststring"),
            ("你好世界teststring", 0, ""),
            ("你好世界teststring", 1, "你"),
            ("你好世界teststring", 3, "你…"),
            ("你好世界teststring", 6, "你好…"),
            ("你好世界teststring", 20, "你好世界teststring"),
            ("abcde", 5, "abcde"),
            ("abcdef", 5, "abcd…"),
            ("", 5, ""),
        ] {
            assert_eq!(ellipsis(text, columns), expected, "{text} {columns}");
        }
        let created_by = "ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit";
        assert_eq!(ellipsis(created_by, 45), "ADD alpine-minirootfs-3.22.2-x86_64.tar.gz /…");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_fits(text in "[a-z你🐳é]{0,20}", columns in 2usize..24) {
            let cut = ellipsis(&text, columns);
            prop_assert!(cut.width() <= columns);
            prop_assert_eq!(cut == text, text.width() <= columns);
        }
    }
}
