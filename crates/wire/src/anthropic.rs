//! Anthropic's messages (platform.claude.com/docs/en/api/messages and its Python SDK 2.12, read 2026-11), as callers
//! and as providers speak them.
//!
//! Reading order: [`messages`] (the format as a whole), `inbound` (a caller's request in no dialect's words), `request`
//! (the same for a provider), `model` (what a model's name tells), `thinking` (by it), `answer` and `stream` (answers in), `outbound`
//! (answers out), [`failure`] (what an error means), [`relay`] (requests and answers passed on), [`count`] (how many
//! tokens a request has).

pub(crate) mod answer;
pub mod count;
pub mod failure;
mod inbound;
pub mod messages;
pub(crate) mod model;
mod outbound;
pub mod relay;
mod request;
mod stream;
pub(crate) mod thinking;

pub use messages::Messages;
