//! `mainstay keys create|list|rotate|revoke`: who may ask a running server.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::cli::budgets::Limits;
use crate::cli::reach::Place;
use crate::cli::{Form, Found, terminal};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and show it, once. The first one must be an owner's: from then on nobody gets in without a key.
    Create(Box<CreateOptions>),
    /// List the keys of your tenant (an owner: all), newest first.
    List(Place),
    /// Make a key that takes the place of another, which goes on for a while beside it.
    Rotate {
        /// The public part of the key, as `keys list` shows it.
        id: String,
        /// How long the old key goes on.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: String,
        #[command(flatten)]
        place: Place,
    },
    /// Take a key back: from now on it is refused.
    Revoke {
        /// The public part of the key, as `keys list` shows it.
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

/// What is left out is as your own key's.
#[derive(Debug, Args)]
pub(super) struct CreateOptions {
    /// What people call it.
    #[arg(long)]
    name: String,
    /// owner, operator, admin, auditor or app.
    #[arg(long, default_value = "app")]
    role: String,
    /// The tenant it belongs to.
    #[arg(long)]
    tenant: Option<String>,
    /// Agents it may ask, by name; `*` at the end stands for anything. May be given several times.
    #[arg(long = "agent", value_name = "NAME")]
    agents: Vec<String>,
    /// Models it may reach, as PROVIDER/MODEL.
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Routes it may take.
    #[arg(long = "route", value_name = "NAME")]
    routes: Vec<String>,
    /// Addresses or networks it may be used from, as 10.0.0.0/8.
    #[arg(long = "address", value_name = "NETWORK")]
    addresses: Vec<String>,
    /// Places where its requests may be processed, as eu.
    #[arg(long = "residency", value_name = "PLACE")]
    residency: Vec<String>,
    /// When it ends, from now, as 90d.
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(command: Command) -> anyhow::Result<Found> {
    match command {
        Command::Create(options) => {
            let made = options.place.server()?.create_key(&body(&options)).await?;
            show_once(&made, options.place.form);
        }
        Command::Rotate { id, overlap, place } => {
            let made = place.server()?.rotate_key(&id, &overlap).await?;
            show_once(&made, place.form);
        }
        Command::List(place) => {
            let keys = place.server()?.keys().await?;
            match place.form.is_json {
                true => terminal::line(Value::Array(keys).to_string()),
                false => show(&keys),
            }
        }
        Command::Revoke { id, place } => {
            let key = place.server()?.revoke_key(&id).await?;
            match place.form.is_json {
                true => terminal::line(key.to_string()),
                false => terminal::line(format!("{id}: revoked")),
            }
        }
    }
    Ok(Found::Good)
}

fn body(options: &CreateOptions) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("name", Value::from(options.name.as_str()));
    put("role", Value::from(options.role.as_str()));
    for (name, value) in [("tenant", &options.tenant), ("expires_in", &options.expires_in)] {
        if let Some(value) = value {
            put(name, Value::from(value.as_str()));
        }
    }
    for (name, list) in [
        ("agents", &options.agents),
        ("models", &options.models),
        ("routes", &options.routes),
        ("addresses", &options.addresses),
        ("residency", &options.residency),
    ] {
        if !list.is_empty() {
            put(name, Value::from(list.as_slice()));
        }
    }
    let limits = options.limits.fields();
    if !limits.is_empty() {
        body.insert("limits".to_owned(), Value::Object(limits));
    }
    Value::Object(body)
}

/// The key alone goes to stdout, so that it can be put where it belongs without being seen.
fn show_once(made: &Value, form: Form) {
    if form.is_json {
        return terminal::line(made.to_string());
    }
    terminal::line(made["key"].as_str().unwrap_or_default());
    terminal::remark(format!("({}; shown this once)", words(made)));
    if let (Some(id), Some(secret)) =
        (made["aws"]["access_key_id"].as_str(), made["aws"]["secret_access_key"].as_str())
    {
        terminal::remark(format!("(for AWS SDKs: access key id {id}, secret access key {secret})"));
    }
}

fn show(keys: &[Value]) {
    for key in keys {
        let id = key["id"].as_str().unwrap_or_default();
        terminal::line(format!("{id}  {}: {}", key["name"].as_str().unwrap_or_default(), words(key)));
    }
    if keys.is_empty() {
        terminal::remark("no key exists: the server answers its own machine, and nobody else");
    }
}

/// A key in words.
fn words(key: &Value) -> String {
    let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let mut words = format!("{} of tenant `{}`, {}", text("role"), text("tenant"), text("state"));
    if let Some(expires) = key["expires"].as_str() {
        words.push_str(&format!(", until {expires}"));
    }
    for (name, what) in [
        ("agents", "agents"),
        ("models", "models"),
        ("routes", "routes"),
        ("addresses", "from"),
        ("residency", "within"),
    ] {
        if let Some(list) = key[name].as_array() {
            let list: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(" ") };
            words.push_str(&format!("; {what} {list}"));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_told_in_words() {
        for (key, want) in [
            (
                json!({ "role": "app", "tenant": "default", "state": "active", "models": null }),
                "app of tenant `default`, active",
            ),
            (
                json!({ "role": "admin", "tenant": "acme", "state": "expired", "expires": "2026-01-01T00:00:00.000000Z",
                    "agents": [], "models": ["a/*", "b/c"], "addresses": ["10.0.0.0/8"] }),
                "admin of tenant `acme`, expired, until 2026-01-01T00:00:00.000000Z; agents none; models a/* b/c; from 10.0.0.0/8",
            ),
        ] {
            assert_eq!(words(&key), want);
        }
    }
}
