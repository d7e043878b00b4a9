//! A configuration folder, read and checked whole: settings, catalogue, agents, routes and knowledge fit together.

use domain::id::CollectionName;
use embedded::catalogue::{Catalogue, CatalogueError};
use knowledge::{LoadError, SourceFile};
use registry::catalogue::CATALOGUE_FILE;
use registry::folder::{Folder, toml_problem};
use registry::problem::{Problem, Problems};
use registry::routes::{EMBEDDED, OtherRegions, ProviderPlaces, Settings};
use registry::snapshot::{BuildSettings, Snapshot};

use super::layers::Layers;
use super::read_once::ReadOnce;
use super::{Config, EMBEDDED_MODELS_FILE, SETTINGS_FILE, validity};

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
pub(super) fn settings(folder: &Folder, environment: Option<&str>) -> Result<Config, Problems> {
    checked(&Layers::read(folder, environment)?)
}

fn checked(layers: &Layers<'_>) -> Result<Config, Problems> {
    let config: Config = layers.settings()?;
    validity::check(&config, layers)?;
    Ok(config)
}

/// Checks a folder whole for `environment`: this is the exact path that serving takes.
pub(super) fn load(folder: Folder, environment: Option<&str>) -> Result<Loaded, Problems> {
    let layers = Layers::read(&folder, environment)?;
    let config = checked(&layers)?;
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
}
