//! The bounded check of JSON: whatever it lets through a parser reads, and within its bounds nothing else is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wire::json::{Limits, Reason, check, fields};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { depth_max: 64, keys_max: 10_000 };
    let checked = check(bytes, limits);
    let parsed = serde_json::from_slice::<Value>(bytes);
    match (&checked, &parsed) {
        (Ok(()), Err(error)) => assert!(error.to_string().contains("number out of range"), "{error}"),
        (Err(error), Ok(_)) => assert!(
            matches!(error.reason, Reason::TooDeep | Reason::TooManyKeys | Reason::DuplicateKey(_)),
            "{error}"
        ),
        _ => {}
    }
    if let Ok(fields) = fields(bytes, limits) {
        let Ok(Value::Object(object)) = parsed else { return };
        assert_eq!(fields.len(), object.len());
        for field in fields {
            let value: Value = serde_json::from_slice(&bytes[field.value]).expect("a value");
            assert_eq!(object.get(&*field.key), Some(&value));
        }
    }
});
