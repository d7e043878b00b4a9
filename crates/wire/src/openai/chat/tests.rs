//! Chat completions, read and written: requests, whole answers and streams.

use std::time::Duration;

use bytes::BytesMut;
use domain::chat::{ChatRequest, Message, Parameters, Role, UsageFrame};
use domain::conversation::{Block, Delta, Ending, Event, Format, Part, Speaker, Thinking, Turn, Which};
use domain::fault::{Fault, Kind};
use domain::model::Overrides;
use proptest::prelude::*;

use super::*;
use crate::relay::tests as relay;
use crate::sampled;
use crate::stream::{Before, Progress};
use crate::texts;
use crate::told;

fn question() -> ChatRequest {
    ChatRequest {
        messages: vec![
            Message::new(Role::System, "Answer from the passages."),
            Message::new(Role::User, "Is my \"deposit\" insured?\nHow far?"),
        ],
        ..ChatRequest::default()
    }
}

const STREAMED: Call<'_> = Call {
    model: "gpt-4o-mini",
    delivery: Delivery::Streamed,
    overrides: Overrides { max_tokens: None, temperature: None },
    max_tokens: 400,
};
const WHOLE_CALL: Call<'_> = Call { delivery: Delivery::Whole, ..STREAMED };
const OLDER: ChatCompletions =
    ChatCompletions { limit_field: LimitField::MaxTokens, responses: Endpoint::Missing };
const NEWER: ChatCompletions =
    ChatCompletions { limit_field: LimitField::MaxCompletionTokens, responses: Endpoint::Missing };

fn conversation(body: &[u8]) -> Result<Conversation, ReadError> {
    ChatFace.conversation(&sampled::relayed(Dialect::OpenAiChat, Bytes::copy_from_slice(body)))
}

#[test]
fn requests_are_as_the_golden_files_say() {
    let mut full = question();
    full.parameters = Parameters {
        max_tokens: 300,
        temperature: 0.5,
        top_p: Some(0.9),
        seed: Some(7),
        stop: vec!["\n\n".to_owned()],
    };
    for (protocol, call, request, golden) in [
        (OLDER, STREAMED, question(), include_str!("../../../golden/openai/request-streamed.json")),
        (NEWER, WHOLE_CALL, full, include_str!("../../../golden/openai/request-whole.json")),
    ] {
        let body = protocol.request(&texts::conversation(&request), call).expect("texts");
        assert_eq!(String::from_utf8_lossy(&body), golden.trim_end());
    }
}

#[test]
fn what_every_field_means() {
    let body = include_bytes!("../../../golden/openai/request-full.json");
    let found = conversation(body).expect("valid");
    assert_eq!(found.instructions, [Part::Text("Be brief.".to_owned())]);
    let speakers: Vec<Speaker> = found.turns.iter().map(|turn| turn.by).collect();
    assert_eq!(speakers, [Speaker::User, Speaker::Assistant, Speaker::User, Speaker::User]);
    let [_, called, results, _] = found.turns.as_slice() else { panic!("four turns") };
    assert!(
        matches!(&called.parts[0], Part::Thought { proof: Some(proof), .. } if proof == "c2ln"),
        "{called:?}"
    );
    assert!(
        matches!(&called.parts[2], Part::Call { id, name, arguments } if (id.as_str(), name.as_str(), arguments.as_str()) == ("call_b", "rate", "{}"))
    );
    assert_eq!(results.parts.len(), 2, "results of parallel calls belong together");
    assert!(
        matches!(&found.format, Format::Schema { name, strict: Some(true), schema, .. } if name == "rates" && schema.as_str().starts_with("{\"type\""))
    );
    assert_eq!(found.choice.which, Which::This("rate".to_owned()));
    assert_eq!(found.thinking, Thinking::Effort("low".to_owned()));
    assert_eq!((found.sampling.max_tokens, found.sampling.seed), (Some(7), Some(-3)));
    // Out and in again, nothing is lost.
    let again = NEWER.request(&found, WHOLE_CALL).expect("its own dialect");
    assert_eq!(conversation(&again), Ok(found));
}

#[test]
fn what_cannot_be_carried_is_named() {
    let with = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"x"}}]{more}}}"#);
    let message = |message: &str| format!(r#"{{"messages":[{message}]}}"#);
    for (body, place) in [
        ("[]".to_owned(), None),
        ("{}".to_owned(), Some("messages")),
        (r#"{"messages":[]}"#.to_owned(), Some("messages")),
        (with(r#","n":2"#), Some("n")),
        (with(r#","temperature":3"#), Some("temperature")),
        (with(r#","temperature":"hot""#), Some("temperature")),
        (with(r#","top_p":-1"#), Some("top_p")),
        (with(r#","max_tokens":0"#), Some("max_tokens")),
        (with(r#","max_tokens":-1"#), Some("max_tokens")),
        (with(r#","stop":7"#), Some("stop")),
        (with(r#","logprobs":true"#), Some("logprobs")),
        (with(r#","prediction":{}"#), Some("prediction")),
        (with(r#","future_field":1"#), Some("future_field")),
        (with(r#","response_format":{}"#), Some("response_format.type")),
        (with(r#","response_format":"json""#), Some("response_format")),
        (with(r#","response_format":{"type":"json_schema"}"#), Some("response_format.json_schema.schema")),
        (with(r#","tools":[{"type":"custom"}]"#), Some("tools[0].type")),
        (with(r#","tool_choice":"maybe""#), Some("tool_choice")),
        (message(r#"{"role":"user","name":"Ann","content":"x"}"#), Some("messages[0].name")),
        (message(r#"{"role":"function","content":"x"}"#), Some("messages[0].role")),
        (message(r#"{"content":"x"}"#), Some("messages[0].role")),
        (message(r#"{"role":{}}"#), Some("messages[0].role")),
        (message(r#"{"role":"tool","content":"x"}"#), Some("messages[0].tool_call_id")),
        (message(r#"{"role":"user","content":{}}"#), Some("messages[0].content")),
        (message(r#"{"role":"user","content":[{"type":"video"}]}"#), Some("messages[0].content[0].type")),
        (message(r#"{"role":"user","content":[{"type":"image_url"}]}"#), Some("messages[0].content[0]")),
    ] {
        let error = conversation(body.as_bytes()).expect_err(&body);
        assert_eq!(error.field(), place, "{body}: {error}");
        for words in ["line 1", "column", "untagged", "expected a", "invalid type"] {
            assert!(!error.to_string().contains(words), "{error}");
        }
    }
    for hint in [
        r#","metadata":{"a":"b"}"#,
        r#","store":true"#,
        r#","n":1"#,
        r#","logprobs":false"#,
        r#","logit_bias":null"#,
    ] {
        assert!(conversation(with(hint).as_bytes()).is_ok(), "{hint}");
    }
}

#[test]
fn what_chat_completions_cannot_say_is_refused() {
    let mut asked = texts::conversation(&question());
    asked.sampling.top_k = Some(5);
    assert_eq!(OLDER.request(&asked, STREAMED).expect_err("top_k").what, "top_k");
    let mut asked = texts::conversation(&question());
    let image =
        Part::Image { media: domain::conversation::Media::Url("https://a.example".to_owned()), detail: None };
    asked.turns.push(Turn { by: Speaker::Assistant, parts: vec![image] });
    assert!(OLDER.request(&asked, STREAMED).is_err());
}

#[test]
fn whole_answers_are_read() {
    let usage = |input, output, cached| {
        Some(Usage { cached_input: TokenCount(cached), ..Usage::of(TokenCount(input), TokenCount(output)) })
    };
    let text = |text: &str| vec![Part::Text(text.to_owned())];
    for (golden, parts, finish, used) in [
        (
            &include_bytes!("../../../golden/openai/answer.json")[..],
            text("Yes, up to $250,000."),
            Finish::Stop,
            usage(19, 8, 16),
        ),
        (
            include_bytes!("../../../golden/openai/answer-parts.json"),
            text("Yes, up to $250,000."),
            Finish::Length,
            usage(19, 8, 4),
        ),
        (
            include_bytes!("../../../golden/openai/answer-refusal.json"),
            vec![Part::Refusal("I can't help with that.".to_owned())],
            Finish::Stop,
            None,
        ),
        (include_bytes!("../../../golden/openai/answer-filtered.json"), vec![], Finish::ContentFilter, None),
    ] {
        let answer = OLDER.answer(golden).expect("an answer");
        assert_eq!((answer.parts, answer.ending), (parts, Ending { finish, stop: None, usage: used }));
    }
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"message":{"content":"half"},"finish_reason":null}]}"#, // not said to be whole
        r#"{"choices":[{"message":{"content":7},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"content":"half"},"finish_reason":"abort"}]}"#,
        r#"{"choices":[{"message":{"content":"\ud83d"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[{"id":"a"}]},"finish_reason":"stop"}]}"#,
    ] {
        assert_eq!(OLDER.answer(text.as_bytes()), Err(StreamError::Malformed), "{text}");
    }
    let refused = OLDER.answer(br#"{"error":{"message":"no"}}"#);
    assert!(matches!(refused, Err(StreamError::Refused(_))));
}

#[test]
fn odd_usage_does_not_cost_the_answer() {
    for (told, want) in [
        ("null", None),
        ("{}", None),
        (r#"{"prompt_tokens":-1,"completion_tokens":1}"#, None),
        (
            r#"{"prompt_tokens":99999999999,"completion_tokens":1}"#,
            Some(Usage::of(TokenCount(u32::MAX), TokenCount(1))),
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":7}}"#,
            Some(Usage { reasoning_output: TokenCount(7), ..Usage::of(TokenCount(1), TokenCount(9)) }),
        ),
    ] {
        let raw: &RawValue = serde_json::from_str(told).expect("JSON");
        assert_eq!(usage(raw), want, "{told}");
    }
}

/// Tools called in parallel, after a thought and some words, as servers send them.
const CALLS: &[u8] = include_bytes!("../../../golden/openai/stream-calls.sse");

#[test]
fn calls_are_read_block_by_block() {
    let (events, outcome) = read(&[CALLS]);
    assert_eq!(outcome, Ok(()));
    let mut calls: Vec<(String, String, String)> = Vec::new();
    let mut open = None;
    for event in &events {
        match event {
            Event::Opened { index, block } => {
                assert_eq!(open, None, "one block at a time");
                open = Some(*index);
                if let Block::Call { id, name } = block {
                    calls.push((id.clone(), name.clone(), String::new()));
                }
            }
            Event::Delta { index, delta } => {
                assert_eq!(open, Some(*index));
                if let (Delta::Arguments(json), Some(call)) = (delta, calls.last_mut()) {
                    call.2.push_str(json);
                }
            }
            Event::Closed { index } => assert_eq!(open.take(), Some(*index)),
            Event::Begun { .. } | Event::Ended(_) => {}
        }
    }
    let call = |id: &str, arguments: &str| (id.to_owned(), "rate".to_owned(), arguments.to_owned());
    assert_eq!(calls, [call("call_a", r#"{"term":12}"#), call("call_b", r#"{"term":24}"#)]);
    assert!(matches!(events.last(), Some(Event::Ended(Ending { finish: Finish::ToolUse, .. }))));
}

#[test]
fn what_is_written_is_read_back() {
    let about =
        || About { id: "1".to_owned(), created: 7, model: "agent:general".to_owned(), took: Duration::ZERO };
    for stream in [ANSWER, CALLS] {
        let (events, _) = read(&[stream]);
        let mut writer = writer::Writer::new(about(), UsageFrame::Wanted);
        let mut frames = BytesMut::new();
        for event in &events {
            writer.write(event, &mut frames);
        }
        let (again, outcome) = read(&[&frames]);
        assert_eq!(outcome, Ok(()));
        assert_eq!(again[1..], events[1..], "all but our own id and model");
        // Whoever passes our frames on finds them whole, too.
        let mut portions = crate::openai::relay::stream::portions(UsageFrame::Wanted);
        assert_eq!(portions.push(&frames), Ok(Progress::Ended));
        assert_eq!(portions.give_out().expect("all").bytes, frames);
    }
    let answer = OLDER.answer(WHOLE).expect("an answer");
    let asked = sampled::relayed(Dialect::OpenAiChat, Bytes::new());
    let written = ChatFace.answer(&about(), &answer, &asked);
    let again = OLDER.answer(&written).expect("an answer");
    assert_eq!((again.parts, again.ending), (answer.parts, answer.ending));
    assert_eq!((again.id.as_str(), again.model.as_str()), ("chatcmpl-1", "agent:general"));
}

#[test]
fn usage_is_shown_to_those_who_asked() {
    let (events, _) = read(&[ANSWER]);
    for (frame, want) in [(UsageFrame::Wanted, true), (UsageFrame::Unwanted, false)] {
        let about = About { id: "1".to_owned(), created: 7, model: "m".to_owned(), took: Duration::ZERO };
        let mut writer = writer::Writer::new(about, frame);
        let mut frames = BytesMut::new();
        events.iter().for_each(|event| writer.write(event, &mut frames));
        assert_eq!(String::from_utf8_lossy(&frames).contains("prompt_tokens"), want);
    }
}

fn read(portions: &[&[u8]]) -> (Vec<Event>, Result<(), (StreamError, Before)>) {
    told::read(OLDER.reader(), portions)
}

fn text(events: &[Event]) -> String {
    let deltas = events.iter().filter_map(|event| match event {
        Event::Delta { delta: Delta::Text(text), .. } => Some(text.as_str()),
        _ => None,
    });
    deltas.collect()
}

fn frame(text: &str, finish: &str) -> String {
    format!(r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}"#)
        + "\n\n"
}

const ANSWER: &[u8] = include_bytes!("../../../golden/openai/stream.sse");
const WHOLE: &[u8] = include_bytes!("../../../golden/openai/answer.json");

#[test]
fn a_recorded_stream_is_read() {
    let usage = Usage { cached_input: TokenCount(16), ..Usage::of(TokenCount(19), TokenCount(8)) };
    for body in [ANSWER, WHOLE] {
        let (chunks, outcome) = read(&[body]);
        assert_eq!(outcome, Ok(()));
        assert_eq!(text(&chunks), "Yes, up to $250,000.");
        assert_eq!(
            chunks.last(),
            Some(&Event::Ended(Ending { finish: Finish::Stop, stop: None, usage: Some(usage) }))
        );
    }
}

#[test]
fn only_a_whole_answer_ends_well() {
    let hi = frame("Hi", "null");
    let stop = frame("", "\"stop\"");
    let done = "data: [DONE]\n\n";
    let transient = Kind::Transient;
    for (body, want) in [
        (format!("{hi}{stop}{done}"), Ok("Hi")),
        (format!("{hi}{stop}"), Ok("Hi")),             // no end marker
        (format!("{hi}{done}"), Ok("Hi")),             // no reason
        (format!("{hi}{stop}data: [DONE]"), Ok("Hi")), // no blank line
        (format!("{hi}{stop}{done}data: junk\n\n"), Ok("Hi")),
        (format!("{hi}{stop}data: {{\"usa"), Ok("Hi")), // only the usage was cut
        (frame("", "\"length\""), Ok("")),
        (frame("", "\"content_filter\""), Ok("")),
        (String::new(), Err((StreamError::Empty, transient))),
        (": ping\n\n".repeat(9), Err((StreamError::Empty, transient))),
        ("<html>".to_owned(), Err((StreamError::Empty, transient))),
        (done.to_owned(), Err((StreamError::Empty, transient))),
        (stop.clone(), Err((StreamError::Empty, transient))),
        (hi.clone(), Err((StreamError::Cut, Kind::Truncated))),
        (format!("{hi}data: {{\"cho"), Err((StreamError::Cut, Kind::Truncated))),
        ("data: {\"cho".to_owned(), Err((StreamError::Cut, transient))),
        ("data: {oops}\n\n".to_owned(), Err((StreamError::Malformed, transient))),
        (format!("{hi}data: {{oops}}\n\n{stop}{done}"), Err((StreamError::Malformed, Kind::Truncated))),
        (frame("\\ud83d", "null"), Err((StreamError::Malformed, transient))),
        ("{\"choices\":".to_owned(), Err((StreamError::Malformed, transient))),
        (
            "data: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n".to_owned(),
            Err((StreamError::Refused(Fault::provider(Kind::Throttled)), Kind::Throttled)),
        ),
        (
            "event: error\ndata: boom\n\n".to_owned(),
            Err((StreamError::Refused(Fault::provider(transient)), transient)),
        ),
        (
            "{\"error\":{\"code\":401}}".to_owned(),
            Err((StreamError::Refused(Fault::provider(Kind::RouteFatal)), Kind::RouteFatal)),
        ),
        (
            format!("{hi}data: {{\"error\":{{\"type\":\"server_error\"}}}}\n\n"),
            Err((StreamError::Refused(Fault::provider(transient)), Kind::Truncated)),
        ),
        (
            format!("{hi}data: {{\"error\":{{\"code\":\"content_filter\"}}}}\n\n"),
            Err((StreamError::Refused(Fault::provider(Kind::Content)), Kind::Content)),
        ),
    ] {
        let (chunks, outcome) = read(&[body.as_bytes()]);
        let done = chunks.iter().filter(|chunk| matches!(chunk, Event::Ended(_))).count();
        match want {
            Ok(want) => assert_eq!((text(&chunks).as_str(), outcome, done), (want, Ok(()), 1), "{body}"),
            Err((error, kind)) => {
                let (found, before) = outcome.expect_err(&body);
                assert_eq!((found, found.fault(before).kind, done), (error, kind, 0), "{body}");
            }
        }
    }
}

#[test]
fn progress_tells_silence_from_an_answer() {
    let mut reader = OLDER.reader();
    let mut chunks = Vec::new();
    let mut push = |text: &str| reader.push(text.as_bytes(), &mut chunks);
    assert_eq!(push("\n"), Ok(Progress::Silent));
    assert_eq!(push(": ping\n\n"), Ok(Progress::Silent));
    assert_eq!(push(&frame("Hi", "null")), Ok(Progress::Answering));
    assert_eq!(push(": ping\n\n"), Ok(Progress::Silent));
    assert_eq!(push(&frame("", "\"stop\"")), Ok(Progress::Ending));
    assert_eq!(push("data: [DONE]\n\n"), Ok(Progress::Ended));
    assert_eq!(push("data: more\n\n"), Ok(Progress::Ended));
}

proptest! {
    #[test]
    fn portions_make_no_difference(cuts in proptest::collection::vec(0_usize..2000, 0..40), whole: bool) {
        let body = if whole { WHOLE } else { ANSWER };
        let (chunks, outcome) = read(&relay::portions(body, cuts));
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(chunks, read(&[body]).0);
    }

    #[test]
    fn a_cut_anywhere_is_never_a_clean_end(cut in 0_usize..2000) {
        let finish = ANSWER.windows(6).position(|window| window == b"\"stop\"").expect("in the file");
        let cut = cut.min(finish);
        let (_, outcome) = read(&[&ANSWER[..cut]]);
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = read(&[&bytes]);
    }
}

proptest! {
    #[test]
    fn what_goes_out_comes_in_as_it_was(asked in sampled::conversation()) {
        let body = NEWER.request(&asked, WHOLE_CALL).expect("all of it can be said");
        let (asked, found) = (format!("{asked:?}"), format!("{:?}", conversation(&body).expect("valid")));
        prop_assert_eq!(found, asked);
    }

    #[test]
    fn arbitrary_requests_never_panic(text in "[\\[\\]{},:\"a-z0-9]{0,60}") {
        let _ = conversation(text.as_bytes());
    }
}
