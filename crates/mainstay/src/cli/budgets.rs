//! `mainstay budgets list|set|reset`: what keys, tenants and the server may spend, and have spent.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::cli::reach::Place;
use crate::cli::{Form, Found, terminal};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what has a budget: how much, how much is spent, and how much is left.
    List(Place),
    /// Give a key limits of its own. What is not named stays as it is. Those of tenants and of the server stand in mainstay.toml.
    Set {
        /// The public part of the key, as `keys list` shows it.
        key: String,
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        place: Place,
    },
    /// Let a budget begin anew: what was spent until now is forgiven.
    Reset {
        /// The public part of a key, `tenant:NAME`, or `server`.
        whose: String,
        #[command(flatten)]
        place: Place,
    },
}

/// The limits of a key.
#[derive(Debug, Clone, Args)]
pub(super) struct Limits {
    /// Requests that may begin, as 50/s, 600/min or unlimited.
    #[arg(long, allow_hyphen_values = true)]
    rate: Option<String>,
    /// Requests that may begin at once after a pause.
    #[arg(long)]
    burst: Option<u64>,
    /// Tokens in and out in a minute.
    #[arg(long, value_name = "TOKENS")]
    tokens_per_minute: Option<u64>,
    /// Requests at once.
    #[arg(long)]
    parallel: Option<u32>,
    /// US dollars for a period, as 1.50/day, 20/month or 100/total. May be given once for each period.
    #[arg(long = "budget", value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<String>,
}

impl Limits {
    /// The fields that were given.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let given = [
            ("rate", self.rate.as_deref().map(Value::from)),
            ("burst", self.burst.map(Value::from)),
            ("tokens_per_minute", self.tokens_per_minute.map(Value::from)),
            ("parallel", self.parallel.map(Value::from)),
            ("budget", (!self.budget.is_empty()).then(|| Value::from(self.budget.as_slice()))),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        }
        fields
    }
}

pub(super) async fn run(command: Command) -> anyhow::Result<Found> {
    match command {
        Command::List(place) => {
            let budgets = place.server()?.budgets().await?;
            match place.form.is_json {
                true => terminal::line(Value::Array(budgets).to_string()),
                false => show(&budgets),
            }
        }
        Command::Set { key, limits, place } => {
            let fields = limits.fields();
            anyhow::ensure!(!fields.is_empty(), "name what to set, as --budget 20/month");
            let now = place.server()?.set_limits(&key, &Value::Object(fields)).await?;
            tell(&now, place.form);
        }
        Command::Reset { whose, place } => {
            let (level, id) = match whose.split_once(':') {
                _ if whose == "server" => ("server", "-"),
                Some((level, id)) => (level, id),
                None => ("key", whose.as_str()),
            };
            let now = place.server()?.reset_budget(level, id).await?;
            tell(&now, place.form);
        }
    }
    Ok(Found::Good)
}

fn tell(limits: &Value, form: Form) {
    match form.is_json {
        true => terminal::line(limits.to_string()),
        false => terminal::line(words(limits)),
    }
}

fn show(budgets: &[Value]) {
    budgets.iter().for_each(|limits| terminal::line(words(limits)));
    if budgets.is_empty() {
        terminal::remark("nothing has a budget");
    }
}

/// A level in words.
fn words(limits: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let whose = match limits["level"].as_str() {
        Some("server") => "server".to_owned(),
        _ => format!("{} {}", text(&limits["level"]), text(&limits["id"])),
    };
    let mut parts = Vec::new();
    if let Some(limit) = limits["requests"]["limit"].as_u64() {
        parts.push(format!("{} of {limit} requests left", limits["requests"]["remaining"]));
    }
    if let Some(limit) = limits["tokens"]["limit"].as_u64() {
        parts.push(format!("{} of {limit} tokens left", limits["tokens"]["remaining"]));
    }
    if let Some(limit) = limits["parallel"]["limit"].as_u64() {
        parts.push(format!("{} of {limit} at once", limits["parallel"]["under_way"]));
    }
    for budget in limits["budgets"].as_array().into_iter().flatten() {
        let usd = |name: &str| format!("${}", text(&budget[name]));
        let (period, limit) = (text(&budget["period"]), usd("limit_usd"));
        let anew = budget["begins_anew"].as_str().map(|at| format!(", anew {at}")).unwrap_or_default();
        parts.push(format!(
            "{period}: {} spent of {limit}, {} left{anew}",
            usd("spent_usd"),
            usd("remaining_usd")
        ));
    }
    format!("{whose}  {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_level_is_told_in_words() {
        let limits = json!({
            "level": "key", "id": "3fk2", "requests": { "limit": 100, "remaining": 99 }, "tokens": null,
            "parallel": { "limit": null, "under_way": 0 },
            "budgets": [{ "period": "total", "limit_usd": "10", "spent_usd": "0.5", "remaining_usd": "9.5", "begins_anew": null }],
        });
        assert_eq!(words(&limits), "key 3fk2  99 of 100 requests left; total: $0.5 spent of $10, $9.5 left");
    }
}
