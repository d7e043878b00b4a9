//! What AWS's errors mean: the name in a header, in a body or of a frame, to a [`Fault`].

use domain::chat::ErrorReply;
use domain::fault::{Fault, Kind, Retry};
use serde::Deserialize;

use crate::protocol::Reply;
use crate::words::{FIELD_MAX, MESSAGE_MAX, clean};

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default, rename = "__type")]
    kind: Option<String>,
    /// AWS's front doors write it with a capital.
    #[serde(default, alias = "Message")]
    message: Option<String>,
}

fn body(bytes: &[u8]) -> Body {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// The exception's name alone: before it stands its namespace, after it an address.
fn name<'a>(reply: Reply<'a>, body: &'a Body) -> Option<&'a str> {
    let name = reply.error_type.or(body.kind.as_deref())?;
    let name = name.split([':', ',']).next().unwrap_or(name);
    Some(name.rsplit('#').next().unwrap_or(name).trim())
}

/// Classifies an error reply.
#[must_use]
pub fn classify(reply: Reply<'_>) -> Fault {
    let body = body(reply.body);
    let said = name(reply, &body).and_then(|name| named(name, body.message.as_deref().unwrap_or_default()));
    let fault = said.unwrap_or_else(|| by_status(reply.status));
    match fault.kind {
        Kind::Throttled | Kind::Transient => fault.after(reply.wait()),
        _ => fault,
    }
}

/// Classifies an exception that came as a frame of a stream.
#[must_use]
pub fn exception(name: &str, payload: &[u8]) -> Fault {
    error(name, &body(payload).message.unwrap_or_default())
}

/// Classifies an error that came as a frame of a stream, which says all in its headers.
#[must_use]
pub fn error(name: &str, message: &str) -> Fault {
    named(name, message).unwrap_or_else(|| Fault::provider(Kind::Transient))
}

/// What the provider itself said.
#[must_use]
pub fn words(reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply> {
    let body = body(reply.body);
    let message = clean(&conceal(body.message.as_deref()?), MESSAGE_MAX);
    let kind = name(reply, &body).map(|name| clean(name, FIELD_MAX));
    // AWS says 400 of a quota that is used up, which elsewhere is for what no other time would mend.
    let status = if classify(reply).kind == Kind::Throttled { 429 } else { reply.status };
    Some(ErrorReply { status, message, kind, parameter: None, code: None })
}

/// What an exception's name says; in streams names begin with a small letter.
fn named(name: &str, message: &str) -> Option<Fault> {
    let name = name.strip_suffix("Exception").unwrap_or(name);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let kind = match () {
        () if is("Validation") => return Some(validation(message)),
        () if is("Throttling") || is("TooManyRequests") || is("ServiceQuotaExceeded") => Kind::Throttled,
        () if is("ModelTimeout") => Kind::Timeout,
        // A cold model is loaded while one waits (the SDKs try five times).
        () if is("ModelNotReady") => Kind::Transient,
        () if is("ModelError") || is("ModelStreamError") => Kind::Transient,
        () if is("InternalServer") || is("InternalFailure") || is("ServiceUnavailable") => Kind::Transient,
        // One that the request names is not there, or not ours.
        () if (is("AccessDenied") || is("ResourceNotFound")) && message.contains("uardrail") => {
            return Some(Fault::caller(Retry::Never));
        }
        () if is("AccessDenied")
            || is("UnrecognizedClient")
            || is("InvalidSignature")
            || is("IncompleteSignature")
            || is("SignatureDoesNotMatch")
            || is("MissingAuthenticationToken")
            || is("InvalidClientTokenId")
            || is("ExpiredToken")
            || is("OptInRequired")
            || is("NotAuthorized")
            || is("ResourceNotFound")
            || is("UnknownOperation") =>
        {
            Kind::RouteFatal
        }
        () => return None,
    };
    Some(Fault::provider(kind))
}

/// AWS has one name for all that it will not do; only its words tell the caller's mistake from a model that is gone.
fn validation(message: &str) -> Fault {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    match () {
        () if says(&[
            "model identifier is invalid",
            "end of its life",
            "on-demand throughput",
            "model access",
            "not available in your region",
            "operation not allowed",
        ]) =>
        {
            Fault::provider(Kind::RouteFatal)
        }
        () if says(&["content filter", "blocked by our content"]) => Fault::provider(Kind::Content),
        () if says(&[
            "doesn't support",
            "does not support",
            "not supported",
            "isn't supported",
            "unsupported",
        ]) =>
        {
            Fault::caller(Retry::Elsewhere)
        }
        () => Fault::caller(Retry::Never),
    }
}

fn by_status(status: u16) -> Fault {
    match status {
        429 => Fault::provider(Kind::Throttled),
        408 => Fault::provider(Kind::Timeout),
        424 | 500..=599 => Fault::provider(Kind::Transient),
        300..=399 | 401..=405 | 410 => Fault::provider(Kind::RouteFatal),
        400..=499 => Fault::caller(Retry::Never),
        _ => Fault::provider(Kind::Transient),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::time::Timestamp;

    use super::*;

    fn reply<'a>(status: u16, error_type: Option<&'a str>, body: &'a str) -> Reply<'a> {
        Reply { status, retry_after: None, error_type, body: body.as_bytes(), now: Timestamp::default() }
    }

    #[test]
    fn names_say_more_than_statuses() {
        let gone =
            "This model version has reached the end of its life. Please refer to the AWS documentation";
        let invalid = "The provided model identifier is invalid.";
        let tools = "This model doesn't support tool use.";
        for (status, name, message, kind, retry) in [
            (429, "ThrottlingException", "", Kind::Throttled, Retry::Here),
            (429, "ModelNotReadyException", "", Kind::Transient, Retry::Here),
            (400, "ServiceQuotaExceededException", "", Kind::Throttled, Retry::Here),
            (408, "ModelTimeoutException", "", Kind::Timeout, Retry::Here),
            (424, "ModelErrorException", "", Kind::Transient, Retry::Here),
            (500, "InternalServerException:http://internal.amazon.com/", "", Kind::Transient, Retry::Here),
            (503, "ServiceUnavailableException", "", Kind::Transient, Retry::Here),
            (403, "AccessDeniedException", "", Kind::RouteFatal, Retry::Elsewhere),
            (
                403,
                "com.amazon.coral.service#InvalidSignatureException",
                "",
                Kind::RouteFatal,
                Retry::Elsewhere,
            ),
            (403, "ExpiredTokenException", "", Kind::RouteFatal, Retry::Elsewhere),
            (404, "ResourceNotFoundException", gone, Kind::RouteFatal, Retry::Elsewhere),
            (
                404,
                "ResourceNotFoundException",
                "The guardrail identifier provided does not exist.",
                Kind::Caller,
                Retry::Never,
            ),
            (400, "ValidationException", gone, Kind::RouteFatal, Retry::Elsewhere),
            (400, "ValidationException", invalid, Kind::RouteFatal, Retry::Elsewhere),
            (400, "ValidationException", tools, Kind::Caller, Retry::Elsewhere),
            (
                400,
                "ValidationException",
                "Input is too long for requested model.",
                Kind::Caller,
                Retry::Never,
            ),
            (418, "NewException", "", Kind::Caller, Retry::Never),
            (599, "NewException", "", Kind::Transient, Retry::Here),
        ] {
            let body = format!(r#"{{"message":"{message}"}}"#);
            let fault = classify(reply(status, Some(name), &body));
            assert_eq!((fault.kind, fault.retry), (kind, retry), "{status} {name} {message}");
            let typed = format!(r#"{{"__type":"{name}","message":"{message}"}}"#);
            assert_eq!(classify(reply(status, None, &typed)), fault, "{typed}");
        }
        assert_eq!(classify(reply(403, None, "<html>")).kind, Kind::RouteFatal);
    }

    #[test]
    fn a_wait_that_is_named_is_kept() {
        let reply = Reply { retry_after: Some("7"), ..reply(429, Some("ThrottlingException"), "") };
        assert_eq!(classify(reply).retry, Retry::After(Duration::from_secs(7)));
    }

    #[test]
    fn frames_say_the_same() {
        for (name, kind) in [
            ("throttlingException", Kind::Throttled),
            ("modelStreamErrorException", Kind::Transient),
            ("validationException", Kind::Caller),
            ("modelTimeoutException", Kind::Timeout),
            ("newException", Kind::Transient),
        ] {
            assert_eq!(exception(name, br#"{"message":"x"}"#).kind, kind, "{name}");
        }
    }

    #[test]
    fn words_are_clean() {
        let body = r#"{"Message":"User: arn:aws:iam::1:user/x with sk-live-1 is not authorized"}"#;
        let said = words(reply(403, Some("AccessDeniedException"), body), &str::to_owned).expect("words");
        assert!(said.message.contains("not authorized") && !said.message.contains("sk-live"));
        assert_eq!(said.kind.as_deref(), Some("AccessDeniedException"));
        let quota = reply(400, Some("ServiceQuotaExceededException"), r#"{"message":"used up"}"#);
        assert_eq!(words(quota, &str::to_owned).map(|said| said.status), Some(429));
        assert_eq!(words(reply(500, None, "<html>"), &str::to_owned), None);
    }
}
