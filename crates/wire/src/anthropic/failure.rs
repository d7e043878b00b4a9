//! What an error reply means: status, body and headers to a [`Fault`]; and the provider's own words, for callers.

use domain::chat::ErrorReply;
use domain::fault::{Fault, Kind, Retry};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::missing;
use crate::object::Text;
use crate::protocol::Reply;
use crate::words::{FIELD_MAX, MESSAGE_MAX, clean};

/// What an error says, beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    ContentRefused,
    TooLong,
    OutOfCredit,
    NotForThisModel,
    /// Something that the request names is not there.
    Missing,
    Nothing,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Error<'a>,
}

#[derive(Deserialize)]
struct Error<'a> {
    #[serde(rename = "type", default, borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    message: Text<'a>,
    #[serde(default, borrow)]
    details: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Details {
    #[serde(default)]
    error_code: Option<String>,
}

fn error(body: &[u8]) -> Option<Error<'_>> {
    serde_json::from_slice::<Body<'_>>(body).map(|body| body.error).ok()
}

impl Error<'_> {
    fn code(&self) -> Option<String> {
        let details = self.details.and_then(|raw| serde_json::from_str::<Details>(raw.get()).ok());
        details.and_then(|details| details.error_code)
    }

    /// Most refusals share a type, so that their sentences tell them apart (platform.claude.com/docs/en/api/errors,
    /// read 2026-11).
    fn said(&self) -> Said {
        let message = self.message.0.to_ascii_lowercase();
        let code = self.code().unwrap_or_default();
        let has = |words: &str| message.contains(words);
        if has("content filtering policy") {
            Said::ContentRefused
        } else if self.kind.0 == "request_too_large"
            || has("prompt is too long")
            || has("exceed context limit")
            || has("exceeds the context window")
        {
            Said::TooLong
        } else if self.kind.0 == "billing_error"
            || code.ends_with("spend_limit_reached")
            || has("credit balance is too low")
            || has("reached your specified api usage limits")
        {
            Said::OutOfCredit
        } else if has("this model") && (has("not support") || has("deprecated")) {
            Said::NotForThisModel
        } else if self.kind.0 == "not_found_error" && !missing::is_target(&self.message.0) {
            Said::Missing
        } else {
            Said::Nothing
        }
    }
}

/// Classifies an error reply.
#[must_use]
pub fn classify(reply: Reply<'_>) -> Fault {
    let wait = reply.wait();
    match (error(reply.body).map_or(Said::Nothing, |error| error.said()), reply.status) {
        (Said::ContentRefused, 400..=499) => Fault::provider(Kind::Content),
        (Said::TooLong, 400..=499) => Fault::caller(Retry::Never),
        // A limit of spending answers 400 or 429, and no wait helps, unless one is named.
        (Said::OutOfCredit, 400..=499) if wait.is_none() => Fault::provider(Kind::RouteFatal),
        (Said::NotForThisModel, 400) => Fault::caller(Retry::Elsewhere),
        (Said::Missing, 404) => Fault::caller(Retry::Never),
        _ => reply.by_status(wait),
    }
}

/// Classifies an error that came within a stream or in place of an answer, where the status tells nothing.
#[must_use]
pub fn classify_event(body: &[u8]) -> Fault {
    let kind = error(body).map(|error| error.kind.0.into_owned()).unwrap_or_default();
    let status = status(&kind);
    classify(Reply::bare(status, body))
}

/// The status that goes with a type of error.
#[must_use]
pub fn status(kind: &str) -> u16 {
    match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "conflict_error" => 409,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    }
}

/// The type of error that goes with a status.
#[must_use]
pub fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

/// What the provider itself said, bounded, without what `conceal` takes out and without anything that looks like a
/// key; `None` when it said nothing.
#[must_use]
pub fn words(status: u16, body: &[u8], conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
    let clean = |text: &str, chars_max| clean(&conceal(text), chars_max);
    let error = error(body).filter(|error| !error.message.0.is_empty())?;
    Some(ErrorReply {
        status,
        message: clean(&error.message.0, MESSAGE_MAX),
        kind: Some(clean(&error.kind.0, FIELD_MAX)).filter(|kind| !kind.is_empty()),
        parameter: None,
        code: error.code().map(|code| clean(&code, FIELD_MAX)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::time::Timestamp;

    use super::*;

    const FATAL: (Kind, Retry) = (Kind::RouteFatal, Retry::Elsewhere);
    const CALLER: (Kind, Retry) = (Kind::Caller, Retry::Never);
    const TRANSIENT: (Kind, Retry) = (Kind::Transient, Retry::Here);
    const THROTTLED: (Kind, Retry) = (Kind::Throttled, Retry::Here);

    fn body(kind: &str, message: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
        )
    }

    #[test]
    fn status_and_words_decide() {
        let invalid = "invalid_request_error";
        let seven = Retry::After(Duration::from_secs(7));
        for (status, retry_after, kind, message, want) in [
            (400, None, invalid, "messages: at least one message is required", CALLER),
            (400, None, invalid, "prompt is too long: 210000 tokens > 200000 maximum", CALLER),
            (413, None, "request_too_large", "Request exceeds the maximum size", CALLER),
            (400, None, invalid, "input length and `max_tokens` exceed context limit: 1 + 2 > 2", CALLER),
            (400, None, invalid, "Output blocked by content filtering policy", (Kind::Content, Retry::Never)),
            (400, None, invalid, "Your credit balance is too low to access the Anthropic API.", FATAL),
            (400, None, invalid, "You have reached your specified API usage limits.", FATAL),
            (
                400,
                None,
                invalid,
                "adaptive thinking is not supported on this model",
                (Kind::Caller, Retry::Elsewhere),
            ),
            (401, None, "authentication_error", "invalid x-api-key", FATAL),
            (402, None, "billing_error", "x", FATAL),
            (403, None, "permission_error", "x", FATAL),
            (404, None, "not_found_error", "model: claude-1", FATAL),
            (404, None, "not_found_error", "File not found: file_model", CALLER),
            (404, None, "not_found_error", "Not found", FATAL), // the address is wrong
            (409, None, "conflict_error", "x", TRANSIENT),
            (429, None, "rate_limit_error", "x", THROTTLED),
            (429, Some("7"), "rate_limit_error", "x", (Kind::Throttled, seven)),
            (500, None, "api_error", "x", TRANSIENT),
            (504, None, "timeout_error", "x", TRANSIENT),
            (529, None, "overloaded_error", "Overloaded", TRANSIENT),
            (529, Some("7"), "overloaded_error", "Overloaded", (Kind::Transient, seven)),
            (307, None, "", "", FATAL),
            (204, None, "", "", TRANSIENT),
        ] {
            let body = body(kind, message);
            let reply = Reply {
                status,
                retry_after,
                error_type: None,
                body: body.as_bytes(),
                now: Timestamp::default(),
            };
            let fault = classify(reply);
            assert_eq!((fault.kind, fault.retry), want, "{status} {message}");
        }
    }

    #[test]
    fn limits_of_spending_are_known_by_their_codes() {
        let body = br#"{"error":{"type":"rate_limit_error","message":"x","details":{"error_code":"contract_spend_limit_reached"}}}"#;
        let reply = Reply::bare(429, body);
        assert_eq!(classify(reply).kind, Kind::RouteFatal);
    }

    #[test]
    fn events_are_judged_by_their_types() {
        for (body, want) in [
            (body("overloaded_error", "Overloaded"), TRANSIENT),
            (body("api_error", "x"), TRANSIENT),
            (body("rate_limit_error", "x"), THROTTLED),
            (body("invalid_request_error", "x"), CALLER),
            (body("authentication_error", "x"), FATAL),
            (body("error_of_the_future", "x"), TRANSIENT),
            ("boom".to_owned(), TRANSIENT),
            (r#"{"error":null}"#.to_owned(), TRANSIENT),
        ] {
            let fault = classify_event(body.as_bytes());
            assert_eq!((fault.kind, fault.retry), want, "{body}");
        }
    }

    #[test]
    fn words_pass_without_keys() {
        let conceal = |text: &str| text.replace("changeme", "***");
        let reply = words(400, body("changeme", "no sk-ant-1 changeme").as_bytes(), &conceal).expect("words");
        assert_eq!((reply.message.as_str(), reply.kind.as_deref()), ("no *** ***", Some("***")));
        for body in ["", "<html>", "{}", r#"{"error":"no"}"#, r#"{"error":{"message":7}}"#, "changeme"] {
            assert_eq!(words(400, body.as_bytes(), &conceal), None, "{body}");
        }
    }

    #[test]
    fn types_and_statuses_belong_together() {
        for status in [400, 401, 402, 403, 404, 409, 413, 429, 500, 504, 529] {
            assert_eq!(self::status(kind(status)), status);
        }
        assert_eq!(
            (kind(422), kind(502), kind(503)),
            ("invalid_request_error", "api_error", "overloaded_error")
        );
    }
}
