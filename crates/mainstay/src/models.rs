//! Finds, fetches and starts the embedded models, while the server already answers with what is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::ports::Clock;
use embedded::catalogue::Catalogue;
use embedded::choose::{Memory, choose};
use embedded::embedder::{self, SentenceEmbedder};
use embedded::fetch::Pulled;
use embedded::supervisor::{self, Supervisor, WorkerCommand};

use crate::assembly::{Assembly, EmbedderState};
use crate::config::{EmbeddedConfig, Loaded};
use crate::embedded_slot::Occupant;
use crate::fetching;

/// Which models are wanted, and where they lie.
pub(crate) struct Wanted {
    catalogue: Catalogue,
    config: EmbeddedConfig,
    folder: PathBuf,
}

/// The folder of model files within the data folder.
pub(crate) const MODELS_FOLDER: &str = "models";
/// Loading may take this long before the start counts as done without the model.
const LOADING_MAX: Duration = Duration::from_secs(120);

impl Wanted {
    pub(crate) fn of(loaded: &Loaded, data: &Path) -> Self {
        Self {
            catalogue: loaded.catalogue.clone(),
            config: loaded.config.embedded.clone(),
            folder: data.join(MODELS_FOLDER),
        }
    }
}

/// What stands in the model's place before anything was looked for.
pub(crate) fn first_occupant(config: &EmbeddedConfig) -> Occupant {
    match config.model.as_str() {
        "none" => Occupant::Off("switched off (model \"none\")".to_owned()),
        _ => Occupant::Coming("not looked for yet".to_owned()),
    }
}

/// Brings up the embedder and the chat model beside each other; the start is done when both are there or given up.
pub(crate) async fn start(assembly: Arc<Assembly>, wanted: Wanted) {
    if wanted.config.model == "none" {
        *assembly.embedder.lock() = EmbedderState::Off;
        assembly.startup.finish();
        return;
    }
    let wanted = Arc::new(wanted);
    let shutdown = assembly.shutdown.clone();
    let both = async {
        futures_util::join!(start_embedder(&assembly, &wanted), start_chat(&assembly, &wanted));
    };
    tokio::select! {
        () = both => {}
        () = shutdown.cancelled() => return,
    }
    assembly.startup.finish();
    tracing::info!("ready");
}

async fn start_embedder(assembly: &Arc<Assembly>, wanted: &Wanted) {
    let Some(name) = wanted.catalogue.embedder.clone() else {
        *assembly.embedder.lock() = EmbedderState::Off;
        return;
    };
    let result = async {
        let show: Tell = |assembly, what| *assembly.embedder.lock() = EmbedderState::Coming(what);
        let files = fetch(assembly, wanted, &name, show).await?;
        let model = wanted.catalogue.model(&name).context("the embedder is not in the catalogue")?;
        let config = embedder::Config::new(embedder_files(&files), model.identity());
        let embedder = tokio::task::spawn_blocking(move || SentenceEmbedder::open(config)).await??;
        let embedder = Arc::new(embedder);
        assembly.library.set_embedder(embedder);
        let progress = |progress: knowledge::Progress| {
            let what = format!("computing vectors: {} of {}", progress.done, progress.total);
            assembly.startup.progress(what.clone());
            *assembly.embedder.lock() = EmbedderState::Coming(what);
        };
        assembly.library.embed(&progress).await?;
        anyhow::Ok(())
    };
    match result.await {
        Ok(()) => {
            *assembly.embedder.lock() = EmbedderState::Ready;
            tracing::info!("search is by words and vectors (`{name}`)");
        }
        Err(error) => {
            let reason = format!("{error:#}");
            tracing::error!(reason, "the sentence embedder `{name}` is not there; search stays by words");
            *assembly.embedder.lock() = EmbedderState::Failed(reason);
        }
    }
}

async fn start_chat(assembly: &Arc<Assembly>, wanted: &Wanted) {
    let n_ctx = wanted.config.context;
    let name = if wanted.config.model == "auto" {
        let choice = choose(&wanted.catalogue, Memory::read(), n_ctx);
        tracing::info!("{}", choice.reason);
        match choice.model {
            Some(name) => name,
            None => return assembly.slot.put(Occupant::Off(choice.reason)),
        }
    } else {
        wanted.config.model.clone()
    };
    let show: Tell = |assembly, what| assembly.slot.put(Occupant::Coming(what));
    let fetched = fetch(assembly, wanted, &name, show).await;
    let started = fetched.and_then(|folder| worker_config(wanted, &name, &folder));
    let config = match started {
        Ok(config) => config,
        Err(error) => {
            let reason = format!("{error:#}");
            tracing::error!(reason, "the embedded model `{name}` is not there");
            return assembly.slot.put(Occupant::Failed(reason));
        }
    };
    let (supervisor, worker) = Supervisor::new(config, Arc::clone(&assembly.clock) as _);
    assembly.tasks.spawn(supervisor.run(assembly.shutdown.clone()));
    assembly.slot.put(Occupant::Worker(worker.clone()));
    assembly.startup.progress(format!("loading the model `{name}`"));
    match worker.wait_ready(assembly.clock.now().after(LOADING_MAX)).await {
        Ok(()) => tracing::info!("the embedded model `{name}` answers"),
        Err(error) => {
            tracing::error!(%error, "the embedded model `{name}` does not answer; it is tried again by itself")
        }
    }
}

/// A sentence encoder's files by their usual names.
fn embedder_files(folder: &Path) -> embedder::Files {
    embedder::Files {
        weights: folder.join("model.safetensors"),
        tokenizer: folder.join("tokenizer.json"),
        shape: folder.join("config.json"),
    }
}

fn worker_config(wanted: &Wanted, name: &str, folder: &Path) -> anyhow::Result<supervisor::Config> {
    let model = wanted.catalogue.model(name).with_context(|| format!("`{name}` is not in the catalogue"))?;
    let file = model.files.first().with_context(|| format!("`{name}` has no file"))?;
    // The running program itself: the path on disk may be a newer version after an upgrade.
    let command = WorkerCommand { program: "/proc/self/exe".into(), arguments: vec!["worker".into()] };
    let mut config = supervisor::Config::new(name, folder.join(&file.name), command);
    config.n_ctx = wanted.config.context;
    config.threads = wanted.config.threads;
    config.memory_bytes = Some(model.memory_bytes(wanted.config.context));
    Ok(config)
}

/// The folder with the verified files of a model, fetched where they are not there yet.
async fn fetch(assembly: &Arc<Assembly>, wanted: &Wanted, name: &str, tell: Tell) -> anyhow::Result<PathBuf> {
    let models = fetching::models(&wanted.folder, &wanted.catalogue, &assembly.outbound, &assembly.clock);
    tell(assembly, format!("looking for `{name}`"));
    let (told, name_told) = (Arc::clone(assembly), name.to_owned());
    let progress = Arc::new(move |pulled: Pulled| {
        let what = fetching::describe(&name_told, &pulled);
        told.startup.progress(what.clone());
        tell(&told, what);
    });
    fetching::find_or_pull(&models, name, progress).await
}

/// Where a fetch's progress is shown.
type Tell = fn(&Assembly, String);
