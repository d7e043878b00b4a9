//! OpenAI's formats, as providers and callers speak them (platform.openai.com/docs/api-reference, read 2026-11) and as
//! compatible servers vary them.
//!
//! Reading order: [`chat`] (chat completions: both sides), [`responses`], [`relay`] (passing a caller's own bytes on),
//! [`completions`] (of a prompt), [`embeddings`], [`failure`] (what an error means), [`encode`] (an error of ours).

pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod encode;
pub mod failure;
pub mod relay;
pub mod responses;
