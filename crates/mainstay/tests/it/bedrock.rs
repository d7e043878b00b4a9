//! The door that AWS's SDKs know, over HTTP: ids that come encoded, answers of any provider in Bedrock's shape, event
//! streams that end whole or with an exception, and errors as AWS names them.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use testkit::upstream::{Answer, FrameFault};
use testkit::{Behaviour, Upstream};
use wire::bedrock::frame::{self, Cutter, Kind};

use crate::client::{Request, Response};
use crate::folder::{Folder, KEY_VARIABLE};
use crate::server::{Server, Start};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const EMBED: &str = "cohere.embed-v4:0";
const ARN: &str = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-3-haiku";

/// A server before `bedrock` and `openai`.
fn serve(bedrock: &Upstream, openai: &Upstream) -> Server {
    let (aws, one) = (bedrock.base_url(), openai.base_url());
    let settings = format!(
        "schema = 1\n[providers.aws]\nkind = \"bedrock\"\nbase_url = \"{}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
         allow_private = true\n[providers.aws.aws]\nregion = \"eu-central-1\"\n\
         [providers.one]\nkind = \"openai\"\nbase_url = \"{one}\"\nkey = \"env::{KEY_VARIABLE}\"\nallow_private = true\n\
         [models.\"one/alpha\"]\n[models.\"aws/{CLAUDE}\"]\n[models.\"aws/{ARN}\"]\n[models.\"aws/{EMBED}\"]\n\
         [[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/alpha\" }}]\n\
         [aliases]\ngoes-on = \"continued\"\n[routes.continued]\nassured = \"continue\"\n\
         [[routes.continued.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/alpha\" }}]\n\
         [[routes.continued.tiers]]\nname = \"fallback\"\ntargets = [{{ model = \"aws/{CLAUDE}\" }}]\n",
        aws.trim_end_matches("/v1")
    );
    let config = Folder::with_settings(&settings);
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve()
}

fn encoded(model: &str) -> String {
    model.replace(':', "%3A").replace('/', "%2F")
}

fn ask(server: &Server, model: &str, operation: &str, body: &Value) -> Response {
    server.send(&Request::post(&format!("/model/{}/{operation}", encoded(model)), body.to_string()))
}

fn conversation() -> Value {
    json!({ "messages": [{ "role": "user", "content": [{ "text": "Is my deposit insured?" }] }] })
}

/// The events of a stream by name, and the exception that ended it.
fn events(response: &Response) -> (Vec<(String, Value)>, Option<String>) {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/vnd.amazon.eventstream"));
    let mut cutter = Cutter::default();
    cutter.push(&response.body);
    let (mut events, mut exception) = (Vec::new(), None);
    while let Some(bytes) = cutter.next_frame().expect("frames") {
        assert!(exception.is_none(), "nothing follows an exception");
        let frame = frame::read(Bytes::from(bytes.to_vec())).expect("checksums that hold");
        let payload = serde_json::from_slice(&frame.payload).expect("JSON");
        match frame.kind {
            Kind::Event(name) => events.push((name.as_str().to_owned(), payload)),
            Kind::Exception(name) => exception = Some(name.as_str().to_owned()),
            Kind::Error { .. } => panic!("{payload}"),
        }
    }
    assert!(!cutter.is_within_frame(), "half a frame");
    (events, exception)
}

fn said(events: &[(String, Value)]) -> String {
    events.iter().filter_map(|(_, payload)| payload["delta"]["text"].as_str()).collect()
}

#[test]
fn ids_come_encoded_and_go_on_so() {
    let (bedrock, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&bedrock, &openai);
    let body = conversation();
    for (asked, sent) in
        [(CLAUDE.to_owned(), CLAUDE), (format!("aws/{CLAUDE}"), CLAUDE), (format!("aws/{ARN}"), ARN)]
    {
        for operation in ["converse", "converse-stream"] {
            let passed = ask(&server, &asked, operation, &body);
            let path = format!("/model/{}/{operation}", encoded(sent));
            let direct = Request::post(&path, body.to_string()).send(bedrock.address()).expect("a reply");
            assert_eq!(passed.status, 200, "{}", passed.text());
            assert!(passed.body == direct.body, "the provider's own bytes: {}", passed.text());
            let [.., relayed, _] = &bedrock.received()[..] else { panic!("two calls") };
            assert_eq!(relayed.line, format!("POST {path}"), "{asked}");
            assert_eq!(String::from_utf8_lossy(&relayed.body), body.to_string());
            assert_eq!(relayed.header("authorization"), Some("Bearer a-key"));
        }
    }
    assert_eq!(openai.calls(), 0);
}

#[test]
fn any_provider_answers_in_bedrocks_shape() {
    let (bedrock, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&bedrock, &openai);
    let whole = ask(&server, "one/alpha", "converse", &conversation());
    let answer = whole.json();
    assert_eq!((whole.status, &answer["stopReason"]), (200, &json!("end_turn")), "{answer}");
    assert_eq!(answer["output"]["message"]["content"], json!([{ "text": Behaviour::TEXT }]));
    assert_eq!((&answer["usage"]["inputTokens"], &answer["usage"]["outputTokens"]), (&json!(4), &json!(5)));
    assert!(whole.header("x-amzn-requestid").is_some());

    let (stream, exception) = events(&ask(&server, "one/alpha", "converse-stream", &conversation()));
    let names: Vec<&str> = stream.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], exception), ("messageStart", None));
    assert_eq!(names[names.len() - 3..], ["contentBlockStop", "messageStop", "metadata"]);
    assert_eq!(said(&stream), Behaviour::TEXT);

    let claude = json!({ "anthropic_version": "bedrock-2023-05-31", "max_tokens": 99,
        "messages": [{ "role": "user", "content": "Is it?" }] });
    let answer = ask(&server, "one/alpha", "invoke", &claude).json();
    assert_eq!(answer["content"][0]["text"], Behaviour::TEXT, "{answer}");
    let (chunks, exception) = events(&ask(&server, "one/alpha", "invoke-with-response-stream", &claude));
    assert!(exception.is_none() && chunks.iter().all(|(name, _)| name == "chunk"), "{chunks:?}");
    let titan = json!({ "inputText": "Is it?", "textGenerationConfig": { "maxTokenCount": 9 } });
    let answer = ask(&server, "one/alpha", "invoke", &titan).json();
    assert_eq!(answer["results"][0]["outputText"], Behaviour::TEXT, "{answer}");
    assert_eq!(bedrock.calls(), 0);
}

/// The milliseconds that an answer says it took, and those that it can have taken: no fewer than the provider waited, no
/// more than its caller did.
fn told(server: &Server, (model, operation): (&str, &str), body: &Value) -> (Value, RangeInclusive<u64>) {
    let began = Instant::now();
    let response = ask(server, model, operation, body);
    let waited = u64::try_from(began.elapsed().as_millis()).expect("not for ever");
    let told = if operation.ends_with("stream") {
        let (events, _) = events(&response);
        let (name, last) = events.last().expect("events").clone();
        if name == "chunk" {
            chunk(&last)["amazon-bedrock-invocationMetrics"].clone()
        } else {
            last["metrics"].clone()
        }
    } else {
        response.json()["metrics"].clone()
    };
    (told, 200..=waited)
}

fn chunk(event: &Value) -> Value {
    let bytes = STANDARD.decode(event["bytes"].as_str().expect("a chunk")).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn how_long_an_answer_took_is_told() {
    let (bedrock, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    // Five words, and 100 ms before them.
    let wait = Duration::from_millis(20);
    let slow = Answer { delay: wait * 5, token_gap: wait, ..Answer::of(Behaviour::TEXT) };
    let slow_whole = Answer { delay: wait * 10, ..Answer::of(Behaviour::TEXT) };
    let server = serve(&bedrock, &openai);
    for model in ["one/alpha", "agent:personalized_outreach", "goes-on"] {
        for operation in ["converse", "converse-stream"] {
            let is_whole = operation == "converse" || model.starts_with("agent");
            openai.set_behaviour(Behaviour::Answer(if is_whole { slow_whole.clone() } else { slow.clone() }));
            let (told, possible) = told(&server, (model, operation), &conversation());
            let latency = told["latencyMs"].as_u64().expect("milliseconds");
            assert!(possible.contains(&latency), "{model} {operation}: {told}, {possible:?}");
        }
    }
    openai.set_behaviour(Behaviour::Answer(slow));
    let titan = json!({ "inputText": "Is it?", "textGenerationConfig": { "maxTokenCount": 9 } });
    let (told, possible) = told(&server, ("one/alpha", "invoke-with-response-stream"), &titan);
    let (first, whole) = (told["firstByteLatency"].as_u64(), told["invocationLatency"].as_u64());
    assert!(whole.is_some_and(|whole| possible.contains(&whole)), "{told}, {possible:?}");
    assert!(first >= Some(100) && first < whole, "{told}");

    // The provider's own milliseconds pass.
    for operation in ["converse", "converse-stream"] {
        let (told, _) = self::told(&server, (CLAUDE, operation), &conversation());
        assert_eq!(told["latencyMs"], 7, "{operation}");
    }
}

#[test]
fn vectors_are_of_what_the_caller_says_they_are_for() {
    let (bedrock, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&bedrock, &openai);
    let model = format!("aws/{EMBED}");
    for (purpose, want) in [
        (Value::Null, "search_document"),
        (json!("search_document"), "search_document"),
        (json!("search_query"), "search_query"),
        (json!("clustering"), "clustering"),
    ] {
        let body = json!({ "model": model, "input": ["one", "two"], "input_type": purpose });
        let response = server.post("/v1/embeddings", &body);
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.json()["data"].as_array().map(Vec::len), Some(2));
        let sent = bedrock.received().pop().expect("a call").body;
        assert_eq!(serde_json::from_slice::<Value>(&sent).expect("JSON")["input_type"], want);
    }
    let calls = bedrock.calls();
    let body = json!({ "model": model, "input": "one", "input_type": "query" });
    let refused = server.post("/v1/embeddings", &body);
    let error = &refused.json()["error"];
    assert_eq!((refused.status, &error["param"]), (400, &json!("input_type")), "{error}");
    assert_eq!(bedrock.calls(), calls);
}

#[test]
fn a_stream_that_breaks_off_ends_with_an_exception() {
    let (bedrock, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&bedrock, &openai);
    for (model, behaviour) in [
        (CLAUDE, Behaviour::Frame(FrameFault::Checksum)),
        (CLAUDE, Behaviour::Unfinished),
        ("one/alpha", Behaviour::Unfinished),
        ("one/alpha", Behaviour::Malformed(2)),
    ] {
        bedrock.set_behaviour(behaviour.clone());
        openai.set_behaviour(behaviour.clone());
        let (stream, exception) = events(&ask(&server, model, "converse-stream", &conversation()));
        assert_eq!(exception.as_deref(), Some("modelStreamErrorException"), "{model} {behaviour:?}");
        assert!(said(&stream).starts_with("This "), "{stream:?}");
        assert!(stream.iter().all(|(name, _)| name != "messageStop"), "{stream:?}");
    }
}

#[test]
fn errors_are_named_as_aws_names_them() {
    let (bedrock, openai) =
        (Upstream::start(Behaviour::status(503)), Upstream::start(Behaviour::status(503)));
    let server = serve(&bedrock, &openai);
    let nothing = json!({ "messages": "none" });
    for (model, body, want) in [
        ("one/alpha", &nothing, (400, "ValidationException")),
        ("two/beta", &conversation(), (404, "ResourceNotFoundException")),
        ("one/alpha", &conversation(), (503, "ServiceUnavailableException")),
        (CLAUDE, &conversation(), (503, "ServiceUnavailableException")),
    ] {
        for operation in ["converse", "converse-stream"] {
            let response = ask(&server, model, operation, body);
            let name = response.header("x-amzn-errortype").unwrap_or_default();
            assert_eq!((response.status, name), want, "{model}: {}", response.text());
            let error = response.json();
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
            assert!(!response.text().contains("provider says no"), "{error}");
        }
    }
}
