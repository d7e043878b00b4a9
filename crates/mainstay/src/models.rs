//! Finds, fetches and starts the embedded models, while the server already answers with what is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::ports::Clock;
use domain::time::Moment;
use embedded::catalogue::Catalogue;
use embedded::choose::{Memory, choose};
use embedded::embedder::{self, SentenceEmbedder};
use embedded::fetch::Pulled;
use embedded::supervisor::{self, Supervisor, WorkerCommand};

use crate::assembly::{Assembly, EmbedderState};
use crate::cli::terminal;
use crate::clock::SystemRng;
use crate::config::{EmbeddedConfig, Loaded};
use crate::embedded_slot::Occupant;
use crate::fetching;
use crate::trying::{self, Waits, Work};

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

/// Brings up the embedder and the chat model beside each other; the start is done when both are there or have failed
/// once. What failed is tried again from then on, until the shutdown.
pub(crate) async fn start(assembly: Arc<Assembly>, wanted: Wanted) {
    if wanted.config.model == "none" {
        *assembly.embedder.lock() = EmbedderState::Off;
        assembly.startup.finish();
        return;
    }
    let wanted = Arc::new(wanted);
    let [mut embedder, mut chat] = [Kind::Embedder, Kind::Chat].map(|kind| Bringing {
        assembly: Arc::clone(&assembly),
        wanted: Arc::clone(&wanted),
        kind,
    });
    let both = async { futures_util::join!(embedder.attempt(), chat.attempt()) };
    let (embedder_there, chat_there) = tokio::select! {
        both = both => both,
        () = assembly.shutdown.cancelled() => return,
    };
    for (there, bringing) in [(embedder_there, embedder), (chat_there, chat)] {
        if let Err(reason) = there {
            bring_later(reason, bringing);
        }
    }
    assembly.startup.finish();
    tracing::info!("ready");
}

/// A model is brought up.
struct Bringing {
    assembly: Arc<Assembly>,
    wanted: Arc<Wanted>,
    kind: Kind,
}

/// What it is for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Embedder,
    Chat,
}

impl Work for Bringing {
    async fn attempt(&mut self) -> Result<(), String> {
        let there = match self.kind {
            Kind::Embedder => bring_embedder(&self.assembly, &self.wanted).await,
            Kind::Chat => bring_chat(&self.assembly, &self.wanted).await,
        };
        there.map_err(|error| terminal::told(&error))
    }

    fn waits(&mut self, reason: String, next_try: Moment) {
        let wait_s = next_try.since(self.assembly.clock.now()).as_secs();
        match self.kind {
            Kind::Embedder => {
                tracing::error!(
                    reason,
                    wait_s,
                    "the sentence embedder is not there; search stays by words; it is tried again in {wait_s} s"
                );
                *self.assembly.embedder.lock() = EmbedderState::Failed { reason, next_try };
            }
            Kind::Chat => {
                tracing::error!(
                    reason,
                    wait_s,
                    "the embedded model is not there; it is tried again in {wait_s} s"
                );
                self.assembly.slot.put(Occupant::Failed { reason, next_try });
            }
        }
    }
}

/// Tries again what failed for `reason`, beside the server.
fn bring_later(reason: String, bringing: Bringing) {
    let assembly = Arc::clone(&bringing.assembly);
    let waits = Waits::from(bringing.wanted.config.fetch_again);
    assembly.tasks.clone().spawn(async move {
        let trying = trying::again((assembly.clock(), &SystemRng), waits, reason, bringing);
        tokio::select! {
            () = trying => {}
            () = assembly.shutdown.cancelled() => {}
        }
    });
}

async fn bring_embedder(assembly: &Arc<Assembly>, wanted: &Wanted) -> anyhow::Result<()> {
    let Some(name) = wanted.catalogue.embedder.clone() else {
        *assembly.embedder.lock() = EmbedderState::Off;
        return Ok(());
    };
    let show: Tell = |assembly, what| *assembly.embedder.lock() = EmbedderState::Coming(what);
    let files = fetch(assembly, wanted, &name, show).await?;
    let model = wanted.catalogue.model(&name).context("the embedder is not in the catalogue")?;
    let config = embedder::Config::new(embedder_files(&files), model.identity());
    let embedder = tokio::task::spawn_blocking(move || SentenceEmbedder::open(config)).await??;
    let embedder = Arc::new(embedder);
    assembly.sentences.put(Arc::clone(&embedder) as _);
    assembly.library.set_embedder(embedder);
    let progress = |progress: knowledge::Progress| {
        let what = format!("computing vectors: {} of {}", progress.done, progress.total);
        assembly.startup.progress(what.clone());
        *assembly.embedder.lock() = EmbedderState::Coming(what);
    };
    assembly.library.embed(&progress).await?;
    *assembly.embedder.lock() = EmbedderState::Ready;
    tracing::info!("search is by words and vectors (`{name}`)");
    Ok(())
}

async fn bring_chat(assembly: &Arc<Assembly>, wanted: &Wanted) -> anyhow::Result<()> {
    let n_ctx = wanted.config.context;
    let name = if wanted.config.model == "auto" {
        let choice = choose(&wanted.catalogue, Memory::read(), n_ctx);
        tracing::info!("{}", choice.reason);
        match choice.model {
            Some(name) => name,
            None => {
                assembly.slot.put(Occupant::Off(choice.reason));
                return Ok(());
            }
        }
    } else {
        wanted.config.model.clone()
    };
    let show: Tell = |assembly, what| assembly.slot.put(Occupant::Coming(what));
    let folder = fetch(assembly, wanted, &name, show).await?;
    let config = worker_config(wanted, &name, &folder)?;
    let (supervisor, worker) = Supervisor::new(config, Arc::clone(&assembly.clock) as _);
    assembly.tasks.spawn(supervisor.run(assembly.shutdown.clone()));
    assembly.slot.put(Occupant::Worker(worker.clone()));
    assembly.startup.progress(format!("loading the model `{name}`"));
    match worker.wait_ready(assembly.clock.now().after(LOADING_MAX)).await {
        Ok(()) => tracing::info!("the embedded model `{name}` answers"),
        // From here on its supervisor keeps at it.
        Err(error) => {
            tracing::error!(%error, "the embedded model `{name}` does not answer; it is tried again by itself")
        }
    }
    Ok(())
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
    config.parallel = wanted.config.parallel;
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
