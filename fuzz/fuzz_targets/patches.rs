//! Requests passed on: what is patched stays a request, and every field that was not patched keeps its bytes; messages lose
//! the thoughts that their provider refuses, and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::json::fields;
use wire::request::LIMITS;

/// Fields that may change, in one dialect or another.
const PATCHED: [&str; 8] = [
    "model",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_gen_len",
    "temperature",
    "inferenceConfig",
];

fuzz_target!(|bytes: &[u8]| {
    for relayed in fuzz::relayed(bytes) {
        fuzz::each_own_dialect(&relayed, |own, model| {
            let patched = own.patch(&relayed, fuzz::call(model));
            let after = fields(&patched, LIMITS).expect("an object");
            let is_kept = |key: &str| !PATCHED.contains(&key) && key != "textGenerationConfig";
            let kept = |bytes: &[u8], fields: &[wire::json::Field<'_>]| -> Vec<(String, Vec<u8>)> {
                let kept = fields.iter().filter(|field| is_kept(&field.key));
                kept.map(|field| (field.key.to_string(), bytes[field.value.clone()].to_vec())).collect()
            };
            let before = fields(bytes, LIMITS).expect("an object");
            let (after, before) = (kept(&patched, &after), kept(bytes, &before));
            assert_eq!(after.len(), before.len());
            for ((key, after), (key_before, before)) in after.into_iter().zip(before) {
                assert_eq!(key, key_before);
                let is_thoughtless =
                    key == "messages" && without_thoughts(&before) == without_thoughts(&after);
                assert!(after == before || is_thoughtless, "{key}");
            }
            // Patched again, nothing is left to change.
            let asked = wire_relayed(&relayed, &patched);
            assert_eq!(own.patch(&asked, fuzz::call(model)), patched);
        });
    }
});

/// What messages hold beside the thoughts that OpenAI does not take; `None` where that cannot be said.
fn without_thoughts(messages: &[u8]) -> Option<serde_json::Value> {
    let mut messages: serde_json::Value = serde_json::from_slice(messages).ok()?;
    for message in messages.as_array_mut()?.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        message.remove("reasoning_content");
        message.remove("reasoning_details");
    }
    Some(messages)
}

/// `patched` read as the same dialect.
fn wire_relayed(relayed: &domain::chat::Relayed, patched: &[u8]) -> domain::chat::Relayed {
    let mut read = fuzz::relayed(patched).into_iter().filter(|read| read.dialect == relayed.dialect);
    read.next().expect("of the same dialect")
}
