//! Runs a turn and gives its reply as JSON or as an event stream.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::chat::Delivery;
use domain::document::Citation;
use domain::id::{InteractionId, prefixed};
use domain::interaction::{Door, Interaction};
use domain::model::Cost;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pipeline::listener::Listener;
use pipeline::turn::{Recorded, Reply, Turn};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use telemetry::Operation;

use crate::cached;
use crate::head::{Head, Terms};
use crate::limits;
use crate::problem::{Problem, whole_seconds};
use crate::server::Api;
use crate::stream;

pub(crate) fn new_interaction_id(api: &Api) -> InteractionId {
    InteractionId::new(prefixed("int", api.ids.next_id()))
}

/// A turn of the caller's, on its terms, that says nothing yet.
pub(super) fn turn(head: &Head, terms: Terms, door: Door) -> Turn {
    let Terms { deadline, class, residency, cache } = terms;
    let (interaction, principal) = (new_interaction_id(&head.api), Arc::clone(&head.caller.principal));
    let watcher = head.caller.watched(Operation::InvokeAgent, delivery(&head.headers));
    Turn { residency, class, watcher, cache, ..Turn::new(interaction, door, principal, deadline) }
}

/// Runs the turn to its reply, streamed when the caller accepts event streams.
pub(crate) async fn run(head: Head, turn: Turn) -> Result<Response, Problem> {
    let Head { api, headers, .. } = head;
    let pipeline = api.pipeline(turn.deadline).await?;
    if delivery(&headers) == Delivery::Streamed {
        return Ok(stream::respond(api, pipeline, turn)?);
    }
    // Boxed, as the path of a turn is a large future and handlers are moved a few times.
    let admitted = pipeline.admit(turn)?;
    let standing = admitted.standing;
    let reply = Box::pin(pipeline.run_admitted(admitted, Listener::Silent)).await?;
    api.metrics.observe(&reply);
    let mut response = Json(body(&reply)).into_response();
    put_headers(response.headers_mut(), &reply);
    limits::note(&mut response, standing);
    Ok(response)
}

/// How the caller wants its reply.
pub(crate) fn delivery(headers: &HeaderMap) -> Delivery {
    if accepts_event_stream(headers) { Delivery::Streamed } else { Delivery::Whole }
}

fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT);
    accepts.iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|part| {
            part.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
        })
    })
}

/// The full body of a reply.
pub fn body(reply: &Reply) -> Value {
    let mut body = match reply.interaction.door {
        Door::Generate | Door::Relayed(_) => generate_body(reply),
        Door::Query => query_body(reply),
    };
    if let (Some(told), Some(fields)) = (reply.cache, body.as_object_mut()) {
        fields.insert("cache".to_owned(), cached::body(told));
    }
    if reply.recorded == Recorded::No
        && let Some(fields) = body.as_object_mut()
    {
        fields.insert("recorded".to_owned(), Value::Bool(false));
    }
    body
}

fn generate_body(reply: &Reply) -> Value {
    let interaction = &reply.interaction;
    json!({
        "response": reply.response,
        "model_used": interaction.model_used,
        "use_case": interaction.agent.name.as_str(),
        "attempt": interaction.attempt,
        "outcome": interaction.outcome.name(),
        "tier": interaction.tier.map(domain::model::Tier::name),
        "agent_version": interaction.agent.to_string(),
        "interaction_id": interaction.id.as_str(),
        "usage": usage(interaction),
        "cost_usd": cost(interaction.cost),
        "latency_ms": u64::try_from(interaction.latency.as_millis()).unwrap_or(u64::MAX),
        "citations": citations(&interaction.citations),
    })
}

fn query_body(reply: &Reply) -> Value {
    let interaction = &reply.interaction;
    json!({
        "response": reply.response,
        "session_id": interaction.session.as_ref().map(domain::id::SessionId::as_str),
        "interaction_id": interaction.id.as_str(),
        "intent": interaction.intent.as_ref().map(|intent| json!({ "name": intent.name, "confidence": rounded(intent.confidence) })),
        "outcome": interaction.outcome.name(),
        "guardrail": guardrail(interaction),
        "quality": quality(interaction),
        "citations": citations(&interaction.citations),
        "model_used": interaction.model_used,
        "tier": interaction.tier.map(domain::model::Tier::name),
        "attempt": interaction.attempt,
        "usage": usage(interaction),
        "cost_usd": cost(interaction.cost),
        "steps": steps(interaction),
    })
}

/// The validator's verdict, where an answer was validated.
pub(crate) fn quality(interaction: &Interaction) -> Option<Value> {
    let verdict = interaction.quality.as_ref()?;
    let checks = verdict
        .checks
        .iter()
        .map(|check| json!({ "name": check.name, "passed": check.passed, "reason": check.reason }))
        .collect::<Vec<_>>();
    Some(json!({ "score": verdict.score, "checks": checks, "regenerations": verdict.regenerations }))
}

pub(crate) fn guardrail(interaction: &Interaction) -> Value {
    let findings = interaction
        .guardrail
        .findings
        .iter()
        .map(|finding| {
            json!({
                "policy": finding.policy,
                "rule": finding.rule,
                "side": finding.side.name(),
                "start": finding.start,
                "end": finding.end,
            })
        })
        .collect::<Vec<_>>();
    json!({ "action": interaction.guardrail.action.name(), "findings": findings })
}

pub(crate) fn usage(interaction: &Interaction) -> Value {
    json!({
        "input_tokens": interaction.usage.input.0,
        "output_tokens": interaction.usage.output.0,
        "cached_input_tokens": interaction.usage.cached_input.0,
    })
}

pub(crate) fn steps(interaction: &Interaction) -> Vec<Value> {
    let step = |step: &domain::interaction::StepRecord| json!({ "name": step.name, "ms": milliseconds(step.took), "outcome": step.outcome });
    interaction.steps.iter().map(step).collect()
}

/// Milliseconds with three decimals.
pub(crate) fn milliseconds(took: std::time::Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// Four decimals: more would only look exact.
pub(crate) fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// An exact decimal, or `null` when unpriced.
pub(crate) fn cost(cost: Cost) -> Option<Box<RawValue>> {
    cost.amount().and_then(|amount| RawValue::from_string(amount.usd()).ok())
}

pub(crate) fn citations(citations: &[Citation]) -> Vec<Value> {
    let citation = |citation: &Citation| {
        let passage = &citation.passage;
        json!({
            "n": citation.n,
            "document": passage.document.as_str(),
            "version": passage.version.as_str(),
            "title": passage.title,
            "source": passage.source,
            "as_of": passage.as_of,
            "start": passage.start,
            "end": passage.end,
            "text": passage.text,
        })
    };
    citations.iter().map(citation).collect()
}

/// The identity headers.
pub(crate) fn put_headers(headers: &mut HeaderMap, reply: &Reply) {
    let interaction = &reply.interaction;
    let mut put = |name: &'static str, value: &str| {
        // Names in configuration may hold any character: one that no header can carry is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-mainstay-interaction", interaction.id.as_str());
    put("x-mainstay-agent", &interaction.agent.to_string());
    put("x-mainstay-attempt", &interaction.attempt.to_string());
    put("x-mainstay-guardrail", interaction.guardrail.action.name());
    if let Some(model) = &interaction.model_used {
        put("x-mainstay-model", model);
    }
    if let Some(tier) = interaction.tier {
        put("x-mainstay-tier", tier.name());
    }
    if let Some(amount) = interaction.cost.amount() {
        put("x-mainstay-cost-usd", &amount.usd());
    }
    put("x-mainstay-cost-basis", interaction.cost.basis());
    if reply.recorded == Recorded::No {
        put("x-mainstay-recorded", "no");
    }
    if let Some(wait) = reply.retry_after {
        put("retry-after", &whole_seconds(wait).to_string());
    }
    if let Some(told) = reply.cache {
        cached::put(headers, told);
    }
}
