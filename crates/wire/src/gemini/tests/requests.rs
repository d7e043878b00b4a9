//! Conversations as the golden bodies that say them, and what cannot be said.

use std::sync::Arc;

use domain::conversation::{
    CacheTime, Conversation, Format, Json, Media, Sampling, Speaker, Thinking, Tool, ToolChoice, Turn, Which,
};
use domain::model::Overrides;
use proptest::prelude::*;

use super::*;

fn call(model: &str, delivery: Delivery) -> Call<'_> {
    let overrides = Overrides { max_tokens: None, temperature: None };
    Call { model, delivery, overrides, max_tokens: 4_096 }
}

fn said(by: Speaker, parts: Vec<Part>) -> Turn {
    Turn { by, parts }
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
        ("gemini-3-flash-preview", full(), include_str!("../../../golden/gemini/request-third.json")),
        ("gemini-2.5-flash", full(), include_str!("../../../golden/gemini/request-second.json")),
        ("gemini-2.5-flash", asked, include_str!("../../../golden/gemini/request-schema.json")),
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
fn pictures_are_called_as_gemini_calls_them() {
    let picture = Part::Image { media: inline("image/jpg"), detail: None };
    let asked = Conversation { turns: vec![said(Speaker::User, vec![picture])], ..Conversation::default() };
    let body = Gemini.request(&asked, call("gemini-2.5-flash", Delivery::Whole)).expect("carried");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["contents"][0]["parts"][0]["inlineData"]["mimeType"], "image/jpeg");
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
        (Conversation { tools: tools.clone(), ..question() }, "tools: rate"),
        (Conversation { tools, format: Format::Object, ..question() }, "tools"),
    ] {
        let refused = Gemini.request(&conversation, call("gemini-2.5-pro", Delivery::Whole)).expect_err(want);
        assert!(refused.to_string().starts_with(&format!("`{want}")), "{want}: {refused}");
    }
    let off = Conversation { thinking: Thinking::Off, ..question() };
    assert!(Gemini.request(&off, call("gemini-3-pro", Delivery::Whole)).is_err());
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

/// Chat completions have thoughts before all words.
#[test]
fn a_signature_before_words_is_the_calls_or_stands_after_them() {
    let proof =
        |signature: &str| Part::Thought { text: String::new(), proof: Some(format!("gemini:{signature}")) };
    let call_of =
        |id: &str| Part::Call { id: id.to_owned(), name: "f".to_owned(), arguments: "{}".to_owned() };
    let signed = r#"{"functionCall":{"id":"a","name":"f","args":{}},"thoughtSignature":"YQ=="}"#;
    let other = r#"{"functionCall":{"id":"b","name":"f","args":{}}}"#;
    let words = r#"{"text":"I look."}"#;
    for (parts, want) in [
        (
            vec![proof("YQ=="), text("I look."), call_of("a"), call_of("b")],
            format!("{words},{signed},{other}"),
        ),
        (vec![text("I look."), proof("YQ=="), call_of("a")], format!("{words},{signed}")),
        (vec![proof("YQ=="), text("I look.")], format!(r#"{words},{{"text":"","thoughtSignature":"YQ=="}}"#)),
        (
            vec![proof("Yg=="), text("I look."), proof("YQ=="), call_of("a")],
            format!(r#"{words},{{"text":"","thoughtSignature":"Yg=="}},{signed}"#),
        ),
    ] {
        let conversation =
            Conversation { turns: vec![said(Speaker::Assistant, parts)], ..Conversation::default() };
        let body = Gemini.request(&conversation, call("gemini-3", Delivery::Whole)).expect("can be said");
        let want = format!(r#"{{"contents":[{{"role":"model","parts":[{want}]}}],"generationConfig":{{}}}}"#);
        assert_eq!(String::from_utf8_lossy(&body), want);
    }
}

proptest! {
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
