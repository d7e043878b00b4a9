//! The verdict on a whole answer: weighted dimensions, 0 to 100, and failures that no score outweighs.

use domain::chat::Finish;
use domain::interaction::{QualityCheck, QualityVerdict};

use crate::form;
use crate::grounding::{SUPPORT_NONE, Sources, Support};
pub use crate::sentence::dimension;
use crate::sentence::{foreign_numbers, role_reason, unfilled, ungrounded};

/// The score from which an answer without a hard failure is accepted.
pub const SCORE_MIN: u8 = 70;

const COMPLETENESS_WEIGHT: f32 = 25.0;
const STRUCTURE_WEIGHT: f32 = 15.0;
const PLACEHOLDERS_WEIGHT: f32 = 10.0;
const NUMBERS_WEIGHT: f32 = 25.0;
const GROUNDEDNESS_WEIGHT: f32 = 25.0;

/// An answer and what it may rest on.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// What was asked.
    pub question: &'a str,
    /// What was answered.
    pub text: &'a str,
    /// The passages it was to rest on; without any, numbers and groundedness are not judged.
    pub passages: &'a [&'a str],
    /// Texts whose words and numbers may be used too: the user's earlier turns, contact, disclaimers. The
    /// question need not be among them.
    pub allowed_texts: &'a [&'a str],
    /// Why the model stopped.
    pub finish: Finish,
}

/// The verdict on an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// Score and dimensions, for the record.
    pub verdict: QualityVerdict,
    /// Whether something is wrong that no score outweighs: the text must not be shown.
    pub hard_failure: bool,
}

impl Validation {
    /// Whether the answer may be shown.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.verdict.score >= SCORE_MIN && !self.hard_failure
    }

    /// What to do better, for the next try; empty when every dimension holds.
    #[must_use]
    pub fn reasons(&self) -> Vec<&str> {
        let reasons = self.verdict.checks.iter().map(|check| check.reason.as_str());
        reasons.filter(|reason| !reason.is_empty()).collect()
    }
}

/// One dimension as judged.
struct Judged {
    name: &'static str,
    weight: f32,
    /// 0 to 1.
    share: f32,
    is_hard: bool,
    reason: Option<String>,
}

impl Judged {
    /// A dimension that holds, or does not for `reason`.
    fn new(name: &'static str, weight: f32, reason: Option<String>) -> Self {
        let share = if reason.is_some() { 0.0 } else { 1.0 };
        Self { name, weight, share, is_hard: false, reason }
    }

    /// The same, but its failure is a hard one.
    fn hard(self) -> Self {
        Self { is_hard: self.reason.is_some(), ..self }
    }
}

/// Judges `answer`. Deterministic; a refusal is a good answer of its own kind.
#[must_use]
pub fn validate(answer: &Answer<'_>) -> Validation {
    let mut allowed: Vec<&str> = answer.allowed_texts.to_vec();
    allowed.push(answer.question);
    let is_refusal = form::is_refusal(answer.text);
    let judges_sources = !answer.passages.is_empty() && !is_refusal;
    let numbers = if judges_sources { foreign_numbers(answer.text, answer.passages, &allowed) } else { None };
    let judged = [
        completeness(answer, if is_refusal { Kind::Refusal } else { Kind::Answer }),
        structure(answer.text),
        Judged::new(dimension::PLACEHOLDERS, PLACEHOLDERS_WEIGHT, unfilled(answer.text)).hard(),
        Judged::new(dimension::NUMBERS, NUMBERS_WEIGHT, numbers).hard(),
        if judges_sources {
            groundedness(answer.text, &Sources::new(answer.passages, &allowed))
        } else {
            Judged::new(dimension::GROUNDEDNESS, GROUNDEDNESS_WEIGHT, None)
        },
    ];
    conclude(judged)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Answer,
    Refusal,
}

fn conclude(judged: [Judged; 5]) -> Validation {
    let score: f32 = judged.iter().map(|judged| judged.weight * judged.share).sum();
    let score = (0..=100_u8).rev().find(|whole| f32::from(*whole) <= score + 0.5).unwrap_or_default();
    let hard_failure = judged.iter().any(|judged| judged.is_hard);
    let checks = judged.into_iter().map(|judged| QualityCheck {
        name: judged.name.to_owned(),
        passed: judged.reason.is_none(),
        reason: judged.reason.unwrap_or_default(),
    });
    Validation { verdict: QualityVerdict { score, checks: checks.collect(), regenerations: 0 }, hard_failure }
}

/// Something is said, to the end, and of what was asked.
fn completeness(answer: &Answer<'_>, kind: Kind) -> Judged {
    let judged = |reason: Option<&str>| {
        Judged::new(dimension::COMPLETENESS, COMPLETENESS_WEIGHT, reason.map(str::to_owned))
    };
    let text = answer.text.trim();
    if language::words(text).is_empty() {
        return judged(Some("The answer is empty; answer the question.")).hard();
    }
    if answer.finish == Finish::ContentFilter {
        return judged(Some("The answer was cut by a filter; answer in other words.")).hard();
    }
    if kind == Kind::Refusal {
        return judged(None);
    }
    let said = substance(text);
    if said.is_empty() {
        return judged(Some("The answer is only an opening; answer the question itself.")).hard();
    }
    if answer.finish == Finish::Length && !form::ends_well(text) {
        return judged(Some("The answer was cut off; say the same in fewer words."));
    }
    if !form::ends_well(text) {
        return judged(Some("The answer does not end; finish its last sentence."));
    }
    if !is_to_the_point(answer, &said) {
        return judged(Some("The answer does not speak of what was asked; answer the question."));
    }
    judged(None)
}

/// The answer without stock openings and closings.
fn substance(text: &str) -> String {
    let sentences = language::sentences(text).into_iter().filter_map(|range| text.get(range));
    sentences.filter(|sentence| !form::is_stock(sentence)).collect::<Vec<_>>().join(" ")
}

/// It shares a content word or a number with the question or a passage, or answers yes or no.
fn is_to_the_point(answer: &Answer<'_>, said: &str) -> bool {
    let wanted = language::word::content_stems(answer.question);
    let stems = language::word::content_stems(said);
    if wanted.is_empty() || stems.iter().any(|stem| wanted.contains(stem)) {
        return true;
    }
    answer.passages.iter().any(|passage| {
        let passage = language::word::content_stems(passage);
        stems.iter().any(|stem| passage.contains(stem))
    }) || !language::numbers(said).is_empty() && !answer.passages.is_empty()
}

/// Fences are closed, no mark of the prompt is left, and nothing is said twice.
fn structure(text: &str) -> Judged {
    let judged = |reason: Option<String>| Judged::new(dimension::STRUCTURE, STRUCTURE_WEIGHT, reason);
    if let Some(mark) = form::role_mark(text) {
        return judged(Some(role_reason(mark))).hard();
    }
    if language::unclosed_fence(text).is_some() {
        return judged(Some("A code fence is not closed; close it or leave it out.".to_owned()));
    }
    let twice = form::repeated(text);
    judged(twice.map(|sentence| format!("\"{sentence}\" stands there twice; say it once.")))
}

/// Each sentence is said in a passage; one that is invented or says the opposite is a hard failure.
fn groundedness(text: &str, sources: &Sources) -> Judged {
    let mut claims = 0_u16;
    let mut backed = 0_u16;
    let mut is_hard = false;
    let mut reason = None;
    let sentences = language::sentences(text).into_iter().filter_map(|range| text.get(range));
    for sentence in sentences.filter(|sentence| !form::is_stock(sentence) && !form::is_refusal(sentence)) {
        let support = sources.support(sentence);
        if support == Support::NoClaim {
            continue;
        }
        claims = claims.saturating_add(1);
        match ungrounded(sentence, support) {
            None => backed = backed.saturating_add(1),
            Some(text) => {
                let is_worse = match support {
                    Support::Contradicted => true,
                    Support::Share(share) => share < SUPPORT_NONE,
                    Support::NoClaim => false,
                };
                if reason.is_none() || is_worse && !is_hard {
                    reason = Some(text);
                }
                is_hard |= is_worse;
            }
        }
    }
    // An answer that mostly is not the passages' is not theirs at all.
    is_hard |= claims > 0 && backed * 2 < claims;
    let share = if claims == 0 { 1.0 } else { f32::from(backed) / f32::from(claims) };
    Judged { name: dimension::GROUNDEDNESS, weight: GROUNDEDNESS_WEIGHT, share, is_hard, reason }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
