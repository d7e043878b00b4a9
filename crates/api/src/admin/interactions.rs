//! `GET /admin/v1/interactions[/{id}]`: finished turns, newest first, and one of them whole.

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::id::{ContentHash, InteractionId, SessionId};
use domain::interaction::{Attempt, Chosen, Interaction, InteractionFilter, Outcome};
use domain::price::{Cost, PriceVersion};
use domain::token::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::head::Head;
use crate::native::reply::{citations, cost, guardrail, milliseconds, quality, rounded, steps, usage};
use crate::parameters::{Parameters, limit_parameter, since_parameter};
use crate::path::Path;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParameters {
    session_id: Option<String>,
    outcome: Option<String>,
    since: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    head: Head,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Response, Problem> {
    let limit = limit_parameter(parameters.limit)?;
    let filter = InteractionFilter {
        tenant: head.caller.scope().cloned(),
        session: parameters.session_id.map(SessionId::from),
        outcome: parameters.outcome.map(|name| outcome_parameter(&name)).transpose()?,
        since: parameters.since.map(|since| since_parameter(&since)).transpose()?,
        before: parameters.cursor.map(InteractionId::from),
        limit,
    };
    let pipeline = head.pipeline().await?;
    let listed = pipeline.records().interactions(filter).await?;
    let next = listed.last().filter(|_| listed.len() == limit).map(|last| last.id.to_string());
    let listed = listed.iter().map(summary).collect::<Vec<_>>();
    Ok(Json(json!({ "interactions": listed, "next_cursor": next })).into_response())
}

pub(crate) async fn show(head: Head, Path(id): Path<String>) -> Result<Response, Problem> {
    let pipeline = head.pipeline().await?;
    let id = InteractionId::from(id);
    match pipeline.records().interaction(head.caller.scope(), &id).await? {
        Some(interaction) => Ok(Json(whole(&interaction)).into_response()),
        None => Err(Problem::not_found(format!("there is no interaction `{id}`"))),
    }
}

fn outcome_parameter(name: &str) -> Result<Outcome, Problem> {
    Outcome::ALL.into_iter().find(|outcome| outcome.name() == name).ok_or_else(|| {
        let known = Outcome::ALL.map(Outcome::name).join(", ");
        Problem::bad_parameter(format!("parameter `outcome`: one of {known}"))
    })
}

fn summary(interaction: &Interaction) -> Value {
    json!({
        "interaction_id": interaction.id.as_str(),
        "session_id": interaction.session.as_ref().map(SessionId::as_str),
        "tenant": interaction.asker.tenant.as_str(),
        "key": interaction.asker.key.as_str(),
        "user_id": interaction.user_id,
        "door": interaction.door.name(),
        "agent_version": (!interaction.agent.is_none()).then(|| interaction.agent.to_string()),
        "created": interaction.created.rfc3339(),
        "latency_ms": milliseconds(interaction.latency),
        "outcome": interaction.outcome.name(),
        "tier": interaction.tier.map(domain::model::Tier::name),
        "model_used": interaction.model_used,
        "attempt": interaction.attempt,
    })
}

fn whole(interaction: &Interaction) -> Value {
    let mut body = summary(interaction);
    let more = json!({
        "snapshot": interaction.snapshot.as_str(),
        "question": interaction.question,
        "question_hash": interaction.question_hash.as_ref().map(ContentHash::as_str),
        "response": interaction.response,
        "response_hash": interaction.response_hash.as_str(),
        "intent": interaction.intent.as_ref().map(|intent| json!({ "name": intent.name, "confidence": rounded(intent.confidence) })),
        "guardrail": guardrail(interaction),
        "quality": quality(interaction),
        "citations": citations(&interaction.citations),
        "usage": usage(interaction),
        "cost_usd": cost(interaction.cost),
        "attempts": interaction.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "steps": steps(interaction),
        "case_id": interaction.case.as_ref().map(domain::id::CaseId::as_str),
        "metadata": interaction.metadata.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "retention": interaction.retention.name(),
    });
    if let (Some(fields), Value::Object(more)) = (body.as_object_mut(), more) {
        fields.extend(more);
    }
    body
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "n": attempt.n,
        "tier": attempt.tier.name(),
        "target": attempt.target.as_str(),
        "model": attempt.model.as_str(),
        "chosen": attempt.chosen.map(Chosen::name),
        "started_ms": milliseconds(attempt.started),
        "latency_ms": milliseconds(attempt.latency),
        "first_token_ms": attempt.first_token.map(milliseconds),
        "usage": attempt.usage.map(tokens),
        "estimate": attempt.estimate.map(tokens),
        "cost_usd": cost(attempt.cost),
        "cost_basis": attempt.cost.basis(),
        "saved_usd": (!attempt.is_call()).then(|| cost(Cost::Exact(attempt.saved))).flatten(),
        "price_version": attempt.prices.as_ref().map(PriceVersion::as_str),
        "result": attempt.result.name(),
    })
}

fn tokens(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input.0,
        "output_tokens": usage.output.0,
        "cached_input_tokens": usage.cached_input.0,
        "cache_write_input_tokens": usage.cache_write_input.0,
        "cache_write_hour_input_tokens": usage.cache_write_hour_input.0,
        "reasoning_output_tokens": usage.reasoning_output.0,
    })
}
