//! Configuration: `mainstay.toml` with each crate's section joined.
//!
//! Reading order: this file (the settings and their check), [`source`] (where the folder is), [`loaded`] (the folder, checked whole), [`layers`] (overlays), [`validity`] (what
//! no server can serve with), [`read_once`] (what is read at the start alone), [`secrets`] (the environment, which nothing else reads).

mod layers;
mod loaded;
mod read_once;
mod secrets;
mod source;
mod validity;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use registry::routes::{DefaultsConfig, ModelConfig, RouteConfig};
use resilience::InvalidSetting;
use serde::Deserialize;

pub(crate) use loaded::{Loaded, collection_files};
pub(crate) use read_once::ReadOnce;
pub(crate) use secrets::{SystemSecrets, environment};
pub(crate) use source::Source;

/// The file that holds the settings.
pub(crate) const SETTINGS_FILE: &str = "mainstay.toml";
/// The catalogue of models that Mainstay runs itself.
pub(crate) const EMBEDDED_MODELS_FILE: &str = "models.toml";
/// The version of the settings' grammar.
const SCHEMA: u32 = 1;

/// `mainstay.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Version of the grammar; 1.
    schema: u32,
    /// Where and how the server listens.
    #[serde(default)]
    pub(crate) server: api::server::Config,
    /// Who may ask.
    #[serde(default)]
    pub(crate) auth: access::Config,
    /// Where records are kept.
    #[serde(default)]
    pub(crate) storage: StorageConfig,
    /// How records are written.
    #[serde(default)]
    pub(crate) records: pipeline::parts::RecordsConfig,
    /// How much keys, tenants and the whole server may use.
    #[serde(default)]
    pub(crate) limits: access::limits::Config,
    /// What collectors of OpenTelemetry are told: see [observability.md](observability.md).
    #[serde(default)]
    pub(crate) telemetry: telemetry::Config,
    /// How much is kept of answers that are given again.
    #[serde(default)]
    pub(crate) cache: cache::Config,
    /// Conversations.
    #[serde(default)]
    pub(crate) sessions: SessionsConfig,
    /// The models that Mainstay runs itself.
    #[serde(default)]
    pub(crate) embedded: EmbeddedConfig,
    /// Breakers, retries and limits of calls.
    #[serde(default)]
    pub(crate) resilience: ResilienceConfig,
    /// Model providers by name.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, providers::Config>,
    /// The catalogue.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, ModelConfig>,
    /// Names that clients send → routes.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, String>,
    /// What serves when nothing is named.
    #[serde(default)]
    pub(crate) defaults: DefaultsConfig,
    /// Routes by name.
    #[serde(default)]
    pub(crate) routes: BTreeMap<String, RouteConfig>,
}

/// `[resilience]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResilienceConfig {
    /// When a target is no longer called.
    pub(crate) breaker: resilience::breaker::Config,
    /// How many calls a target may have at once; those too many go on to the next target.
    pub(crate) bulkhead: resilience::bulkhead::Config,
    /// How often and how long is tried.
    pub(crate) policy: resilience::policy::Config,
    /// How many requests a route takes on; the rest wait a moment or are turned away, the least urgent first.
    pub(crate) shedding: resilience::shedding::Config,
    /// The memory that this server may use.
    pub(crate) memory: resilience::memory::Config,
}

impl ResilienceConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.breaker.validate()?;
        self.bulkhead.validate()?;
        self.policy.validate()?;
        self.shedding.validate()?;
        self.memory.validate()
    }
}

/// `[storage]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StorageConfig {
    /// `sqlite:PATH`; a path that begins with `data/` lies in the data folder (`--data`).
    pub(crate) url: String,
    /// Bytes that the disk of the database should have free; with fewer, `/health/deep` calls the store `degraded`.
    pub(crate) free_bytes_min: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { url: "sqlite:data/mainstay.db".to_owned(), free_bytes_min: 256 << 20 }
    }
}

/// `[sessions]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionsConfig {
    /// How long a session lives after its last turn.
    #[serde(with = "resilience::duration_text")]
    pub(crate) ttl: Duration,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(24 * 3_600) }
    }
}

/// `[embedded]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EmbeddedConfig {
    /// `auto` (by the machine's memory), a name of `models.toml`, or `none`.
    pub(crate) model: String,
    /// Context window in tokens, 512 at least.
    pub(crate) context: u32,
    /// Threads of the worker, 512 at most; 0 means as many as other processes leave cores for, measured while it works, 8 at most.
    pub(crate) threads: u32,
    /// Answers that the model makes at once, 1 to 16; further ones wait. They share the context window.
    pub(crate) parallel: usize,
    /// At most so long after a failed fetch a model is fetched again (half of it at least); doubled for each further
    /// failure, up to 10 minutes.
    #[serde(with = "resilience::duration_text")]
    pub(crate) fetch_again: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            model: "auto".to_owned(),
            context: 4_096,
            threads: 0,
            parallel: embedded::supervisor::PARALLEL,
            fetch_again: Duration::from_secs(30),
        }
    }
}

/// The path of a `sqlite:` address; `data/…` lies in the data folder.
pub(crate) fn sqlite_path(url: &str, data: &Path) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:").filter(|path| !path.is_empty())?;
    Some(match path.strip_prefix("data/") {
        Some(rest) => data.join(rest),
        None => PathBuf::from(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_where_data_lies() {
        for (url, want) in [
            ("sqlite:data/mainstay.db", Some("/var/x/mainstay.db")),
            ("sqlite:/srv/a.db", Some("/srv/a.db")),
            ("postgres://db", None),
            ("sqlite:", None),
        ] {
            assert_eq!(sqlite_path(url, Path::new("/var/x")), want.map(PathBuf::from), "{url}");
        }
    }
}
