//! The door that OpenAI's SDKs know: `/v1/chat/completions` and `/v1/models`.
//!
//! Reading order: `chat` (who answers: an agent, or a bare model), `relay` (bare models, the caller's own bytes),
//! `agent` (the whole pipeline, in OpenAI's shape), `models`, `error`.

mod agent;
pub(crate) mod chat;
pub(crate) mod error;
pub(crate) mod models;
mod relay;

/// Whether what is refused at this path is told in OpenAI's shape.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with("/v1/")
}
