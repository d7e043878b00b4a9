//! Requests as the stock SDKs of Python send them (openai 3.54.0, anthropic 2.12.0, boto3; captured 2026-11-22 on
//! loopback), and streams with fields, blocks and events of the future: passed on, all of it keeps its bytes but for what was
//! asked to change.
//!
//! The streams follow the example with a web search at <https://platform.claude.com/docs/en/build-with-claude/streaming>
//! and the events of <https://developers.openai.com/api/docs/guides/streaming-responses> (read 2026-11-22); the types of
//! the same SDKs, which are made of the providers' specifications, accept every frame that is not of the future.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Relayed, Tools};
use domain::model::Overrides;

use crate::anthropic::messages::Messages;
use crate::bedrock::protocol::Bedrock;
use crate::json::fields;
use crate::openai::chat::{ChatCompletions, Endpoint, LimitField, Thoughts};
use crate::openai::{completions, embeddings, responses};
use crate::protocol::{Call, Protocol};
use crate::request::LIMITS;
use crate::{anthropic, bedrock, faces, openai, relay};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const OPENAI: ChatCompletions = ChatCompletions {
    limit_field: LimitField::MaxCompletionTokens,
    responses: Endpoint::There,
    thoughts: Thoughts::Refused,
};

struct Captured {
    body: &'static str,
    dialect: Dialect,
    delivery: Delivery,
    tools: Tools,
    /// What patching may change beside the model, as it is written then; the fields that it adds last.
    patched: &'static [(&'static str, &'static str)],
    /// The first field that no other dialect can carry.
    refused: Option<&'static str>,
}

macro_rules! captured {
    ($name:literal, $dialect:ident, $delivery:ident, $tools:ident, $patched:expr, $refused:expr) => {
        Captured {
            body: include_str!(concat!("../golden/captured/", $name, ".json")),
            dialect: Dialect::$dialect,
            delivery: Delivery::$delivery,
            tools: Tools::$tools,
            patched: &$patched,
            refused: $refused,
        }
    };
}

const T: (&str, &str) = ("temperature", "0.5");
const COMPLETION: (&str, &str) = ("max_completion_tokens", "300");
const TOKENS: (&str, &str) = ("max_tokens", "300");
const OUTPUT: (&str, &str) = ("max_output_tokens", "300");

const CAPTURED: [Captured; 13] = [
    captured!("openai-chat", OpenAiChat, Whole, Named, [COMPLETION, T], Some("prediction")),
    captured!("openai-chat-stream", OpenAiChat, Streamed, None, [COMPLETION, T], Some("logprobs")),
    captured!("openai-chat-schema", OpenAiChat, Whole, None, [COMPLETION, T], Option::None),
    captured!("openai-responses", OpenAiResponses, Whole, Named, [OUTPUT, T], Some("truncation")),
    captured!("openai-responses-schema", OpenAiResponses, Whole, None, [OUTPUT, T], Option::None),
    captured!("openai-completions", OpenAiCompletions, Whole, None, [T], Some("logit_bias")),
    captured!("openai-embeddings", OpenAiEmbeddings, Whole, None, [], Option::None),
    captured!(
        "anthropic-messages",
        AnthropicMessages,
        Whole,
        Named,
        [TOKENS, T],
        Some("messages[0].content[2].citations")
    ),
    captured!("anthropic-messages-stream", AnthropicMessages, Streamed, None, [T], Option::None),
    captured!("anthropic-count", AnthropicCountTokens, Whole, None, [], Option::None),
    captured!(
        "bedrock-converse",
        BedrockConverse,
        Whole,
        Named,
        [(
            "inferenceConfig",
            r#"{"maxTokens": 300, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]}"#
        )],
        Option::None
    ),
    captured!("bedrock-invoke-claude", BedrockInvoke, Whole, None, [TOKENS, T], Some("future_field")),
    captured!("openai-chat-future", OpenAiChat, Whole, None, [COMPLETION, T], Some("messages[0].content[0]")),
];

fn read(captured: &Captured) -> Relayed {
    let body = Bytes::from_static(captured.body.as_bytes());
    let path = (CLAUDE.to_owned(), captured.delivery);
    match captured.dialect {
        Dialect::OpenAiChat => openai::relay::read(body).expect("readable"),
        Dialect::OpenAiResponses => responses::relay::read(body).expect("readable"),
        Dialect::OpenAiCompletions => completions::read(body).expect("readable"),
        Dialect::OpenAiEmbeddings => embeddings::read(body).expect("readable"),
        Dialect::BedrockConverse => bedrock::converse::relay::read(body, path).expect("readable"),
        Dialect::BedrockInvoke => bedrock::invoke::read(body, path, Vec::new()).expect("readable"),
        dialect => anthropic::relay::read(body, dialect, Vec::new()).expect("readable"),
    }
}

fn protocol(dialect: Dialect) -> &'static dyn Protocol {
    match dialect {
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => &Messages,
        Dialect::BedrockConverse | Dialect::BedrockInvoke => &Bedrock,
        _ => &OPENAI,
    }
}

fn call(model: &str, overrides: Overrides) -> Call<'_> {
    Call { model, delivery: Delivery::Whole, overrides, max_tokens: 9 }
}

/// The fields of a body with their bytes.
fn raw(body: &[u8]) -> Vec<(String, String)> {
    let text = |range| String::from_utf8_lossy(crate::patch::slice(body, &range)).into_owned();
    let fields = fields(body, LIMITS).expect("an object");
    fields.into_iter().map(|field| (field.key.into_owned(), text(field.value))).collect()
}

#[test]
fn what_was_not_asked_to_change_keeps_its_bytes() {
    for captured in &CAPTURED {
        let relayed = read(captured);
        assert_eq!(
            (relayed.delivery, relayed.tools),
            (captured.delivery, captured.tools),
            "{}",
            captured.body
        );
        let own = protocol(captured.dialect).own_dialect(&relayed, CLAUDE).expect("its own");
        if captured.delivery == Delivery::Whole {
            let same = own.patch(&relayed, call(&relayed.model, Overrides::default()));
            assert_eq!(same.as_ptr(), relayed.body.as_ptr(), "not even copied: {}", captured.body);
        }
        let tamed = Overrides { max_tokens: Some(300), temperature: Some(0.5) };
        let patched = own.patch(&relayed, call(CLAUDE, tamed));
        let mut want = raw(captured.body.as_bytes());
        let model = format!("\"{CLAUDE}\"");
        let has_model = want.iter().any(|(name, _)| name == "model");
        let model = has_model.then_some(("model", model.as_str()));
        for (name, value) in model.iter().chain(captured.patched) {
            match want.iter_mut().find(|(key, _)| key == name) {
                Some((_, old)) => *old = (*value).to_owned(),
                None => want.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        assert_eq!(raw(&patched), want);
    }
}

#[test]
fn what_no_other_dialect_can_carry_is_named() {
    for captured in &CAPTURED {
        let Some(face) = faces::of(captured.dialect) else { continue };
        let read = face.conversation(&read(captured));
        let field = read.as_ref().err().and_then(|error| error.field());
        assert!(
            match captured.refused {
                Some(refused) => field.is_some_and(|field| field.starts_with(refused)),
                None => read.is_ok(),
            },
            "{read:?}: {}",
            captured.body
        );
    }
}

#[test]
fn streams_with_what_is_new_pass_byte_for_byte() {
    let streams: [(&Captured, &[u8]); 2] = [
        (&CAPTURED[7], include_bytes!("../golden/anthropic/stream-server-tools.sse")),
        (&CAPTURED[3], include_bytes!("../golden/openai/responses-stream.sse")),
    ];
    for (captured, stream) in streams {
        let relayed = read(captured);
        for size in [1, 100, stream.len()] {
            let own = protocol(captured.dialect).own_dialect(&relayed, CLAUDE).expect("its own");
            let portions: Vec<&[u8]> = stream.chunks(size).collect();
            let (passed, done) = relay::tests::pass(own.portions(&relayed), &portions);
            assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(stream));
            let usage = done.expect("whole").and_then(|done| done.usage).expect("told");
            assert_eq!((usage.input.0, usage.output.0), (321, 42));
        }
    }
}
