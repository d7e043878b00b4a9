//! Streams and answers that are none.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use domain::fault::Kind;
use domain::meter::Stated;
use domain::token::{TokenCount, Usage};

use super::*;
use crate::stream::Before;

#[test]
fn an_exception_in_the_stream_is_what_it_says() {
    let (error, events) = read_stream(THROTTLED, 11).expect_err("an exception");
    assert!(matches!(error, StreamError::Refused(fault) if fault.kind == Kind::Throttled));
    assert!(!events.is_empty());
    let mut portions = relay::Converse.portions(&request());
    let error = portions.push(THROTTLED).expect_err("an exception");
    assert!(matches!(error, StreamError::Refused(fault) if fault.kind == Kind::Throttled));
    let given = portions.give_out().expect("what came before");
    assert!(given.done.is_none() && THROTTLED.starts_with(&given.bytes));
}

#[test]
fn an_error_without_an_exception_is_what_its_headers_say() {
    let (invalid, gone) = ("Input is too long", "The provided model identifier is invalid.");
    for (code, message, kind) in [
        ("ThrottlingException", "slow down", Kind::Throttled),
        ("ValidationException", invalid, Kind::Caller),
        ("ValidationException", gone, Kind::RouteFatal),
        ("InternalFailure", "", Kind::Transient),
        ("", "", Kind::Transient),
    ] {
        let header =
            |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
        let headers = vec![
            header(":message-type", "error"),
            header(":error-code", code),
            header(":error-message", message),
        ];
        let mut frames = BytesMut::new();
        write_message_to(&Message::new_from_parts(headers, Bytes::new()), &mut frames).expect("small");
        let (read, _) = read_stream(&frames, 11).expect_err(code);
        let passed = relay::Converse.portions(&request()).push(&frames).expect_err(code);
        assert_eq!((read.fault(Before::Nothing).kind, passed), (kind, read), "{code}: {message}");
    }
}

#[test]
fn a_model_that_gives_up_says_why_and_what_it_used() {
    let usage = Some(Usage::of(TokenCount(9), TokenCount(2)));
    for (reason, kind) in [
        ("malformed_tool_use", Kind::Unavailable),
        ("malformed_model_output", Kind::Unavailable),
        ("of_the_future", Kind::Transient),
    ] {
        let tokens = r#""usage":{"inputTokens":9,"outputTokens":2,"totalTokens":11}"#;
        let whole =
            format!(r#"{{"output":{{"message":{{"content":[]}}}},"stopReason":"{reason}",{tokens}}}"#);
        let error = answer::read(whole.as_bytes()).expect_err(reason);
        assert_eq!((error.fault(Before::Nothing).kind, error.usage()), (kind, usage), "{reason}");

        let mut frames = BytesMut::new();
        frame::event("messageStart", &br#"{"role":"assistant"}"#[..], &mut frames);
        frame::event("messageStop", format!(r#"{{"stopReason":"{reason}"}}"#).into_bytes(), &mut frames);
        let (cut, events) = read_stream(&frames, 11).expect_err(reason);
        assert_eq!((cut.fault(Before::Nothing).kind, cut.usage()), (kind, None), "{reason}");
        assert!(!events.iter().any(|event| matches!(event, Event::Ended(_))));
        frame::event("metadata", format!("{{{tokens}}}").into_bytes(), &mut frames);
        let (told, _) = read_stream(&frames, 11).expect_err(reason);
        assert_eq!(told, error, "{reason}");
    }
}

#[test]
fn what_is_stated_before_a_break_is_known() {
    let frame = |kind: &'static str, payload: &'static str| {
        let header =
            |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
        let headers = vec![header(":message-type", "event"), header(":event-type", kind)];
        let mut frames = BytesMut::new();
        let message = Message::new_from_parts(headers, Bytes::from_static(payload.as_bytes()));
        write_message_to(&message, &mut frames).expect("small");
        frames
    };
    let said = frame("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Yes"}}"#);
    let used = frame("metadata", r#"{"usage":{"inputTokens":9000,"outputTokens":2}}"#);
    let stated = Some(Stated::SoFar(Usage::of(TokenCount(9_000), TokenCount(2))));
    let bytes = [&said[..], &used, THROTTLED].concat();
    let mut portions = relay::Converse.portions(&request());
    assert!(portions.push(&bytes).is_err() && portions.stated() == stated);
    let mut reader = crate::bedrock::converse::stream::Reader::default();
    assert!(reader.push(&bytes, &mut Vec::new()).is_err() && reader.stated() == stated);
}

#[test]
fn counts_that_make_no_sense_do_not_cost_the_answer() {
    let stated = |input, output| Some(Usage::of(TokenCount(input), TokenCount(output)));
    for (usage, want) in [
        (
            r#"{"inputTokens":1000.0,"outputTokens":2,"totalTokens":null,"cacheDetails":null}"#,
            stated(1_000, 2),
        ),
        (r#"{"inputTokens":9,"outputTokens":2,"totalTokens":"11","cacheReadInputTokens":-1}"#, stated(9, 2)),
        (r#"{"inputTokens":9}"#, None),
        ("null", None),
        ("[]", None),
    ] {
        let body = format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"Yes"}}]}}}},"stopReason":"end_turn","usage":{usage}}}"#
        );
        let answer = crate::protocol::Protocol::answer(&crate::bedrock::protocol::Bedrock, body.as_bytes());
        let answer = answer.expect("an answer all the same");
        assert_eq!(answer.ending.usage, want, "{usage}");
    }
}
