//! The rules while no key exists: only this machine may ask, and no web page may make a browser do so (DESIGN §5:
//! loopback `Host`, no foreign `Origin`, JSON bodies only).

use std::net::IpAddr;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, header};

use crate::problem::Problem;

/// The host that a request names.
fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()))
}

pub(crate) fn check(request: &Request, peer: IpAddr) -> Result<(), Problem> {
    if !peer.to_canonical().is_loopback() {
        return Err(Problem::not_local("no key exists yet: only this machine itself is answered"));
    }
    let host = host(request);
    if !host.is_some_and(is_loopback_host) {
        return Err(Problem::not_local(
            "the `host` header must name this machine (localhost, 127.0.0.1 or [::1])",
        ));
    }
    if let Some(name) = passed_on(request.headers()) {
        return Err(Problem::not_local(format!(
            "a proxy passes it on (`{name}`): make a key before others are let in"
        )));
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

/// Headers by which proxies say that they pass on what another sent, beside those that begin with [`FORWARDED`].
const PASSED_ON: [&str; 11] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
];
const FORWARDED: &str = "x-forwarded-";

/// The header by which the request says that it was passed on.
fn passed_on(headers: &HeaderMap) -> Option<&str> {
    headers
        .keys()
        .map(HeaderName::as_str)
        .find(|name| name.starts_with(FORWARDED) || PASSED_ON.contains(name))
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
    use axum::body::Body;

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

    fn request(headers: &[(&str, &str)]) -> Request {
        let request =
            headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn what_a_proxy_passes_on_is_not_this_machines_own() {
        let home = "::ffff:127.0.0.1".parse().expect("an address");
        let away = "192.0.2.1".parse().expect("an address");
        for (headers, peer, want) in [
            (&[("host", "localhost")][..], home, true),
            (&[("host", "localhost")], away, false),
            (&[("host", "models.example")], home, false),
            (&[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")], home, false),
            (&[("host", "localhost"), ("via", "1.1 nginx")], home, false),
            (&[("host", "localhost"), ("x-forwarded-proto", "https")], home, false),
            (&[("host", "localhost"), ("cf-connecting-ip", "192.0.2.1")], home, false),
            (&[("host", "localhost"), ("origin", "http://localhost")], home, true),
            (&[("host", "localhost"), ("origin", "http://models.example")], home, false),
        ] {
            assert_eq!(check(&request(headers), peer).is_ok(), want, "{headers:?} {peer:?}");
        }
    }
}
