//! `validate_quality` and `check_quality`: is the draft good, and what follows.

use domain::chat::Finish;
use domain::interaction::{GuardrailAction, QualityCheck, QualityVerdict};
use domain::model::Tier;
use quality::{Answer, Validation};

use crate::steps::generate::{Asked, Draft, Released};
use crate::trace::Word;

impl Word for Validation {
    fn word(&self) -> &'static str {
        if self.is_accepted() { "accepted" } else { "refused" }
    }
}

/// What follows from a draft's verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is the answer.
    Accept,
    /// The model said that it cannot know.
    Refusal,
    /// An output guardrail stopped it.
    Blocked,
    /// Once more, with these reasons.
    Regenerate(Vec<String>),
    /// The passage itself.
    Quote,
}

impl Word for Decision {
    fn word(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refusal => "refusal",
            Self::Blocked => "blocked",
            Self::Regenerate(_) => "regenerate",
            Self::Quote => "quote",
        }
    }
}

/// Regenerations of a turn; on the embedded tier each costs the customer seconds.
const REGENERATIONS_MAX: u32 = 2;
const REGENERATIONS_MAX_EMBEDDED: u32 = 1;

/// What a decision rests on.
pub(crate) struct Basis<'a> {
    pub(crate) draft: &'a Draft,
    pub(crate) checked: &'a Validation,
    pub(crate) regenerations: u32,
    pub(crate) time_is_left: bool,
}

pub(crate) fn validate(asked: &Asked<'_>, draft: &Draft) -> Validation {
    let mut validated = quality::validate(&Answer {
        question: asked.question,
        text: &draft.text,
        passages: &asked.passage_texts(),
        allowed_texts: &asked.allowed_texts(),
        finish: draft.finish.unwrap_or(Finish::Length),
    });
    if let Some(reason) = &draft.refused {
        let check = QualityCheck { name: "sentence".to_owned(), passed: false, reason: reason.clone() };
        validated.verdict.checks.push(check);
        validated.hard_failure = true;
    }
    validated
}

pub(crate) fn decide(asked: &Asked<'_>, basis: &Basis<'_>) -> Decision {
    let Basis { draft, checked, regenerations, time_is_left } = basis;
    if draft.guardrail.action == GuardrailAction::Blocked {
        return Decision::Blocked;
    }
    if draft.is_refusal {
        return Decision::Refusal;
    }
    if checked.is_accepted() {
        return Decision::Accept;
    }
    let most = if draft.tier == Tier::Embedded { REGENERATIONS_MAX_EMBEDDED } else { REGENERATIONS_MAX };
    if draft.released == Released::Nothing && *regenerations < most && *time_is_left {
        return Decision::Regenerate(reasons(&checked.verdict));
    }
    // Without passages there is nothing to quote: a text that breaks no hard rule is better than the static answer.
    if asked.passages().is_empty() && !checked.hard_failure {
        return Decision::Accept;
    }
    Decision::Quote
}

fn reasons(verdict: &QualityVerdict) -> Vec<String> {
    verdict.checks.iter().filter(|check| !check.passed).map(|check| check.reason.clone()).collect()
}
