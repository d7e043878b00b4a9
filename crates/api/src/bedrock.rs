//! The door that AWS's SDKs know.
//!
//! Reading order: this file (who asks which model, and how), [`manner`] (how replies look), [`signed`] (callers who sign
//! their requests instead of showing a key).

pub(crate) mod manner;
pub(crate) mod signed;

use axum::response::Response;
use domain::chat::Delivery;
use http::{HeaderValue, header};
use wire::bedrock::{converse, invoke};
use wire::request::RequestError;

use self::manner::Bedrock;
use crate::dialect::incoming::Incoming;
use crate::dialect::refusal::Refusal;
use crate::path::Path;

/// The model's id: it comes percent-encoded, ARNs with their slashes.
type Model = Path<String>;

/// `POST /model/{id}/converse`.
pub(crate) async fn converse(model: Model, request: Incoming) -> Result<Response, Refusal> {
    conversation((model, Delivery::Whole), request).await
}

/// `POST /model/{id}/converse-stream`.
pub(crate) async fn converse_stream(model: Model, request: Incoming) -> Result<Response, Refusal> {
    conversation((model, Delivery::Streamed), request).await
}

/// `POST /model/{id}/invoke`.
pub(crate) async fn invoke(model: Model, request: Incoming) -> Result<Response, Refusal> {
    invocation((model, Delivery::Whole), request).await
}

/// `POST /model/{id}/invoke-with-response-stream`.
pub(crate) async fn invoke_with_response_stream(
    model: Model,
    request: Incoming,
) -> Result<Response, Refusal> {
    invocation((model, Delivery::Streamed), request).await
}

async fn conversation(
    (Path(model), delivery): (Model, Delivery),
    request: Incoming,
) -> Result<Response, Refusal> {
    let understand = move |body| converse::relay::read(body, (model, delivery)).map_err(RequestError::from);
    request.answer(understand, &Bedrock).await
}

async fn invocation(
    (Path(model), delivery): (Model, Delivery),
    mut request: Incoming,
) -> Result<Response, Refusal> {
    let mut passed = Vec::new();
    for name in invoke::HEADERS {
        if let Some(value) = request.head.headers.get(name) {
            let value = value.to_str().map_err(|_| Refusal::field(name, "a header of visible letters"))?;
            passed.push((name, value.into()));
        }
    }
    // boto3 sends these bodies without a type and the JavaScript SDK as bytes; they are JSON all the same. No web page
    // can send either from another origin without being seen as one.
    let is_bytes = |value: &HeaderValue| value.as_bytes() == b"application/octet-stream";
    if request.head.headers.get(header::CONTENT_TYPE).is_none_or(is_bytes) {
        request.head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let understand = move |body| invoke::read(body, (model, delivery), passed).map_err(RequestError::from);
    request.answer(understand, &Bedrock).await
}
