//! The body of a chat completions request, as callers write it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::openai::chat::reasoning::Detail;

#[derive(Deserialize)]
pub(super) struct Body {
    pub(super) messages: Option<Vec<Message>>,
    pub(super) max_tokens: Option<u32>,
    pub(super) max_completion_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u32>,
    pub(super) seed: Option<i64>,
    pub(super) stop: Option<Stop>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) response_format: Option<ResponseFormat>,
    pub(super) tools: Option<Vec<ToolBody>>,
    pub(super) tool_choice: Option<Choice>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) reasoning_effort: Option<String>,
    pub(super) user: Option<String>,
    pub(super) safety_identifier: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ResponseFormat {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) json_schema: Option<JsonSchema>,
}

#[derive(Deserialize)]
pub(super) struct JsonSchema {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) schema: Option<Box<RawValue>>,
    pub(super) strict: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    pub(super) role: Option<String>,
    pub(super) content: Option<Content>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<Call>>,
    pub(super) tool_call_id: Option<String>,
    pub(super) reasoning_content: Option<String>,
    pub(super) reasoning_details: Option<Vec<Detail>>,
    pub(super) name: Option<String>,
    pub(super) function_call: Option<Present>,
    pub(super) audio: Option<Present>,
}

/// Something is there.
pub(super) struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
pub(super) struct ContentPart {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) image_url: Option<ImageUrl>,
    pub(super) input_audio: Option<InputAudio>,
    pub(super) file: Option<File>,
    /// As routers in front of Anthropic take it.
    pub(super) cache_control: Option<CacheControl>,
}

#[derive(Deserialize)]
pub(super) struct ImageUrl {
    pub(super) url: Option<String>,
    pub(super) detail: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct InputAudio {
    pub(super) data: Option<String>,
    pub(super) format: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) file_data: Option<String>,
    pub(super) file_id: Option<String>,
    pub(super) filename: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CacheControl {
    pub(super) ttl: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Call {
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) function: Option<CalledFunction>,
}

#[derive(Deserialize)]
pub(super) struct CalledFunction {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ToolBody {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) function: Option<Function>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) parameters: Option<Box<RawValue>>,
    pub(super) strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Choice {
    Word(String),
    This(ThisTool),
}

#[derive(Deserialize)]
pub(super) struct ThisTool {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) function: Option<CalledFunction>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Stop {
    One(String),
    Many(Vec<String>),
}
