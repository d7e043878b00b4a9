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

#[cfg(test)]
mod tests {
    use domain::document::Retrieved;
    use domain::interaction::IntentVerdict;
    use registry::folder::Folder;

    use super::*;

    #[test]
    fn who_is_torn_is_asked_back_only_about_what_is_offered() {
        let mut folder = Folder::default();
        let entry = |name: &str, offered: bool| {
            format!("[[intents]]\nname = \"{name}\"\nlabel = \"{name}\"\noffered = {offered}\n")
        };
        let intents = [entry("fees", true), entry("loans", true), entry("jokes", false)].concat();
        folder.insert("intents/intents.toml", intents.as_bytes());
        let mut examples = String::new();
        for subject in
            ["card", "wire", "check", "account", "transfer", "house", "car", "student", "late", "cash"]
        {
            for (intent, words) in [
                ("fees", "what is the fee for a"),
                ("loans", "i would like to borrow for my"),
                ("jokes", "tell me a joke on the"),
            ] {
                examples.push_str(&format!("{{\"text\":\"{words} {subject}\",\"intent\":\"{intent}\"}}\n"));
            }
        }
        folder.insert("intents/examples.jsonl", examples.as_bytes());
        let intents = Intents::read(&folder).expect("valid");
        let verdict = |name: &str, confidence| IntentVerdict { name: name.to_owned(), confidence };
        let retrieval =
            Retrieval::Found(Retrieved { passages: Vec::new(), confidence: 0.1, abstain_below: 0.5 });
        let text = "which papers name the guardian of my small children";
        for (second, confidence, want) in [
            ("loans", 0.40, Clarity::Clarify(vec!["fees".to_owned(), "loans".to_owned()])),
            ("loans", 0.20, Clarity::Decline),
            ("jokes", 0.40, Clarity::Decline),
        ] {
            let detected = Detected {
                best: verdict("fees", 0.45),
                second: Some(verdict(second, confidence)),
                escalate: None,
            };
            let basis = Basis { text, detected: &detected, retrieval: &retrieval, clarifications: 0 };
            assert_eq!(run(&intents, &basis), want, "{second} {confidence}");
        }
    }
}
