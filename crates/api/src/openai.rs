//! The door that OpenAI's SDKs know: `/v1/chat/completions`, `/v1/responses` and `/v1/models`.

pub(crate) mod chat;
pub(crate) mod manner;
pub(crate) mod models;
pub(crate) mod responses;
