//! The command line: one file for each command.

mod ask;
mod bench;
mod breakers;
mod budgets;
mod check;
mod client;
mod costs;
mod doctor;
mod init;
mod keys;
mod models;
mod reach;
mod serve;
mod signals;
pub(crate) mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::Source;
use crate::logging::{self, LogFormat};

/// Keeps an AI assistant answering: correctly, within the rules, and when the models behind it fail.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, propagate_version = true)]
struct Cli {
    /// What is logged to stderr: a level (error, warn, info, debug), or directives as `warn,routing=debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Readable)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Options),
    /// Ask a question and read the answer as it comes, with its sources.
    Ask(ask::Options),
    /// Write the shipped configuration into a folder, to change it.
    Init(init::Options),
    /// Check a configuration folder on the exact path that serving takes.
    Check(check::Options),
    /// List, fetch and verify the models that Mainstay runs itself.
    #[command(subcommand)]
    Models(models::Command),
    /// Say what works, what does not, and what to do about it.
    Doctor(doctor::Options),
    /// List the breakers of a running server, or reset one.
    #[command(subcommand)]
    Breakers(breakers::Command),
    /// Make, list, rotate and revoke the keys of a running server.
    #[command(subcommand)]
    Keys(keys::Command),
    /// List, set and reset limits and budgets of a running server.
    #[command(subcommand)]
    Budgets(budgets::Command),
    /// Show what calls of models cost, by model, agent, key, tenant or day.
    Costs(costs::Options),
    /// Measure the assistant on a suite of questions.
    #[command(subcommand)]
    Bench(bench::Command),
    /// The inside of a model worker; started by the server.
    #[command(hide = true)]
    Worker,
}

/// Where configuration and data are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Places {
    /// Configuration folder [default: ./config where there is one, else the shipped configuration].
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// Data folder: database and models.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Lay environments/NAME.toml of the configuration folder over its mainstay.toml.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

impl Places {
    fn source(&self) -> Source {
        Source::choose(self.config.clone(), self.environment.clone())
    }
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct Form {
    /// Print JSON.
    #[arg(long = "json")]
    is_json: bool,
}

/// Exit code of a command that did its work and found something wrong.
const FOUND_WRONG: u8 = 1;
/// Exit code of a command that could not do its work.
const FAILED: u8 = 2;

pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Worker) {
        return engine::run_worker();
    }
    let code = run_command(cli);
    logging::flush();
    code
}

/// How long a thread for work that blocks waits for more: with it goes what the allocator keeps for it (measured: up to a
/// megabyte after a start).
const IDLE_THREAD: Duration = Duration::from_secs(1);

fn run_command(cli: Cli) -> ExitCode {
    // Commands for people show results, not log lines; only the server tells what it does.
    let level = cli.log.as_deref().unwrap_or(match cli.command {
        Command::Serve(_) => "info",
        _ => "error",
    });
    if let Err(error) = logging::start(cli.log_format, level) {
        terminal::remark(format!("mainstay: {error:#}"));
        return ExitCode::from(FAILED);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().thread_keep_alive(IDLE_THREAD).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::remark(format!("mainstay: could not start: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(options) => Box::pin(serve::run(options)).await.map(|()| Found::Good),
            Command::Ask(options) => Box::pin(ask::run(options)).await,
            Command::Init(options) => init::run(&options).map(|()| Found::Good),
            Command::Check(options) => check::run(options),
            Command::Models(command) => Box::pin(models::run(command)).await,
            Command::Doctor(options) => Box::pin(doctor::run(options)).await,
            Command::Breakers(command) => Box::pin(breakers::run(command)).await,
            Command::Budgets(command) => Box::pin(budgets::run(command)).await,
            Command::Keys(command) => Box::pin(keys::run(command)).await,
            Command::Costs(options) => Box::pin(costs::run(options)).await,
            Command::Bench(command) => Box::pin(bench::run(command)).await,
            Command::Worker => Ok(Found::Good),
        }
    });
    // Blocking work that nobody waits for (a search under way) must not hold the exit up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(Found::Good) => ExitCode::SUCCESS,
        Ok(Found::Wrong) => ExitCode::from(FOUND_WRONG),
        Err(error) => {
            terminal::remark(format!("mainstay: {}", terminal::told(&error)));
            ExitCode::from(FAILED)
        }
    }
}

/// What a command found.
pub(crate) enum Found {
    /// All is well.
    Good,
    /// Something is wrong, and was told.
    Wrong,
}
