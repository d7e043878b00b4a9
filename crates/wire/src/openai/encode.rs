//! Errors in OpenAI's shape.

use bytes::Bytes;
use domain::chat::ErrorReply;
use serde_json::{Value, json};

/// The body of an error.
#[must_use]
pub fn error(reply: &ErrorReply) -> Value {
    json!({ "error": {
        "message": reply.message,
        "type": reply.kind,
        "param": reply.parameter,
        "code": reply.code,
    } })
}

/// An error within a stream; no end marker follows it.
#[must_use]
pub fn error_frame(reply: &ErrorReply) -> Bytes {
    Bytes::from(format!("data: {}\n\n", error(reply)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_four_fields() {
        let reply = ErrorReply {
            status: 400,
            message: "no \"such\" model".to_owned(),
            kind: Some("invalid_request_error".to_owned()),
            parameter: None,
            code: Some("model_not_found".to_owned()),
        };
        let frame = String::from_utf8(error_frame(&reply).to_vec()).expect("text");
        let data =
            frame.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).expect("one frame");
        let want = serde_json::json!({"error": {
            "message": "no \"such\" model", "type": "invalid_request_error", "param": null, "code": "model_not_found"
        }});
        // The order of fields depends on what else is built into the program.
        assert_eq!(serde_json::from_str::<serde_json::Value>(data).expect("JSON"), want);
    }
}
