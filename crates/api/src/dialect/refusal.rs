//! Errors of the dialects' doors before they take a dialect's shape.

use std::time::Duration;

use access::limits::Standing;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::fault::{Kind, Retry};
use http::StatusCode;
use pipeline::relay::{Broken, Refused};
use pipeline::turn::TurnError;
use registry::clients::NameError;
use resilience::breaker::Refused as Shut;
use routing::{Reason, Unanswered, Why};
use wire::request::RequestError;
use wire::translation::ReadError;

use crate::problem::{Problem, whole_seconds};

/// Why a request gets no answer, in no dialect's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// What kind of error it is.
    pub(crate) class: Class,
    /// For programs.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// The field that it is about.
    pub(crate) parameter: Option<String>,
    /// The provider's own word for its kind, where these are a provider's words.
    pub(crate) vendor_kind: Option<String>,
    /// Whole seconds, at least 1.
    pub(crate) retry_after_s: Option<u32>,
    /// Where the limits of who asked are, when one of them is in the way.
    pub(crate) standing: Option<Box<Standing>>,
}

const RATE_LIMIT_EXCEEDED: &str = "rate_limit_exceeded";

/// The kinds of errors that SDKs tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The request is at fault.
    Invalid,
    /// Nobody knows who asks.
    Authentication,
    /// Who asks may not.
    Permission,
    /// There is no such thing.
    NotFound,
    /// The body is too large.
    TooLarge,
    /// Too fast.
    RateLimit,
    /// What may be spent is spent.
    Quota,
    /// It failed, here or at a provider.
    Api,
    /// It took too long.
    Timeout,
    /// Too much is asked at once.
    Overloaded,
}

impl Refusal {
    /// A refusal; `code` and the message for people.
    pub(crate) fn new(status: StatusCode, class: Class, (code, message): (&str, String)) -> Self {
        Self {
            status,
            class,
            code: code.to_owned(),
            message,
            parameter: None,
            vendor_kind: None,
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            standing: None,
        }
    }

    /// The request is at fault, at `field` where that is known.
    pub(crate) fn invalid(field: Option<&str>, (code, message): (&str, String)) -> Self {
        let refusal = Self::new(StatusCode::BAD_REQUEST, Class::Invalid, (code, message));
        Self { parameter: field.map(str::to_owned), ..refusal }
    }

    /// The request makes no sense to us.
    pub(crate) fn field(field: &'static str, message: &str) -> Self {
        Self::invalid(Some(field), ("invalid_value", message.to_owned()))
    }

    /// The message for people, with the place of the mistake in it, for errors that have no field for that.
    pub(crate) fn placed_message(&self) -> String {
        match &self.parameter {
            Some(parameter) if !self.message.contains(parameter.as_str()) => {
                format!("{parameter}: {}", self.message)
            }
            _ => self.message.clone(),
        }
    }

    /// One of this status and kind, whatever it says.
    #[cfg(test)]
    pub(crate) fn sample(status: u16, class: Class) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self::new(status, class, ("a_code", "no".to_owned()))
    }

    fn after(mut self, wait: Option<Duration>) -> Self {
        if let Some(wait) = wait {
            self.retry_after_s = Some(whole_seconds(wait));
        }
        self
    }
}

/// Its shape is given by `entry`, which knows the request's id and the dialect of its path.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

impl From<&Problem> for Refusal {
    fn from(problem: &Problem) -> Self {
        let (status, code) = match problem.code() {
            Problem::BUDGET_EXCEEDED => (StatusCode::TOO_MANY_REQUESTS, Problem::BUDGET_EXCEEDED),
            Problem::RATE_LIMITED => (StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT_EXCEEDED),
            code => (problem.status(), code),
        };
        let kind = match status {
            _ if code == Problem::BUDGET_EXCEEDED => Class::Quota,
            StatusCode::UNAUTHORIZED => Class::Authentication,
            StatusCode::FORBIDDEN => Class::Permission,
            StatusCode::NOT_FOUND => Class::NotFound,
            StatusCode::REQUEST_TIMEOUT => Class::Timeout,
            StatusCode::PAYLOAD_TOO_LARGE => Class::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => Class::RateLimit,
            _ if problem.code() == Problem::OVERLOADED => Class::Overloaded,
            _ if status.is_client_error() => Class::Invalid,
            _ => Class::Api,
        };
        let error = Self::new(status, kind, (code, problem.detail().to_owned()));
        let retry_after_s = problem.retry_after_s();
        Self { retry_after_s, standing: Some(Box::new(problem.standing())), ..error }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::from(&problem)
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match &error {
            RequestError::Json(_) => Self::invalid(None, ("bad_json", error.to_string())),
            RequestError::Field { field, .. } => {
                Self::invalid(Some(field), ("invalid_value", error.to_string()))
            }
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::Unreadable(_) | ReadError::Invalid { .. } => "invalid_value",
            ReadError::Unsupported { .. } => "unsupported_value",
        };
        Self::invalid(error.field(), (code, error.to_string()))
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        let mut told = Self::invalid(Some("model"), ("model_not_found", error.to_string()));
        if matches!(error, NameError::Unknown { .. }) {
            told.status = StatusCode::NOT_FOUND;
            told.class = Class::NotFound;
        }
        told
    }
}

impl From<TurnError> for Refusal {
    fn from(error: TurnError) -> Self {
        Problem::from(error).into()
    }
}

impl From<Refused> for Refusal {
    fn from(error: Refused) -> Self {
        match error {
            Refused::Limited(refusal) => Problem::from(*refusal).into(),
            Refused::Shed(shed) => Problem::from(shed).into(),
            Refused::Unanswered(unanswered) => Self::from(*unanswered),
            Refused::Incomplete(error) => Broken::Incomplete(error).into(),
            Refused::NotCached(error) | Refused::NotRecorded(error) => error.into(),
        }
    }
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        if unanswered.reason == Reason::Residency {
            let said = ("residency_violation", unanswered.to_string());
            return Self::new(StatusCode::FORBIDDEN, Class::Permission, said);
        }
        let wait = match unanswered.fault.retry {
            Retry::After(wait) => Some(wait),
            Retry::Never | Retry::Here | Retry::Elsewhere => None,
        };
        // Details name hosts: they are in the log. The class of the failure is enough here.
        let class = unanswered.last.as_ref().map_or_else(String::new, |last| {
            // Of a model that gave up, what it said is known to hold no more than the reason.
            let reply = unanswered.reply.as_ref().filter(|_| last.fault.kind == Kind::Unavailable);
            let why = reply.map_or_else(|| last.fault.kind.name(), |reply| &reply.message);
            format!(" (the last failure: {why})")
        });
        let unavailable = |kind, code| {
            let message = format!("{unanswered}{class}");
            Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, (code, message)).after(wait)
        };
        match unanswered.fault.kind {
            // What the request itself, or its sender's pace, brought about is told as the provider told it.
            Kind::Caller | Kind::Content if unanswered.last.is_some() => own_words(&unanswered).after(wait),
            // Also where nobody was asked, as every provider asked to slow down before.
            Kind::Throttled => own_words(&unanswered).after(wait),
            Kind::Timeout => unavailable(Class::Timeout, "upstream_timeout"),
            _ if unanswered.reason == Reason::NoCandidate => {
                let is_open = |why| matches!(why, Why::Refused(Shut::Open { .. } | Shut::Probing));
                let is_open = unanswered.skipped.iter().any(|skipped| is_open(skipped.why));
                unavailable(Class::Api, if is_open { "breaker_open" } else { "upstream_unavailable" })
            }
            _ => unavailable(Class::Api, "all_targets_exhausted"),
        }
    }
}

/// The provider's refusal in its own words, where it said any.
fn own_words(unanswered: &Unanswered) -> Refusal {
    let (status, kind, (code, message)) = match unanswered.fault.kind {
        Kind::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            Class::RateLimit,
            (RATE_LIMIT_EXCEEDED, "the provider asks to slow down"),
        ),
        Kind::Content => (
            StatusCode::BAD_REQUEST,
            Class::Invalid,
            ("content_filter", "the provider's content filter refused"),
        ),
        _ => (StatusCode::BAD_REQUEST, Class::Invalid, ("invalid_request", "no model can take this request")),
    };
    let ours = Refusal::new(status, kind, (code, message.to_owned()));
    match &unanswered.reply {
        Some(reply) if (400..500).contains(&reply.status) => Refusal {
            status: StatusCode::from_u16(reply.status).unwrap_or(ours.status),
            message: reply.message.clone(),
            parameter: reply.parameter.clone(),
            vendor_kind: reply.kind.clone(),
            code: reply.code.clone().unwrap_or(ours.code),
            ..ours
        },
        _ => ours,
    }
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Incomplete(error) => {
                let code =
                    if error.fault.kind == Kind::Content { "content_filter" } else { "stream_incomplete" };
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    Class::Api,
                    (code, format!("the answer is not complete: {error}")),
                )
            }
            Broken::NotRecorded => TurnError::NotRecorded.into(),
        }
    }
}

#[cfg(test)]
mod tests;
