//! The gatekeeper of the server: its pepper, its bootstrap key, and the keys of its store.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::gatekeeper::{Gatekeeper, Parts};
use access::jwt::issuer::{self, Issuer, KeySource};
use access::pepper::Pepper;
use anyhow::{Context, ensure};
use domain::ports::{BoxFuture, Clock, Keys, Rng, Secrets};
use domain::secret::{Secret, SecretRef};
use outbound::{Origin, OriginConfig, Request};
use tokio::sync::SetOnce;

use crate::clock::{SystemClock, SystemRng};
use crate::config::SystemSecrets;

/// Where the pepper lies in the data folder, unless the configuration names another place.
const PEPPER_FILE: &str = "pepper";
/// Shorter ones could be guessed.
const BOOTSTRAP_BYTES_MIN: usize = 32;

/// Reads the keys, and puts the gatekeeper in the place where requests wait for it.
pub(crate) async fn open(
    config: &access::Config,
    data: &Path,
    store: Arc<dyn Keys>,
    (outbound, clock, place): (&outbound::Client, &Arc<SystemClock>, &SetOnce<Arc<Gatekeeper>>),
) -> anyhow::Result<Arc<Gatekeeper>> {
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let pepper = match &config.pepper {
        Some(reference) => secret(reference).context("[auth] pepper")?,
        None => own_pepper(&data.join(PEPPER_FILE), rng.as_ref())?,
    };
    let pepper = Pepper::new(&pepper).context("[auth] pepper")?;
    let bootstrap = bootstrap_key(config)?;
    let issuers = issuers(config, outbound, clock)?;
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let keeper = Gatekeeper::new(Parts { store, clock, rng, pepper, bootstrap, issuers }).await;
    let keeper = keeper.context("the keys could not be read, and without them nobody can be let in")?;
    let keeper = Arc::new(keeper);
    // From here on requests are let in, or not. A second one would be a mistake of ours, and the first one stays.
    let _ = place.set(Arc::clone(&keeper));
    Ok(keeper)
}

/// Those who sign tokens; their keys are fetched when the first token comes.
fn issuers(
    config: &access::Config,
    outbound: &outbound::Client,
    clock: &Arc<SystemClock>,
) -> anyhow::Result<Vec<Issuer>> {
    let issuer = |(name, config): (&String, &issuer::Config)| {
        let at = config.jwks_uri.find("://").map_or(0, |scheme| scheme + 3);
        let at = config
            .jwks_uri
            .get(at..)
            .and_then(|rest| rest.find('/'))
            .map_or(config.jwks_uri.len(), |path| at + path);
        let (base_url, path) = config.jwks_uri.split_at(at);
        let origin =
            OriginConfig { base_url: base_url.to_owned(), allow_private: config.allow_private, secret: None };
        let origin = outbound.origin(&origin).map_err(|error| {
            let reason = error.to_string().replace("base_url", "jwks_uri");
            anyhow::anyhow!("[auth.issuers.{name}] {reason}")
        })?;
        let source = Published { origin, path: path.to_owned(), clock: Arc::clone(clock) };
        Issuer::new(name.clone(), config.clone(), Box::new(source))
            .map_err(|(key, reason)| anyhow::anyhow!("[auth.issuers.{name}] {key}: {reason}"))
    };
    config.issuers.iter().map(issuer).collect()
}

/// The document with an issuer's keys: fetched as calls of providers are, with no redirect and no private address.
struct Published {
    origin: Origin,
    path: String,
    clock: Arc<SystemClock>,
}

/// A request with a token waits so long for the keys at most.
const FETCH_MAX: Duration = Duration::from_secs(5);
/// Bytes of the document.
const DOCUMENT_MAX: usize = 256 << 10;

impl KeySource for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let deadline = self.clock.now().after(FETCH_MAX);
            let response = self.origin.send(Request::get(&self.path), deadline).await;
            let response = response.map_err(|error| error.to_string())?;
            if !response.status.is_success() {
                return Err(format!("it answered with status {}", response.status));
            }
            let body = response.body.whole(DOCUMENT_MAX, deadline).await;
            body.map(|body| body.to_vec()).map_err(|error| error.to_string())
        })
    }
}

/// The key that the configuration names.
pub(crate) fn bootstrap_key(config: &access::Config) -> anyhow::Result<Option<Secret>> {
    let Some(reference) = &config.bootstrap_key else { return Ok(None) };
    let key = secret(reference).context("[auth] bootstrap_key")?;
    let is_long = key.expose().len() >= BOOTSTRAP_BYTES_MIN;
    ensure!(
        is_long,
        "[auth] bootstrap_key: a key has {BOOTSTRAP_BYTES_MIN} letters at least; make one with `openssl rand -hex 32`"
    );
    let is_text = key.expose().bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(is_text, "[auth] bootstrap_key: a key is one word of letters that a header can carry");
    Ok(Some(key))
}

fn secret(reference: &str) -> anyhow::Result<Secret> {
    Ok(SystemSecrets.resolve(&SecretRef::parse(reference)?)?)
}

/// The pepper in the data folder; made when there is none, readable by its owner only.
fn own_pepper(path: &Path, rng: &dyn Rng) -> anyhow::Result<Secret> {
    let shown = || path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => return Ok(Secret::new(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("could not read the pepper {}", shown())),
    }
    let made = Pepper::make(rng);
    write_whole(path, made.expose()).with_context(|| format!("could not write the pepper {}", shown()))?;
    Ok(made)
}

/// Whole or not at all: a pepper that was cut by a full disk would make all keys useless once there is room again.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_pepper_is_made_once_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().join("pepper");
        let made = own_pepper(&path, &SystemRng).expect("made");
        assert_eq!(own_pepper(&path, &SystemRng).expect("read"), made);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = own_pepper(&data.path().join("other"), &SystemRng).expect("made");
        assert_ne!(other, made);
        assert_eq!(std::fs::read_dir(data.path()).expect("a folder").count(), 2, "nothing else is left");
    }

    #[test]
    fn a_bootstrap_key_that_could_be_guessed_is_refused() {
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().join("key");
        for (text, want) in [
            (&"k".repeat(32), true),
            (&"k".repeat(31), false),
            (&format!("{} x", "k".repeat(40)), false),
            (&"ü".repeat(40), false),
        ] {
            std::fs::write(&path, text).expect("written");
            let bootstrap_key = Some(format!("file::{}", path.display()));
            let config = access::Config { bootstrap_key, ..access::Config::default() };
            assert_eq!(super::bootstrap_key(&config).is_ok(), want, "{text}");
        }
    }
}
