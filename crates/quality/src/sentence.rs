//! One sentence of an answer that is being released: may it go out?

use crate::form;
use crate::grounding::{Sources, Support};

/// Why something is not good enough, in words that a model can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The dimension that failed (a name of [`crate::validate::dimension`]).
    pub check: &'static str,
    /// What to do better.
    pub text: String,
}

/// Names of the dimensions.
pub mod dimension {
    /// It answers, wholly.
    pub const COMPLETENESS: &str = "completeness";
    /// It is well-formed.
    pub const STRUCTURE: &str = "structure";
    /// Nothing was left unfilled.
    pub const PLACEHOLDERS: &str = "placeholders";
    /// Its numbers are its sources'.
    pub const NUMBERS: &str = "numbers";
    /// Its claims are its sources'.
    pub const GROUNDEDNESS: &str = "groundedness";
}

/// Checks one sentence: placeholders and role marks always; numbers and groundedness when there are passages.
/// `allowed` are the user's own turns, contact and disclaimers.
///
/// # Errors
/// The first [`Reason`] not to release it.
pub fn check_sentence(sentence: &str, passages: &[&str], allowed: &[&str]) -> Result<(), Reason> {
    if let Some(text) = unfilled(sentence) {
        return Err(Reason { check: dimension::PLACEHOLDERS, text });
    }
    if let Some(mark) = form::role_mark(sentence) {
        return Err(Reason { check: dimension::STRUCTURE, text: role_reason(mark) });
    }
    if passages.is_empty() || form::is_refusal(sentence) || form::is_stock(sentence) {
        return Ok(());
    }
    if let Some(text) = foreign_numbers(sentence, passages, allowed) {
        return Err(Reason { check: dimension::NUMBERS, text });
    }
    match ungrounded(sentence, Sources::new(passages, allowed).support(sentence)) {
        Some(text) => Err(Reason { check: dimension::GROUNDEDNESS, text }),
        None => Ok(()),
    }
}

/// The reason for the first placeholder in `text`.
pub(crate) fn unfilled(text: &str) -> Option<String> {
    let place = language::placeholders(text).into_iter().next()?;
    let placeholder = text.get(place).unwrap_or_default();
    Some(format!("Replace the placeholder \"{placeholder}\" by the fact itself, or leave the sentence out."))
}

pub(crate) fn role_reason(mark: &str) -> String {
    format!("Write only the answer: leave out \"{mark}\" and everything that belongs to the prompt.")
}

/// The reason for the numbers of `text` that stand in no source.
pub(crate) fn foreign_numbers(text: &str, passages: &[&str], allowed: &[&str]) -> Option<String> {
    let sources: Vec<&str> = passages.iter().chain(allowed).copied().collect();
    let mut foreign: Vec<&str> = language::allowed(text, &sources)
        .iter()
        .filter_map(|number| text.get(number.start..number.end))
        .collect();
    foreign.dedup();
    match foreign.as_slice() {
        [] => None,
        [one] => Some(format!("The number {one} is not in the passages; use only their numbers.")),
        many => {
            Some(format!("The numbers {} are not in the passages; use only their numbers.", many.join(", ")))
        }
    }
}

/// The reason why `sentence`, backed like this, may not stand.
pub(crate) fn ungrounded(sentence: &str, support: Support) -> Option<String> {
    let quoted: String = sentence.trim().chars().take(160).collect();
    match support {
        Support::Contradicted => {
            Some(format!("The passages say the opposite of \"{quoted}\"; say what they say."))
        }
        support if support.is_enough() => None,
        _ => Some(format!("The passages do not say \"{quoted}\"; use only what they say.")),
    }
}
