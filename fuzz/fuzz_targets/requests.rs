//! Requests of every dialect, read, and said to every provider: JSON comes of it, or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::request::LIMITS;

fuzz_target!(|bytes: &[u8]| {
    for relayed in fuzz::relayed(bytes) {
        let _ = wire::openai::embeddings::request(&relayed);
        let Some(face) = wire::faces::of(relayed.dialect) else { continue };
        let Ok(conversation) = face.conversation(&relayed) else { continue };
        for protocol in fuzz::protocols() {
            for model in ["gpt-5", "claude-opus-4-6", "gemini-3-pro"].into_iter().chain(fuzz::MODELS) {
                let Ok(body) = protocol.request(&conversation, fuzz::call(model)) else { continue };
                wire::json::check(&body, LIMITS).expect("JSON");
            }
        }
    }
});
