//! `mainstay bench run --suite FILE`: asks every question of a suite and judges the answers by facts.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use domain::ports::{BoxFuture, Clock};
use evaluation::report::{Summary, line_json, summarise, summary_json};
use evaluation::run::{Answered, Assistant, Line};
use evaluation::suite::{Case, parse};
use serde_json::{Value, json};

use crate::cli::client::{Server, Told};
use crate::cli::reach::Reach;
use crate::cli::{Form, Found, terminal};
use crate::clock::SystemClock;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask every question of a suite, each in a new session.
    Run(RunOptions),
}

#[derive(Debug, Args)]
pub(super) struct RunOptions {
    /// The suite: JSON lines.
    #[arg(long, value_name = "FILE")]
    suite: PathBuf,
    #[command(flatten)]
    reach: Reach,
    /// JSON: one line for each question, then one with the summary.
    #[command(flatten)]
    form: Form,
}

pub(super) async fn run(command: Command) -> anyhow::Result<Found> {
    let Command::Run(options) = command;
    let cases = read(&options.suite)?;
    let clock = Arc::new(SystemClock::new());
    let assistant = OverHttp { server: options.reach.server(Arc::clone(&clock))?, clock };
    // A server that is not there would make every line wrong: better said once.
    assistant.server.health("/health/live").await?;
    let lines = evaluation::run::run(&assistant, &cases, |line| show(line, options.form)).await;
    let summary = summarise(&lines);
    if options.form.is_json {
        terminal::line(json!({ "summary": summary_json(&summary) }).to_string());
    } else {
        show_summary(&summary);
    }
    Ok(Found::Good)
}

fn read(path: &Path) -> anyhow::Result<Vec<Case>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// The assistant behind a running server.
struct OverHttp {
    server: Server,
    clock: Arc<SystemClock>,
}

impl Assistant for OverHttp {
    fn ask<'a>(&'a self, case: &'a Case) -> BoxFuture<'a, Result<Answered, String>> {
        Box::pin(async move {
            let began = self.clock.now();
            let mut first_text = None;
            let told = |told: Told<'_>| {
                if matches!(told, Told::Text(_)) && first_text.is_none() {
                    first_text = Some(self.clock.now().since(began));
                }
            };
            let answer = self.server.query(&case.question, case.use_case.as_deref(), told).await;
            let whole = self.clock.now().since(began);
            let answer = answer.map_err(|error| error.to_string())?;
            Ok(answered(&answer, first_text, whole))
        })
    }
}

fn answered(answer: &Value, first_text: Option<Duration>, whole: Duration) -> Answered {
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let tokens = |name: &str| {
        answer["usage"][name].as_u64().and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or_default()
    };
    Answered {
        response: text("response").unwrap_or_default(),
        outcome: text("outcome").unwrap_or_default(),
        tier: text("tier"),
        model_used: text("model_used"),
        first_text,
        whole,
        uncached_input_tokens: tokens("input_tokens").saturating_sub(tokens("cached_input_tokens")),
        input_tokens: tokens("input_tokens"),
        output_tokens: tokens("output_tokens"),
        n_citations: answer["citations"].as_array().map_or(0, Vec::len),
    }
}

fn show(line: &Line, form: Form) {
    if form.is_json {
        terminal::line(line_json(line).to_string());
        return;
    }
    let (outcome, seconds) = match &line.answered {
        Ok(answered) => (answered.outcome.clone(), format!("{:.1} s", answered.whole.as_secs_f64())),
        Err(error) => (error.clone(), "-".to_owned()),
    };
    terminal::line(format!(
        "{:8}  {:10}  {seconds:>7}  {}",
        line.judged.verdict.name(),
        outcome,
        line.case.id
    ));
    if !line.judged.missing.is_empty() || !line.judged.forbidden.is_empty() {
        if let Ok(answered) = &line.answered {
            terminal::line(format!("          {}", answered.response.replace('\n', " ")));
        }
        for fact in &line.judged.missing {
            terminal::line(format!("          missing: {fact}"));
        }
        for fact in &line.judged.forbidden {
            terminal::line(format!("          forbidden: {fact}"));
        }
    }
}

fn show_summary(summary: &Summary) {
    terminal::line(format!(
        "\n{} of {} right, {} declined, {} wrong; {} of {} questions without an answer declined",
        summary.right,
        summary.n,
        summary.declined,
        summary.wrong,
        summary.unanswerable.1,
        summary.unanswerable.0
    ));
    let seconds = |time: Option<Duration>| {
        time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    let count = |count: Option<u32>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let medians = summary.medians;
    terminal::line(format!(
        "generated answers: first sentence {} (median), whole answer {} (median), uncached prompt tokens {} (median), {} (most)",
        seconds(medians.first_text),
        seconds(medians.whole),
        count(medians.uncached_input_tokens),
        count(medians.uncached_input_tokens_max)
    ));
}
