//! Who passes which door: every one of the table, with every role and with none.

use access::minting::Wanted;
use access::permission::may;
use axum::body::Body;
use domain::grant::Network;
use domain::principal::Role;
use http::HeaderMap;

use super::*;
use crate::doors::{self, Guard};

const OWNER: &str = "bootstrap-bootstrap-bootstrap-key";

/// The reply to another machine.
async fn send(api: &Arc<Api>, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    send_from(api, "192.0.2.1:4711", request).await
}

async fn send_from(api: &Arc<Api>, address: &str, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = Front::new(api).reply(request, peer(address)).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("text"))
}

/// A request that names another machine.
fn request(method: &Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "models.example")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-mainstay-timeout-ms", "1");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from("{}")).expect("a request")
}

/// Somewhere behind a door.
fn some_path(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

async fn make(api: &Arc<Api>, wanted: Wanted) -> String {
    let keeper = api.access.get().expect("it is there");
    let owner = keeper.check(OWNER).expect("the owner");
    let wanted = Wanted { name: "of a test".to_owned(), ..wanted };
    keeper.mint(&owner, wanted).await.expect("minted").secret.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn every_door_lets_in_whom_it_names_and_nobody_else() {
    let api = api_with(Config::default(), Some(OWNER));
    let mut n_checked = 0;
    for role in [None].into_iter().chain(Role::ALL.map(Some)) {
        let key = match role {
            Some(role) => Some(make(&api, Wanted { role: Some(role), ..Wanted::default() }).await),
            None => None,
        };
        for door in doors::all() {
            let want = match (door.guard, role) {
                (Guard::Open, _) => None,
                (_, None) => Some((StatusCode::UNAUTHORIZED, ["unauthorized", "invalid_api_key"])),
                (Guard::AnyKey, Some(_)) => None,
                (Guard::May(permission), Some(role)) => {
                    (!may(role, permission)).then_some((StatusCode::FORBIDDEN, ["forbidden"; 2]))
                }
            };
            let bearer = key.as_ref().map(|key| format!("Bearer {key}"));
            let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
            let path = some_path(door.path);
            let (status, headers, body) = send(&api, request(&door.method, &path, &headers)).await;
            let told: Value = serde_json::from_str(&body).unwrap_or_default();
            let of_door = format!("{role:?} {} {path}: {status} {body}", door.method);
            match want {
                None => {
                    assert!(![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status), "{of_door}")
                }
                // AWS has one status for both, and tells them apart in a header.
                Some(_) if path.starts_with("/model/") => {
                    assert_eq!(status, StatusCode::FORBIDDEN, "{of_door}");
                    let kind = headers.get("x-amzn-errortype").and_then(|kind| kind.to_str().ok());
                    let want = match role {
                        None => "UnrecognizedClientException",
                        Some(_) => "AccessDeniedException",
                    };
                    assert_eq!(kind, Some(want), "{of_door}");
                }
                Some((wanted, codes)) => {
                    assert_eq!(status, wanted, "{of_door}");
                    // Each dialect has its own place for it.
                    let places = ["/code", "/error/code", "/error/details/error_code"];
                    let code = places.iter().find_map(|place| told.pointer(place)).and_then(Value::as_str);
                    assert!(code.is_some_and(|code| codes.contains(&code)), "{of_door}");
                }
            }
            n_checked += 1;
        }
    }
    assert!(n_checked > 100, "{n_checked}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_door_is_told_to_holders_of_keys_alone() {
    let api = api_with(Config::default(), Some(OWNER));
    for (method, path, with_key) in [
        (Method::GET, "/nowhere", StatusCode::NOT_FOUND),
        (Method::PUT, "/query", StatusCode::METHOD_NOT_ALLOWED),
        (Method::TRACE, "/query", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/admin/v1/", StatusCode::NOT_FOUND),
        (Method::GET, "//admin/v1/keys", StatusCode::NOT_FOUND),
        (Method::GET, "/admin/v1/keys/", StatusCode::NOT_FOUND),
        (Method::POST, "/health/live", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let (status, headers, _) = send(&api, request(&method, path, &[])).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer realm=\"mainstay\"");
        let (status, ..) = send(&api, request(&method, path, &[("x-api-key", OWNER)])).await;
        assert_eq!(status, with_key, "{method} {path}");
    }
    let (status, ..) = send(&api, request(&Method::HEAD, "/health/live", &[])).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_are_refused_in_the_doors_own_words_and_never_repeated() {
    let api = api_with(Config::default(), Some(OWNER));
    let right = make(&api, Wanted::default()).await;
    let cut = &right[..right.len() - 1];
    for (key, want) in
        [(cut, "mistyped"), ("sk-proj-canary-canary", "not known"), ("a.b.c-canary", "not known")]
    {
        for path in ["/query", "/v1/chat/completions"] {
            let request = request(&Method::POST, path, &[("authorization", &format!("Bearer {key}"))]);
            let (status, _, body) = send(&api, request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
            assert!(body.contains(want) && !body.contains(key), "{key}: {body}");
            assert_eq!(body.contains("authentication_error"), path.starts_with("/v1/"), "{body}");
        }
    }
    let metrics = send(&api, request(&Method::GET, "/metrics", &[("x-api-key", OWNER)])).await.2;
    assert!(metrics.contains(r#"mainstay_requests_denied_total{reason="mistyped"} 2"#), "{metrics}");
    assert!(metrics.contains(r#"mainstay_requests_denied_total{reason="unknown"} 4"#), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_key_works_from_its_addresses_alone() {
    let config = Config { trusted_proxies: vec!["192.0.2.0/24".to_owned()], ..Config::default() };
    for (config, network, forwarded, want) in [
        (Config::default(), "192.0.2.0/24", None, true),
        (Config::default(), "198.51.100.0/24", None, false),
        // Whoever is no trusted proxy may write what it likes.
        (Config::default(), "198.51.100.0/24", Some("198.51.100.7"), false),
        (config.clone(), "198.51.100.0/24", Some("198.51.100.7"), true),
        (config, "192.0.2.0/24", Some("198.51.100.7"), false),
    ] {
        let api = api_with(config, Some(OWNER));
        let addresses = Some(vec![Network::parse(network).expect("a network")]);
        let key = make(&api, Wanted { addresses, ..Wanted::default() }).await;
        let mut headers = vec![("x-api-key", key.as_str())];
        headers.extend(forwarded.map(|address| ("x-forwarded-for", address)));
        let (status, _, body) = send(&api, request(&Method::POST, "/query", &headers)).await;
        assert_eq!(status != StatusCode::FORBIDDEN, want, "{network} {forwarded:?}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_offered_is_refused_in_the_words_of_who_asks() {
    let api = api_with(Config::default(), Some(OWNER));
    for (path, more, want) in [
        ("/v1/files", None, false),
        ("/v1/responses/resp_1", None, false),
        ("/v1/messages/batches", None, true),
        ("/v1/files", Some(("anthropic-version", "2023-06-01")), true),
    ] {
        let headers: Vec<_> = [("x-api-key", OWNER)].into_iter().chain(more).collect();
        let (status, _, body) = send(&api, request(&Method::GET, path, &headers)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
        assert!(body.contains("Mainstay does not offer this"), "{path}: {body}");
        assert_eq!(body.contains(r#""type":"error""#), want, "{path}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_listed_origins_may_ask_with_a_key() {
    let config = Config { cors_origins: vec!["https://app.example".to_owned()], ..Config::default() };
    let api = api_with(config, Some(OWNER));
    let asks = [("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key")];
    for (origin, want) in [("https://app.example", true), ("https://evil.example", false)] {
        let preflight = [&[("origin", origin)][..], &asks].concat();
        let (status, headers, _) = send(&api, request(&Method::OPTIONS, "/query", &preflight)).await;
        let found = (status, headers.get("access-control-allow-origin").is_some_and(|found| found == origin));
        assert_eq!(found, (if want { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED }, want));
        assert_eq!(headers.contains_key("access-control-allow-headers"), want);
        // An origin is no key; and a refusal can be read by its page.
        for (key, status) in [(None, StatusCode::UNAUTHORIZED), (Some(OWNER), StatusCode::BAD_REQUEST)] {
            let mut asked = vec![("origin", origin)];
            asked.extend(key.map(|key| ("x-api-key", key)));
            let (found, headers, _) = send(&api, request(&Method::POST, "/query", &asked)).await;
            assert_eq!(found, status);
            assert_eq!(headers.contains_key("access-control-allow-origin"), want);
            assert!(!headers.contains_key("access-control-allow-credentials"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_key_at_all_other_machines_and_their_pages_stay_out() {
    let config = Config { cors_origins: vec!["https://app.example".to_owned()], ..Config::default() };
    let api = api_with(config, None);
    let home = "127.0.0.1:1";
    for (peer, host, origin, want) in [
        (home, "localhost", None, true),
        ("192.0.2.1:1", "localhost", None, false),
        (home, "models.example", None, false),
        (home, "localhost", Some("https://app.example"), false),
    ] {
        let origin: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let mut request = request(&Method::GET, "/health/live", &origin);
        request.headers_mut().insert(header::HOST, host.parse().expect("a host"));
        let (status, _, body) = send_from(&api, peer, request).await;
        assert_eq!(
            status,
            if want { StatusCode::OK } else { StatusCode::FORBIDDEN },
            "{peer} {host}: {body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_before_the_keys_are_read_waits_and_health_does_not() {
    let mut api = api_with(Config::default(), Some(OWNER));
    Arc::get_mut(&mut api).expect("nobody else has it").access = Arc::default();
    assert_eq!(send(&api, request(&Method::GET, "/health/live", &[])).await.0, StatusCode::OK);
    let (status, _, body) = send(&api, request(&Method::GET, "/metrics", &[("x-api-key", OWNER)])).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.contains("starting"), "{body}");
}
