//! Web pages of other origins: those that the configuration lists may ask, with a key. None is listed by default.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use axum::body::Body;
use axum::response::Response;

/// How long a browser may remember what it may ask.
const MAX_AGE_S: &str = "600";
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
/// What a page may read of a reply beside its body: all of its head. A page has a key, not a browser's credentials, beside
/// which `*` would mean nothing.
const EXPOSED: HeaderValue = HeaderValue::from_static("*");

/// Origins whose pages may ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Of checked settings.
    pub(crate) fn new(listed: &[String]) -> Self {
        Self(listed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// The origin of a request's page, when it is listed.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.contains(origin).then(|| origin.clone())
    }
}

/// What is wrong with an origin of the settings.
///
/// # Errors
/// A sentence.
pub fn check(origin: &str) -> Result<(), String> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_right = host.is_some_and(|host| {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
        !host.is_empty() && host.bytes().all(is_letter)
    });
    match is_right {
        true => Ok(()),
        false => {
            Err(format!("`{origin}` is no origin: write it as browsers send it, as `https://app.example`"))
        }
    }
}

/// Whether a browser asks what it may ask.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a browser that asks what a page of a listed origin may ask; [`allow`] adds the origin.
pub(crate) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
    // The page is trusted with a key: it may send whatever headers its SDK sends.
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// Lets a page of `origin` read a reply.
pub(crate) fn allow(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (origin, want) in [
            ("https://app.example", true),
            ("http://localhost:3000", true),
            ("https://[::1]:8443", true),
            ("*", false),
            ("null", false),
            ("https://app.example/", false),
            ("https://App.example", false),
            ("https://", false),
            ("app.example", false),
            ("https://*.example", false),
        ] {
            assert_eq!(check(origin).is_ok(), want, "{origin}");
        }
    }

    #[test]
    fn every_method_of_a_door_may_be_asked() {
        let preflight = preflight(&HeaderMap::new());
        let methods = preflight.headers()[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().expect("text");
        for door in crate::doors::all() {
            assert!(methods.split(", ").any(|method| method == door.method), "{} {}", door.method, door.path);
        }
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        let origins = Origins::new(&["https://app.example".to_owned()]);
        for (origin, want) in [
            (None, false),
            (Some("https://app.example"), true),
            (Some("https://app.example.evil.example"), false),
            (Some("http://app.example"), false),
            (Some("null"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(origins.allowed(&headers).is_some(), want, "{origin:?}");
            assert!(Origins::default().allowed(&headers).is_none());
        }
    }
}
