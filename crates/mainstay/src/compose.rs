//! The one place where parts are joined.

use std::path::PathBuf;
use std::sync::Arc;

use access::gatekeeper::Gatekeeper;
use access::limits::{Meters, Now};
use anyhow::Context;
use api::health::Startup;
use domain::id::ProviderName;
use domain::ports::{BreakerLog, ChatModel, Clock, Keys};
use knowledge::Library;
use parking_lot::Mutex;
use pipeline::cached::Cached;
use pipeline::parts::{Parts, Pipeline};
use registry::folder::Folder;
use registry::snapshot::{Current, Snapshot};
use resilience::breakers::Breakers;
use resilience::shedding::Gate;
use routing::Router;
use store::Store;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::assembly::{Assembly, EmbedderState, load_knowledge, targets};
use crate::clock::{SystemClock, SystemIds, SystemRng};
use crate::config::{Loaded, ResilienceConfig, sqlite_path};
use crate::embedded_slot::EmbeddedSlot;
use crate::embedder_slot::EmbedderSlot;
use crate::keeper;
use crate::models;
use crate::observing;
use crate::provider_clients::{Clients, ProviderClients};
use crate::store_health::StoreHealth;

/// What a composition needs beside its configuration.
pub(crate) struct Ground {
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) data: PathBuf,
    pub(crate) startup: Arc<Startup>,
    /// The server's, which it needs before there is anything else.
    pub(crate) gate: Arc<Gate>,
    /// Where the server waits for whoever lets requests in.
    pub(crate) access: Arc<SetOnce<Arc<Gatekeeper>>>,
    /// What collectors are told, where there is one.
    pub(crate) telemetry: Option<Arc<telemetry::Hub>>,
    pub(crate) shutdown: CancellationToken,
}

/// Joins everything that needs no embedded model; those come later, in `models.rs`.
pub(crate) async fn compose(loaded: Loaded, ground: Ground) -> anyhow::Result<Arc<Assembly>> {
    let Ground { clock, data, startup, gate, access, telemetry, shutdown } = ground;
    let Loaded { config, read_once, folder, snapshot, catalogue } = loaded;
    let tasks = TaskTracker::new();
    startup.progress("opening the store");
    let path = sqlite_path(&config.storage.url, &data).context("[storage] url: write `sqlite:PATH`")?;
    let store_health = StoreHealth::new(&path, config.storage.free_bytes_min, config.records.on_failure);
    let store = open_store(path).await?;
    let outbound = outbound::Client::new(Arc::clone(&clock) as _, calls_out(&config.resilience.bulkhead));
    let reach = (&outbound, &clock, &*access);
    let keeper = keeper::open(&config.auth, &data, Arc::clone(&store) as _, reach).await?;
    let slot = EmbeddedSlot::new(models::first_occupant(&config.embedded));
    let clock_port: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let provider_clients =
        ProviderClients::new(outbound.clone(), Arc::clone(&clock_port), &config.resilience.policy);
    // Its text holds its cause already.
    let made = provider_clients.make(&config.providers).map_err(|error| anyhow::anyhow!("{error}"))?;
    observing::know(telemetry.as_ref(), &config.providers);
    let made = provider_clients.use_now(made);
    let sentences = EmbedderSlot::new(catalogue.embedder.as_deref());
    let breakers = breakers(&config.resilience, &clock_port);
    breakers.watch(targets(&snapshot));
    restore(&breakers, &store).await;
    let router = Arc::new(router(&config.resilience, &breakers, &clock_port));
    router.provide(with_embedded(made, &clock_port, (&slot, &sentences)));
    startup.progress("reading the knowledge");
    let library = open_library(&store, (&folder, &snapshot)).await?;
    let current = Arc::new(Current::new(snapshot));
    let pipeline = Arc::new(Pipeline::new(Parts {
        clock: Arc::clone(&clock) as _,
        ids: Arc::new(SystemIds::default()),
        current: Arc::clone(&current),
        limits: open_limits(&config.limits, &clock_port, (&store, &keeper)).await?,
        gate: Arc::clone(&gate),
        router: Arc::clone(&router),
        retriever: Arc::clone(&library) as _,
        sessions: Arc::clone(&store) as _,
        records: Arc::clone(&store) as _,
        cached: cached(&config.cache, &clock_port, &sentences),
        config: config.records,
        tasks: tasks.clone(),
    }));
    let assembly = Arc::new(Assembly {
        clock,
        store,
        store_health,
        library,
        current,
        router,
        breakers,
        gate,
        keeper,
        pipeline,
        slot,
        sentences,
        embedder: Mutex::new(EmbedderState::Coming("not looked for yet".to_owned())),
        startup,
        folder: Mutex::new(folder),
        refused: Mutex::default(),
        read_once,
        outbound,
        telemetry,
        provider_clients: Arc::new(provider_clients),
        tasks,
        shutdown,
    });
    assembly.start_upkeep();
    observing::start(&assembly)?;
    Ok(assembly)
}

fn breakers(config: &ResilienceConfig, clock: &Arc<dyn Clock>) -> Breakers {
    let guards = (config.breaker, config.bulkhead);
    Breakers::with_bulkheads(guards, Arc::clone(clock), Arc::new(SystemRng))
}

fn router(config: &ResilienceConfig, breakers: &Breakers, clock: &Arc<dyn Clock>) -> Router {
    let (clock, breakers) = (Arc::clone(clock), breakers.clone());
    Router::new(routing::Parts { clock, rng: Arc::new(SystemRng), breakers, policy: config.policy })
}

/// How many calls of one provider there may be at once: the bulkheads of its targets decide, and adapt; this only bounds
/// what many targets of one provider may hold together.
fn calls_out(bulkhead: &resilience::bulkhead::Config) -> outbound::Config {
    const TARGETS_A_PROVIDER: usize = 4;
    let usual = outbound::Config::default();
    let calls = usize::try_from(bulkhead.calls_max).unwrap_or(usize::MAX);
    outbound::Config { calls_max: usual.calls_max.max(calls.saturating_mul(TARGETS_A_PROVIDER)), ..usual }
}

/// Room for answers that are given again; the sentence encoder comes later.
fn cached(config: &cache::Config, clock: &Arc<dyn Clock>, sentences: &Arc<EmbedderSlot>) -> Cached {
    let slot = Arc::clone(sentences);
    Cached {
        answers: cache::Answers::new(config, Arc::clone(clock)),
        sentences: Arc::new(move || providers::Sentences::embedder(slot.as_ref())),
    }
}

async fn open_limits(
    config: &access::limits::Config,
    clock: &Arc<dyn Clock>,
    (store, keeper): (&Arc<Store>, &Arc<Gatekeeper>),
) -> anyhow::Result<Arc<Meters>> {
    let now = Now::of(clock.as_ref());
    let meters = Meters::new(config, now).context("[limits]")?;
    meters.adopt(&store.keys().await?.keys, now);
    // Without it, what was spent before would be forgotten: then nothing is served at all.
    meters.catch_up(store.as_ref(), now).await.context("could not read what was spent of the budgets")?;
    meters.rest_on(Arc::clone(store) as _);
    let meters = Arc::new(meters);
    keeper.govern(Arc::clone(&meters));
    Ok(meters)
}

/// The articles, searchable by words; the sentence encoder comes later.
async fn open_library(
    store: &Arc<Store>,
    (folder, snapshot): (&Folder, &Snapshot),
) -> anyhow::Result<Arc<Library>> {
    let library = Arc::new(Library::new(Arc::clone(store) as _, None));
    load_knowledge(&library, folder, snapshot).await?;
    Ok(library)
}

async fn restore(breakers: &Breakers, store: &Store) {
    match store.load().await {
        Ok(entries) => breakers.restore(entries),
        Err(error) => tracing::warn!(%error, "the breakers' states could not be read; all start closed"),
    }
}

async fn open_store(path: PathBuf) -> anyhow::Result<Arc<Store>> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("could not make the folder {}", parent.display()))?;
    }
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, &store::Config::default())).await?;
    Ok(opened?)
}

/// `clients`, and the one of the models that run here.
fn with_embedded(
    mut clients: Clients,
    clock: &Arc<dyn Clock>,
    (slot, sentences): (&Arc<EmbeddedSlot>, &Arc<EmbedderSlot>),
) -> Clients {
    // It takes texts only; relayed requests are read as such.
    let ids = Arc::new(SystemIds::default());
    let embedded = providers::Translated::new(Arc::clone(slot) as _, Arc::clone(clock), ids);
    let embedded = providers::WithSentences::new(Arc::new(embedded), Arc::clone(sentences) as _);
    let embedded: Arc<dyn ChatModel> = Arc::new(embedded);
    clients.insert(ProviderName::from(registry::routes::EMBEDDED), embedded);
    clients
}
