//! What an error reply means: status, body and headers to a [`Fault`]. The provider's own words go on only as
//! [`words()`], for a caller who speaks its dialect.

mod words;

use crate::missing;
use crate::protocol::Reply;
use domain::fault::{Fault, Kind, Retry};
use serde::Deserialize;

pub use words::words;

/// What the error codes of a body say, independent of its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    ContentRefused,
    TooLong,
    TargetGone,
    OutOfCredit,
    NotForThisModel,
    /// Nothing is at the address that was asked.
    WrongAddress,
    /// The request is at fault, and no code says how.
    Invalid,
    Overloaded,
    RateLimited,
    Nothing,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    error: ErrorField,
    /// Some servers put the fields at the top.
    #[serde(flatten)]
    top: ErrorFields,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorField {
    Fields(ErrorFields),
    Other(serde::de::IgnoredAny),
}

impl Default for ErrorField {
    fn default() -> Self {
        Self::Other(serde::de::IgnoredAny)
    }
}

#[derive(Deserialize, Default)]
struct ErrorFields {
    #[serde(default)]
    code: Code,
    #[serde(default, rename = "type")]
    kind: Code,
    #[serde(default)]
    param: Code,
    #[serde(default)]
    message: Code,
    #[serde(default)]
    innererror: Option<Inner>,
}

/// Where Azure says that its content filter refused.
#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    code: Code,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Text(String),
    Number(u64),
    Other(serde::de::IgnoredAny),
}

impl Code {
    fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Text(text) if text == wanted)
    }
}

impl Default for Code {
    fn default() -> Self {
        Self::Other(serde::de::IgnoredAny)
    }
}

/// Classifies an error reply.
#[must_use]
pub fn classify(reply: Reply<'_>) -> Fault {
    let wait = reply.wait();
    let said = said(reply.body).0;
    // Codes first: providers send the same refusal under different statuses.
    match (said, reply.status) {
        (Said::ContentRefused, 400..=499) => Fault::provider(Kind::Content),
        (Said::TooLong, 400..=499) => Fault::caller(Retry::Never),
        (Said::TargetGone, 400..=428 | 430..=499) => Fault::provider(Kind::RouteFatal),
        // An account without credit answers 429 as well, but no wait helps, unless the provider names one.
        (Said::OutOfCredit, 400..=499) if wait.is_none() => Fault::provider(Kind::RouteFatal),
        (Said::NotForThisModel, 400 | 404 | 422) => Fault::caller(Retry::Elsewhere),
        (Said::WrongAddress, 404 | 405) => Fault::provider(Kind::RouteFatal),
        // An item, a file or a store that the request names is not there, say: nothing is wrong with the model.
        (Said::Invalid, 404 | 405 | 409 | 410) => Fault::caller(Retry::Never),
        (Said::Invalid, 403) => Fault::caller(Retry::Elsewhere),
        _ => reply.by_status(wait),
    }
}

/// Classifies an error that came as an event of a stream, where there is no status.
#[must_use]
pub fn classify_event(body: &[u8]) -> Fault {
    let (said, status) = said(body);
    if let Some(status @ 400..=599) = status {
        return classify(Reply::bare(status, body));
    }
    match said {
        Said::ContentRefused => Fault::provider(Kind::Content),
        Said::TooLong => Fault::caller(Retry::Never),
        Said::TargetGone | Said::OutOfCredit => Fault::provider(Kind::RouteFatal),
        Said::NotForThisModel => Fault::caller(Retry::Elsewhere),
        Said::Invalid | Said::WrongAddress => Fault::caller(Retry::Never),
        Said::RateLimited => Fault::provider(Kind::Throttled),
        Said::Overloaded | Said::Nothing => Fault::provider(Kind::Transient),
    }
}

/// Whether a body is an error, whatever its status.
#[must_use]
pub fn is_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        error: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Body>(body).is_ok_and(|body| body.error.is_some())
}

/// What the body's codes say, and the status that some servers repeat in it.
fn said(body: &[u8]) -> (Said, Option<u16>) {
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let fields = match body.error {
        ErrorField::Fields(fields) => fields,
        ErrorField::Other(_) => body.top,
    };
    let inner = fields.innererror.map(|inner| inner.code).unwrap_or_default();
    let codes = [&inner, &fields.code, &fields.kind];
    let status = codes.into_iter().find_map(|code| match code {
        Code::Number(status) => u16::try_from(*status).ok(),
        Code::Text(text) => text.parse().ok(),
        Code::Other(_) => None,
    });
    let said = codes.into_iter().find_map(|code| match code {
        Code::Text(text) if is_missing(text) => Some(match &fields.message {
            Code::Text(message) if !missing::is_target(message) => Said::Invalid,
            _ => Said::TargetGone,
        }),
        Code::Text(text) => Some(by_code(text)).filter(|said| *said != Said::Nothing),
        Code::Number(_) | Code::Other(_) => None,
    });
    // OpenAI has no code for a model that has another endpoint than the one it was asked at ("only supported in
    // v1/responses"); one that is not there at all has `model_not_found`.
    let is_elsewhere = || fields.param.is("model") && fields.kind.is("invalid_request_error");
    let said = said.or_else(|| is_elsewhere().then_some(Said::NotForThisModel));
    let said = said.or_else(|| match &fields.message {
        _ if !fields.kind.is("invalid_request_error") => None,
        // OpenAI has no code for it: "Invalid URL (POST /v2/chat/completions)".
        Code::Text(message) if message.starts_with("Invalid URL (") => Some(Said::WrongAddress),
        _ => Some(Said::Invalid),
    });
    (said.unwrap_or(Said::Nothing), status)
}

/// Types that tell of something that is not there, and not of what.
fn is_missing(kind: &str) -> bool {
    matches!(kind, "not_found_error" | "NotFoundError")
}

/// Codes and types of OpenAI (error-codes guide, read 2026-11), Azure OpenAI, Groq, Mistral and vLLM.
fn by_code(code: &str) -> Said {
    match code {
        "content_filter"
        | "content_policy_violation"
        | "ResponsibleAIPolicyViolation"
        | "moderation_blocked" => Said::ContentRefused,
        "context_length_exceeded" | "string_above_max_length" | "request_too_large" => Said::TooLong,
        "model_not_found"
        | "model_decommissioned"
        | "model_deprecated"
        | "model_not_available"
        | "model_terms_required"
        | "invalid_model"
        | "DeploymentNotFound"
        | "invalid_api_key"
        | "account_deactivated"
        | "access_terminated"
        | "authentication_error"
        | "permission_error"
        | "permission_denied"
        | "unsupported_country_region_territory" => Said::TargetGone,
        "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "insufficient_balance" => Said::OutOfCredit,
        "unsupported_parameter" | "unsupported_value" => Said::NotForThisModel,
        "unknown_url" => Said::WrongAddress,
        "rate_limit_exceeded" | "rate_limit_error" | "requests" | "tokens" => Said::RateLimited,
        "server_error" | "overloaded_error" | "engine_overloaded" | "service_unavailable" => Said::Overloaded,
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::fault::Origin;
    use domain::time::Timestamp;

    use super::*;

    const FATAL: (Kind, Retry) = (Kind::RouteFatal, Retry::Elsewhere);
    const CALLER: (Kind, Retry) = (Kind::Caller, Retry::Never);
    const CONTENT: (Kind, Retry) = (Kind::Content, Retry::Never);
    const TRANSIENT: (Kind, Retry) = (Kind::Transient, Retry::Here);
    const THROTTLED: (Kind, Retry) = (Kind::Throttled, Retry::Here);

    fn check(status: u16, retry_after: Option<&str>, code: &str, want: (Kind, Retry)) {
        let body = format!(
            r#"{{"error":{{"message":"sk-live","type":"invalid_request_error","param":null,"code":{code}}}}}"#
        );
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:30Z").expect("a date");
        let fault = classify(Reply { status, retry_after, error_type: None, body: body.as_bytes(), now });
        assert_eq!((fault.kind, fault.retry), want, "{status} {code} {retry_after:?}");
        let origin = if want.0 == Kind::Caller { Origin::Caller } else { Origin::Provider };
        assert_eq!(fault.origin, origin, "{status} {code}");
    }

    #[test]
    fn status_and_code_decide() {
        for (status, code, want) in [
            (400, "null", CALLER),
            (400, "\"context_length_exceeded\"", CALLER),
            (400, "\"content_filter\"", CONTENT),
            (403, "\"content_policy_violation\"", CONTENT),
            (400, "\"model_decommissioned\"", FATAL), // a retired model may come as a 400
            (400, "\"unsupported_parameter\"", (Kind::Caller, Retry::Elsewhere)),
            (401, "\"invalid_api_key\"", FATAL),
            (402, "null", FATAL),
            (401, "null", FATAL),
            (403, "null", (Kind::Caller, Retry::Elsewhere)),
            (403, "\"permission_denied\"", FATAL),
            (404, "\"model_not_found\"", FATAL),
            (404, "null", CALLER),
            (405, "null", CALLER),
            (409, "null", CALLER),
            (408, "null", TRANSIENT),
            (413, "null", CALLER),
            (422, "null", CALLER),
            (429, "\"rate_limit_exceeded\"", THROTTLED),
            (429, "429", THROTTLED),
            (429, "\"insufficient_quota\"", FATAL),
            (500, "null", TRANSIENT),
            (500, "\"model_not_found\"", TRANSIENT), // a server that is confused may recover
            (503, "null", TRANSIENT),
            (529, "\"overloaded_error\"", TRANSIENT),
            (307, "null", FATAL),
            (204, "null", TRANSIENT),
        ] {
            check(status, None, code, want);
        }
    }

    #[test]
    fn a_model_that_has_another_endpoint_is_not_gone() {
        let body = |code: &str| {
            format!(
                r#"{{"error":{{"message":"This model is only supported in v1/responses and not in v1/chat/completions.",
                "type":"invalid_request_error","param":"model","code":{code}}}}}"#
            )
        };
        for (code, want) in [("null", (Kind::Caller, Retry::Elsewhere)), ("\"model_not_found\"", FATAL)] {
            let fault = classify(Reply::bare(404, body(code).as_bytes()));
            assert_eq!((fault.kind, fault.retry), want, "{code}");
        }
    }

    #[test]
    fn what_a_request_names_may_be_missing_while_its_model_is_there() {
        for (kind, message, want) in [
            ("invalid_request_error", "Item with id 'rs_model' not found.", CALLER),
            ("invalid_request_error", "Invalid URL (POST /chat/completions)", FATAL),
            ("unknown_url", "Unknown request URL: POST /v2/chat/completions", FATAL),
            ("NotFoundError", "Response with id 'model' not found.", CALLER),
            ("NotFoundError", "The model `m` does not exist.", FATAL),
            ("not_found_error", "model 'm' not found, try pulling it first", FATAL),
            ("not_found_error", "File Not Found", FATAL), // no such path: the address is wrong
            ("not_found_error", "", FATAL),
            ("other", "Item with id 'x' not found.", FATAL), // whoever this is
        ] {
            let body = format!(r#"{{"error":{{"message":"{message}","type":"{kind}","code":null}}}}"#);
            let fault = classify(Reply::bare(404, body.as_bytes()));
            assert_eq!((fault.kind, fault.retry), want, "{kind} {message}");
        }
        for body in ["", "<html>404</html>", r#"{"detail":"Not Found"}"#] {
            let fault = classify(Reply::bare(404, body.as_bytes()));
            assert_eq!((fault.kind, fault.retry), FATAL, "{body}");
        }
    }

    #[test]
    fn retry_after_is_kept_in_both_forms() {
        let seven = Retry::After(Duration::from_secs(7));
        for (status, text, code, want) in [
            (429, "7", "null", (Kind::Throttled, seven)),
            (429, "Sun, 06 Nov 1994 08:49:37 GMT", "null", (Kind::Throttled, seven)),
            (429, "7", "\"insufficient_quota\"", (Kind::Throttled, seven)), // it says itself that waiting helps
            (503, "7", "null", (Kind::Transient, seven)),
            (429, "soon", "null", THROTTLED),
            (400, "7", "null", CALLER),
        ] {
            check(status, Some(text), code, want);
        }
    }

    #[test]
    fn any_body_is_survived() {
        for (body, want) in [
            (&b""[..], CALLER),
            (b"<html>", CALLER),
            (b"\xff", CALLER),
            (b"[]", CALLER),
            (b"null", CALLER),
            (br#"{"error":"no"}"#, CALLER),
            (br#"{"error":null,"code":"content_filter"}"#, CONTENT),
            (br#"{"object":"error","type":"NotFoundError","code":404}"#, FATAL), // vLLM before 0.10
            (
                br#"{"error":{"code":"whatever","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                CONTENT,
            ),
        ] {
            let fault = classify(Reply::bare(400, body));
            assert_eq!((fault.kind, fault.retry), want, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn events_are_judged_by_their_codes() {
        for (body, want) in [
            (r#"{"error":{"message":"x","type":"server_error"}}"#, TRANSIENT),
            (r#"{"error":{"message":"x"}}"#, TRANSIENT),
            (r#"{"error":{"code":429}}"#, THROTTLED),
            (r#"{"error":{"code":"429"}}"#, THROTTLED),
            (r#"{"error":{"code":"rate_limit_exceeded"}}"#, THROTTLED),
            (r#"{"error":{"code":"context_length_exceeded"}}"#, CALLER),
            (r#"{"error":{"code":"content_filter"}}"#, CONTENT),
            (r#"{"error":{"type":"insufficient_quota"}}"#, FATAL),
            (r#"{"error":{"type":"invalid_request_error"}}"#, CALLER),
        ] {
            let fault = classify_event(body.as_bytes());
            assert_eq!((fault.kind, fault.retry), want, "{body}");
        }
    }
}
