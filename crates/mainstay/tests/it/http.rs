//! The doors as `docs/API.md` describes them: contracts, identity, streams, listings, health.

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::client::Request;
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start};

/// What an article says, so that an upstream's answer rests on it.
const GROUNDED: &str = "FDIC deposit insurance covers up to $250,000 per depositor, per insured bank, for each \
                        ownership category.";
const QUESTION: &str = "Is my deposit FDIC insured, and up to how much?";

/// A server before an upstream that answers with [`GROUNDED`].
fn with_upstream() -> (Upstream, Server) {
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(GROUNDED)));
    let config = Folder::with_articles(&ladder(&[&upstream], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    (upstream, server)
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
    let server = Start::plain().serve();
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
    let bare = Start::plain().serve();
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
    let server = Start::plain().serve();
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
    assert_eq!(
        list(&format!("?interaction_id={}", text(&two["interaction_id"]))).0,
        std::slice::from_ref(&second)
    );
    assert_eq!(list(&format!("?session_id={}", text(&one["session_id"]))).0, [first]);
    assert_eq!(list(&format!("?since={}", text(&listed[1]["timestamp"]))).0, [third, second]);
    assert_eq!(list("?limit=1").0.len(), 1);
    assert_eq!(list("?since=2999-01-01T00:00:00Z").0.len(), 0);
}

#[test]
fn interactions_are_listed_in_pages_and_shown_whole() {
    let server = Start::plain().serve();
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
    let server = Start::plain().serve();
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
    let openmetrics =
        Request::get("/metrics").header("accept", "application/openmetrics-text; version=1.0.0");
    let metrics = server.send(&openmetrics);
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
