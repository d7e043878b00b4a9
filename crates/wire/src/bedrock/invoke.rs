//! InvokeModel and InvokeModelWithResponseStream: bodies of the makers of the models, as they are.
//!
//! Reading order: this file (a caller's request), [`relay`] (passing on), `meaning` (what answers say), [`others`] (those of other makers), [`face`] (their
//! requests and answers in no dialect's words), `claude`, `titan` and Nova's (which is Converse's), [`embedding`].

mod claude;
pub mod embedding;
pub mod face;
mod meaning;
pub mod others;
pub mod relay;
#[cfg(test)]
mod tests;
mod titan;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Relayed};

use super::model::Maker;
use crate::json::JsonError;
use crate::request::Names;

/// Fields that say whose body it is, or hold its limits; and those that let a model do more than answer.
const NAMES: Names = Names {
    known: &[
        "anthropic_version",
        "max_tokens",
        "temperature",
        "inputText",
        "textGenerationConfig",
        "schemaVersion",
        "inferenceConfig",
        "messages",
        "dimensions",
        "normalize",
    ],
    tools: &["tools", "toolConfig", "mcp_servers"],
};

/// Objects in which limits stand.
const LIMITED: [&str; 2] = ["inferenceConfig", "textGenerationConfig"];

/// Header fields that go on to AWS, lower case.
pub const HEADERS: [&str; 6] = [
    "x-amzn-bedrock-trace",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amzn-bedrock-guardrailversion",
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
    "x-amzn-bedrock-request-metadata",
];

/// Reads the `body` of a request for the model that the path says.
///
/// # Errors
/// [`JsonError`] for the first thing that is wrong. What Mainstay need not know is left to the provider.
pub fn read(
    body: Bytes,
    asked: (String, Delivery),
    headers: Vec<(&'static str, Box<str>)>,
) -> Result<Relayed, JsonError> {
    let relayed = super::relay::read(body, asked, Dialect::BedrockInvoke, (&NAMES, &LIMITED))?;
    Ok(Relayed { headers, ..relayed })
}

/// Whose model the body is for.
#[must_use]
pub fn body_of(relayed: &Relayed) -> Maker {
    let has = |name: &str| relayed.fields.iter().any(|field| field.name == name);
    match () {
        () if has("anthropic_version") => Maker::Claude,
        () if has("inputText") => Maker::Titan,
        () if has("schemaVersion") || has("inferenceConfig") => Maker::Nova,
        // Converse's way to write messages; those of others stand beside `max_tokens`.
        () if has("messages") && !has("max_tokens") => Maker::Nova,
        () => Maker::Other,
    }
}
