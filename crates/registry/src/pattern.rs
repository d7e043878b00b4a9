//! Patterns of what people write, compiled so that they take little memory.

use regex::{RegexSet, RegexSetBuilder};

/// Largest compiled form of one set of patterns, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// `\w` by whole blocks: Latin and every script after it up to U+1FFF, then letters after the blocks of punctuation and
/// symbols. The exact class has 800 ranges, and each use of it compiles to some 10 KiB, kept in memory four times over.
const WORD: &str = r"0-9A-Za-z_\x{AA}\x{B5}\x{BA}\x{C0}-\x{1FFF}\x{2C00}-\x{2DFF}\x{3040}-\x{D7FF}\x{F900}-\x{FDFF}\x{FE70}-\x{FEFE}\x{FF10}-\x{FF19}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{FF66}-\x{FFDC}\x{10000}-\x{1EFFF}\x{20000}-\x{3FFFF}";

/// Compiles `patterns` with their case ignored, to be matched by any of them. A word character is any of the blocks of
/// letters ([`WORD`]), which also hold a few signs.
///
/// One set takes a third of what its patterns take alone: it keeps no places of groups, since nobody asks where it matched.
///
/// # Errors
/// What is wrong with a pattern as it was written.
pub(crate) fn compile(patterns: &[String]) -> Result<RegexSet, regex::Error> {
    let blocks: Vec<String> = patterns.iter().map(|pattern| with_blocks(pattern)).collect();
    build(&blocks).or_else(|_| build(patterns))
}

fn build(patterns: &[String]) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(COMPILED_BYTES_MAX).build()
}

fn with_blocks(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match rest.next() {
            // A class within a class is a class, too: it stands everywhere.
            Some('w') => out.extend(["[", WORD, "]"]),
            Some('W') => out.extend(["[^", WORD, "]"]),
            other => {
                out.push(char);
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use regex::{Regex, RegexBuilder};

    use super::*;

    fn one(pattern: &str) -> Regex {
        RegexBuilder::new(pattern).case_insensitive(true).build().expect("valid")
    }

    #[test]
    fn blocks_match_what_the_exact_class_matches() {
        let texts = [
            "",
            "hello, agent",
            "an agent!",
            "agente: ¿cómo está?",
            "señor agent",
            "straße",
            "Привет, agent",
            "你好 agent",
            "こんにちは。agent",
            "don’t",
            "a—b",
            "x…y",
            "50% agent",
            "a_b-c",
            "ﬁne",
            "é",
            "🙂 agent",
            "(agent)",
            "A\u{301}b",
            "agent\\w",
            "łódź",
            "ΑΒΓ agent",
            "1,000 agents",
            "“agent”",
            "agent\u{a0}now",
        ];
        for pattern in [
            r"^\W*agent",
            r"\W+agent\b",
            r"\w+ agent",
            r"^\w+$",
            r"[\w-]+c",
            r"[^\w\s]agent",
            r"\\w",
            r"a\w*s\b",
            r"agent\W*$",
            r"^\W*((hi|hello)\W+)*(please )?agent",
        ] {
            let (blocks, exact) = (one(&with_blocks(pattern)), one(pattern));
            let set = compile(&["never this".to_owned(), pattern.to_owned()]).expect("valid");
            for text in texts {
                assert_eq!(blocks.find(text), exact.find(text), "{pattern} in {text}");
                assert_eq!(set.is_match(text), exact.is_match(text), "{pattern} in {text}");
            }
        }
    }

    #[test]
    fn every_letter_is_a_word_character_and_ascii_is_exact() {
        let (blocks, exact, letter) = (one(&with_blocks(r"^\w$")), one(r"^\w$"), one(r"^\p{L}$"));
        // Among the signs there are a few letters, as that of the Ohm: nobody writes words with them.
        let signs = '\u{2000}'..='\u{303F}';
        for char in ('\0'..='\u{3FFFF}').filter(|char| !signs.contains(char)) {
            let text = char.to_string();
            if char.is_ascii() || letter.is_match(&text) {
                assert_eq!(blocks.is_match(&text), exact.is_match(&text), "{}", char.escape_unicode());
            }
        }
    }

    #[test]
    fn a_wordy_pattern_takes_little() {
        let small = |pattern: &str| {
            RegexBuilder::new(pattern).case_insensitive(true).size_limit(20 << 10).build().is_ok()
        };
        let pattern = r"^\W*(please )?(have (a|an|some)\w* \w+ )?(call|phone|ring) me( back)?\b";
        assert!(small(&with_blocks(pattern)));
        assert!(!small(pattern), "the exact classes are small, too: the blocks are not needed any more");
    }

    #[test]
    fn a_mistake_is_told_about_the_pattern_as_written() {
        let error = compile(&[r"\w+(".to_owned()]).expect_err("not closed").to_string();
        assert!(error.contains(r"\w+("), "{error}");
    }
}
