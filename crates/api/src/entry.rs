//! What every request passes before its handler: a name, its door, whoever lets it in, and one log line.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use domain::hex;
use domain::ports::Ids;
use domain::time::Moment;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use telemetry::Watched;

use crate::admission::{Admission, Visit};
use crate::bedrock::signed;
use crate::caller::Caller;
use crate::cors;
use crate::dialect;
use crate::dialect::manner::Manner;
use crate::dialect::refusal::{Class, Refusal};
use crate::doors::{self, Guard};
use crate::finding::{Doors, Found};
use crate::limits;
use crate::problem::Problem;
use crate::serve::{Answer, Peer};
use crate::server::Api;
use crate::stopping;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The way in: all doors, and whoever stands before them.
pub struct Front {
    admission: Admission,
    doors: Doors,
}

impl Front {
    /// The doors of the table.
    #[must_use]
    pub fn new(api: &Arc<Api>) -> Self {
        Self { admission: Admission::new(api), doors: Doors::of(doors::all()) }
    }

    pub(crate) async fn reply(&self, mut request: Request, peer: Peer) -> Response {
        let admission = &self.admission;
        let api = &admission.api;
        let began = api.clock.now();
        let id = Id::of(request.headers(), api.ids.as_ref());
        let method = request.method().clone();
        let found = self.doors.find(&method, request.uri().path());
        let path = found.path();
        let watched = admission.watch((&request, path), found.guard());
        let trace_parent = trace_parent(&request, watched.as_deref());
        if let Some(watched) = &watched {
            request.extensions_mut().insert(Arc::clone(watched));
        }
        let manner = dialect::manner_of(request.uri().path(), request.headers());
        let origin = admission.origins.allowed(request.headers()).filter(|_| !admission.is_open());
        let mut response = match &origin {
            Some(_) if cors::is_preflight(&method, request.headers()) => cors::preflight(request.headers()),
            _ => {
                let way = (request.version(), manner);
                stopping::in_time(&api.stop, way, self.pass(found, request, peer)).await
            }
        };
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            response = match manner {
                Some(manner) => in_manner(response, &Refusal::from(&problem), (manner, id.text())),
                None => with_instance(response, problem.about(id.text())),
            };
        } else if let (Some(manner), Some(refusal)) = (manner, response.extensions_mut().remove::<Refusal>())
        {
            response = in_manner(response, &refusal, (manner, id.text()));
        }
        limits::tell(&mut response, manner, || api.clock.wall());
        let headers = response.headers_mut();
        if let Some(origin) = origin {
            cors::allow(origin, headers);
        }
        if let Some(name) = manner.and_then(Manner::request_id_header) {
            headers.insert(HeaderName::from_static(name), id.0.clone());
        }
        headers.insert(REQUEST_ID, id.0.clone());
        if let Some(value) = trace_parent {
            headers.insert(TRACE_PARENT, value);
        }
        let took_ms = || u64::try_from(api.clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
        let status = response.status().as_u16();
        if let Some(watched) = &watched {
            watched.replied(status);
        }
        let id = id.text();
        // What went well has a record and is in the metrics: a line for each would cost as much as reading the request.
        if response.status().is_client_error() || response.status().is_server_error() {
            tracing::info!(request.id = %id, %method, path, status, took_ms = took_ms(), "{method} {path} {status}");
        } else {
            tracing::debug!(request.id = %id, %method, path, status, took_ms = took_ms(), "{method} {path} {status}");
        }
        response
    }

    /// The reply to a request that may come in, or why it may not.
    async fn pass(&self, found: Found<'_>, mut request: Request, peer: Peer) -> Response {
        if let Err(refusal) = self.let_in(found.guard(), &mut request, peer).await {
            return *refusal;
        }
        found.answer(request, Arc::clone(&self.admission.api)).await
    }

    /// Lets a request in, and notes in it who asks.
    async fn let_in(&self, guard: Guard, request: &mut Request, peer: Peer) -> Result<(), Box<Response>> {
        let admission = &self.admission;
        let refused = |problem: Problem| Box::new(problem.into_response());
        check_host(request).map_err(refused)?;
        // What few requests need is boxed: a future is moved a few times, and each request pays for its size.
        let waits_until = admission.waits_until(Visit { request, guard, peer }).map_err(refused)?;
        if let Some(deadline) = waits_until {
            Box::pin(wait_for_keys(admission, deadline)).await.map_err(refused)?;
        }
        if let Some((keeper, token)) = admission.to_prepare(Visit { request, guard, peer }) {
            let deadline = admission.api.deadline(request.headers()).map_err(refused)?;
            let prepared = Box::pin(async move { keeper.prepare(&token, deadline).await }).await;
            prepared.map_err(|denied| refused(admission.denied(denied)))?;
        }
        if signed::is_signed(request) {
            check_memory(&admission.api, request).map_err(refused)?;
            let proved = Box::pin(signed::prove(&admission.api, std::mem::take(request))).await;
            *request = proved.map_err(|refusal| Box::new(refusal.into_response()))?;
        }
        let admitted = admission.admit(Visit { request, guard, peer }).map_err(refused)?;
        check_memory(&admission.api, request).map_err(refused)?;
        if let Some(principal) = admitted {
            let watcher = request.extensions_mut().remove();
            request.extensions_mut().insert(Caller { principal, watcher });
        }
        Ok(())
    }
}

impl Answer for Front {
    async fn answer(self: Arc<Self>, request: Request, peer: Peer) -> Response {
        self.reply(request, peer).await
    }
}

/// The port opens before the keys are read.
async fn wait_for_keys(admission: &Admission, deadline: Moment) -> Result<(), Problem> {
    tokio::select! {
        found = admission.api.gatekeeper(deadline) => found.map(drop),
        () = admission.api.stop.over() => Err(stopping::problem()),
    }
}

/// An error in its dialect's shape; the headers stay.
fn in_manner(response: Response, refusal: &Refusal, (manner, id): (&dyn Manner, &str)) -> Response {
    let (mut parts, _) = response.into_parts();
    let (told, body) = manner.error(refusal, id).into_parts();
    parts.status = told.status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(told.headers);
    if let Some(seconds) = refusal.retry_after_s {
        parts.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.class == Class::Quota || refusal.code == Problem::NOT_CACHED {
        // Else SDKs try a 429 or a 504 again: neither money nor an earlier answer comes by waiting a second.
        parts.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    let mut response = Response::from_parts(parts, body);
    if let Some(standing) = &refusal.standing {
        limits::note(&mut response, **standing);
    }
    response
}

fn with_instance(response: Response, problem: Problem) -> Response {
    let (mut parts, _) = response.into_parts();
    // The length of the body changes with the instance: it is set again when the body is sent.
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, problem.json().into())
}

/// Where the reply says that it is found: in its own span, else in the caller's.
fn trace_parent(request: &Request, watched: Option<&Watched>) -> Option<HeaderValue> {
    match watched {
        Some(watched) => HeaderValue::from_str(&watched.traceparent()?).ok(),
        None => request.headers().get(TRACE_PARENT).cloned(),
    }
}

/// What a request is called: visible letters.
struct Id(HeaderValue);

impl Id {
    /// The caller's own `x-request-id`, where it is a sensible one; else a new one.
    fn of(headers: &HeaderMap, ids: &dyn Ids) -> Self {
        let own = headers.get(REQUEST_ID).filter(|value| is_sensible(value.as_bytes())).cloned();
        let new = || HeaderValue::try_from(hex::of(&ids.next_id().to_be_bytes()));
        Self(own.or_else(|| new().ok()).unwrap_or_else(|| HeaderValue::from_static("-")))
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn is_sensible(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// HTTP/1.1 has one host, and of two what stands in front may have read the other (RFC 9112, 3.2).
fn check_host(request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Problem::bad_parameter("send one `host` header")),
        (None, _) if request.version() == Version::HTTP_11 => {
            Err(Problem::bad_parameter("send a `host` header"))
        }
        _ => Ok(()),
    }
}

/// Short of memory, nothing more is read. Whoever looks after the server is always let in.
fn check_memory(api: &Api, request: &Request) -> Result<(), Problem> {
    let is_work = request.method() == Method::POST && !request.uri().path().starts_with("/admin/");
    match is_work {
        true => Ok(api.gate.check_memory(|| Api::class(request.headers()).unwrap_or_default())?),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_kept_only_when_it_is_sensible() {
        let ids = testkit::CountingIds::new();
        for (value, want) in [("abc-1", true), ("", false), ("a b", false), (&*"x".repeat(129), false)] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).expect("visible ASCII"));
            let id = Id::of(&headers, &ids);
            assert_eq!(id.text() == value, want, "{value}");
            assert!(want || id.text().len() == 32, "{}", id.text());
        }
    }
}
