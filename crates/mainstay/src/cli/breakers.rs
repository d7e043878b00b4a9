//! `mainstay breakers list|reset`: the breakers of a running server.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::client::Server;
use crate::cli::{Form, Found, terminal};
use crate::clock::SystemClock;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List each target with its breaker, and why it is open.
    List(Place),
    /// Close a target's breaker and its quota gate, and forget what they knew.
    Reset {
        /// The target, as `breakers list` shows it: PROVIDER/MODEL.
        target: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// The server to ask.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    #[command(flatten)]
    form: Form,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Found> {
    let clock = Arc::new(SystemClock::new());
    match options.command {
        Command::List(place) => {
            let listed = Server::new(&place.url, clock)?.breakers().await?;
            match (place.form.is_json, listed["breakers"].as_array()) {
                (false, Some(breakers)) => show(breakers),
                _ => terminal::line(listed.to_string()),
            }
        }
        Command::Reset { target, place } => {
            let breaker = Server::new(&place.url, clock)?.reset_breaker(&target).await?;
            match place.form.is_json {
                true => terminal::line(breaker.to_string()),
                false => terminal::line(format!("{target}: {}", state(&breaker))),
            }
        }
    }
    Ok(Found::Good)
}

fn show(breakers: &[Value]) {
    let target = |breaker: &Value| breaker["target"].as_str().unwrap_or_default().to_owned();
    let width = breakers.iter().map(|breaker| target(breaker).chars().count()).max().unwrap_or_default();
    for breaker in breakers {
        terminal::line(format!("{:width$}  {}", target(breaker), state(breaker)));
    }
}

/// A breaker in words.
fn state(breaker: &Value) -> String {
    let mut words = breaker["state"].as_str().unwrap_or("unknown").to_owned();
    if let Some(reason) = breaker["reason"].as_str() {
        words.push_str(": ");
        words.push_str(reason);
    }
    if breaker["throttled"] == true {
        words.push_str("; it asked to slow down");
    }
    if let Some(shut_for_ms) = breaker["shut_for_ms"].as_u64() {
        words.push_str(&format!("; called again in {} s", shut_for_ms.div_ceil(1_000)));
    }
    let window = &breaker["window"];
    if let (Some(calls @ 1..), Some(failures), Some(slow)) =
        (window["calls"].as_u64(), window["failures"].as_u64(), window["slow"].as_u64())
    {
        words.push_str(&format!("; of its last {calls} calls {failures} failed and {slow} were slow"));
    }
    words
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
                json!({ "state": "closed", "throttled": true, "shut_for_ms": 7_000 }),
                "closed; it asked to slow down; called again in 7 s",
            ),
        ] {
            assert_eq!(state(&breaker), want);
        }
    }
}
