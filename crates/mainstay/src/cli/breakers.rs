//! `mainstay breakers list|reset`: the breakers of a running server.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use clap::Subcommand;
use serde_json::Value;

use crate::cli::reach::Place;
use crate::cli::{Found, terminal};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List each target with its breaker, its quota gate and its places, and each route with its own.
    List(Place),
    /// Close a target's breaker and its quota gate, and forget what they knew.
    Reset {
        /// The target, as `breakers list` shows it: PROVIDER/MODEL.
        target: String,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) async fn run(command: Command) -> anyhow::Result<Found> {
    match command {
        Command::List(place) => {
            let listed = place.server()?.breakers().await?;
            match (place.form.is_json, listed["breakers"].as_array()) {
                (false, Some(breakers)) => {
                    show(breakers, listed["routes"].as_array().map_or(&[], Vec::as_slice))
                }
                _ => terminal::line(listed.to_string()),
            }
        }
        Command::Reset { target, place } => {
            let breaker = place.server()?.reset_breaker(&target).await?;
            match place.form.is_json {
                true => terminal::line(breaker.to_string()),
                false => terminal::line(format!("{target}: {}", state(&breaker))),
            }
        }
    }
    Ok(Found::Good)
}

fn show(breakers: &[Value], routes: &[Value]) {
    let target = |breaker: &Value| breaker["target"].as_str().unwrap_or_default().to_owned();
    let name = |route: &Value| format!("route {}", route["route"].as_str().unwrap_or_default());
    let names = breakers.iter().map(target).chain(routes.iter().map(name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or_default();
    for breaker in breakers {
        terminal::line(format!("{:width$}  {}", target(breaker), state(breaker)));
    }
    for route in routes {
        terminal::line(format!("{:width$}  {}", name(route), places(route)));
    }
}

/// A breaker in words.
fn state(breaker: &Value) -> String {
    let mut words = breaker["state"].as_str().unwrap_or("unknown").to_owned();
    if let Some(reason) = breaker["reason"].as_str() {
        words.push_str(": ");
        words.push_str(reason);
    }
    let seconds = |name: &str| breaker[name].as_u64().map(|ms| ms.div_ceil(1_000));
    if let Some(quota_s) = seconds("quota_for_ms") {
        words.push_str(&format!("; it asked to slow down and is left alone for {quota_s} s"));
    }
    if let Some(shut_s) = seconds("shut_for_ms") {
        words.push_str(&format!("; called again in {shut_s} s"));
    }
    let window = &breaker["window"];
    if let (Some(calls @ 1..), Some(failures), Some(slow)) =
        (window["calls"].as_u64(), window["failures"].as_u64(), window["slow"].as_u64())
    {
        words.push_str(&format!("; of its last {calls} calls {failures} failed and {slow} were slow"));
    }
    if let (Some(calls), Some(limit)) = (breaker["calls"].as_u64(), breaker["calls_max"].as_u64()) {
        words.push_str(&format!("; {calls} of at most {limit} calls under way"));
    }
    let refused = &breaker["calls_refused"];
    let refused: Vec<String> =
        [("breaker", "by its breaker"), ("quota", "by its quota gate"), ("full", "as too many")]
            .into_iter()
            .filter_map(|(name, how)| refused[name].as_u64().filter(|n| *n > 0).map(|n| format!("{n} {how}")))
            .collect();
    if !refused.is_empty() {
        words.push_str(&format!("; calls not made since the start: {}", refused.join(", ")));
    }
    words
}

/// A route's places in words.
fn places(route: &Value) -> String {
    let number = |name: &str| route[name].as_u64().unwrap_or_default();
    let (requests, limit) = (number("requests"), number("requests_max"));
    format!("{requests} of at most {limit} requests under way, {} wait for a place", number("waiting"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_breaker_is_told_in_words() {
        for (breaker, want) in [
            (json!({ "state": "closed", "window": { "calls": 0, "failures": 0, "slow": 0 } }), "closed"),
            (
                json!({ "state": "closed", "window": { "calls": 9, "failures": 2, "slow": 1 } }),
                "closed; of its last 9 calls 2 failed and 1 were slow",
            ),
            (
                json!({ "state": "open", "reason": "too many calls failed in a row", "shut_for_ms": 1_001 }),
                "open: too many calls failed in a row; called again in 2 s",
            ),
            (
                json!({ "state": "closed", "throttled": true, "quota_for_ms": 6_200, "shut_for_ms": 6_200 }),
                "closed; it asked to slow down and is left alone for 7 s; called again in 7 s",
            ),
            (
                json!({ "state": "closed", "calls": 16, "calls_max": 16, "calls_refused": { "breaker": 0, "quota": 2, "full": 9 } }),
                "closed; 16 of at most 16 calls under way; calls not made since the start: 2 by its quota gate, 9 as too many",
            ),
        ] {
            assert_eq!(state(&breaker), want);
        }
    }
}
