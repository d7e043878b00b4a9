//! Thoughts in streams: all of their words and proofs pass, in both directions, as callers' SDKs merge them.

use bytes::BytesMut;
use domain::chat::UsageFrame;
use domain::conversation::{Block, Delta, Event, Part};
use serde_json::Value;

use super::*;
use crate::blocks::Blocks;
use crate::told;

fn thought(text: &str, proof: &str) -> Part {
    Part::Thought { text: text.to_owned(), proof: Some(proof.to_owned()).filter(|proof| !proof.is_empty()) }
}

/// The message that OpenAI's SDK makes of the frames of `events`: texts are joined, lists by `index`, which it demands.
fn merged(events: &[Event]) -> Value {
    let about = About { id: "1".to_owned(), created: 7, model: "m".to_owned(), took: Duration::ZERO };
    let mut writer = writer::Writer::new(about, UsageFrame::Unwanted);
    let mut frames = BytesMut::new();
    events.iter().for_each(|event| writer.write(event, &mut frames));
    let mut message = serde_json::json!({});
    for data in String::from_utf8_lossy(&frames).lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{data}")).expect("JSON");
        merge(&mut message, &chunk["choices"][0]["delta"]);
    }
    message
}

fn merge(whole: &mut Value, more: &Value) {
    for (key, value) in more.as_object().expect("an object") {
        let whole = &mut whole[key];
        match (&mut *whole, value) {
            (Value::String(text), Value::String(more)) if key != "type" => text.push_str(more),
            (Value::Array(entries), Value::Array(more)) => {
                for entry in more {
                    let index = entry["index"].as_u64().expect("an `index` in each entry");
                    let index = usize::try_from(index).expect("small");
                    match entries.get_mut(index) {
                        Some(known) => merge(known, entry),
                        None => entries.push(entry.clone()),
                    }
                }
            }
            _ => *whole = value.clone(),
        }
    }
}

fn events(parts: &[Part]) -> Vec<Event> {
    let (mut blocks, mut events) = (Blocks::default(), Vec::new());
    for part in parts {
        blocks.close(&mut events);
        match part {
            Part::Thought { text, proof } => {
                let (first, last) = text.split_at(text.len() / 2);
                for words in [first, last] {
                    blocks.add(Block::Thought, Delta::Text(words.to_owned()), &mut events);
                }
                let proof = proof.clone().unwrap_or_default();
                blocks.add(Block::Thought, Delta::Proof(proof), &mut events);
            }
            Part::SealedThought(data) => blocks.open(Block::SealedThought(data.clone()), &mut events),
            Part::Text(text) => blocks.add(Block::Text, Delta::Text(text.clone()), &mut events),
            other => panic!("{other:?}: none here"),
        }
    }
    blocks.close(&mut events);
    events.push(Event::Ended(Ending { finish: Finish::Stop, stop: None, usage: None }));
    events
}

#[test]
fn a_callers_sdk_sends_streamed_thoughts_back_as_they_went() {
    for parts in [
        vec![thought("Two terms.", "c2ln"), Part::Text("Both.".to_owned())],
        vec![thought("One.", "a"), thought("Two.", "b"), Part::Text("Both.".to_owned())],
        vec![thought("One.", "a"), Part::SealedThought("c2Vh".to_owned()), Part::Text("Both.".to_owned())],
        vec![thought("", "gemini:a"), Part::Text("Both.".to_owned()), thought("", "gemini:b")],
        vec![thought("Unproven.", ""), thought("", "b"), Part::Text("Both.".to_owned())],
    ] {
        let mut message = merged(&events(&parts));
        let body = serde_json::json!({ "messages": [message] }).to_string();
        let found = conversation(body.as_bytes()).expect("our own answer");
        // In a message, thoughts stand before words.
        let mut want = parts.clone();
        want.sort_by_key(|part| matches!(part, Part::Text(_)));
        assert_eq!(found.turns[0].parts, want, "{body}");
        assert_eq!(message["content"], "Both.");
        // A message that holds each piece for itself is the same.
        let details = message["reasoning_details"].as_array_mut().expect("details");
        for index in (0..details.len()).rev() {
            let mut rest = details[index].clone();
            let text = rest.as_object_mut().expect("an object").remove("text");
            if let (Some(text), Some(_)) = (text, rest.get("signature")) {
                details[index] =
                    serde_json::json!({ "type": "reasoning.text", "index": rest["index"], "text": text });
                details.insert(index + 1, rest);
            }
        }
        let body = serde_json::json!({ "messages": [message] }).to_string();
        assert_eq!(conversation(body.as_bytes()).expect("pieces").turns[0].parts, want, "{body}");
    }
}

#[test]
fn who_refuses_thoughts_is_sent_none() {
    let parts =
        vec![thought("Two.", "a"), Part::SealedThought("b".to_owned()), Part::Text("Both.".to_owned())];
    let turns = vec![Turn { by: Speaker::Assistant, parts }];
    let asked = Conversation { turns, ..Conversation::default() };
    for (thoughts, want) in [(Thoughts::Taken, true), (Thoughts::Refused, false)] {
        let body = ChatCompletions { thoughts, ..OLDER }.request(&asked, WHOLE_CALL).expect("it can be said");
        let body = String::from_utf8_lossy(&body);
        assert_eq!((body.contains("reasoning"), body.contains("Both.")), (want, true), "{body}");
    }
}

#[test]
fn a_provider_may_use_both_fields_of_a_pair() {
    let said = |message: &str| format!(r#"{{"content":"Both.",{message}}}"#);
    for message in [
        said(r#""reasoning":"Hm.","reasoning_content":"Hm.""#),
        said(r#""reasoning":"Hm.","reasoning_content":null"#),
        said(r#""reasoning":"Hm.","reasoning_content":"""#),
        said(r#""reasoning":null,"reasoning_content":"Hm.""#),
    ] {
        let want = [thought("Hm.", ""), Part::Text("Both.".to_owned())];
        for choice in [
            format!(r#""message":{message},"delta":null"#),
            format!(r#""message":{message},"delta":{message}"#),
            format!(r#""delta":{message}"#),
        ] {
            let body = format!(r#"{{"choices":[{{{choice},"finish_reason":"stop"}}]}}"#);
            assert_eq!(OLDER.answer(body.as_bytes()).expect(&body).parts, want);
            let (events, outcome) = told::read(OLDER.reader(), &[format!("data: {body}\n\n").as_bytes()]);
            assert_eq!((told::answer(&events).parts.as_slice(), outcome), (&want[..], Ok(())), "{body}");
        }
    }
}

#[test]
fn a_providers_streamed_thoughts_keep_words_and_proofs() {
    let text = |words: &str| {
        format!(
            r#"{{"reasoning":"{words}","reasoning_details":[{{"type":"reasoning.text","text":"{words}","index":0,"signature":null,"format":"anthropic-claude-v1"}}]}}"#
        )
    };
    let detail = |detail: &str| format!(r#"{{"reasoning_details":[{detail}]}}"#);
    let proof = |proof: &str, index: u32| {
        detail(&format!(r#"{{"type":"reasoning.text","signature":"{proof}","index":{index}}}"#))
    };
    let sealed = detail(r#"{"type":"reasoning.encrypted","data":"c2Vh","index":1}"#);
    let summary = detail(r#"{"type":"reasoning.summary","summary":"In short.","index":0}"#);
    let plain = |words: &str| format!(r#"{{"reasoning_content":"{words}"}}"#);
    for (deltas, want) in [
        (vec![text("Two "), text("terms."), proof("c2ln", 0)], vec![thought("Two terms.", "c2ln")]),
        (vec![text("Two."), proof("c2", 0), proof("ln", 0)], vec![thought("Two.", "c2ln")]),
        (vec![proof("a", 0), proof("b", 1)], vec![thought("", "a"), thought("", "b")]),
        (
            vec![text("Two."), proof("a", 0), sealed.clone()],
            vec![thought("Two.", "a"), Part::SealedThought("c2Vh".to_owned())],
        ),
        (vec![summary, sealed], vec![thought("In short.", ""), Part::SealedThought("c2Vh".to_owned())]),
        // Words in the plain field only.
        (
            vec![plain("One."), proof("a", 0), plain("Two."), proof("b", 1)],
            vec![thought("One.", "a"), thought("Two.", "b")],
        ),
        (vec![plain("One.")], vec![thought("One.", "")]),
    ] {
        let mut body = String::new();
        for delta in deltas.iter().map(String::as_str).chain([r#"{"content":"Both."}"#]) {
            body.push_str(&format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n"));
        }
        body.push_str("data: [DONE]\n\n");
        let (events, outcome) = told::read(OLDER.reader(), &[body.as_bytes()]);
        assert_eq!(outcome, Ok(()));
        let want: Vec<Part> = want.into_iter().chain([Part::Text("Both.".to_owned())]).collect();
        assert_eq!(told::answer(&events).parts, want, "{body}");
    }
    let whole = br#"{"choices":[{"message":{"content":"Both.","reasoning_details":[{"type":"reasoning.text","text":"One.","signature":"a"},{"type":"reasoning.text","text":"Two."},{"type":"reasoning.encrypted","data":"c2Vh"}]},"finish_reason":"stop"}]}"#;
    let (events, _) = told::read(OLDER.reader(), &[whole]);
    assert_eq!(told::answer(&events).parts, OLDER.answer(whole).expect("an answer").parts);
}
