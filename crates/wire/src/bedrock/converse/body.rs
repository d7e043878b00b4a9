//! A Converse request as it is on the wire. Nova's own body for InvokeModel is the same with a few fields more.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A request. What has no place in another dialect is kept as it is, to be refused by name.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct Request<'a> {
    /// Only in Nova's own body: `messages-v1`.
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "it is known, and changes no answer")]
    pub(in crate::bedrock) schema_version: Option<Ignored>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::bedrock) system: Vec<System<'a>>,
    #[serde(borrow, default)]
    pub(in crate::bedrock) messages: Vec<Message<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) inference_config: Option<Inference<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) tool_config: Option<ToolConfig<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) output_config: Option<OutputConfig<'a>>,
    /// Only in Nova's own body; in Converse it is among the additional fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) reasoning_config: Option<ReasoningConfig<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) additional_model_request_fields: Option<Additional<'a>>,
    // Hints, which change no answer.
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "it is known, and changes no answer")]
    pub(in crate::bedrock) request_metadata: Option<Ignored>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "it is known, and changes no answer")]
    pub(in crate::bedrock) performance_config: Option<Ignored>,
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "it is known, and changes no answer")]
    pub(in crate::bedrock) service_tier: Option<Ignored>,
    // What only AWS can do.
    #[serde(default, skip_serializing)]
    pub(in crate::bedrock) guardrail_config: Option<Ignored>,
    #[serde(default, skip_serializing)]
    pub(in crate::bedrock) prompt_variables: Option<Ignored>,
    // Pointers into a reply as its model's maker writes it; what is not there is left out, as by AWS.
    #[serde(default, skip_serializing)]
    pub(in crate::bedrock) additional_model_response_field_paths: Option<Vec<String>>,
}

/// Any value, not looked at.
pub(in crate::bedrock) type Ignored = serde::de::IgnoredAny;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Message<'a> {
    pub(in crate::bedrock) role: Role,
    #[serde(borrow)]
    pub(in crate::bedrock) content: Vec<Block<'a>>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::bedrock) enum Role {
    User,
    Assistant,
    System,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum Block<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Image(#[serde(borrow)] Image<'a>),
    Document(#[serde(borrow)] Document<'a>),
    Audio(#[serde(borrow)] Audio<'a>),
    ToolUse(#[serde(borrow)] ToolUse<'a>),
    ToolResult(#[serde(borrow)] ToolResult<'a>),
    ReasoningContent(#[serde(borrow)] Reasoning<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum System<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    CachePoint(CachePoint),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Image<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) format: Cow<'a, str>,
    pub(in crate::bedrock) source: Source,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Audio<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) format: Cow<'a, str>,
    pub(in crate::bedrock) source: Source,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Document<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) format: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(in crate::bedrock) name: Cow<'a, str>,
    pub(in crate::bedrock) source: Source,
}

/// Where the bytes are; blobs are base64 on the wire. At S3 is where only AWS gets them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum Source {
    Bytes(Arc<str>),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct ToolUse<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::bedrock) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::bedrock) input: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct ToolResult<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) tool_use_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::bedrock) content: Vec<ResultBlock<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) status: Option<Status>,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::bedrock) enum Status {
    Success,
    Error,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum ResultBlock<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Json(#[serde(borrow)] &'a RawValue),
    Image(#[serde(borrow)] Image<'a>),
    Document(#[serde(borrow)] Document<'a>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum Reasoning<'a> {
    ReasoningText(#[serde(borrow)] ReasoningText<'a>),
    RedactedContent(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct ReasoningText<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) text: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) signature: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct CachePoint {
    #[serde(rename = "type")]
    pub(in crate::bedrock) kind: CacheKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) ttl: Option<Ttl>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::bedrock) enum CacheKind {
    Default,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
pub(in crate::bedrock) enum Ttl {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct Inference<'a> {
    // Nova's own body had the older name first.
    #[serde(default, alias = "max_new_tokens", skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) max_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) temperature: Option<f64>,
    #[serde(default, alias = "top_p", skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) top_p: Option<f64>,
    /// Only in Nova's own body, and among the additional fields.
    #[serde(default, alias = "top_k", skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) top_k: Option<u32>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::bedrock) stop_sequences: Vec<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct ToolConfig<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) tools: Vec<Tool<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum Tool<'a> {
    ToolSpec(#[serde(borrow)] ToolSpec<'a>),
    CachePoint(CachePoint),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct ToolSpec<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) name: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(in crate::bedrock) input_schema: InputSchema<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) strict: Option<bool>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct InputSchema<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) json: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum Choice<'a> {
    Auto(Nothing),
    Any(Nothing),
    Tool(#[serde(borrow)] Named<'a>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Nothing {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Named<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) name: Cow<'a, str>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct OutputConfig<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) text_format: Option<TextFormat<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) effort: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct TextFormat<'a> {
    #[serde(rename = "type")]
    pub(in crate::bedrock) kind: FormatKind,
    #[serde(borrow)]
    pub(in crate::bedrock) structure: Structure<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bedrock) enum FormatKind {
    JsonSchema,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bedrock) enum Structure<'a> {
    JsonSchema(#[serde(borrow)] JsonSchema<'a>),
}

/// The schema is JSON within a text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct JsonSchema<'a> {
    #[serde(borrow)]
    pub(in crate::bedrock) schema: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) name: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) description: Option<Cow<'a, str>>,
}

/// What models take that Converse has no place for, as far as it is known.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct Additional<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) top_k: Option<u32>,
    /// Claude's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) thinking: Option<ClaudeThinking>,
    /// Claude's: only for `disable_parallel_tool_use`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) tool_choice: Option<ClaudeChoice<'a>>,
    /// Nova's.
    #[serde(borrow, default, rename = "inferenceConfig", skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) inference: Option<Inference<'a>>,
    /// Nova's.
    #[serde(borrow, default, rename = "reasoningConfig", skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) reasoning: Option<ReasoningConfig<'a>>,
    /// The open GPT models'.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) reasoning_effort: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::bedrock) enum ClaudeThinking {
    Enabled { budget_tokens: u32 },
    Adaptive,
    Disabled,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bedrock) struct ClaudeChoice<'a> {
    /// Left out where Converse's own choice says it: both are refused.
    #[serde(borrow, default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) kind: Option<Cow<'a, str>>,
    pub(in crate::bedrock) disable_parallel_tool_use: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::bedrock) struct ReasoningConfig<'a> {
    #[serde(borrow, rename = "type")]
    pub(in crate::bedrock) kind: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bedrock) max_reasoning_effort: Option<Cow<'a, str>>,
}
