//! `catalogue.toml`: what is known of the models of well-known providers: prices by day, limits, abilities, lifecycle.
//!
//! Data, not code: it is part of the configuration folder, and `[models]` of `mainstay.toml` overrides it key by key.

use std::collections::BTreeMap;

use domain::hex;
use domain::id::ModelId;
use domain::model::{Capability, Lifecycle, Model, PriceList, Prices};
use domain::money::Nanos;
use domain::price::{LongPrompts, PriceVersion, Rates};
use domain::time::Day;
use domain::token::TokenCount;
use serde::Deserialize;
use sha2::{Digest, Sha256};

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

/// What a model costs in some days, in US dollars for each million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// The day the prices were read.
    pub as_of: toml::value::Datetime,
    /// The first day on which they hold; when left out, they always did.
    pub from: Option<toml::value::Datetime>,
    /// The first day on which they hold no more.
    pub until: Option<toml::value::Datetime>,
    /// Prompt tokens.
    pub input: f64,
    /// Generated tokens. An embedding has none.
    #[serde(default)]
    pub output: f64,
    /// Prompt tokens read from the provider's cache; else as `input`.
    pub cached_input: Option<f64>,
    /// Prompt tokens written to the provider's cache; else as `input`.
    pub cache_write: Option<f64>,
    /// Prompt tokens written to the provider's cache for its longer time; else as `cache_write`.
    pub cache_write_hour: Option<f64>,
    /// Generated tokens that the model says to itself; else as `output`.
    pub reasoning: Option<f64>,
    /// Other prices for calls with long prompts; they hold for all tokens of such a call.
    pub long: Option<LongConfig>,
}

/// What calls with long prompts cost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongConfig {
    /// A prompt of more tokens than this is long.
    pub over: u32,
    /// As above.
    pub input: f64,
    /// As above.
    #[serde(default)]
    pub output: f64,
    /// As above.
    pub cached_input: Option<f64>,
    /// As above.
    pub cache_write: Option<f64>,
    /// As above.
    pub cache_write_hour: Option<f64>,
    /// As above.
    pub reasoning: Option<f64>,
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
        self.models.iter().filter_map(wrong).collect()
    }

    /// The model `id` with the settings it has in `mainstay.toml` laid over what the catalogue knows of it.
    pub(crate) fn model(&self, id: ModelId, config: &ModelConfig) -> Result<Model, String> {
        let known = match &config.like {
            None => self.models.get(id.as_str()).map(known).transpose()?.unwrap_or_default(),
            Some(like) => match self.models.get(like) {
                Some(entry) => known(entry)?,
                None => return Err(format!("like: `{like}` is not in {CATALOGUE_FILE}")),
            },
        };
        let own = own_prices(config)?;
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
        prices: price_list(&entry.prices)?,
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

/// The prices that stand in `mainstay.toml`, in one of their two forms.
fn own_prices(config: &ModelConfig) -> Result<PriceList, String> {
    let parts = [
        config.price_cached_input_per_million,
        config.price_cache_write_per_million,
        config.price_cache_write_hour_per_million,
        config.price_reasoning_per_million,
    ];
    match (config.price_input_per_million, config.price_output_per_million) {
        (None, None) if parts.iter().all(Option::is_none) => price_list(&config.prices),
        (Some(input), Some(output)) if config.prices.is_empty() => {
            let [cached_input, cache_write, cache_write_hour, reasoning] = parts;
            let given = Given { input, output, cached_input, cache_write, cache_write_hour, reasoning };
            let rates = given.rates("price_", "_per_million")?;
            Ok(versioned(date("price_as_of", config.price_as_of)?, (None, None), (rates, None)).into())
        }
        (Some(_), Some(_)) => Err("give prices or price_…_per_million, not both".to_owned()),
        _ => Err("give both price_input_per_million and price_output_per_million, or neither".to_owned()),
    }
}

fn price_list(configs: &[PriceConfig]) -> Result<PriceList, String> {
    let prices = configs.iter().map(prices).collect::<Result<Vec<_>, _>>()?;
    for (n, one) in prices.iter().enumerate() {
        let overlaps = |other: &Prices| {
            let begins_before_end = |a: Option<Day>, b: Option<Day>| a.zip(b).is_none_or(|(a, b)| a < b);
            begins_before_end(one.from, other.until) && begins_before_end(other.from, one.until)
        };
        if prices.iter().skip(n + 1).any(overlaps) {
            return Err("prices: two of them hold on the same day".to_owned());
        }
    }
    Ok(PriceList(prices))
}

fn prices(config: &PriceConfig) -> Result<Prices, String> {
    let (from, until) = (date("from", config.from)?, date("until", config.until)?);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return Err("prices: `from` must be before `until`".to_owned());
    }
    let given = Given {
        input: config.input,
        output: config.output,
        cached_input: config.cached_input,
        cache_write: config.cache_write,
        cache_write_hour: config.cache_write_hour,
        reasoning: config.reasoning,
    };
    let long = config.long.as_ref().map(|long| {
        let given = Given {
            input: long.input,
            output: long.output,
            cached_input: long.cached_input,
            cache_write: long.cache_write,
            cache_write_hour: long.cache_write_hour,
            reasoning: long.reasoning,
        };
        Ok::<_, String>(LongPrompts { over: TokenCount(long.over), rates: given.rates("long.", "")? })
    });
    let as_of = date("as_of", Some(config.as_of))?;
    Ok(versioned(as_of, (from, until), (given.rates("", "")?, long.transpose()?)))
}

/// Prices with a name that changes whenever they do.
fn versioned(
    as_of: Option<Day>,
    (from, until): (Option<Day>, Option<Day>),
    (rates, long): (Rates, Option<LongPrompts>),
) -> Prices {
    // The text is made of numbers and days only, so that it is the same wherever it is made.
    let day = |day: Option<Day>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
    let numbers = |rates: &Rates| {
        [
            rates.input_per_million,
            rates.output_per_million,
            rates.cached_input_per_million,
            rates.cache_write_per_million,
            rates.cache_write_hour_per_million,
            rates.reasoning_per_million,
        ]
        .map(|price| price.0.to_string())
        .join(",")
    };
    let long_text = long.map_or_else(String::new, |long| format!("{}:{}", long.over.0, numbers(&long.rates)));
    let text = format!("{};{};{};{long_text}", day(from), day(until), numbers(&rates));
    let digest = Sha256::digest(text.as_bytes());
    let hash = hex::of(digest.get(..4).unwrap_or_default());
    let as_of = as_of.map_or_else(|| "undated".to_owned(), |day| day.to_string());
    Prices { version: PriceVersion::new(format!("{as_of}:{hash}")), from, until, rates, long }
}

/// Prices as written.
struct Given {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    cache_write_hour: Option<f64>,
    reasoning: Option<f64>,
}

impl Given {
    fn rates(&self, before: &str, after: &str) -> Result<Rates, String> {
        let nanos = |name: &str, usd: f64| {
            price_nanos(usd).ok_or_else(|| {
                format!("{before}{name}{after}: {usd} is no price (0, or 0.000000001 to 1,000,000 USD)")
            })
        };
        let or = |name: &str, usd: Option<f64>, other: Nanos| usd.map_or(Ok(other), |usd| nanos(name, usd));
        let (input, output) = (nanos("input", self.input)?, nanos("output", self.output)?);
        let cache_write = or("cache_write", self.cache_write, input)?;
        Ok(Rates {
            input_per_million: input,
            output_per_million: output,
            cached_input_per_million: or("cached_input", self.cached_input, input)?,
            cache_write_per_million: cache_write,
            cache_write_hour_per_million: or("cache_write_hour", self.cache_write_hour, cache_write)?,
            reasoning_per_million: or("reasoning", self.reasoning, output)?,
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded to 10^15 the line before, far inside i64")]
fn price_nanos(usd: f64) -> Option<Nanos> {
    let nanos = (0.0..=1_000_000.0).contains(&usd).then(|| Nanos((usd * 1e9).round() as i64));
    // What is too little to be counted is not free.
    nanos.filter(|nanos| nanos.0 > 0 || usd == 0.0)
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

    #[test]
    fn a_price_is_counted_or_refused() {
        for (usd, want) in [
            (0.0, Some(0)),
            (1e-9, Some(1)),
            (1e-10, None),
            (0.15, Some(150_000_000)),
            (-1.0, None),
            (1e7, None),
            (f64::NAN, None),
        ] {
            assert_eq!(price_nanos(usd), want.map(Nanos), "{usd}");
        }
    }
}
