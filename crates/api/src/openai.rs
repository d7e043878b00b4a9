//! The doors that OpenAI's SDKs know, and the same where Azure's clients look for them; who answers is in `model`.
//!
//! Reading order: this file (who asks what), [`azure`] (by deployment), [`models`] (what there is), [`manner`] (how
//! replies look).

pub(crate) mod azure;
pub(crate) mod manner;
pub(crate) mod models;

use axum::response::Response;
use wire::openai::{completions, embeddings, relay, responses};

use self::manner::OpenAi;
use crate::dialect::incoming::Incoming;
use crate::dialect::refusal::Refusal;

/// `POST /v1/chat/completions`.
pub(crate) async fn chat(request: Incoming) -> Result<Response, Refusal> {
    request.answer(relay::read, &OpenAi).await
}

/// `POST /v1/responses`.
pub(crate) async fn responses(request: Incoming) -> Result<Response, Refusal> {
    request.answer(responses::relay::read, &OpenAi).await
}

/// `POST /v1/completions`: the older completions of a prompt.
pub(crate) async fn completions(request: Incoming) -> Result<Response, Refusal> {
    request.answer(completions::read, &OpenAi).await
}

/// `POST /v1/embeddings`: texts for vectors.
pub(crate) async fn embeddings(request: Incoming) -> Result<Response, Refusal> {
    request.answer(embeddings::read, &OpenAi).await
}
