//! The configuration that turns run in, and a retriever that always finds the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access::limits::{Config, Meters, Now};
use domain::document::{Retrieved, Search};
use domain::interaction::Interaction;
use domain::ports::{BoxFuture, Retriever, SearchError};
use domain::time::{Moment, Timestamp};
use pipeline::relay::Observer;
use registry::routes::{
    AssuredName, HedgeName, ModelConfig, OverridesConfig, ProviderPlaces, RouteConfig, Settings,
    StrategyName, TakesName, TargetConfig, TierConfig, TierName,
};
use registry::snapshot::{BuildSettings, Snapshot};

use crate::bank;

/// What a route may say beside its tiers.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Extras {
    /// From when on a call counts as slow; not for the model that runs here.
    pub(crate) slow_ms: Option<u64>,
    pub(crate) hedge: HedgeName,
    /// What becomes of a stream that breaks off.
    pub(crate) assured: AssuredName,
    /// In which order the targets of each tier are called, and what makes one cheaper or better than another.
    pub(crate) strategy: StrategyName,
}

/// Agents `general` (with knowledge) and `chat` (without), on one route whose tiers have these models; the last tier
/// may be `embedded/default`.
pub(crate) fn snapshot(tiers: &[Vec<String>], extras: Extras) -> Snapshot {
    // A single target needs no strategy, and some need two.
    let strategy =
        |models: &[String]| if models.len() < 2 { StrategyName::Priority } else { extras.strategy };
    let targets = |models: &[String]| -> Vec<TargetConfig> {
        let is_told_apart = strategy(models) == StrategyName::ByDifficulty;
        let takes = [TakesName::Easy, TakesName::Hard].into_iter().cycle();
        let target = |(model, takes): (&String, TakesName)| TargetConfig {
            takes: is_told_apart.then_some(takes),
            ..TargetConfig::of(model.as_str())
        };
        models.iter().zip(takes).map(target).collect()
    };
    let tier = |(index, models): (usize, &Vec<String>)| TierConfig {
        name: match models.first().map(String::as_str) {
            Some("embedded/default") => TierName::Embedded,
            _ if index == 0 => TierName::Primary,
            _ => TierName::Fallback,
        },
        strategy: strategy(models),
        quality_min: (strategy(models) == StrategyName::QualityFloor).then_some(50),
        sticky: None,
        prefer: None,
        targets: targets(models),
        overrides: OverridesConfig::default(),
    };
    let provider = |model: &String| model.split('/').next().expect("a provider").to_owned();
    let rungs = tiers.iter().enumerate().map(tier).collect();
    let route = RouteConfig { tiers: rungs, hedge: extras.hedge, assured: extras.assured, cache: None };
    let priced = |model: &String| {
        let (input, output) = (Some(1.0), Some(1.0));
        let config = ModelConfig {
            price_input_per_million: input,
            price_output_per_million: output,
            slow_ms: extras.slow_ms,
            quality: Some(60),
            ..ModelConfig::default()
        };
        (model.clone(), config)
    };
    let routes = Settings {
        models: tiers.iter().flatten().filter(|model| *model != "embedded/default").map(priced).collect(),
        routes: BTreeMap::from([("standard".to_owned(), route)]),
        providers: tiers
            .iter()
            .flatten()
            .map(provider)
            .filter(|name| name != "embedded")
            .map(|name| (name, ProviderPlaces::default()))
            .collect(),
        ..Settings::default()
    };
    let agents = [("general", "knowledge = [\"finance\"]\n"), ("chat", "")];
    let folder = bank::folder(&agents, GUARDRAILS, EXAMPLES);
    let settings =
        BuildSettings { routes, file: "mainstay.toml".to_owned(), session_ttl: Duration::from_secs(3_600) };
    Snapshot::build(&folder, &settings).expect("a snapshot")
}

const GUARDRAILS: &str =
    "schema = 1\nid = \"default\"\n[messages]\ninput = \"No.\"\noutput = \"Withheld.\"\n";

const EXAMPLES: &str = r#"{"text":"what is the wire fee","intent":"fee"}
{"text":"what is the monthly fee","intent":"fee"}
{"text":"is my deposit insured","intent":"insurance"}
{"text":"is my account insured","intent":"insurance"}
{"text":"let me speak to someone","intent":"person"}
{"text":"let me speak to a person about my card","intent":"person"}
"#;

/// Finds the bank's passage for every query, and is sure of it.
pub(crate) struct OnePassage;

impl Retriever for OnePassage {
    fn search(&self, _: Search) -> BoxFuture<'_, Result<Retrieved, SearchError>> {
        let found = Retrieved { passages: vec![bank::passage()], confidence: 0.9, abstain_below: 0.5 };
        Box::pin(async { Ok(found) })
    }
}

/// Limits that are those of nobody: only what keys have by default is counted.
pub(crate) fn unlimited() -> Arc<Meters> {
    let now = Now { moment: Moment::default(), wall: Timestamp::default() };
    Arc::new(Meters::new(&Config::default(), now).expect("the defaults are valid"))
}

/// Nobody who is told how relayed turns end.
pub(crate) struct Unobserved;

impl Observer for Unobserved {
    fn finished(&self, _: &Interaction) {}
    fn not_recorded(&self) {}
}
