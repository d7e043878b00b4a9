//! Bad input: each gets its 4xx problem document, and nothing breaks.

use crate::client::{Request, Response};
use crate::server::Start;

/// What it is, the request, the status and code of its refusal, and what the refusal names.
struct Row(&'static str, Request, u16, &'static str, &'static str);

const GOOD: &str = r#"{"query":"Is my deposit FDIC insured, and up to how much?"}"#;

/// A refusal: a problem document with this status and code, about this request; returns its detail.
fn check_problem(what: &str, response: &Response, status: u16, code: &str) -> String {
    assert_eq!(response.status, status, "{what}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{what}");
    let problem = response.json();
    assert_eq!(problem["code"], code, "{what}: {problem}");
    assert_eq!(problem["status"], status, "{what}");
    let id = response.header("x-request-id").unwrap_or_else(|| panic!("{what}: no x-request-id"));
    assert_eq!(problem["instance"], format!("urn:request:{id}"), "{what}");
    assert!(problem["type"].as_str().is_some_and(|kind| kind.ends_with(&format!("{code}.md"))), "{what}");
    problem["detail"].as_str().unwrap_or_else(|| panic!("{what}: no detail")).to_owned()
}

/// Bodies of `/query`.
#[rustfmt::skip]
fn bad_queries() -> Vec<Row> {
    let good = GOOD;
    let keys = |n: usize| {
        let keys = (0..n).map(|index| format!("\"{index:x}\":0")).collect::<Vec<_>>().join(",");
        format!("{{{keys}}}")
    };
    let query = |body: &[u8]| Request::post("/query", body);
    let text = |body: &str| query(body.as_bytes());
    let nested = |n: usize| format!(r#"{{"metadata":{}{}}}"#, r#"{"a":"#.repeat(n), "}".repeat(n + 1));
    vec![
        Row("nothing", text(""), 400, "bad_json", "empty"),
        Row("not JSON", text("hello"), 400, "bad_json", ""),
        Row("half of it", text(&good[..10]), 400, "bad_json", ""),
        Row("two documents", text(&format!("{good}{good}")), 400, "bad_json", ""),
        Row("a byte order mark", query(format!("\u{feff}{good}").as_bytes()), 400, "bad_json", ""),
        Row("bytes that are no text", query(b"{\"query\":\"\xff\xfe\"}"), 400, "bad_json", ""),
        Row("a list", text("[]"), 400, "bad_json", "object"),
        Row("a list of fields", text(r#"["Is my deposit insured?"]"#), 400, "bad_json", "object"),
        Row("null", text("null"), 400, "bad_json", "object"),
        Row("a number", text("7"), 400, "bad_json", "object"),
        Row("a text", text(r#""query""#), 400, "bad_json", "object"),
        Row("an empty object", text("{}"), 400, "bad_field", "query"),
        Row("query: number", text(r#"{"query":7}"#), 400, "bad_field", "query"),
        Row("query: null", text(r#"{"query":null}"#), 400, "bad_field", "query"),
        Row("query: list", text(r#"{"query":["a"]}"#), 400, "bad_field", "query"),
        Row("query: object", text(r#"{"query":{"a":1}}"#), 400, "bad_field", "query"),
        Row("query: empty", text(r#"{"query":""}"#), 400, "bad_field", "query"),
        Row("query: blank", text(r#"{"query":" \n\t "}"#), 400, "bad_field", "query"),
        Row("metadata: text", text(r#"{"query":"a","metadata":"b"}"#), 400, "bad_field", "metadata"),
        Row("session: number", text(r#"{"query":"a","session_id":5}"#), 400, "bad_field", "session_id"),
        Row("session: empty", text(r#"{"query":"a","session_id":""}"#), 400, "bad_field", "session_id"),
        Row("session: control character", text(r#"{"query":"a","session_id":"b\u0000"}"#), 400, "bad_field", "session_id"),
        Row("user: too long", text(&format!(r#"{{"query":"a","user_id":"{}"}}"#, "u".repeat(257))), 400, "bad_field", "user_id"),
        Row("an unknown field", text(r#"{"query":"a","colour":"red"}"#), 400, "bad_field", "colour"),
        Row("a field twice", text(r#"{"query":"a","query":"b"}"#), 400, "bad_json", "query"),
        Row("a lone surrogate", text(r#"{"query":"\ud800"}"#), 400, "bad_json", "surrogate"),
        Row("surrogates the wrong way round", text(r#"{"query":"\udc00\ud800"}"#), 400, "bad_json", "surrogate"),
        Row("a huge number", text(r#"{"query":"a","metadata":{"n":1e999}}"#), 400, "bad_json", ""),
        Row("100,000 keys", text(&keys(100_000)), 400, "bad_json", "keys"),
        Row("a million keys", text(&keys(1_000_000)), 413, "body_too_large", ""),
        Row("100 deep", text(&nested(100)), 400, "bad_json", "deep"),
        Row("1,000,000 deep", text(&"[".repeat(1_000_000)), 400, "bad_json", "deep"),
        Row("1,000,000 deep and closed", text(&("[".repeat(1_000_000) + &"]".repeat(1_000_000))), 413, "body_too_large", ""),
        Row("34 MiB", query(&vec![b' '; 34 << 20]), 413, "body_too_large", ""),
        Row("no content type", text(good).header("content-type", ""), 415, "not_json", "content-type"),
        Row("a form", text(good).header("content-type", "application/x-www-form-urlencoded"), 415, "not_json", ""),
        Row("plain text", text(good).header("content-type", "text/plain"), 415, "not_json", ""),
    ]
}

/// Bodies of the other doors.
#[rustfmt::skip]
fn other_bad_bodies() -> Vec<Row> {
    let generate = |body: &str| Request::post("/generate", body);
    let feedback = |body: &str| Request::post("/feedback", body);
    vec![
        Row("prompt: empty", generate(r#"{"prompt":""}"#), 400, "bad_field", "prompt"),
        Row("prompt: missing", generate(r#"{"use_case":"general"}"#), 400, "bad_field", "prompt"),
        Row("prompt and question", generate(r#"{"prompt":"a","question":"b"}"#), 400, "bad_field", "question"),
        Row("use_case and type", generate(r#"{"prompt":"a","use_case":"b","type":"c"}"#), 400, "bad_field", "type"),
        Row("no tokens", generate(r#"{"prompt":"a","max_tokens":0}"#), 400, "bad_field", "max_tokens"),
        Row("minus tokens", generate(r#"{"prompt":"a","max_tokens":-1}"#), 400, "bad_field", "max_tokens"),
        Row("half a token", generate(r#"{"prompt":"a","max_tokens":1.5}"#), 400, "bad_field", "max_tokens"),
        Row("too warm", generate(r#"{"prompt":"a","temperature":2.1}"#), 400, "bad_field", "temperature"),
        Row("a field of the other door", generate(r#"{"prompt":"a","query":"b"}"#), 400, "bad_field", "query"),
        Row("feedback without an id", feedback(r#"{"rating":5}"#), 400, "bad_field", "interaction_id"),
        Row("feedback that says nothing", feedback(r#"{"interaction_id":"int_1"}"#), 400, "bad_field", "rating"),
        Row("rating 6", feedback(r#"{"interaction_id":"int_1","rating":6}"#), 400, "bad_field", "rating"),
        Row("rating 256", feedback(r#"{"interaction_id":"int_1","rating":256}"#), 400, "bad_field", "rating"),
        Row("thumb sideways", feedback(r#"{"interaction_id":"int_1","thumb":"side"}"#), 400, "bad_field", "thumb"),
        Row("feedback on nothing", feedback(r#"{"interaction_id":"int_1","rating":5}"#), 404, "not_found", "int_1"),
    ]
}

/// Paths, methods, headers and parameters.
#[rustfmt::skip]
fn bad_requests() -> Vec<Row> {
    let good = || Request::post("/query", GOOD);
    let get = Request::get;
    vec![
        Row("an unknown path", get("/nothing/here"), 404, "not_found", ""),
        Row("a path with dots", get("/../../etc/passwd"), 404, "not_found", ""),
        Row("an unknown interaction", get("/admin/v1/interactions/int_0"), 404, "not_found", "int_0"),
        Row("an id that is no text", get("/admin/v1/interactions/%ff"), 400, "bad_parameter", "id"),
        Row("an environment that is no text", Request::post("/%ff/generate", r#"{"prompt":"a"}"#), 400, "bad_parameter", "environment"),
        Row("an unknown environment", Request::post("/staging/generate", r#"{"prompt":"a"}"#), 404, "not_found", "staging"),
        Row("GET for a question", get("/query"), 405, "method_not_allowed", ""),
        Row("PUT", good().method("PUT"), 405, "method_not_allowed", ""),
        Row("a method of nobody", good().method("BREW"), 405, "method_not_allowed", ""),
        Row("a foreign host", good().header("host", "evil.example"), 403, "not_local", "host"),
        Row("a host that only looks local", good().header("host", "127.0.0.1.evil.example"), 403, "not_local", "host"),
        Row("a foreign host for health", get("/health/live").header("host", "evil.example"), 403, "not_local", "host"),
        Row("a page of another origin", good().header("origin", "https://evil.example"), 403, "not_local", "origin"),
        Row("a page of no origin", good().header("origin", "null"), 403, "not_local", "origin"),
        Row("a page of another local port", good().header("origin", "http://127.0.0.1:1"), 403, "not_local", "origin"),
        Row("a session that is no text", get("/feedback?session_id=%ff"), 400, "bad_parameter", "session_id"),
        Row("a cursor that is no text", get("/admin/v1/interactions?limit=5&cursor=%C3%28"), 400, "bad_parameter", "cursor"),
        Row("an escape that is none", get("/feedback?interaction_id=int_%zz"), 400, "bad_parameter", "interaction_id"),
        Row("timeout: none", good().header("x-mainstay-timeout-ms", "0"), 400, "bad_parameter", "x-mainstay-timeout-ms"),
        Row("timeout: words", good().header("x-mainstay-timeout-ms", "soon"), 400, "bad_parameter", "x-mainstay-timeout-ms"),
        Row("timeout: minus", good().header("x-mainstay-timeout-ms", "-5"), 400, "bad_parameter", "x-mainstay-timeout-ms"),
        Row("limit: none", get("/admin/v1/interactions?limit=0"), 400, "bad_parameter", "limit"),
        Row("limit: too many", get("/admin/v1/interactions?limit=1001"), 400, "bad_parameter", "limit"),
        Row("limit: words", get("/admin/v1/interactions?limit=all"), 400, "bad_parameter", "limit"),
        Row("limit: beyond numbers", get("/feedback?limit=99999999999999999999"), 400, "bad_parameter", "limit"),
        Row("since: words", get("/admin/v1/interactions?since=yesterday"), 400, "bad_parameter", "since"),
        Row("since: no such month", get("/feedback?since=2026-13-01T00:00:00Z"), 400, "bad_parameter", "since"),
        Row("an unknown outcome", get("/admin/v1/interactions?outcome=lost"), 400, "bad_parameter", "outcome"),
        Row("an unknown parameter", get("/admin/v1/interactions?colour=red"), 400, "bad_parameter", "colour"),
    ]
}

#[test]
fn bad_bodies_are_refused_with_a_problem_and_nothing_breaks() {
    let server = Start::plain().serve();
    for Row(what, request, status, code, named) in bad_queries().into_iter().chain(other_bad_bodies()) {
        for request in [request.clone(), request.streamed()] {
            let response = request.send(server.address).unwrap_or_else(|error| panic!("{what}: {error}"));
            let detail = check_problem(what, &response, status, code);
            assert!(detail.contains(named), "{what}: `{detail}` does not name `{named}`");
            assert!(detail.len() < 1_000, "{what}: {} bytes of detail", detail.len());
        }
    }
    assert_eq!(server.get("/health/live").expect("it lives").status, 200);
    assert_eq!(server.send(&Request::post("/query", GOOD)).status, 200);
    assert_eq!(server.interactions().len(), 1, "a refused request left a record");
}

#[test]
fn bad_requests_are_refused_with_a_problem() {
    let server = Start::plain().serve();
    for Row(what, request, status, code, named) in bad_requests() {
        let response = request.send(server.address).unwrap_or_else(|error| panic!("{what}: {error}"));
        let detail = check_problem(what, &response, status, code);
        assert!(detail.contains(named), "{what}: `{detail}` does not name `{named}`");
    }
    let not_allowed = server.send(&Request::get("/query"));
    assert_eq!(not_allowed.header("allow"), Some("POST"));
    let own_page = Request::post("/query", GOOD).header("origin", &server.url());
    assert_eq!(server.send(&own_page).status, 200, "a page of the server itself may ask");
}
