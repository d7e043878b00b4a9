//! OpenAI's chat completions, as a client speaks them (platform.openai.com/docs/api-reference/chat, read 2026-11)
//! and as compatible servers vary them.
//!
//! Reading order: [`chat`] (request and answer), [`stream`] (a streamed answer), [`failure`] (what an error means).

pub mod chat;
pub mod failure;
pub mod stream;
