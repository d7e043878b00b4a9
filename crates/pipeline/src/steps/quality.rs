//! `validate_quality` and `check_quality`: is the draft good, and what follows.

use domain::chat::Finish;
use domain::model::Tier;
use quality::sentence::dimension;
use quality::{Answer, Validation};

use crate::steps::generate::Asked;
use crate::steps::generate::reading::{Draft, End};
use crate::steps::retrieve::Certainty;
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
            Self::Regenerate(_) => "regenerate",
            Self::Quote => "quote",
        }
    }
}

/// Regenerations of a turn; on the embedded tier each costs the customer seconds.
const REGENERATIONS_MAX: u32 = 2;
const REGENERATIONS_MAX_EMBEDDED: u32 = 1;
/// From this score on, an answer without a hard failure that a client already has is left as it is.
const SCORE_MIN_RELEASED: u8 = 55;

/// What a decision rests on.
pub(crate) struct Basis<'a> {
    pub(crate) draft: &'a Draft,
    pub(crate) checked: &'a Validation,
    pub(crate) regenerations: u32,
    /// Whether another answer like this one would still be in time.
    pub(crate) time_is_left: bool,
}

/// The verdict on all that the model wrote, the sentence that does not hold included.
pub(crate) fn validate(asked: &Asked<'_>, draft: &Draft) -> Validation {
    let unsaid = match &draft.end {
        End::Dropped { sentence, .. } | End::Refusal { sentence } => sentence.as_str(),
        End::Finished(_) | End::Blocked(_) | End::BrokenOff(_) => "",
    };
    let mut validated = quality::validate(&Answer {
        question: asked.question,
        text: &format!("{}{unsaid}", draft.text),
        passages: &asked.passage_texts(),
        allowed_texts: &asked.allowed_texts(),
        finish: match draft.end {
            End::Finished(finish) => finish,
            End::BrokenOff(_) => Finish::Length,
            End::Refusal { .. } | End::Blocked(_) | End::Dropped { .. } => Finish::Stop,
        },
    });
    match &draft.end {
        End::Dropped { reason, .. } => fail(&mut validated, reason.check, &reason.text),
        End::BrokenOff(reason) => fail(&mut validated, dimension::COMPLETENESS, reason),
        End::Finished(_) if !draft.has_substance && !asked.passages.is_empty() => {
            fail(&mut validated, dimension::COMPLETENESS, "Answer the question itself.");
        }
        End::Finished(_) | End::Refusal { .. } | End::Blocked(_) => {}
    }
    validated
}

/// Marks a dimension as failed, so that the text is not shown.
fn fail(validated: &mut Validation, name: &str, reason: &str) {
    validated.hard_failure = true;
    if let Some(check) = validated.verdict.checks.iter_mut().find(|check| check.name == name && check.passed)
    {
        check.passed = false;
        reason.clone_into(&mut check.reason);
    }
}

pub(crate) fn decide(asked: &Asked<'_>, basis: &Basis<'_>) -> Decision {
    let Basis { draft, checked, regenerations, time_is_left } = basis;
    if matches!(draft.end, End::Refusal { .. }) {
        // Small models also refuse what stands before them in other words: whether there is an answer is the
        // retrieval's to say, and where it is sure the passage itself is more use than a refusal.
        return match asked.certainty {
            Certainty::Sure => Decision::Quote,
            Certainty::Likely => Decision::Refusal,
        };
    }
    if checked.is_accepted() {
        return Decision::Accept;
    }
    // Without passages there is nothing to quote: a text that breaks no hard rule is better than the static answer.
    let has_passages = !asked.passages.is_empty();
    if draft.is_released() {
        let is_good_enough = checked.verdict.score >= SCORE_MIN_RELEASED || !has_passages;
        return if is_good_enough && !checked.hard_failure { Decision::Accept } else { Decision::Quote };
    }
    let most = match draft.spoken.tier {
        Tier::Embedded => REGENERATIONS_MAX_EMBEDDED,
        Tier::Primary | Tier::Fallback | Tier::Degraded => REGENERATIONS_MAX,
    };
    if *regenerations < most && *time_is_left {
        return Decision::Regenerate(reasons(draft, checked));
    }
    if !has_passages && !checked.hard_failure { Decision::Accept } else { Decision::Quote }
}

/// What to do better. Of a draft that was stopped only the sentence that stopped it is spoken of: the rest is not
/// known.
fn reasons(draft: &Draft, checked: &Validation) -> Vec<String> {
    match &draft.end {
        End::Dropped { reason, .. } => vec![reason.text.clone()],
        _ => checked.reasons().into_iter().map(str::to_owned).collect(),
    }
}
