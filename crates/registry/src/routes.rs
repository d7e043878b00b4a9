//! The catalogue and the routes: `[models]`, `[aliases]`, `[defaults]` and `[routes]` of `mainstay.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::id::{ModelId, ProviderName, RouteName, TargetId};
use domain::model::{Hedge, Model, Overrides, PriceList, Prices, Route, RouteTier, Target, TargetKind, Tier};
use domain::money::Nanos;
use serde::Deserialize;

use crate::clients::AGENT_PREFIX;

/// Settings of one catalogue entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// US dollars for each million input tokens. A model without prices is reported as unpriced.
    pub price_input_per_million: Option<f64>,
    /// US dollars for each million output tokens.
    pub price_output_per_million: Option<f64>,
    /// The day the prices were read.
    pub price_as_of: Option<toml::value::Datetime>,
    /// Context window in tokens.
    pub context: Option<u32>,
    /// A call whose first text takes longer than this many milliseconds counts as slow for the breaker. Unset, calls
    /// are never slow; models that Mainstay runs itself have none.
    pub slow_ms: Option<u64>,
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

/// One route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Its tiers, tried in order.
    pub tiers: Vec<TierConfig>,
    /// Whether another target is asked beside one that takes unusually long (`[resilience.policy.hedge]`). Both are paid
    /// for. Requests that name tools never are.
    #[serde(default)]
    pub hedge: HedgeName,
}

/// Whether slow calls get a rival.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HedgeName {
    /// Never.
    #[default]
    Off,
    /// When a call takes longer than 95 % of the target's last ones.
    On,
}

/// One tier of a route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierConfig {
    /// `primary`, `fallback` or `embedded`.
    pub name: TierName,
    /// Its targets.
    pub targets: Vec<TargetConfig>,
    /// Parameters forced on its calls.
    #[serde(default)]
    pub overrides: OverridesConfig,
}

/// The rungs that call a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TierName {
    /// The first choice.
    Primary,
    /// Another model.
    Fallback,
    /// A model that Mainstay runs itself.
    Embedded,
}

/// One target of a tier.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// `<provider>/<model>`, as in `[models]`.
    pub model: String,
    /// Share of its tier's traffic relative to its siblings, 1 to 1,000,000.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// Parameters that a tier forces on its calls.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverridesConfig {
    /// At most this many tokens.
    pub max_tokens: Option<u32>,
    /// This temperature, 0 to 2.
    pub temperature: Option<f32>,
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
    /// Names of `[providers]`; `embedded` always is one.
    pub providers: Vec<String>,
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
    /// From when a call of a model counts as slow, for those that say.
    pub slow: BTreeMap<ModelId, Duration>,
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
            match slow(id, model.slow_ms) {
                Ok(slow) => routes.slow.extend(slow.map(|slow| (ModelId::from(id.as_str()), slow))),
                Err(reason) => reasons.push(format!("[models.\"{id}\"] slow_ms: {reason}")),
            }
        }
        for (name, config) in &settings.routes {
            match route(name, config, (settings, &routes.slow)) {
                Ok(route) => drop(routes.routes.insert(route.name.clone(), route)),
                Err(reason) => reasons.push(format!("[routes.{name}]: {reason}")),
            }
        }
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
    let prices = match (config.price_input_per_million, config.price_output_per_million) {
        (None, None) => None,
        (Some(input), Some(output)) => {
            let nanos = |name: &str, usd: f64| {
                price_nanos(usd).ok_or_else(|| {
                    format!("[models.\"{id}\"] {name}: {usd} is no price (0 to 1,000,000 USD)")
                })
            };
            Some(Prices::flat(
                "configured",
                nanos("price_input_per_million", input)?,
                nanos("price_output_per_million", output)?,
            ))
        }
        _ => {
            return Err(format!(
                "[models.\"{id}\"]: give both price_input_per_million and price_output_per_million, or neither"
            ));
        }
    };
    let prices = prices.map(PriceList::from).unwrap_or_default();
    Ok(Model { prices, context: config.context, ..Model::unknown(id) })
}

#[expect(clippy::cast_possible_truncation, reason = "bounded to 10^15 the line before, far inside i64")]
fn price_nanos(usd: f64) -> Option<Nanos> {
    (0.0..=1_000_000.0).contains(&usd).then(|| Nanos((usd * 1e9).round() as i64))
}

fn check_provider(id: &ModelId, settings: &Settings) -> Result<(), String> {
    let provider = id.provider();
    if !id.as_str().contains('/') || id.name_at_provider().is_empty() {
        return Err(format!("write the model as `<provider>/<model>`, not `{id}`"));
    }
    if provider != EMBEDDED && !settings.providers.iter().any(|known| known == provider) {
        return Err(format!("there is no provider `{provider}`; add [providers.{provider}]"));
    }
    Ok(())
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

/// The settings, and from when calls of a model count as slow.
type Known<'a> = (&'a Settings, &'a BTreeMap<ModelId, Duration>);

fn route(name: &str, config: &RouteConfig, known: Known<'_>) -> Result<Route, String> {
    if config.tiers.is_empty() {
        return Err("it has no tiers".to_owned());
    }
    let tiers = config.tiers.iter().map(|tier| route_tier(tier, known)).collect::<Result<Vec<_>, _>>()?;
    let n_remote =
        tiers.iter().flat_map(|tier| &tier.targets).filter(|target| target.kind == TargetKind::Remote);
    let hedge = match config.hedge {
        HedgeName::Off => Hedge::Off,
        HedgeName::On if n_remote.count() < 2 => {
            return Err("hedge = \"on\" needs two targets that Mainstay does not run itself".to_owned());
        }
        HedgeName::On => Hedge::On,
    };
    Ok(Route { name: RouteName::from(name), tiers, hedge })
}

fn route_tier(config: &TierConfig, known: Known<'_>) -> Result<RouteTier, String> {
    if config.targets.is_empty() {
        return Err("a tier has no targets".to_owned());
    }
    if config.overrides.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return Err("overrides.temperature must be 0 to 2".to_owned());
    }
    if config.overrides.max_tokens == Some(0) {
        return Err("overrides.max_tokens must be at least 1".to_owned());
    }
    let targets =
        config.targets.iter().map(|target| self::target(target, known)).collect::<Result<Vec<_>, _>>()?;
    let all_embedded = targets.iter().all(|target| target.kind == TargetKind::Embedded);
    let tier = match config.name {
        // Whoever runs the model decides what the tier is called: an embedded answer is always marked as one.
        _ if all_embedded => Tier::Embedded,
        TierName::Embedded => return Err("an `embedded` tier may only name `embedded/…` models".to_owned()),
        TierName::Primary => Tier::Primary,
        TierName::Fallback => Tier::Fallback,
    };
    let overrides =
        Overrides { max_tokens: config.overrides.max_tokens, temperature: config.overrides.temperature };
    Ok(RouteTier { tier, targets, overrides })
}

fn target(config: &TargetConfig, (settings, slow): Known<'_>) -> Result<Target, String> {
    let model = ModelId::from(config.model.as_str());
    check_provider(&model, settings)?;
    let kind = if model.provider() == EMBEDDED { TargetKind::Embedded } else { TargetKind::Remote };
    if kind == TargetKind::Remote && !settings.models.contains_key(model.as_str()) {
        return Err(format!("the model `{model}` is not in the catalogue; add [models.\"{model}\"]"));
    }
    if !(1..=1_000_000).contains(&config.weight) {
        return Err(format!("the weight of `{model}` must be 1 to 1,000,000"));
    }
    Ok(Target { weight: config.weight, ..target_of(&model, slow) })
}

/// The target that is a model by itself.
pub(crate) fn target_of(model: &ModelId, slow: &BTreeMap<ModelId, Duration>) -> Target {
    let kind = if model.provider() == EMBEDDED { TargetKind::Embedded } else { TargetKind::Remote };
    Target {
        id: TargetId::new(model.as_str()),
        model: model.clone(),
        provider: ProviderName::from(model.provider()),
        weight: 1,
        kind,
        slow: slow.get(model).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default)]
            models: BTreeMap<String, ModelConfig>,
            #[serde(default)]
            aliases: BTreeMap<String, String>,
            #[serde(default)]
            routes: BTreeMap<String, RouteConfig>,
        }
        let whole: Whole = toml::from_str(text).expect("valid TOML");
        Settings {
            models: whole.models,
            aliases: whole.aliases,
            routes: whole.routes,
            providers: vec!["openai".to_owned()],
            ..Settings::default()
        }
    }

    #[test]
    fn a_route_is_built_with_its_tiers() {
        let routes = Routes::build(&settings(
            r#"
            [models."openai/gpt-4o-mini"]
            slow_ms = 4_000
            price_input_per_million = 0.15
            price_output_per_million = 0.60
            [aliases]
            "gpt-4o-mini" = "standard"
            [[routes.standard.tiers]]
            name = "primary"
            targets = [{ model = "openai/gpt-4o-mini" }]
            [[routes.standard.tiers]]
            name = "fallback"
            targets = [{ model = "embedded/default" }]
            overrides = { max_tokens = 120 }
            "#,
        ))
        .expect("valid");
        let route = &routes.routes[&RouteName::from("standard")];
        assert_eq!(route.tiers[0].tier, Tier::Primary);
        assert_eq!(route.tiers[0].targets[0].slow, Some(Duration::from_secs(4)));
        assert_eq!(route.tiers[1].targets[0].slow, None, "never for a model that runs here");
        assert_eq!(route.tiers[1].tier, Tier::Embedded, "whoever runs it names the tier");
        assert_eq!(route.tiers[1].overrides.max_tokens, Some(120));
        let prices = &routes.models[&ModelId::from("openai/gpt-4o-mini")].prices.0[0];
        assert_eq!(prices.rates.input_per_million, Nanos(150_000_000));
    }

    #[test]
    fn a_route_is_hedged_when_it_says_so() {
        let text = r#"
            [models."openai/a"]
            [models."openai/b"]
            [routes.r]
            hedge = "on"
            tiers = [{ name = "primary", targets = [{ model = "openai/a" }, { model = "openai/b" }] }]
            [routes.plain]
            tiers = [{ name = "primary", targets = [{ model = "openai/a" }, { model = "openai/b" }] }]
        "#;
        let routes = Routes::build(&settings(text)).expect("valid").routes;
        assert_eq!(routes[&RouteName::from("r")].hedge, Hedge::On);
        assert_eq!(routes[&RouteName::from("plain")].hedge, Hedge::Off);
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, want) in [
            ("[models.\"gpt\"]", "write the model as"),
            ("[models.\"azure/gpt\"]", "no provider `azure`"),
            ("[models.\"openai/gpt\"]\nprice_input_per_million = 1.0", "or neither"),
            (
                "[models.\"openai/gpt\"]\nprice_input_per_million = -1.0\nprice_output_per_million = 1.0",
                "is no price",
            ),
            ("[models.\"openai/gpt\"]\nslow_ms = 0", "slow_ms: must be 1 to"),
            ("[models.\"embedded/default\"]\nslow_ms = 900", "runs itself takes the time"),
            ("[routes.r]\ntiers = []", "no tiers"),
            ("[[routes.r.tiers]]\nname = \"primary\"\ntargets = []", "no targets"),
            (
                "[[routes.r.tiers]]\nname = \"primary\"\ntargets = [{ model = \"openai/x\" }]",
                "not in the catalogue",
            ),
            (
                "[models.\"openai/x\"]\n[[routes.r.tiers]]\nname = \"embedded\"\ntargets = [{ model = \"openai/x\" }]",
                "may only name",
            ),
            (
                "[routes.r]\nhedge = \"on\"\ntiers = [{ name = \"embedded\", targets = [{ model = \"embedded/default\" }] }]",
                "needs two targets",
            ),
            ("[aliases]\na = \"nowhere\"", "no route `nowhere`"),
            ("[aliases]\n\"\" = \"standard\"", "[aliases] \"\": clients cannot send this name"),
            ("[aliases]\n\"agent:x\" = \"standard\"", "[aliases] \"agent:x\": clients cannot send this name"),
        ] {
            let reasons = Routes::build(&settings(text)).expect_err(text);
            assert!(reasons.iter().any(|reason| reason.contains(want)), "{text}: {reasons:?}");
        }
    }
}
