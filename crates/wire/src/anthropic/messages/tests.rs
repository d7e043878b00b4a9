//! The format against recorded bodies; `generated` is the format against itself.

use domain::chat::{Tools, UsageFrame};
use domain::conversation::{CacheTime, Ending, Event, Media, Part, Speaker, Thinking, ToolChoice, Which};
use domain::model::Overrides;
use domain::token::{TokenCount, Usage};
use serde_json::{Value, json};

use super::*;
use crate::stream::{Before, Progress};
use crate::told;

mod generated;

const FULL: &[u8] = include_bytes!("../../../golden/anthropic/request-full.json");
const FULL_WRITTEN: &[u8] = include_bytes!("../../../golden/anthropic/request-full-written.json");
const ANSWER: &[u8] = include_bytes!("../../../golden/anthropic/answer.json");
const ANSWER_TOOL: &[u8] = include_bytes!("../../../golden/anthropic/answer-tool.json");
const STREAM: &[u8] = include_bytes!("../../../golden/anthropic/stream.sse");
const STREAM_THINKING: &[u8] = include_bytes!("../../../golden/anthropic/stream-thinking.sse");

fn relayed(body: &[u8]) -> Relayed {
    Relayed {
        dialect: Dialect::AnthropicMessages,
        model: "m".to_owned(),
        body: Bytes::copy_from_slice(body),
        fields: Vec::new(),
        delivery: Delivery::Whole,
        usage: UsageFrame::Wanted,
        tools: Tools::None,
        headers: Vec::new(),
    }
}

fn read(body: &[u8]) -> Result<Conversation, ReadError> {
    Messages.conversation(&relayed(body))
}

fn write(conversation: &Conversation, delivery: Delivery) -> Bytes {
    // The newest model that is told how to sample, and one that takes messages of the system.
    let has_system = conversation.turns.iter().any(|turn| turn.by == Speaker::System);
    let model = if has_system { "claude-opus-4-8" } else { "claude-opus-4-6" };
    let call = Call { model, delivery, overrides: Overrides::default(), max_tokens: 5 };
    Messages.request(conversation, call).expect("it came from this format")
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

#[test]
fn every_field_of_a_request_has_its_place() {
    let conversation = read(FULL).expect("all of it can be carried");
    assert_eq!(conversation.instructions.len(), 3);
    assert_eq!(conversation.instructions[1], Part::CachePoint(CacheTime::Usual));
    assert_eq!(
        conversation.turns.iter().map(|turn| turn.by).collect::<Vec<_>>(),
        [Speaker::User, Speaker::Assistant, Speaker::User]
    );
    let image = |media| Part::Image { media, detail: None };
    let inline = |kind: &str, data: &str| Media::Inline { kind: kind.to_owned(), base64: data.into() };
    let document = |media, name: Option<&str>| Part::Document { media, name: name.map(str::to_owned) };
    assert_eq!(
        conversation.turns[2].parts,
        [
            Part::Result {
                id: "toolu_1".to_owned(),
                parts: vec![text("250000"), image(inline("image/png", "iVBORw0KGgo="))],
                is_error: false
            },
            Part::CachePoint(CacheTime::Hour),
            Part::Result { id: "toolu_2".to_owned(), parts: vec![text("no clock")], is_error: true },
            image(Media::Url("https://example.com/a.png".to_owned())),
            image(Media::Stored("file_1".to_owned())),
            document(inline("application/pdf", "JVBERi0="), Some("Terms")),
            document(inline("text/plain", "wqcgNCBMaW1pdHM="), Some("Note")),
            document(Media::Url("https://example.com/a.pdf".to_owned()), None),
            text("So?"),
        ]
    );
    assert_eq!(conversation.choice, ToolChoice { which: Which::Auto, parallel: Some(false) });
    assert_eq!(conversation.thinking, Thinking::Effort("high".to_owned()));
    assert_eq!(conversation.sampling.stop, ["END", "\n\nHuman:"]);
    assert_eq!(
        (conversation.tools[0].strict, conversation.tools[0].cache),
        (Some(true), Some(CacheTime::FiveMinutes))
    );
    let written: Value = serde_json::from_slice(&write(&conversation, Delivery::Streamed)).expect("JSON");
    assert_eq!(written, serde_json::from_slice::<Value>(FULL_WRITTEN).expect("JSON"));
    assert_eq!(read(FULL_WRITTEN), Ok(conversation));
}

/// That a request with `field` of `value` is refused for what stands at `want`.
fn check_refused(field: &str, value: Value, want: &str) {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    assert!(read(body.to_string().as_bytes()).is_ok());
    body[field] = value;
    let error = read(body.to_string().as_bytes()).expect_err(want);
    assert_eq!(error.field(), Some(want), "{error}");
}

#[test]
fn what_of_a_message_cannot_be_carried_is_named() {
    let block = |block: Value| json!([{"role": "user", "content": [block]}]);
    let said = |block: Value| json!([{"role": "assistant", "content": [block]}]);
    for (messages, want) in [
        (Value::Null, "messages"),
        (json!([]), "messages"),
        (json!([{"role": "tool", "content": ""}]), "messages[0].role"),
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "user", "content": 7}]), "messages[0].content"),
        (json!([{"role": "user", "content": "", "name": "x"}]), "messages[0].name"),
        (block(json!({"type": "search_result"})), "messages[0].content[0].type"),
        (block(json!({"type": "text", "text": "x", "citations": [{}]})), "messages[0].content[0].citations"),
        (block(json!({"type": "tool_use"})), "messages[0].content[0].type"),
        (said(json!({"type": "server_tool_use"})), "messages[0].content[0].type"),
        (said(json!({"type": "tool_result"})), "messages[0].content[0].type"),
        (
            said(json!({"type": "tool_use", "id": "a", "name": "b", "input": [1]})),
            "messages[0].content[0].input",
        ),
        (
            block(
                json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_reference"}]}),
            ),
            "messages[0].content[0].content[0].type",
        ),
        (
            block(
                json!({"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": true}}),
            ),
            "messages[0].content[0].citations.enabled",
        ),
        (block(json!({"type": "image", "source": {"type": "x"}})), "messages[0].content[0].source.type"),
    ] {
        check_refused("messages", messages, want);
    }
}

#[test]
fn what_of_a_request_cannot_be_carried_is_named() {
    for (field, value, want) in [
        ("max_tokens", Value::Null, "max_tokens"),
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!(-1), "max_tokens"),
        ("temperature", json!("hot"), "temperature"),
        ("stop_sequences", json!("x"), "stop_sequences"),
        ("tools", json!([{"type": "web_search_20250305", "name": "web_search"}]), "tools[0].type"),
        ("tools", json!([{"name": "x"}]), "tools[0].input_schema"),
        (
            "tools",
            json!([{"name": "x", "input_schema": {}, "defer_loading": true}]),
            "tools[0].defer_loading",
        ),
        ("tool_choice", json!({"type": "maybe"}), "tool_choice.type"),
        ("thinking", json!({"type": "between_tools"}), "thinking.type"),
        ("thinking", json!({"type": "adaptive", "display": "omitted"}), "thinking.display"),
        ("output_config", json!({"format": {"type": "xml"}}), "output_config.format.type"),
        ("output_config", json!({"task_budget": {}}), "output_config.task_budget"),
        ("metadata", json!({"user_id": "x", "more": 1}), "metadata.more"),
        ("speed", json!("fast"), "speed"),
        ("service_tier", json!("flex"), "service_tier"),
        ("inference_geo", json!("us"), "inference_geo"),
        ("container", json!("c"), "container"),
        ("mcp_servers", json!([]), "mcp_servers"),
        ("context_management", json!({}), "context_management"),
        ("field_of_the_future", json!(false), "field_of_the_future"),
    ] {
        check_refused(field, value, want);
    }
    let both = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "low"}});
    assert_eq!(read(both.to_string().as_bytes()).expect_err("both").field(), Some("output_config.effort"));
    assert_eq!(read(b"[]").expect_err("no object").field(), None);
}

#[test]
fn top_level_cache_control_marks_the_end() {
    let body = json!({"model": "m", "max_tokens": 9, "cache_control": {"type": "ephemeral"},
        "messages": [{"role": "user", "content": "Hi"}]});
    let conversation = read(body.to_string().as_bytes()).expect("valid");
    assert_eq!(conversation.turns[0].parts, [text("Hi"), Part::CachePoint(CacheTime::Usual)]);
}

fn events(portions: &[&[u8]]) -> (Vec<Event>, Result<(), (StreamError, Before)>) {
    told::read(Messages.reader(), portions)
}

fn thinking_answer() -> Answer {
    Answer {
        id: "msg_01".to_owned(),
        model: "claude-opus-4-8".to_owned(),
        parts: vec![
            Part::Thought {
                text: "The limit is in § 4.".to_owned(),
                proof: Some("EqQBCgIYAhIM1gbcDa9GJwZA2b3h".to_owned()),
            },
            Part::SealedThought("EmwKAhgBEgy3va3pzix/LafPsn4a".to_owned()),
            text("Up to $250,000."),
        ],
        ending: Ending {
            finish: Finish::StopText,
            stop: Some("END".to_owned()),
            usage: Some(Usage {
                input: TokenCount(90),
                output: TokenCount(25),
                cached_input: TokenCount(20),
                cache_write_input: TokenCount(30),
                cache_write_hour_input: TokenCount(20),
                reasoning_output: TokenCount(11),
            }),
        },
    }
}

#[test]
fn recorded_answers_are_read() {
    assert_eq!(answer::read(ANSWER), Ok(thinking_answer()));
    for body in [STREAM_THINKING, ANSWER] {
        let (events, ended) = events(&[body]);
        assert_eq!((told::answer(&events), ended), (thinking_answer(), Ok(())));
    }
    let (events, ended) = events(&[STREAM]);
    assert_eq!(ended, Ok(()));
    let answer = told::answer(&events);
    assert_eq!(
        answer.parts,
        [
            text("Okay, let me look up the limit – in § 4."),
            Part::Call {
                id: "toolu_01T1x1fJ34qAmk2tNTrN7Up6".to_owned(),
                name: "find_limit".to_owned(),
                arguments: r#"{"product": "home", "currency": "USD"}"#.to_owned()
            }
        ]
    );
    let usage = Usage::of(TokenCount(472), TokenCount(89));
    assert_eq!(answer.ending, Ending { finish: Finish::ToolUse, stop: None, usage: Some(usage) });
    assert!(matches!(&events[0], Event::Begun { usage: Some(usage), .. } if usage.input.0 == 472));

    let answer = answer::read(ANSWER_TOOL).expect("readable");
    let Part::Call { arguments, .. } = &answer.parts[1] else { panic!("a call") };
    assert_eq!(
        serde_json::from_str::<Value>(arguments).expect("JSON"),
        json!({"product": "home", "amount": 1.5})
    );
    let done = Messages.whole(ANSWER_TOOL).expect("whole");
    assert_eq!((done.finish, done.usage), (Finish::ToolUse, Some(usage)));
}

#[test]
fn only_a_whole_answer_ends_well() {
    let stream = String::from_utf8(STREAM.to_vec()).expect("text");
    let frames: Vec<&str> = stream.split_inclusive("\n\n").collect();
    let until = |n: usize| frames[..n].concat();
    let last = frames.len();
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let start = frames[0];
    for (body, want) in [
        (stream.clone(), Ok(())),
        (until(last - 1), Ok(())),                    // no last event
        (until(last - 2) + frames[last - 1], Ok(())), // no reason
        (until(last - 1) + "event: mess", Ok(())),
        (until(last - 2), Err((StreamError::Cut, Before::Text))),
        (until(4) + error, Err((StreamError::Refused(failure::classify_event(b"")), Before::Text))),
        (
            start.to_owned() + error,
            Err((StreamError::Refused(failure::classify_event(b"")), Before::Nothing)),
        ),
        (start.to_owned() + frames[last - 1], Err((StreamError::Empty, Before::Nothing))),
        (String::new(), Err((StreamError::Empty, Before::Nothing))),
        ("data: {}\n\n".to_owned(), Err((StreamError::Malformed, Before::Nothing))),
        ("{\"type\":\"mess".to_owned(), Err((StreamError::Malformed, Before::Nothing))),
    ] {
        let (events, outcome) = events(&[body.as_bytes()]);
        assert_eq!(outcome, want, "{body}");
        assert_eq!(matches!(events.last(), Some(Event::Ended(_))), want.is_ok(), "{body}");
    }
    let mut reader = Messages.reader();
    assert_eq!(reader.push(b": ping\n\n", &mut Vec::new()), Ok(Progress::Silent));
    assert_eq!(reader.push(until(last - 1).as_bytes(), &mut Vec::new()), Ok(Progress::Ending));
    assert_eq!(reader.push(frames[last - 1].as_bytes(), &mut Vec::new()), Ok(Progress::Ended));
}

#[test]
fn a_call_that_comes_whole_keeps_its_arguments() {
    let frame = |kind: &str, rest: &str| format!("data: {{\"type\":\"{kind}\"{rest}}}\n\n");
    let block = r#","index":0,"content_block":{"type":"tool_use","id":"a","name":"b","input":{"x":1}}"#;
    let body =
        frame("content_block_start", block) + &frame("content_block_stop", "") + &frame("message_stop", "");
    let (events, ended) = events(&[body.as_bytes()]);
    assert_eq!(ended, Ok(()));
    let call = Part::Call { id: "a".to_owned(), name: "b".to_owned(), arguments: r#"{"x":1}"#.to_owned() };
    assert_eq!(told::answer(&events).parts, [call]);
}
