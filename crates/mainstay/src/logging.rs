//! Where log lines go: to stderr, readable ([`plain`]) or JSON, through a queue that nobody waits for
//! ([`lines`]).

mod lines;
mod plain;

use std::io::IsTerminal;
use std::panic::{PanicHookInfo, set_hook};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

pub(crate) use lines::{flush, remark};

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
    let filter = filter(level)?;
    lines::start();
    // A line that cannot be written is dropped: telling of it where it cannot be written would end the thread.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .log_internal_errors(false)
        .with_writer(lines::Queue::of_stderr);
    match format {
        LogFormat::Readable => {
            let builder = builder.with_ansi(std::io::stderr().is_terminal()).with_target(false);
            builder.fmt_fields(plain::fields()).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    set_hook(Box::new(log_panic));
    Ok(())
}

/// A bare word is taken for a target by the filter: a mistyped level would silence all else, so it is refused.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    // Nothing at all would be read as `error`.
    let is_level = |directive: &str| !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
    let is_target = |directive: &str| directive.contains(['=', '[']);
    for directive in level.split(',') {
        if !is_level(directive) && !is_target(directive) {
            anyhow::bail!(
                "--log `{level}`: `{directive}` is no level; write off, error, warn, info, debug or trace, or \
                 TARGET=LEVEL"
            );
        }
    }
    // AWS's crates tell whole answers of the services that give credentials; what failed is told by `providers`.
    let quiet = if level.contains("aws") { "" } else { ",aws=off" };
    EnvFilter::try_new(format!("{level}{quiet}")).map_err(|error| anyhow::anyhow!("--log `{level}`: {error}"))
}

/// The usual hook writes to stderr itself, and waits for whoever reads it.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let reason = info.payload_as_str().unwrap_or("it did not say why");
    tracing::error!(place, "a part of the program failed at {place}: {reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_word_that_is_no_level_is_refused() {
        for (level, want) in [
            ("info", true),
            ("OFF", true),
            ("warn,routing=debug", true),
            ("[request]=debug", true),
            ("inf", false),
            ("", false),
            ("routing", false),
            ("info,routin", false),
            ("=loud=", false),
        ] {
            assert_eq!(filter(level).is_ok(), want, "{level}: {:?}", filter(level).err());
        }
    }
}
