//! Assured streams: held back until they are whole, or continued elsewhere, at every door that SDKs know.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::upstream::{Answer, Phase};
use testkit::{Behaviour, Upstream};

use crate::client::Response;
use crate::dialects::{Dialect, breaks, serve};
use crate::server::Server;

const WHOLE: &str = "This is the whole answer.";

/// The record of `response`.
fn record(server: &Server, response: &Response) -> Value {
    server.interaction(response.header("x-mainstay-interaction").expect("an id")).json()
}

#[test]
fn what_is_held_back_is_whole_or_an_error() {
    let whole = Behaviour::Answer(Answer::of(WHOLE));
    let (broken, other) = (Upstream::start(Behaviour::default()), Upstream::start(whole.clone()));
    let server =
        serve(&[&broken, &other], ("hold_back", "[resilience.policy.budget]\npercent = 100\nburst = 100\n"));
    for dialect in Dialect::ALL {
        for behaviour in breaks() {
            broken.set_behaviour(behaviour.clone());
            other.set_behaviour(whole.clone());
            let response = server.send(&dialect.ask("m"));
            let text = response.text();
            assert_eq!(
                (response.status, dialect.words(&text).as_str()),
                (200, WHOLE),
                "{dialect:?} {behaviour:?}: {text}"
            );
            assert!(
                text.contains(dialect.end()) && !text.contains(dialect.error()),
                "{dialect:?} {behaviour:?}: {text}"
            );
            assert_eq!(response.header("x-mainstay-model"), Some("FALLBACK:two/beta"));
            let record = record(&server, &response);
            let results: Vec<&Value> = record["attempts"]
                .as_array()
                .expect("attempts")
                .iter()
                .map(|attempt| &attempt["result"])
                .collect();
            assert_eq!(results.last(), Some(&&json!("answered")), "{record}");
            assert_eq!(results.first(), Some(&&json!("truncated")), "{record}");
        }
        // Nobody gives a whole answer: the status still says so.
        other.set_behaviour(Behaviour::Unfinished);
        let response = server.send(&dialect.ask("m"));
        assert!(response.status >= 424, "{dialect:?}: {} {}", response.status, response.text());
        assert!(!response.text().contains("This"), "{dialect:?}: {}", response.text());
    }
}

#[test]
fn whoever_waits_for_a_held_back_answer_sees_that_it_goes_on() {
    let slow = Answer { token_gap: Duration::from_millis(200), ..Answer::of(WHOLE) };
    let upstream = Upstream::start(Behaviour::default());
    let server = serve(&[&upstream], ("hold_back", "[server]\nkeep_alive = \"150ms\"\n"));
    for dialect in Dialect::ALL {
        upstream.set_behaviour(Behaviour::Answer(slow.clone()));
        let began = Instant::now();
        let mut opened = dialect.ask("m").open(server.address).expect("a reply");
        let waited = began.elapsed();
        let mut body = Vec::new();
        opened.body_to_end(&mut body).expect("a body");
        let text = String::from_utf8_lossy(&body);
        assert_eq!(dialect.words(&text), WHOLE, "{dialect:?}: {text}");
        match dialect.sign() {
            Some(sign) => {
                assert!(waited < Duration::from_millis(700), "{dialect:?}: {waited:?} to the head");
                assert!(text.matches(sign).count() >= 3, "{dialect:?}: {text}");
                assert!(text.starts_with(sign), "{dialect:?}: {text}");
                assert!(text.contains(": x-mainstay-model: one/alpha\n\n"), "{dialect:?}: {text}");
            }
            None => assert!(
                waited > Duration::from_millis(900) && !text.contains("keep-alive"),
                "{dialect:?}: {waited:?}"
            ),
        }
        // What comes of it after the head was sent is told in the stream.
        upstream.set_behaviour(Behaviour::Hang(Phase::MidBody));
        let response = server.send(&dialect.ask("m"));
        let text = response.text();
        assert_eq!(response.status == 200, dialect.sign().is_some(), "{dialect:?}: {text}");
        assert!(!text.contains(dialect.end()) && !text.contains("This"), "{dialect:?}: {text}");
        assert!(dialect.sign().is_none() || text.contains(dialect.error()), "{dialect:?}: {text}");
    }
}

#[test]
fn an_answer_that_breaks_off_goes_on_elsewhere_without_a_seam() {
    const REST: &str = "is the rest of it.";
    let (broken, other) =
        (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::Answer(Answer::of(REST))));
    let server = serve(&[&broken, &other], ("continue", ""));
    for dialect in Dialect::ALL {
        for behaviour in breaks() {
            broken.set_behaviour(behaviour.clone());
            let response = server.send(&dialect.ask("m"));
            let text = response.text();
            // "This is": the second word may not be whole, or comes again; either way it is said once.
            assert_eq!(dialect.words(&text), "This is the rest of it.", "{dialect:?} {behaviour:?}: {text}");
            assert!(!text.contains(dialect.error()), "{dialect:?} {behaviour:?}: {text}");
            assert_eq!(text.matches(dialect.end()).count(), 1, "{dialect:?} {behaviour:?}: {text}");
            assert_eq!(
                text.contains(": x-mainstay-continued: FALLBACK:two/beta"),
                dialect != Dialect::Converse
            );
            let record = record(&server, &response);
            let attempts = record["attempts"].as_array().expect("attempts");
            assert_eq!(attempts.len(), 2, "{record}");
            assert_eq!(
                (&attempts[0]["result"], &attempts[1]["result"]),
                (&json!("truncated"), &json!("answered"))
            );
            assert_eq!(
                (&attempts[1]["chosen"], &record["outcome"]),
                (&json!("continued"), &json!("answered"))
            );
            assert_eq!(record["model_used"], "FALLBACK:two/beta");
            // Both are paid for.
            assert!(attempts.iter().all(|attempt| attempt["cost_usd"] != Value::Null), "{record}");
        }
    }
    let received = other.received();
    let asked: Value = serde_json::from_slice(&received.last().expect("a call").body).expect("JSON");
    let turns = asked["messages"].as_array().expect("messages");
    assert_eq!(
        turns.iter().map(|turn| turn["role"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
        ["user", "assistant", "user"],
        "{asked}"
    );
    assert!(turns[1].to_string().contains("This"), "{asked}");
}

#[test]
fn what_cannot_be_cut_in_two_ends_with_an_error() {
    let (broken, other) = (Upstream::start(Behaviour::Unfinished), Upstream::start(Behaviour::default()));
    let server = serve(&[&broken, &other], ("continue", ""));
    let tools = json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }] });
    let object = json!({ "response_format": { "type": "json_object" } });
    for more in [tools, object] {
        let text = server.send(&Dialect::Chat.ask_more("m", &more)).text();
        assert!(text.contains(Dialect::Chat.error()) && !text.contains("[DONE]"), "{more}: {text}");
    }
    assert_eq!(other.calls(), 0);
    // When nobody can go on, or those who could refuse to, that is said, too.
    for refused in [Behaviour::status(503), Behaviour::status(400), Behaviour::Hang(Phase::AfterHead)] {
        other.set_behaviour(refused.clone());
        for dialect in Dialect::ALL {
            let text = server.send(&dialect.ask("m")).text();
            assert!(
                text.contains(dialect.error()) && !text.contains(dialect.end()),
                "{refused:?} {dialect:?}: {text}"
            );
            assert!(dialect.words(&text).starts_with("This"), "{refused:?} {dialect:?}: {text}");
        }
    }
}

#[test]
fn agents_hold_back_and_go_on_too() {
    const WORDS: &str = "We are glad to help. You can save a little each month. Ask us how.";
    for (assured, want) in [("hold_back", WORDS), ("continue", WORDS), ("off", "")] {
        let broken = Upstream::start(Behaviour::default());
        let whole = Behaviour::Answer(Answer::of(if assured == "continue" {
            "You can save a little each month. Ask us how."
        } else {
            WORDS
        }));
        let other = Upstream::start(whole);
        let server = serve(&[&broken, &other], (assured, ""));
        // A sentence and a half, then nothing more.
        broken.set_behaviour(Behaviour::UnfinishedText(WORDS.to_owned(), 8));
        for dialect in Dialect::ALL {
            let text = server.send(&dialect.ask("agent:personalized_outreach")).text();
            if want.is_empty() {
                assert_ne!(dialect.words(&text), WORDS, "{dialect:?}: {text}");
            } else {
                assert!(dialect.words(&text).starts_with(want), "{assured} {dialect:?}: {text}");
                assert_eq!(
                    dialect.words(&text).matches("each month").count(),
                    1,
                    "{assured} {dialect:?}: {text}"
                );
            }
            assert_eq!(text.matches(dialect.end()).count(), 1, "{assured} {dialect:?}: {text}");
        }
    }
}
