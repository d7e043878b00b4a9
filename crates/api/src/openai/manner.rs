//! How OpenAI's replies look: errors are `{"error": {"message", "type", "param", "code"}}`.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::chat::ErrorReply;
use http::{HeaderValue, header};
use wire::openai::encode;

use crate::dialect::manner::Manner;
use crate::dialect::refusal::{Class, Refusal};

/// OpenAI's manner.
pub(crate) struct OpenAi;

impl Manner for OpenAi {
    fn error(&self, refusal: &Refusal, _request_id: &str) -> Response {
        let json = HeaderValue::from_static("application/json");
        let body = encode::error(&reply(refusal)).to_string();
        (refusal.status, [(header::CONTENT_TYPE, json)], body).into_response()
    }

    fn own_kinds(&self) -> &'static [&'static str] {
        &["openai", "azure"]
    }

    fn broken(&self, refusal: &Refusal) -> Bytes {
        encode::error_frame(&reply(refusal))
    }
}

fn reply(refusal: &Refusal) -> ErrorReply {
    // Classes that SDKs know.
    let kind = match refusal.class {
        // What OpenAI itself says of a model that it does not have.
        Class::NotFound if refusal.code == "model_not_found" => "invalid_request_error",
        Class::Invalid | Class::TooLarge => "invalid_request_error",
        Class::Authentication => "authentication_error",
        Class::Permission => "permission_error",
        Class::NotFound => "not_found_error",
        Class::RateLimit => "rate_limit_error",
        Class::Quota => "insufficient_quota",
        Class::Api => "api_error",
        Class::Timeout => "timeout_error",
        Class::Overloaded => "overloaded_error",
    };
    ErrorReply {
        status: refusal.status.as_u16(),
        message: refusal.message.clone(),
        kind: Some(refusal.vendor_kind.clone().unwrap_or_else(|| kind.to_owned())),
        parameter: refusal.parameter.clone(),
        // As OpenAI itself says it.
        code: Some(match refusal.class {
            Class::Authentication => "invalid_api_key".to_owned(),
            _ => refusal.code.clone(),
        }),
    }
}
