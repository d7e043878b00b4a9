//! Proofs of thoughts that Claude did not make, as far as they can be told: each provider refuses what it did not sign.

use crate::gemini;

/// With what a Fernet token begins (its version and four bytes of its time, in base64; github.com/fernet/spec, read
/// 2026-11). OpenAI seals its reasoning so, and no message of protobuf, which Claude's proofs are, begins so.
const FERNET: &str = "gAAAA";

/// Whether `proof`, or what is sealed, is Gemini's or OpenAI's.
pub(crate) fn is_foreign(proof: &str) -> bool {
    gemini::proof::is_marked(proof) || proof.starts_with(FERNET)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::chat::{Delivery, Dialect};

    use crate::protocol::{Call, Protocol};
    use crate::{faces, sampled};

    #[test]
    fn openais_sealed_reasoning_is_not_shown_to_claude() {
        let body = r#"{"input":[{"role":"user","content":"Is it?"},
            {"type":"reasoning","summary":[],"encrypted_content":"gAAAAABpIbcd-sealed"},
            {"type":"reasoning","summary":[{"type":"summary_text","text":"Perhaps."}],"encrypted_content":"gAAAAABpIbcd-told"},
            {"type":"reasoning","summary":[],"encrypted_content":"EqoBCkgI-sealed"},
            {"type":"reasoning","summary":[{"type":"summary_text","text":"Surely."}],"encrypted_content":"EqoBCkgI-told"},
            {"role":"assistant","content":"Yes."},{"role":"user","content":"Why?"}]}"#;
        let asked = sampled::relayed(Dialect::OpenAiResponses, Bytes::from_static(body.as_bytes()));
        let face = faces::of(Dialect::OpenAiResponses).expect("a face");
        let conversation = face.conversation(&asked).expect("valid");
        let protocols: [(&dyn Protocol, &str); 2] = [
            (&crate::anthropic::Messages, "claude-sonnet-4-5"),
            (&crate::bedrock::protocol::Bedrock, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ];
        for (protocol, model) in protocols {
            let call =
                Call { model, delivery: Delivery::Whole, overrides: Default::default(), max_tokens: 9 };
            let body = protocol.request(&conversation, call).expect("carried");
            let body = String::from_utf8_lossy(&body);
            assert!(!body.contains("gAAAA") && !body.contains("Perhaps."), "{model}: {body}");
            for own in ["EqoBCkgI-sealed", "EqoBCkgI-told", "Surely."] {
                assert!(body.contains(own), "{model}: {body}");
            }
        }
    }
}
