//! Words: where they are, which of them carry content, and their stems.

use std::sync::LazyLock;

use unicode_segmentation::UnicodeSegmentation;

use crate::text;

/// Fewer content words than this make a question vague (DESIGN.md §4).
pub const VAGUE_CONTENT_WORDS: usize = 4;

/// English words without content of their own; sorted, lower-case, straight apostrophes.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "above",
    "after",
    "again",
    "against",
    "all",
    "also",
    "am",
    "an",
    "and",
    "any",
    "are",
    "aren't",
    "as",
    "at",
    "be",
    "because",
    "been",
    "before",
    "being",
    "below",
    "between",
    "both",
    "but",
    "by",
    "can",
    "can't",
    "cannot",
    "could",
    "couldn't",
    "did",
    "didn't",
    "do",
    "does",
    "doesn't",
    "doing",
    "don't",
    "down",
    "during",
    "each",
    "either",
    "else",
    "etc",
    "every",
    "few",
    "for",
    "from",
    "further",
    "get",
    "gets",
    "getting",
    "got",
    "had",
    "hadn't",
    "has",
    "hasn't",
    "have",
    "haven't",
    "having",
    "he",
    "hello",
    "her",
    "here",
    "hers",
    "herself",
    "hi",
    "him",
    "himself",
    "his",
    "how",
    "however",
    "i",
    "i'd",
    "i'll",
    "i'm",
    "i've",
    "if",
    "in",
    "into",
    "is",
    "isn't",
    "it",
    "it's",
    "its",
    "itself",
    "just",
    "let",
    "let's",
    "like",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "myself",
    "no",
    "nor",
    "not",
    "now",
    "of",
    "off",
    "ok",
    "okay",
    "on",
    "once",
    "only",
    "or",
    "other",
    "our",
    "ours",
    "ourselves",
    "out",
    "over",
    "own",
    "per",
    "please",
    "same",
    "shall",
    "she",
    "should",
    "shouldn't",
    "so",
    "some",
    "such",
    "than",
    "thank",
    "thanks",
    "that",
    "that's",
    "the",
    "their",
    "theirs",
    "them",
    "themselves",
    "then",
    "there",
    "there's",
    "therefore",
    "these",
    "they",
    "they're",
    "this",
    "those",
    "through",
    "to",
    "too",
    "under",
    "until",
    "up",
    "upon",
    "us",
    "very",
    "via",
    "was",
    "wasn't",
    "we",
    "we'll",
    "we're",
    "we've",
    "were",
    "weren't",
    "what",
    "what's",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "within",
    "without",
    "won't",
    "would",
    "wouldn't",
    "yes",
    "you",
    "you'd",
    "you'll",
    "you're",
    "you've",
    "your",
    "yours",
    "yourself",
    "yourselves",
];

static STEMMER: LazyLock<frostem::Stemmer> =
    LazyLock::new(|| frostem::Stemmer::new(frostem::Algorithm::English));

/// The words of `text` in their order: runs of letters and digits with the marks inside them
/// (`don't`, `250,000`, `U.S`), split at hyphens (Unicode UAX 29).
#[must_use]
pub fn words(text: &str) -> Vec<&str> {
    text.unicode_words().collect()
}

/// Whether a folded (lower-case) word is one of the common ones that carry no content.
#[must_use]
pub fn is_stop_word(folded: &str) -> bool {
    STOP_WORDS.binary_search(&folded).is_ok()
}

/// The words of `text` that carry content, folded, in their order and as often as they occur.
#[must_use]
pub fn content_words(text: &str) -> Vec<String> {
    let folded = text::fold(text);
    folded.unicode_words().filter(|word| !is_stop_word(word)).map(str::to_owned).collect()
}

/// The stem of a folded English word (Snowball's English stemmer): `deposits` and `deposited` are one.
#[must_use]
pub fn stem(folded: &str) -> String {
    let bare = folded.strip_suffix("'s").unwrap_or(folded);
    STEMMER.stem(bare).into_owned()
}

/// The stems of [`content_words`].
#[must_use]
pub fn content_stems(text: &str) -> Vec<String> {
    content_words(text).iter().map(|word| stem(word)).collect()
}

/// Whether `text` says too little to look for: under [`VAGUE_CONTENT_WORDS`] different content words.
#[must_use]
pub fn is_vague(text: &str) -> bool {
    let mut content = content_words(text);
    content.sort_unstable();
    content.dedup();
    content.len() < VAGUE_CONTENT_WORDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_words_are_sorted_so_that_all_are_found() {
        assert!(STOP_WORDS.is_sorted());
        assert!(STOP_WORDS.iter().all(|word| is_stop_word(word)));
    }

    #[test]
    fn words_keep_the_marks_inside_them() {
        assert_eq!(
            words("Don't pay $250,000.50 for a co-owner!"),
            ["Don't", "pay", "250,000.50", "for", "a", "co", "owner"]
        );
    }

    #[test]
    fn content_words_leave_the_common_ones_out() {
        for (text, want) in [
            ("Is my deposit FDIC insured, and up to how much?", vec!["deposit", "fdic", "insured"]),
            ("What's the fee?", vec!["fee"]),
            ("What’s up", vec![]),
        ] {
            assert_eq!(content_words(text), want, "{text}");
        }
    }

    #[test]
    fn stems_join_the_forms_of_a_word() {
        for (one, other) in [("deposits", "deposit"), ("insured", "insure"), ("bank's", "banks")] {
            assert_eq!(stem(one), stem(other));
        }
    }

    #[test]
    fn under_four_content_words_is_vague() {
        for (text, want) in [
            ("card", true),
            ("my card fee", true),
            ("fee fee fee fee", true),
            ("why was my card payment declined abroad", false),
        ] {
            assert_eq!(is_vague(text), want, "{text}");
        }
    }
}
