//! `POST /query`: the guarded assistant, with sessions.

use axum::body::Body;
use axum::response::Response;
use domain::id::{AgentName, SessionId};
use domain::interaction::Door;
use pipeline::turn::Turn;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::head::Head;
use crate::native::{reply, text};
use crate::problem::Problem;

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

pub(crate) async fn handle(head: Head, body: Body) -> Result<Response, Problem> {
    let terms = head.terms()?;
    let body: QueryBody = head.read_json(body).await?;
    let turn = Turn {
        text: text::non_empty("query", body.query)?,
        agent: text::name("agent", body.agent)?.map(AgentName::from),
        session: text::name("session_id", body.session_id)?.map(SessionId::from),
        user_id: text::name("user_id", body.user_id)?,
        message_id: text::name("message_id", body.message_id)?,
        metadata: text::metadata(body.metadata),
        ..reply::turn(&head, terms, Door::Query)
    };
    reply::run(head, turn).await
}
