//! `bench-report FILE`: the measurements of a run (lines of JSON from `bench-load`) as tables in Markdown.

use std::path::PathBuf;

use anyhow::Context;
use bench::report::Report;
use clap::Parser;

/// Tables of a run.
#[derive(Parser)]
struct Options {
    /// Lines of JSON.
    lines: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let lines = std::fs::read_to_string(&options.lines)
        .with_context(|| format!("could not read {}", options.lines.display()))?;
    let report = Report::read(&lines).with_context(|| format!("{} is no run", options.lines.display()))?;
    print!("{}", report.markdown());
    Ok(())
}
