//! The doors as `docs/API.md` describes them: contracts, identity, bad input.

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start};

/// What an article says, so that an upstream's answer rests on it.
const GROUNDED: &str = "Yes. FDIC deposit insurance covers up to $250,000 per depositor, per insured bank, for each \
                        ownership category.";
const QUESTION: &str = "Is my deposit FDIC insured, and up to how much?";

/// A server before an upstream that answers with [`GROUNDED`].
fn with_upstream() -> (Upstream, Server) {
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(GROUNDED)));
    let config = Folder::with_settings(&ladder(&[&upstream], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    (upstream, server)
}

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

#[test]
fn bad_bodies_are_refused_with_a_problem_and_nothing_breaks() {
    let server = Start::bare().serve();
    let good = r#"{"query":"Is my deposit insured?"}"#;
    let keys = |n: usize| {
        let keys = (0..n).map(|index| format!("\"{index:x}\":0")).collect::<Vec<_>>().join(",");
        format!("{{{keys}}}")
    };
    let query = |body: &[u8]| Request::post("/query", body);
    let text = |body: &str| query(body.as_bytes());
    let nested = |n: usize| format!(r#"{{"metadata":{}{}}}"#, r#"{"a":"#.repeat(n), "}".repeat(n + 1));
    #[rustfmt::skip]
    let table: Vec<(&str, Request, u16, &str, &str)> = vec![
        ("nothing", text(""), 400, "bad_json", "empty"),
        ("not JSON", text("hello"), 400, "bad_json", ""),
        ("half of it", text(&good[..10]), 400, "bad_json", ""),
        ("two documents", text(&format!("{good}{good}")), 400, "bad_json", ""),
        ("a byte order mark", query(format!("\u{feff}{good}").as_bytes()), 400, "bad_json", ""),
        ("bytes that are no text", query(b"{\"query\":\"\xff\xfe\"}"), 400, "bad_json", ""),
        ("a list", text("[]"), 400, "bad_json", "object"),
        ("a list of fields", text(r#"["Is my deposit insured?"]"#), 400, "bad_json", "object"),
        ("null", text("null"), 400, "bad_json", "object"),
        ("a number", text("7"), 400, "bad_json", "object"),
        ("a text", text(r#""query""#), 400, "bad_json", "object"),
        ("an empty object", text("{}"), 400, "bad_field", "query"),
        ("query: number", text(r#"{"query":7}"#), 400, "bad_field", "query"),
        ("query: null", text(r#"{"query":null}"#), 400, "bad_field", "query"),
        ("query: list", text(r#"{"query":["a"]}"#), 400, "bad_field", "query"),
        ("query: object", text(r#"{"query":{"a":1}}"#), 400, "bad_field", "query"),
        ("query: empty", text(r#"{"query":""}"#), 400, "bad_field", "query"),
        ("query: blank", text(r#"{"query":" \n\t "}"#), 400, "bad_field", "query"),
        ("metadata: text", text(r#"{"query":"a","metadata":"b"}"#), 400, "bad_field", "metadata"),
        ("session: number", text(r#"{"query":"a","session_id":5}"#), 400, "bad_field", "session_id"),
        ("session: empty", text(r#"{"query":"a","session_id":""}"#), 400, "bad_field", "session_id"),
        ("session: control character", text(r#"{"query":"a","session_id":"b\u0000"}"#), 400, "bad_field", "session_id"),
        ("user: too long", text(&format!(r#"{{"query":"a","user_id":"{}"}}"#, "u".repeat(257))), 400, "bad_field", "user_id"),
        ("an unknown field", text(r#"{"query":"a","colour":"red"}"#), 400, "bad_field", "colour"),
        ("a field twice", text(r#"{"query":"a","query":"b"}"#), 400, "", "query"),
        ("a lone surrogate", text(r#"{"query":"\ud800"}"#), 400, "bad_json", "surrogate"),
        ("surrogates the wrong way round", text(r#"{"query":"\udc00\ud800"}"#), 400, "bad_json", "surrogate"),
        ("a huge number", text(r#"{"query":"a","metadata":{"n":1e999}}"#), 400, "", ""),
        ("100,000 keys", text(&keys(100_000)), 400, "bad_json", "keys"),
        ("a million keys", text(&keys(1_000_000)), 413, "body_too_large", ""),
        ("100 deep", text(&nested(100)), 400, "bad_json", "deep"),
        ("1,000,000 deep", text(&"[".repeat(1_000_000)), 400, "bad_json", "deep"),
        ("1,000,000 deep and closed", text(&("[".repeat(1_000_000) + &"]".repeat(1_000_000))), 413, "body_too_large", ""),
        ("34 MiB", query(&vec![b' '; 34 << 20]), 413, "body_too_large", ""),
        ("no content type", text(good).header("content-type", ""), 415, "not_json", "content-type"),
        ("a form", text(good).header("content-type", "application/x-www-form-urlencoded"), 415, "not_json", ""),
        ("plain text", text(good).header("content-type", "text/plain"), 415, "not_json", ""),
        ("prompt: empty", Request::post("/generate", r#"{"prompt":""}"#), 400, "bad_field", "prompt"),
        ("prompt: missing", Request::post("/generate", r#"{"use_case":"general"}"#), 400, "bad_field", "prompt"),
        ("prompt and question", Request::post("/generate", r#"{"prompt":"a","question":"b"}"#), 400, "bad_field", "question"),
        ("use_case and type", Request::post("/generate", r#"{"prompt":"a","use_case":"b","type":"c"}"#), 400, "bad_field", "type"),
        ("no tokens", Request::post("/generate", r#"{"prompt":"a","max_tokens":0}"#), 400, "bad_field", "max_tokens"),
        ("minus tokens", Request::post("/generate", r#"{"prompt":"a","max_tokens":-1}"#), 400, "bad_field", "max_tokens"),
        ("half a token", Request::post("/generate", r#"{"prompt":"a","max_tokens":1.5}"#), 400, "bad_field", "max_tokens"),
        ("too warm", Request::post("/generate", r#"{"prompt":"a","temperature":2.1}"#), 400, "bad_field", "temperature"),
        ("a field of the other door", Request::post("/generate", r#"{"prompt":"a","query":"b"}"#), 400, "bad_field", "query"),
        ("feedback without an id", Request::post("/feedback", r#"{"rating":5}"#), 400, "bad_field", "interaction_id"),
        ("feedback that says nothing", Request::post("/feedback", r#"{"interaction_id":"int_1"}"#), 400, "bad_field", "rating"),
        ("rating 6", Request::post("/feedback", r#"{"interaction_id":"int_1","rating":6}"#), 400, "bad_field", "rating"),
        ("rating 256", Request::post("/feedback", r#"{"interaction_id":"int_1","rating":256}"#), 400, "bad_field", "rating"),
        ("thumb sideways", Request::post("/feedback", r#"{"interaction_id":"int_1","thumb":"side"}"#), 400, "bad_field", "thumb"),
        ("feedback on nothing", Request::post("/feedback", r#"{"interaction_id":"int_1","rating":5}"#), 404, "not_found", "int_1"),
    ];
    for (what, request, status, code, named) in &table {
        for request in [request.clone(), request.clone().streamed()] {
            let response = request.send(server.address).unwrap_or_else(|error| panic!("{what}: {error}"));
            let code = if code.is_empty() {
                response.json()["code"].to_string().replace('"', "")
            } else {
                (*code).to_owned()
            };
            let detail = check_problem(what, &response, *status, &code);
            assert!(detail.contains(named), "{what}: `{detail}` does not name `{named}`");
            assert!(detail.len() < 1_000, "{what}: {} bytes of detail", detail.len());
        }
    }
    assert_eq!(server.get("/health/live").expect("it lives").status, 200);
    assert_eq!(server.query(QUESTION)["outcome"], "degraded");
    assert!(server.interactions().len() == 1, "a refused request left a record");
}

#[test]
fn bad_requests_are_refused_with_a_problem() {
    let server = Start::bare().serve();
    let good = Request::post("/query", r#"{"query":"Is my deposit insured?"}"#);
    let get = Request::get;
    #[rustfmt::skip]
    let table: Vec<(&str, Request, u16, &str, &str)> = vec![
        ("an unknown path", get("/nothing/here"), 404, "not_found", ""),
        ("a path with dots", get("/../../etc/passwd"), 404, "not_found", ""),
        ("an unknown interaction", get("/admin/v1/interactions/int_0"), 404, "not_found", "int_0"),
        ("an id that is no text", get("/admin/v1/interactions/%ff"), 400, "bad_parameter", "id"),
        ("an environment that is no text", Request::post("/%ff/generate", r#"{"prompt":"a"}"#), 400, "bad_parameter", "environment"),
        ("an unknown environment", Request::post("/staging/generate", r#"{"prompt":"a"}"#), 404, "not_found", "staging"),
        ("GET for a question", get("/query"), 405, "method_not_allowed", ""),
        ("PUT", good.clone().method("PUT"), 405, "method_not_allowed", ""),
        ("a method of nobody", good.clone().method("BREW"), 405, "method_not_allowed", ""),
        ("a foreign host", good.clone().header("host", "evil.example"), 403, "not_local", "host"),
        ("a host that only looks local", good.clone().header("host", "127.0.0.1.evil.example"), 403, "not_local", "host"),
        ("a foreign host for health", get("/health/live").header("host", "evil.example"), 403, "not_local", "host"),
        ("a page of another origin", good.clone().header("origin", "https://evil.example"), 403, "not_local", "origin"),
        ("a page of no origin", good.clone().header("origin", "null"), 403, "not_local", "origin"),
        ("a page of another local port", good.clone().header("origin", "http://127.0.0.1:1"), 403, "not_local", "origin"),
        ("timeout: none", good.clone().header("x-mainstay-timeout-ms", "0"), 400, "bad_parameter", "x-mainstay-timeout-ms"),
        ("timeout: words", good.clone().header("x-mainstay-timeout-ms", "soon"), 400, "bad_parameter", "x-mainstay-timeout-ms"),
        ("timeout: minus", good.clone().header("x-mainstay-timeout-ms", "-5"), 400, "bad_parameter", "x-mainstay-timeout-ms"),
        ("limit: none", get("/admin/v1/interactions?limit=0"), 400, "bad_parameter", "limit"),
        ("limit: too many", get("/admin/v1/interactions?limit=1001"), 400, "bad_parameter", "limit"),
        ("limit: words", get("/admin/v1/interactions?limit=all"), 400, "bad_parameter", "limit"),
        ("limit: beyond numbers", get("/feedback?limit=99999999999999999999"), 400, "bad_parameter", "limit"),
        ("since: words", get("/admin/v1/interactions?since=yesterday"), 400, "bad_parameter", "since"),
        ("since: no such month", get("/feedback?since=2026-13-01T00:00:00Z"), 400, "bad_parameter", "since"),
        ("an unknown outcome", get("/admin/v1/interactions?outcome=lost"), 400, "bad_parameter", "outcome"),
        ("an unknown parameter", get("/admin/v1/interactions?colour=red"), 400, "bad_parameter", "colour"),
        
    ];
    for (what, request, status, code, named) in &table {
        let response = request.send(server.address).unwrap_or_else(|error| panic!("{what}: {error}"));
        let code = if code.is_empty() {
            response.json()["code"].to_string().replace('"', "")
        } else {
            (*code).to_owned()
        };
        let detail = check_problem(what, &response, *status, &code);
        assert!(detail.contains(named), "{what}: `{detail}` does not name `{named}`");
    }
    let not_allowed = server.send(&get("/query"));
    assert_eq!(not_allowed.header("allow"), Some("POST"));
    let own_page = good.header("origin", &server.url());
    assert_eq!(server.send(&own_page).status, 200, "a page of the server itself may ask");
}

#[test]
fn query_and_generate_keep_their_contracts() {
    let (upstream, server) = with_upstream();
    let response =
        server.post("/query", &json!({ "query": QUESTION, "user_id": "u-1", "metadata": { "a": 1 } }));
    let body = response.json();
    assert_eq!((response.status, &body["outcome"]), (200, &json!("answered")), "{body}");
    let mut names: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    #[rustfmt::skip]
    assert_eq!(names, ["attempt", "citations", "cost_usd", "guardrail", "intent", "interaction_id", "model_used", "outcome",
        "quality", "response", "session_id", "steps", "tier", "usage"]);
    assert_eq!(body["response"], GROUNDED);
    assert_eq!(
        (&body["model_used"], &body["tier"], &body["attempt"]),
        (&json!("one/alpha"), &json!("primary"), &json!(1))
    );
    assert_eq!(body["citations"][0]["document"], "deposit-insurance", "{body}");
    assert_eq!(body["guardrail"], json!({ "action": "none", "findings": [] }));
    let (input, output) = (&body["usage"]["input_tokens"], &body["usage"]["output_tokens"]);
    let cost = (input.as_f64().expect("a number") + 2.0 * output.as_f64().expect("a number")) / 1e6;
    assert!((body["cost_usd"].as_f64().expect("priced") - cost).abs() < 1e-12, "{body}");

    let id = body["interaction_id"].as_str().expect("an id");
    let cost = body["cost_usd"].to_string();
    for (name, want) in [
        ("x-mainstay-interaction", id),
        ("x-mainstay-agent", "general@1.0"),
        ("x-mainstay-model", "one/alpha"),
        ("x-mainstay-tier", "primary"),
        ("x-mainstay-attempt", "1"),
        ("x-mainstay-guardrail", "none"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(response.header(name), Some(want), "{name}");
    }
    let header_cost: f64 = response.header("x-mainstay-cost-usd").expect("priced").parse().expect("a number");
    assert!((header_cost - cost.parse::<f64>().expect("a number")).abs() < 1e-12);
    assert_eq!(response.header("x-mainstay-recorded"), None);

    // The same conversation goes on; a message sent twice is answered once.
    let calls = upstream.calls();
    let again =
        json!({ "query": QUESTION, "user_id": "u-1", "session_id": body["session_id"], "message_id": "m-1" });
    let (first, second) = (server.post("/query", &again).json(), server.post("/query", &again).json());
    assert_eq!(first["session_id"], body["session_id"]);
    assert_eq!(first["interaction_id"], second["interaction_id"]);
    assert_eq!(first["response"], second["response"]);
    assert_eq!(upstream.calls(), calls + 1, "a repeated message is not asked again");

    #[rustfmt::skip]
    let table = [
        ("/generate", json!({ "prompt": QUESTION, "use_case": "product_question" }), "product_question"),
        ("/prod/generate", json!({ "question": QUESTION, "type": "compliance" }), "compliance"),
        ("/dev/generate", json!({ "prompt": QUESTION }), "general"),
        ("/test/generate", json!({ "prompt": QUESTION, "use_case": "nobody_knows_me" }), "general"),
    ];
    for (path, sent, use_case) in table {
        let response = server.post(path, &sent);
        let body = response.json();
        assert_eq!(response.status, 200, "{path}: {body}");
        assert_eq!(
            (&body["use_case"], &body["outcome"]),
            (&json!(use_case), &json!("answered")),
            "{path}: {body}"
        );
        assert_eq!(body["agent_version"], format!("{use_case}@1.0"), "{path}");
        assert_eq!(body["response"], GROUNDED, "{path}");
        let mut names: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        names.sort_unstable();
        #[rustfmt::skip]
        assert_eq!(names, ["agent_version", "attempt", "citations", "cost_usd", "interaction_id", "latency_ms", "model_used",
            "outcome", "response", "tier", "usage", "use_case"]);
    }
}

#[test]
fn a_request_keeps_its_identity() {
    let server = Start::bare().serve();
    let good = Request::post("/query", r#"{"query":"Is my deposit insured?"}"#);
    let response = server
        .send(&good.clone().header("x-request-id", "mine-1.a:b_c").header("traceparent", "00-ab-cd-01"));
    assert_eq!(response.header("x-request-id"), Some("mine-1.a:b_c"));
    assert_eq!(response.header("traceparent"), Some("00-ab-cd-01"));
    for bad in ["two words", "<script>", &"x".repeat(129)] {
        let response = server.send(&good.clone().header("x-request-id", bad));
        let id = response.header("x-request-id").expect("always there");
        assert_ne!(id, bad, "a strange id is not sent back");
        assert!(!id.is_empty());
    }
    let streamed =
        good.clone().streamed().header("x-request-id", "mine-2").open(server.address).expect("a reply");
    assert_eq!(streamed.header("x-request-id"), Some("mine-2"));
    let problem = server.send(&Request::get("/nothing").header("x-request-id", "mine-3"));
    assert_eq!(problem.json()["instance"], "urn:request:mine-3");
}

#[test]
fn an_event_stream_tells_the_turn_and_takes_nothing_back() {
    let (_upstream, server) = with_upstream();
    for (path, sent) in
        [("/query", json!({ "query": QUESTION })), ("/generate", json!({ "prompt": QUESTION }))]
    {
        let request = Request::post(path, sent.to_string()).streamed();
        let opened = request.open(server.address).expect("a reply");
        assert_eq!(
            (opened.status, opened.header("content-type")),
            (200, Some("text/event-stream")),
            "{path}"
        );
        let interaction = opened.header("x-mainstay-interaction").expect("an id").to_owned();
        let events = opened.events().expect("a stream that ends well");

        let (answer, before) = events.split_last().expect("events");
        assert_eq!(answer.name, "answer", "{path}: the answer is the last event");
        assert!(
            before.iter().all(|event| event.name == "step" || event.name == "text"),
            "{path}: {events:?}"
        );
        let deltas: String = before.iter().filter(|event| event.name == "text").map(delta).collect();
        let response = answer.data["response"].as_str().expect("a text");
        assert!(!deltas.is_empty(), "{path}: {events:?}");
        assert_eq!(deltas, response, "{path}: the deltas joined are the response");
        assert_eq!(answer.data["interaction_id"], interaction, "{path}");
        assert_eq!(
            server.interaction(&interaction).status,
            200,
            "{path}: it is on disk before the stream ends"
        );

        let position = |name: &str, state: &str| {
            before
                .iter()
                .position(|event| event.is_step(name, state))
                .unwrap_or_else(|| panic!("{path}: {name} {state}"))
        };
        let first_text = before.iter().position(|event| event.name == "text").expect("text");
        let order = [
            position("check_guardrail_status", "started"),
            position("check_guardrail_status", "finished"),
            position("retrieve", "finished"),
            position("generate_response", "started"),
            first_text,
            position("generate_response", "finished"),
            position("validate_quality", "started"),
            position("record", "started"),
            position("record", "finished"),
        ];
        assert!(order.is_sorted(), "{path}: {order:?} {events:?}");
    }
    // A static answer has no text events: it stands in the answer alone.
    let bare = Start::bare().serve();
    let opened =
        Request::post("/query", json!({ "query": QUESTION }).to_string()).streamed().open(bare.address);
    let events = opened.expect("a reply").events().expect("a stream that ends well");
    assert!(events.iter().all(|event| event.name != "text"), "{events:?}");
    assert_eq!(events.last().expect("an answer").data["outcome"], "degraded");
}

fn delta(event: &crate::client::Event) -> &str {
    event.data["delta"].as_str().expect("a text")
}

#[test]
fn feedback_is_kept_and_listed() {
    let server = Start::bare().serve();
    let (one, two) = (server.query(QUESTION), server.query("What fees do you charge for wires?"));
    let give = |body: Value| {
        let response = server.post("/feedback", &body);
        assert_eq!(response.status, 201, "{}", response.text());
        response.json()["feedback_id"].as_str().expect("an id").to_owned()
    };
    let first =
        give(json!({ "interaction_id": one["interaction_id"], "session_id": one["session_id"], "rating": 5,
        "comments": "Clear.", "metadata": { "page": "help" } }));
    let second = give(json!({ "interaction_id": two["interaction_id"], "thumb": "down" }));
    let third = give(
        json!({ "interaction_id": one["interaction_id"], "type": "implicit", "signal": "rephrase", "comment": "c" }),
    );
    let list = |parameters: &str| {
        let response = server.get(&format!("/feedback{parameters}")).expect("a reply");
        assert_eq!(response.status, 200, "{parameters}: {}", response.text());
        let listed = response.json()["feedback"].as_array().expect("a list").clone();
        (
            listed
                .iter()
                .map(|entry| entry["feedback_id"].as_str().expect("an id").to_owned())
                .collect::<Vec<_>>(),
            listed,
        )
    };
    let (ids, listed) = list("");
    assert_eq!(ids, [third.clone(), second.clone(), first.clone()], "newest first");
    assert_eq!(
        (&listed[2]["rating"], &listed[2]["metadata"]["page"]),
        (&json!(5), &json!("help")),
        "{listed:?}"
    );
    assert_eq!(
        (&listed[0]["feedback_type"], &listed[0]["comments"]),
        (&json!("implicit"), &json!("c")),
        "{listed:?}"
    );
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    assert_eq!(list(&format!("?interaction_id={}", text(&two["interaction_id"]))).0, [second.clone()]);
    assert_eq!(list(&format!("?session_id={}", text(&one["session_id"]))).0, [first]);
    assert_eq!(list(&format!("?since={}", text(&listed[1]["timestamp"]))).0, [third, second]);
    assert_eq!(list("?limit=1").0.len(), 1);
    assert_eq!(list("?since=2999-01-01T00:00:00Z").0.len(), 0);
}

#[test]
fn interactions_are_listed_in_pages_and_shown_whole() {
    let server = Start::bare().serve();
    let mut asked: Vec<String> = (0..7)
        .map(|n| {
            server.query(&format!("{QUESTION} ({n})"))["interaction_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    asked.reverse();
    let mut listed = Vec::new();
    let mut path = "/admin/v1/interactions?limit=3".to_owned();
    let mut n_pages = 0;
    loop {
        let page = server.get(&path).expect("a reply").json();
        n_pages += 1;
        listed.extend(page["interactions"].as_array().expect("a list").iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/admin/v1/interactions?limit=3&cursor={cursor}");
    }
    let ids: Vec<&str> =
        listed.iter().map(|entry| entry["interaction_id"].as_str().expect("an id")).collect();
    assert_eq!(ids, asked, "newest first, each once");
    assert_eq!(n_pages, 3);

    let first = &listed[0];
    assert_eq!(
        (&first["door"], &first["outcome"], &first["tier"]),
        (&json!("query"), &json!("degraded"), &json!("degraded"))
    );
    let whole = server.interaction(ids[0]).json();
    assert_eq!(whole["question"], format!("{QUESTION} (6)"));
    assert!(whole["response"].as_str().expect("kept").contains("1-800"), "{whole}");
    assert!(whole["steps"].as_array().is_some_and(|steps| steps.len() >= 5), "{whole}");
    for filter in ["outcome=answered", "since=2999-01-01T00:00:00Z", "session_id=ses_nobody"] {
        let page = server.get(&format!("/admin/v1/interactions?{filter}")).expect("a reply").json();
        assert_eq!(page, json!({ "interactions": [], "next_cursor": null }), "{filter}");
    }
    let session = first["session_id"].as_str().expect("a session");
    let page = server.get(&format!("/admin/v1/interactions?session_id={session}")).expect("a reply").json();
    assert_eq!(page["interactions"].as_array().map(Vec::len), Some(1));

    // `/generate` keeps no texts, only their hashes.
    let generated = server.post("/generate", &json!({ "prompt": "A secret prompt" })).json();
    let whole = server.interaction(generated["interaction_id"].as_str().expect("an id"));
    assert!(!whole.text().contains("A secret prompt"), "{}", whole.text());
    let whole = whole.json();
    assert_eq!((&whole["question"], &whole["retention"]), (&Value::Null, &json!("none")));
    assert_eq!(whole["question_hash"].as_str().map(str::len), Some(64));
}

#[test]
fn health_and_metrics_tell_how_it_is() {
    let server = Start::bare().serve();
    for path in ["/health", "/health/live"] {
        assert_eq!(server.get(path).expect("a reply").json(), json!({ "status": "live" }), "{path}");
    }
    assert_eq!(server.get("/health/ready").expect("a reply").json(), json!({ "status": "ready" }));
    let deep = server.get("/health/deep").expect("a reply").json();
    assert_eq!(
        (&deep["status"], &deep["version"]),
        (&json!("ready"), &json!(env!("CARGO_PKG_VERSION"))),
        "{deep}"
    );
    let states = [
        ("store", "ready"),
        ("embedded model", "off"),
        ("sentence embedder", "off"),
        ("configuration", "ready"),
    ];
    for (name, state) in states {
        assert_eq!(server.part(name)["state"], state, "{name}: {deep}");
    }
    for _ in 0..3 {
        server.query(QUESTION);
    }
    server.post("/generate", &json!({ "prompt": QUESTION }));
    let metrics = server.get("/metrics").expect("a reply");
    assert!(
        metrics.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    let samples = parse_metrics(&metrics.text());
    let sample = |name: &str| samples.iter().find(|(found, _)| found == name).map(|(_, value)| *value);
    for (name, want) in [
        (r#"mainstay_requests_total{door="query",outcome="degraded",tier="degraded"}"#, 3.0),
        (r#"mainstay_requests_total{door="generate",outcome="degraded",tier="degraded"}"#, 1.0),
        (r#"mainstay_request_duration_seconds_count{door="query"}"#, 3.0),
        (r#"mainstay_degraded_total{agent="general"}"#, 4.0),
        (r#"mainstay_breaker_state{target="embedded/default"}"#, 0.0),
        ("mainstay_unrecorded_total", 0.0),
    ] {
        assert_eq!(sample(name), Some(want), "{name}\n{}", metrics.text());
    }
}

/// The samples of an OpenMetrics text, whose form is checked on the way.
fn parse_metrics(text: &str) -> Vec<(String, f64)> {
    assert!(text.ends_with("# EOF\n"), "it does not end as OpenMetrics does");
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
    };
    let mut described = std::collections::BTreeSet::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some(described_now) = comment.strip_prefix("TYPE ") {
                let name = described_now.split(' ').next().expect("a name");
                assert!(described.insert(name.to_owned()), "{name} is described twice");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let bare = name.split('{').next().expect("a name");
        assert!(is_name(bare) && bare.starts_with("mainstay_"), "{line}");
        let family = ["_total", "_sum", "_count", "_bucket"]
            .iter()
            .find_map(|end| bare.strip_suffix(end))
            .unwrap_or(bare);
        assert!(described.contains(family), "{line}: no TYPE of {family}");
        samples.push((name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}"))));
    }
    samples
}
