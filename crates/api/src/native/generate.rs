//! `POST /generate`: one prompt for one use case.

use axum::body::Body;
use axum::response::Response;
use domain::id::{AgentName, SessionId};
use domain::interaction::Door;
use pipeline::turn::Turn;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::head::Head;
use crate::native::{reply, text};
use crate::path::Path;
use crate::problem::Problem;

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
    Path(environment): Path<String>,
    head: Head,
    body: Body,
) -> Result<Response, Problem> {
    if !ENVIRONMENTS.contains(&environment.as_str()) {
        return Err(Problem::not_found(format!(
            "there is no environment `{environment}`; write /generate or one of /dev, /test, /prod before it"
        )));
    }
    handle(head, body).await
}

pub(crate) async fn handle(head: Head, body: Body) -> Result<Response, Problem> {
    let terms = head.terms()?;
    let body: GenerateBody = head.read_json(body).await?;
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
        text: text::non_empty("prompt", prompt)?,
        agent: text::name("use_case", use_case)?.map(AgentName::from),
        session: text::name("session_id", body.session_id)?.map(SessionId::from),
        user_id: text::name("user_id", body.user_id)?,
        metadata: text::metadata(body.metadata),
        max_tokens: body.max_tokens,
        temperature: body.temperature,
        ..reply::turn(&head, terms, Door::Generate)
    };
    reply::run(head, turn).await
}
