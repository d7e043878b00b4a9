//! `POST /v1/messages/count_tokens`: how many tokens a message would have, asked of the model's own provider.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use domain::chat::Dialect;
use http::HeaderMap;
use wire::anthropic::relay;

use super::headers::passed;
use super::manner::Anthropic;
use crate::caller::Caller;
use crate::dialect;
use crate::dialect::refusal::Refusal;
use crate::router::Api;

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let passed = passed(&headers)?;
    let understand = |body| relay::read(body, Dialect::AnthropicCountTokens, passed);
    let asked = dialect::read(&api, (&headers, body), understand).await?;
    dialect::respond(api, caller, (asked, &Anthropic)).await
}
