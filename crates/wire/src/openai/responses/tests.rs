//! Responses, read, written and passed on.

use std::time::Duration;

use bytes::BytesMut;
use domain::chat::Finish;
use domain::conversation::{Ending, Event, Format, Part, Speaker, Thinking, Which};
use domain::fault::{Fault, Kind};
use domain::token::{TokenCount, Usage};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::openai::chat::ChatCompletions;
use crate::protocol::Protocol;
use crate::relay::tests as relay_tests;
use crate::sampled;

const REQUEST: &[u8] = include_bytes!("../../../golden/openai/responses-request.json");
const CALLS: &[u8] = include_bytes!("../../../golden/openai/stream-calls.sse");

fn read(body: &[u8]) -> Result<Conversation, ReadError> {
    ResponsesFace.conversation(&sampled::relayed(Dialect::OpenAiResponses, Bytes::copy_from_slice(body)))
}

fn about() -> About {
    About { id: "1".to_owned(), created: 7, model: "m".to_owned(), took: Duration::ZERO }
}

#[test]
fn what_every_field_means() {
    let found = read(REQUEST).expect("valid");
    assert_eq!(
        found.instructions,
        [Part::Text("Be brief.".to_owned()), Part::Text("In English.".to_owned())]
    );
    let speakers: Vec<Speaker> = found.turns.iter().map(|turn| turn.by).collect();
    assert_eq!(speakers, [Speaker::User, Speaker::Assistant, Speaker::User, Speaker::User]);
    let [_, said, results, _] = found.turns.as_slice() else { panic!("four turns") };
    let thought = Part::Thought { text: "Two terms.".to_owned(), proof: Some("c2ln".to_owned()) };
    assert_eq!(said.parts[0], thought);
    assert_eq!(said.parts[1], Part::Text("Let me look.".to_owned()));
    assert!(
        matches!(&said.parts[3], Part::Call { id, arguments, .. } if id == "call_b" && arguments == "{}")
    );
    assert_eq!(results.parts.len(), 2, "results of parallel calls belong together");
    assert!(matches!(&found.format, Format::Schema { name, strict: Some(true), .. } if name == "rates"));
    assert_eq!(found.choice.which, Which::This("rate".to_owned()));
    assert_eq!(
        (found.choice.parallel, found.thinking.clone()),
        (Some(false), Thinking::Effort("low".to_owned()))
    );
    assert_eq!((found.sampling.max_tokens, found.sampling.temperature), (Some(70), Some(0.5)));
    assert_eq!(found.tools[0].strict, Some(true));
    let plain = read(br#"{"model":"m","input":"Hi"}"#).expect("valid");
    assert_eq!(plain.turns[0].parts, [Part::Text("Hi".to_owned())]);
}

#[test]
fn nobody_could_fetch_an_answer_made_in_the_background() {
    let read = |value: &str| {
        let body = format!(r#"{{"model":"m","input":"x","background":{value}}}"#);
        relay::read(Bytes::from(body)).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!((read("false"), read("null")), (Ok(()), Ok(())));
    assert!(read("true").expect_err("refused").starts_with("`background` must be false"));
}

#[test]
fn what_cannot_be_carried_is_named() {
    for (body, place) in [
        (r#"{"model":"m"}"#, "input"),
        (r#"{"input":7}"#, "input"),
        (r#"{"input":"x","previous_response_id":"resp_1"}"#, "previous_response_id"),
        (r#"{"input":"x","conversation":{"id":"c"}}"#, "conversation"),
        (r#"{"input":"x","background":true}"#, "background"),
        (r#"{"input":"x","truncation":"auto"}"#, "truncation"),
        (r#"{"input":"x","future":1}"#, "future"),
        (r#"{"input":"x","tools":[{"type":"web_search"}]}"#, "tools[0].type"),
        (r#"{"input":"x","max_output_tokens":0}"#, "max_output_tokens"),
        (r#"{"input":"x","temperature":3}"#, "temperature"),
        (r#"{"input":"x","text":{"format":{"type":"xml"}}}"#, "text.format"),
        (r#"{"input":[{"type":"item_reference","id":"x"}]}"#, "input[0].type"),
        (r#"{"input":[{"role":"narrator","content":"x"}]}"#, "input[0].role"),
        (r#"{"input":[{"role":"user","content":[{"type":"input_audio"}]}]}"#, "input[0].content[0].type"),
        (r#"{"input":[{"type":"function_call","name":"x"}]}"#, "input[0].call_id"),
    ] {
        let error = read(body.as_bytes()).expect_err(body);
        assert_eq!(error.field(), Some(place), "{body}: {error}");
    }
    let kept = read(br#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#).expect_err("nothing is kept");
    assert!(kept.to_string().contains("`store: false`"), "it says what to do: {kept}");
    for hint in [
        r#""store":true"#,
        r#""metadata":{}"#,
        r#""background":false"#,
        r#""include":["reasoning.encrypted_content"]"#,
    ] {
        assert!(read(format!(r#"{{"input":"x",{hint}}}"#).as_bytes()).is_ok(), "{hint}");
    }
}

fn events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut reader = ChatCompletions::default().reader();
    reader.push(CALLS, &mut events).expect("readable");
    events
}

fn written() -> BytesMut {
    let mut writer = ResponsesFace.writer(about(), &sampled::relayed(Dialect::OpenAiResponses, Bytes::new()));
    let mut frames = BytesMut::new();
    events().iter().for_each(|event| writer.write(event, &mut frames));
    frames
}

/// The data of each frame.
fn frames(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).expect("text");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

#[test]
fn a_stream_tells_every_step_and_ends_with_all_of_it() {
    let stream = written();
    let frames = frames(&stream);
    let kinds: Vec<&str> = frames.iter().map(|frame| frame["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds[..3], ["response.created", "response.in_progress", "response.output_item.added"]);
    assert_eq!(kinds.last(), Some(&"response.completed"));
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame["sequence_number"], index);
    }
    for (added, done) in [
        ("response.output_item.added", "response.output_item.done"),
        ("response.content_part.added", "response.content_part.done"),
        ("response.reasoning_summary_part.added", "response.reasoning_summary_part.done"),
    ] {
        let count = |kind| kinds.iter().filter(|found| **found == kind).count();
        assert!(count(added) > 0 && count(added) == count(done), "{added}");
    }
    let response = &frames.last().expect("the end")["response"];
    assert_eq!((&response["status"], &response["usage"]["total_tokens"]), (&"completed".into(), &70.into()));
    let output = response["output"].as_array().expect("a list");
    let kinds: Vec<&str> = output.iter().map(|item| item["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call", "function_call"]);
    assert_eq!(output[1]["content"][0]["text"], "Let me look.");
    assert_eq!((&output[3]["call_id"], &output[3]["arguments"]), (&"call_b".into(), &"{\"term\":24}".into()));
    // What was told piece by piece is what stands there whole.
    let text: String = frames
        .iter()
        .filter(|frame| frame["type"] == "response.output_text.delta")
        .map(|frame| frame["delta"].as_str().expect("text"))
        .collect();
    assert_eq!(text, "Let me look.");
    // And what a caller sends back next time is understood.
    let input = serde_json::json!({ "input": output });
    let again = read(input.to_string().as_bytes()).expect("valid");
    assert_eq!((again.turns.len(), again.turns[0].parts.len()), (1, 4));
}

#[test]
fn a_whole_answer_has_the_same_shape() {
    let mut answer = ChatCompletions::default()
        .answer(include_bytes!("../../../golden/openai/answer.json"))
        .expect("an answer");
    let body: Value = serde_json::from_slice(&ResponsesFace.answer(
        &about(),
        &answer,
        &sampled::relayed(Dialect::OpenAiResponses, Bytes::new()),
    ))
    .expect("JSON");
    assert_eq!(
        (&body["id"], &body["object"], &body["status"]),
        (&"resp_1".into(), &"response".into(), &"completed".into())
    );
    assert_eq!(body["output"][0]["content"][0]["text"], "Yes, up to $250,000.");
    for (finish, reason) in [(Finish::Length, "max_output_tokens"), (Finish::ContentFilter, "content_filter")]
    {
        answer.ending = Ending { finish, stop: None, usage: None };
        let bytes = ResponsesFace.answer(
            &about(),
            &answer,
            &sampled::relayed(Dialect::OpenAiResponses, Bytes::new()),
        );
        let body: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(
            (&body["status"], &body["incomplete_details"]["reason"]),
            (&"incomplete".into(), &reason.into())
        );
        assert_eq!(relay::whole(&bytes).map(|done| done.finish), Ok(finish));
    }
}

/// Anthropic proves thoughts that it does not show, Gemini calls and words without any thought.
#[test]
fn thoughts_come_back_as_they_went_with_words_or_without() {
    let thought =
        |text: &str, proof: &str| Part::Thought { text: text.to_owned(), proof: Some(proof.to_owned()) };
    let parts = vec![
        thought("Two terms.", "c2ln"),
        thought("", "c2ln"),
        thought("", "gemini:c2ln"),
        Part::SealedThought("c2ln".to_owned()),
        Part::Text("Both.".to_owned()),
    ];
    let ending = Ending { finish: Finish::Stop, stop: None, usage: None };
    let answer = Answer { id: String::new(), model: String::new(), parts: parts.clone(), ending };
    let asked = sampled::relayed(Dialect::OpenAiResponses, Bytes::new());
    let written: Value =
        serde_json::from_slice(&ResponsesFace.answer(&about(), &answer, &asked)).expect("JSON");
    let body = serde_json::json!({ "input": written["output"] }).to_string();
    let found = read(body.as_bytes()).expect("its own answer");
    assert_eq!(found.turns, [domain::conversation::Turn { by: Speaker::Assistant, parts }]);
}

#[test]
fn only_what_must_change_changes() {
    let tamed = domain::model::Overrides { max_tokens: Some(300), temperature: Some(0.5) };
    for (body, want) in [
        (
            r#"{"model":"x" , "input":"\u00e9","z":1.50}"#,
            r#"{"model":"m" , "input":"\u00e9","z":1.50,"max_output_tokens":300,"temperature":0.5}"#,
        ),
        (
            r#"{"max_output_tokens":900,"temperature":1,"model":"x"}"#,
            r#"{"max_output_tokens":300,"temperature":0.5,"model":"m"}"#,
        ),
        (
            r#"{"max_output_tokens":20,"model":"x"}"#,
            r#"{"max_output_tokens":20,"model":"m","temperature":0.5}"#,
        ),
        (
            r#"{"max_output_tokens":null,"model":"x"}"#,
            r#"{"max_output_tokens":300,"model":"m","temperature":0.5}"#,
        ),
    ] {
        let relayed = relay::read(Bytes::copy_from_slice(body.as_bytes())).expect("valid");
        let call = Call { model: "m", delivery: Delivery::Whole, overrides: tamed, max_tokens: 9 };
        assert_eq!(Responses.patch(&relayed, call), want);
    }
    for body in [r#"{"input":"x"}"#, r#"{"model":"","input":"x"}"#, r#"{"model":"m","stream":1}"#, "[]"] {
        assert!(relay::read(Bytes::copy_from_slice(body.as_bytes())).is_err(), "{body}");
    }
}

/// What is passed on, and how the stream ended.
fn pass(portions: &[&[u8]]) -> (Vec<u8>, Result<Option<Done>, StreamError>) {
    relay_tests::pass(Responses.portions(&sampled::relayed(Dialect::OpenAiResponses, Bytes::new())), portions)
}

#[test]
fn a_stream_passes_byte_for_byte() {
    let stream = written();
    let (passed, done) = pass(&[&stream]);
    assert_eq!(passed, stream);
    let used = Usage { reasoning_output: TokenCount(9), ..Usage::of(TokenCount(30), TokenCount(40)) };
    assert_eq!(done, Ok(Some(Done { finish: Finish::ToolUse, usage: Some(used) })));
}

#[test]
fn endings_are_told_apart() {
    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
    let end = "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}";
    let failed = |code: &str| {
        format!(
            "data: {{\"type\":\"response.failed\",\"response\":{{\"status\":\"failed\",\"error\":{{\"code\":\"{code}\"}}}}}}\n\n"
        )
    };
    for (body, want) in [
        (format!("{delta}{end}\n\n"), Ok(())),
        (format!("{delta}{end}"), Ok(())), // no blank line
        (String::new(), Err(StreamError::Empty)),
        (delta.to_owned(), Err(StreamError::Cut)),
        (format!("{delta}data: {{\"ty"), Err(StreamError::Cut)),
        (failed("rate_limit_exceeded"), Err(StreamError::Refused(Fault::provider(Kind::Throttled)))),
        (failed("server_error"), Err(StreamError::Refused(Fault::provider(Kind::Transient)))),
        ("data: {oops}\n\n".to_owned(), Err(StreamError::Malformed)),
        (
            "{\"error\":{\"code\":401}}\n\n".to_owned(),
            Err(StreamError::Refused(Fault::provider(Kind::RouteFatal))),
        ),
    ] {
        let portions: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(pass(&portions).1.map(drop), want, "{body}");
    }
}

proptest! {
    #[test]
    fn portions_make_no_difference(cuts in proptest::collection::vec(0_usize..9000, 0..40)) {
        let stream = written();
        prop_assert_eq!(pass(&relay_tests::portions(&stream, cuts)), pass(&[&stream]));
    }

    #[test]
    fn a_cut_anywhere_is_never_a_clean_end(cut in 0_usize..9000) {
        let stream = written();
        let end = stream.windows(18).rposition(|window| window == b"response.completed").expect("in the stream");
        prop_assert!(pass(&[&stream[..cut.min(end)]]).1.is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[\\[\\]{},:\"a-z0-9]{0,60}") {
        let _ = pass(&[&bytes]);
        let _ = read(text.as_bytes());
    }
}
