//! `POST /generate`: one prompt for one use case.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use domain::id::{AgentName, SessionId};
use domain::interaction::Door;
use http::HeaderMap;
use pipeline::turn::Turn;
use serde::Deserialize;
use serde_json::{Map, Value};
use telemetry::Operation;

use crate::body::read_json;
use crate::cached;
use crate::caller::Caller;
use crate::native::{reply, text};
use crate::problem::Problem;
use crate::router::Api;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerateBody {
    prompt: Option<String>,
    question: Option<String>,
    use_case: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    user_id: Option<String>,
    session_id: Option<String>,
    metadata: Option<Map<String, Value>>,
    max_tokens: Option<u32>,
    temperature: Option<f32>,
}

/// The environments by whose name `/generate` may be called.
const ENVIRONMENTS: [&str; 3] = ["dev", "test", "prod"];
const MAX_TOKENS: std::ops::RangeInclusive<u32> = 1..=32_768;

pub(crate) async fn handle_in_environment(
    environment: Result<Path<String>, PathRejection>,
    state: State<Arc<Api>>,
    (caller, headers): (Caller, HeaderMap),
    body: Body,
) -> Result<Response, Problem> {
    let Path(environment) = environment?;
    if !ENVIRONMENTS.contains(&environment.as_str()) {
        return Err(Problem::not_found(format!(
            "there is no environment `{environment}`; write /generate or one of /dev, /test, /prod before it"
        )));
    }
    handle(state, caller, headers, body).await
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (deadline, class) = (api.deadline(&headers)?, Api::class(&headers)?);
    let (residency, cache) = (Api::residency(&headers)?, cached::wish(&headers)?);
    let body: GenerateBody = read_json(&headers, body, api.body_limits(), api.clock.as_ref()).await?;
    let prompt = text::either(("prompt", body.prompt), ("question", body.question))?
        .ok_or_else(|| Problem::bad_field("field `prompt` (or `question`) is missing"))?;
    let use_case = text::either(("use_case", body.use_case), ("type", body.kind))?;
    if body.max_tokens.is_some_and(|max_tokens| !MAX_TOKENS.contains(&max_tokens)) {
        return Err(Problem::bad_field("field `max_tokens`: 1 to 32768"));
    }
    if body.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(Problem::bad_field("field `temperature`: 0 to 2"));
    }
    let turn = Turn {
        interaction: reply::new_interaction_id(&api),
        principal: Arc::clone(&caller.principal),
        door: Door::Generate,
        text: text::non_empty("prompt", prompt)?,
        agent: text::name("use_case", use_case)?.map(AgentName::from),
        session: text::name("session_id", body.session_id)?.map(SessionId::from),
        user_id: text::name("user_id", body.user_id)?,
        message_id: None,
        metadata: text::metadata(body.metadata),
        max_tokens: body.max_tokens,
        temperature: body.temperature,
        deadline,
        residency,
        class,
        watcher: caller.watched(Operation::InvokeAgent, reply::delivery(&headers)),
        cache,
    };
    reply::run(api, &headers, turn).await
}
