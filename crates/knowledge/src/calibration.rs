//! When to abstain: a probability that the passages hold the answer, learned from labelled questions, and
//! the value below which there is none.

use crate::corpus::{Corpus, Dense, Evidence, Query};
use crate::experience::Experience;
use crate::question::Question;
use crate::regression::Logistic;
use crate::words::WordsError;

/// Labelled questions of each kind that are needed to learn from them.
const QUESTIONS_MIN: usize = 10;
/// Labelled questions beyond this many are thinned out evenly; the fit is cubic in their number (half a
/// second for 1,200).
const QUESTIONS_MAX: usize = 2_000;
/// L2 weight of the logistic regression on standardised features.
const PENALTY: f64 = 3.0;
/// Parts of the cross-validation.
const FOLDS: usize = 5;
/// Of the questions without an answer, this share is to be refused.
const REFUSED_WANTED: f64 = 0.95;
/// Of the questions with an answer, this share is to be kept.
const KEPT_WANTED: f64 = 0.90;
/// Candidates looked at for features.
const LOOKED_AT: usize = 3;

/// Mean, spread and weight of each of [`features`], as [`Logistic`] has them.
const SHIPPED_BY_WORDS: [(f64, f64, f64); 5] = [
    (0.522, 0.267, 0.502),
    (0.733, 0.338, -0.078),
    (0.264, 0.307, -0.308),
    (2.276, 0.620, 2.355),
    (0.761, 0.432, -0.309),
];
const SHIPPED_HYBRID: [(f64, f64, f64); 7] = [
    (0.485, 0.284, 0.856),
    (0.745, 0.330, -0.087),
    (0.264, 0.307, -0.180),
    (2.276, 0.620, 1.259),
    (0.761, 0.432, -1.084),
    (0.499, 0.173, 1.791),
    (0.099, 0.108, 0.606),
];

/// A labelled question with its vector, when there is an embedder.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) vector: Option<Vec<f32>>,
    /// Its place among the precedents, when it is one.
    pub(crate) precedent: Option<usize>,
}

impl Asked {
    /// The query that it makes, to be judged as if it had never been asked.
    pub(crate) fn query(&self, corpus: &Corpus) -> Result<Query, WordsError> {
        let mut query = corpus.query(&self.question.text, self.vector.clone())?;
        query.unseen = self.precedent;
        Ok(query)
    }
}

/// Judges whether what was found holds the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judge {
    experience: Option<Experience>,
    model: Logistic,
    abstain_below: f64,
}

/// A labelled question and what a search for it showed.
pub(crate) struct Observed<'a> {
    asked: &'a Asked,
    features: Vec<f64>,
    /// How near the nearest precedent is, itself left out.
    nearest_precedent: f64,
}

impl Observed<'_> {
    pub(crate) fn text(&self) -> &str {
        &self.asked.question.text
    }

    fn is_answerable(&self) -> bool {
        self.asked.question.document.is_some()
    }
}

/// A judgement beside the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    pub(crate) confidence: f64,
    pub(crate) is_answerable: bool,
}

impl Judge {
    /// Learns from labelled questions; with too few of them, the shipped coefficients judge.
    pub(crate) fn learn(corpus: &Corpus, dense: Option<&Dense>, asked: &[Asked]) -> Result<Self, WordsError> {
        let observed = observe(corpus, dense, asked)?;
        let n_answerable = observed.iter().filter(|one| one.is_answerable()).count();
        if n_answerable.min(observed.len() - n_answerable) < QUESTIONS_MIN {
            return Ok(Self::shipped(dense));
        }
        let all: Vec<&Observed<'_>> = observed.iter().collect();
        let (experience, rows, labels) = Self::study(&all);
        // The threshold comes from judgements of the unseen: rows hold what the experience would say of each
        // question without it, and each fold is judged by a model of the others.
        let folds = folds(&labels);
        let models: Vec<Logistic> = (0..FOLDS)
            .map(|fold| {
                let others = (0..rows.len()).filter(|at| folds[*at] != fold);
                let (rows, labels): (Vec<_>, Vec<_>) =
                    others.map(|at| (rows[at].clone(), labels[at])).unzip();
                Logistic::fit(&rows, &labels, PENALTY)
            })
            .collect();
        let judged: Vec<Judged> = (0..rows.len())
            .map(|at| Judged {
                confidence: models[folds[at]].probability(&rows[at]),
                is_answerable: labels[at],
            })
            .collect();
        let model = Logistic::fit(&rows, &labels, PENALTY);
        Ok(Self { experience: Some(experience), model, abstain_below: threshold(&judged) })
    }

    /// Everything that questions teach: by themselves, and as rows of features with labels.
    fn study(observed: &[&Observed<'_>]) -> (Experience, Vec<Vec<f64>>, Vec<bool>) {
        let texts: Vec<(&str, Option<Vec<f32>>)> =
            observed.iter().map(|one| (one.asked.question.text.as_str(), one.asked.vector.clone())).collect();
        let labels: Vec<bool> = observed.iter().map(|one| one.is_answerable()).collect();
        let (experience, unseen) = Experience::learn(&texts, &labels);
        let rows = observed
            .iter()
            .zip(unseen)
            .map(|(one, judged)| {
                one.features.iter().copied().chain([judged, one.nearest_precedent]).collect()
            })
            .collect();
        (experience, rows, labels)
    }

    /// Learns without a threshold.
    fn fit(observed: &[&Observed<'_>]) -> Self {
        let (experience, rows, labels) = Self::study(observed);
        let model = Logistic::fit(&rows, &labels, PENALTY);
        Self { experience: Some(experience), model, abstain_below: 0.5 }
    }

    /// Coefficients learned from the shipped collection's questions without their wording, for collections
    /// that bring no questions of their own: 88 % refused and 91 % kept with vectors, 85 % and 81 % without.
    fn shipped(dense: Option<&Dense>) -> Self {
        let (features, bias, abstain_below) = match dense {
            Some(_) => (SHIPPED_HYBRID.to_vec(), 0.089, 0.447),
            None => (SHIPPED_BY_WORDS.to_vec(), -0.128, 0.562),
        };
        Self { experience: None, model: Logistic { features, bias }, abstain_below }
    }

    /// The probability, 0 to 1, that what was found holds the answer to `text`.
    pub(crate) fn confidence(&self, corpus: &Corpus, query: &Query, evidence: &Evidence) -> f64 {
        let mut row = features(corpus, query, evidence);
        if let Some(experience) = &self.experience {
            let learned = experience.judge(&query.text, query.vector.as_deref());
            row.extend([learned, f64::from(evidence.nearest_precedent)]);
        }
        self.model.probability(&row)
    }

    pub(crate) fn abstain_below(&self) -> f64 {
        self.abstain_below
    }
}

/// Searches for every question, at most [`QUESTIONS_MAX`] of them.
pub(crate) fn observe<'a>(
    corpus: &Corpus,
    dense: Option<&Dense>,
    asked: &'a [Asked],
) -> Result<Vec<Observed<'a>>, WordsError> {
    let step = asked.len().div_ceil(QUESTIONS_MAX).max(1);
    asked
        .iter()
        .step_by(step)
        .map(|asked| {
            let query = asked.query(corpus)?;
            let evidence = corpus.search(dense, &query)?;
            let features = features(corpus, &query, &evidence);
            Ok(Observed { asked, features, nearest_precedent: f64::from(evidence.nearest_precedent) })
        })
        .collect()
}

/// Each question judged by what the questions of other folds teach, with nothing of its own fold used.
pub(crate) fn cross_validated(observed: &[Observed<'_>]) -> Vec<Judged> {
    let labels: Vec<bool> = observed.iter().map(Observed::is_answerable).collect();
    let folds = folds(&labels);
    let judges: Vec<Judge> = (0..FOLDS)
        .map(|fold| {
            let others = observed.iter().zip(&folds).filter(|(_, its_fold)| **its_fold != fold);
            Judge::fit(&others.map(|(one, _)| one).collect::<Vec<_>>())
        })
        .collect();
    observed.iter().zip(&folds).map(|(one, fold)| judges[*fold].judged(one)).collect()
}

impl Judge {
    fn judged(&self, one: &Observed<'_>) -> Judged {
        let Asked { question, vector, .. } = one.asked;
        let mut row = one.features.clone();
        if let Some(experience) = &self.experience {
            row.extend([experience.judge(&question.text, vector.as_deref()), one.nearest_precedent]);
        }
        Judged { confidence: self.model.probability(&row), is_answerable: one.is_answerable() }
    }
}

/// The fold of each question, so that all folds have the same share of both kinds.
fn folds(labels: &[bool]) -> Vec<usize> {
    let mut seen = [0, 0];
    let fold = |label: &bool| {
        let count = &mut seen[usize::from(*label)];
        *count += 1;
        *count % FOLDS
    };
    labels.iter().map(fold).collect()
}

/// What a search shows about whether it found the answer.
fn features(corpus: &Corpus, query: &Query, evidence: &Evidence) -> Vec<f64> {
    let looked_at = &evidence.ranked[..evidence.ranked.len().min(LOOKED_AT)];
    let coverage =
        looked_at.iter().map(|candidate| corpus.coverage(query, candidate.chunk)).fold(0.0_f32, f32::max);
    let rarest = (1.0 + (corpus.chunks.len() as f32 + 0.5) / 0.5).ln();
    // The rarest word of the question that the best chunk does not have: "routing", "bitcoin".
    let missing = looked_at.first().map_or(1.0, |best| {
        let lost = query.weights.iter().filter(|weight| !corpus.holds(best.chunk, weight.key));
        lost.map(|weight| weight.idf / rarest).fold(0.0_f32, f32::max)
    });
    let all: f32 = query.weights.iter().map(|weight| weight.idf).sum();
    let unknown: f32 = query.weights.iter().filter(|weight| !weight.is_known).map(|weight| weight.idf).sum();
    let mut row = vec![
        coverage,
        missing,
        if all > 0.0 { unknown / all } else { 1.0 },
        evidence.words_best.ln_1p(),
        if all > 0.0 { evidence.words_best / all } else { 0.0 },
    ];
    if evidence.is_hybrid {
        let nearest = evidence.ranked.iter().map(|candidate| candidate.cosine).fold(-1.0_f32, f32::max);
        let of_first = looked_at.first().map(|first| (corpus.chunks[first.chunk].document, first.cosine));
        // How far the first passage's document stands above the next one.
        let margin = of_first.map_or(0.0, |(document, cosine)| {
            let others = evidence.ranked.iter();
            let others = others.filter(|candidate| corpus.chunks[candidate.chunk].document != document);
            cosine - others.map(|candidate| candidate.cosine).fold(0.0_f32, f32::max)
        });
        row.extend([nearest, margin]);
    }
    row.into_iter().map(f64::from).collect()
}

/// The value that refuses [`REFUSED_WANTED`] of what has no answer and keeps as much as it can of what has;
/// when it would keep less than [`KEPT_WANTED`], the best balance of both.
pub(crate) fn threshold(judged: &[Judged]) -> f64 {
    let mut values: Vec<f64> = judged.iter().map(|one| one.confidence).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let mut best = (f64::MIN, 0.5);
    for pair in values.windows(2) {
        let [below, above] = pair else { continue };
        let middle = f64::midpoint(*below, *above);
        let rates = rates(judged, middle);
        let is_wanted = rates.refused >= REFUSED_WANTED && rates.kept >= KEPT_WANTED;
        let value = rates.refused + rates.kept + if is_wanted { 1.0 } else { 0.0 };
        if value > best.0 {
            best = (value, middle);
        }
    }
    best.1
}

/// Shares of what a threshold does right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of the questions without an answer, those refused.
    pub refused: f64,
    /// Of the questions with an answer, those kept.
    pub kept: f64,
}

pub(crate) fn rates(judged: &[Judged], abstain_below: f64) -> Rates {
    let share = |is_answerable: bool| {
        let of_kind: Vec<&Judged> = judged.iter().filter(|one| one.is_answerable == is_answerable).collect();
        let right = of_kind.iter().filter(|one| (one.confidence >= abstain_below) == is_answerable).count();
        right as f64 / of_kind.len().max(1) as f64
    };
    Rates { refused: share(false), kept: share(true) }
}

/// The chance that an answerable question is judged higher than one without an answer (area under the
/// receiver's curve); ties count half.
pub(crate) fn area(judged: &[Judged]) -> f64 {
    let (with, without): (Vec<&Judged>, Vec<&Judged>) = judged.iter().partition(|one| one.is_answerable);
    let mut wins = 0.0;
    for one in &with {
        for other in &without {
            wins += match one.confidence.total_cmp(&other.confidence) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    wins / ((with.len() * without.len()).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(confidences: &[(f64, bool)]) -> Vec<Judged> {
        let one = |(confidence, is_answerable): &(f64, bool)| Judged {
            confidence: *confidence,
            is_answerable: *is_answerable,
        };
        confidences.iter().map(one).collect()
    }

    #[test]
    fn the_threshold_refuses_what_is_wanted_and_keeps_the_most() {
        for (confidences, want) in [
            (vec![(0.1, false), (0.2, false), (0.8, true), (0.9, true)], 0.5),
            // One answerable question below all others is given up for the unanswerable ones.
            (vec![(0.1, true), (0.3, false), (0.5, false), (0.7, true), (0.9, true)], 0.6),
        ] {
            assert!((threshold(&judged(&confidences)) - want).abs() < 1e-9, "{confidences:?}");
        }
    }

    #[test]
    fn rates_and_area_are_of_their_own_kinds() {
        let judged = judged(&[(0.1, false), (0.6, false), (0.5, true), (0.9, true)]);
        assert_eq!(rates(&judged, 0.55), Rates { refused: 0.5, kept: 0.5 });
        assert!((area(&judged) - 0.75).abs() < 1e-9);
    }

    #[test]
    fn folds_have_the_same_share_of_both_kinds() {
        let labels = [true, true, true, true, true, false, false, false, false, false];
        let folds = folds(&labels);
        for fold in 0..FOLDS {
            let of_fold = || labels.iter().zip(&folds).filter(move |(_, its_fold)| **its_fold == fold);
            assert_eq!(of_fold().count(), 2);
            assert_eq!(of_fold().filter(|(label, _)| **label).count(), 1);
        }
    }
}
