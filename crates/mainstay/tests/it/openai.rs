//! The door that OpenAI's SDKs know: bytes pass unchanged, faults are told apart before and after the first word,
//! errors have the shape that SDKs read; over HTTP/1.1 and over HTTP/2 without TLS.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use testkit::upstream::{Answer, Phase};
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start};

const PATH: &str = "/v1/chat/completions";
const STREAMED: &str = r#"{ "messages": [{"role":"user","content":"Is \u0069t?"}], "model": "MODEL", "stream":true, "stream_options":{"include_usage":true}, "future": {"a":[1.50,null]} }"#;

fn whole() -> String {
    STREAMED.replace("true", "false")
}

fn named(body: &str, model: &str) -> String {
    body.replace("MODEL", model)
}

/// A server whose alias `gpt-4o-mini` leads to `upstreams` in their order.
fn serve(upstreams: &[&Upstream], more: &str) -> Server {
    let config = Folder::with_settings(&ladder(
        upstreams,
        &format!("[aliases]\n\"gpt-4o-mini\" = \"standard\"\n{more}"),
    ));
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve()
}

fn post(server: &Server, body: &str) -> Response {
    server.send(&Request::post(PATH, body))
}

fn error(response: &Response) -> (u16, String, String) {
    let body = response.json();
    let error = body["error"].as_object().unwrap_or_else(|| panic!("{body}"));
    let mut fields: Vec<&str> = error.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["code", "message", "param", "type"], "{body}");
    let text = |field: &str| error[field].as_str().unwrap_or_else(|| panic!("{field}: {body}")).to_owned();
    assert!(!text("message").is_empty());
    (response.status, text("code"), text("type"))
}

#[test]
fn bytes_pass_unchanged_both_ways() {
    let upstream = Upstream::start(Behaviour::default());
    let server = serve(&[&upstream], "");
    for body in [STREAMED.to_owned(), whole()] {
        for model in ["gpt-4o-mini", "one/alpha", "alpha"] {
            let direct =
                Request::post(PATH, named(&body, "alpha")).send(upstream.address()).expect("a reply");
            let passed = post(&server, &named(&body, model));
            assert_eq!((passed.status, passed.text()), (200, direct.text()), "{model}");
            let received = upstream.received();
            let [.., asked, relayed] = &received[..] else { panic!("two calls") };
            assert_eq!(
                String::from_utf8_lossy(&relayed.body),
                String::from_utf8_lossy(&asked.body),
                "only the model changed"
            );
            assert_eq!(relayed.header("authorization"), Some("Bearer a-key"));
            for (name, want) in [
                ("x-mainstay-model", "one/alpha"),
                ("x-mainstay-tier", "primary"),
                ("x-mainstay-attempt", "1"),
            ] {
                assert_eq!(passed.header(name), Some(want), "{name}");
            }
            // It is on disk before the reply ends, without its texts.
            let id = passed.header("x-mainstay-interaction").expect("an id");
            let record = server.interaction(id);
            assert_eq!(record.status, 200);
            assert!(!record.text().contains("Is it?") && !record.text().contains("mock answer"));
            let record = record.json();
            assert_eq!(
                (
                    &record["door"],
                    &record["outcome"],
                    &record["agent_version"],
                    &record["usage"]["output_tokens"]
                ),
                (&json!("chat_completions"), &json!("answered"), &Value::Null, &json!(5)),
                "{record}"
            );
        }
    }
    let cost = post(&server, &named(&whole(), "alpha"));
    assert_eq!(cost.header("x-mainstay-cost-usd"), Some("0.000012"));
    // Usage that was not asked for is not shown, although it is known.
    let unasked = post(&server, &named(&STREAMED.replace("\"include_usage\":true", ""), "alpha"));
    assert!(
        !unasked.text().contains("usage") && unasked.text().ends_with("data: [DONE]\n\n"),
        "{}",
        unasked.text()
    );
    let metrics = server.get("/metrics").expect("a reply").text();
    assert!(metrics.contains("door=\"chat_completions\",outcome=\"answered\""), "{metrics}");
}

#[test]
fn before_the_first_word_another_model_answers() {
    let broken = Upstream::start(Behaviour::default());
    let second = Upstream::start(Behaviour::Answer(Answer::of("From the second.")));
    let more = "[resilience.breaker]\nfailures_max = 1000\ncalls_min = 1000\n[resilience.policy]\nfirst_token = \"2s\"\nsilence = \"2s\"\n";
    let server = serve(&[&broken, &second], more);
    for behaviour in [
        Behaviour::status(503),
        Behaviour::Empty,
        Behaviour::Malformed(0),
        Behaviour::ErrorFirst(r#"{"error":{"type":"server_error"}}"#.to_owned()),
        Behaviour::Reset(Phase::BeforeHead),
        Behaviour::Hang(Phase::AfterHead),
        Behaviour::status(401),
    ] {
        broken.set_behaviour(behaviour.clone());
        let response = post(&server, &named(STREAMED, "gpt-4o-mini"));
        let found =
            (response.status, response.header("x-mainstay-model"), response.header("x-mainstay-tier"));
        assert_eq!(
            found,
            (200, Some("FALLBACK:two/beta"), Some("fallback")),
            "{behaviour:?}: {}",
            response.text()
        );
        assert!(response.text().contains("second.") && response.text().ends_with("data: [DONE]\n\n"));
        // A bare model has no other to go to: an error, never a degraded answer.
        let response = post(&server, &named(STREAMED, "alpha"));
        let (status, code, _) = error(&response);
        assert_eq!(status, 503, "{behaviour:?}: {}", response.text());
        assert!(
            ["all_targets_exhausted", "upstream_timeout", "breaker_open"].contains(&&*code),
            "{behaviour:?}: {code}"
        );
        assert!(
            response.header("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok_and(|wait| wait > 0))
        );
        assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
    }
    let received = second.received();
    let sent: Value = serde_json::from_slice(&received[0].body).expect("JSON");
    assert_eq!(
        (&sent["max_tokens"], &sent["temperature"], &sent["future"]),
        (&json!(300), &json!(0.5), &json!({ "a": [1.5, null] }))
    );
}

#[test]
fn after_the_first_word_a_failure_is_never_a_clean_end() {
    let broken = Upstream::start(Behaviour::default());
    let second = Upstream::start(Behaviour::default());
    let server = serve(&[&broken, &second], "[resilience.policy]\nsilence = \"1s\"\n");
    for behaviour in [
        Behaviour::Unfinished,
        Behaviour::Malformed(2),
        Behaviour::Reset(Phase::MidBody),
        Behaviour::Hang(Phase::MidBody),
    ] {
        broken.set_behaviour(behaviour.clone());
        let response = post(&server, &named(STREAMED, "gpt-4o-mini"));
        let text = response.text();
        let last = text.trim_end().rsplit("\n\n").next().and_then(|frame| frame.strip_prefix("data: "));
        let last: Value = serde_json::from_str(last.expect("a frame")).expect(&text);
        assert_eq!(last["error"]["code"], "stream_incomplete", "{behaviour:?}: {text}");
        assert!(text.contains("This ") && !text.contains("[DONE]"), "{behaviour:?}: {text}");
        let record = server.interaction(response.header("x-mainstay-interaction").expect("an id")).json();
        assert_eq!(
            (&record["outcome"], &record["attempts"][0]["result"]),
            (&json!("failed"), &json!("truncated"))
        );
    }
    assert_eq!(second.calls(), 0, "nothing is tried again once a word is out");
}

#[test]
fn a_providers_refusal_is_passed_on_and_an_open_breaker_makes_no_call() {
    let upstream = Upstream::start(Behaviour::error(400, "context_length_exceeded"));
    let server = serve(&[&upstream], "");
    let response = post(&server, &named(&whole(), "alpha"));
    assert_eq!(error(&response), (400, "context_length_exceeded".to_owned(), "mock_error".to_owned()));
    assert_eq!(upstream.calls(), 1, "the same request fails everywhere");

    upstream.set_behaviour(Behaviour::status(500));
    for _ in 0..3 {
        post(&server, &named(&whole(), "alpha"));
    }
    let calls = upstream.calls();
    let response = post(&server, &named(&whole(), "alpha"));
    assert_eq!((error(&response).1.as_str(), upstream.calls()), ("breaker_open", calls));
    let wait: u32 = response.header("retry-after").and_then(|wait| wait.parse().ok()).expect("a wait");
    assert!((1..=30).contains(&wait), "{wait}");
}

#[test]
fn bad_requests_are_told_in_openais_shape() {
    let upstream = Upstream::start(Behaviour::default());
    let server = serve(&[&upstream], "");
    let good = Request::post(PATH, named(&whole(), "alpha"));
    let deep = format!(r#"{{"model":"alpha","x":{}}}"#, "[".repeat(1_000_000));
    let huge = format!(r#"{{"model":"alpha","x":"{}"}}"#, "x".repeat(33 << 20));
    #[rustfmt::skip]
    let table = [
        (Request::post(PATH, ""), 400, "bad_json"),
        (Request::post(PATH, "[]"), 400, "bad_json"),
        (Request::post(PATH, "null"), 400, "bad_json"),
        (Request::post(PATH, deep), 400, "bad_json"),
        (Request::post(PATH, huge), 413, "body_too_large"),
        (Request::post(PATH, r#"{"model":"alpha","messages":"\ud83d"}"#), 400, "bad_json"),
        (Request::post(PATH, r#"{"messages":[]}"#), 400, "invalid_value"),
        (Request::post(PATH, r#"{"model":"alpha","stream":"yes"}"#), 400, "invalid_value"),
        (Request::post(PATH, r#"{"model":"nobody","messages":[]}"#), 404, "model_not_found"),
        (Request::post(PATH, r#"{"model":"agent:general","messages":[]}"#), 400, "invalid_value"),
        (Request::post(PATH, r#"{"model":"agent:general"}"#), 400, "invalid_value"),
        (
            Request::post(PATH, r#"{"model":"agent:general","messages":[{"role":"user","content":{}}]}"#),
            400,
            "invalid_value",
        ),
        (
            Request::post(PATH, r#"{"model":"agent:general","messages":[{"role":"user","content":"Hi"}],"response_format":{"type":"json_object"}}"#),
            400,
            "unsupported_value",
        ),
        (good.clone().header("content-type", "text/plain"), 415, "not_json"),
        (good.clone().header("host", "evil.example"), 403, "not_local"),
        (good.clone().header("x-mainstay-timeout-ms", "soon"), 400, "bad_parameter"),
        (good.clone().method("PUT"), 405, "method_not_allowed"),
        (Request::get("/v1/models/nobody"), 404, "model_not_found"),
        (Request::get("/v1/nothing"), 404, "not_found"),
    ];
    for (request, status, code) in table {
        let response = server.send(&request);
        let found = error(&response);
        assert_eq!((found.0, found.1.as_str()), (status, code), "{}", response.text());
        assert!(response.header("x-request-id").is_some());
        for words in ["invalid type", "line 1 column", "untagged"] {
            assert!(!response.text().contains(words), "{}", response.text());
        }
    }
    assert_eq!(upstream.calls(), 0);
    // A large body that is good is passed on.
    let large = named(&whole(), "alpha").replace("Is ", &"x".repeat(8 << 20));
    assert_eq!(post(&server, &large).status, 200);
    assert_eq!(upstream.received()[0].body.len(), large.len());
}

#[test]
fn a_caller_who_hardly_reads_holds_the_call_no_longer_than_its_limit() {
    let limit = Duration::from_millis(1_500);
    // More than what sockets hold: the server soon cannot write any more.
    let words = format!("{} ", "x".repeat(4_000)).repeat(20_000);
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(&words)));
    let server = serve(&[&upstream], "");
    let request = Request::post(PATH, named(STREAMED, "alpha"));
    let request = request.header("x-mainstay-timeout-ms", &limit.as_millis().to_string());
    let began = Instant::now();
    let _opened = request.open(server.address).expect("a reply");
    server.wait_until("the call is made", || (upstream.calls_in_flight() == 1).then_some(()));
    while upstream.calls_in_flight() > 0 {
        assert!(
            began.elapsed() < limit + Duration::from_secs(1),
            "the call goes on although its time is over"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let record = newest_record(&server);
    assert_eq!(
        (&record["outcome"], &record["attempts"][0]["result"]),
        (&json!("failed"), &json!("truncated")),
        "{record}"
    );
}

/// The record of the newest interaction, once there is one.
fn newest_record(server: &Server) -> Value {
    server.wait_until("it is recorded", || {
        let page = server.get("/admin/v1/interactions").ok()?.json();
        page["interactions"][0]["interaction_id"].as_str().map(|id| server.interaction(id).json())
    })
}

#[test]
fn a_caller_who_leaves_closes_the_call_within_a_second() {
    let slow = Answer { token_gap: Duration::from_millis(50), ..Answer::of(&"word ".repeat(1_000)) };
    let silent = Answer { delay: Duration::from_secs(30), ..Answer::of("late") };
    for (answer, reads_first) in [(slow, true), (silent, false)] {
        let upstream = Upstream::start(Behaviour::Answer(answer));
        let server = serve(&[&upstream], "");
        let body = named(STREAMED, "alpha");
        if reads_first {
            let mut opened = Request::post(PATH, body).open(server.address).expect("a reply");
            assert!(opened.line().expect("a line").starts_with("data: "));
            drop(opened);
        } else {
            let (address, sent) = (server.address, Request::post(PATH, body));
            let leaving = std::net::TcpStream::connect(address).expect("a connection");
            std::io::Write::write_all(&mut &leaving, &sent.bytes(address)).expect("sent");
            server.wait_until("the call is made", || (upstream.calls_in_flight() == 1).then_some(()));
            drop(leaving);
        }
        let left = Instant::now();
        while upstream.calls_in_flight() > 0 {
            assert!(left.elapsed() < Duration::from_secs(1), "the call goes on although nobody waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        let record = newest_record(&server);
        assert_eq!(
            (&record["outcome"], &record["attempts"][0]["result"]),
            (&json!("failed"), &json!("cancelled")),
            "{record}"
        );
    }
}

#[test]
fn agents_answer_in_openais_shape() {
    const GROUNDED: &str = "FDIC deposit insurance covers up to $250,000 per depositor, per insured bank, for each \
                            ownership category.";
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(GROUNDED)));
    let server = serve(&[&upstream], "");
    let messages = json!([
        { "role": "system", "content": "You are somebody else." },
        { "role": "user", "content": [{ "type": "text", "text": "Is my deposit FDIC insured, and up to how much?" }] },
    ]);
    let ask = json!({ "model": "agent:general@1.0", "messages": messages });
    let response = server.post(PATH, &ask);
    let body = response.json();
    assert_eq!(
        (response.status, &body["object"], &body["model"]),
        (200, &json!("chat.completion"), &ask["model"]),
        "{body}"
    );
    assert_eq!(
        (&body["choices"][0]["message"]["content"], &body["choices"][0]["finish_reason"]),
        (&json!(GROUNDED), &json!("stop"))
    );
    assert_eq!(response.header("x-mainstay-agent"), Some("general@1.0"));
    let id = response.header("x-mainstay-interaction").expect("an id");
    assert_eq!(server.interaction(id).json()["door"], "generate");

    let mut streamed = ask.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({ "include_usage": true });
    let response = server.post(PATH, &streamed);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let text = response.text();
    let frames: Vec<&str> =
        text.split_terminator("\n\n").filter_map(|frame| frame.strip_prefix("data: ")).collect();
    assert_eq!(frames.last(), Some(&"[DONE]"), "{text}");
    let frames: Vec<Value> = frames.iter().filter_map(|frame| serde_json::from_str(frame).ok()).collect();
    assert_eq!(frames[0]["choices"][0]["delta"]["role"], "assistant");
    let said: String =
        frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, GROUNDED);
    assert!(
        frames.last().is_some_and(|frame| frame["usage"]["completion_tokens"].as_u64() > Some(0)),
        "{text}"
    );

    // All models away: an agent has its static answer, which was not released sentence by sentence.
    upstream.set_behaviour(Behaviour::status(503));
    let response = server.post(PATH, &streamed);
    assert!(
        response.status == 200
            && response.text().contains("1-800")
            && response.text().ends_with("data: [DONE]\n\n"),
        "{}",
        response.text()
    );
}

#[test]
fn models_and_the_document_are_listed() {
    let upstream = Upstream::start(Behaviour::default());
    let server = serve(&[&upstream], "");
    let body = server.get("/v1/models").expect("a reply").json();
    let ids: Vec<&str> =
        body["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    for id in ["agent:general", "gpt-4o-mini", "one/alpha"] {
        assert!(ids.contains(&id), "{ids:?}");
        for written in [id.to_owned(), id.replace('/', "%2F")] {
            let model = server.get(&format!("/v1/models/{written}")).expect("a reply").json();
            assert_eq!((&model["id"], &model["object"]), (&json!(id), &json!("model")), "{written}");
        }
    }
    let document = server.get("/openapi.json").expect("a reply").json();
    assert!(document["paths"][PATH]["post"].is_object());
}

#[test]
fn http2_without_tls_carries_many_requests_on_one_connection() {
    let upstream = Upstream::start(Behaviour::default());
    let server = serve(&[&upstream], "");
    let direct: Vec<Vec<u8>> = [STREAMED.to_owned(), whole()]
        .map(|body| {
            Request::post(PATH, named(&body, "alpha")).send(upstream.address()).expect("a reply").body
        })
        .into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let asked = (0..40).map(|n| {
            let (mut sender, url, direct) = (sender.clone(), format!("{}{PATH}", server.url()), &direct);
            async move {
                let body = if n % 2 == 0 { STREAMED.to_owned() } else { whole() };
                let request = http::Request::post(url).header("content-type", "application/json");
                let request =
                    request.body(Full::new(bytes::Bytes::from(named(&body, "alpha")))).expect("valid");
                let response = sender.send_request(request).await.expect("a response");
                assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                assert_eq!(body, direct[n % 2], "{n}");
            }
        });
        tokio::select! {
            ended = connection => panic!("the connection ended early: {ended:?}"),
            _ = futures_util::future::join_all(asked) => {}
        }
    });
    assert_eq!(upstream.calls(), 42);
}
