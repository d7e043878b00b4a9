//! A conversation with a model in the words of no dialect: what every request and answer is translated through.
//!
//! What all dialects can say has a place here, and what only some can. Whoever writes a dialect refuses what that one
//! cannot carry; nothing is left out in silence but hints, which change no answer.

use std::fmt;
use std::sync::Arc;

use crate::token::Usage;

/// The text of one JSON value, checked by whoever made it. The order of its keys and the form of its numbers stay as
/// they were written.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Arc<str>);

impl Json {
    /// `text` must be one JSON value: it is written into other JSON as it is.
    pub fn checked(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that a model is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// What stands above the conversation (system and developer messages): texts and cache points.
    pub instructions: Vec<Part>,
    /// Who said what, in order.
    pub turns: Vec<Turn>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub choice: ToolChoice,
    /// What form its answer takes.
    pub format: Format,
    /// How to sample.
    pub sampling: Sampling,
    /// How much it may think first.
    pub thinking: Thinking,
    /// Who is behind the request, as the caller's provider is told; a hint.
    pub user: Option<String>,
}

/// One side of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Instructions in the midst of the conversation; most dialects have none.
    System,
    /// The person, and the results of calls.
    User,
    /// The model.
    Assistant,
}

/// What one side said at one go. Dialects that want sides to alternate join turns; none splits one.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who.
    pub by: Speaker,
    /// What, in order.
    pub parts: Vec<Part>,
}

/// A part of a turn or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture.
    Image {
        /// It.
        media: Media,
        /// How closely to look, as the dialect calls it (`low`, `high`, `auto`); a hint.
        detail: Option<String>,
    },
    /// A document: a PDF, or plain text (`text/plain`).
    Document {
        /// It.
        media: Media,
        /// Its name.
        name: Option<String>,
    },
    /// Sound.
    Audio(Media),
    /// The model calls a tool; several in one turn are parallel.
    Call {
        /// Names the call, kept as it came.
        id: String,
        /// The tool.
        name: String,
        /// Meant to be a JSON object; models err, so it is any text. Empty means none.
        arguments: String,
    },
    /// What a call gave; said by the user.
    Result {
        /// The call.
        id: String,
        /// Texts, images, documents.
        parts: Vec<Part>,
        /// Whether it failed.
        is_error: bool,
    },
    /// What the model thought before it answered.
    Thought {
        /// Its words.
        text: String,
        /// The provider's proof that they are its own (Anthropic and Bedrock `signature`, Gemini `thoughtSignature`).
        proof: Option<String>,
    },
    /// Thoughts that only the provider can read.
    SealedThought(String),
    /// The model declines; OpenAI says so in a field of its own, elsewhere it is text.
    Refusal(String),
    /// What stands before this may be cached by the provider; a hint where there is no such thing.
    CachePoint(CacheTime),
}

/// How long a provider keeps what is cached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheTime {
    /// As long as it does by itself.
    #[default]
    Usual,
    /// Five minutes.
    FiveMinutes,
    /// An hour.
    Hour,
}

/// Where the bytes of an image, a document or a sound are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// At an address that the provider fetches; Mainstay never does.
    Url(String),
    /// Here.
    Inline {
        /// As `image/png`.
        kind: String,
        /// In base64.
        base64: Arc<str>,
    },
    /// At the provider, by the id that it gave.
    Stored(String),
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON schema of its arguments; `None` means that it takes none.
    pub schema: Option<Json>,
    /// Whether arguments keep to the schema exactly; `None` leaves it to the provider.
    pub strict: Option<bool>,
    /// Whether the tools up to this one may be cached; a hint.
    pub cache: Option<CacheTime>,
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolChoice {
    /// Which.
    pub which: Which,
    /// Whether it may call several at once; `None` leaves it to the provider.
    pub parallel: Option<bool>,
}

/// Which tool the model calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which {
    /// The caller did not say.
    #[default]
    Unsaid,
    /// As it likes.
    Auto,
    /// None.
    Never,
    /// One at least.
    Any,
    /// This one.
    This(String),
}

/// What form an answer takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// Any JSON object.
    Object,
    /// JSON that keeps to a schema.
    Schema {
        /// What the schema is called.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// It.
        schema: Json,
        /// Whether the answer keeps to it exactly; `None` leaves it to the provider.
        strict: Option<bool>,
    },
}

/// How to sample. What is `None` is left to the provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Most tokens of the answer. Some dialects demand it: a call brings the limit of its model or route for those.
    pub max_tokens: Option<u32>,
    /// 0 (greedy) to 2; 0 to 1 in some dialects.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Only among the likeliest.
    pub top_k: Option<u32>,
    /// For reproducible sampling.
    pub seed: Option<i64>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// −2 to 2.
    pub frequency_penalty: Option<f64>,
    /// −2 to 2.
    pub presence_penalty: Option<f64>,
}

/// How much a model may think before it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Thinking {
    /// The caller did not say.
    #[default]
    Unsaid,
    /// Not at all.
    Off,
    /// As much as the model finds right (Anthropic `adaptive`).
    Adaptive,
    /// With a word for how much (`minimal`, `low`, `medium`, `high`, …).
    Effort(String),
    /// Up to so many tokens.
    Tokens(u32),
}

/// Why an answer ended; [`crate::chat::Finish`] is the same without the stop text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub finish: crate::chat::Finish,
    /// The stop text at which it ended, where the provider says.
    pub stop: Option<String>,
    /// What it used; `None` when the provider did not say.
    pub usage: Option<Usage>,
}

impl Ending {
    /// The same without the stop text.
    #[must_use]
    pub fn done(&self) -> crate::chat::Done {
        crate::chat::Done { finish: self.finish, usage: self.usage }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The provider's id of it; empty where it gave none.
    pub id: String,
    /// The model, as the provider names it; empty where it did not.
    pub model: String,
    /// What it says: texts, thoughts, calls, refusals.
    pub parts: Vec<Part>,
    /// How it ended.
    pub ending: Ending,
}

/// A step of a streamed answer. One `Begun`, then blocks one after the other (`Opened`, any number of `Delta`,
/// `Closed`; never two open at once, numbered from 0), then one `Ended`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It begins.
    Begun {
        /// As in [`Answer::id`].
        id: String,
        /// As in [`Answer::model`].
        model: String,
        /// What is known of the usage so far: the input, where a provider says so at once.
        usage: Option<Usage>,
    },
    /// A block begins.
    Opened {
        /// Its number.
        index: u32,
        /// What it is.
        block: Block,
    },
    /// A block goes on.
    Delta {
        /// Its number.
        index: u32,
        /// With what.
        delta: Delta,
    },
    /// A block is complete.
    Closed {
        /// Its number.
        index: u32,
    },
    /// The answer is complete.
    Ended(Ending),
}

/// What a block of a streamed answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Words.
    Text,
    /// Thoughts.
    Thought,
    /// Thoughts that only the provider can read; whole at once.
    SealedThought(String),
    /// A call; its arguments follow.
    Call {
        /// Names the call.
        id: String,
        /// The tool.
        name: String,
    },
    /// The model declines.
    Refusal,
}

/// What is added to a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// To words, thoughts or a refusal.
    Text(String),
    /// To the arguments of a call: a piece of JSON text.
    Arguments(String),
    /// To the proof of a thought.
    Proof(String),
}
