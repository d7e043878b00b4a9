//! The doors that OpenAI's SDKs know: `/v1/chat/completions`, `/v1/responses`, `/v1/completions`, `/v1/embeddings`
//! and `/v1/models`, and the same where Azure's clients look for them.

pub(crate) mod azure;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod manner;
pub(crate) mod models;
pub(crate) mod responses;
