//! Configuration: `mainstay.toml` with each crate's section joined.
//!
//! Reading order: this file (the settings and their check), [`source`] (where the folder is), [`layers`] (overlays), [`validity`] (what
//! no server can serve with), [`read_once`] (what is read at the start alone), [`secrets`] (the environment, which nothing else reads).

mod layers;
mod read_once;
mod secrets;
mod source;
mod validity;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::id::CollectionName;
use embedded::catalogue::{Catalogue, CatalogueError};
use knowledge::{LoadError, SourceFile};
use registry::catalogue::CATALOGUE_FILE;
use registry::folder::{Folder, toml_problem};
use registry::problem::{Problem, Problems};
use registry::routes::{
    DefaultsConfig, EMBEDDED, ModelConfig, OtherRegions, ProviderPlaces, RouteConfig, Settings,
};
use registry::snapshot::{BuildSettings, Snapshot};
use resilience::InvalidSetting;
use serde::Deserialize;

use layers::Layers;
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

/// A configuration folder, read and checked.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// As the folder has it, whatever the command line says.
    pub(crate) read_once: ReadOnce,
    pub(crate) folder: Folder,
    pub(crate) snapshot: Snapshot,
    pub(crate) catalogue: Catalogue,
}

/// The settings alone, for `environment`: what is needed before the folder is checked whole.
fn settings(folder: &Folder, environment: Option<&str>) -> Result<Config, Problems> {
    let layers = Layers::read(folder, environment)?;
    let config: Config = layers.settings()?;
    validity::check(&config, &layers)?;
    Ok(config)
}

/// Checks a folder whole for `environment`: this is the exact path that serving takes.
fn load(folder: Folder, environment: Option<&str>) -> Result<Loaded, Problems> {
    let config = settings(&folder, environment)?;
    let layers = Layers::read(&folder, environment)?;
    let text = folder.text(EMBEDDED_MODELS_FILE)?;
    let catalogue = Catalogue::parse(text).map_err(|error| catalogue_problem(text, &error))?;
    if let Err(reason) = check_embedded_model(&catalogue, &config.embedded.model) {
        return Err(layers.problem(&["embedded", "model"], format!("[embedded] model: {reason}")).into());
    }
    let mut models = config.models.clone();
    // The sentence encoder can be named like any other model.
    if let Some(name) = &catalogue.embedder {
        models.entry(format!("{EMBEDDED}/{name}")).or_default();
    }
    let settings = BuildSettings {
        routes: Settings {
            models,
            aliases: config.aliases.clone(),
            defaults: config.defaults.clone(),
            routes: config.routes.clone(),
            providers: config.providers.iter().map(places).collect(),
            kinds: config
                .providers
                .iter()
                .map(|(name, provider)| (name.clone(), provider.kind.name()))
                .collect(),
            ..Settings::default()
        },
        file: SETTINGS_FILE.to_owned(),
        session_ttl: config.sessions.ttl,
    };
    let mut built = folder.clone();
    if !built.contains(CATALOGUE_FILE) {
        // A folder of its own need not keep up with prices.
        built.insert_shipped(CATALOGUE_FILE, crate::files::CATALOGUE);
    }
    if let Some(environment) = environment {
        // No file of a folder has this name. With it, one folder is another snapshot in each environment.
        built.insert(".environment", environment.as_bytes());
    }
    let snapshot = Snapshot::build(&built, &settings).map_err(|problems| layers.located(problems))?;
    for collection in snapshot.collections() {
        let files = collection_files(&folder, &collection);
        knowledge::library::check(&collection, &files)
            .map_err(|error| knowledge_problem(&collection, &error))?;
    }
    let read_once = ReadOnce::of(&config);
    Ok(Loaded { config, read_once, folder, snapshot, catalogue })
}

/// What routes must know of a provider.
fn places((name, provider): (&String, &providers::Config)) -> (String, ProviderPlaces) {
    let region = |(name, region): (&String, &providers::config::RegionConfig)| {
        (name.clone(), region.residency.clone())
    };
    let places = ProviderPlaces {
        residency: provider.residency.clone(),
        regions: provider.regions.iter().map(region).collect(),
        other_regions: match provider.has_all_regions() {
            true => OtherRegions::Known,
            false => OtherRegions::None,
        },
    };
    (name.clone(), places)
}

/// The files of a collection of knowledge.
pub(crate) fn collection_files(folder: &Folder, collection: &CollectionName) -> Vec<SourceFile> {
    let prefix = format!("knowledge/{collection}/");
    let file = |(path, bytes): (&str, &[u8])| SourceFile {
        path: path.strip_prefix(&prefix).unwrap_or(path).to_owned(),
        bytes: bytes.to_vec(),
    };
    folder.under(&prefix).map(file).collect()
}

fn knowledge_problem(collection: &CollectionName, error: &LoadError) -> Problem {
    match error {
        LoadError::Extract(error) => Problem {
            file: format!("knowledge/{collection}/{}", error.file),
            line: Some(error.line),
            reason: error.reason.to_string(),
        },
        _ => Problem::of_file(format!("knowledge/{collection}"), error.to_string()),
    }
}

fn catalogue_problem(text: &str, error: &CatalogueError) -> Problem {
    match error {
        CatalogueError::Syntax(error) => toml_problem(EMBEDDED_MODELS_FILE, text, error),
        CatalogueError::Model { model, .. } => {
            let offset = text.find(&format!("\"{model}\"")).unwrap_or(0);
            Problem::at(EMBEDDED_MODELS_FILE, text, offset, error.to_string())
        }
    }
}

fn check_embedded_model(catalogue: &Catalogue, name: &str) -> Result<(), String> {
    let is_chat = |model: &embedded::catalogue::Model| model.kind == embedded::catalogue::Kind::Chat;
    if ["auto", "none"].contains(&name) || catalogue.model(name).is_some_and(is_chat) {
        return Ok(());
    }
    let chats = catalogue.models.iter().filter(|(_, model)| is_chat(model)).map(|(name, _)| name.as_str());
    let known = chats.collect::<Vec<_>>().join(", ");
    Err(format!(
        "`{name}` is no chat model of {EMBEDDED_MODELS_FILE}; write `auto`, `none` or one of {known}"
    ))
}

impl Loaded {
    /// Takes the embedded model named on the command line in place of the configured one.
    pub(crate) fn choose_model(&mut self, name: &str) -> anyhow::Result<()> {
        check_embedded_model(&self.catalogue, name).map_err(|reason| anyhow::anyhow!("--model: {reason}"))?;
        self.config.embedded.model = name.to_owned();
        Ok(())
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
    use crate::files;

    fn with(path: &str, text: &str) -> Result<Loaded, Problems> {
        let mut folder = files::shipped();
        folder.insert(path, text.as_bytes());
        load(folder, None)
    }

    #[test]
    fn the_shipped_folder_is_valid() {
        let loaded = load(files::shipped(), None).unwrap_or_else(|problems| panic!("{problems}"));
        let mut names: Vec<_> = loaded.snapshot.agents.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let want = [
            "account_inquiry",
            "compliance",
            "finance_deep",
            "general",
            "personalized_outreach",
            "product_question",
        ];
        assert_eq!(names, want);
        let calibration = loaded.snapshot.intents.calibration();
        assert!(calibration.ece <= 0.15, "intents are badly calibrated: {calibration:?}");
    }

    #[test]
    fn every_use_case_has_a_compliant_static_answer() {
        let loaded = load(files::shipped(), None).unwrap_or_else(|problems| panic!("{problems}"));
        let contact = &loaded.snapshot.contact;
        for (name, serving) in &loaded.snapshot.agents {
            let degraded = &serving.loaded.degraded;
            for part in [&contact.phone, &contact.web, &contact.email] {
                assert!(degraded.contains(part.as_str()), "{name}: {part} is missing");
            }
            for part in ["FDIC", "Equal Housing Lender", "not financial advice"] {
                assert!(degraded.contains(part), "{name}: {part} is missing");
            }
        }
    }

    #[test]
    fn mistakes_in_the_settings_carry_their_line() {
        let route =
            "[[routes.standard.tiers]]\nname = \"embedded\"\ntargets = [{ model = \"embedded/default\" }]\n";
        for (text, line, want) in [
            ("schema = 2\n".to_owned(), Some(1), "schema 2"),
            (format!("schema = 1\n{route}[server]\nport = 1\n"), Some(6), "port"),
            (format!("schema = 1\n[storage]\nurl = \"mysql:x\"\n{route}"), Some(3), "sqlite:PATH"),
            (format!("schema = 1\n[embedded]\nmodel = \"gpt-9\"\n{route}"), Some(3), "gpt-9"),
            (format!("schema = 1\n[embedded]\nparallel = 0\n{route}"), Some(3), "1 to 16"),
            (format!("schema = 1\n[embedded]\nfetch_again = \"9ms\"\n{route}"), Some(3), "1s or more"),
            (
                format!(
                    "schema = 1\n{route}[providers.x]\nkind = \"openai\"\nbase_url = \"not an address\"\n"
                ),
                Some(5),
                "providers.x",
            ),
        ] {
            let problems = with(SETTINGS_FILE, &text).err().unwrap_or_else(|| panic!("accepted: {text}"));
            assert_eq!(problems.0[0].line, line, "{text}: {problems}");
            assert!(problems.to_string().contains(want), "{text}: {problems}");
        }
    }

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
