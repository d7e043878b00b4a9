//! Thought signatures on their way through callers: marked as Gemini's, so that they are never shown to another
//! provider as its own, nor another's to Gemini; each refuses what it did not sign.

/// What stands before a signature of Gemini's in [`domain::conversation::Part::Thought`].
const MARK: &str = "gemini:";

/// `signature`, marked.
#[must_use]
pub fn marked(signature: &str) -> String {
    format!("{MARK}{signature}")
}

/// The signature in `proof`; `None` when it is another provider's.
#[must_use]
pub fn own(proof: &str) -> Option<&str> {
    proof.strip_prefix(MARK)
}

/// Whether `proof` is Gemini's. Other providers leave it out, and with it a thought that has no words.
#[must_use]
pub fn is_marked(proof: &str) -> bool {
    proof.starts_with(MARK)
}
