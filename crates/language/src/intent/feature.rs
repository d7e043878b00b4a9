//! From text to a sparse vector: hashed n-grams, a dictionary of those worth keeping, TF-IDF weights.

use std::collections::HashMap;

use unicode_segmentation::UnicodeSegmentation;

use super::TEXT_CHARS_MAX;
use crate::text;

const CHAR_GRAMS: std::ops::RangeInclusive<usize> = 2..=5;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A sparse vector: feature and value, by feature.
pub(super) type Vector = Vec<(u32, f32)>;

/// The n-grams of one text as hashes, with their counts: those of words and those of characters.
#[derive(Debug, Clone)]
pub(super) struct Grams {
    word: Vec<(u64, u32)>,
    character: Vec<(u64, u32)>,
}

/// Counts the n-grams of `text`.
pub(super) fn grams(text: &str) -> Grams {
    let folded: String = text::fold(text).chars().take(TEXT_CHARS_MAX).collect();
    let words: Vec<&str> = folded.unicode_words().collect();
    let mut word: Vec<u64> = words.iter().map(|word| hash(&[b"w", word.as_bytes()])).collect();
    word.extend(words.windows(2).map(|pair| hash(&[b"w", pair[0].as_bytes(), b" ", pair[1].as_bytes()])));
    let mut character = Vec::new();
    let mut padded: Vec<char> = Vec::new();
    for piece in folded.split_whitespace() {
        padded.clear();
        padded.push(' ');
        padded.extend(piece.chars());
        padded.push(' ');
        for length in CHAR_GRAMS {
            if padded.len() < length {
                // A word shorter than the n-gram is one whole.
                break;
            }
            character.extend(padded.windows(length).map(hash_chars));
        }
    }
    Grams { word: count(word), character: count(character) }
}

fn count(mut hashes: Vec<u64>) -> Vec<(u64, u32)> {
    hashes.sort_unstable();
    let mut counted: Vec<(u64, u32)> = Vec::with_capacity(hashes.len());
    for hash in hashes {
        match counted.last_mut() {
            Some((last, count)) if *last == hash => *count += 1,
            _ => counted.push((hash, 1)),
        }
    }
    counted
}

/// FNV-1a, the same on every machine.
fn hash(parts: &[&[u8]]) -> u64 {
    parts.iter().flat_map(|part| part.iter()).fold(FNV_OFFSET, |state, byte| mix(state, u64::from(*byte)))
}

fn hash_chars(chars: &[char]) -> u64 {
    chars.iter().fold(mix(FNV_OFFSET, u64::from(b'c')), |state, &c| mix(state, u64::from(u32::from(c))))
}

fn mix(state: u64, value: u64) -> u64 {
    (state ^ value).wrapping_mul(FNV_PRIME)
}

/// The n-grams that were kept, each with its number and its inverse document frequency.
#[derive(Debug, Clone)]
pub(super) struct Dictionary {
    features: HashMap<u64, (u32, f32)>,
    /// The weight of an n-gram of one example.
    rarest: f32,
}

impl Dictionary {
    /// Keeps all words and the character n-grams of at least `examples_min` texts.
    pub(super) fn build(texts: &[&Grams], examples_min: u32) -> Self {
        let mut frequency: HashMap<u64, u32> = HashMap::new();
        for grams in texts {
            for (hash, _) in &grams.character {
                *frequency.entry(*hash).or_default() += 1;
            }
        }
        frequency.retain(|_, count| *count >= examples_min);
        for grams in texts {
            for (hash, _) in &grams.word {
                *frequency.entry(*hash).or_default() += 1;
            }
        }
        let mut kept: Vec<(u64, u32)> = frequency.into_iter().collect();
        kept.sort_unstable();
        let n_texts = texts.len() as f32;
        let weigh = |count: u32| ((1.0 + n_texts) / (1.0 + count as f32)).ln() + 1.0;
        let features =
            (0_u32..).zip(kept).map(|(feature, (hash, count))| (hash, (feature, weigh(count)))).collect();
        Self { features, rarest: weigh(1) }
    }

    pub(super) fn len(&self) -> usize {
        self.features.len()
    }

    /// The TF-IDF vector of a text; its two parts have unit length each, where they are not empty.
    pub(super) fn vector(&self, grams: &Grams) -> Vector {
        let mut vector = self.part(&grams.word);
        vector.extend(self.part(&grams.character));
        vector.sort_unstable_by_key(|(feature, _)| *feature);
        vector
    }

    /// Unknown n-grams count for the length as much as the rarest known one: a text that the dictionary
    /// hardly knows has small values, so that it is surely nothing rather than something by chance.
    fn part(&self, counted: &[(u64, u32)]) -> Vector {
        let mut part: Vector = Vec::with_capacity(counted.len());
        let mut length = 0.0_f32;
        for (hash, count) in counted {
            let known = self.features.get(hash);
            let weight = known.map_or(self.rarest, |(_, weight)| *weight);
            let value = (1.0 + (*count as f32).ln()) * weight;
            length += value * value;
            if let Some((feature, _)) = known {
                part.push((*feature, value));
            }
        }
        let length = length.sqrt();
        part.iter_mut().for_each(|(_, value)| *value /= length);
        part
    }
}
