//! The running server without its port: everything that `compose.rs` joined, and what is done to it while it runs.

use std::sync::Arc;

use access::gatekeeper::Gatekeeper;
use access::limits::{InvalidLimit, Now};
use api::health::Startup;
use domain::id::TargetId;
use domain::model::Route;
use domain::ports::{BreakerLog, Clock, Records};
use domain::time::Moment;
use knowledge::Library;
use parking_lot::Mutex;
use pipeline::parts::Pipeline;
use registry::folder::Folder;
use registry::snapshot::{Current, Snapshot};
use resilience::breakers::Breakers;
use resilience::shedding::Gate;
use routing::Router;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::terminal;
use crate::clock::SystemClock;
use crate::config::{Loaded, ReadOnce, collection_files};
use crate::embedded_slot::EmbeddedSlot;
use crate::embedder_slot::EmbedderSlot;
use crate::memory;
use crate::observing;
use crate::provider_clients::{Making, ProviderClients};
use crate::store_health::StoreHealth;

/// What runs.
pub(crate) struct Assembly {
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) store: Arc<Store>,
    pub(crate) store_health: StoreHealth,
    pub(crate) library: Arc<Library>,
    pub(crate) current: Arc<Current>,
    pub(crate) router: Arc<Router>,
    pub(crate) breakers: Breakers,
    pub(crate) gate: Arc<Gate>,
    pub(crate) keeper: Arc<Gatekeeper>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) slot: Arc<EmbeddedSlot>,
    pub(crate) sentences: Arc<EmbedderSlot>,
    pub(crate) embedder: Mutex<EmbedderState>,
    pub(crate) startup: Arc<Startup>,
    pub(crate) folder: Mutex<Folder>,
    /// Why what is in the folder now is not served.
    pub(crate) refused: Mutex<Option<String>>,
    pub(crate) read_once: ReadOnce,
    pub(crate) outbound: outbound::Client,
    /// What collectors are told, where there is one.
    pub(crate) telemetry: Option<Arc<telemetry::Hub>>,
    pub(crate) provider_clients: Arc<ProviderClients>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

/// How the sentence embedder is.
#[derive(Clone)]
pub(crate) enum EmbedderState {
    /// Switched off; search is by words.
    Off,
    /// Being fetched or loaded, or its vectors computed; search is by words meanwhile.
    Coming(String),
    /// Search is by words and vectors.
    Ready,
    /// It could not be had and is tried again; search is by words meanwhile.
    Failed {
        /// Why it failed.
        reason: String,
        /// When it is tried again.
        next_try: Moment,
    },
}

impl Assembly {
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The folder that is served.
    pub(crate) fn folder(&self) -> Folder {
        self.folder.lock().clone()
    }

    /// Serves a checked configuration from now on.
    ///
    /// # Errors
    /// Why it cannot be served now: the last good one goes on.
    pub(crate) async fn apply(&self, loaded: Loaded) -> Result<(), String> {
        let making = self.make_clients(&loaded).await?;
        let knowledge_changed = knowledge_files(&self.folder()).ne(knowledge_files(&loaded.folder));
        if knowledge_changed {
            let loading = load_knowledge(&self.library, &loaded.folder, &loaded.snapshot).await;
            loading.map_err(|error| terminal::told(&error))?;
        }
        self.limit_by(&loaded.config.limits).await.map_err(|error| format!("[limits]: {error}"))?;
        let id = loaded.snapshot.id.clone();
        let clients = self.provider_clients.use_now(making);
        if !clients.is_empty() {
            let names = clients.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            tracing::info!(names, "providers that are new or changed and called from now on: {names}");
        }
        let waiting = self.read_once.changed(&loaded.read_once).join(", ");
        // Before the routes that name them.
        self.router.provide(clients);
        observing::know(self.telemetry.as_ref(), &loaded.config.providers);
        self.breakers.watch(targets(&loaded.snapshot));
        self.gate.watch(routes(&loaded.snapshot).map(|route| route.name.clone()));
        self.current.swap(loaded.snapshot);
        *self.folder.lock() = loaded.folder;
        tracing::info!(snapshot.id = %id, "serving configuration {id}");
        if !waiting.is_empty() {
            tracing::warn!(
                waiting,
                "what differs in {waiting} from the configuration at the start waits for a restart"
            );
        }
        if knowledge_changed && let Err(error) = self.library.embed(&|_| {}).await {
            tracing::error!(error = %error, "the vectors of the changed knowledge could not be made; it is searched by words");
        }
        Ok(())
    }

    /// Limits everybody as `config` says from now on; what keys have of their own stays.
    async fn limit_by(&self, config: &access::limits::Config) -> Result<(), InvalidLimit> {
        let (limits, now) = (self.pipeline.limits(), Now::of(self.clock.as_ref()));
        limits.configure(config, now)?;
        self.keeper.tell_limits();
        if let Err(error) = limits.catch_up(self.store.as_ref(), now).await {
            tracing::error!(%error, "what was spent before cannot be read: budgets that are new count from now on");
        }
        Ok(())
    }

    /// The clients of new and changed providers.
    async fn make_clients(&self, loaded: &Loaded) -> Result<Making, String> {
        let (clients, wanted) = (Arc::clone(&self.provider_clients), loaded.config.providers.clone());
        match tokio::task::spawn_blocking(move || clients.make(&wanted)).await {
            Ok(making) => making.map_err(|error| {
                format!("{error} (a variable of the environment that is new needs a restart)")
            }),
            Err(error) => Err(format!("the clients of changed providers could not be made: {error}")),
        }
    }

    /// Work that goes on beside requests: keeping breaker states, measuring memory, expiring texts, looking for changed keys.
    pub(crate) fn start_upkeep(self: &Arc<Self>) {
        self.tasks.spawn(keep_breakers(Arc::clone(self)));
        self.tasks.spawn(memory::watch(Arc::clone(self)));
        self.tasks.spawn(expire(Arc::clone(self)));
        self.tasks.spawn(watch_keys(Arc::clone(self)));
    }

    /// Ends everything in order; nothing that was acknowledged is lost.
    pub(crate) async fn close(self: &Arc<Self>) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        save_breakers(self).await;
        self.outbound.close().await;
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }
}

/// All routes in use, by agents or by clients that name them.
fn routes(snapshot: &Snapshot) -> impl Iterator<Item = &Route> {
    snapshot.agents.values().map(|serving| serving.route.as_ref()).chain(snapshot.clients.routes())
}

/// The targets of all routes in use.
pub(crate) fn targets(snapshot: &Snapshot) -> Vec<TargetId> {
    let tiers = routes(snapshot).flat_map(|route| &route.tiers);
    let mut targets: Vec<TargetId> =
        tiers.flat_map(|tier| &tier.targets).map(|target| target.id.clone()).collect();
    targets.sort();
    targets.dedup();
    targets
}

fn knowledge_files(folder: &Folder) -> impl Iterator<Item = (&str, &[u8])> {
    folder.under("knowledge/")
}

/// Makes the folder's knowledge searchable, by words at least.
pub(crate) async fn load_knowledge(
    library: &Library,
    folder: &Folder,
    snapshot: &Snapshot,
) -> anyhow::Result<()> {
    for collection in snapshot.collections() {
        let loaded = library.load(&collection, collection_files(folder, &collection)).await?;
        tracing::info!(
            collection = %collection,
            documents = loaded.documents,
            chunks = loaded.chunks,
            "`{collection}` can be searched: {} documents in {} chunks",
            loaded.documents,
            loaded.chunks
        );
    }
    Ok(())
}

/// Looks for keys that another process changed.
async fn watch_keys(assembly: Arc<Assembly>) {
    tokio::select! {
        () = assembly.keeper.watch() => {}
        () = assembly.shutdown.cancelled() => {}
    }
}

/// States that could not be kept are tried again after this long.
const KEEP_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

async fn keep_breakers(assembly: Arc<Assembly>) {
    loop {
        tokio::select! {
            () = assembly.breakers.changed() => {}
            () = assembly.shutdown.cancelled() => return,
        }
        if !save_breakers(&assembly).await {
            tokio::select! {
                () = assembly.clock.sleep(KEEP_AGAIN) => {}
                () = assembly.shutdown.cancelled() => return,
            }
        }
    }
}

/// Whether all could be kept.
async fn save_breakers(assembly: &Assembly) -> bool {
    let mut all_kept = true;
    for entry in assembly.breakers.drain_changes() {
        let target = entry.target.clone();
        if let Err(error) = assembly.store.save(entry).await {
            tracing::warn!(%error, target.id = %target, "the breaker of `{target}` could not be kept");
            assembly.breakers.keep_again(target);
            all_kept = false;
        }
    }
    all_kept
}

/// How often texts whose time is over are dropped.
const EXPIRE_EVERY: std::time::Duration = std::time::Duration::from_secs(300);

async fn expire(assembly: Arc<Assembly>) {
    loop {
        match assembly.store.expire(assembly.clock.wall()).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(n, "{n} records and sessions reached the end of their time"),
            Err(error) => tracing::warn!(%error, "texts whose time is over could not be dropped"),
        }
        tokio::select! {
            () = assembly.clock.sleep(EXPIRE_EVERY) => {}
            () = assembly.shutdown.cancelled() => return,
        }
    }
}
