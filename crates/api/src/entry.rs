//! What every request passes before its handler: identity, the loopback rules and one log line.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::principal::Principal;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::caller::Caller;
use crate::dialect;
use crate::dialect::manner::Manner;
use crate::dialect::refusal::{Class, Refusal};
use crate::limits;
use crate::problem::Problem;
use crate::router::Api;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

pub(crate) async fn check(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let began = api.clock.now();
    let id = request_id(request.headers()).unwrap_or_else(|| format!("{:032x}", api.ids.next_id()).into());
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("unmatched", |path| path.as_str()).to_owned();
    let trace_parent = request.headers().get(TRACE_PARENT).cloned();
    let manner = dialect::manner_of(request.uri().path(), request.headers());
    let mut response = match check_is_local(&request).and_then(|()| check_memory(&api, &request)) {
        Ok(()) => {
            request.extensions_mut().insert(Caller(Principal::open()));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = match manner {
            Some(manner) => in_manner(response, &Refusal::from(&problem), (manner, &id)),
            None => with_instance(response, problem.about(&id)),
        };
    } else if let (Some(manner), Some(refusal)) = (manner, response.extensions_mut().remove::<Refusal>()) {
        response = in_manner(response, &refusal, (manner, &id));
    }
    limits::tell(&mut response, &path, api.clock.wall());
    let headers = response.headers_mut();
    if let (Some(name), Ok(value)) = (manner.and_then(Manner::request_id_header), HeaderValue::from_str(&id))
    {
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = trace_parent {
        headers.insert(TRACE_PARENT, value);
    }
    let took_ms = u64::try_from(api.clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    // What went well has a record and is in the metrics: a line for each would cost as much as reading the request.
    if response.status().is_client_error() || response.status().is_server_error() {
        tracing::info!(request.id = %id, %method, path, status, took_ms, "{method} {path} {status}");
    } else {
        tracing::debug!(request.id = %id, %method, path, status, took_ms, "{method} {path} {status}");
    }
    response
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
    if refusal.class == Class::Quota {
        // Else SDKs try a 429 again: money does not come by waiting a second.
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

/// The caller's own `x-request-id`, where it is a sensible one.
fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let value = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_sensible = (1..=128).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_sensible.then(|| value.into())
}

/// While no key exists, the server runs open; then only this machine may speak to it, and no web page
/// may make a browser do so (DESIGN §5: loopback `Host`, no foreign `Origin`, JSON bodies only).
fn check_is_local(request: &Request) -> Result<(), Problem> {
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()));
    if !host.is_some_and(is_loopback_host) {
        return Err(Problem::not_local(
            "the `host` header must name this machine (localhost, 127.0.0.1 or [::1])",
        ));
    }
    for origin in request.headers().get_all(header::ORIGIN) {
        let is_own = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")))
            .is_some_and(|origin| Some(origin) == host && is_loopback_host(origin));
        if !is_own {
            return Err(Problem::not_local("requests of web pages from another origin are refused"));
        }
    }
    Ok(())
}

/// Short of memory, nothing more is read. Whoever looks after the server is always let in.
fn check_memory(api: &Api, request: &Request) -> Result<(), Problem> {
    let is_work = request.method() == Method::POST && !request.uri().path().starts_with("/admin/");
    match is_work {
        true => Ok(api.gate.check_memory(|| Api::class(request.headers()).unwrap_or_default())?),
        false => Ok(()),
    }
}

/// Whether `host` (with or without a port) is this machine itself.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for (host, want) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:8080", true),
            ("127.8.9.1", true),
            ("[::1]:8080", true),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8080", false),
            ("evil.example", false),
            ("0.0.0.0", false),
            ("[::1].evil", false),
            ("", false),
            ("localhost:", false),
        ] {
            assert_eq!(is_loopback_host(host), want, "{host}");
        }
    }

    #[test]
    fn a_request_id_is_kept_only_when_it_is_sensible() {
        for (value, want) in [("abc-1", true), ("", false), ("a b", false), (&*"x".repeat(129), false)] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).expect("visible ASCII"));
            assert_eq!(request_id(&headers).is_some(), want, "{value}");
        }
    }
}
