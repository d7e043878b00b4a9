//! Is a sentence said in the passages? Its content words, by stem and small families of meaning, must stand
//! together in one of them, and the passage must not say the opposite.

mod polarity;
mod stem;

use std::collections::BTreeSet;

use stem::Claim;

/// The content of `text`: stems, each standing for its family of meaning.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    Claim::read(text).words()
}

/// Share of a sentence's content words that one passage (with the question's words) must hold. At this value
/// every golden paraphrase of this crate passes, and nine of ten sentences of the shipped articles fail
/// against another section of their own article.
pub const SUPPORT_MIN: f32 = 0.55;

/// Below this share nothing of the sentence is in the passages: invented, not reworded.
pub const SUPPORT_NONE: f32 = 0.3;

/// How well a sentence is backed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Support {
    /// It claims nothing that could be checked.
    NoClaim,
    /// By this share of its content words, 0 to 1.
    Share(f32),
    /// A passage says the opposite.
    Contradicted,
}

impl Support {
    /// Whether the sentence may stand.
    #[must_use]
    pub fn is_enough(self) -> bool {
        match self {
            Self::NoClaim => true,
            Self::Share(share) => share >= SUPPORT_MIN,
            Self::Contradicted => false,
        }
    }
}

/// Passages, taken apart once for all sentences of an answer.
#[derive(Debug)]
pub struct Sources {
    passages: Vec<BTreeSet<String>>,
    sentences: Vec<Claim>,
    known: BTreeSet<String>,
}

impl Sources {
    /// `passages` hold the truth; the words of `allowed` (the user's turns, contact, disclaimers) may be used
    /// without saying anything new.
    #[must_use]
    pub fn new(passages: &[&str], allowed: &[&str]) -> Self {
        let sentences = passages.iter().flat_map(|passage| {
            language::sentences(passage).into_iter().filter_map(|range| passage.get(range))
        });
        Self {
            passages: passages.iter().map(|passage| Claim::read(passage).words()).collect(),
            sentences: sentences.map(Claim::read).collect(),
            known: allowed.iter().flat_map(|text| Claim::read(text).words()).collect(),
        }
    }

    /// How well `sentence` is backed.
    #[must_use]
    pub fn support(&self, sentence: &str) -> Support {
        let claim = Claim::read(sentence);
        let words = claim.words();
        if words.is_empty() || self.passages.is_empty() {
            return Support::NoClaim;
        }
        if polarity::is_contradicted(&claim, &self.sentences) {
            return Support::Contradicted;
        }
        // What only repeats the question or the contact needs no passage.
        if words.iter().all(|word| self.known.contains(word)) {
            return Support::NoClaim;
        }
        let share = |passage: &BTreeSet<String>| {
            let held =
                words.iter().filter(|word| passage.contains(*word) || self.known.contains(*word)).count();
            held as f32 / words.len() as f32
        };
        Support::Share(self.passages.iter().map(share).fold(0.0, f32::max))
    }
}

#[cfg(test)]
#[path = "grounding_tests.rs"]
mod tests;
