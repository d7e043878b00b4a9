//! `catalogue.toml`: what is known of the models of well-known providers: prices by day, limits, abilities, lifecycle.
//!
//! Data, not code: it is part of the configuration folder, and `[models]` of `mainstay.toml` overrides it key by key.
//!
//! Reading order: this file (the entries), `prices` (what they and `mainstay.toml` say of prices).

mod prices;

use std::collections::{BTreeMap, BTreeSet};

use domain::id::ModelId;
use domain::model::{Capability, Lifecycle, Model, PriceList};
use domain::time::Day;
use serde::Deserialize;

pub use self::prices::{LongConfig, PriceConfig};
use crate::routes::ModelConfig;

/// The file of the catalogue within its folder.
pub const CATALOGUE_FILE: &str = "catalogue.toml";

/// The catalogue.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Models by `<provider>/<model>`, as `[models]` of `mainstay.toml` names them when the provider has its usual name.
    #[serde(default)]
    pub models: BTreeMap<String, Entry>,
}

/// What is known of a model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// The page that says so.
    pub source: String,
    /// Its other names at its provider, as `anthropic/claude-sonnet-4-5` without the day.
    pub aliases: Vec<String>,
    /// What it costs; a model without prices is unpriced, which is not the same as free.
    pub prices: Vec<PriceConfig>,
    /// Context window in tokens.
    pub context: Option<u32>,
    /// Most tokens of an answer.
    pub output_max: Option<u32>,
    /// What it can do; when left out, that is not known.
    pub capabilities: Option<Vec<CapabilityName>>,
    /// The day since when it may be called.
    pub released: Option<toml::value::Datetime>,
    /// The day since when its provider advises against it.
    pub deprecated: Option<toml::value::Datetime>,
    /// The first day on which its provider does not serve it any more; `check` and `doctor` tell.
    pub end_of_life: Option<toml::value::Datetime>,
}

/// Something a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityName {
    /// Reads and writes text.
    Text,
    /// Reads images.
    Image,
    /// Calls tools.
    Tools,
    /// Answers in a given JSON schema.
    JsonSchema,
    /// Thinks before it answers.
    Reasoning,
    /// Turns texts into vectors.
    Embeddings,
}

impl From<CapabilityName> for Capability {
    fn from(name: CapabilityName) -> Self {
        match name {
            CapabilityName::Text => Self::Text,
            CapabilityName::Image => Self::Image,
            CapabilityName::Tools => Self::Tools,
            CapabilityName::JsonSchema => Self::JsonSchema,
            CapabilityName::Reasoning => Self::Reasoning,
            CapabilityName::Embeddings => Self::Embeddings,
        }
    }
}

impl Catalogue {
    /// What is wrong with it, each reason with its model.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let wrong = |(id, entry): (&String, &Entry)| {
            known(entry).err().map(|reason| format!("[models.\"{id}\"]: {reason}"))
        };
        let entries = self.models.iter().filter_map(wrong);
        let mut names: BTreeSet<&String> = self.models.keys().collect();
        let aliases =
            self.models.iter().flat_map(|(id, entry)| entry.aliases.iter().map(move |alias| (id, alias)));
        let twice = aliases.filter(|(_, alias)| !names.insert(alias));
        let twice = twice
            .map(|(id, alias)| format!("[models.\"{id}\"]: aliases: `{alias}` is another model's name, too"));
        entries.chain(twice).collect()
    }

    /// What is known of the model that is called so.
    fn entry(&self, name: &str) -> Option<&Entry> {
        let is_meant = |entry: &&Entry| entry.aliases.iter().any(|alias| alias == name);
        self.models.get(name).or_else(|| self.models.values().find(is_meant))
    }

    /// The model `id` with the settings it has in `mainstay.toml` laid over what the catalogue knows of it.
    pub(crate) fn model(&self, id: ModelId, config: &ModelConfig) -> Result<Model, String> {
        let known = match &config.like {
            None => self.entry(id.as_str()).map(known).transpose()?.unwrap_or_default(),
            Some(like) => match self.entry(like) {
                Some(entry) => known(entry)?,
                None => return Err(format!("like: `{like}` is not in {CATALOGUE_FILE}")),
            },
        };
        let own = prices::own(config)?;
        let lifecycle = Lifecycle {
            end_of_life: date("end_of_life", config.end_of_life)?.or(known.lifecycle.end_of_life),
            ..known.lifecycle
        };
        Ok(Model {
            prices: if own.0.is_empty() { known.prices } else { own },
            context: config.context.or(known.context),
            output_max: config.output_max.or(known.output_max),
            capabilities: config.capabilities.as_deref().map(abilities).or(known.capabilities),
            lifecycle,
            ..Model::unknown(id)
        })
    }
}

/// What an entry says, checked.
#[derive(Default)]
struct Known {
    prices: PriceList,
    context: Option<u32>,
    output_max: Option<u32>,
    capabilities: Option<Vec<Capability>>,
    lifecycle: Lifecycle,
}

fn known(entry: &Entry) -> Result<Known, String> {
    Ok(Known {
        prices: prices::list(&entry.prices)?,
        context: entry.context,
        output_max: entry.output_max,
        capabilities: entry.capabilities.as_deref().map(abilities),
        lifecycle: Lifecycle {
            released: date("released", entry.released)?,
            deprecated: date("deprecated", entry.deprecated)?,
            end_of_life: date("end_of_life", entry.end_of_life)?,
        },
    })
}

fn abilities(names: &[CapabilityName]) -> Vec<Capability> {
    let mut abilities: Vec<Capability> = names.iter().copied().map(Capability::from).collect();
    abilities.sort_unstable();
    abilities.dedup();
    abilities
}

/// A day, as `2026-11-21` stands in TOML.
fn date(name: &str, written: Option<toml::value::Datetime>) -> Result<Option<Day>, String> {
    let Some(written) = written else { return Ok(None) };
    let text = written.to_string();
    Day::parse(&text).map(Some).ok_or_else(|| format!("{name}: {text} is no day, as 2026-11-21"))
}

#[cfg(test)]
mod tests {
    use domain::model::Stage;
    use domain::money::Nanos;
    use domain::price::Rates;

    use super::*;

    const SHIPPED: &str = include_str!("../../../config/catalogue.toml");

    fn catalogue(text: &str) -> Catalogue {
        toml::from_str(text).expect("valid TOML")
    }

    fn model(catalogue: &Catalogue, id: &str, config: &str) -> Result<Model, String> {
        catalogue.model(ModelId::from(id), &toml::from_str::<ModelConfig>(config).expect("valid TOML"))
    }

    #[test]
    fn the_shipped_catalogue_is_sound() {
        let shipped = catalogue(SHIPPED);
        assert_eq!(shipped.problems(), Vec::<String>::new());
        for (id, entry) in &shipped.models {
            assert!(!entry.source.is_empty(), "{id} says where it is from");
            let model = model(&shipped, id, "").expect("sound");
            for prices in &model.prices.0 {
                assert!(!prices.is_free(), "{id}: nobody gives models away");
                let Rates { input_per_million: input, output_per_million: output, .. } = prices.rates;
                assert!(prices.rates.cached_input_per_million <= input, "{id}: a cache saves money");
                assert!(prices.rates.cache_write_per_million >= input, "{id}: filling it costs some");
                let embeds = model.capabilities.as_deref() == Some(&[Capability::Embeddings]);
                assert!(embeds || output >= input, "{id}: words cost more than reading");
            }
            let Lifecycle { released, deprecated, end_of_life } = model.lifecycle;
            let days: Vec<Day> = [released, deprecated, end_of_life].into_iter().flatten().collect();
            assert!(days.is_sorted(), "{id}: {days:?}");
        }
        for provider in ["openai", "anthropic", "gemini", "bedrock"] {
            let prefix = format!("{provider}/");
            assert!(shipped.models.keys().filter(|id| id.starts_with(&prefix)).count() >= 3, "{provider}");
        }
    }

    #[test]
    fn settings_are_laid_over_the_catalogue() {
        let known = catalogue(
            r#"
            [models."openai/a"]
            source = "a page"
            context = 100
            output_max = 10
            capabilities = ["tools", "text"]
            end_of_life = 2026-12-01
            prices = [{ as_of = 2026-11-21, input = 1.0, output = 2.0, cached_input = 0.1, until = 2027-01-01 },
                      { as_of = 2026-11-21, input = 3.0, output = 4.0, from = 2027-01-01, long = { over = 5, input = 6.0, output = 7.0 } }]
            "#,
        );
        let day = |text| Day::parse(text).expect("a day");
        let plain = model(&known, "openai/a", "").expect("known");
        assert_eq!((plain.context, plain.output_max), (Some(100), Some(10)));
        assert_eq!(plain.capabilities, Some(vec![Capability::Text, Capability::Tools]));
        assert_eq!(plain.lifecycle.stage(day("2026-12-01")), Stage::Ended);
        let now = plain.prices.on(day("2026-12-31")).expect("priced");
        let then = plain.prices.on(day("2027-01-01")).expect("priced");
        assert_eq!(now.rates.cached_input_per_million, Nanos(100_000_000));
        assert_eq!(then.long.expect("a second price").rates.input_per_million, Nanos(6_000_000_000));
        assert!(now.version.as_str().starts_with("2026-11-21:") && now.version != then.version);

        let own = "price_input_per_million = 0.5\nprice_output_per_million = 0.6\ncontext = 7\nend_of_life = 2028-01-01";
        let own = model(&known, "openai/a", own).expect("known");
        assert_eq!((own.context, own.output_max), (Some(7), Some(10)));
        assert_eq!(own.prices.0.len(), 1, "own prices take the place of all others");
        assert_eq!(own.prices.0[0].rates.cached_input_per_million, Nanos(500_000_000));
        assert_eq!(own.lifecycle.stage(day("2026-12-01")), Stage::Deprecated);

        let like = model(&known, "azure/chat", "like = \"openai/a\"").expect("known");
        assert_eq!((like.id.as_str(), &like.prices), ("azure/chat", &plain.prices));
        let unknown = model(&known, "azure/chat", "").expect("unknown is no mistake");
        assert_eq!(unknown, Model::unknown("azure/chat".into()));
    }

    #[test]
    fn a_model_is_known_by_its_other_names() {
        let known = catalogue(
            "[models.\"p/a-1\"]\naliases = [\"p/a\"]\ncontext = 7\n[models.\"p/b\"]\naliases = [\"p/a\", \"p/a-1\"]",
        );
        for (id, config) in [("p/a", ""), ("p/a-1", ""), ("azure/chat", "like = \"p/a\"")] {
            assert_eq!(model(&known, id, config).expect("known").context, Some(7), "{id}");
        }
        let want = ["p/a", "p/a-1"]
            .map(|name| format!("[models.\"p/b\"]: aliases: `{name}` is another model's name, too"));
        assert_eq!(known.problems(), want);
        let shipped = catalogue(SHIPPED);
        for name in ["opus", "sonnet", "haiku"] {
            let model = model(&shipped, &format!("anthropic/claude-{name}-4-5"), "").expect("known");
            assert!(!model.prices.0.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_version_names_what_the_prices_say() {
        let version = |text: &str| {
            let known = catalogue(&format!("[models.\"p/m\"]\nprices = [{{ as_of = 2026-11-21, {text} }}]"));
            model(&known, "p/m", "").expect("known").prices.0[0].version.clone()
        };
        let one = version("input = 1.0, output = 2.0");
        assert_eq!(one, version("input = 1.0, output = 2.0, cached_input = 1.0"), "the same prices");
        for other in [
            "input = 1.1, output = 2.0",
            "input = 1.0, output = 2.0, reasoning = 3.0",
            "input = 1.0, output = 2.0, until = 2027-01-01",
            "input = 1.0, output = 2.0, long = { over = 1, input = 1.0, output = 2.0 }",
        ] {
            assert_ne!(version(other), one, "{other}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (prices, want) in [
            ("{ as_of = 2026-11-21, input = -1.0 }", "input: -1 is no price"),
            ("{ as_of = 2026-11-21, input = 1.0, cached_input = 2e6 }", "cached_input: 2000000 is no price"),
            ("{ as_of = 2026-11-21T10:00:00Z, input = 1.0 }", "as_of: 2026-11-21T10:00:00Z is no day"),
            ("{ as_of = 2026-11-21, input = 1.0, from = 2027-01-01, until = 2026-01-01 }", "before `until`"),
            (
                "{ as_of = 2026-11-21, input = 1.0, until = 2027-01-02 }, { as_of = 2026-11-21, input = 2.0, from = 2027-01-01 }",
                "two of them hold on the same day",
            ),
        ] {
            let known = catalogue(&format!("[models.\"p/m\"]\nprices = [{prices}]"));
            let problems = known.problems();
            assert!(problems.len() == 1 && problems[0].contains(want), "{prices}: {problems:?}");
        }
        let none = Catalogue::default();
        for (config, want) in [
            ("like = \"p/x\"", "like: `p/x` is not in catalogue.toml"),
            ("price_input_per_million = 1.0", "or neither"),
            ("price_cached_input_per_million = 1.0", "or neither"),
            (
                "price_input_per_million = -1.0\nprice_output_per_million = 1.0",
                "price_input_per_million: -1 is no price",
            ),
            (
                "price_input_per_million = 1.0\nprice_output_per_million = 1.0\nprices = [{ as_of = 2026-11-21, input = 1.0 }]",
                "not both",
            ),
        ] {
            let error = model(&none, "p/m", config).expect_err(config);
            assert!(error.contains(want), "{config}: {error}");
        }
    }
}
