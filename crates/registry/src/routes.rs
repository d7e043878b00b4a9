//! The catalogue and the routes: `[models]`, `[aliases]`, `[defaults]` and `[routes]` of `mainstay.toml`.
//!
//! Reading order: this file (the settings and the catalogue), [`section`] (a route as it is written), [`ladder`] (the
//! same checked, with its tiers and targets).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::cache::Rules;
use domain::id::{ModelId, ProviderName, RegionName, RouteName};
use domain::model::{Model, Quality, Route};
use domain::residency::Place;
use serde::Deserialize;

use crate::caching::{self, RelayCacheConfig};
use crate::catalogue::{CapabilityName, Catalogue, PriceConfig};
use crate::clients::AGENT_PREFIX;

mod ladder;
mod section;

pub(crate) use ladder::target_of;
pub use section::{
    AssuredName, HedgeName, OverridesConfig, PreferName, RouteConfig, StickyName, StrategyName, TakesName,
    TargetConfig, TierConfig, TierName,
};

/// Settings of one catalogue entry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Takes what `catalogue.toml` says of another model, as `"openai/gpt-4o-mini"` for a deployment with a name of its
    /// own. When left out, what it says of the model of this name, if anything.
    pub like: Option<String>,
    /// US dollars for each million input tokens, in the place of the catalogue's prices. A model without prices is
    /// reported as unpriced.
    pub price_input_per_million: Option<f64>,
    /// US dollars for each million output tokens.
    pub price_output_per_million: Option<f64>,
    /// US dollars for each million input tokens read from the provider's cache; else as input.
    pub price_cached_input_per_million: Option<f64>,
    /// US dollars for each million input tokens written to the provider's cache; else as input.
    pub price_cache_write_per_million: Option<f64>,
    /// US dollars for each million input tokens written to the provider's cache for its longer time (an hour at
    /// Anthropic, twelve at OpenAI); else as `price_cache_write_per_million`.
    pub price_cache_write_hour_per_million: Option<f64>,
    /// US dollars for each million output tokens that the model says to itself; else as output.
    pub price_reasoning_per_million: Option<f64>,
    /// The day the prices were read.
    pub price_as_of: Option<toml::value::Datetime>,
    /// Prices by day and for long prompts, in the form of `catalogue.toml` and in the place of its own.
    pub prices: Vec<PriceConfig>,
    /// Context window in tokens.
    pub context: Option<u32>,
    /// Most tokens of an answer.
    pub output_max: Option<u32>,
    /// What it can do.
    pub capabilities: Option<Vec<CapabilityName>>,
    /// The first day on which its provider does not serve it any more.
    pub end_of_life: Option<toml::value::Datetime>,
    /// A call whose first text takes longer than this many milliseconds counts as slow for the breaker. Unset, calls
    /// are never slow; models that Mainstay runs itself have none.
    pub slow_ms: Option<u64>,
    /// How good its answers were found to be, 0 to 100, for tiers with `strategy = "quality_floor"`. A model that nobody
    /// measured is below every floor.
    pub quality: Option<u8>,
    /// Which answers to requests for it by its own name are given again. Without it, none.
    pub cache: Option<RelayCacheConfig>,
}

/// What serves when nothing is named.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DefaultsConfig {
    /// The agent of `/query` without one, and of unknown use cases.
    pub agent: String,
    /// What an unknown use case gets.
    pub unknown_use_case: UnknownUseCase,
}

impl Default for DefaultsConfig {
    fn default() -> Self {
        Self { agent: "general".to_owned(), unknown_use_case: UnknownUseCase::Default }
    }
}

/// What an unknown use case gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownUseCase {
    /// The default agent; the reply says which.
    Default,
    /// An error that lists the known ones.
    Reject,
}

/// The four sections together, as `mainstay.toml` gives them.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[models]`.
    pub models: BTreeMap<String, ModelConfig>,
    /// `[aliases]`: names that clients send → routes.
    pub aliases: BTreeMap<String, String>,
    /// `[defaults]`.
    pub defaults: DefaultsConfig,
    /// `[routes]`.
    pub routes: BTreeMap<String, RouteConfig>,
    /// `[providers]`, as far as routes go; `embedded` always is one.
    pub providers: BTreeMap<String, ProviderPlaces>,
    /// What is known of models beside.
    pub catalogue: Catalogue,
    /// What each of them speaks, as its `kind` says.
    pub kinds: BTreeMap<String, &'static str>,
}

/// Where a provider is.
#[derive(Debug, Clone, Default)]
pub struct ProviderPlaces {
    /// Every place where it may process requests; empty when nobody said.
    pub residency: Vec<String>,
    /// The regions that its settings name, each with the places where it may process requests.
    pub regions: BTreeMap<String, Vec<String>>,
    /// Whether it has others beside.
    pub other_regions: OtherRegions,
}

/// Whether a provider has regions that its settings do not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtherRegions {
    /// It has not.
    #[default]
    None,
    /// It knows its own by name, as Bedrock does.
    Known,
}

/// The provider name of models that Mainstay runs itself.
pub const EMBEDDED: &str = "embedded";

/// The catalogue and the routes, checked.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// Models by id.
    pub models: BTreeMap<ModelId, Model>,
    /// Routes by name.
    pub routes: BTreeMap<RouteName, Route>,
    /// Names that clients send → routes.
    pub aliases: BTreeMap<String, RouteName>,
    /// What is known of models and providers beside.
    pub(crate) facts: Facts,
}

/// What a target takes from its model and its provider.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// From when a call of a model counts as slow, for those that say.
    slow: BTreeMap<ModelId, Duration>,
    /// Where providers and their regions may process requests, for those that say.
    places: BTreeMap<(ProviderName, Option<RegionName>), BTreeSet<Place>>,
    /// Which answers of a model are given again, for those that say.
    pub(crate) cached: BTreeMap<ModelId, Rules>,
}

impl Routes {
    /// Checks the settings; every reason names the section it is about.
    ///
    /// # Errors
    /// All reasons found.
    pub fn build(settings: &Settings) -> Result<Self, Vec<String>> {
        let mut reasons = Vec::new();
        let mut routes = Self::default();
        for (id, model) in &settings.models {
            match catalogue_entry(id, model, settings) {
                Ok(entry) => drop(routes.models.insert(entry.id.clone(), entry)),
                Err(reason) => reasons.push(reason),
            }
            match caching::of_relay(model.cache) {
                Ok(rules) => {
                    routes.facts.cached.extend(rules.map(|rules| (ModelId::from(id.as_str()), rules)))
                }
                Err(reason) => reasons.push(format!("[models.\"{id}\"] {reason}")),
            }
            match slow(id, model.slow_ms) {
                Ok(slow) => routes.facts.slow.extend(slow.map(|slow| (ModelId::from(id.as_str()), slow))),
                Err(reason) => reasons.push(format!("[models.\"{id}\"] slow_ms: {reason}")),
            }
        }
        for (name, provider) in &settings.providers {
            match places(name, provider) {
                Ok(places) => routes.facts.places.extend(places),
                Err(reason) => reasons.push(reason),
            }
        }
        for (name, config) in &settings.routes {
            match ladder::route(name, config, (settings, &routes.facts)) {
                Ok(route) => drop(routes.routes.insert(route.name.clone(), route)),
                Err(reason) => reasons.push(format!("[routes.{name}]: {reason}")),
            }
        }
        reasons.extend(in_two_places(&routes.routes));
        for (alias, target) in &settings.aliases {
            if alias.trim().is_empty() || alias.starts_with(AGENT_PREFIX) {
                let reason =
                    "clients cannot send this name: it must not be empty, and `agent:` leads to agents";
                reasons.push(format!("[aliases] \"{alias}\": {reason}"));
            } else if settings.routes.contains_key(target) {
                routes.aliases.insert(alias.clone(), RouteName::from(target.as_str()));
            } else {
                reasons.push(format!("[aliases] \"{alias}\": there is no route `{target}`"));
            }
        }
        if reasons.is_empty() { Ok(routes) } else { Err(reasons) }
    }
}

fn catalogue_entry(id: &str, config: &ModelConfig, settings: &Settings) -> Result<Model, String> {
    let id = ModelId::from(id);
    check_provider(&id, settings).map_err(|reason| format!("[models.\"{id}\"]: {reason}"))?;
    let wrong = |reason: String| format!("[models.\"{}\"] {reason}", id.as_str());
    let quality = match config.quality {
        Some(quality) if quality > 100 => return Err(wrong("quality: must be 0 to 100".to_owned())),
        quality => quality.map(Quality),
    };
    let model = settings.catalogue.model(id.clone(), config).map_err(wrong)?;
    Ok(Model { quality, ..model })
}

fn check_provider(id: &ModelId, settings: &Settings) -> Result<(), String> {
    let provider = id.provider();
    if !id.as_str().contains('/') || id.name_at_provider().is_empty() {
        return Err(format!("write the model as `<provider>/<model>`, not `{id}`"));
    }
    if provider != EMBEDDED && !settings.providers.contains_key(provider) {
        return Err(format!("there is no provider `{provider}`; add [providers.{provider}]"));
    }
    Ok(())
}

/// Where a provider and its regions may process requests.
type Places = Vec<((ProviderName, Option<RegionName>), BTreeSet<Place>)>;

fn places(name: &str, provider: &ProviderPlaces) -> Result<Places, String> {
    let read = |section: String, region: Option<&str>, names: &[String]| {
        let places = Place::parse_all(names.iter().map(String::as_str));
        let places = places.map_err(|error| format!("[{section}] residency: {error}"))?;
        Ok(((ProviderName::from(name), region.map(RegionName::from)), places))
    };
    let own = read(format!("providers.{name}"), None, &provider.residency);
    let regions = provider
        .regions
        .iter()
        .map(|(region, names)| read(format!("providers.{name}.regions.{region}"), Some(region), names));
    std::iter::once(own).chain(regions).collect()
}

/// Targets of which two routes say different places.
fn in_two_places(routes: &BTreeMap<RouteName, Route>) -> Vec<String> {
    let mut known = BTreeMap::new();
    let mut reasons = Vec::new();
    for route in routes.values() {
        for target in route.tiers.iter().flat_map(|tier| &tier.targets) {
            if known.entry(&target.id).or_insert(&target.places) != &&target.places {
                let reason = format!("`{}` has another residency than in another route", target.id);
                reasons.push(format!("[routes.{}]: {reason}", route.name));
            }
        }
    }
    reasons
}

/// Ten minutes: no call may take longer.
const SLOW_MS_MAX: u64 = 600_000;

fn slow(id: &str, slow_ms: Option<u64>) -> Result<Option<Duration>, String> {
    let Some(slow_ms) = slow_ms else { return Ok(None) };
    if ModelId::from(id).provider() == EMBEDDED {
        return Err("a model that Mainstay runs itself takes the time that this machine needs".to_owned());
    }
    match (1..=SLOW_MS_MAX).contains(&slow_ms) {
        true => Ok(Some(Duration::from_millis(slow_ms))),
        false => Err(format!("must be 1 to {SLOW_MS_MAX}")),
    }
}

#[cfg(test)]
mod tests;
