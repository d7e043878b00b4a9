//! The door that Anthropic's SDKs know; who answers is in `model`.
//!
//! Reading order: this file (who asks what), [`models`] (what there is), [`manner`] (how replies look), [`headers`] (which
//! of the caller's go on to a provider).

pub(crate) mod headers;
pub(crate) mod manner;
pub(crate) mod models;

use axum::response::Response;
use domain::chat::Dialect;
use wire::anthropic::relay;

use self::manner::Anthropic;
use crate::dialect::incoming::Incoming;
use crate::dialect::refusal::Refusal;

/// `POST /v1/messages`.
pub(crate) async fn messages(request: Incoming) -> Result<Response, Refusal> {
    answer(request, Dialect::AnthropicMessages).await
}

/// `POST /v1/messages/count_tokens`: how many tokens a message would have, asked of the model's own provider.
pub(crate) async fn count(request: Incoming) -> Result<Response, Refusal> {
    answer(request, Dialect::AnthropicCountTokens).await
}

async fn answer(request: Incoming, dialect: Dialect) -> Result<Response, Refusal> {
    let passed = headers::passed(&request.head.headers)?;
    request.answer(move |body| relay::read(body, dialect, passed), &Anthropic).await
}
