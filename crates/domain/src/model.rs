//! The catalogue: models, targets and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cache;
use crate::id::{ModelId, ProviderName, RegionName, RouteName, TargetId};
use crate::ports::Scoreboard;
use crate::residency::{Place, Residency};
use crate::time::Day;

pub use crate::price::{Cost, PriceList, Prices};

/// A model as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `<provider>/<model>`.
    pub id: ModelId,
    /// What it costs, as far as known.
    pub prices: PriceList,
    /// Context window in tokens, where known.
    pub context: Option<u32>,
    /// Most tokens of an answer, where known.
    pub output_max: Option<u32>,
    /// What it can do; `None` when that is not known, which is not the same as nothing.
    pub capabilities: Option<Vec<Capability>>,
    /// Its life at its provider.
    pub lifecycle: Lifecycle,
    /// How good it was found to be, where somebody measured it.
    pub quality: Option<Quality>,
}

impl Model {
    /// A model of which nothing else is known.
    #[must_use]
    pub fn unknown(id: ModelId) -> Self {
        Self {
            id,
            prices: PriceList::default(),
            context: None,
            output_max: None,
            capabilities: None,
            lifecycle: Lifecycle::default(),
            quality: None,
        }
    }
}

/// How good a model's answers were found to be: 0 to 100, in whole points, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quality(pub u8);

/// The catalogue is a scoreboard of what its settings say.
impl Scoreboard for BTreeMap<ModelId, Model> {
    fn quality(&self, model: &ModelId) -> Option<Quality> {
        self.get(model)?.quality
    }
}

/// Something a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
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

impl Capability {
    /// All, for parsing.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Image, Self::Tools, Self::JsonSchema, Self::Reasoning, Self::Embeddings];

    /// The stable name used in the catalogue and in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Tools => "tools",
            Self::JsonSchema => "json_schema",
            Self::Reasoning => "reasoning",
            Self::Embeddings => "embeddings",
        }
    }
}

/// The days that matter in a model's life at its provider, as far as known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// Since when it may be called.
    pub released: Option<Day>,
    /// Since when its provider advises against it.
    pub deprecated: Option<Day>,
    /// The first day on which it may not be called any more.
    pub end_of_life: Option<Day>,
}

/// Where a model is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing speaks against it.
    Current,
    /// Its provider advises against it, or has said when it ends.
    Deprecated,
    /// Its provider does not serve it any more.
    Ended,
}

impl Lifecycle {
    /// Where it is on `day`.
    #[must_use]
    pub fn stage(&self, day: Day) -> Stage {
        match (self.deprecated, self.end_of_life) {
            (_, Some(end)) if end <= day => Stage::Ended,
            (_, Some(_)) => Stage::Deprecated,
            (Some(since), None) if since <= day => Stage::Deprecated,
            _ => Stage::Current,
        }
    }
}

/// Which rung of the ladder answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// The first choice.
    Primary,
    /// Another model, with conservative parameters.
    Fallback,
    /// A model that Mainstay runs itself, wherever it stands in its route.
    Embedded,
    /// The compliant static answer.
    Degraded,
}

impl Tier {
    /// The stable name used in bodies, records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
            Self::Embedded => "embedded",
            Self::Degraded => "degraded",
        }
    }
}

/// One model at one provider: what a breaker guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id in metrics and breakers, `<provider>/<model>` (with `@region` where there is one).
    pub id: TargetId,
    /// The model.
    pub model: ModelId,
    /// The provider as configured.
    pub provider: ProviderName,
    /// The region of the provider; `None` for its own address.
    pub region: Option<RegionName>,
    /// Every place where it may process what it is asked; none when nobody said.
    pub places: BTreeSet<Place>,
    /// Share of its tier's traffic relative to its siblings; at least 1.
    pub weight: u32,
    /// Whether Mainstay runs it itself.
    pub kind: TargetKind,
    /// A call slower than this counts as slow for the breaker.
    pub slow: Option<Duration>,
    /// The requests that it is meant for, in a tier that tells them apart.
    pub takes: Option<Difficulty>,
}

impl Target {
    /// Whether a request with this limit may be asked here. What runs on this machine never leaves it.
    #[must_use]
    pub fn is_within(&self, residency: &Residency) -> bool {
        self.kind == TargetKind::Embedded || residency.allows(&self.places)
    }
}

/// Who runs a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A provider over the network.
    Remote,
    /// Our own worker.
    Embedded,
}

/// Parameters that a tier forces on its calls: each is an upper bound or replacement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overrides {
    /// At most this many tokens.
    pub max_tokens: Option<u32>,
    /// This temperature.
    pub temperature: Option<f32>,
}

/// How much a request asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difficulty {
    /// A small model answers it well.
    Easy,
    /// It needs a strong one.
    Hard,
}

/// In which order the targets of a tier are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// As they are written.
    Priority,
    /// By chance and weight.
    Weighted(Sticky),
    /// Whose answers come soonest, its calls under way counted in.
    LeastLatency,
    /// Whose answer to this request is expected to cost least.
    LowestCost,
    /// Of those that are good enough, the cheapest or fastest; the others are not called.
    QualityFloor {
        /// The least quality.
        floor: Quality,
        /// Which of those comes first.
        prefer: Prefer,
    },
    /// Easy requests to the targets for easy ones, hard ones to the others.
    ByDifficulty,
}

/// What chance decides for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sticky {
    /// All requests of a session; else of a user, else of a key; else each request.
    #[default]
    On,
    /// Each request.
    Off,
}

/// What decides among targets that are good enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Prefer {
    /// As by [`Strategy::LowestCost`].
    #[default]
    Cheapest,
    /// As by [`Strategy::LeastLatency`].
    Fastest,
}

/// A tier of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTier {
    /// The rung it is reported as.
    pub tier: Tier,
    /// In which order its targets are called.
    pub strategy: Strategy,
    /// Its targets.
    pub targets: Vec<Target>,
    /// Parameters forced on its calls.
    pub overrides: Overrides,
}

/// Whether a second target is asked beside one that takes unusually long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hedge {
    /// Never.
    #[default]
    Off,
    /// For a small share of the requests.
    On,
}

/// What becomes of a streamed answer whose model breaks off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Assured {
    /// What was released stays, and an error ends it.
    #[default]
    Off,
    /// Nothing is released before the answer is whole, so that another call can give all of it.
    HoldBack,
    /// Another target goes on from the text that was released.
    Continue,
}

/// An ordered ladder of tiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// Tried in order.
    pub tiers: Vec<RouteTier>,
    /// Whether slow calls get a rival.
    pub hedge: Hedge,
    /// What becomes of a stream that breaks off.
    pub assured: Assured,
    /// Which answers to requests that are relayed along it are given again; `None` for none.
    pub cache: Option<cache::Rules>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_ends_on_its_last_day() {
        let day = |text| Day::parse(text).expect("a day");
        let ends = Lifecycle { end_of_life: Some(day("2026-05-01")), ..Lifecycle::default() };
        let old = Lifecycle { deprecated: Some(day("2026-02-01")), ..Lifecycle::default() };
        for (lifecycle, on, want) in [
            (Lifecycle::default(), "2099-01-01", Stage::Current),
            (ends, "2026-04-30", Stage::Deprecated),
            (ends, "2026-05-01", Stage::Ended),
            (old, "2026-01-31", Stage::Current),
            (old, "2026-02-01", Stage::Deprecated),
        ] {
            assert_eq!(lifecycle.stage(day(on)), want, "{lifecycle:?} on {on}");
        }
    }
}
