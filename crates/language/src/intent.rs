//! What a question is about: a linear model over word and character n-grams, trained in a second from
//! labelled examples, with probabilities that mean what they say.
//!
//! Features are word 1–2-grams and character 2–5-grams within words, TF-IDF weighted with sublinear counts,
//! each part of unit length. One L2-regularised squared-hinge classifier a class is solved by dual coordinate
//! descent (Hsieh et al. 2008, "A dual coordinate descent method for large-scale linear SVM"). Margins become
//! probabilities by a softmax whose temperature is fitted on held-out examples (Guo et al. 2017, "On
//! calibration of modern neural networks"); the model itself is then trained on all of them.
//!
//! Reading order: this file, `intent/feature.rs`, `intent/solve.rs`, `intent/calibrate.rs`.

mod calibrate;
mod feature;
mod solve;

use std::collections::HashMap;

use feature::{Dictionary, Vector};

/// Examples that one model can be trained on; more would no longer be trained at start-up.
pub const EXAMPLES_MAX: usize = 200_000;

/// Only this much of a text is looked at: what someone wants is said early.
pub const TEXT_CHARS_MAX: usize = 1_000;

/// A text and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The text as written.
    pub text: String,
    /// The intent's name.
    pub intent: String,
}

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Penalty of an example on the wrong side of the margin (C of the SVM); above 0.
    pub penalty: f32,
    /// Passes over the examples at most.
    pub passes_max: u32,
    /// Character n-grams of fewer examples than this are not kept.
    pub examples_per_feature_min: u32,
    /// Every how many-th example of an intent is held out to calibrate; at least 2.
    pub held_out_every: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { penalty: 0.5, passes_max: 12, examples_per_feature_min: 2, held_out_every: 5 }
    }
}

/// No model could be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// One intent is no choice.
    #[error("an intent model needs examples of at least two intents, got {found}")]
    TooFewIntents {
        /// Intents in the examples.
        found: usize,
    },
    /// More than can be trained at start-up.
    #[error("an intent model takes at most {EXAMPLES_MAX} examples, got {found}")]
    TooManyExamples {
        /// Examples given.
        found: usize,
    },
    /// An example without text or intent.
    #[error("example {index} of the intent `{intent}` has no text or no intent")]
    EmptyExample {
        /// Its position, from 0.
        index: usize,
        /// Its intent.
        intent: String,
    },
}

/// An intent and how likely it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The intent's name.
    pub intent: String,
    /// Calibrated probability, 0 to 1; all together are 1.
    pub probability: f32,
}

/// How well the model did on examples it had not seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calibration {
    /// Share of held-out examples whose most likely intent was theirs, 0 to 1.
    pub accuracy: f32,
    /// Expected calibration error over ten bins, 0 to 1.
    pub ece: f32,
    /// Held-out examples.
    pub n: usize,
    /// The divisor of the margins before the softmax.
    pub temperature: f32,
}

/// A trained model. Predicting costs microseconds to a millisecond and never fails.
#[derive(Debug, Clone)]
pub struct Model {
    intents: Vec<String>,
    dictionary: Dictionary,
    /// One row of `intents.len()` weights a feature, the bias row last.
    weights: Vec<f32>,
    calibration: Calibration,
}

impl Model {
    /// Trains on `examples`; the same examples and settings give the same model.
    ///
    /// # Errors
    /// [`TrainError`] when the examples do not hold a choice between intents.
    pub fn train(examples: &[Example], settings: &Settings) -> Result<Self, TrainError> {
        let (intents, labels) = index_intents(examples)?;
        let texts: Vec<feature::Grams> =
            examples.iter().map(|example| feature::grams(&example.text)).collect();
        let is_held_out = held_out(&labels, settings.held_out_every.max(2));
        let fit = |keep: &dyn Fn(usize) -> bool| {
            let chosen: Vec<usize> = (0..texts.len()).filter(|&index| keep(index)).collect();
            let grams: Vec<&feature::Grams> = chosen.iter().map(|&index| &texts[index]).collect();
            let dictionary = Dictionary::build(&grams, settings.examples_per_feature_min);
            let rows: Vec<Vector> = grams.iter().map(|grams| dictionary.vector(grams)).collect();
            let labels: Vec<usize> = chosen.iter().map(|&index| labels[index]).collect();
            let problem = solve::Problem {
                rows: &rows,
                labels: &labels,
                n_classes: intents.len(),
                n_features: dictionary.len(),
                penalty: settings.penalty,
                passes_max: settings.passes_max,
            };
            let weights = problem.solve();
            Self { intents: intents.clone(), dictionary, weights, calibration: Calibration::default() }
        };
        let calibration = if is_held_out.contains(&true) {
            let trial = fit(&|index| !is_held_out[index]);
            let unseen = (0..texts.len()).filter(|&index| is_held_out[index]);
            let margins: Vec<(Vec<f32>, usize)> =
                unseen.map(|index| (trial.margins(&texts[index]), labels[index])).collect();
            calibrate::calibrate(&margins)
        } else {
            Calibration { temperature: 1.0, ..Calibration::default() }
        };
        let mut model = fit(&|_| true);
        model.calibration = calibration;
        Ok(model)
    }

    /// All intents, the most likely first; those equally likely by name.
    #[must_use]
    pub fn predict(&self, text: &str) -> Vec<Scored> {
        let margins = self.margins(&feature::grams(text));
        let probabilities = calibrate::softmax(&margins, self.calibration.temperature);
        let mut scored: Vec<Scored> = self
            .intents
            .iter()
            .zip(probabilities)
            .map(|(intent, probability)| Scored { intent: intent.clone(), probability })
            .collect();
        scored.sort_by(|a, b| b.probability.total_cmp(&a.probability).then_with(|| a.intent.cmp(&b.intent)));
        scored
    }

    /// How well it did on the held-out examples, before it was trained on all.
    #[must_use]
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    /// The intents it knows, by name.
    #[must_use]
    pub fn intents(&self) -> &[String] {
        &self.intents
    }

    /// Features it keeps a weight for.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.dictionary.len()
    }

    fn margins(&self, grams: &feature::Grams) -> Vec<f32> {
        let n_classes = self.intents.len();
        let bias = self.dictionary.len() * n_classes;
        let vector = self.dictionary.vector(grams);
        if vector.is_empty() {
            // Nothing known was said: no intent is likelier than another, whatever their biases.
            return vec![0.0; n_classes];
        }
        let mut margins = self.weights[bias..bias + n_classes].to_vec();
        for &(feature, value) in &vector {
            let row = feature as usize * n_classes;
            for (margin, weight) in margins.iter_mut().zip(&self.weights[row..row + n_classes]) {
                *margin += value * weight;
            }
        }
        margins
    }
}

/// The intents by name and each example's position among them.
fn index_intents(examples: &[Example]) -> Result<(Vec<String>, Vec<usize>), TrainError> {
    if examples.len() > EXAMPLES_MAX {
        return Err(TrainError::TooManyExamples { found: examples.len() });
    }
    let mut intents: Vec<String> = examples.iter().map(|example| example.intent.clone()).collect();
    intents.sort_unstable();
    intents.dedup();
    for (index, example) in examples.iter().enumerate() {
        if example.text.trim().is_empty() || example.intent.trim().is_empty() {
            return Err(TrainError::EmptyExample { index, intent: example.intent.clone() });
        }
    }
    if intents.len() < 2 {
        return Err(TrainError::TooFewIntents { found: intents.len() });
    }
    let position: HashMap<&str, usize> =
        intents.iter().enumerate().map(|(position, intent)| (intent.as_str(), position)).collect();
    let labels = examples.iter().map(|example| position[example.intent.as_str()]).collect();
    Ok((intents, labels))
}

/// Which examples calibrate: every `every`-th of each intent, so that all intents are among them that can
/// spare one.
fn held_out(labels: &[usize], every: usize) -> Vec<bool> {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    labels
        .iter()
        .map(|label| {
            let count = seen.entry(*label).or_default();
            *count += 1;
            count.is_multiple_of(every)
        })
        .collect()
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
