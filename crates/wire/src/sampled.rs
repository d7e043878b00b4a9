//! Conversations by chance, for the properties that every dialect must have. What a dialect cannot carry it refuses;
//! what it carries must come back as it went.

use domain::chat::{Delivery, Dialect, Relayed, Tools, UsageFrame};
use domain::conversation::{
    Conversation, Format, Json, Media, Part, Sampling, Speaker, Thinking, Tool, ToolChoice, Turn, Which,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A body as a face gets it, for reading it as a conversation.
pub(crate) fn relayed(dialect: Dialect, body: bytes::Bytes) -> Relayed {
    Relayed {
        dialect,
        model: "m".to_owned(),
        body,
        fields: Vec::new(),
        delivery: Delivery::Whole,
        usage: UsageFrame::Unwanted,
        tools: Tools::None,
        headers: Vec::new(),
    }
}

fn text() -> BoxedStrategy<String> {
    prop_oneof!["[a-zA-Z ,.]{1,12}", "\\PC{1,8}", Just("a \"quote\"\n\\ and 💶".to_owned())].boxed()
}

fn name() -> BoxedStrategy<String> {
    "[a-z][a-z0-9_]{0,12}".boxed()
}

fn inline(kinds: &'static [&'static str]) -> BoxedStrategy<Media> {
    (prop::sample::select(kinds), "[A-Za-z0-9+/]{4}{1,3}")
        .prop_map(|(kind, base64)| Media::Inline { kind: kind.to_owned(), base64: base64.into() })
        .boxed()
}

fn image() -> BoxedStrategy<Part> {
    let media = prop_oneof![
        inline(&["image/png", "image/jpeg"]),
        Just(Media::Url("https://a.example/i.png".to_owned()))
    ];
    media.prop_map(|media| Part::Image { media, detail: None }).boxed()
}

fn document() -> BoxedStrategy<Part> {
    (inline(&["application/pdf"]), name())
        .prop_map(|(media, name)| Part::Document { media, name: Some(name) })
        .boxed()
}

fn user() -> BoxedStrategy<Turn> {
    let part = prop_oneof![4 => text().prop_map(Part::Text), 1 => image(), 1 => document()];
    vec(part, 1..3).prop_map(|parts| Turn { by: Speaker::User, parts }).boxed()
}

/// The model speaks, and may call tools, whose results follow.
fn exchange() -> BoxedStrategy<Vec<Turn>> {
    let call = ("[a-z0-9]{4,9}", name(), prop::sample::select(vec!["{}", r#"{"b":1.50,"a":"x"}"#]));
    (text(), vec((call, text()), 0..3))
        .prop_map(|(said, calls)| {
            let mut parts = vec![Part::Text(said)];
            let mut results = Vec::new();
            for (index, ((id, name, arguments), result)) in calls.into_iter().enumerate() {
                let id = format!("call_{index}{id}");
                results.push(Part::Result {
                    id: id.clone(),
                    parts: vec![Part::Text(result)],
                    is_error: false,
                });
                parts.push(Part::Call { id, name, arguments: arguments.to_owned() });
            }
            let mut turns = vec![Turn { by: Speaker::Assistant, parts }];
            if !results.is_empty() {
                turns.push(Turn { by: Speaker::User, parts: results });
            }
            turns
        })
        .boxed()
}

fn tool() -> BoxedStrategy<Tool> {
    let schema = r#"{"type":"object","properties":{"b":{"type":"number"},"a":{"type":"string"}}}"#;
    (name(), option::of(text()))
        .prop_map(move |(name, description)| Tool {
            name,
            description,
            schema: Some(Json::checked(schema)),
            strict: None,
            cache: None,
        })
        .boxed()
}

fn sampling() -> BoxedStrategy<Sampling> {
    let share = || prop::sample::select(vec![0.0, 0.25, 0.7, 1.0]);
    (1_u32..5_000, option::of(share()), option::of(share()), vec("[A-Z]{2,5}", 0..3))
        .prop_map(|(max_tokens, temperature, top_p, stop)| Sampling {
            max_tokens: Some(max_tokens),
            temperature,
            top_p,
            stop,
            ..Sampling::default()
        })
        .boxed()
}

fn format() -> BoxedStrategy<Format> {
    let schema =
        Json::checked(r#"{"type":"object","properties":{"z":{"type":"number"},"a":{"type":"string"}}}"#);
    let schema = Format::Schema { name: "answer".to_owned(), description: None, schema, strict: Some(true) };
    prop_oneof![2 => Just(Format::Text), 1 => Just(schema)].boxed()
}

fn thinking() -> BoxedStrategy<Thinking> {
    prop_oneof![2 => Just(Thinking::Unsaid), 1 => "(low|medium|high)".prop_map(Thinking::Effort)].boxed()
}

/// A conversation that every chat dialect can carry, but for documents and image addresses in some.
pub(crate) fn conversation() -> BoxedStrategy<Conversation> {
    let turns = (user(), vec((exchange(), user()), 0..3)).prop_map(|(first, more)| {
        let mut turns = vec![first];
        for (exchange, user) in more {
            let ends_with_results = exchange.len() > 1;
            turns.extend(exchange);
            if ends_with_results {
                turns.push(Turn { by: Speaker::Assistant, parts: vec![Part::Text("Hm.".to_owned())] });
            }
            turns.push(user);
        }
        turns
    });
    let choice =
        prop_oneof![Just(Which::Unsaid), Just(Which::Auto), Just(Which::Any), name().prop_map(Which::This)];
    let manner = (format(), thinking(), option::of(any::<bool>()));
    (option::of(text()), turns, vec(tool(), 0..3), choice, sampling(), manner)
        .prop_map(|(instructions, turns, tools, which, sampling, (format, thinking, parallel))| {
            Conversation {
                instructions: instructions.into_iter().map(Part::Text).collect(),
                turns,
                choice: ToolChoice {
                    which: if tools.is_empty() { Which::Unsaid } else { which },
                    parallel: parallel.filter(|_| !tools.is_empty()),
                },
                tools,
                format,
                sampling,
                thinking,
                user: None,
            }
        })
        .boxed()
}
