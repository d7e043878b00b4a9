//! The ladder `primary → fallback → embedded → degraded` before upstreams that fail.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::upstream::{Answer, Phase};
use testkit::{Behaviour, Upstream};

use crate::client::Request;
use crate::folder::{EMBEDDED_TIER, Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start, run};

/// An agent without knowledge: what the upstream says is the answer.
const USE_CASE: &str = "personalized_outreach";
const GREETING: &str = "We are glad to help you save for what matters to you.";

fn greeting() -> Behaviour {
    Behaviour::Answer(Answer::of(GREETING))
}

fn start(upstreams: &[&Upstream], more: &str) -> Start {
    let config = Folder::with_settings(&ladder(upstreams, &format!("{EMBEDDED_TIER}{more}")));
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }
}

fn ask(server: &Server) -> Value {
    let response = server.post("/generate", &json!({ "prompt": "Write a greeting.", "use_case": USE_CASE }));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Asks until the breaker of the primary target is open.
fn open_breaker(server: &Server, primary: &Upstream) {
    for _ in 0..20 {
        let before = primary.calls();
        ask(server);
        if primary.calls() == before {
            return;
        }
    }
    panic!("{} calls, and the breaker is still closed", primary.calls());
}

#[test]
fn a_dead_primary_falls_back_within_the_deadline() {
    let dead = [
        ("503", Behaviour::status(503)),
        ("hangs", Behaviour::Hang(Phase::BeforeHead)),
        ("hangs after its head", Behaviour::Hang(Phase::AfterHead)),
        ("resets", Behaviour::Reset(Phase::BeforeHead)),
        ("sends nonsense", Behaviour::Malformed(0)),
        (
            "sends an error as a stream",
            Behaviour::ErrorFirst(r#"{"error":{"type":"server_error"}}"#.to_owned()),
        ),
        ("sends nothing", Behaviour::Empty),
        ("refuses the key", Behaviour::status(401)),
    ];
    std::thread::scope(|scope| {
        for (what, behaviour) in dead {
            scope.spawn(move || {
                let (primary, fallback) = (Upstream::start(behaviour), Upstream::start(greeting()));
                let server = start(&[&primary, &fallback], "").serve();
                let request =
                    json!({ "prompt": "Write a greeting.", "use_case": USE_CASE, "max_tokens": 4_000 });
                let request =
                    Request::post("/generate", request.to_string()).header("x-mainstay-timeout-ms", "4000");
                let began = Instant::now();
                let body = server.send(&request).json();
                assert!(began.elapsed() < Duration::from_secs(4), "{what}: {:?}", began.elapsed());
                assert_eq!(body["model_used"], "FALLBACK:two/beta", "{what}: {body}\n{}", server.log());
                assert_eq!(
                    (&body["tier"], &body["outcome"]),
                    (&json!("fallback"), &json!("answered")),
                    "{what}"
                );
                assert_eq!(body["response"], GREETING, "{what}");
                let calls = u64::try_from(primary.calls()).expect("few");
                assert!((1..=2).contains(&calls), "{what}: {calls} calls");
                assert_eq!(body["attempt"], calls + 1, "{what}");

                let received = fallback.received();
                let sent: Value = serde_json::from_slice(&received[0].body).expect("JSON");
                assert!(sent["max_tokens"].as_u64().is_some_and(|tokens| tokens <= 300), "{what}: {sent}");
                assert_eq!(sent["temperature"], 0.5, "{what}: {sent}");
                let asked: Value = serde_json::from_slice(&primary.received()[0].body).expect("JSON");
                assert_eq!(
                    asked["max_tokens"], 4_000,
                    "{what}: the first choice is asked as the caller said"
                );
            });
        }
    });
}

#[test]
fn an_open_breaker_is_shown_and_reset_by_hand() {
    let (primary, fallback) = (Upstream::start(Behaviour::status(503)), Upstream::start(greeting()));
    let server = start(&[&primary, &fallback], "").serve();
    open_breaker(&server, &primary);
    let breaker = |name: &str| {
        let listed = server.get("/admin/v1/breakers").expect("a reply").json();
        let breakers = listed["breakers"].as_array().expect("breakers").clone();
        breakers.into_iter().find(|breaker| breaker["target"] == name).expect("listed")
    };
    let (shut, open) = (breaker("one/alpha"), breaker("two/beta"));
    assert_eq!((&shut["state"], &shut["cause"]), (&json!("open"), &json!("failures")), "{shut}");
    assert!(shut["shut_for_ms"].as_u64().is_some_and(|ms| ms <= 30_000), "{shut}");
    assert_eq!((&open["state"], &open["shut_for_ms"]), (&json!("closed"), &json!(null)), "{open}");
    let told = server.doctor();
    assert!(told.contains("mainstay breakers reset one/alpha"), "{told}");

    let url = server.url();
    let output = run(&["breakers", "list", "--url", &url]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("open: too many calls failed in a row"), "{told}");
    let calls = primary.calls();
    let resets: [&dyn Fn(); 4] = [
        &|| assert_eq!(server.post("/admin/v1/breakers/one/alpha/reset", &json!({})).status, 200),
        &|| assert_eq!(server.post("/admin/v1/breakers/one%2Falpha/reset", &json!({})).status, 200),
        &|| {
            let output = run(&["breakers", "reset", "one/alpha", "--url", &url, "--json"]);
            let breaker: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!((&breaker["target"], &breaker["state"]), (&json!("one/alpha"), &json!("closed")));
        },
        &|| {
            let output = run(&["doctor", "--reset-breakers", "--url", &url]);
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(told.contains("reset: `one/alpha`"), "{told}");
        },
    ];
    for (reset, n) in resets.iter().zip(1..) {
        reset();
        assert_eq!(breaker("one/alpha")["state"], "closed", "reset {n}");
        open_breaker(&server, &primary);
        assert!(primary.calls() > calls, "it is called again after reset {n}");
    }
    let unknown = server.post("/admin/v1/breakers/nobody/reset", &json!({}));
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("`one/alpha`"), "{}", unknown.text());
    assert_eq!(run(&["breakers", "reset", "nobody", "--url", &url]).status.code(), Some(2));
}

#[test]
fn with_every_model_dead_each_use_case_has_its_compliant_static_answer() {
    let (primary, fallback) =
        (Upstream::start(Behaviour::status(500)), Upstream::start(Behaviour::status(500)));
    let server = start(&[&primary, &fallback], "").serve();
    let use_cases =
        ["account_inquiry", "compliance", "finance_deep", "general", USE_CASE, "product_question"];
    let mut texts = Vec::new();
    for use_case in use_cases {
        let prompt = "Is my deposit FDIC insured, and up to how much?";
        for (path, body) in [
            ("/generate", json!({ "prompt": prompt, "use_case": use_case })),
            ("/query", json!({ "query": prompt, "agent": use_case })),
        ] {
            let response = server.post(path, &body);
            assert_eq!(response.status, 200, "{use_case}: {}", response.text());
            assert_eq!(response.header("x-mainstay-tier"), Some("degraded"), "{use_case}");
            let body = response.json();
            assert_eq!(body["model_used"], "DEGRADED_SERVICE", "{use_case}: {body}");
            assert_eq!(
                (&body["tier"], &body["outcome"]),
                (&json!("degraded"), &json!("degraded")),
                "{use_case}"
            );
            let text = body["response"].as_str().expect("a text").to_owned();
            for part in [
                "1-800-555-0142",
                "www.example.com/help",
                "help@example.com",
                "FDIC",
                "Equal Housing Lender",
                "not financial advice",
            ] {
                assert!(text.contains(part), "{use_case}: `{part}` is missing: {text}");
            }
            texts.push(text);
        }
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), use_cases.len(), "each use case has words of its own");
}

#[test]
fn the_breaker_opens_at_the_fifth_failure_and_stays_open_over_a_restart() {
    let (primary, fallback) =
        (Upstream::start(Behaviour::status(503)), Upstream::start(Behaviour::status(503)));
    let start = start(&[&primary, &fallback], "");
    let mut server = start.serve();
    for _ in 0..12 {
        assert_eq!(ask(&server)["tier"], "degraded");
    }
    assert_eq!((primary.calls(), fallback.calls()), (5, 5), "five failed attempts, then none");
    let mut took = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let body = ask(&server);
        took = took.min(began.elapsed());
        assert_eq!((&body["tier"], &body["attempt"]), (&json!("degraded"), &body["attempt"]));
        assert!(body["latency_ms"].as_u64().is_some_and(|ms| ms < 50), "{body}");
    }
    assert!(took < Duration::from_millis(50), "{took:?}");
    let part = server.part("target one/alpha");
    assert_eq!(part["state"], "failed", "{part}");
    assert!(part["detail"].as_str().expect("a text").contains("5 failures"), "{part}");

    // Its end, gentle or not, does not close it.
    server.terminate();
    let status = server.wait_exit(Duration::from_secs(35)).expect("it stops");
    assert!(status.success(), "{status}");
    let mut server = start.serve();
    assert_eq!(ask(&server)["tier"], "degraded");
    server.kill();
    let server = start.serve();
    assert_eq!(ask(&server)["tier"], "degraded");
    assert_eq!((primary.calls(), fallback.calls()), (5, 5), "no call right after a restart");
    let metrics = server.get("/metrics").expect("a reply").text();
    assert!(metrics.contains(r#"mainstay_breaker_state{target="one/alpha"} 2"#), "{metrics}");
}

#[test]
fn of_a_hundred_calls_exactly_one_probes() {
    let primary = Upstream::start(Behaviour::status(503));
    let server = start(&[&primary], "[resilience.breaker]\nopen = \"3s\"\n").serve();
    open_breaker(&server, &primary);
    let (opened, calls) = (Instant::now(), primary.calls());
    assert_eq!(calls, 5);
    // The probe is still under way when the others come.
    primary.set_behaviour(Behaviour::Answer(Answer {
        delay: Duration::from_millis(1_500),
        ..Answer::of(GREETING)
    }));
    std::thread::sleep(Duration::from_millis(3_100).saturating_sub(opened.elapsed()));
    let tiers: Vec<Value> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..100).map(|_| scope.spawn(|| ask(&server)["tier"].clone())).collect();
        asking.into_iter().map(|asking| asking.join().expect("a reply")).collect()
    });
    assert_eq!(primary.calls(), calls + 1, "one call tries");
    assert_eq!(tiers.iter().filter(|tier| **tier == "primary").count(), 1, "{tiers:?}");
    assert_eq!(tiers.iter().filter(|tier| **tier == "degraded").count(), 99, "{tiers:?}");
    primary.set_behaviour(greeting());
    assert_eq!(ask(&server)["tier"], "primary", "its success closed the breaker");
}

#[test]
fn a_stream_that_breaks_off_ends_in_one_compliant_reply() {
    let question = "Is my deposit FDIC insured, and up to how much?";
    let broken = [
        ("cut", Behaviour::Cut(300)),
        ("resets in the middle", Behaviour::Reset(Phase::MidBody)),
        ("ends without an end", Behaviour::Unfinished),
        ("an error in the middle", Behaviour::ErrorLater(r#"{"error":{"type":"server_error"}}"#.to_owned())),
        ("the filter cuts", Behaviour::ContentFilter),
        ("hangs in the middle", Behaviour::Hang(Phase::MidBody)),
    ];
    std::thread::scope(|scope| {
        for (what, behaviour) in broken {
            scope.spawn(move || {
                let primary = Upstream::start(behaviour);
                let server = start(&[&primary], "").serve();
                let request = Request::post("/query", json!({ "query": question }).to_string());
                let request = request.streamed().header("x-mainstay-timeout-ms", "4000");
                let events =
                    request.open(server.address).expect("a reply").events().expect("a stream that ends well");
                let answers: Vec<_> = events.iter().filter(|event| event.name == "answer").collect();
                assert_eq!(answers.len(), 1, "{what}: {events:?}");
                let answer = &answers[0].data;
                let is_compliant = answer["outcome"] == "degraded"
                    || answer["outcome"] == "answered"
                        && !answer["citations"].as_array().expect("a list").is_empty();
                assert!(is_compliant, "{what}: {answer}");
                let deltas: String = events.iter().filter_map(|event| event.data["delta"].as_str()).collect();
                assert!(
                    answer["response"].as_str().expect("a text").starts_with(&deltas),
                    "{what}: {events:?}"
                );
                assert_eq!(server.interactions().len(), 1, "{what}");
            });
        }
    });
}

#[test]
fn a_providers_key_is_nowhere_but_in_its_requests() {
    const CANARY: &str = "sk-canary-7f3c9a51e2d84b60";
    let (primary, fallback) = (Upstream::start(Behaviour::EchoKey), Upstream::start(Behaviour::status(401)));
    let config = Folder::with_settings(&ladder(&[&primary, &fallback], EMBEDDED_TIER));
    let environment = vec![(KEY_VARIABLE, CANARY.to_owned())];
    let start = Start { environment, log: "debug", ..Start::with(&config) };
    let mut server = start.serve();
    let mut seen = Vec::new();
    for path in ["/generate", "/prod/generate"] {
        let response = server.post(path, &json!({ "prompt": "Write a greeting.", "use_case": USE_CASE }));
        seen.push(format!("{:?}{}", response.headers, response.text()));
        let id = response.json()["interaction_id"].as_str().expect("an id").to_owned();
        seen.push(server.interaction(&id).text());
    }
    for path in ["/health/deep", "/metrics", "/admin/v1/interactions"] {
        seen.push(server.get(path).expect("a reply").text());
    }
    seen.push(server.doctor());
    server.terminate();
    server.wait_exit(Duration::from_secs(35)).expect("it stops");
    seen.push(server.log());
    let header = format!("Bearer {CANARY}");
    assert!(primary.received().iter().all(|request| request.header("authorization") == Some(&header)));
    assert!(!primary.received().is_empty());
    for text in &seen {
        assert!(!text.contains("canary"), "{text}");
    }
    assert_nowhere(&start.data(), b"canary");
}

/// No file below `folder` holds `bytes`.
fn assert_nowhere(folder: &Path, bytes: &[u8]) {
    let mut n_files = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            n_files += 1;
            let content = std::fs::read(&path).expect("readable");
            assert!(!content.windows(bytes.len()).any(|window| window == bytes), "{}", path.display());
        }
    }
    assert!(n_files >= 2, "the database is not where it was looked for");
}

#[test]
fn a_client_that_leaves_ends_the_call_it_paid_for() {
    let slow = Answer { token_gap: Duration::from_millis(500), ..Answer::of(&"word ".repeat(200)) };
    let primary = Upstream::start(Behaviour::Answer(slow));
    let server: Server = start(&[&primary], "").serve();
    let request = json!({ "prompt": "Write a greeting.", "use_case": USE_CASE });
    let opened =
        Request::post("/generate", request.to_string()).streamed().open(server.address).expect("a reply");
    server.wait_until("the call is under way", || (primary.calls_in_flight() == 1).then_some(()));
    drop(opened);
    server.wait_until("the call is over", || (primary.calls_in_flight() == 0).then_some(()));
    assert_eq!(
        server.part("target one/alpha")["state"],
        "ready",
        "a client that leaves is not the target's failure"
    );
}
