//! `GET /admin/v1/breakers`: how each target is; `POST /admin/v1/breakers/{target}/reset` closes its breaker.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use domain::id::TargetId;
use pipeline::parts::Pipeline;
use resilience::breaker::Cause;
use resilience::hedge;
use resilience::shedding::RouteReading;
use routing::TargetHealth;
use serde_json::{Value, json};

use crate::head::Head;
use crate::path::Path;
use crate::problem::Problem;

pub(crate) async fn list(head: Head) -> Result<Response, Problem> {
    let pipeline = head.pipeline().await?;
    let breakers: Vec<Value> = pipeline.router().health().iter().map(entry).collect();
    let routes: Vec<Value> = head.api.gate.read().routes.iter().map(route).collect();
    let hedges = hedges(pipeline.router().hedges());
    Ok(Json(json!({ "breakers": breakers, "routes": routes, "hedges": hedges })).into_response())
}

/// A target as one segment, its slash written `%2F`.
pub(crate) async fn reset(head: Head, Path(target): Path<String>) -> Result<Response, Problem> {
    let pipeline = head.pipeline().await?;
    reset_one(&pipeline, &target)
}

/// A target as people write it, `<provider>/<model>`.
pub(crate) async fn reset_by_model(
    head: Head,
    Path((provider, model)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let pipeline = head.pipeline().await?;
    reset_one(&pipeline, &format!("{provider}/{model}"))
}

fn reset_one(pipeline: &Pipeline, target: &str) -> Result<Response, Problem> {
    let router = pipeline.router();
    let target = TargetId::from(target);
    if !router.breakers().reset(&target) {
        let known: Vec<_> = router.health().iter().map(|known| format!("`{}`", known.target)).collect();
        let known = known.join(", ");
        return Err(Problem::not_found(format!("there is no target `{target}`; there are {known}")));
    }
    tracing::info!(target.id = %target, "the breaker of `{target}` was reset by an operator");
    let health = router.health();
    let now = health.iter().find(|health| health.target == target).map(entry);
    Ok(Json(now.unwrap_or_default()).into_response())
}

fn route(reading: &RouteReading) -> Value {
    json!({
        "route": reading.route.as_str(),
        "requests": reading.under_way,
        "requests_max": reading.limit,
        "waiting": reading.waiting,
    })
}

fn hedges(reading: hedge::Reading) -> Value {
    let hedge::Reading { won, lost, failed, capped } = reading;
    json!({ "won": won, "lost": lost, "failed": failed, "capped": capped })
}

fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

fn entry(health: &TargetHealth) -> Value {
    json!({
        "target": health.target.as_str(),
        "state": health.position.name(),
        "cause": health.cause.map(Cause::name),
        "reason": health.cause.map(Cause::sentence),
        "failures_in_a_row": health.failures,
        "opens": health.opens,
        "window": {
            "calls": health.counts.calls,
            "failures": health.counts.failures,
            "slow": health.counts.slow,
        },
        "calls": health.calls.calls,
        "calls_max": health.calls.limit,
        "calls_refused": {
            "breaker": health.refused.breaker,
            "quota": health.refused.quota,
            "full": health.refused.full,
        },
        "throttled": health.quota_for.is_some(),
        "quota_for_ms": health.quota_for.map(milliseconds),
        "shut_for_ms": health.shut_for.map(milliseconds),
    })
}
