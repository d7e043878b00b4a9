//! Chat completions, read and written: requests and whole answers; `streams` and `reasoning` for themselves.

mod reasoning;
mod streams;

use std::time::Duration;

use domain::chat::{ChatRequest, Message, Parameters, Role};
use domain::conversation::{Ending, Format, Media, Part, Speaker, Thinking, Turn, Which};
use domain::model::Overrides;

use super::*;
use crate::sampled;
use crate::texts;

const ANSWER: &[u8] = include_bytes!("../../../golden/openai/stream.sse");
const WHOLE: &[u8] = include_bytes!("../../../golden/openai/answer.json");

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
const OLDER: ChatCompletions = ChatCompletions {
    limit_field: LimitField::MaxTokens,
    responses: Endpoint::Missing,
    thoughts: Thoughts::Taken,
};
const NEWER: ChatCompletions = ChatCompletions {
    limit_field: LimitField::MaxCompletionTokens,
    responses: Endpoint::Missing,
    thoughts: Thoughts::Taken,
};

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

/// The messages that a turn of the user with `parts` makes.
fn messages(parts: Vec<Part>) -> serde_json::Value {
    let turns = vec![Turn { by: Speaker::User, parts }];
    let asked = Conversation { turns, ..Conversation::default() };
    let body = OLDER.request(&asked, WHOLE_CALL).expect("all of it can be said");
    let mut body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    body["messages"].take()
}

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::Result { id: id.to_owned(), parts, is_error: false }
}

#[test]
fn a_cache_point_changes_no_message() {
    let point = || Part::CachePoint(domain::conversation::CacheTime::Usual);
    let text = |text: &str| Part::Text(text.to_owned());
    let results = [result("a", vec![text("1")]), result("b", vec![text("2")])];
    for after in [vec![], vec![text("And now?")]] {
        let plain: Vec<Part> = results.iter().cloned().chain(after).collect();
        let marked = plain.iter().flat_map(|part| [part.clone(), point()]).collect();
        let want = messages(plain);
        assert_eq!(messages(marked), want);
        assert_eq!(want[1]["tool_call_id"], "b", "{want}");
    }
}

#[test]
fn the_user_shows_the_pictures_of_results() {
    let text = |text: &str| Part::Text(text.to_owned());
    let picture = |name: &str| Part::Image { media: Media::Url(format!("https://{name}")), detail: None };
    let shown =
        |name: &str| serde_json::json!({"type":"image_url","image_url":{"url":format!("https://{name}")}});
    let results =
        [result("a", vec![text("1"), picture("x")]), result("b", vec![picture("y")]), result("c", vec![])];
    let found = messages(results.to_vec());
    assert_eq!(found.as_array().map(Vec::len), Some(4), "{found}");
    let contents: Vec<_> = (0..3).map(|n| (&found[n]["role"], &found[n]["content"])).collect();
    let tool = &serde_json::json!("tool");
    let follows = "The image follows in the user's next message.".into();
    assert_eq!(contents, [(tool, &"1".into()), (tool, &follows), (tool, &"".into())]);
    assert_eq!(found[3], serde_json::json!({ "role": "user", "content": [shown("x"), shown("y")] }));
    // One message where the user has more to say, as some models' templates let sides only alternate.
    let found = messages(results.into_iter().chain([text("And?")]).collect());
    assert_eq!(found.as_array().map(Vec::len), Some(4), "{found}");
    let said = serde_json::json!({ "type": "text", "text": "And?" });
    assert_eq!(found[3]["content"], serde_json::json!([shown("x"), shown("y"), said]));
}

#[test]
fn names_that_are_too_long_for_openai_are_digested() {
    let (id, user) = ("toolu_".repeat(9), "user_".repeat(28));
    let call = Part::Call { id: id.clone(), name: "rate".to_owned(), arguments: String::new() };
    let turns = vec![
        Turn { by: Speaker::Assistant, parts: vec![call] },
        Turn { by: Speaker::User, parts: vec![result(&id, vec![])] },
    ];
    let asked = Conversation { turns, user: Some(user), ..Conversation::default() };
    let body = OLDER.request(&asked, WHOLE_CALL).expect("all of it can be said");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let called = body["messages"][0]["tool_calls"][0]["id"].as_str().expect("an id");
    assert!(called.len() <= 40 && called == body["messages"][1]["tool_call_id"], "{body}");
    assert_eq!(body["user"].as_str().map(str::len), Some(64));
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

#[test]
fn reasoning_beside_an_answer_is_output_too() {
    for (prompt, completion, reasoning, total, output) in [
        (10_120, 1_499, 2_809, "14428", 4_308), // xAI
        (10_120, 1_499, 800, "11619", 1_499),   // OpenAI
        (20, 198, 0, "623", 603),               // Gemini's OpenAI endpoint
        (10_120, 1_499, 0, "9", 1_499),
        (10_120, 1_499, 800, "null", 1_499),
        (10_120, 1_499, 2_809, "null", 4_308), // more than all of it is no part
        (10_120, 1_499, 0, "11619", 1_499),
    ] {
        let chat = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},
                "completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
        );
        let raw: Box<RawValue> = serde_json::from_str(&chat).expect("JSON");
        let used = usage(&raw).expect("readable");
        assert_eq!((used.output.0, used.reasoning_output.0), (output, reasoning), "{chat}");
        let body = format!(
            r#"{{"status":"completed","usage":{{"input_tokens":{prompt},"output_tokens":{completion},
                "total_tokens":{total},"output_tokens_details":{{"reasoning_tokens":{reasoning}}}}}}}"#
        );
        let done = crate::openai::responses::Responses.whole(body.as_bytes()).expect("complete");
        let used = done.usage.expect("stated");
        assert_eq!((used.output.0, used.reasoning_output.0), (output, reasoning), "{body}");
    }
}

#[test]
fn what_makes_no_sense_in_a_usage_hides_nothing_else() {
    for (fields, want) in [
        (r#""prompt_tokens":1000.0,"completion_tokens":5e1"#, Some((1_000, 50, 0))),
        (
            r#""prompt_tokens":1000,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":9.0}"#,
            Some((1_000, 50, 9)),
        ),
        (
            r#""prompt_tokens":1000,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":"all"}"#,
            Some((1_000, 50, 0)),
        ),
        (
            r#""prompt_tokens":1000,"completion_tokens":50,"prompt_tokens_details":7,"completion_tokens_details":[]"#,
            Some((1_000, 50, 0)),
        ),
        // What the total leaves; without it, what was said is estimated.
        (r#""prompt_tokens":1000,"completion_tokens":null,"total_tokens":1050"#, Some((1_000, 50, 0))),
        (r#""prompt_tokens":-1,"completion_tokens":50,"total_tokens":1050"#, Some((1_000, 50, 0))),
        (r#""prompt_tokens":1000,"completion_tokens":"many""#, None),
        (r#""prompt_tokens":1000,"total_tokens":7"#, None),
    ] {
        let raw: Box<RawValue> = serde_json::from_str(&format!("{{{fields}}}")).expect("JSON");
        let read = usage(&raw).map(|used| (used.input.0, used.output.0, used.cached_input.0));
        assert_eq!(read, want, "{fields}");
        let fields =
            fields.replace("prompt_tokens", "input_tokens").replace("completion_tokens", "output_tokens");
        let body = format!(r#"{{"status":"completed","usage":{{{fields}}}}}"#);
        let done =
            crate::openai::responses::Responses.whole(body.as_bytes()).expect("an answer all the same");
        let read = done.usage.map(|used| (used.input.0, used.output.0, used.cached_input.0));
        assert_eq!(read, want, "{body}");
    }
}
