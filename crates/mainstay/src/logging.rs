//! Where log lines go: to stderr, readable or JSON.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// How log lines look.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Readable,
    /// For machines: one JSON object a line.
    Json,
}

/// Starts logging at `level` (a level, or directives as `info,routing=debug`).
pub(crate) fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| anyhow::anyhow!("--log `{level}`: {error}"))?;
    // A line that cannot be written (a full disk, a closed pipe) is dropped: telling of it there would end the thread.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Readable => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(is_terminal).with_target(false).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
