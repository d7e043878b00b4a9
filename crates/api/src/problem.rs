//! Errors of the native doors: RFC 9457 problem documents with a stable `code`.

use std::time::Duration;

use access::denied::Denied;
use access::limits::{Limit, Refusal, Standing, Why};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use resilience::shedding::Shed;
use serde::Serialize;

use crate::limits;

/// A problem document.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// A page that explains the code.
    #[serde(rename = "type")]
    kind: Box<str>,
    title: &'static str,
    status: u16,
    /// The stable code; see docs/errors.
    code: &'static str,
    detail: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Box<str>>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
    /// Where the limits of who asked are, when one of them is in the way.
    #[serde(skip)]
    standing: Option<Box<Standing>>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $status:ident, $code:literal, $title:literal;)*) => {
        impl Problem {$(
            $(#[$doc])*
            pub fn $name(detail: impl Into<String>) -> Self {
                Self::new(StatusCode::$status, $code, $title, detail.into())
            }
        )*

            /// Every code with its status and title.
            pub const CODES: &[(&'static str, StatusCode, &'static str)] =
                &[$(($code, StatusCode::$status, $title)),*];
        }
    };
}

codes! {
    /// The body is not JSON, or not such as is accepted.
    bad_json, BAD_REQUEST, "bad_json", "The body is not acceptable JSON";
    /// A field is missing, unknown, of the wrong type or out of range.
    bad_field, BAD_REQUEST, "bad_field", "A field of the body is wrong";
    /// A query parameter or header is wrong.
    bad_parameter, BAD_REQUEST, "bad_parameter", "A parameter is wrong";
    /// There is a budget, and the model has no price.
    unpriced_model, BAD_REQUEST, "unpriced_model", "The model has no price";
    /// A budget is used up, or what is left does not cover the worst case of the request.
    budget_exceeded, PAYMENT_REQUIRED, "budget_exceeded", "The budget does not cover the request";
    /// Too many requests, tokens or requests at once.
    rate_limited, TOO_MANY_REQUESTS, "rate_limited", "A rate limit is reached";
    /// The use case is not known and the configuration refuses such.
    unknown_use_case, BAD_REQUEST, "unknown_use_case", "There is no such use case";
    /// The request carries no key, or one that is not accepted.
    unauthorized, UNAUTHORIZED, "unauthorized", "A key is needed";
    /// The key does not reach so far.
    forbidden, FORBIDDEN, "forbidden", "This key may not do that";
    /// The request names a host, or comes from a page, that is not local.
    not_local, FORBIDDEN, "not_local", "Only local requests are accepted";
    /// Nothing has this path or id.
    not_found, NOT_FOUND, "not_found", "There is no such thing";
    /// Only an earlier answer was wanted, and there is none.
    not_cached, GATEWAY_TIMEOUT, "not_cached", "There is no earlier answer";
    /// The path exists, for other methods.
    method_not_allowed, METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method";
    /// What is there forbids the change.
    conflict, CONFLICT, "conflict", "The change does not fit with what is there";
    /// The body came too slowly.
    body_timeout, REQUEST_TIMEOUT, "body_timeout", "The body came too slowly";
    /// The body is larger than accepted.
    body_too_large, PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// The body is not declared as JSON.
    not_json, UNSUPPORTED_MEDIA_TYPE, "not_json", "The body must be application/json";
    /// Something of ours broke.
    internal, INTERNAL_SERVER_ERROR, "internal", "Something broke on our side";
    /// The store is away.
    store_unavailable, SERVICE_UNAVAILABLE, "store_unavailable", "The store is not available";
    /// Who signs tokens cannot be asked.
    issuer_unavailable, SERVICE_UNAVAILABLE, "issuer_unavailable", "The token's issuer is not available";
    /// The answer could not be recorded and the configuration refuses to answer without.
    not_recorded, SERVICE_UNAVAILABLE, "not_recorded", "The answer could not be recorded";
    /// Another message of the session is being answered.
    session_busy, SERVICE_UNAVAILABLE, "session_busy", "The session is busy";
    /// More requests than can be answered, or too little memory.
    overloaded, SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded";
    /// The server has not started whole yet.
    starting, SERVICE_UNAVAILABLE, "starting", "The server is starting";
    /// The server is stopping and the reply was not ready in time.
    stopping, SERVICE_UNAVAILABLE, "stopping", "The server is stopping";
}

impl Problem {
    /// The code of [`Self::overloaded`].
    pub(crate) const OVERLOADED: &str = "overloaded";
    /// The code of [`Self::not_cached`].
    pub(crate) const NOT_CACHED: &str = "not_cached";
    /// The code of budgets that do not cover a request.
    pub(crate) const BUDGET_EXCEEDED: &str = "budget_exceeded";
    /// The code of rates that are reached.
    pub(crate) const RATE_LIMITED: &str = "rate_limited";

    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        let kind = format!("https://github.com/mainstay-ai/mainstay/blob/main/docs/errors/{code}.md").into();
        let detail = detail.into();
        Self {
            kind,
            title,
            status: status.as_u16(),
            code,
            detail,
            instance: None,
            retry_after_s,
            standing: None,
        }
    }

    /// Names the request it is about.
    #[must_use]
    pub fn about(mut self, request_id: &str) -> Self {
        self.instance = Some(format!("urn:request:{request_id}").into());
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Where the limits of who asked are.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.as_deref().copied().unwrap_or_default()
    }

    /// After how many seconds it may be over.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// The document as JSON text.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and numbers always becomes JSON")
    }
}

impl From<pipeline::turn::TurnError> for Problem {
    fn from(error: pipeline::turn::TurnError) -> Self {
        use pipeline::turn::TurnError;
        match error {
            TurnError::Limited(refusal) => (*refusal).into(),
            TurnError::UnknownUseCase { .. } => Self::unknown_use_case(error.to_string()),
            TurnError::NotAllowed { .. } => Self::forbidden(error.to_string()),
            TurnError::NotRecorded => Self::not_recorded(error.to_string()),
            TurnError::NotCached => Self::not_cached(error.to_string()),
            TurnError::SessionBusy => Self::session_busy(error.to_string()),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let problem = match refusal.why {
            Why::Unpriced => Self::unpriced_model(detail),
            Why::Limit(Limit::Budget(_)) => Self::budget_exceeded(detail),
            Why::Limit(Limit::Requests(_) | Limit::Tokens(_) | Limit::Parallel) => Self::rate_limited(detail),
        };
        let retry_after_s = refusal.retry_after.map(whole_seconds);
        Self { retry_after_s, standing: Some(Box::new(refusal.standing)), ..problem }
    }
}

impl From<Shed> for Problem {
    fn from(shed: Shed) -> Self {
        let retry_after_s = whole_seconds(shed.retry_after);
        let problem = Self::overloaded(format!("{shed}; try again in {retry_after_s} s"));
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }
}

/// As `retry-after` says it: rounded up, at least 1.
pub(crate) fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::IssuerAway => Self::issuer_unavailable(denied.to_string()),
            denied if denied.is_forbidden() => Self::forbidden(denied.to_string()),
            denied => Self::unauthorized(denied.to_string()),
        }
    }
}

impl From<domain::ports::StoreError> for Problem {
    fn from(error: domain::ports::StoreError) -> Self {
        // The cause may name files of the machine: it is logged and not told.
        tracing::error!(%error, "the store failed a request");
        Self::store_unavailable("the store cannot be used at the moment; try again")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let (retry_after, standing) = (self.retry_after_s, self.standing());
        let json = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, json)], self.json()).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"mainstay\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        limits::note(&mut response, standing);
        response.extensions_mut().insert(self);
        response
    }
}
