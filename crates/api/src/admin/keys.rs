//! `/admin/v1/keys`: making, listing, rotating and revoking keys. The key itself is shown once, when it is made.

use std::time::Duration;

use access::gatekeeper::Gatekeeper;
use access::limits::Own;
use access::minting::{MintError, Minted, Wanted};
use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::grant::{Allowed, Network};
use domain::id::{KeyId, TenantId};
use domain::key::Key;
use domain::principal::Role;
use domain::residency::{Place, Residency};
use domain::time::Timestamp;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::head::Head;
use crate::parameters::{Parameters, limit_parameter};
use crate::path::Path;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    name: String,
    tenant: Option<String>,
    role: Option<String>,
    agents: Option<Vec<String>>,
    models: Option<Vec<String>>,
    routes: Option<Vec<String>>,
    addresses: Option<Vec<String>>,
    residency: Option<Vec<String>>,
    expires: Option<String>,
    expires_in: Option<String>,
    /// Limits of its own, as in `[limits.key]`.
    limits: Option<Map<String, Value>>,
}

/// How long a rotated key goes on beside its successor, unless the caller says otherwise.
const OVERLAP: Duration = Duration::from_hours(24);

pub(crate) async fn create(head: Head, body: Body) -> Result<Response, Problem> {
    let body: KeyBody = head.read_json(body).await?;
    let wanted = wanted(body, head.api.clock.wall())?;
    let minted = head.gatekeeper().await?.mint(&head.caller.principal, wanted).await?;
    tracing::info!(key.id = %minted.key.id, role = %minted.key.role, "key `{}` was made", minted.key.id);
    Ok(shown_once(&minted, head.api.clock.wall()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateParameters {
    overlap: Option<String>,
}

pub(crate) async fn rotate(
    head: Head,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<RotateParameters>,
) -> Result<Response, Problem> {
    let id = KeyId::from(id);
    let overlap = parameters.overlap.map_or(Ok(OVERLAP), |text| duration("parameter `overlap`", &text))?;
    let minted = head.gatekeeper().await?.rotate(&head.caller.principal, &id, overlap).await?;
    tracing::info!(key.id = %id, successor = %minted.key.id, "key `{id}` is followed by `{}`", minted.key.id);
    Ok(shown_once(&minted, head.api.clock.wall()))
}

pub(crate) async fn revoke(head: Head, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = KeyId::from(id);
    let key = head.gatekeeper().await?.revoke(&head.caller.principal, &id).await?;
    tracing::info!(key.id = %id, "key `{id}` was revoked");
    Ok(Json(entry(&key, head.api.clock.wall())).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParameters {
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    head: Head,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Response, Problem> {
    let limit = limit_parameter(parameters.limit)?;
    let keys = keys(head.gatekeeper().await?, &head.caller);
    let cursor = parameters.cursor.as_deref();
    let mut rest = keys.iter().rev().skip_while(|key| cursor.is_some_and(|cursor| key.id.as_str() != cursor));
    if cursor.is_some() {
        rest.next();
    }
    let mut rest = rest.peekable();
    let now = head.api.clock.wall();
    let page: Vec<&Key> = rest.by_ref().take(limit).collect();
    let next = page.last().filter(|_| rest.peek().is_some()).map(|last| last.id.as_str());
    let listed: Vec<Value> = page.iter().map(|key| entry(key, now)).collect();
    Ok(Json(json!({ "keys": listed, "next_cursor": next })).into_response())
}

pub(crate) async fn show(head: Head, Path(id): Path<String>) -> Result<Response, Problem> {
    let keys = keys(head.gatekeeper().await?, &head.caller);
    let found = keys.iter().find(|key| key.id.as_str() == id);
    let found = found.ok_or_else(|| Problem::from(MintError::Unknown(KeyId::from(id))))?;
    Ok(Json(entry(found, head.api.clock.wall())).into_response())
}

fn keys(keeper: &Gatekeeper, caller: &Caller) -> Vec<Key> {
    keeper.keys(&caller.principal)
}

fn wanted(body: KeyBody, now: Timestamp) -> Result<Wanted, Problem> {
    let role = body.role.map(|name| {
        Role::parse(&name).ok_or_else(|| {
            let known = Role::ALL.map(Role::name).join(", ");
            Problem::bad_field(format!("field `role`: one of {known}"))
        })
    });
    let network = |text: String| {
        Network::parse(&text).map_err(|error| Problem::bad_field(format!("field `addresses`: {error}")))
    };
    let addresses = body.addresses.map(|texts| texts.into_iter().map(network).collect::<Result<_, _>>());
    let residency = body.residency.map(|names| {
        Residency::parse(Some(names.iter().map(String::as_str)))
            .map_err(|error| Problem::bad_field(format!("field `residency`: {error}")))
    });
    let expires = match (body.expires, body.expires_in) {
        (None, None) => None,
        (Some(text), None) => {
            let reason = || Problem::bad_field("field `expires`: write a time as 2026-11-21T09:06:00Z");
            Some(Timestamp::parse_rfc3339(&text).ok_or_else(reason)?)
        }
        (None, Some(text)) => Some(now.after(duration("field `expires_in`", &text)?)),
        (Some(_), Some(_)) => return Err(Problem::bad_field("send `expires` or `expires_in`, not both")),
    };
    let own = Own::default().with(body.limits.unwrap_or_default());
    let own = own.map_err(|error| Problem::bad_field(format!("field `limits`: {error}")))?;
    Ok(Wanted {
        name: body.name,
        tenant: body.tenant.map(TenantId::from),
        role: role.transpose()?,
        agents: body.agents,
        models: body.models,
        routes: body.routes,
        addresses: addresses.transpose()?,
        residency: residency.transpose()?,
        expires,
        limits: own.limits,
        budget: own.budget,
    })
}

fn duration(what: &str, text: &str) -> Result<Duration, Problem> {
    resilience::duration_text::parse(text)
        .map_err(|_| Problem::bad_field(format!("{what}: write a number with its unit, as `24h` or `90d`")))
}

fn shown_once(minted: &Minted, now: Timestamp) -> Response {
    let mut body = entry(&minted.key, now);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("key".to_owned(), Value::from(minted.secret.expose()));
        let aws = json!({
            "access_key_id": minted.key.id.as_str(),
            "secret_access_key": minted.signing_secret.expose(),
        });
        fields.insert("aws".to_owned(), aws);
    }
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::CREATED, no_store, Json(body)).into_response()
}

fn names(allowed: &Allowed) -> Option<&[String]> {
    match allowed {
        Allowed::All => None,
        Allowed::Only(names) => Some(names),
    }
}

/// A key as it may be seen: nothing of its secret.
fn entry(key: &Key, now: Timestamp) -> Value {
    let state = match (key.revoked, key.is_usable(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "active",
        (None, false) => "expired",
    };
    let addresses =
        key.grant.addresses.as_ref().map(|nets| nets.iter().map(Network::to_string).collect::<Vec<_>>());
    json!({
        "id": key.id.as_str(),
        "name": key.name,
        "tenant": key.tenant.as_str(),
        "role": key.role.name(),
        "state": state,
        "agents": names(&key.grant.agents),
        "models": names(&key.grant.models),
        "routes": names(&key.grant.routes),
        "addresses": addresses,
        "residency": match &key.grant.residency {
            Residency::Anywhere => None,
            Residency::Within(places) => Some(places.iter().map(Place::as_str).collect::<Vec<_>>()),
        },
        "created": key.created.rfc3339(),
        "created_by": key.created_by.as_str(),
        "expires": key.expires.map(Timestamp::rfc3339),
        "revoked": key.revoked.map(Timestamp::rfc3339),
        "limits": Own::of(key).fields().filter(|fields| !fields.is_empty()),
        "replaces": key.replaces.as_ref().map(KeyId::as_str),
    })
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Unknown(_) => Self::not_found(error.to_string()),
            MintError::Beyond(_) => Self::forbidden(error.to_string()),
            MintError::Wrong(_) => Self::bad_field(error.to_string()),
            MintError::Conflict(_) => Self::conflict(error.to_string()),
            MintError::Store(error) => error.into(),
        }
    }
}
