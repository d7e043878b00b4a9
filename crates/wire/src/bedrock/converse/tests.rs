//! Requests, answers and streams against golden files; `failures` is what there is instead, `generated` what holds for any.

mod failures;
mod generated;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::chat::{Delivery, Finish, Tools};
use domain::conversation::{Conversation, Event, Part, Sampling, Speaker, Thinking};
use domain::model::Overrides;
use serde_json::{Value, json};

use super::{answer, inbound, outbound, relay, stream, writer};
use crate::bedrock::frame;
use crate::protocol::OwnDialect;
use crate::stream::{EventReader, EventWriter, Progress, StreamError, Took};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS: &str = "us.anthropic.claude-opus-4-8";
const REQUEST: &[u8] = include_bytes!("../../../golden/bedrock/converse-request.json");
const ANSWER: &[u8] = include_bytes!("../../../golden/bedrock/converse-answer.json");
const STREAM: &[u8] = include_bytes!("../../../golden/bedrock/converse.stream");
const THROTTLED: &[u8] = include_bytes!("../../../golden/bedrock/converse-throttled.stream");

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn a_request_of_boto3_survives() {
    let conversation = inbound::conversation(REQUEST).expect("readable");
    assert_eq!(conversation.turns.len(), 3);
    assert_eq!(conversation.thinking, Thinking::Tokens(1024));
    assert_eq!(conversation.sampling.top_k, Some(40));
    let Some(Part::Result { id, is_error: true, .. }) = conversation.turns[2].parts.get(1) else {
        panic!("the second result failed");
    };
    assert_eq!(id, "tooluse_2");
    let written = outbound::request(&conversation, CLAUDE).expect("carried");
    assert_eq!(value(&written), value(REQUEST));
}

#[test]
fn blank_texts_are_left_out_of_what_a_call_gave() {
    let result = |content: Value| {
        let called = json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]});
        let gave =
            json!({"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": content}}]});
        let asked = json!({"role": "user", "content": [{"text": "x"}]});
        let tools = json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]});
        let body = json!({"messages": [asked, called, gave], "toolConfig": tools}).to_string();
        let conversation = inbound::conversation(body.as_bytes()).expect("readable");
        let written = value(&outbound::request(&conversation, CLAUDE).expect("carried"));
        written["messages"][2]["content"][0]["toolResult"]["content"].clone()
    };
    assert_eq!(result(json!([{"text": " \n"}, {"text": "7"}])), json!([{"text": "7"}]));
    assert_eq!(result(json!([{"text": ""}])), json!([]));
}

#[test]
fn hints_are_left_out_and_the_rest_is_refused_by_name() {
    let with = |field: &str, value: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": [{"text": "x"}]}]});
        body[field] = value;
        inbound::conversation(body.to_string().as_bytes())
    };
    for (field, hint) in [
        ("requestMetadata", json!({"team": "a"})),
        ("performanceConfig", json!({"latency": "optimized"})),
        ("serviceTier", json!({"type": "flex"})),
        ("additionalModelResponseFieldPaths", json!([])),
        ("additionalModelResponseFieldPaths", json!(["/delta/stop_sequence"])),
    ] {
        assert!(with(field, hint).is_ok(), "{field}");
    }
    for (field, refused, want) in [
        ("guardrailConfig", json!({"guardrailIdentifier": "x"}), "guardrailConfig"),
        ("promptVariables", json!({"a": {"text": "b"}}), "promptVariables"),
        ("additionalModelResponseFieldPaths", json!(["", "/x"]), "additionalModelResponseFieldPaths"),
        ("future", json!(1), "future"),
        ("additionalModelRequestFields", json!({"magic": 1}), "magic"),
        ("inferenceConfig", json!({"magic": 1}), "magic"),
        ("messages", json!([{"role": "user", "content": [{"video": {}}]}]), "messages[0].content[0]"),
        ("messages", json!([{"role": "user", "content": [{"text": 7}]}]), "messages[0].content[0]"),
        ("messages", json!([{"role": "user"}]), "`content` is missing"),
        (
            "messages",
            json!([{"role": "user", "content": [{"image": {"format": "bmp", "source": {"bytes": "eA=="}}}]}]),
            "png",
        ),
        (
            "messages",
            json!([{"role": "user", "content": [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}]}]),
            "s3Location",
        ),
        (
            "outputConfig",
            json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}}),
            "jsonSchema.schema",
        ),
    ] {
        let error = with(field, refused).expect_err(field).to_string();
        assert!(error.contains(want), "{field}: {error}");
    }
    assert!(inbound::conversation(b"nonsense").is_err());
}

#[test]
fn what_bedrock_cannot_be_told_is_refused_by_name() {
    let ask = || {
        inbound::conversation(br#"{"messages":[{"role":"user","content":[{"text":"x"}]}]}"#)
            .expect("readable")
    };
    type Change = fn(&mut Conversation);
    let changes: [(Change, &str, &str); 8] = [
        (|asked| asked.sampling.seed = Some(1), CLAUDE, "seed"),
        (|asked| asked.sampling.presence_penalty = Some(1.0), CLAUDE, "presence_penalty"),
        (|asked| asked.sampling.temperature = Some(1.5), CLAUDE, "temperature"),
        (|asked| asked.sampling.top_k = Some(5), "meta.llama3-70b-instruct-v1:0", "top_k"),
        (|asked| asked.thinking = Thinking::Tokens(5), "amazon.nova-pro-v1:0", "thinking"),
        (|asked| asked.format = domain::conversation::Format::Object, CLAUDE, "response format"),
        (|asked| asked.turns.clear(), CLAUDE, "messages"),
        (
            |asked| {
                let media = domain::conversation::Media::Url("https://example.com/a.png".to_owned());
                asked.turns[0].parts.push(Part::Image { media, detail: None });
            },
            CLAUDE,
            "messages[0]: an image",
        ),
    ];
    for (change, model, want) in changes {
        let mut asked = ask();
        assert!(outbound::request(&asked, model).is_ok());
        change(&mut asked);
        let error = outbound::request(&asked, model).expect_err(want);
        assert_eq!(error.what, want);
    }
}

#[test]
fn turns_of_one_side_are_joined_and_empty_ones_left_out() {
    let turn = |by, text: &str| domain::conversation::Turn { by, parts: vec![Part::Text(text.to_owned())] };
    let turns = vec![
        turn(Speaker::User, "a"),
        turn(Speaker::Assistant, ""),
        turn(Speaker::User, "b"),
        turn(Speaker::User, "\n"),
        turn(Speaker::Assistant, "\n\n"),
        turn(Speaker::Assistant, "c"),
        turn(Speaker::User, " "),
    ];
    let asked = Conversation { turns, ..Conversation::default() };
    let body = value(&outbound::request(&asked, CLAUDE).expect("carried"));
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}, {"role": "assistant", "content": [{"text": "c"}]},
            {"role": "user", "content": [{"text": " "}]}])
    );
}

#[test]
fn claude_is_told_what_its_version_takes() {
    let ask = |change: &dyn Fn(&mut Conversation), model| {
        let mut asked = inbound::conversation(br#"{"messages":[{"role":"user","content":[{"text":"x"}]}]}"#)
            .expect("readable");
        change(&mut asked);
        outbound::request(&asked, model).map(|body| value(&body))
    };
    for (model, word, want) in [
        (CLAUDE, "low", json!([{"thinking": {"type": "enabled", "budget_tokens": 1024}}, null])),
        (CLAUDE, "none", json!([{"thinking": {"type": "disabled"}}, null])),
        (OPUS, "minimal", json!([{"thinking": {"type": "adaptive"}}, {"effort": "low"}])),
    ] {
        let body = ask(&|asked| asked.thinking = Thinking::Effort(word.to_owned()), model).expect(word);
        assert_eq!(
            json!([body["additionalModelRequestFields"], body["outputConfig"]]),
            want,
            "{model} {word}"
        );
    }
    let sampled = |asked: &mut Conversation| {
        let (temperature, top_p, top_k) = (Some(0.5), Some(0.5), Some(5));
        asked.sampling = Sampling { temperature, top_p, top_k, max_tokens: Some(9), ..Sampling::default() };
    };
    let body = ask(&sampled, OPUS).expect("left out");
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 9}));
    assert_eq!(body["additionalModelRequestFields"], Value::Null);
    assert_eq!(ask(&sampled, CLAUDE).expect("told")["inferenceConfig"]["topP"], 0.5);
    let budget = |asked: &mut Conversation| asked.thinking = Thinking::Tokens(2_000);
    assert_eq!(ask(&budget, OPUS).expect_err("no budgets").what, "thinking");
    let late = |asked: &mut Conversation| {
        let parts = vec![Part::Text("Now in French".to_owned())];
        asked.turns.push(domain::conversation::Turn { by: Speaker::System, parts });
    };
    assert_eq!(ask(&late, CLAUDE).expect_err("too old").what, "messages[1]: a message of the system");
    assert_eq!(ask(&late, OPUS).expect("newer models take it")["messages"][1]["role"], "system");
}

#[test]
fn a_model_is_told_to_think_in_its_own_words() {
    let effort = Thinking::Effort("low".to_owned());
    for (model, thinking, want) in [
        (CLAUDE, Thinking::Off, json!([{"thinking": {"type": "disabled"}}, null])),
        (
            CLAUDE,
            Thinking::Tokens(2000),
            json!([{"thinking": {"type": "enabled", "budget_tokens": 2000}}, null]),
        ),
        (OPUS, effort.clone(), json!([{"thinking": {"type": "adaptive"}}, {"effort": "low"}])),
        (
            "us.amazon.nova-2-lite-v1:0",
            effort.clone(),
            json!([{"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, null]),
        ),
        ("openai.gpt-oss-120b-1:0", effort, json!([{"reasoning_effort": "low"}, null])),
    ] {
        let mut asked = inbound::conversation(br#"{"messages":[{"role":"user","content":[{"text":"x"}]}]}"#)
            .expect("readable");
        asked.thinking = thinking.clone();
        let written = outbound::request(&asked, model).expect("carried");
        let body = value(&written);
        assert_eq!(json!([body["additionalModelRequestFields"], body["outputConfig"]]), want, "{model}");
        assert_eq!(inbound::conversation(&written).expect("readable").thinking, thinking);
    }
}

#[test]
fn an_answer_is_read_and_written() {
    let read = answer::read(ANSWER).expect("an answer");
    let usage = read.ending.usage.expect("told");
    assert_eq!(read.ending.finish, Finish::ToolUse);
    assert_eq!((usage.input.0, usage.cached_input.0, usage.cache_write_input.0), (150, 5, 20));
    assert_eq!((usage.cache_write_hour_input.0, usage.output.0), (10, 60));
    assert_eq!(read.parts.len(), 3);
    let took = Duration::from_millis(1_500);
    let written = value(&answer::write(&read, took));
    assert_eq!(written["metrics"], json!({"latencyMs": 1500}));
    assert_eq!(written["output"], value(ANSWER)["output"]);
    assert_eq!(written["usage"]["totalTokens"], 210);
    assert_eq!(answer::read(&answer::write(&read, took)), Ok(read));
    for (body, want) in [
        ("", StreamError::Empty),
        ("{", StreamError::Malformed),
        ("{}", StreamError::Malformed),
        (r#"{"message":"x"}"#, StreamError::Malformed),
        (
            r#"{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"malformed_tool_use"}"#,
            StreamError::misspoke("malformed_tool_use", None),
        ),
    ] {
        assert_eq!(answer::read(body.as_bytes()), Err(want), "{body}");
    }
    // Passed on it is no matter of ours that the model broke down.
    let broken =
        br#"{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"malformed_tool_use"}"#;
    assert_eq!(relay::Converse.whole(broken).map(|done| done.finish), Ok(Finish::Stop));
    assert_eq!(relay::Converse.whole(b"{}"), Err(StreamError::Malformed));
}

#[test]
fn arguments_that_are_no_json_are_said_as_text() {
    let mut read = answer::read(ANSWER).expect("an answer");
    read.parts = vec![Part::Call { id: "a.b".into(), name: "f".into(), arguments: "{\"x\":".into() }];
    let written = value(&answer::write(&read, Duration::ZERO));
    let call = &written["output"]["message"]["content"][0]["toolUse"];
    assert_eq!(call["input"], json!("{\"x\":"));
    assert_eq!(call["toolUseId"], "msb64-YS5i");
}

/// All events of `bytes` in portions of `size`.
fn read_stream(bytes: &[u8], size: usize) -> Result<Vec<Event>, (StreamError, Vec<Event>)> {
    let (mut reader, mut events) = (stream::Reader::default(), Vec::new());
    for portion in bytes.chunks(size.max(1)) {
        match reader.push(portion, &mut events) {
            Ok(Progress::Ended) => return Ok(events),
            Ok(_) => {}
            Err(error) => return Err((error, events)),
        }
    }
    reader.end(&mut events).map_err(|error| (error, events.clone()))?;
    Ok(events)
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event {
        Event::Begun { .. } => "begun",
        Event::Opened { .. } => "opened",
        Event::Delta { .. } => "delta",
        Event::Closed { .. } => "closed",
        Event::Ended(_) => "ended",
    };
    events.iter().map(kind).collect()
}

#[test]
fn a_stream_is_read_and_written() {
    let events = read_stream(STREAM, 100_000).expect("whole");
    #[rustfmt::skip]
    assert_eq!(kinds(&events), [
        "begun", "opened", "delta", "delta", "delta", "closed", "opened", "delta", "delta", "closed",
        "opened", "delta", "delta", "closed", "ended",
    ]);
    let Some(Event::Ended(ending)) = events.last() else { panic!("it ended") };
    assert_eq!(ending.usage.map(|usage| (usage.input.0, usage.output.0)), Some((17, 34)));
    let (mut writer, mut frames) = (writer::Writer::default(), BytesMut::new());
    writer.took(Took { first: Duration::from_millis(40), whole: Duration::from_millis(1_500) });
    for event in &events {
        writer.write(event, &mut frames);
    }
    assert!(String::from_utf8_lossy(&frames).contains(r#""metrics":{"latencyMs":1500}"#));
    assert_eq!(read_stream(&frames, 7).expect("whole"), events);
    // In the order of AWS: text has no start, thoughts neither, every block has a stop.
    let names = |mut rest: Bytes| {
        let mut names = Vec::new();
        while let Ok(Some(length)) = frame::length(&rest) {
            let Ok(frame::Frame { kind: frame::Kind::Event(name), .. }) = frame::read(rest.split_to(length))
            else {
                panic!("an event");
            };
            names.push(name.as_str().to_owned());
        }
        names
    };
    assert_eq!(names(frames.freeze()), names(Bytes::from_static(STREAM)));
}

/// The end of the frame that says why the answer ended.
fn stop_end() -> usize {
    let mut end = 0;
    while let Ok(Some(length)) = frame::length(&STREAM[end..]) {
        let read = frame::read(Bytes::copy_from_slice(&STREAM[end..end + length])).expect("a frame");
        end += length;
        if read.kind == frame::Kind::Event("messageStop".into()) {
            break;
        }
    }
    end
}

#[test]
fn a_cut_anywhere_is_never_a_clean_end() {
    let complete = stop_end();
    for cut in 0..STREAM.len() {
        let part = &STREAM[..cut];
        assert_eq!(read_stream(part, 4096).is_ok(), cut >= complete, "cut at {cut}");
        let mut portions = relay::Converse.portions(&request());
        portions.push(part).expect("frames");
        let given = portions.give_out();
        assert!(given.is_none_or(|given| given.done.is_none()), "cut at {cut}");
        let ended = portions.end();
        assert_eq!(ended.is_ok(), cut >= complete, "cut at {cut}");
    }
}

fn request() -> domain::chat::Relayed {
    relay::read(Bytes::from_static(REQUEST), ("m".to_owned(), Delivery::Streamed)).expect("readable")
}

#[test]
fn only_the_limits_change() {
    let tamed = Overrides { max_tokens: Some(200), temperature: Some(0.25) };
    for (body, want) in [
        ("{}", r#"{"inferenceConfig":{"maxTokens":200,"temperature":0.25}}"#),
        (
            r#"{ "messages" : [] }"#,
            r#"{ "messages" : [] ,"inferenceConfig":{"maxTokens":200,"temperature":0.25}}"#,
        ),
        (
            r#"{"inferenceConfig":null,"x":1.50}"#,
            r#"{"inferenceConfig":{"maxTokens":200,"temperature":0.25},"x":1.50}"#,
        ),
        (r#"{"inferenceConfig": { } }"#, r#"{"inferenceConfig": { "maxTokens":200,"temperature":0.25} }"#),
        (
            r#"{"inferenceConfig":{"topP" : 1.0, "maxTokens" : 100},"future":[{"maxTokens":9}]}"#,
            r#"{"inferenceConfig":{"topP" : 1.0, "maxTokens" : 100,"temperature":0.25},"future":[{"maxTokens":9}]}"#,
        ),
        (
            r#"{"inferenceConfig":{"temperature":1,"maxTokens":201}}"#,
            r#"{"inferenceConfig":{"temperature":0.25,"maxTokens":200}}"#,
        ),
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let relayed = relay::read(body.clone(), ("m".to_owned(), Delivery::Whole)).expect("readable");
        assert_eq!(relay::patch(&relayed, tamed), want);
        assert_eq!(relay::patch(&relayed, Overrides::default()).as_ptr(), body.as_ptr(), "not even copied");
    }
    assert_eq!(request().tools, Tools::Named);
    assert!(relay::read(Bytes::from_static(b"[]"), ("m".to_owned(), Delivery::Whole)).is_err());
}
