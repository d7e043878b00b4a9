//! Conversations as golden bodies, recorded answers and streams, and what holds for any of them.

use std::sync::Arc;

use domain::chat::Finish;
use domain::conversation::{
    Block, CacheTime, Conversation, Delta, Ending, Event, Format, Json, Media, Part, Sampling, Speaker,
    Thinking, Tool, ToolChoice, Turn, Which,
};
use domain::fault::{Fault, Kind};
use domain::model::Overrides;
use domain::token::{TokenCount, Usage};
use proptest::prelude::*;

use super::*;
use crate::relay::tests as relay;
use crate::stream::{Before, Progress};

const ANSWER: &[u8] = include_bytes!("../../golden/gemini/answer.json");
const CALLS: &[u8] = include_bytes!("../../golden/gemini/answer-calls.json");
const STREAM: &[u8] = include_bytes!("../../golden/gemini/stream.sse");
const CALLS_STREAM: &[u8] = include_bytes!("../../golden/gemini/stream-calls.sse");

fn call(model: &str, delivery: Delivery) -> Call<'_> {
    let overrides = Overrides { max_tokens: None, temperature: None };
    Call { model, delivery, overrides, max_tokens: 4_096 }
}

fn said(by: Speaker, parts: Vec<Part>) -> Turn {
    Turn { by, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn question() -> Conversation {
    Conversation {
        turns: vec![said(Speaker::User, vec![text("Is my deposit insured?")])],
        ..Conversation::default()
    }
}

fn inline(kind: &str) -> Media {
    Media::Inline { kind: kind.to_owned(), base64: Arc::from("aGk=") }
}

fn tool(name: &str, schema: Option<&str>, strict: Option<bool>) -> Tool {
    let schema = schema.map(Json::checked);
    Tool { name: name.to_owned(), description: Some("Says it.".to_owned()), schema, strict, cache: None }
}

#[expect(clippy::too_many_lines, reason = "all that can be said")]
fn full() -> Conversation {
    let made = |id: &str, name: &str, arguments: &str| Part::Call {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = |id: &str, answer: &str, is_error| Part::Result {
        id: id.to_owned(),
        parts: vec![text(answer)],
        is_error,
    };
    let thought = |text: &str, proof: Option<&str>| Part::Thought {
        text: text.to_owned(),
        proof: proof.map(str::to_owned),
    };
    let image = |media| Part::Image { media, detail: Some("high".to_owned()) };
    Conversation {
        instructions: vec![text("Be brief."), Part::CachePoint(CacheTime::Hour), text("Be kind.")],
        turns: vec![
            said(
                Speaker::User,
                vec![
                    text("What is this?"),
                    image(inline("image/png")),
                    image(Media::Url("https://example.com/a.JPG?x=1".to_owned())),
                    Part::Document { media: Media::Stored("files/abc".to_owned()), name: None },
                    Part::Audio(inline("audio/wav")),
                ],
            ),
            said(
                Speaker::Assistant,
                vec![
                    thought("Hm.", Some("gemini:c2ln")),
                    made("c1", "rate", r#"{"term": 12345678901234567890}"#),
                    made("c2", "today", ""),
                ],
            ),
            said(Speaker::User, vec![result("c1", r#"{"rate":1}"#, false)]),
            said(Speaker::User, vec![result("c2", "no clock", true)]),
            said(Speaker::User, vec![text("And now?")]),
            said(
                Speaker::Assistant,
                vec![
                    thought("Another's.", Some("ErUB")),
                    thought("", Some("ErUB")),
                    Part::SealedThought("x".to_owned()),
                    text(""),
                    text("Yes."),
                    thought("", Some("gemini:ZW5k")),
                    made("c3", "today", "{}"),
                ],
            ),
            said(Speaker::User, vec![result("c3", "Monday", false)]),
            said(Speaker::Assistant, vec![made("c4", "today", "{}"), Part::Refusal("I can't.".to_owned())]),
            said(Speaker::User, vec![result("c4", "Monday", false)]),
        ],
        tools: vec![
            tool("rate", Some(r#"{"type":"object","properties":{"term":{"const":"x"}}}"#), None),
            tool("today", None, None),
        ],
        choice: ToolChoice { which: Which::This("rate".to_owned()), parallel: None },
        format: Format::Text,
        sampling: Sampling {
            max_tokens: Some(300),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            seed: Some(-7),
            stop: vec!["\n\n".to_owned()],
            frequency_penalty: Some(0.1),
            presence_penalty: Some(-0.1),
        },
        thinking: Thinking::Effort("low".to_owned()),
        user: Some("u-1".to_owned()),
    }
}

#[test]
fn requests_are_as_the_golden_files_say() {
    let schema = Json::checked(
        r#"{"type":"object","properties":{"b":{"type":"string"},"a":{"const":1}},"required":["b","a"]}"#,
    );
    let asked = Conversation {
        format: Format::Schema { name: "answer".to_owned(), description: None, schema, strict: Some(true) },
        thinking: Thinking::Tokens(512),
        ..question()
    };
    for (model, conversation, golden) in [
        ("gemini-3-flash-preview", full(), include_str!("../../golden/gemini/request-third.json")),
        ("gemini-2.5-flash", full(), include_str!("../../golden/gemini/request-second.json")),
        ("gemini-2.5-flash", asked, include_str!("../../golden/gemini/request-schema.json")),
    ] {
        let body = Gemini.request(&conversation, call(model, Delivery::Whole)).expect("can be said");
        assert_eq!(String::from_utf8_lossy(&body), golden.trim_end());
        serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
    }
}

#[test]
fn calls_go_to_their_model() {
    for (model, delivery, path) in [
        ("gemini-2.5-pro", Delivery::Whole, "/models/gemini-2.5-pro:generateContent"),
        ("gemini-2.5-pro", Delivery::Streamed, "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("tunedModels/mine", Delivery::Whole, "/tunedModels/mine:generateContent"),
        ("a b?c", Delivery::Whole, "/models/a%20b%3Fc:generateContent"),
    ] {
        assert_eq!(Gemini.place(call(model, delivery)).path, path);
    }
}

#[test]
fn settings_have_their_own_words() {
    let tools = vec![tool("rate", Some("{}"), Some(true))];
    let choose = |which| Conversation {
        tools: tools.clone(),
        choice: ToolChoice { which, parallel: None },
        ..question()
    };
    let think = |thinking| Conversation { thinking, ..question() };
    for (model, conversation, want) in [
        ("gemini-3", choose(Which::Unsaid), r#""mode":"VALIDATED"}"#),
        ("gemini-3", choose(Which::Auto), r#""mode":"VALIDATED"}"#),
        ("gemini-3", choose(Which::Never), r#""mode":"NONE"}"#),
        ("gemini-3", choose(Which::Any), r#""mode":"ANY"}"#),
        (
            "gemini-3",
            Conversation { format: Format::Object, ..question() },
            r#""responseMimeType":"application/json"}"#,
        ),
        ("gemini-2.5", think(Thinking::Off), r#""thinkingConfig":{"thinkingBudget":0}"#),
        ("gemini-2.5", think(Thinking::Adaptive), r#"{"includeThoughts":true,"thinkingBudget":-1}"#),
        ("gemini-3", think(Thinking::Adaptive), r#""thinkingConfig":{"includeThoughts":true}"#),
        ("gemini-2.5", think(Thinking::Effort("medium".to_owned())), r#""thinkingBudget":8192"#),
        ("gemini-3", think(Thinking::Effort("high".to_owned())), r#""thinkingLevel":"high""#),
    ] {
        let body = Gemini.request(&conversation, call(model, Delivery::Whole)).expect("can be said");
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(want), "{want}: {body}");
    }
    let plain = Gemini.request(&question(), call("gemini-3", Delivery::Whole)).expect("can be said");
    assert!(plain.ends_with(br#""generationConfig":{}}"#), "nothing is said that the caller did not say");
}

#[test]
fn what_it_cannot_carry_is_named() {
    let turns = |by, part| Conversation { turns: vec![said(by, vec![part])], ..Conversation::default() };
    let sampling = |sampling| Conversation { sampling, ..question() };
    let tools = vec![tool("rate", Some(r#"{"properties":{"a":{"pattern":"x"}}}"#), Some(true))];
    let image_result = Part::Result {
        id: "c1".to_owned(),
        parts: vec![Part::Image { media: inline("image/png"), detail: None }],
        is_error: false,
    };
    let called = Part::Call { id: "c1".to_owned(), name: "see".to_owned(), arguments: "{}".to_owned() };
    let seen = Conversation {
        turns: vec![said(Speaker::Assistant, vec![called]), said(Speaker::User, vec![image_result])],
        ..Conversation::default()
    };
    assert!(Gemini.request(&seen, call("gemini-3", Delivery::Whole)).is_ok());
    let odd_call = Part::Call { id: "c1".to_owned(), name: "f".to_owned(), arguments: "[1]".to_owned() };
    for (conversation, want) in [
        (turns(Speaker::System, text("Hm.")), "messages[0]: a system message"),
        (
            turns(Speaker::User, Part::Result { id: "x".to_owned(), parts: vec![], is_error: false }),
            "messages[0]: a result",
        ),
        (turns(Speaker::Assistant, odd_call), "messages[0]: the arguments"),
        (turns(Speaker::User, Part::Audio(Media::Stored("file-1".to_owned()))), "messages[0]: a stored file"),
        (seen, "messages[1]: a result"),
        (Conversation { instructions: vec![Part::Audio(inline("audio/wav"))], ..question() }, "system"),
        (sampling(Sampling { seed: Some(1 << 40), ..Sampling::default() }), "seed"),
        (sampling(Sampling { stop: vec![String::new(); 6], ..Sampling::default() }), "stop"),
        (Conversation { thinking: Thinking::Effort("max".to_owned()), ..question() }, "reasoning effort"),
        (
            Conversation {
                tools: vec![tool("rate", None, None)],
                choice: ToolChoice { which: Which::Auto, parallel: Some(false) },
                ..question()
            },
            "parallel_tool_calls",
        ),
        (Conversation { tools: tools.clone(), ..question() }, "tools: rate"),
        (Conversation { tools, format: Format::Object, ..question() }, "tools"),
    ] {
        let refused = Gemini.request(&conversation, call("gemini-2.5-pro", Delivery::Whole)).expect_err(want);
        assert!(refused.to_string().starts_with(&format!("`{want}")), "{want}: {refused}");
    }
    let off = Conversation { thinking: Thinking::Off, ..question() };
    assert!(Gemini.request(&off, call("gemini-3-pro", Delivery::Whole)).is_err());
}

fn usage(input: u32, output: u32, cached: u32, thoughts: u32) -> Option<Usage> {
    Some(Usage {
        cached_input: TokenCount(cached),
        reasoning_output: TokenCount(thoughts),
        ..Usage::of(TokenCount(input), TokenCount(output))
    })
}

#[test]
fn recorded_answers_are_read() {
    let answer = Gemini.answer(ANSWER).expect("an answer");
    assert_eq!((answer.id.as_str(), answer.model.as_str()), ("Il0taoSYJ5Cez7IP", "gemini-3-flash-preview"));
    let thought = |text: &str, proof: Option<&str>| Part::Thought {
        text: text.to_owned(),
        proof: proof.map(str::to_owned),
    };
    assert_eq!(
        answer.parts,
        [
            thought("**Looking at the cover**\n", None),
            text("Yes, up to $250,000."),
            thought("", Some("gemini:c2ln")),
        ]
    );
    assert_eq!(answer.ending, Ending { finish: Finish::Stop, stop: None, usage: usage(19, 108, 16, 100) });

    let answer = Gemini.answer(CALLS).expect("an answer");
    let made = |id: &str, name: &str, arguments: &str| Part::Call {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    assert_eq!(
        answer.parts,
        [
            thought("", Some("gemini:Y2FsbA==")),
            made(
                "call_Il0taoSYJ5Cez7IP_1",
                "rate",
                r#"{"term":"12 \"months\"","amount":12345678901234567890}"#
            ),
            made("fc-2", "today", "{}"),
        ]
    );
    assert_eq!(answer.ending.finish, Finish::ToolUse);
}

/// What came of `portions`: events, and how the stream ended.
fn read(portions: &[&[u8]]) -> (Vec<Event>, Result<(), (StreamError, Fault)>) {
    let mut reader = Gemini.reader();
    let mut events = Vec::new();
    let mut outcome = Ok(());
    for portion in portions {
        outcome = outcome.and_then(|()| reader.push(portion, &mut events).map(|_| ()));
    }
    let outcome = outcome.and_then(|()| reader.end(&mut events));
    (events, outcome.map_err(|error| (error, error.fault(reader.before()))))
}

/// The parts that `events` make, by the rules of [`Event`].
fn parts(events: &[Event]) -> Vec<Part> {
    let (mut parts, mut open, mut n_blocks) = (Vec::new(), None, 0);
    for event in events {
        match event {
            Event::Begun { .. } => assert!(parts.is_empty() && open.is_none()),
            Event::Opened { index, block } => {
                assert_eq!((*index, &open), (n_blocks, &None), "one block at a time, numbered from 0");
                open = Some(match block.clone() {
                    Block::Text => Part::Text(String::new()),
                    Block::Thought => Part::Thought { text: String::new(), proof: None },
                    Block::SealedThought(data) => Part::SealedThought(data),
                    Block::Call { id, name } => Part::Call { id, name, arguments: String::new() },
                    Block::Refusal => Part::Refusal(String::new()),
                });
            }
            Event::Delta { index, delta } => {
                assert_eq!(*index, n_blocks);
                match (open.as_mut().expect("an open block"), delta) {
                    (Part::Text(text) | Part::Thought { text, .. }, Delta::Text(more)) => text.push_str(more),
                    (Part::Call { arguments, .. }, Delta::Arguments(more)) => arguments.push_str(more),
                    (Part::Thought { proof, .. }, Delta::Proof(more)) => {
                        proof.get_or_insert_default().push_str(more);
                    }
                    (part, delta) => panic!("{delta:?} to {part:?}"),
                }
            }
            Event::Closed { index } => {
                assert_eq!(*index, n_blocks);
                parts.push(open.take().expect("an open block"));
                n_blocks += 1;
            }
            Event::Ended(_) => assert_eq!(open, None),
        }
    }
    parts
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    for (stream, whole) in [(STREAM, ANSWER), (CALLS_STREAM, CALLS)] {
        let answer = Gemini.answer(whole).expect("an answer");
        let listed = [b"[", whole, b"]"].concat();
        for body in [stream, whole, &listed] {
            let (events, outcome) = read(&[body]);
            assert_eq!(outcome, Ok(()));
            let Some(Event::Begun { id, model, .. }) = events.first() else { panic!("{events:?}") };
            assert_eq!((id, model), (&answer.id, &answer.model));
            assert_eq!(parts(&events), answer.parts);
            assert_eq!(events.last(), Some(&Event::Ended(answer.ending.clone())));
        }
    }
}

fn frame(text: &str, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!(r#","finishReason":"{reason}""#) };
    format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}{reason}}}]}}\n\n")
}

#[test]
fn only_a_whole_answer_ends_well() {
    let hi = frame("Hi", "");
    let stop = frame("", "STOP");
    let blocked =
        r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":9}}"#;
    let transient = Kind::Transient;
    for (body, want) in [
        (format!("{hi}{stop}"), Ok(Finish::Stop)),
        (frame("Hi", "STOP"), Ok(Finish::Stop)),
        (format!("{hi}{stop}data: {{\"usa"), Ok(Finish::Stop)),
        (format!("{hi}{stop}{}data: what is this\n\n", frame("And more.", "")), Ok(Finish::Stop)),
        (format!("{hi}{stop}").trim_end().to_owned(), Ok(Finish::Stop)), // no blank line
        (frame("Hi", "MAX_TOKENS"), Ok(Finish::Length)),
        (frame("", "MAX_TOKENS"), Ok(Finish::Length)),
        (format!("{hi}{}", frame("", "SAFETY")), Ok(Finish::ContentFilter)),
        (frame("", "RECITATION"), Ok(Finish::ContentFilter)),
        (
            format!("data: {blocked}\n\n"),
            Err((StreamError::Refused(Fault::provider(Kind::Content)), Kind::Content)),
        ),
        (blocked.to_owned(), Err((StreamError::Refused(Fault::provider(Kind::Content)), Kind::Content))),
        (String::new(), Err((StreamError::Empty, transient))),
        (": ping\n\n".repeat(9), Err((StreamError::Empty, transient))),
        ("<html>".to_owned(), Err((StreamError::Empty, transient))),
        (stop.clone(), Err((StreamError::Empty, transient))),
        (hi.clone(), Err((StreamError::Cut, Kind::Truncated))),
        (format!("{hi}data: {{\"can"), Err((StreamError::Cut, Kind::Truncated))),
        ("data: {\"can".to_owned(), Err((StreamError::Cut, transient))),
        ("{\"can".to_owned(), Err((StreamError::Malformed, transient))),
        (format!("{hi}data: {{oops}}\n\n{stop}"), Err((StreamError::Malformed, Kind::Truncated))),
        (frame("\\ud83d", ""), Err((StreamError::Malformed, transient))),
        (frame("", "MALFORMED_FUNCTION_CALL"), Err((StreamError::Malformed, transient))),
        (format!("{hi}{}", frame("", "OTHER")), Err((StreamError::Malformed, Kind::Truncated))),
        (frame("Hi", "OF_THE_FUTURE"), Err((StreamError::Malformed, transient))),
        (
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"data\":\"\"}}]}}]}\n\n"
                .to_owned(),
            Err((StreamError::Malformed, transient)),
        ),
        (
            "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n".to_owned(),
            Err((StreamError::Refused(Fault::provider(transient)), transient)),
        ),
        (
            format!("{hi}data: {{\"error\":{{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}}}\n\n"),
            Err((StreamError::Refused(Fault::provider(Kind::Throttled)), Kind::Truncated)),
        ),
        (
            "[{\"error\":{\"code\":403}}]".to_owned(),
            Err((StreamError::Refused(Fault::provider(Kind::RouteFatal)), Kind::RouteFatal)),
        ),
    ] {
        let (events, outcome) = read(&[body.as_bytes()]);
        let finish = events.iter().find_map(|event| match event {
            Event::Ended(ending) => Some(ending.finish),
            _ => None,
        });
        match want {
            Ok(want) => assert_eq!((outcome, finish), (Ok(()), Some(want)), "{body}"),
            Err((error, kind)) => {
                let (found, fault) = outcome.expect_err(&body);
                assert_eq!((found, fault.kind, finish), (error, kind, None), "{body}");
            }
        }
    }
}

#[test]
fn what_is_no_whole_answer_is_none() {
    for (body, want) in [
        ("", StreamError::Empty),
        ("{}", StreamError::Empty),
        ("[]", StreamError::Malformed),
        (r#"{"candidates":[]}"#, StreamError::Empty),
        (r#"{"candidates":[{"content":{"parts":[{"text":"half"}]}}]}"#, StreamError::Cut),
        (
            r#"{"candidates":[{"content":{"parts":[{"text":7}]},"finishReason":"STOP"}]}"#,
            StreamError::Malformed,
        ),
        (r#"{"candidates":[{"finishReason":"STOP"}]}"#, StreamError::Empty),
        (
            r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
            StreamError::Refused(Fault::provider(Kind::Content)),
        ),
        (r#"{"error":{"code":500}}"#, StreamError::Refused(Fault::provider(Kind::Transient))),
    ] {
        assert_eq!(Gemini.answer(body.as_bytes()), Err(want), "{body}");
    }
    let filtered = Gemini.answer(br#"{"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{}}"#);
    let ending = filtered.expect("an answer without words").ending;
    assert_eq!((ending.finish, ending.usage), (Finish::ContentFilter, None));
}

#[test]
fn progress_tells_silence_from_an_answer() {
    let mut reader = Gemini.reader();
    let mut events = Vec::new();
    for (text, want) in [
        ("\n".to_owned(), Progress::Silent),
        (": ping\n\n".to_owned(), Progress::Silent),
        (frame("Hi", ""), Progress::Answering),
        (": ping\n\n".to_owned(), Progress::Silent),
        (frame("", "STOP"), Progress::Ending),
    ] {
        assert_eq!(reader.push(text.as_bytes(), &mut events), Ok(want), "{text}");
    }
    assert_eq!(reader.before(), Before::Text);
}

/// An answer goes back to Gemini as it came, signatures where they were.
#[test]
fn what_gemini_said_goes_back_as_it_was() {
    for (whole, want) in [
        (
            ANSWER,
            r#"[{"thought":true,"text":"**Looking at the cover**\n"},{"text":"Yes, up to $250,000."},{"text":"","thoughtSignature":"c2ln"}]"#,
        ),
        (
            CALLS,
            r#"[{"functionCall":{"id":"call_Il0taoSYJ5Cez7IP_1","name":"rate","args":{"term":"12 \"months\"","amount":12345678901234567890}},"thoughtSignature":"Y2FsbA=="},{"functionCall":{"id":"fc-2","name":"today","args":{}}}]"#,
        ),
    ] {
        let answer = Gemini.answer(whole).expect("an answer");
        let turns = vec![said(Speaker::Assistant, answer.parts)];
        let conversation = Conversation { turns, ..Conversation::default() };
        let body = Gemini.request(&conversation, call("gemini-3", Delivery::Whole)).expect("can be said");
        let want = format!(r#"{{"contents":[{{"role":"model","parts":{want}}}],"generationConfig":{{}}}}"#);
        assert_eq!(String::from_utf8_lossy(&body), want);
    }
}

proptest! {
    #[test]
    fn portions_make_no_difference(cuts in proptest::collection::vec(0_usize..2200, 0..40), which in 0_usize..3) {
        let body = [STREAM, CALLS_STREAM, ANSWER][which];
        let (events, outcome) = read(&relay::portions(body, cuts));
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(events, read(&[body]).0);
    }

    #[test]
    fn a_cut_anywhere_is_never_a_clean_end(cut in 0_usize..2200, calls: bool) {
        let body = if calls { CALLS_STREAM } else { STREAM };
        // A frame that is whole but for its blank line is read.
        let last = body.trim_ascii_end().len();
        let (events, outcome) = read(&[&body[..cut.min(last - 1)]]);
        prop_assert!(outcome.is_err());
        prop_assert!(!events.iter().any(|event| matches!(event, Event::Ended(_))));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = read(&[&bytes]);
        let _ = Gemini.answer(&bytes);
        let _ = failure::classify_event(&bytes);
    }

    #[test]
    fn any_words_come_through(words: String, thought: String) {
        let piece = serde_json::json!({ "candidates": [{ "finishReason": "STOP", "content": { "parts": [
            { "text": thought, "thought": true }, { "text": words }] } }] });
        let answer = Gemini.answer(piece.to_string().as_bytes());
        let (events, outcome) = read(&[format!("data: {piece}\n\n").as_bytes()]);
        match answer {
            Ok(answer) => {
                prop_assert_eq!(outcome, Ok(()));
                prop_assert_eq!(parts(&events), answer.parts.clone());
                prop_assert_eq!(answer.parts.last(), Some(&Part::Text(words)));
            }
            Err(error) => {
                prop_assert!(words.is_empty());
                prop_assert_eq!(error, StreamError::Empty);
            }
        }
    }

    /// Whatever can be said is JSON, and holds every word of the person.
    #[test]
    fn any_conversation_is_said_or_refused(conversation in crate::sampled::conversation(), third: bool) {
        let model = if third { "gemini-3-pro" } else { "gemini-2.5-pro" };
        if let Ok(body) = Gemini.request(&conversation, call(model, Delivery::Streamed)) {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let said = body["contents"].to_string();
            for part in conversation.turns.iter().flat_map(|turn| &turn.parts) {
                if let Part::Text(text) = part {
                    let text = serde_json::Value::from(text.as_str()).to_string();
                    prop_assert!(said.contains(&text), "{text} in {said}");
                }
            }
        }
    }
}
