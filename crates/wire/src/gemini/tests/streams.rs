//! Recorded streams: they say what the whole answer says, however they are cut, and a broken one never ends well.

use domain::conversation::Event;
use domain::fault::{Fault, Kind};
use domain::token::{TokenCount, Usage};
use proptest::prelude::*;

use super::*;
use crate::relay::tests as relay;
use crate::stream::{Before, Progress};
use crate::told;

fn read(portions: &[&[u8]]) -> (Vec<Event>, Result<(), (StreamError, Before)>) {
    told::read(Gemini.reader(), portions)
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    for (stream, whole) in [(STREAM, ANSWER), (CALLS_STREAM, CALLS)] {
        let answer = Gemini.answer(whole).expect("an answer");
        let listed = [b"[", whole, b"]"].concat();
        for body in [stream, whole, &listed] {
            let (events, outcome) = read(&[body]);
            assert_eq!(outcome, Ok(()));
            assert!(matches!(events[..], [Event::Begun { .. }, .., Event::Ended(_)]), "{events:?}");
            assert_eq!(told::answer(&events), answer);
        }
    }
}

fn frame(text: &str, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!(r#","finishReason":"{reason}""#) };
    format!("data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}{reason}}}]}}\n\n")
}

const BLOCKED: &str =
    r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":9}}"#;

#[test]
fn only_a_whole_answer_ends_well() {
    let hi = frame("Hi", "");
    let stop = frame("", "STOP");
    let transient = Kind::Transient;
    let usage = Some(Usage::of(TokenCount(9), TokenCount(0)));
    let (fault, reason) = (Fault::provider(Kind::Content), "the prompt is blocked");
    let refused = StreamError::GaveUp { fault, reason, usage };
    let misspoke = |usage| StreamError::misspoke("MALFORMED_FUNCTION_CALL", usage);
    let counted = "data: {\"usageMetadata\":{\"promptTokenCount\":9}}\n\n";
    let unknown = StreamError::without_reason(None);
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
        (format!("data: {BLOCKED}\n\n"), Err((refused, Kind::Content))),
        (BLOCKED.to_owned(), Err((refused, Kind::Content))),
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
        (frame("", "MALFORMED_FUNCTION_CALL"), Err((misspoke(None), Kind::Unavailable))),
        (
            counted.to_owned() + &frame("Hi", "MALFORMED_FUNCTION_CALL"),
            Err((misspoke(usage), Kind::Unavailable)),
        ),
        (format!("{hi}{}", frame("", "OTHER")), Err((unknown, Kind::Truncated))),
        (frame("Hi", "OF_THE_FUTURE"), Err((unknown, transient))),
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
                let (found, before) = outcome.expect_err(&body);
                assert_eq!((found, found.fault(before).kind, finish), (error, kind, None), "{body}");
            }
        }
    }
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
                prop_assert_eq!(&told::answer(&events).parts, &answer.parts);
                prop_assert_eq!(answer.parts.last(), Some(&Part::Text(words)));
            }
            Err(error) => {
                prop_assert!(words.is_empty());
                prop_assert_eq!(error, StreamError::Empty);
            }
        }
    }
}
