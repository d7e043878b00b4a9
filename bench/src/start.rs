//! The cold start: from starting the program to its first 200.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::Instant;

use crate::connection::Target;
use crate::measurement::Measurement;
use crate::process::Process;

/// How long a program may take to answer.
const START_MAX: Duration = Duration::from_secs(60);
/// Pause between two tries, which is how exact the figure is.
const PAUSE: Duration = Duration::from_millis(1);
/// After it, memory is read.
const SETTLING: Duration = Duration::from_secs(2);

/// What to start and where it answers.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// Name of what is measured, for the report.
    #[arg(long)]
    pub name: String,
    /// Number of the round, for the report.
    #[arg(long, default_value_t = 1)]
    pub round: u32,
    /// Path that answers 200 once the program is up.
    #[arg(long)]
    pub url: String,
    /// The program and its arguments, after `--`.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Starts the program, measures, and ends it.
///
/// # Errors
/// When it does not start or does not answer within a minute.
pub async fn run(start: &Start) -> anyhow::Result<Measurement> {
    let target = Target::new(&start.url, None, &[])?;
    let (program, arguments) = start.command.split_first().context("no program named")?;
    if target.connect().await.is_ok() {
        bail!("somebody else answers on {} already", start.url);
    }
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("could not start {program}"))?;
    while asked_once(&target).await.is_err() {
        if began.elapsed() > START_MAX {
            bail!("{program} did not answer within {START_MAX:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    let took = began.elapsed();
    tokio::time::sleep(SETTLING).await;
    let resident = Process::read(child.id().context("it ended at once")?)?;
    child.kill().await?;
    let mut measurement = Measurement::new("start", &start.name, start.round);
    measurement.add("start_ms", took.as_secs_f64() * 1e3);
    measurement.add("rss_mb", resident.resident_kib as f64 * 1_024.0 / 1e6);
    Ok(measurement)
}

async fn asked_once(target: &Target) -> anyhow::Result<()> {
    target.connect().await?.exchange(target).await
}
