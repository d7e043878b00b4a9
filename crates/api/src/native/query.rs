//! `POST /query`: the guarded assistant, with sessions.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
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
struct QueryBody {
    query: String,
    session_id: Option<String>,
    user_id: Option<String>,
    agent: Option<String>,
    message_id: Option<String>,
    metadata: Option<Map<String, Value>>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (deadline, class) = (api.deadline(&headers)?, Api::class(&headers)?);
    let (residency, cache) = (Api::residency(&headers)?, cached::wish(&headers)?);
    let body: QueryBody = read_json(&headers, body, api.body_limits(), api.clock.as_ref()).await?;
    let turn = Turn {
        interaction: reply::new_interaction_id(&api),
        principal: Arc::clone(&caller.principal),
        door: Door::Query,
        text: text::non_empty("query", body.query)?,
        agent: text::name("agent", body.agent)?.map(AgentName::from),
        session: text::name("session_id", body.session_id)?.map(SessionId::from),
        user_id: text::name("user_id", body.user_id)?,
        message_id: text::name("message_id", body.message_id)?,
        metadata: text::metadata(body.metadata),
        max_tokens: None,
        temperature: None,
        deadline,
        residency,
        class,
        watcher: caller.watched(Operation::InvokeAgent, reply::delivery(&headers)),
        cache,
    };
    reply::run(api, &headers, turn).await
}
