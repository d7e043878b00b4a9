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

#[cfg(test)]
mod tests {
    use domain::chat::Delivery;
    use domain::conversation::{Conversation, Part, Speaker, Turn};

    use super::*;
    use crate::protocol::{Call, Protocol};

    #[test]
    fn no_other_provider_is_shown_a_marked_proof() {
        let thought = |text: &str, proof: String| Part::Thought { text: text.to_owned(), proof: Some(proof) };
        let turn = |by, parts| Turn { by, parts };
        let turns = vec![
            turn(Speaker::User, vec![Part::Text("Is it?".to_owned())]),
            turn(
                Speaker::Assistant,
                vec![
                    thought("Perhaps.", marked("of-gemini")),
                    thought("", marked("of-gemini")),
                    thought("Surely.", "of-claude".to_owned()),
                    Part::Text("Yes.".to_owned()),
                ],
            ),
            turn(Speaker::User, vec![Part::Text("Why?".to_owned())]),
        ];
        let conversation = Conversation { turns, ..Conversation::default() };
        let protocols: [(&dyn Protocol, &str); 3] = [
            (&crate::anthropic::Messages, "claude-sonnet-4-5"),
            (&crate::bedrock::protocol::Bedrock, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
            (&crate::bedrock::protocol::Bedrock, "openai.gpt-oss-120b-1:0"),
        ];
        for (protocol, model) in protocols {
            let call =
                Call { model, delivery: Delivery::Whole, overrides: Default::default(), max_tokens: 9 };
            let body = protocol.request(&conversation, call).expect("carried");
            let body = String::from_utf8_lossy(&body);
            assert!(!body.contains(MARK) && !body.contains("of-gemini"), "{model}: {body}");
            assert!(body.contains("of-claude") && body.contains("Surely."), "{model}: {body}");
            // Words without a proof are for those only who take any.
            assert_eq!(body.contains("Perhaps."), !model.contains("claude"), "{body}");
        }
    }
}
