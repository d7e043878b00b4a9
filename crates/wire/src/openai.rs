//! OpenAI's chat completions, as a client speaks them (platform.openai.com/docs/api-reference/chat, read 2026-11)
//! and as compatible servers vary them.
//!
//! Reading order: [`chat`] (request and answer), [`stream`] (a streamed answer), [`failure`] (what an error means);
//! for callers who speak it themselves [`relay`] (passing on), [`inbound`] (their request as a domain one) and
//! [`encode`] (an answer of ours in their format).

pub mod chat;
pub mod encode;
pub mod failure;
pub mod inbound;
pub mod relay;
pub mod stream;
