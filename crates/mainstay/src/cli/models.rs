//! `mainstay models list|pull`: the models that Mainstay runs itself.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use embedded::catalogue::Kind;
use embedded::choose::{Memory, choose};
use embedded::fetch::Pulled;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::{Form, Found, Places, terminal};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::fetching;
use crate::models::MODELS_FOLDER;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the catalogue, and what is here.
    List {
        #[command(flatten)]
        places: Places,
        #[command(flatten)]
        form: Form,
    },
    /// Fetch and verify models.
    Pull(PullOptions),
}

#[derive(Debug, Args)]
pub(super) struct PullOptions {
    /// Names as `models list` shows them.
    names: Vec<String>,
    #[command(flatten)]
    places: Places,
    /// Folder to fetch into [default: models/ in the data folder].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Fetch what `serve` would use: the sentence embedder and the configured chat model.
    #[arg(long, conflicts_with = "names")]
    for_serve: bool,
    /// With --for-serve: the chat model, as for `serve`.
    #[arg(long, value_name = "NAME|none", requires = "for_serve")]
    model: Option<String>,
    /// With --for-serve: accepted as for `serve`, without effect here.
    #[arg(long, value_name = "ADDR", requires = "for_serve", hide = true)]
    listen: Option<String>,
}

pub(super) async fn run(command: Command) -> anyhow::Result<Found> {
    match command {
        Command::List { places, form } => list(&places, form),
        Command::Pull(options) => pull(options).await,
    }
}

fn load(places: &Places) -> anyhow::Result<Loaded> {
    let source = places.source();
    Ok(source.load(source.read()?)?)
}

fn list(places: &Places, form: Form) -> anyhow::Result<Found> {
    let loaded = load(places)?;
    let folder = places.data.join(MODELS_FOLDER);
    let clock = Arc::new(SystemClock::new());
    let outbound = outbound::Client::new(Arc::clone(&clock) as _, outbound::Config::default());
    let models = fetching::models(&folder, &loaded.catalogue, &outbound, &clock);
    let choice = choose(&loaded.catalogue, Memory::read(), loaded.config.embedded.context);
    let mut rows = Vec::new();
    for (name, model) in &loaded.catalogue.models {
        let is_here = fetching::is_here(&models, name);
        let is_chosen =
            choice.model.as_deref() == Some(name) || loaded.catalogue.embedder.as_deref() == Some(name);
        if form.is_json {
            rows.push(json!({
                "name": name,
                "kind": kind_name(model.kind),
                "bytes": model.bytes(),
                "memory_bytes": model.memory_bytes(loaded.config.embedded.context),
                "license": model.license,
                "here": is_here,
                "chosen": is_chosen,
                "sha256": model.identity().as_str(),
            }));
            continue;
        }
        let here = if is_here { "here" } else { "-" };
        let chosen = if is_chosen { "*" } else { " " };
        let size = model.bytes() / 1_000_000;
        terminal::line(format!(
            "{chosen} {name:22} {:8} {size:>6} MB  {here:5} {}",
            kind_name(model.kind),
            model.summary
        ));
    }
    if form.is_json {
        terminal::line(json!({ "models": rows, "choice": choice.reason }).to_string());
    } else {
        terminal::line(format!("* used by `serve`: {}", choice.reason));
    }
    Ok(Found::Good)
}

async fn pull(options: PullOptions) -> anyhow::Result<Found> {
    let mut loaded = load(&options.places)?;
    if let Some(model) = &options.model {
        loaded.choose_model(model)?;
    }
    let names = if options.for_serve { names_for_serve(&loaded) } else { options.names };
    anyhow::ensure!(
        !names.is_empty() || options.for_serve,
        "name a model; `mainstay models list` shows them"
    );
    let folder = options.folder.unwrap_or_else(|| options.places.data.join(MODELS_FOLDER));
    let clock = Arc::new(SystemClock::new());
    let outbound = outbound::Client::new(Arc::clone(&clock) as _, outbound::Config::default());
    let models = fetching::models(&folder, &loaded.catalogue, &outbound, &clock);
    for name in &names {
        let bar = bar(name);
        let shown = bar.clone();
        let progress = Arc::new(move |pulled: Pulled| {
            shown.set_length(pulled.total);
            shown.set_position(pulled.bytes);
        });
        let found = fetching::find_or_pull(&models, name, progress).await;
        bar.finish_and_clear();
        terminal::line(format!("{name}: verified in {}", found?.display()));
    }
    Ok(Found::Good)
}

/// The embedder and the chat model that `serve` would start.
fn names_for_serve(loaded: &Loaded) -> Vec<String> {
    let embedded = &loaded.config.embedded;
    if embedded.model == "none" {
        return Vec::new();
    }
    let chat = if embedded.model == "auto" {
        choose(&loaded.catalogue, Memory::read(), embedded.context).model
    } else {
        Some(embedded.model.clone())
    };
    loaded.catalogue.embedder.iter().cloned().chain(chat).collect()
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Chat => "chat",
        Kind::Embedder => "embedder",
    }
}
