//! What the fuzz targets share: portions, and the dialects.

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Relayed};
use domain::model::Overrides;
use wire::anthropic::messages::Messages;
use wire::bedrock::protocol::Bedrock;
use wire::bedrock::{converse, invoke};
use wire::gemini::Gemini;
use wire::openai::chat::{ChatCompletions, Endpoint, Thoughts};
use wire::openai::{completions, embeddings, relay, responses};
use wire::protocol::{Call, OwnDialect, Protocol};

/// `bytes` in portions whose lengths follow from the bytes themselves: one by one, or by chance.
pub fn portions(bytes: &[u8]) -> Vec<&[u8]> {
    let mut state = bytes.iter().fold(bytes.len(), |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte));
    let largest = [1, 3, 40, 400][state % 4];
    let (mut portions, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (head, tail) = rest.split_at(((state >> 33) % largest + 1).min(rest.len()));
        portions.push(head);
        rest = tail;
    }
    portions
}

/// Models of every maker whose body InvokeModel takes.
pub const MODELS: [&str; 4] = [
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.amazon.nova-pro-v1:0",
    "amazon.titan-text-express-v1",
    "x.y",
];

/// `body` as every dialect in which it can be passed on.
pub fn relayed(body: &[u8]) -> Vec<Relayed> {
    let body = || Bytes::copy_from_slice(body);
    let messages = |dialect| wire::anthropic::relay::read(body(), dialect, Vec::new()).ok();
    let path = || ("m".to_owned(), Delivery::Streamed);
    [
        relay::read(body()).ok(),
        responses::relay::read(body()).ok(),
        completions::read(body()).ok(),
        embeddings::read(body()).ok(),
        messages(Dialect::AnthropicMessages),
        messages(Dialect::AnthropicCountTokens),
        converse::relay::read(body(), path()).ok(),
        invoke::read(body(), path(), Vec::new()).ok(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Chat completions with all that a provider may take beside them.
const OPENAI: ChatCompletions = ChatCompletions {
    limit_field: wire::openai::chat::LimitField::MaxCompletionTokens,
    responses: Endpoint::There,
    thoughts: Thoughts::Refused,
};

/// Every provider's format; Azure's is OpenAI's at other addresses.
pub fn protocols() -> [&'static dyn Protocol; 4] {
    [&OPENAI, &Messages, &Gemini, &Bedrock]
}

/// How providers who speak the dialect of `relayed` are sent it, with a model that they have.
pub fn each_own_dialect(relayed: &Relayed, mut visit: impl FnMut(&dyn OwnDialect, &'static str)) {
    // Only InvokeModel's bodies are for some models and not for others.
    let n_models = if relayed.dialect == Dialect::BedrockInvoke { MODELS.len() } else { 1 };
    for protocol in protocols() {
        for model in MODELS.into_iter().take(n_models) {
            if let Some(own) = protocol.own_dialect(relayed, model) {
                visit(own, model);
            }
        }
    }
}

/// A call of `model` that forces its parameters.
pub fn call(model: &str) -> Call<'_> {
    let overrides = Overrides { max_tokens: Some(300), temperature: Some(0.5) };
    Call { model, delivery: Delivery::Streamed, overrides, max_tokens: 300 }
}
