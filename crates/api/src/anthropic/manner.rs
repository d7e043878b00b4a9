//! How Anthropic's replies look: errors are `{"type": "error", "error": {"type", "message"}, "request_id"}`.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use wire::anthropic::failure;

use crate::dialect::manner::Manner;
use crate::dialect::refusal::{Class, Refusal};
use crate::limits::{self, Words};

/// Anthropic's manner.
pub(crate) struct Anthropic;

/// What its SDKs take for too much asked at once.
const OVERLOADED: u16 = 529;

impl Manner for Anthropic {
    fn error(&self, refusal: &Refusal, request_id: &str) -> Response {
        let json = HeaderValue::from_static("application/json");
        let body = json!({ "type": "error", "error": told(refusal), "request_id": request_id });
        (status(refusal), [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
    }

    fn broken(&self, refusal: &Refusal) -> Bytes {
        let body = json!({ "type": "error", "error": told(refusal) });
        Bytes::from(format!("event: error\ndata: {body}\n\n"))
    }

    fn own_kinds(&self) -> &'static [&'static str] {
        &["anthropic"]
    }

    fn sign(&self) -> Option<Bytes> {
        Some(Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"))
    }

    fn limits(&self) -> &'static Words {
        &limits::ANTHROPIC
    }

    fn request_id_header(&self) -> Option<&'static str> {
        Some("request-id")
    }
}

fn told(refusal: &Refusal) -> Value {
    let details = json!({ "error_code": refusal.code });
    json!({ "type": kind(refusal), "message": refusal.placed_message(), "details": details })
}

/// The status: the provider's own where its words are told, else one that SDKs know.
fn status(refusal: &Refusal) -> StatusCode {
    let status = match (refusal.class, refusal.status) {
        (Class::Overloaded, StatusCode::SERVICE_UNAVAILABLE) => OVERLOADED,
        (Class::Quota, _) => failure::status("billing_error"),
        (Class::Timeout, StatusCode::SERVICE_UNAVAILABLE) => failure::status("timeout_error"),
        _ => return refusal.status,
    };
    StatusCode::from_u16(status).unwrap_or(refusal.status)
}

fn kind(refusal: &Refusal) -> &'static str {
    // A provider's own word for it is told only when it is one of this dialect for this status.
    let own =
        refusal.vendor_kind.as_deref().map(failure::status).filter(|own| *own == refusal.status.as_u16());
    match (own, refusal.class) {
        (Some(status), _) if status != 500 => failure::kind(status),
        // A model that is not there is an invalid request, too.
        (_, Class::Invalid) => failure::kind(refusal.status.as_u16()),
        (_, Class::Authentication) => "authentication_error",
        (_, Class::Permission) => "permission_error",
        (_, Class::NotFound) => "not_found_error",
        (_, Class::TooLarge) => "request_too_large",
        (_, Class::RateLimit) => "rate_limit_error",
        (_, Class::Quota) => "billing_error",
        (_, Class::Api) => "api_error",
        (_, Class::Timeout) => "timeout_error",
        (_, Class::Overloaded) => "overloaded_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_types_and_statuses_that_sdks_know() {
        for (status, class, want) in [
            (400, Class::Invalid, (400, "invalid_request_error")),
            (404, Class::Invalid, (404, "not_found_error")),
            (401, Class::Authentication, (401, "authentication_error")),
            (403, Class::Permission, (403, "permission_error")),
            (404, Class::NotFound, (404, "not_found_error")),
            (413, Class::TooLarge, (413, "request_too_large")),
            (429, Class::RateLimit, (429, "rate_limit_error")),
            (429, Class::Quota, (402, "billing_error")),
            (503, Class::Api, (503, "api_error")),
            (503, Class::Timeout, (504, "timeout_error")),
            (503, Class::Overloaded, (529, "overloaded_error")),
        ] {
            let refusal = Refusal::sample(status, class);
            assert_eq!((self::status(&refusal).as_u16(), kind(&refusal)), want, "{class:?}");
        }
        for (status, word, want) in [
            (402, "billing_error", "billing_error"),
            (400, "billing_error", "invalid_request_error"),
            (400, "tokens", "invalid_request_error"), // another dialect's word
            (429, "invalid_request_error", "rate_limit_error"),
        ] {
            let refusal =
                Refusal { vendor_kind: Some(word.to_owned()), ..Refusal::sample(status, Class::Invalid) };
            assert_eq!(kind(&refusal), want, "{status} {word}");
        }
    }

    #[test]
    fn an_error_in_a_stream_is_an_event() {
        let frame = Anthropic.broken(&Refusal::field("messages", "one at least"));
        let text = String::from_utf8(frame.to_vec()).expect("text");
        let data = text.strip_prefix("event: error\ndata: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let data: Value = serde_json::from_str(data.expect("one event")).expect("JSON");
        assert_eq!(data["type"], "error");
        let message = "messages: one at least";
        assert_eq!(
            (&data["error"]["type"], &data["error"]["message"]),
            (&json!("invalid_request_error"), &json!(message))
        );
    }
}
