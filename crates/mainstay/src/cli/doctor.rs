//! `mainstay doctor`: what works, what does not, and what to do about it.

#![expect(clippy::indexing_slicing, reason = "a JSON value indexed by a name it does not have gives null")]

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use domain::ports::{Clock, Secrets};
use domain::secret::SecretRef;
use embedded::choose::{Memory, choose};
use serde_json::{Value, json};

use crate::cli::client::{ClientError, DEEP, Server};
use crate::cli::reach::Reach;
use crate::cli::{Form, Found, Places, terminal};
use crate::clock::{SystemClock, SystemIds};
use crate::config::{Loaded, SystemSecrets, sqlite_path};
use crate::lifetimes::{self, Told};
use crate::models::MODELS_FOLDER;
use crate::{data, fetching};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    reach: Reach,
    /// Wait until the server is ready (10 minutes at most), showing what it waits for.
    #[arg(long)]
    wait_ready: bool,
    /// Reset the breakers that the server has open, before looking.
    #[arg(long)]
    reset_breakers: bool,
    #[command(flatten)]
    form: Form,
}

/// One thing that was looked at.
struct Finding {
    name: String,
    state: State,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Works,
    Off,
    Waits,
    Degraded,
    Broken,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Off => "off",
            Self::Waits => "waits",
            Self::Degraded => "degraded",
            Self::Broken => "broken",
        }
    }
}

fn finding(name: impl Into<String>, state: State, detail: impl Into<String>) -> Finding {
    Finding { name: name.into(), state, detail: detail.into() }
}

/// `./run` on a slow line: a gigabyte has to come.
const READY_MAX: Duration = Duration::from_secs(600);

/// How long is waited for the services that give credentials.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(10);

pub(super) async fn run(options: Options) -> anyhow::Result<Found> {
    let clock = Arc::new(SystemClock::new());
    let server = options.reach.server(Arc::clone(&clock))?;
    if options.wait_ready {
        wait_ready(&server, &clock).await?;
    }
    let reset = if options.reset_breakers { Some(reset_breakers(&server).await) } else { None };
    let at_server = look_at_server(&server, &options.reach.url).await;
    let mut findings = look_at_configuration(&options.places, &clock, &at_server).await;
    findings.push(look_at_data(&options.places));
    findings.extend(reset);
    findings.extend(at_server);
    show(&findings, options.form);
    let is_broken = findings.iter().any(|finding| finding.state == State::Broken);
    Ok(if is_broken { Found::Wrong } else { Found::Good })
}

async fn wait_ready(server: &Server, clock: &SystemClock) -> anyhow::Result<()> {
    let until = clock.now().after(READY_MAX);
    let mut shown = String::new();
    while clock.now() < until {
        let reply = match server.health("/health/ready").await {
            Err(error @ ClientError::Foreign { .. }) => return Err(error.into()),
            reply => reply.unwrap_or_default(),
        };
        if reply["status"] == "ready" {
            return Ok(());
        }
        let reason = reply["reason"].as_str().unwrap_or("no server answers yet").to_owned();
        if reason != shown {
            terminal::remark(format!("waiting: {reason}"));
            shown = reason;
        }
        clock.sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("the server was not ready after {} s: {shown}", READY_MAX.as_secs())
}

async fn look_at_configuration(
    places: &Places,
    clock: &Arc<SystemClock>,
    at_server: &[Finding],
) -> Vec<Finding> {
    let source = places.source();
    let loaded = source.read().map_err(anyhow::Error::from).and_then(|folder| Ok(source.load(folder)?));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            return vec![finding(
                "configuration",
                State::Broken,
                format!("{}; correct it, then `mainstay check`", terminal::told(&error)),
            )];
        }
    };
    let valid = format!("{} is valid (snapshot {})", source.describe(), loaded.snapshot.id);
    let mut findings = vec![finding("configuration", State::Works, valid)];
    findings.extend(look_at_keys(&loaded, at_server));
    findings.extend(look_for_credentials(&loaded, clock, at_server).await);
    findings.extend(look_at_models(&loaded, places, clock));
    findings.extend(lifetimes::told(&loaded.snapshot.models, clock.wall().day()).into_iter().map(
        |(model, told)| {
            let name = format!("model `{model}`");
            match told {
                Told::Ended(text) => finding(name, State::Broken, text),
                Told::Aging(text) => finding(name, State::Degraded, text),
            }
        },
    ));
    findings
}

fn look_at_keys(loaded: &Loaded, at_server: &[Finding]) -> Vec<Finding> {
    let look = |(provider, reference): (&String, SecretRef)| {
        let name = format!("key of provider `{provider}`");
        match SystemSecrets.resolve(&reference) {
            Ok(_) => finding(name, State::Works, format!("{reference} is set")),
            // A server does not start without its keys: one that calls this provider has this one.
            Err(error) if is_called(provider, at_server) => {
                let detail =
                    format!("the server that runs has it; for a server started from this shell: {error}");
                finding(name, State::Works, detail)
            }
            Err(error) => finding(
                name,
                State::Broken,
                format!("{error} in this shell; set it where the server is started"),
            ),
        }
    };
    let secrets = |(provider, config)| {
        providers::Config::secrets(config).into_iter().map(move |secret| (provider, secret))
    };
    loaded.config.providers.iter().flat_map(secrets).map(look).collect()
}

/// Whether the server that was asked has targets of `provider`.
fn is_called(provider: &str, at_server: &[Finding]) -> bool {
    let target = format!("server: target {provider}/");
    at_server.iter().any(|finding| finding.name.starts_with(&target))
}

/// Credentials of AWS that are looked for where its own tools find them.
async fn look_for_credentials(
    loaded: &Loaded,
    clock: &Arc<SystemClock>,
    at_server: &[Finding],
) -> Vec<Finding> {
    let ports = providers::Ports {
        client: outbound::Client::new(Arc::clone(clock) as _, outbound::Config::default()),
        secrets: Arc::new(SystemSecrets),
        clock: Arc::clone(clock) as _,
        ids: Arc::new(SystemIds::default()),
        waits: providers::Waits::default(),
    };
    let until = clock.now().after(CREDENTIALS_WAIT);
    let mut findings = Vec::new();
    for (provider, config) in &loaded.config.providers {
        let Some(found) = providers::aws::find_credentials(config, &ports, until).await else { continue };
        let name = format!("credentials of provider `{provider}`");
        findings.push(match found {
            Ok(()) => finding(name, State::Works, "found"),
            Err(error) if is_called(provider, at_server) => {
                let detail = format!("the server that runs may have them; from this shell: {error}");
                finding(name, State::Degraded, detail)
            }
            Err(error) => finding(name, State::Broken, format!("{error} (as seen from this shell)")),
        });
    }
    findings
}

fn look_at_models(loaded: &Loaded, places: &Places, clock: &Arc<SystemClock>) -> Vec<Finding> {
    let embedded = &loaded.config.embedded;
    let memory = Memory::read();
    let choice = choose(&loaded.catalogue, memory, embedded.context);
    let mut findings = vec![finding(
        "memory",
        if choice.model.is_some() { State::Works } else { State::Broken },
        choice.reason,
    )];
    let chat = if embedded.model == "auto" { choice.model } else { Some(embedded.model.clone()) };
    let outbound = outbound::Client::new(Arc::clone(clock) as _, outbound::Config::default());
    let models = fetching::models(&places.data.join(MODELS_FOLDER), &loaded.catalogue, &outbound, clock);
    for name in loaded.catalogue.embedder.iter().cloned().chain(chat).filter(|name| name != "none") {
        let what = format!("model `{name}`");
        findings.push(if fetching::is_here(&models, &name) {
            finding(what, State::Works, "its file is here and verified")
        } else if let Some(reason) = fetching::damage(&models, &name) {
            finding(what, State::Broken, format!("{reason}; fetch it anew: mainstay models pull {name}"))
        } else {
            let detail =
                format!("not here yet; `serve` fetches it and keeps trying, or: mainstay models pull {name}");
            finding(what, State::Waits, detail)
        });
    }
    findings
}

fn look_at_data(places: &Places) -> Finding {
    let data = &places.data;
    let name = "data folder";
    let shown = data.display();
    if !data.exists() {
        return finding(name, State::Waits, format!("{shown} does not exist yet; `serve` makes it"));
    }
    let probe = data.join(".doctor");
    let written = std::fs::write(&probe, b"ok").and_then(|()| std::fs::remove_file(&probe));
    // A configuration that cannot be read is told elsewhere.
    let source = places.source();
    let settings = source.read().ok().and_then(|folder| source.settings(&folder).ok());
    let storage = settings.map(|settings| settings.storage);
    let least = storage.as_ref().map(|storage| storage.free_bytes_min).unwrap_or_default();
    let database = storage.and_then(|storage| sqlite_path(&storage.url, data)).filter(|path| path.exists());
    let damage = database.and_then(|path| store::examine(&path).err());
    match written {
        _ if let Some(damage) = damage => finding(
            name,
            State::Broken,
            format!(
                "{}; stop the server, keep a copy of the file, and put a backup in its place",
                terminal::told(&damage.into())
            ),
        ),
        Ok(()) if let Some(shortage) = data::shortage(data, least) => {
            finding(name, State::Degraded, format!("{shortage}; free space on this disk"))
        }
        Ok(()) => finding(name, State::Works, format!("{shown} can be written")),
        Err(error) => finding(
            name,
            State::Broken,
            format!("{shown}: {error}; make it writable or free space on its disk"),
        ),
    }
}

/// Closes every breaker that is not closed, and every quota gate that is shut.
async fn reset_breakers(server: &Server) -> Finding {
    let name = "breakers";
    let listed = match server.breakers().await {
        Ok(listed) => listed,
        Err(error) => return finding(name, State::Broken, format!("none was reset: {error}")),
    };
    let breakers = listed["breakers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_shut = |breaker: &&Value| breaker["state"] != "closed" || breaker["throttled"] == true;
    let mut reset = Vec::new();
    for target in breakers.iter().filter(is_shut).filter_map(|breaker| breaker["target"].as_str()) {
        if let Err(error) = server.reset_breaker(target).await {
            return finding(name, State::Broken, format!("`{target}` was not reset: {error}"));
        }
        reset.push(format!("`{target}`"));
    }
    match reset.is_empty() {
        true => finding(name, State::Works, "none is open"),
        false => finding(name, State::Works, format!("reset: {}", reset.join(", "))),
    }
}

async fn look_at_server(server: &Server, url: &str) -> Vec<Finding> {
    let health = match server.health(DEEP).await {
        Ok(health) => health,
        Err(ClientError::Unreachable { .. }) => {
            let detail = format!("none answers at {url}; start one: mainstay serve");
            return vec![finding("server", State::Off, detail)];
        }
        Err(error) => return vec![finding("server", State::Broken, error.to_string())],
    };
    let status = health["status"].as_str().unwrap_or("unknown").to_owned();
    let mut findings = vec![finding("server", State::Works, format!("answers at {url}, {status}"))];
    let parts = health["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    findings.extend(parts.iter().map(|part| {
        let text = |name: &str| part[name].as_str().unwrap_or_default().to_owned();
        finding(format!("server: {}", text("name")), part_state(part), text("detail"))
    }));
    findings
}

fn part_state(part: &Value) -> State {
    match part["state"].as_str() {
        Some("ready") => State::Works,
        Some("off") => State::Off,
        Some("starting") => State::Waits,
        Some("degraded") => State::Degraded,
        _ => State::Broken,
    }
}

fn show(findings: &[Finding], form: Form) {
    if form.is_json {
        let entry = |found: &Finding| json!({ "name": found.name, "state": found.state.name(), "detail": found.detail });
        terminal::line(json!({ "findings": findings.iter().map(entry).collect::<Vec<_>>() }).to_string());
        return;
    }
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or_default();
    for found in findings {
        terminal::line(format!("{:8} {:width$}  {}", found.state.name(), found.name, found.detail));
    }
}
