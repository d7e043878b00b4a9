//! Callers of chat completions with Gemini behind: every behaviour of an upstream, streamed and whole.

use domain::chat::{Done, RelayedPortion};
use serde_json::Value;
use wire::gemini::Gemini;

use super::*;

const ASKED: &str = r#"{"model":"x","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Is it?"}],"max_tokens":50,"stream":true,"stream_options":{"include_usage":true}}"#;

fn body(delivery: Delivery) -> String {
    match delivery {
        Delivery::Streamed => ASKED.to_owned(),
        Delivery::Whole => {
            ASKED.replace("\"stream\":true,", "").replace(",\"stream_options\":{\"include_usage\":true}", "")
        }
    }
}

/// What reached the caller, and how it ended, while time passes.
async fn relay(bench: &Bench, body: &str) -> (String, Result<Done, CallError>) {
    let relayed = wire::openai::relay::read(Bytes::copy_from_slice(body.as_bytes())).expect("valid");
    let call = relay_of("mock/gemini-2.5-flash", relayed);
    let relaying = async {
        let mut passed = Vec::new();
        let mut stream = match bench.model.relay(call).await {
            Ok(stream) => stream,
            Err(error) => return (passed, Err(error)),
        };
        while let Some(item) = stream.next().await {
            match item {
                Ok(RelayedPortion { bytes, done, .. }) => {
                    passed.extend_from_slice(&bytes);
                    if let Some(done) = done {
                        assert!(stream.next().await.is_none(), "nothing follows the end");
                        return (passed, Ok(done));
                    }
                }
                Err(error) => return (passed, Err(error)),
            }
        }
        panic!("a stream that does not say how it ended")
    };
    let mut relaying = std::pin::pin!(relaying);
    let (passed, end) = loop {
        tokio::select! {
            biased;
            ended = &mut relaying => break ended,
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                // Time passes only for who keeps it waiting.
                if bench.upstream.calls() > 0 {
                    bench.clock.advance(Duration::from_millis(100));
                }
            }
        }
    };
    (String::from_utf8(passed).expect("text"), end)
}

/// The words of an answer in the caller's dialect, and why it ended.
fn understood(passed: &str, delivery: Delivery) -> (String, String) {
    let choice = |body: &Value, at: &str| {
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text(&format!("/choices/0/{at}/content")), text("/choices/0/finish_reason"))
    };
    if delivery == Delivery::Whole {
        return choice(&serde_json::from_str(passed).expect("JSON"), "message");
    }
    let frames = passed
        .split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    frames.fold(Default::default(), |(said, ended): (String, String), data| {
        let (more, reason) = choice(&serde_json::from_str(data).expect("JSON"), "delta");
        (said + &more, if reason.is_empty() { ended } else { reason })
    })
}

#[tokio::test]
async fn what_a_given_up_answer_used_is_told_with_its_reason() {
    let body_of = |said: &str| format!(r#"{{{said},"usageMetadata":{{"promptTokenCount":9}}}}"#);
    for delivery in [Delivery::Streamed, Delivery::Whole] {
        for (said, kind, reason) in [
            (
                r#""candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]"#,
                Kind::Unavailable,
                "MALFORMED_FUNCTION_CALL",
            ),
            (r#""promptFeedback":{"blockReason":"SAFETY"}"#, Kind::Content, "blocked"),
        ] {
            let behaviour =
                Behaviour::Status { status: 200, body: body_of(said), retry_after: RetryAfter::Absent };
            let bench = Bench::speaking(behaviour, Arc::new(Gemini));
            let (passed, end) = relay(&bench, &body(delivery)).await;
            let error = end.expect_err(said);
            assert_eq!((passed.as_str(), error.error.fault.kind), ("", kind), "{delivery:?} {said}");
            assert_eq!(error.usage, counted(9, 0), "{delivery:?} {said}");
            let words = error.reply.as_ref().expect("words").message.as_str();
            assert!(words.contains(reason) && error.error.detail.contains(reason), "{error:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_comes_in_the_callers_dialect() {
    for delivery in [Delivery::Streamed, Delivery::Whole] {
        let bench = Bench::speaking(Behaviour::default(), Arc::new(Gemini));
        let (passed, end) = relay(&bench, &body(delivery)).await;
        assert_eq!(end.expect("whole"), Done { finish: Finish::Stop, usage: counted(2, 5) });
        assert_eq!(understood(&passed, delivery), (Behaviour::TEXT.to_owned(), "stop".to_owned()));
        assert_eq!(passed.ends_with("data: [DONE]\n\n"), delivery == Delivery::Streamed);
        assert!(passed.contains("\"prompt_tokens\":2") && passed.contains("\"model\":\"x\""), "{passed}");
        let received = bench.upstream.received().remove(0);
        let path = match delivery {
            Delivery::Streamed => "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            Delivery::Whole => "/v1/models/gemini-2.5-flash:generateContent",
        };
        assert_eq!(received.line, format!("POST {path}"));
        let sent = r#"{"contents":[{"role":"user","parts":[{"text":"Is it?"}]}],"systemInstruction":{"parts":[{"text":"Be brief."}]},"generationConfig":{"maxOutputTokens":50}}"#;
        assert_eq!(String::from_utf8_lossy(&received.body), sent);
    }
}

/// What becomes of a behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A whole answer.
    Whole,
    /// A fault, and nothing of an answer.
    Refused(Kind),
    /// A part of an answer, then a fault.
    Broken,
}

use Outcome::{Broken, Refused, Whole};

/// Streamed, whole, and whose outcomes these are. Those that stand nowhere depend on how fast the machine is.
const OUTCOMES: &[(Outcome, Outcome, &[&str])] = &[
    (
        Whole,
        Whole,
        &[
            "answer",
            "split",
            "html",
            "json",
            "no-done",
            "no-usage",
            "never-closes",
            "hang-after-finish",
            "crlf",
            "clutter",
            "duplicate",
            "early-hints",
            "close-after",
            "content-filter",
            "length",
        ],
    ),
    (
        Broken,
        Refused(Kind::Transient),
        &[
            "no-finish",
            "reset-mid",
            "cut-frames",
            "unfinished",
            "malformed-mid",
            "error-mid",
            "length-too-short",
        ],
    ),
    (Whole, Refused(Kind::Transient), &["text-after-end", "length-too-long"]),
    (
        Refused(Kind::Transient),
        Refused(Kind::Transient),
        &[
            "brownout",
            "down",
            "html-error",
            "echo-key",
            "reset",
            "reset-head",
            "close",
            "cut-first",
            "malformed",
            "error-first",
            "empty",
            "no-body",
            "no-words",
            "huge-head",
            "surrogate",
            "invalid-utf8",
            "gzip",
            "no-http",
        ],
    ),
    (
        Refused(Kind::Throttled),
        Refused(Kind::Throttled),
        &[
            "burst",
            "throttled",
            "throttled-date",
            "throttled-for-ever",
            "throttled-in-the-past",
            "throttled-nonsense",
            "no-credit",
        ],
    ),
    (Refused(Kind::RouteFatal), Refused(Kind::RouteFatal), &["redirect"]),
    (Refused(Kind::Caller), Refused(Kind::Caller), &["too-long", "filtered"]),
    (Refused(Kind::Timeout), Refused(Kind::Timeout), &["hang", "hang-head"]),
    (Broken, Refused(Kind::Timeout), &["hang-mid", "endless"]),
    (Broken, Whole, &["cut"]),
    (Refused(Kind::Timeout), Refused(Kind::Transient), &["comments"]),
];

async fn outcome(name: &str, behaviour: Behaviour, delivery: Delivery) -> Outcome {
    let bench = Bench::speaking(behaviour, Arc::new(Gemini));
    let (passed, end) = relay(&bench, &body(delivery)).await;
    assert!(!passed.contains(KEY) && !passed.contains("provider says no"), "{name}: {passed}");
    assert!(bench.upstream.calls() <= 1, "{name}: a client does not retry");
    assert!(
        bench.upstream.closes_to(1, Duration::from_secs(1)).await,
        "{name}: at most an idle connection stays"
    );
    let is_closed = passed.ends_with("data: [DONE]\n\n");
    match end {
        Ok(_) => {
            let (_, reason) = understood(&passed, delivery);
            assert!(!reason.is_empty(), "{name}: every answer says why it ended");
            assert_eq!(is_closed, delivery == Delivery::Streamed, "{name}");
            Whole
        }
        Err(error) => {
            assert!(!is_closed, "{name}: an end that is none");
            assert!(!format!("{error:?}").contains(KEY), "{name}: {error:?}");
            let kind = error.error.fault.kind;
            if passed.is_empty() {
                return Refused(kind);
            }
            assert_eq!((kind, delivery), (Kind::Truncated, Delivery::Streamed), "{name}");
            Broken
        }
    }
}

#[tokio::test]
async fn every_behaviour_has_its_outcome() {
    let both = |(name, behaviour): (&'static str, Behaviour)| async move {
        let streamed = outcome(name, behaviour.clone(), Delivery::Streamed);
        let (streamed, whole) = futures_util::join!(streamed, outcome(name, behaviour, Delivery::Whole));
        (name, streamed, whole)
    };
    // Gemini's streams have no frames of bytes.
    let named =
        Behaviour::named().into_iter().filter(|(_, behaviour)| !matches!(behaviour, Behaviour::Frame(_)));
    let found = futures_util::future::join_all(named.map(both)).await;
    assert!(found.len() >= 60, "{}", found.len());
    let n_expected: usize = OUTCOMES.iter().map(|(_, _, names)| names.len()).sum();
    assert_eq!(n_expected + 3, found.len(), "all but three have one outcome");
    for (name, streamed, whole) in found {
        let expected = OUTCOMES.iter().find(|(_, _, names)| names.contains(&name));
        if let Some((want_streamed, want_whole, _)) = expected {
            assert_eq!((streamed, whole), (*want_streamed, *want_whole), "{name}");
        }
    }
}
