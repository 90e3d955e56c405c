//! Text as words, and words as people misspell them.

use std::collections::BTreeSet;

use crate::records::SpelledWord;

/// Longer words are cut.
const LETTERS: usize = 48;
/// Letters of a word in which a mistake is looked for; later ones are met by the common beginning.
const BEGINNING: usize = 7;
/// Shorter words are not corrected: too many others are like them.
const SHORTEST: usize = 4;

/// The words of a text, in lower case: runs of letters and digits. Scripts without blanks give a word for each letter.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_inside = false;
    for letter in text.chars().flat_map(char::to_lowercase) {
        if !letter.is_alphanumeric() {
            is_inside = false;
        } else if is_ideographic(letter) {
            words.push(letter.into());
            is_inside = false;
        } else if let Some(word) = words.last_mut().filter(|_| is_inside) {
            if word.len() < LETTERS {
                word.push(letter);
            }
        } else {
            words.push(letter.into());
            is_inside = true;
        }
    }
    words
}

/// Japanese, Chinese, Korean.
fn is_ideographic(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

/// A word with its variants.
pub(crate) fn spelled(word: &str) -> SpelledWord {
    SpelledWord { word: word.to_owned(), variants: variants(word) }
}

/// The beginning of a word, and all that is left of it when a letter is missing. Two words that differ by a mistake have a
/// variant in common (the "symmetric delete" method).
pub(crate) fn variants(word: &str) -> Vec<String> {
    let beginning: Vec<char> = word.chars().take(BEGINNING).collect();
    if beginning.len() < SHORTEST {
        return Vec::new();
    }
    let without = |gap: usize| {
        beginning.iter().enumerate().filter(|(index, _)| *index != gap).map(|(_, letter)| letter).collect()
    };
    let variants: BTreeSet<String> = (0..beginning.len()).map(without).chain([beginning.iter().collect()]).collect();
    variants.into_iter().collect()
}

/// How many mistakes lead from a word to what was typed, which may be its beginning only: `None` when they are too many to be
/// mistakes. Letters added, left out, exchanged, or swapped with their neighbour count one each.
pub(crate) fn mistakes(typed: &str, word: &str) -> Option<usize> {
    let (typed, word): (Vec<char>, Vec<char>) = (typed.chars().collect(), word.chars().collect());
    let allowed = match typed.len() {
        0..SHORTEST => return None,
        SHORTEST..6 => 1,
        _ => 2,
    };
    let row = last_row(&typed, &word);
    let shortest = typed.len().saturating_sub(1).min(word.len());
    let fewest = row[shortest..].iter().min().copied().unwrap_or(usize::MAX);
    (fewest <= allowed).then_some(fewest)
}

/// Mistakes between all of `typed` and each beginning of `word` (optimal string alignment).
fn last_row(typed: &[char], word: &[char]) -> Vec<usize> {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    for (i, letter) in typed.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in word.iter().enumerate() {
            let exchanged = last[j] + usize::from(letter != other);
            let mut fewest = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == word[j - 1] && typed[i - 1] == *other {
                fewest = fewest.min(before_last[j - 1] + 1);
            }
            row.push(fewest);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_words() {
        for (text, expected) in [
            ("acme/my-nginx_proxy2", vec!["acme", "my", "nginx", "proxy2"]),
            ("  Größe & ÉTÉ ", vec!["größe", "été"]),
            ("数据 db", vec!["数", "据", "db"]),
            ("<script>\"OR\"</script>", vec!["script", "or", "script"]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
        assert!(words(&"a".repeat(10_000))[0].len() <= LETTERS);
    }

    #[test]
    fn misspelled_words_are_met() {
        for (typed, word, expected) in [
            ("ngnix", "nginx", Some(1)),
            ("ngin", "nginx", Some(0)),
            ("postgers", "postgresql", Some(1)),
            ("posstgresql", "postgresql", Some(1)),
            ("elasticsaerch", "elasticsearch", Some(1)),
            ("kubernets", "kubernetes", Some(1)),
            ("rabitmq", "rabbitmq", Some(1)),
            ("php", "pho", None),
            ("redis", "nginx", None),
        ] {
            assert_eq!(mistakes(typed, word), expected, "{typed} {word}");
            if expected.is_some() {
                let (ours, theirs) = (variants(typed), variants(word));
                assert!(ours.iter().any(|variant| theirs.contains(variant)), "{typed} {word}");
            }
        }
    }
}
