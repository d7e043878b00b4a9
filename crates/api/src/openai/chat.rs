//! `POST /v1/chat/completions`: who answers is in `model`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use domain::id::ContentHash;
use http::HeaderMap;
use registry::clients::Named;
use wire::openai::relay::{self as request, Asked, RequestError};

use crate::body::read_json_bytes;
use crate::caller::Caller;
use crate::openai::error::OpenAiError;
use crate::openai::{agent, relay};
use crate::problem::Problem;
use crate::router::Api;

/// Larger bodies are read on a thread that may block: a megabyte takes about a millisecond.
const READ_HERE_BYTES_MAX: usize = 256 << 10;

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, OpenAiError> {
    let (deadline, class) = (api.deadline(&headers)?, Api::class(&headers)?);
    let body = read_json_bytes(&headers, body, api.dialect_body_limits(), api.clock.as_ref()).await?;
    let (asked, request_hash) = understand(body).await?;
    let pipeline = api.pipeline(deadline).await?;
    let snapshot = pipeline.current().pin();
    match snapshot.named(&asked.model)? {
        Named::Agent(serving) => {
            let door = agent::Door { api, principal, pipeline, serving, deadline, class };
            agent::respond(door, asked).await
        }
        Named::Route(route) => {
            let streams_until = headers.contains_key("x-mainstay-timeout-ms").then_some(deadline);
            let door = relay::Door {
                api,
                principal,
                pipeline,
                snapshot,
                route,
                request_hash,
                deadline,
                streams_until,
                class,
            };
            relay::respond(door, asked).await
        }
    }
}

async fn understand(body: Bytes) -> Result<(Asked, ContentHash), OpenAiError> {
    let is_large = body.len() > READ_HERE_BYTES_MAX;
    let read = move || -> Result<_, RequestError> {
        let hash = pipeline::relay::hash(&body);
        Ok((request::read(body)?, hash))
    };
    if !is_large {
        return Ok(read()?);
    }
    let read = tokio::task::spawn_blocking(read).await;
    Ok(read.map_err(|_| Problem::internal("the body could not be read"))??)
}
