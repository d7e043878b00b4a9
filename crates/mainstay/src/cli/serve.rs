//! `mainstay serve`: the server.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use access::gatekeeper::Gatekeeper;
use anyhow::{Context, bail};
use api::entry::Front;
use api::health::{PartState, Startup};
use api::metrics::Metrics;
use api::serve::{Listener, Reach};
use api::server::Api;
use api::stopping::Stop;
use clap::Args;
use domain::ports::Clock;
use domain::time::{Moment, Timestamp};
use resilience::shedding::Gate;
use tokio::sync::{SetOnce, watch};
use tokio_util::sync::CancellationToken;

use crate::assembly::Assembly;
use crate::certificates::Files;
use crate::checkup::ServerCheckup;
use crate::cli::Places;
use crate::cli::signals::Signals;
use crate::clock::{SystemClock, SystemIds};
use crate::compose::{Ground, compose};
use crate::config::{Loaded, Source, sqlite_path};
use crate::{data, descriptors, keeper, models, observing, watch as watching};

/// What is closed after the last reply may take this long: with the drain time it stays below the 35 s after which
/// whoever sent the signal may lose patience.
const CLOSING: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    places: Places,
    /// Address and port, in place of the configured one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Embedded chat model, in place of the configured one: a name of models.toml, `auto`, or `none`
    /// (then search is by words alone, too).
    #[arg(long, value_name = "NAME|none")]
    model: Option<String>,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock::new());
    let source = options.places.source();
    let _lock = data::lock(&options.places.data)?;
    let folder = source.read()?;
    let settings = source.settings(&folder)?;
    let server = chosen(&options, settings.server);
    // The ports open before anything is loaded: who asks early waits, or learns how far the start is.
    let reach = reach(&settings.auth, &settings.storage.url, &options.places.data, &server)?;
    let Ports { listeners, urls, certificates } = open((&server, clock.wall()), reach)?;
    let mut signals = Signals::new(certificates.as_ref().map(Files::asked));
    let access = Arc::new(SetOnce::new());
    let startup = Arc::new(Startup::default());
    startup.progress("reading the configuration");
    let checkup = Arc::new(ServerCheckup::new(certificates.as_ref().map(Files::standing)));
    let metrics = Arc::new(Metrics::default());
    let (ready, pipeline) = watch::channel(None);
    let stop = Stop::default();
    let limits = (settings.resilience.shedding, settings.resilience.memory);
    let gate = Arc::new(Gate::new(limits, Arc::clone(&clock) as _));
    let api = Arc::new(Api {
        config: server.clone(),
        clock: Arc::clone(&clock) as _,
        ids: Arc::new(SystemIds::default()),
        gate: Arc::clone(&gate),
        access: Arc::clone(&access),
        pipeline,
        startup: Arc::clone(&startup),
        stop: stop.clone(),
        checkup: Arc::clone(&checkup) as _,
        metrics: Arc::clone(&metrics),
        telemetry: observing::hub(&settings.telemetry, &clock)?,
    });
    let serving = api::serve::run(listeners, Arc::new(Front::new(&api)), &server, &stop);
    tokio::pin!(serving);

    let shutdown = CancellationToken::new();
    let ground = Ground {
        clock: Arc::clone(&clock),
        data: options.places.data.clone(),
        startup,
        gate,
        access,
        telemetry: api.telemetry.clone(),
        shutdown: shutdown.clone(),
    };
    let starting = Box::pin(start(source.clone(), folder, ground, options.model.as_deref()));
    let (assembly, wanted) = tokio::select! {
        started = starting => started?,
        () = &mut serving => bail!("the port closed while the server was starting"),
        () = signals.next() => {
            // Requests that wait for the start are told.
            stop.end();
            serving.await;
            return Ok(());
        }
    };
    checkup.watch(Arc::clone(&assembly));
    metrics.watch(Arc::clone(&checkup) as _);
    ready.send_replace(Some(Arc::clone(&assembly.pipeline)));
    // Only now: with no model to wait for, this makes the server ready.
    assembly.tasks.spawn(models::start(Arc::clone(&assembly), wanted));
    assembly.tasks.spawn(watching::run(source, Arc::clone(&assembly), shutdown.clone()));
    follow(certificates, &assembly);
    say_ready(&urls, clock.now(), &assembly.keeper);

    tokio::select! {
        () = &mut serving => bail!("the port closed"),
        () = signals.next() => {}
    }
    let_finish(serving, &stop, &mut signals).await;
    close(&assembly).await;
    tracing::info!("stopped");
    Ok(())
}

async fn close(assembly: &Arc<Assembly>) {
    if tokio::time::timeout(CLOSING, assembly.close()).await.is_err() {
        tracing::error!("the store or a model did not close within {} s; they are left", CLOSING.as_secs());
    }
}

/// The settings with what the command line and the machine say.
fn chosen(options: &Options, mut server: api::server::Config) -> api::server::Config {
    if let Some(listen) = &options.listen {
        server.listen.clone_from(listen);
    }
    server.connections_max = descriptors::connections_max(descriptors::raise(), server.connections_max);
    server
}

/// The ports of a server, how they are asked, and what those with TLS show.
struct Ports {
    listeners: Vec<Listener>,
    urls: Vec<String>,
    certificates: Option<Files>,
}

/// With TLS and no port of its own for it, the one port speaks TLS: nothing is left open unencrypted by oversight.
fn open((server, now): (&api::server::Config, Timestamp), reach: Reach) -> anyhow::Result<Ports> {
    let mut ports = Ports { listeners: Vec::new(), urls: Vec::new(), certificates: None };
    if server.tls.as_ref().is_none_or(|tls| tls.listen.is_some()) {
        let listener = api::serve::bind(&server.listen, reach)?;
        ports.urls.push(format!("http://{}", listener.local_addr()?));
        ports.listeners.push(Listener::plain(listener));
    }
    if let Some(tls) = &server.tls {
        let files = Files::open(tls.clone())?;
        say_life(&files, now);
        let listener = api::serve::bind(tls.listen.as_ref().unwrap_or(&server.listen), reach)?;
        ports.urls.push(format!("https://{}", listener.local_addr()?));
        ports.listeners.push(Listener::tls(listener, files.certificates(), tls.handshake_timeout));
        ports.certificates = Some(files);
    }
    Ok(ports)
}

/// A certificate that clients refuse is shown all the same: some do not look.
fn say_life(files: &Files, now: Timestamp) {
    let part = files.standing().part(now);
    if part.state != PartState::Ready {
        tracing::warn!("the certificate is {}", part.detail);
    }
}

fn follow(certificates: Option<Files>, assembly: &Assembly) {
    if let Some(files) = certificates {
        let clock: Arc<dyn Clock> = Arc::clone(&assembly.clock) as _;
        assembly.tasks.spawn(files.follow(clock, assembly.shutdown.clone()));
    }
}

fn say_ready(urls: &[String], now: Moment, keeper: &Gatekeeper) {
    let took_ms = now.0.as_millis();
    tracing::info!(
        "mainstay {} answers on {} (started in {took_ms} ms)",
        env!("CARGO_PKG_VERSION"),
        urls.join(" and ")
    );
    match keeper.is_open() {
        true => tracing::info!("no key exists: the server is open to this machine, and only to it"),
        false => tracing::info!("keys exist: whoever asks needs one"),
    }
}

/// Whom the ports may be opened to. Before the port opens only the configuration and a look at the database can tell.
fn reach(
    auth: &access::Config,
    storage: &str,
    data: &Path,
    server: &api::server::Config,
) -> anyhow::Result<Reach> {
    let listens = [Some(&server.listen), server.tls.as_ref().and_then(|tls| tls.listen.as_ref())];
    let is_home =
        |listen: &String| api::serve::address(listen).is_ok_and(|address| address.ip().is_loopback());
    let has_issuers = !auth.issuers.is_empty();
    if has_issuers || listens.into_iter().flatten().all(is_home) || keeper::bootstrap_key(auth)?.is_some() {
        return Ok(Reach::Anywhere);
    }
    let path = sqlite_path(storage, data).context("[storage] url: write `sqlite:PATH`")?;
    Ok(if store::has_keys(&path)? { Reach::Anywhere } else { Reach::Machine })
}

/// Lets requests under way finish within the drain time; another signal ends them at once.
async fn let_finish(mut serving: Pin<&mut impl Future<Output = ()>>, stop: &Stop, signals: &mut Signals) {
    tracing::info!("stopping: requests under way may finish; a second signal ends them at once");
    stop.ask();
    tokio::select! {
        () = &mut serving => return,
        () = signals.next() => {}
    }
    stop.end();
    serving.await;
}

/// Loads the configuration and joins the parts; the models are sent for when it can answer.
async fn start(
    source: Source,
    folder: registry::folder::Folder,
    ground: Ground,
    model: Option<&str>,
) -> anyhow::Result<(Arc<Assembly>, models::Wanted)> {
    let mut loaded: Loaded = tokio::task::spawn_blocking(move || source.load(folder)).await??;
    if let Some(model) = model {
        loaded.choose_model(model)?;
    }
    let wanted = models::Wanted::of(&loaded, &ground.data);
    let assembly = compose(loaded, ground).await.context("could not start")?;
    Ok((assembly, wanted))
}
