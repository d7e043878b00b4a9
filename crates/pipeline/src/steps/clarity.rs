//! `check_intent_clarity`: answer, ask back, decline, or hand to a person — in the order of DESIGN §4.

use registry::intents::{Detected, Intents};

use crate::steps::retrieve::Retrieval;
use crate::trace::Word;

/// How to go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Clarity {
    /// Answer.
    Clear,
    /// Ask back, offering these.
    Clarify(Vec<String>),
    /// Hand to a person, for this reason.
    Escalate(String),
    /// "I don't have that information."
    Decline,
    /// The search failed: nothing may be claimed from memory.
    Unsearchable,
}

impl Word for Clarity {
    fn word(&self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Clarify(_) => "clarify",
            Self::Escalate(_) => "escalate",
            Self::Decline => "decline",
            Self::Unsearchable => "unsearchable",
        }
    }
}

/// Two intents this close are not told apart, when the better one is below [`BEST_MIN`].
const MARGIN_MIN: f32 = 0.1;
const BEST_MIN: f32 = 0.5;
/// Clarifying questions in a row; after these a person takes over.
const CLARIFICATIONS_MAX: u32 = 2;

/// What the decision rests on.
pub(crate) struct Basis<'a> {
    pub(crate) text: &'a str,
    pub(crate) detected: &'a Detected,
    pub(crate) retrieval: &'a Retrieval,
    pub(crate) clarifications: u32,
}

pub(crate) fn run(intents: &Intents, basis: &Basis<'_>) -> Clarity {
    if let Some(reason) = &basis.detected.escalate {
        return Clarity::Escalate(reason.clone());
    }
    let clarity = by_score(basis.retrieval);
    let choices: Vec<Option<&str>> =
        basis.detected.likeliest().map(|intent| intents.choice(&intent.name)).collect();
    // Who is torn between a thing that the assistant knows and one that it does not is not helped by a question.
    let is_undecided = choices.iter().all(Option::is_some) && is_undecided(basis.detected);
    if clarity != Clarity::Decline || !language::is_vague(basis.text) && !is_undecided {
        return clarity;
    }
    if basis.clarifications >= CLARIFICATIONS_MAX {
        return Clarity::Escalate("two clarifying questions did not help".to_owned());
    }
    Clarity::Clarify(choices.into_iter().flatten().map(str::to_owned).collect())
}

/// `/generate` has no clarity check: it answers, or declines by the retrieval score.
pub(crate) fn by_score(retrieval: &Retrieval) -> Clarity {
    match retrieval {
        Retrieval::NotAsked => Clarity::Clear,
        Retrieval::Failed => Clarity::Unsearchable,
        Retrieval::Found(found) if found.is_answerable() => Clarity::Clear,
        Retrieval::Found(_) => Clarity::Decline,
    }
}

fn is_undecided(detected: &Detected) -> bool {
    let second = detected.second.as_ref().map_or(0.0, |second| second.confidence);
    detected.best.confidence < BEST_MIN && detected.best.confidence - second < MARGIN_MIN
}
