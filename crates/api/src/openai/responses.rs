//! `POST /v1/responses`: who answers is in `model`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use wire::openai::responses::relay;

use crate::caller::Caller;
use crate::dialect;
use crate::dialect::refusal::Refusal;
use crate::openai::manner::OpenAi;
use crate::router::Api;

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let asked = dialect::read(&api, (&headers, body), relay::read).await?;
    dialect::respond(api, caller, (asked, &OpenAi)).await
}
