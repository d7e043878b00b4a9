//! The door that AWS's SDKs know.
//!
//! Reading order: this file (who asks which model, and how), [`manner`] (how replies look), [`signed`] (callers who sign
//! their requests instead of showing a key).

pub(crate) mod manner;
pub(crate) mod signed;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use domain::chat::{Delivery, Relayed};
use http::{HeaderMap, HeaderValue, header};
use wire::bedrock::{converse, invoke};
use wire::request::RequestError;

use self::manner::Bedrock;
use crate::caller::Caller;
use crate::dialect;
use crate::dialect::refusal::Refusal;
use crate::problem::Problem;
use crate::router::Api;

type Model = Result<Path<String>, PathRejection>;

/// `POST /model/{id}/converse`.
pub(crate) async fn converse(
    State(api): State<Arc<Api>>,
    (caller, model): (Caller, Model),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    conversation((api, caller), (model, Delivery::Whole), (headers, body)).await
}

/// `POST /model/{id}/converse-stream`.
pub(crate) async fn converse_stream(
    State(api): State<Arc<Api>>,
    (caller, model): (Caller, Model),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    conversation((api, caller), (model, Delivery::Streamed), (headers, body)).await
}

/// `POST /model/{id}/invoke`.
pub(crate) async fn invoke(
    State(api): State<Arc<Api>>,
    (caller, model): (Caller, Model),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    invocation((api, caller), (model, Delivery::Whole), (headers, body)).await
}

/// `POST /model/{id}/invoke-with-response-stream`.
pub(crate) async fn invoke_with_response_stream(
    State(api): State<Arc<Api>>,
    (caller, model): (Caller, Model),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    invocation((api, caller), (model, Delivery::Streamed), (headers, body)).await
}

async fn conversation(
    from: (Arc<Api>, Caller),
    (model, delivery): (Model, Delivery),
    request: (HeaderMap, Body),
) -> Result<Response, Refusal> {
    let model = name(model)?;
    let understand = move |body| converse::relay::read(body, (model, delivery)).map_err(RequestError::from);
    answer(from, request, understand).await
}

async fn invocation(
    from: (Arc<Api>, Caller),
    (model, delivery): (Model, Delivery),
    (mut headers, body): (HeaderMap, Body),
) -> Result<Response, Refusal> {
    let model = name(model)?;
    let mut passed = Vec::new();
    for name in invoke::HEADERS {
        if let Some(value) = headers.get(name) {
            let value = value.to_str().map_err(|_| Refusal::field(name, "a header of visible letters"))?;
            passed.push((name, value.into()));
        }
    }
    // boto3 sends these bodies without a type and the JavaScript SDK as bytes; they are JSON all the same. No web page
    // can send either from another origin without being seen as one.
    let is_bytes = |value: &HeaderValue| value.as_bytes() == b"application/octet-stream";
    if headers.get(header::CONTENT_TYPE).is_none_or(is_bytes) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let understand = move |body| invoke::read(body, (model, delivery), passed).map_err(RequestError::from);
    answer(from, (headers, body), understand).await
}

async fn answer(
    (api, caller): (Arc<Api>, Caller),
    (headers, body): (HeaderMap, Body),
    understand: impl FnOnce(Bytes) -> Result<Relayed, RequestError> + Send + 'static,
) -> Result<Response, Refusal> {
    let asked = dialect::read(&api, (&headers, body), understand).await?;
    dialect::respond(api, caller, (asked, &Bedrock)).await
}

/// The model's id; it comes percent-encoded, ARNs with their slashes.
fn name(model: Model) -> Result<String, Refusal> {
    let Path(model) = model.map_err(Problem::from)?;
    Ok(model)
}
