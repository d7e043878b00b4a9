//! Streams, read and written: they say what the whole answer says, however they are cut, and a broken one never ends well.

use bytes::BytesMut;
use domain::chat::UsageFrame;
use domain::conversation::{Delta, Ending, Event, Part};
use domain::fault::{Fault, Kind};
use proptest::prelude::*;

use super::*;
use crate::relay::tests as relay;
use crate::sampled;
use crate::stream::{Before, Progress};
use crate::told;

/// Tools called in parallel, after a thought and some words, as servers send them.
const CALLS: &[u8] = include_bytes!("../../../../golden/openai/stream-calls.sse");

#[test]
fn calls_are_read_block_by_block() {
    let (events, outcome) = read(&[CALLS]);
    assert_eq!(outcome, Ok(()));
    let is_call = |part: &Part| matches!(part, Part::Call { .. });
    let calls: Vec<Part> = told::answer(&events).parts.into_iter().filter(is_call).collect();
    let call = |id: &str, arguments: &str| Part::Call {
        id: id.to_owned(),
        name: "rate".to_owned(),
        arguments: arguments.to_owned(),
    };
    assert_eq!(calls, [call("call_a", r#"{"term":12}"#), call("call_b", r#"{"term":24}"#)]);
    assert!(matches!(events.last(), Some(Event::Ended(Ending { finish: Finish::ToolUse, .. }))));
}

#[test]
fn calls_that_are_told_in_turns_are_read_one_after_the_other() {
    let piece =
        |call: &str| format!(r#"data: {{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}"#);
    let begun = |index: u32, id: &str| {
        piece(&format!(r#"{{"index":{index},"id":"{id}","function":{{"name":"f","arguments":""}}}}"#))
    };
    let more = |index: u32, arguments: &str| {
        let arguments = serde_json::Value::from(arguments);
        piece(&format!(r#"{{"index":{index},"function":{{"arguments":{arguments}}}}}"#))
    };
    let text = r#"data: {"choices":[{"index":0,"delta":{"content":"Hm."}}]}"#.to_owned();
    let call = |id: &str, arguments: &str| Part::Call {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
    };
    let (brackets, whole) = (r#"{"x":"\\\"}"#, r#"{"x":"\\\"}"}"#);
    for (frames, want) in [
        (
            vec![begun(0, "a"), begun(1, "b"), more(0, "{\"x\":"), more(1, "{"), more(0, "1}"), more(1, "}")],
            vec![call("a", "{\"x\":1}"), call("b", "{}")],
        ),
        (
            vec![begun(0, "a"), more(0, brackets), begun(1, "b"), more(1, "{}"), more(0, "\"}")],
            vec![call("a", whole), call("b", "{}")],
        ),
        // None has any arguments, or ends what it began.
        (
            vec![begun(0, "a"), begun(1, "b"), begun(2, "c")],
            vec![call("a", ""), call("b", ""), call("c", "")],
        ),
        (
            vec![begun(0, "a"), more(0, "{"), begun(1, "b"), more(1, "7")],
            vec![call("a", "{"), call("b", "7")],
        ),
        (
            vec![begun(0, "a"), begun(1, "b"), more(1, "{}"), text.clone(), begun(2, "c")],
            vec![call("a", ""), call("b", "{}"), Part::Text("Hm.".to_owned()), call("c", "")],
        ),
        // The end of one is told again.
        (
            vec![begun(0, "a"), more(0, "{}"), begun(1, "b"), more(0, ""), more(1, "{}")],
            vec![call("a", "{}"), call("b", "{}")],
        ),
    ] {
        let body = frames.join("\n\n") + "\n\ndata: [DONE]\n\n";
        let (events, outcome) = read(&[body.as_bytes()]);
        assert_eq!(outcome, Ok(()), "{body}");
        assert_eq!(told::answer(&events).parts, want, "{body}");
    }
    // A call that is whole is told as soon as there is another, and each piece of the open one at once.
    let (mut reader, mut events) = (OLDER.reader(), Vec::new());
    for (frame, n_events) in
        [(begun(0, "a"), 2), (more(0, "{"), 3), (more(0, "}"), 4), (begun(1, "b"), 6), (more(1, "{"), 7)]
    {
        reader.push(format!("{frame}\n\n").as_bytes(), &mut events).expect("readable");
        assert_eq!(events.len(), n_events, "{frame}");
    }
    // What comes after a call's end belongs to none, and more than may wait is refused.
    let late = [begun(0, "a"), more(0, "{}"), begun(1, "b"), more(0, "{}")].join("\n\n") + "\n\n";
    assert!(read(&[late.as_bytes()]).1.is_err());
    let many = [begun(0, "a"), begun(1, "b")].into_iter();
    let many: Vec<String> = many.chain((0..9).map(|_| more(1, &"x".repeat(600_000)))).collect();
    assert!(read(&[(many.join("\n\n") + "\n\n").as_bytes()]).1.is_err());
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
        // Its model said why it ends: an answer without a word.
        (stop.clone(), Ok("")),
        (frame("", "\"length\""), Ok("")),
        (frame("", "\"content_filter\""), Ok("")),
        (String::new(), Err((StreamError::Empty, transient))),
        (": ping\n\n".repeat(9), Err((StreamError::Empty, transient))),
        ("<html>".to_owned(), Err((StreamError::Empty, transient))),
        (done.to_owned(), Err((StreamError::Empty, transient))),
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
