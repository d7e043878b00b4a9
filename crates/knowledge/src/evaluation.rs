//! How well a collection is searched and judged, measured on its labelled questions.

use crate::calibration::{Asked, Judge, Judged, Rates, area, cross_validated, observe, rates};
use crate::corpus::{Corpus, Dense};
use crate::passage::{Room, passages};
use crate::words::WordsError;

/// Tokens of a passage when recall is measured.
const PASSAGE_TOKENS: usize = 110;

/// Figures for both ways to search.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// By words alone.
    pub by_words: Figures,
    /// By words and vectors; `None` while there are no vectors.
    pub hybrid: Option<Figures>,
}

/// Figures for one way to search.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Labelled questions with an answer.
    pub n_answerable: usize,
    /// Labelled questions without.
    pub n_unanswerable: usize,
    /// Share of the answerable whose document is the first passage's.
    pub recall_at_1: f64,
    /// Share of the answerable whose document is one of the first two passages'.
    pub recall_at_2: f64,
    /// Chance that an answerable question is judged higher than another, cross-validated.
    pub area: f64,
    /// Shares refused and kept at the calibrated threshold, cross-validated.
    pub rates: Rates,
    /// The calibrated threshold.
    pub abstain_below: f64,
    /// Threshold and rates over the range of thresholds, for a curve.
    pub curve: Vec<(f64, Rates)>,
    /// Answerable questions whose document is no passage's, with what was found first.
    pub missed: Vec<(String, String)>,
    /// Questions on the wrong side of the threshold with their cross-validated confidence.
    pub misjudged: Vec<(String, f64)>,
}

pub(crate) fn evaluate(
    corpus: &Corpus,
    dense: Option<&Dense>,
    asked: &[Asked],
) -> Result<Evaluation, WordsError> {
    let without: Vec<Asked> = asked.iter().map(|asked| Asked { vector: None, ..asked.clone() }).collect();
    let by_words = figures(corpus, None, &without)?;
    let hybrid = dense.map(|dense| figures(corpus, Some(dense), asked)).transpose()?;
    Ok(Evaluation { by_words, hybrid })
}

fn figures(corpus: &Corpus, dense: Option<&Dense>, asked: &[Asked]) -> Result<Figures, WordsError> {
    let (mut at_1, mut at_2, mut missed) = (0, 0, Vec::new());
    for asked in asked {
        let Some(document) = &asked.question.document else { continue };
        let query = asked.query(corpus)?;
        let evidence = corpus.search(dense, &query)?;
        let found = passages(corpus, &query, &evidence, Room { passages: 2, tokens: PASSAGE_TOKENS });
        match found.iter().position(|passage| passage.document == *document) {
            Some(0) => at_1 += 1,
            Some(_) => at_2 += 1,
            None => {
                let first = found.first().map_or("", |passage| passage.document.as_str());
                missed.push((asked.question.text.clone(), first.to_owned()));
            }
        }
    }
    let observed = observe(corpus, dense, asked)?;
    let judged = cross_validated(&observed);
    let abstain_below = Judge::learn(corpus, dense, asked)?.abstain_below();
    let n_answerable = judged.iter().filter(|one| one.is_answerable).count();
    let share = |count: usize| count as f64 / n_answerable.max(1) as f64;
    let misjudged = observed
        .iter()
        .zip(&judged)
        .filter(|(_, one)| (one.confidence >= abstain_below) != one.is_answerable)
        .map(|(observed, one)| (observed.text().to_owned(), one.confidence))
        .collect();
    Ok(Figures {
        n_answerable,
        n_unanswerable: judged.len() - n_answerable,
        recall_at_1: share(at_1),
        recall_at_2: share(at_1 + at_2),
        area: area(&judged),
        rates: rates(&judged, abstain_below),
        abstain_below,
        curve: curve(&judged),
        missed,
        misjudged,
    })
}

fn curve(judged: &[Judged]) -> Vec<(f64, Rates)> {
    (1..20).map(|step| f64::from(step) / 20.0).map(|at| (at, rates(judged, at))).collect()
}
