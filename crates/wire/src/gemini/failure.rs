//! What an error reply means: Google's own status words (google.rpc.Code), its reasons and how long it asks to wait.

use std::time::Duration;

use domain::chat::ErrorReply;
use domain::fault::{Fault, Kind, Retry};
use serde::Deserialize;

use crate::missing;
use crate::protocol::Reply;
use crate::retry_after;
use crate::words::{FIELD_MAX, MESSAGE_MAX, clean};

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: ErrorFields,
}

#[derive(Deserialize, Default)]
struct ErrorFields {
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

/// One of several kinds of details, told apart by what they hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    /// Of `ErrorInfo`.
    #[serde(default)]
    reason: Option<String>,
    /// Of `RetryInfo`, as `34.07s`.
    #[serde(default)]
    retry_delay: Option<String>,
    /// Of `BadRequest`.
    #[serde(default)]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: Option<String>,
}

/// Errors come alone, or as the first of a list.
fn read(body: &[u8]) -> ErrorFields {
    let error = match body.trim_ascii_start().first() {
        Some(b'[') => {
            serde_json::from_slice(body).ok().and_then(|list: Vec<ErrorBody>| list.into_iter().next())
        }
        _ => serde_json::from_slice(body).ok(),
    };
    error.unwrap_or_default().error
}

/// Classifies an error reply.
pub(super) fn classify(reply: Reply<'_>) -> Fault {
    let error = read(reply.body);
    let delay = || {
        let delay = error.details.iter().find_map(|detail| detail.retry_delay.as_deref());
        delay.and_then(|text| retry_after::parse(text, reply.now))
    };
    let wait = reply.wait().or_else(delay);
    judge(&error, reply, wait)
}

/// Classifies an error that came within a stream, where only it says its status.
pub(super) fn classify_event(body: &[u8]) -> Fault {
    let status = read(body).code.unwrap_or(500);
    classify(Reply::bare(status, body))
}

fn judge(error: &ErrorFields, reply: Reply<'_>, wait: Option<Duration>) -> Fault {
    let reasons = || error.details.iter().filter_map(|detail| detail.reason.as_deref());
    // A key that is wrong, or a service that is not switched on, comes as a 400, too.
    let is_ours = |reason: &str| {
        ["API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "SERVICE_DISABLED", "BILLING_DISABLED"]
            .contains(&reason)
    };
    let message = error.message.as_deref().unwrap_or_default();
    match (error.status.as_deref(), reply.status) {
        (_, 400..=499) if reasons().any(is_ours) => Fault::provider(Kind::RouteFatal),
        // Where the account stands or lives; no change of the request helps.
        (Some("FAILED_PRECONDITION"), 400) => Fault::provider(Kind::RouteFatal),
        // A file that the request names; of a model it says `models/…`.
        (Some("NOT_FOUND"), 404) if !missing::is_target(message) => Fault::caller(Retry::Never),
        (Some("PERMISSION_DENIED"), 403) if message.contains("access the File") => {
            Fault::caller(Retry::Never)
        }
        // `CANCELLED`.
        (_, 499) => Fault::provider(Kind::Transient).after(wait),
        _ => reply.by_status(wait),
    }
}

/// The provider's own words.
pub(super) fn words(reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
    let error = read(reply.body);
    let clean = |text: &str, chars_max| clean(&conceal(text), chars_max);
    let field = |text: Option<&str>| text.map(|text| clean(text, FIELD_MAX));
    let message = clean(error.message.as_deref()?, MESSAGE_MAX);
    let parameter = error.details.iter().find_map(|detail| detail.field_violations.first()?.field.as_deref());
    let code = error.details.iter().find_map(|detail| detail.reason.as_deref());
    Some(ErrorReply {
        status: reply.status,
        message,
        kind: field(error.status.as_deref()),
        parameter: field(parameter),
        code: field(code),
    })
}

#[cfg(test)]
mod tests {
    use domain::fault::Origin;

    use super::*;

    fn reply(status: u16, body: &str) -> Reply<'_> {
        Reply::bare(status, body.as_bytes())
    }

    #[test]
    fn status_reason_and_delay_decide() {
        const QUOTA: &str = r#"[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"x"}]},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]"#;
        const BAD_KEY: &str =
            r#"[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]"#;
        let after = Retry::After(Duration::from_millis(34_500));
        for (status, word, details, want) in [
            (400, "INVALID_ARGUMENT", "[]", (Kind::Caller, Retry::Never)),
            (400, "INVALID_ARGUMENT", BAD_KEY, (Kind::RouteFatal, Retry::Elsewhere)),
            (400, "FAILED_PRECONDITION", "[]", (Kind::RouteFatal, Retry::Elsewhere)),
            (400, "OUT_OF_RANGE", "[]", (Kind::Caller, Retry::Never)),
            (401, "UNAUTHENTICATED", "[]", (Kind::RouteFatal, Retry::Elsewhere)),
            (403, "PERMISSION_DENIED", "[]", (Kind::RouteFatal, Retry::Elsewhere)),
            (404, "x", "[]", (Kind::RouteFatal, Retry::Elsewhere)),
            (413, "x", "[]", (Kind::Caller, Retry::Never)),
            (429, "RESOURCE_EXHAUSTED", QUOTA, (Kind::Throttled, after)),
            (429, "RESOURCE_EXHAUSTED", "[]", (Kind::Throttled, Retry::Here)),
            (499, "CANCELLED", "[]", (Kind::Transient, Retry::Here)),
            (500, "INTERNAL", "[]", (Kind::Transient, Retry::Here)),
            (503, "UNAVAILABLE", QUOTA, (Kind::Transient, after)),
            (504, "DEADLINE_EXCEEDED", "[]", (Kind::Transient, Retry::Here)),
            (302, "x", "[]", (Kind::RouteFatal, Retry::Elsewhere)),
        ] {
            let body = format!(
                r#"{{"error":{{"code":{status},"message":"no","status":"{word}","details":{details}}}}}"#
            );
            for body in [body.clone(), format!("[{body}]")] {
                let fault = classify(reply(status, &body));
                assert_eq!((fault.kind, fault.retry), want, "{body}");
                assert_eq!(fault.origin == Origin::Caller, want.0 == Kind::Caller, "{body}");
                assert_eq!(classify_event(body.as_bytes()), fault, "{body}");
            }
        }
        for body in ["", "<html>", "null", r#"{"error":"no"}"#, "[]"] {
            assert_eq!(classify(reply(500, body)), Fault::provider(Kind::Transient), "{body}");
            assert_eq!(classify_event(body.as_bytes()), Fault::provider(Kind::Transient), "{body}");
        }
        let header = Reply { retry_after: Some("7"), ..reply(429, "{}") };
        assert_eq!(classify(header).retry, Retry::After(Duration::from_secs(7)));
    }

    #[test]
    fn what_a_request_names_may_be_missing_while_its_model_is_there() {
        for (status, word, message, want) in [
            (
                404,
                "NOT_FOUND",
                "models/m is not found for API version v1beta, or is not supported",
                Kind::RouteFatal,
            ),
            (404, "NOT_FOUND", "", Kind::RouteFatal),
            (404, "NOT_FOUND", "File models/x not found", Kind::Caller),
            (
                403,
                "PERMISSION_DENIED",
                "You do not have permission to access the File x or it may not exist.",
                Kind::Caller,
            ),
            (403, "PERMISSION_DENIED", "Your API key was reported as leaked.", Kind::RouteFatal),
        ] {
            let body = format!(r#"{{"error":{{"code":{status},"message":"{message}","status":"{word}"}}}}"#);
            assert_eq!(classify(reply(status, &body)).kind, want, "{body}");
        }
    }

    #[test]
    fn its_words_come_without_keys() {
        let body = r#"{"error":{"code":400,"message":"API key AIzaSyD-abc not valid","status":"INVALID_ARGUMENT",
            "details":[{"reason":"API_KEY_INVALID"},{"fieldViolations":[{"field":"contents[0]","description":"x"}]}]}}"#;
        let words = words(reply(400, body), &|text| text.replace("valid", "fine")).expect("words");
        assert_eq!(words.message, "API key *** not fine");
        assert_eq!(words.kind.as_deref(), Some("INVALID_ARGUMENT"));
        assert_eq!(
            (words.parameter.as_deref(), words.code.as_deref()),
            (Some("contents[0]"), Some("API_KEY_INVALID"))
        );
        for body in ["", "{}", r#"{"error":{}}"#, "<html>"] {
            assert_eq!(super::words(reply(400, body), &str::to_owned), None, "{body}");
        }
    }
}
