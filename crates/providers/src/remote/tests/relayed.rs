//! Relayed calls: the same bytes as without Mainstay between, and every fault told apart before and after the first.

use domain::chat::{Done, RelayedPortion};
use domain::model::Overrides;

use super::*;

const STREAMED: &str = r#"{ "messages":[{"role":"user","content":"Is it?"}], "model":"x", "stream":true, "stream_options":{"include_usage":true}, "future":[1.50] }"#;

fn whole_body() -> String {
    STREAMED.replace("true", "false")
}

fn relay_call(body: &str) -> RelayCall {
    let relayed = wire::openai::relay::read(Bytes::copy_from_slice(body.as_bytes())).expect("valid");
    relay_of("mock/org/model-1", relayed)
}

/// What is passed on, and how it ended.
async fn relay(bench: &Bench, body: &str) -> (Vec<u8>, Result<Done, CallError>) {
    let mut passed = Vec::new();
    let mut stream = match bench.model.relay(relay_call(body)).await {
        Ok(stream) => stream,
        Err(error) => return (passed, Err(error)),
    };
    let mut end = None;
    while let Some(item) = stream.next().await {
        assert!(end.is_none(), "nothing follows the end");
        match item {
            Ok(RelayedPortion { bytes, done, .. }) => {
                assert!(!bytes.is_empty());
                passed.extend_from_slice(&bytes);
                end = done.map(Ok);
            }
            Err(error) => end = Some(Err(error)),
        }
    }
    (passed, end.expect("every stream says how it ended"))
}

/// The same request without a relay in between.
async fn direct(bench: &Bench, body: &str) -> Vec<u8> {
    let body = Bytes::from(body.replace("\"x\"", "\"org/model-1\""));
    let until = Moment(Duration::from_secs(60));
    let model = ModelId::from("mock/org/model-1");
    let call = shape(&model, Delivery::Streamed, Overrides::default());
    let place = bench.model.parts.protocol.place(call);
    let outgoing = Outgoing::new(place, body, (Delivery::Streamed, None));
    let request = outgoing.request().expect("plain headers");
    let response = bench.model.parts.origin.send(request, until).await.expect("a response");
    response.body.whole(1 << 20, until).await.expect("a body").to_vec()
}

#[tokio::test]
async fn bytes_pass_unchanged_both_ways() {
    for behaviour in
        [Behaviour::default(), Behaviour::Split, Behaviour::CarriageReturns, Behaviour::LengthLimit]
    {
        for body in [STREAMED.to_owned(), whole_body()] {
            let bench = Bench::new(behaviour.clone());
            let want = direct(&bench, &body).await;
            let (passed, end) = relay(&bench, &body).await;
            let (passed, want) = (String::from_utf8_lossy(&passed), String::from_utf8_lossy(&want));
            assert_eq!(passed, want, "{behaviour:?}");
            end.expect("whole");
            let received = bench.upstream.received();
            assert_eq!(received[1].body, received[0].body, "only the model changed");
            assert_eq!(received[1].header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        }
    }
}

#[tokio::test]
async fn usage_is_always_known_and_shown_only_to_those_who_asked() {
    let bench = Bench::new(Behaviour::default());
    let unasked = STREAMED.replace("\"include_usage\":true", "");
    let (passed, end) = relay(&bench, &unasked).await;
    assert!(!String::from_utf8_lossy(&passed).contains("prompt_tokens"));
    assert_eq!(end.expect("whole").usage.map(|usage| usage.input), Some(TokenCount(2)));
    let sent = String::from_utf8(bench.upstream.received().remove(0).body).expect("text");
    assert!(sent.contains("\"include_usage\":true"), "{sent}");
}

#[tokio::test]
async fn what_a_whole_answer_without_usage_says_is_counted() {
    let anthropic = wire::anthropic::relay::read(
        Bytes::from_static(
            br#"{"model":"x","max_tokens":9,"messages":[{"role":"user","content":"Is it?"}]}"#,
        ),
        Dialect::AnthropicMessages,
        Vec::new(),
    );
    let translated = RelayCall { relayed: Arc::new(anthropic.expect("valid")), ..relay_call(STREAMED) };
    let body = r#"{"choices":[{"index":0,"message":{"content":"Yes, it is."},"finish_reason":"stop"}]}"#;
    for call in [relay_call(&whole_body()), translated] {
        let bench = Bench::new(Behaviour::Status {
            status: 200,
            body: body.to_owned(),
            retry_after: RetryAfter::Absent,
        });
        let mut stream = bench.model.relay(call).await.expect("a stream");
        let portion = stream.next().await.expect("a portion").expect("an answer");
        assert_eq!((portion.said, portion.done.map(|done| done.usage)), (11, Some(None)));
    }
}

#[tokio::test]
async fn answers_of_makers_whose_format_is_not_known_are_counted() {
    let body = Bytes::from_static(br#"{"prompt":"Is it?","max_gen_len":9}"#);
    let asked = ("x".to_owned(), Delivery::Whole);
    let relayed = Arc::new(wire::bedrock::invoke::read(body, asked, Vec::new()).expect("valid"));
    let stated = r#"{"generation":"Yes, it is.","prompt_token_count":2,"generation_token_count":5}"#;
    let (silent, headers) = (r#"{"outputs":[{"text":"Yes, it is."}]}"#, ["input", "output"]);
    let headers = headers.map(|what| format!("x-amzn-bedrock-{what}-token-count: 8"));
    let in_headers = RetryAfter::Date(format!("0\r\n{}", headers.join("\r\n")));
    for (body, head, said, usage) in [
        (stated, RetryAfter::Absent, 0, counted(2, 5)),
        (silent, RetryAfter::Absent, 11, None),
        (silent, in_headers, 0, counted(8, 8)),
    ] {
        let behaviour = Behaviour::Status { status: 200, body: body.to_owned(), retry_after: head };
        let bench = Bench::speaking(behaviour, Arc::new(wire::bedrock::protocol::Bedrock));
        let call = RelayCall { relayed: Arc::clone(&relayed), ..relay_call(STREAMED) };
        let mut stream = bench.model.relay(call).await.expect("a stream");
        let portion = stream.next().await.expect("a portion").expect("an answer");
        assert_eq!((portion.said, portion.done.map(|done| done.usage)), (said, Some(usage)), "{body}");
    }
}

#[tokio::test]
async fn an_answer_in_one_piece_is_told_again_as_the_stream_that_was_asked_for() {
    let bench = Bench::new(Behaviour::WholeJson);
    let (passed, end) = relay(&bench, &STREAMED.replace(r#", "future":[1.50]"#, "")).await;
    assert_eq!(end.expect("whole").usage, counted(2, 5));
    let passed = String::from_utf8(passed).expect("text");
    let frames: Vec<&str> = passed.split_terminator("\n\n").map(|frame| &frame["data: ".len()..]).collect();
    let (last, frames) = frames.split_last().expect("frames");
    assert_eq!(*last, "[DONE]");
    let frames: Vec<serde_json::Value> =
        frames.iter().map(|frame| serde_json::from_str(frame).expect("JSON")).collect();
    let said: String =
        frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, Behaviour::TEXT);
    assert!(frames.iter().all(|frame| frame["object"] == "chat.completion.chunk"), "{passed}");
    assert!(frames.iter().any(|frame| frame["usage"]["prompt_tokens"] == 2), "{passed}");
}

#[tokio::test]
async fn faults_before_the_first_word_can_be_tried_elsewhere() {
    let error = |text: &str| text.to_owned();
    for (behaviour, want) in [
        (Behaviour::Empty, Kind::Transient),
        (Behaviour::Malformed(0), Kind::Transient),
        (Behaviour::ErrorFirst(error(r#"{"error":{"type":"server_error"}}"#)), Kind::Transient),
        (Behaviour::ErrorFirst(error(r#"{"error":{"code":"rate_limit_exceeded"}}"#)), Kind::Throttled),
        // Only what could be translated is told again as a stream, and nobody knows what `future` asks for.
        (Behaviour::WholeJson, Kind::Transient),
        (Behaviour::Reset(Phase::BeforeHead), Kind::Transient),
        (Behaviour::Reset(Phase::AfterHead), Kind::Transient),
        (Behaviour::Cut(20), Kind::Transient),
        (Behaviour::LoneSurrogate, Kind::Transient),
        (Behaviour::status(503), Kind::Transient),
        (Behaviour::status(401), Kind::RouteFatal),
    ] {
        let bench = Bench::new(behaviour.clone());
        let (passed, end) = relay(&bench, STREAMED).await;
        let fault = end.expect_err("a fault").error.fault;
        assert_eq!((passed.len(), fault.kind), (0, want), "{behaviour:?}");
    }
}

#[tokio::test]
async fn faults_after_the_first_word_never_look_like_an_end() {
    for behaviour in [
        Behaviour::Unfinished,
        Behaviour::Malformed(2),
        Behaviour::ErrorLater(r#"{"error":{"type":"server_error"}}"#.to_owned()),
        Behaviour::Reset(Phase::MidBody),
        Behaviour::Cut(500),
    ] {
        let bench = Bench::new(behaviour.clone());
        let (passed, end) = relay(&bench, STREAMED).await;
        let passed = String::from_utf8_lossy(&passed);
        assert!(passed.ends_with("}\n\n") && !passed.contains("[DONE]"), "{behaviour:?}: {passed}");
        assert_eq!(end.expect_err("a fault").error.fault.kind, Kind::Truncated, "{behaviour:?}");
    }
    for behaviour in [Behaviour::Unfinished, Behaviour::Cut(50), Behaviour::Empty, Behaviour::Malformed(1)] {
        let bench = Bench::new(behaviour.clone());
        let (passed, end) = relay(&bench, &whole_body()).await;
        assert_eq!(passed.len(), 0, "{behaviour:?}: an answer in one piece is passed on whole or not at all");
        assert_eq!(end.expect_err("a fault").error.fault.kind, Kind::Transient, "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_missing_end_marker_is_added() {
    for behaviour in [Behaviour::NoDone, Behaviour::CloseAfter, Behaviour::NoUsage] {
        let bench = Bench::new(behaviour.clone());
        let (passed, end) = relay(&bench, STREAMED).await;
        assert!(String::from_utf8_lossy(&passed).ends_with("data: [DONE]\n\n"), "{behaviour:?}");
        end.expect("whole");
    }
}

#[tokio::test]
async fn a_refusal_comes_with_the_providers_words() {
    let bench = Bench::new(Behaviour::error(400, "context_length_exceeded"));
    let (_, end) = relay(&bench, STREAMED).await;
    let error = end.expect_err("a refusal");
    let reply = error.reply.expect("words");
    assert_eq!((error.error.fault.kind, reply.status), (Kind::Caller, 400));
    assert_eq!(
        (reply.message.as_str(), reply.code.as_deref()),
        ("provider says no", Some("context_length_exceeded"))
    );
    let bench = Bench::new(Behaviour::EchoKey);
    let error = relay(&bench, STREAMED).await.1.expect_err("a failure");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn silence_ends_a_stream() {
    for (behaviour, want) in [
        (Behaviour::Hang(Phase::BeforeHead), Kind::Timeout),
        (Behaviour::Hang(Phase::AfterHead), Kind::Timeout),
        (Behaviour::Comments, Kind::Timeout),
        (Behaviour::Hang(Phase::MidBody), Kind::Truncated),
    ] {
        let bench = Bench::new(behaviour.clone());
        let mut relaying = std::pin::pin!(relay(&bench, STREAMED));
        let end = loop {
            tokio::select! {
                biased;
                (_, end) = &mut relaying => break end,
                () = tokio::time::sleep(Duration::from_millis(10)) => bench.clock.advance(Duration::from_secs(1)),
            }
        };
        assert_eq!(end.expect_err("silence").error.fault.kind, want, "{behaviour:?}");
    }
    // The answer is complete without what a provider forgets to send after it.
    let bench = Bench::new(Behaviour::HangAfterFinish);
    let mut relaying = std::pin::pin!(relay(&bench, STREAMED));
    let (passed, end) = loop {
        tokio::select! {
            biased;
            ended = &mut relaying => break ended,
            () = tokio::time::sleep(Duration::from_millis(10)) => bench.clock.advance(Duration::from_millis(500)),
        }
    };
    assert!(String::from_utf8_lossy(&passed).ends_with("data: [DONE]\n\n"));
    end.expect("whole");
}

#[tokio::test]
async fn a_caller_who_leaves_closes_the_call() {
    let answer = Answer { token_gap: Duration::from_millis(20), ..Answer::of(&"word ".repeat(1_000)) };
    let bench = Bench::new(Behaviour::Answer(answer));
    let mut stream = bench.model.relay(relay_call(STREAMED)).await.expect("accepted");
    assert!(stream.next().await.expect("a portion").is_ok());
    assert_eq!(bench.upstream.open_connections(), 1);
    drop(stream);
    assert!(bench.upstream.closes_to(0, Duration::from_secs(1)).await);
}
