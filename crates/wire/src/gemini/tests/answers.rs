//! Recorded answers that came in one piece.

use domain::conversation::Ending;
use domain::fault::{Kind, Retry};
use domain::token::{TokenCount, Usage};

use super::*;
use crate::stream::Before;

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
        (r#"{"error":{"code":500}}"#, StreamError::Refused(Fault::provider(Kind::Transient))),
    ] {
        assert_eq!(Gemini.answer(body.as_bytes()), Err(want), "{body}");
    }
    let usage = Some(Usage::of(TokenCount(9), TokenCount(2)));
    for (stated, usage) in
        [("", None), (r#","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2}"#, usage)]
    {
        for (body, kind, retry) in [
            (r#""promptFeedback":{"blockReason":"SAFETY"}"#, Kind::Content, Retry::Never),
            (r#""candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]"#, Kind::Unavailable, Retry::Here),
            (r#""candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL"}]"#, Kind::Unavailable, Retry::Here),
            (
                r#""candidates":[{"finishReason":"MISSING_THOUGHT_SIGNATURE"}]"#,
                Kind::Caller,
                Retry::Elsewhere,
            ),
            (r#""candidates":[{"finishReason":"OTHER"}]"#, Kind::Transient, Retry::Here),
        ] {
            let error = Gemini.answer(format!("{{{body}{stated}}}").as_bytes()).expect_err(body);
            let fault = error.fault(Before::Nothing);
            assert_eq!((fault.kind, fault.retry, error.usage()), (kind, retry, usage), "{body}");
        }
    }
    let filtered = Gemini.answer(br#"{"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{}}"#);
    let ending = filtered.expect("an answer without words").ending;
    assert_eq!((ending.finish, ending.usage), (Finish::ContentFilter, None));
}
