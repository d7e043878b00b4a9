//! Bringing text into one form, so that what looks the same compares the same.

use unicode_normalization::UnicodeNormalization;

/// One form for texts that look alike: NFKC, characters without width removed, whitespace folded to single
/// blanks, ends trimmed. Vulgar fractions, superscripts and subscripts stay as they are, since taking them
/// apart changes numbers (`59½` would read `591/2`).
#[must_use]
pub fn normalise(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut blank_waits = false;
    let visible = text.chars().filter(|&c| !is_zero_width(c));
    for c in compose(visible) {
        if c.is_whitespace() || c.is_control() {
            blank_waits = !folded.is_empty();
            continue;
        }
        if blank_waits {
            folded.push(' ');
            blank_waits = false;
        }
        folded.push(c);
    }
    folded
}

/// [`normalise`], lower-case, with straight quotes and plain hyphens: for comparing, not for showing.
#[must_use]
pub fn fold(text: &str) -> String {
    normalise(text)
        .chars()
        .map(|c| match c {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{201f}' | '\u{2033}' => '"',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            other => other,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether `c` takes no room on the screen: joiners, direction marks, soft hyphen, variation selectors, tags.
#[must_use]
pub fn is_zero_width(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// NFKC of everything between the characters that carry a number of their own.
fn compose(visible: impl Iterator<Item = char>) -> Vec<char> {
    let mut composed = Vec::new();
    let mut run = String::new();
    for c in visible {
        if is_raised_or_fraction(c) {
            composed.extend(run.nfkc());
            run.clear();
            composed.push(c);
        } else {
            run.push(c);
        }
    }
    composed.extend(run.nfkc());
    composed
}

fn is_raised_or_fraction(c: char) -> bool {
    matches!(c, '\u{00b2}' | '\u{00b3}' | '\u{00b9}' | '\u{00bc}'..='\u{00be}' | '\u{2070}'..='\u{208e}'
        | '\u{2150}'..='\u{215f}' | '\u{2189}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_becomes_the_same() {
        for (text, want) in [
            ("  a \t\r\n b  ", "a b"),
            ("pass\u{200b}word\u{feff}", "password"),
            ("ﬁne Ｆull ①", "fine Full 1"),
            ("59½ and x²", "59½ and x²"),
            ("e\u{301}", "é"),
            ("a\u{a0}b\u{2003}c", "a b c"),
            ("", ""),
            ("\u{200b} \u{200b}", ""),
        ] {
            assert_eq!(normalise(text), want, "{text:?}");
        }
    }

    #[test]
    fn folding_ignores_case_and_typographic_quotes_and_dashes() {
        assert_eq!(fold("Don’t “PAY” – now"), "don't \"pay\" - now");
    }

    #[test]
    fn normalising_twice_changes_nothing() {
        proptest::proptest!(|(text in "\\PC{0,40}")| {
            let once = normalise(&text);
            proptest::prop_assert_eq!(normalise(&once), once);
        });
    }
}
