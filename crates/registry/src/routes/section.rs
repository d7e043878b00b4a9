//! The section `[routes.NAME]`: a route as it is written.

use serde::Deserialize;

use crate::caching::RelayCacheConfig;

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
    /// What becomes of a streamed answer whose model breaks off: see [streams.md](streams.md).
    #[serde(default)]
    pub assured: AssuredName,
    /// Which answers to requests for it by an alias are given again. Without it, none.
    pub cache: Option<RelayCacheConfig>,
}

/// What becomes of a streamed answer whose model breaks off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssuredName {
    /// What was released stays, and an error ends it.
    #[default]
    Off,
    /// Nothing is released before the answer is whole, so that another call can give all of it.
    HoldBack,
    /// Another target goes on from the text that was released.
    Continue,
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
    /// Which of its targets is called first; the others follow when it fails or may not be called. `priority`: as they are
    /// written. `weighted`: by chance and `weight`, always the same one for one session, user or key. `least_latency`:
    /// whose answers come soonest, its calls under way counted in. `lowest_cost`: whose answer to this request is
    /// expected to cost least; unpriced models come last. `quality_floor`: of those with `quality_min` or more, as `prefer`
    /// says; the others are not called. `by_difficulty`: easy requests to the targets with `takes = "easy"`, others to those with `"hard"`.
    #[serde(default)]
    pub strategy: StrategyName,
    /// The least `quality` of a model, 0 to 100, with `strategy = "quality_floor"`.
    pub quality_min: Option<u8>,
    /// With `strategy = "weighted"`, `on` (the default) keeps all requests of a session with one target, where there is
    /// none those of a user, where there is none those of a key; `off` lets chance decide for each request.
    pub sticky: Option<StickyName>,
    /// Among models that are good enough, the `cheapest` (the default) or the `fastest` is called first.
    pub prefer: Option<PreferName>,
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

/// In which order the targets of a tier are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// As they are written.
    Priority,
    /// By chance and weight.
    #[default]
    Weighted,
    /// The fastest first.
    LeastLatency,
    /// The cheapest first.
    LowestCost,
    /// Only those that are good enough.
    QualityFloor,
    /// As the request asks.
    ByDifficulty,
}

/// Whether requests that belong together go the same way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StickyName {
    /// They do.
    #[default]
    On,
    /// Each goes its own.
    Off,
}

/// What decides among models that are good enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreferName {
    /// What the request is expected to cost.
    #[default]
    Cheapest,
    /// How soon the answer is expected.
    Fastest,
}

/// The requests that a target is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TakesName {
    /// What a small model answers well.
    Easy,
    /// The rest.
    Hard,
}

/// One target of a tier.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// `<provider>/<model>`, as in `[models]`.
    pub model: String,
    /// The region of its provider, one of `[providers.NAME.regions]` where the provider does not know its own. Each
    /// region is a target of its own, `<provider>/<model>@<region>`, with a breaker of its own.
    pub region: Option<String>,
    /// Every place where it may process requests, as `["eu"]`; else what its region says, or its provider where it has no
    /// region. A target that names none is never called for a request with a residency.
    pub residency: Option<Vec<String>>,
    /// Share of its tier's traffic relative to its siblings, 1 to 1,000,000, with `strategy = "weighted"`.
    #[serde(default = "one")]
    pub weight: u32,
    /// The requests that it is meant for, `easy` or `hard`, with `strategy = "by_difficulty"`.
    pub takes: Option<TakesName>,
}

impl TargetConfig {
    /// A model at its provider's own address.
    pub fn of(model: impl Into<String>) -> Self {
        Self { model: model.into(), region: None, residency: None, weight: one(), takes: None }
    }
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
