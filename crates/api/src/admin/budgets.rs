//! `/admin/v1/budgets`: limits and budgets of keys, tenants and the server: how they are, giving a key its own, and letting
//! a budget begin anew.

use access::limits::{BucketReading, BudgetReading, LevelReading, Meters, Now};
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::limit::Level;
use serde_json::{Map, Value, json};

use crate::head::Head;
use crate::native::reply::milliseconds;
use crate::path::Path;
use crate::problem::Problem;
use crate::server::Api;

type AtLevel = Path<(String, String)>;

pub(crate) async fn list(head: Head) -> Result<Response, Problem> {
    let pipeline = head.pipeline().await?;
    let mut listed = Vec::new();
    for level in pipeline.limits().budgeted() {
        if is_seen(&head, &level).await? {
            listed.extend(pipeline.limits().read(&level, now(&head.api)).as_ref().map(entry));
        }
    }
    Ok(Json(json!({ "budgets": listed })).into_response())
}

pub(crate) async fn show(head: Head, level: AtLevel) -> Result<Response, Problem> {
    let level = seen(&head, level).await?;
    let pipeline = head.pipeline().await?;
    shown(&head.api, pipeline.limits(), &level)
}

pub(crate) async fn set(head: Head, level: AtLevel, body: Body) -> Result<Response, Problem> {
    let level = seen(&head, level).await?;
    let changes: Map<String, Value> = head.read_json(body).await?;
    let Level::Key(key) = &level else {
        let reason =
            "limits of tenants and of the server stand in `[limits]` of mainstay.toml: change them there";
        return Err(Problem::bad_parameter(reason));
    };
    let deadline = head.deadline()?;
    let pipeline = head.api.pipeline(deadline).await?;
    let keeper = head.api.gatekeeper(deadline).await?;
    if !keeper.keeps(key) {
        let reason = "signed tokens and the key of the configuration have no limits of their own: `[limits.key]` holds";
        return Err(Problem::bad_parameter(reason));
    }
    keeper.limit(&head.caller.principal, key, changes).await?;
    let limits = pipeline.limits();
    if let Some(ledger) = limits.ledger() {
        limits.catch_up(ledger, now(&head.api)).await?;
    }
    tracing::info!(key.id = %key, "key `{key}` has other limits");
    shown(&head.api, limits, &level)
}

pub(crate) async fn reset(head: Head, level: AtLevel) -> Result<Response, Problem> {
    let level = seen(&head, level).await?;
    let pipeline = head.pipeline().await?;
    let limits = pipeline.limits();
    let ledger = limits.ledger().ok_or_else(|| Problem::internal("there is no ledger"))?;
    if matches!(level, Level::Tenant(_) | Level::Server) && head.caller.scope().is_some() {
        let reason = "budgets of a tenant and of the server are let begin anew by an owner";
        return Err(Problem::forbidden(reason));
    }
    if !limits.begin_anew(ledger, &level, now(&head.api)).await? {
        return Err(Problem::not_found(format!("{level} has no budget")));
    }
    tracing::warn!(level = level.name(), level.id = level.id(), "the budgets of {level} begin anew");
    shown(&head.api, limits, &level)
}

fn now(api: &Api) -> Now {
    Now::of(api.clock.as_ref())
}

fn shown(api: &Api, limits: &Meters, level: &Level) -> Result<Response, Problem> {
    match limits.read(level, now(api)) {
        Some(reading) => Ok(Json(entry(&reading)).into_response()),
        // It has limits, but it never asked for anything.
        None => Err(Problem::not_found(format!("nothing is counted for {level} yet"))),
    }
}

/// The level of a path, if the caller may see it: what is another's is not there.
async fn seen(head: &Head, Path((name, id)): AtLevel) -> Result<Level, Problem> {
    let level = Level::of(&name, &id).ok_or_else(|| {
        Problem::not_found("write key/ID, tenant/NAME or server/- behind /admin/v1/budgets/")
    })?;
    match is_seen(head, &level).await? {
        true => Ok(level),
        false => Err(Problem::not_found(match level {
            Level::Server => "this key does not see the limits of the server".to_owned(),
            level => format!("there is no {level}"),
        })),
    }
}

async fn is_seen(head: &Head, level: &Level) -> Result<bool, Problem> {
    Ok(match (level, head.caller.scope()) {
        (Level::Key(key), _) => head.gatekeeper().await?.sees(&head.caller.principal, key),
        (_, None) => true,
        (Level::Tenant(tenant), Some(own)) => tenant == own,
        (Level::Server, Some(_)) => false,
    })
}

fn entry(reading: &LevelReading) -> Value {
    let LevelReading { level, requests, tokens, parallel, under_way, budgets } = reading;
    json!({
        "level": level.name(),
        "id": level.id(),
        "requests": requests.as_ref().map(bucket),
        "tokens": tokens.as_ref().map(bucket),
        "parallel": { "limit": parallel, "under_way": under_way },
        "budgets": budgets.iter().map(budget).collect::<Vec<_>>(),
    })
}

fn bucket(bucket: &BucketReading) -> Value {
    json!({
        "limit": bucket.limit(),
        "remaining": bucket.remaining(),
        "full_in_ms": milliseconds(bucket.full_in()),
    })
}

/// Amounts as texts: exact decimals.
fn budget(budget: &BudgetReading) -> Value {
    let is_for_ever = budget.period == domain::limit::Period::Total;
    json!({
        "period": budget.period.name(),
        "limit_usd": budget.limit.usd(),
        "spent_usd": budget.spent.usd(),
        "set_aside_usd": budget.set_aside.usd(),
        "remaining_usd": budget.remaining.usd(),
        "begins_anew": (!is_for_ever).then(|| budget.span.end.rfc3339()),
    })
}
