//! Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

use std::time::Duration;

use access::limits::Standing;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::chat::ErrorReply;
use domain::fault::{Kind, Retry};
use http::{HeaderName, HeaderValue, StatusCode, header};
use pipeline::relay::{Broken, Refused};
use pipeline::turn::TurnError;
use registry::clients::NameError;
use resilience::breaker::Refused as Shut;
use routing::{Reason, Unanswered, Why};
use wire::openai::encode;
use wire::openai::inbound::InboundError;
use wire::openai::relay::RequestError;

use crate::limits;
use crate::problem::{Problem, whole_seconds};

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenAiError {
    reply: ErrorReply,
    /// Whole seconds, at least 1.
    retry_after_s: Option<u32>,
    /// Where the limits of who asked are, when one of them is in the way.
    standing: Option<Box<Standing>>,
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RATE_LIMIT_EXCEEDED: &str = "rate_limit_exceeded";

// Classes that SDKs know.
const INVALID_REQUEST: &str = "invalid_request_error";
const PERMISSION: &str = "permission_error";
const NOT_FOUND: &str = "not_found_error";
const RATE_LIMIT: &str = "rate_limit_error";
const QUOTA: &str = "insufficient_quota";
const API: &str = "api_error";
const TIMEOUT: &str = "timeout_error";
const OVERLOADED: &str = "overloaded_error";

impl OpenAiError {
    fn new(status: StatusCode, kind: &str, (code, message): (&str, String)) -> Self {
        let reply = ErrorReply {
            status: status.as_u16(),
            message,
            kind: Some(kind.to_owned()),
            parameter: None,
            code: Some(code.to_owned()),
        };
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { reply, retry_after_s, standing: None }
    }

    fn invalid(field: Option<&str>, (code, message): (&str, String)) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, (code, message));
        error.reply.parameter = field.map(str::to_owned);
        error
    }

    /// The request makes no sense to us.
    pub(crate) fn field(field: &'static str, message: &str) -> Self {
        Self::invalid(Some(field), ("invalid_value", message.to_owned()))
    }

    fn after(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            self.retry_after_s = Some(whole_seconds(wait));
        }
        self
    }

    /// As the last frame of a stream that has begun.
    pub(crate) fn frame(&self) -> bytes::Bytes {
        encode::error_frame(&self.reply)
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.reply.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let json = HeaderValue::from_static("application/json");
        let body = encode::error(&self.reply).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, json)], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.reply.kind.as_deref() == Some(QUOTA) {
            // Else SDKs try a 429 again: money does not come by waiting a second.
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(standing) = self.standing {
            limits::note(&mut response, *standing);
        }
        response
    }
}

impl From<&Problem> for OpenAiError {
    fn from(problem: &Problem) -> Self {
        let (status, code) = match problem.code() {
            Problem::BUDGET_EXCEEDED => (StatusCode::TOO_MANY_REQUESTS, Problem::BUDGET_EXCEEDED),
            Problem::RATE_LIMITED => (StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT_EXCEEDED),
            code => (problem.status(), code),
        };
        let kind = match status {
            _ if code == Problem::BUDGET_EXCEEDED => QUOTA,
            StatusCode::TOO_MANY_REQUESTS => RATE_LIMIT,
            StatusCode::FORBIDDEN => PERMISSION,
            StatusCode::NOT_FOUND => NOT_FOUND,
            StatusCode::REQUEST_TIMEOUT => TIMEOUT,
            _ if problem.code() == Problem::OVERLOADED => OVERLOADED,
            _ if status.is_client_error() => INVALID_REQUEST,
            _ => API,
        };
        let error = Self::new(status, kind, (code, problem.detail().to_owned()));
        let retry_after_s = problem.retry_after_s();
        Self { retry_after_s, standing: Some(Box::new(problem.standing())), ..error }
    }
}

impl From<Problem> for OpenAiError {
    fn from(problem: Problem) -> Self {
        Self::from(&problem)
    }
}

/// A problem document of the layers around the door, told in its shape; the headers stay.
pub(crate) fn in_its_dialect(response: Response, problem: &Problem) -> Response {
    let (mut parts, _) = response.into_parts();
    let (told, body) = OpenAiError::from(problem).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(told.headers);
    Response::from_parts(parts, Body::new(body))
}

impl From<RequestError> for OpenAiError {
    fn from(error: RequestError) -> Self {
        match &error {
            RequestError::Json(_) => Self::invalid(None, ("bad_json", error.to_string())),
            RequestError::Field { field, .. } => {
                Self::invalid(Some(field), ("invalid_value", error.to_string()))
            }
        }
    }
}

impl From<InboundError> for OpenAiError {
    fn from(error: InboundError) -> Self {
        let code = match &error {
            InboundError::Unreadable | InboundError::Invalid { .. } => "invalid_value",
            InboundError::Unsupported { .. } => "unsupported_value",
        };
        Self::invalid(error.field(), (code, error.to_string()))
    }
}

impl From<NameError> for OpenAiError {
    fn from(error: NameError) -> Self {
        let mut told = Self::invalid(Some("model"), ("model_not_found", error.to_string()));
        if matches!(error, NameError::Unknown { .. }) {
            told.reply.status = StatusCode::NOT_FOUND.as_u16();
        }
        told
    }
}

impl From<TurnError> for OpenAiError {
    fn from(error: TurnError) -> Self {
        Problem::from(error).into()
    }
}

impl From<Refused> for OpenAiError {
    fn from(error: Refused) -> Self {
        match error {
            Refused::Limited(refusal) => Problem::from(*refusal).into(),
            Refused::Shed(shed) => Problem::from(shed).into(),
            Refused::Unanswered(unanswered) => Self::from(*unanswered),
            Refused::Incomplete(error) => Broken::Incomplete(error).into(),
            Refused::NotRecorded(error) => error.into(),
        }
    }
}

impl From<Unanswered> for OpenAiError {
    fn from(unanswered: Unanswered) -> Self {
        let wait = match unanswered.fault.retry {
            Retry::After(wait) => Some(wait),
            Retry::Never | Retry::Here | Retry::Elsewhere => None,
        };
        // Details name hosts: they are in the log. The class of the failure is enough here.
        let class = unanswered
            .last
            .as_ref()
            .map_or_else(String::new, |last| format!(" (the last failure: {})", last.fault.kind.name()));
        let unavailable = |kind, code| {
            let message = format!("{unanswered}{class}");
            Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, (code, message)).after(wait)
        };
        match unanswered.fault.kind {
            // What the request itself, or its sender's pace, brought about is told as the provider told it.
            Kind::Caller | Kind::Content | Kind::Throttled if unanswered.last.is_some() => {
                own_words(&unanswered).after(wait)
            }
            Kind::Timeout => unavailable(TIMEOUT, "upstream_timeout"),
            _ if unanswered.reason == Reason::NoCandidate => {
                let is_open = |why| matches!(why, Why::Refused(Shut::Open { .. } | Shut::Probing));
                let is_open = unanswered.skipped.iter().any(|skipped| is_open(skipped.why));
                unavailable(API, if is_open { "breaker_open" } else { "upstream_unavailable" })
            }
            _ => unavailable(API, "all_targets_exhausted"),
        }
    }
}

/// The provider's refusal in its own words, where it said any.
fn own_words(unanswered: &Unanswered) -> OpenAiError {
    let (status, kind, (code, message)) = match unanswered.fault.kind {
        Kind::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            RATE_LIMIT,
            (RATE_LIMIT_EXCEEDED, "the provider asks to slow down"),
        ),
        Kind::Content => (
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            ("content_filter", "the provider's content filter refused"),
        ),
        _ => {
            (StatusCode::BAD_REQUEST, INVALID_REQUEST, ("invalid_request", "no model can take this request"))
        }
    };
    let ours = OpenAiError::new(status, kind, (code, message.to_owned()));
    match &unanswered.reply {
        Some(reply) if (400..500).contains(&reply.status) => {
            let kind = reply.kind.clone().or(ours.reply.kind);
            OpenAiError {
                reply: ErrorReply { kind, ..reply.as_ref().clone() },
                retry_after_s: None,
                standing: None,
            }
        }
        _ => ours,
    }
}

impl From<Broken> for OpenAiError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Incomplete(error) => {
                let code =
                    if error.fault.kind == Kind::Content { "content_filter" } else { "stream_incomplete" };
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    API,
                    (code, format!("the answer is not complete: {error}")),
                )
            }
            Broken::NotRecorded => TurnError::NotRecorded.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::fault::{Fault, Origin};
    use domain::id::RouteName;
    use domain::ports::ModelError;

    use super::*;

    fn unanswered(fault: Fault, status: Option<u16>) -> Unanswered {
        let words = |status| ErrorReply {
            status,
            message: "too long".to_owned(),
            kind: None,
            parameter: Some("messages".to_owned()),
            code: Some("context_length_exceeded".to_owned()),
        };
        Unanswered {
            route: RouteName::from("standard"),
            reason: Reason::Exhausted,
            fault,
            skipped: Vec::new(),
            last: Some(ModelError { fault, detail: "`one` answered with status 400".to_owned() }),
            last_tier: None,
            reply: status.map(words).map(Box::new),
        }
    }

    #[test]
    fn failures_become_the_statuses_that_sdks_act_on() {
        let caller = Fault { origin: Origin::Caller, kind: Kind::Caller, retry: Retry::Never };
        let throttled =
            Fault { retry: Retry::After(Duration::from_millis(2_100)), ..Fault::provider(Kind::Throttled) };
        for (fault, reply, want) in [
            (caller, Some(400), (400, "context_length_exceeded", None)),
            (caller, Some(422), (422, "context_length_exceeded", None)),
            (caller, None, (400, "invalid_request", None)),
            (Fault::provider(Kind::Content), None, (400, "content_filter", None)),
            (throttled, Some(429), (429, "context_length_exceeded", Some(3))),
            (throttled, None, (429, "rate_limit_exceeded", Some(3))),
            // Our own key is not the caller's fault.
            (Fault::provider(Kind::RouteFatal), Some(401), (503, "all_targets_exhausted", Some(1))),
            (Fault::provider(Kind::Transient), Some(500), (503, "all_targets_exhausted", Some(1))),
            (Fault::provider(Kind::Timeout), None, (503, "upstream_timeout", Some(1))),
        ] {
            let error = OpenAiError::from(unanswered(fault, reply));
            let found =
                (error.reply.status, error.reply.code.as_deref().expect("a code"), error.retry_after_s);
            assert_eq!(found, want, "{fault:?} {reply:?}");
            assert!(error.reply.kind.is_some());
        }
    }

    #[test]
    fn when_no_call_was_made_it_is_told_when_one_may_be() {
        let fault = Fault { retry: Retry::After(Duration::from_secs(29)), ..Fault::unavailable() };
        let shut = |why| routing::Skipped { target: domain::id::TargetId::from("one/alpha"), why };
        let open = Why::Refused(Shut::Open { until: domain::time::Moment::default() });
        for (why, code) in [(open, "breaker_open"), (Why::NoProvider, "upstream_unavailable")] {
            let unanswered = Unanswered {
                reason: Reason::NoCandidate,
                last: None,
                skipped: vec![shut(why)],
                ..unanswered(fault, None)
            };
            let error = OpenAiError::from(unanswered);
            assert_eq!((error.reply.status, error.reply.code.as_deref()), (503, Some(code)));
            assert_eq!(error.retry_after_s, Some(29));
        }
    }
}
