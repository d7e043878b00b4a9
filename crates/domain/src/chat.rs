//! Asking a model: the request, the call and the chunks that come back.

use std::sync::Arc;

use crate::id::ModelId;
use crate::time::Moment;
use crate::token::Usage;

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
}

/// The wire format a caller spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI chat completions.
    OpenAiChat,
}

/// The caller's own bytes, for passing them on unchanged where the target speaks the same dialect.
#[derive(Debug, Clone)]
pub struct Relayed {
    /// Their format.
    pub dialect: Dialect,
    /// The body as received.
    pub body: bytes::Bytes,
}

/// One call of one model.
#[derive(Debug, Clone)]
pub struct ChatCall {
    /// The model, as in the catalogue.
    pub model: ModelId,
    /// What is asked.
    pub request: Arc<ChatRequest>,
    /// The caller's bytes, for relayed calls.
    pub relayed: Option<Relayed>,
    /// When the answer is no longer wanted.
    pub deadline: Moment,
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
