//! Asking a model: the request, the call and the chunks that come back.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::conversation::{Block, Conversation, Delta, Ending};
use crate::id::{ModelId, RegionName};
use crate::meter::Meter;
use crate::model::Overrides;
use crate::time::Moment;
use crate::token::Usage;
use crate::trace_context::CallTrace;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name all chat templates and most dialects use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }
}

/// How to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// 0 (greedy) to 2.
    pub temperature: f32,
    /// Nucleus sampling, 0 to 1; `None` leaves it to the provider.
    pub top_p: Option<f32>,
    /// Seed for reproducible sampling where the provider can.
    pub seed: Option<u64>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { max_tokens: 400, temperature: 0.0, top_p: None, seed: None, stop: Vec::new() }
    }
}

/// A request to any model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatRequest {
    /// The conversation, system message first. What changes least stands first, so that prefixes are cached.
    pub messages: Vec<Message>,
    /// How to sample.
    pub parameters: Parameters,
    /// A JSON schema that the answer keeps to.
    pub schema: Option<Arc<str>>,
}

/// The wire format a caller spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI chat completions.
    OpenAiChat,
    /// OpenAI responses.
    OpenAiResponses,
    /// OpenAI's older completions of a prompt.
    OpenAiCompletions,
    /// OpenAI embeddings.
    OpenAiEmbeddings,
    /// Anthropic messages.
    AnthropicMessages,
    /// How many tokens an Anthropic message has.
    AnthropicCountTokens,
    /// Bedrock's Converse and ConverseStream.
    BedrockConverse,
    /// Bedrock's InvokeModel with the body of the model's maker.
    BedrockInvoke,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::OpenAiCompletions,
        Self::OpenAiEmbeddings,
        Self::AnthropicMessages,
        Self::AnthropicCountTokens,
        Self::BedrockConverse,
        Self::BedrockInvoke,
    ];

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "OpenAI chat completions",
            Self::OpenAiResponses => "OpenAI responses",
            Self::OpenAiCompletions => "OpenAI completions",
            Self::OpenAiEmbeddings => "OpenAI embeddings",
            Self::AnthropicMessages => "Anthropic messages",
            Self::AnthropicCountTokens => "Anthropic token counts",
            Self::BedrockConverse => "Bedrock Converse",
            Self::BedrockInvoke => "Bedrock InvokeModel",
        }
    }
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As an event stream.
    Streamed,
    /// In one piece.
    Whole,
}

/// Whether the caller of a stream wants to be told what it used; we want it always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageFrame {
    /// It is passed on.
    Wanted,
    /// It is read and left out.
    Unwanted,
}

/// Whether a caller's request names tools. What they do may leave something behind at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// It does.
    Named,
    /// It does not.
    None,
}

/// Where a field of a relayed body stands whose meaning Mainstay knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSpan {
    /// Its name in the dialect.
    pub name: &'static str,
    /// The bytes of its value.
    pub value: Range<usize>,
}

/// A caller's own request, for passing it on unchanged but for what must change.
#[derive(Debug, Clone)]
pub struct Relayed {
    /// Its format.
    pub dialect: Dialect,
    /// The model as the caller names it.
    pub model: String,
    /// The body as received; checked to be one JSON object.
    pub body: Bytes,
    /// Fields that may have to change, in their order in the body.
    pub fields: Vec<FieldSpan>,
    /// How the caller wants its answer.
    pub delivery: Delivery,
    /// Whether a streamed answer is to end with its usage.
    pub usage: UsageFrame,
    /// Whether it names tools.
    pub tools: Tools,
    /// Header fields that its dialect lets through to a provider of the same dialect (lower case), as `anthropic-beta`.
    pub headers: Vec<(&'static str, Box<str>)>,
}

/// One call of one model with a caller's own bytes.
#[derive(Debug, Clone)]
pub struct RelayCall {
    /// The model, as in the catalogue.
    pub model: ModelId,
    /// The region of its provider; `None` for the provider's own address.
    pub region: Option<RegionName>,
    /// What is asked.
    pub relayed: Arc<Relayed>,
    /// Parameters forced on the call.
    pub overrides: Overrides,
    /// When the answer is no longer wanted.
    pub deadline: Moment,
    /// What it carries of its trace.
    pub trace: Option<CallTrace>,
    /// Where what its provider states of its usage is told at once.
    pub meter: Meter,
}

/// One call of one model with a caller's request in the words of no dialect.
#[derive(Debug, Clone)]
pub struct ConverseCall {
    /// The model, as in the catalogue.
    pub model: ModelId,
    /// The region of its provider; `None` for the provider's own address.
    pub region: Option<RegionName>,
    /// What is asked.
    pub conversation: Arc<Conversation>,
    /// Parameters forced on the call.
    pub overrides: Overrides,
    /// When the answer is no longer wanted.
    pub deadline: Moment,
    /// What it carries of its trace.
    pub trace: Option<CallTrace>,
    /// Where what its provider states of its usage is told at once.
    pub meter: Meter,
}

/// A piece of a streamed answer to a [`ConverseCall`]: what is said, then one `Ended`.
#[derive(Debug, Clone, PartialEq)]
pub enum Saying {
    /// What follows what came before.
    Said {
        /// What it is part of.
        block: Block,
        /// It.
        delta: Delta,
    },
    /// The answer is complete.
    Ended(Ending),
}

/// A part of a relayed answer: the provider's own bytes, in whole frames, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedPortion {
    /// To be passed on as they are; the first portion holds something of the answer.
    pub bytes: Bytes,
    /// Bytes of what the model says in it, to estimate from what a cut answer used; 0 where nobody counted.
    pub said: u32,
    /// The answer is complete; this is the last portion.
    pub done: Option<Done>,
}

/// How a complete answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Why.
    pub finish: Finish,
    /// What it used; `None` when the provider did not say.
    pub usage: Option<Usage>,
}

/// A provider's own words about a call that it refused, as far as a caller may read them: bounded, without anything
/// that looks like a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    /// The HTTP status.
    pub status: u16,
    /// For people.
    pub message: String,
    /// The class (`type` in OpenAI's dialect).
    pub kind: Option<String>,
    /// The field that it is about.
    pub parameter: Option<String>,
    /// For programs.
    pub code: Option<String>,
}

/// One call of one model.
#[derive(Debug, Clone)]
pub struct ChatCall {
    /// The model, as in the catalogue.
    pub model: ModelId,
    /// The region of its provider; `None` for the provider's own address.
    pub region: Option<RegionName>,
    /// What is asked.
    pub request: Arc<ChatRequest>,
    /// When the answer is no longer wanted.
    pub deadline: Moment,
    /// What it carries of its trace.
    pub trace: Option<CallTrace>,
    /// Where what its provider states of its usage is told at once.
    pub meter: Meter,
}

/// A piece of a streamed answer. Text comes in any number of deltas, then one `Done`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatChunk {
    /// Text that follows what came before.
    Delta(String),
    /// The answer is complete.
    Done {
        /// Why it ended.
        finish: Finish,
        /// What it used; `None` when the provider did not say.
        usage: Option<Usage>,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// By itself, or at a stop text.
    Stop,
    /// At one of the caller's stop texts, where the provider tells that apart.
    StopText,
    /// To have tools called.
    ToolUse,
    /// At the token limit.
    Length,
    /// The provider's content filter cut it.
    ContentFilter,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatAnswer {
    /// The text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it used; `None` when the provider did not say.
    pub usage: Option<Usage>,
}
