//! `bench-load`: puts load on a server, or measures its start or the disk, and prints the figures: a table in a
//! terminal, else a line of JSON.

use std::io::{IsTerminal, stdout};

use bench::measurement::Measurement;
use bench::plan::Plan;
use bench::stream::Expected;
use bench::{closed, disk, open, report, server, start, stream};
use clap::{Parser, Subcommand};

/// Load and its figures.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Each connection asks again when it was answered.
    Closed {
        #[command(flatten)]
        plan: Plan,
    },
    /// So many requests a second, each timed from when it was due.
    Open {
        #[command(flatten)]
        plan: Plan,
        /// Requests a second.
        #[arg(long)]
        rate: f64,
    },
    /// Event streams, one after the other on each connection.
    Stream {
        #[command(flatten)]
        plan: Plan,
        #[command(flatten)]
        expected: Expected,
        /// Name of the load in the report.
        #[arg(long, default_value = "stream")]
        load: String,
    },
    /// From the start of a program to its first 200.
    Start(start::Start),
    /// What a durable write costs on this disk.
    Fsync(disk::Writes),
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let measurement = server::runtime()?.block_on(measure(options.load))?;
    if stdout().is_terminal() {
        print!("{}", report::lines(&measurement));
    } else {
        println!("{}", serde_json::to_string(&measurement)?);
    }
    Ok(())
}

async fn measure(load: Load) -> anyhow::Result<Measurement> {
    match load {
        Load::Closed { plan } => closed::run(&plan).await,
        Load::Open { plan, rate } => open::run(&plan, rate).await,
        Load::Stream { plan, expected, load } => stream::run(&plan, &load, expected).await,
        Load::Start(start) => start::run(&start).await,
        Load::Fsync(writes) => disk::run(&writes),
    }
}
