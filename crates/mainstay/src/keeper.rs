//! The gatekeeper of the server: its pepper, its bootstrap key, and the keys of its store.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use access::gatekeeper::{Gatekeeper, Parts};
use access::pepper::Pepper;
use anyhow::{Context, ensure};
use domain::ports::{Clock, Keys, Rng, Secrets};
use domain::secret::{Secret, SecretRef};

use crate::clock::{SystemClock, SystemRng};
use crate::config::SystemSecrets;

/// Where the pepper lies in the data folder, unless the configuration names another place.
const PEPPER_FILE: &str = "pepper";
/// Shorter ones could be guessed.
const BOOTSTRAP_BYTES_MIN: usize = 32;

/// Reads the keys.
pub(crate) async fn open(
    config: &access::Config,
    data: &Path,
    store: Arc<dyn Keys>,
    clock: Arc<SystemClock>,
) -> anyhow::Result<Arc<Gatekeeper>> {
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);
    let pepper = match &config.pepper {
        Some(reference) => secret(reference).context("[auth] pepper")?,
        None => own_pepper(&data.join(PEPPER_FILE), rng.as_ref())?,
    };
    let pepper = Pepper::new(&pepper).context("[auth] pepper")?;
    let bootstrap = bootstrap_key(config)?;
    let clock: Arc<dyn Clock> = clock;
    let keeper = Gatekeeper::new(Parts { store, clock, rng, pepper, bootstrap }).await;
    let keeper = keeper.context("the keys could not be read, and without them nobody can be let in")?;
    Ok(Arc::new(keeper))
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
