//! What labelled questions teach about questions alone: "your routing number" or "the rate today" is asked
//! of a bank, not of its articles, whatever the articles hold. Kernel ridge regression over the questions'
//! wordings and, where they exist, their vectors.

use std::collections::HashMap;

use crate::corpus::key;
use crate::dense::dot;
use crate::regression::Ridge;

/// How sharply likeness of meaning falls off with the cosine; [`RIDGE`] is the strength of the ridge.
/// Both chosen by cross-validation on the shipped questions, in a wide flat optimum.
const SHARPNESS: f64 = 2.0;
const RIDGE: f64 = 0.2;

/// A word or a pair of words, shortened to half a hash: there are thousands of questions with dozens each, and that
/// two of them are taken for one is rare and harmless.
type Feature = u32;

fn feature(text: &str) -> Feature {
    key(text) as Feature
}

/// A question as the kernel sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wording {
    /// Its words and pairs of words with their weights, sorted by key; of unit length.
    words: Vec<(Feature, f32)>,
    vector: Option<Vec<f32>>,
}

/// Labelled questions and what they teach.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Experience {
    examples: Vec<Wording>,
    weights: Vec<f64>,
    rarity: HashMap<Feature, f32>,
    rarest: f32,
}

impl Experience {
    /// Learns from questions that can (`true`) and cannot be answered, and says how each would have been
    /// judged unseen.
    pub(crate) fn learn(texts: &[(&str, Option<Vec<f32>>)], labels: &[bool]) -> (Self, Vec<f64>) {
        let mut rarity: HashMap<Feature, f32> = HashMap::new();
        for (text, _) in texts {
            let mut present = features(text);
            present.sort_unstable();
            present.dedup();
            for feature in present {
                *rarity.entry(feature).or_default() += 1.0;
            }
        }
        let n = texts.len() as f32;
        for count in rarity.values_mut() {
            *count = ((n + 1.0) / (*count + 0.5)).ln();
        }
        rarity.shrink_to_fit();
        let mut experience =
            Self { examples: Vec::new(), weights: Vec::new(), rarity, rarest: ((n + 1.0) / 0.5).ln() };
        experience.examples =
            texts.iter().map(|(text, vector)| experience.wording(text, vector.clone())).collect();
        let kernel = lower_kernel(&experience.examples);
        // Both kinds of question weigh the same, however many there are of each.
        let n_true = labels.iter().filter(|label| **label).count();
        let counts = [(labels.len() - n_true) as f64, n_true as f64];
        let share = |label: bool| 2.0 * counts[usize::from(label)] / labels.len() as f64;
        let diagonal: Vec<f64> = labels.iter().map(|label| RIDGE * share(*label)).collect();
        let targets: Vec<f64> = labels.iter().map(|label| if *label { 1.0 } else { -1.0 }).collect();
        let ridge = Ridge::solve(kernel, &diagonal, &targets);
        experience.weights = ridge.weights;
        (experience, ridge.unseen)
    }

    /// From about -1 (like those without an answer here) to about 1 (like those with one).
    pub(crate) fn judge(&self, text: &str, vector: Option<&[f32]>) -> f64 {
        let wording = self.wording(text, vector.map(<[f32]>::to_vec));
        self.examples
            .iter()
            .zip(&self.weights)
            .map(|(example, weight)| weight * kernel(example, &wording))
            .sum()
    }

    fn wording(&self, text: &str, vector: Option<Vec<f32>>) -> Wording {
        let mut weights: HashMap<Feature, f32> = HashMap::new();
        for feature in features(text) {
            let rarity = self.rarity.get(&feature).copied().unwrap_or(self.rarest);
            weights.insert(feature, rarity);
        }
        let length =
            weights.values().map(|weight| weight * weight).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        let mut words: Vec<(Feature, f32)> =
            weights.into_iter().map(|(feature, weight)| (feature, weight / length)).collect();
        words.sort_unstable_by_key(|(feature, _)| *feature);
        Wording { words, vector }
    }
}

/// All words of a question, stems and function words alike, and its pairs of neighbours.
fn features(text: &str) -> Vec<Feature> {
    let folded = language::text::fold(text);
    let words: Vec<String> = language::words(&folded).into_iter().map(language::word::stem).collect();
    let pairs = words.windows(2).map(|pair| feature(&pair.join(" ")));
    words.iter().map(|word| feature(word)).chain(pairs).collect()
}

/// Likeness of two questions: of their wording and, half and half, of their meaning. The constant lets the
/// model have a bias.
fn kernel(left: &Wording, right: &Wording) -> f64 {
    let wording = f64::from(sparse_dot(&left.words, &right.words));
    match (&left.vector, &right.vector) {
        (Some(one), Some(other)) => {
            let meaning = (SHARPNESS * (f64::from(dot(one, other)) - 1.0)).exp();
            1.0 + f64::midpoint(wording, meaning)
        }
        _ => 1.0 + wording,
    }
}

/// The likenesses of all pairs, row by row. They are symmetric: above the diagonal there is nothing.
fn lower_kernel(examples: &[Wording]) -> Vec<f64> {
    let row = |(at, left): (usize, &Wording)| {
        let mut row = vec![0.0; examples.len()];
        row.iter_mut().zip(&examples[..=at]).for_each(|(value, right)| *value = kernel(left, right));
        row
    };
    examples.iter().enumerate().flat_map(row).collect()
}

fn sparse_dot(left: &[(Feature, f32)], right: &[(Feature, f32)]) -> f32 {
    let (mut left, mut right) = (left, right);
    let mut sum = 0.0;
    while let ([(one, a), after_one @ ..], [(other, b), after_other @ ..]) = (left, right) {
        if one <= other {
            left = after_one;
        }
        if other <= one {
            right = after_other;
        }
        if one == other {
            sum += a * b;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTIONS: [(&str, bool); 8] = [
        ("how long may a bank hold a check", true),
        ("how long may a card dispute take", true),
        ("may a bank raise a card's rate", true),
        ("is a check hold allowed", true),
        ("what is your routing number", false),
        ("what are your opening hours", false),
        ("where is your nearest branch", false),
        ("what is your phone number", false),
    ];

    #[test]
    fn the_wording_tells_whom_a_question_is_for() {
        let texts: Vec<(&str, Option<Vec<f32>>)> = QUESTIONS.iter().map(|(text, _)| (*text, None)).collect();
        let labels: Vec<bool> = QUESTIONS.iter().map(|(_, label)| *label).collect();
        let (experience, unseen) = Experience::learn(&texts, &labels);
        assert!(experience.judge("how long may a hold take", None) > 0.0);
        assert!(experience.judge("what is your fax number", None) < 0.0);
        // What is said of a question that was not seen is weaker than what is said of a seen one.
        for ((text, label), unseen) in QUESTIONS.iter().zip(unseen) {
            let seen = experience.judge(text, None);
            assert_eq!(seen > 0.0, *label, "{text}");
            assert!(seen.abs() > unseen.abs() || (unseen > 0.0) != *label, "{text}: {seen} {unseen}");
        }
    }

    #[test]
    fn meaning_counts_where_words_differ() {
        let vector = |x: f32, y: f32| Some(vec![x, y]);
        let texts = vec![
            ("check hold", vector(1.0, 0.0)),
            ("card dispute", vector(0.8, 0.6)),
            ("branch hours", vector(0.0, 1.0)),
            ("bank phone", vector(-0.6, 0.8)),
        ];
        let (experience, _) = Experience::learn(&texts, &[true, true, false, false]);
        let near = experience.judge("something else", Some(&[0.96, 0.28]));
        let far = experience.judge("something else", Some(&[-0.28, 0.96]));
        assert!(near > far, "{near} {far}");
    }

    #[test]
    fn sparse_vectors_multiply_by_key() {
        let left = [(1, 2.0), (3, 1.0), (5, 4.0)];
        let right = [(2, 9.0), (3, 3.0), (5, 0.5)];
        assert!((sparse_dot(&left, &right) - 5.0).abs() < 1e-6);
    }
}
