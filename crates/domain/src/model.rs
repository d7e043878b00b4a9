//! The catalogue: models, targets and routes.

use std::time::Duration;

use crate::id::{ModelId, ProviderName, RouteName, TargetId};
use crate::money::{Nanos, Overflow, price};
use crate::token::Usage;

/// A model as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `<provider>/<model>`.
    pub id: ModelId,
    /// Prices; `None` means unpriced, which is never the same as free.
    pub prices: Option<Prices>,
    /// Context window in tokens, where known.
    pub context: Option<u32>,
}

/// What a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// For each million input tokens.
    pub input_per_million: Nanos,
    /// For each million output tokens.
    pub output_per_million: Nanos,
}

/// What a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// From the provider's own token counts.
    Exact(Nanos),
    /// The model has no price, or the provider did not say what it used.
    Unpriced,
}

impl Cost {
    /// The amount, where known.
    #[must_use]
    pub fn amount(self) -> Option<Nanos> {
        match self {
            Self::Exact(nanos) => Some(nanos),
            Self::Unpriced => None,
        }
    }

    /// The sum; unpriced as soon as one part is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a.plus(b).map_or(Self::Unpriced, Self::Exact),
            _ => Self::Unpriced,
        }
    }
}

impl Prices {
    /// What `usage` costs.
    ///
    /// # Errors
    /// [`Overflow`] when the amount leaves its range.
    pub fn of(self, usage: Usage) -> Result<Nanos, Overflow> {
        price(usage.input, self.input_per_million)?.plus(price(usage.output, self.output_per_million)?)
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
    /// Share of its tier's traffic relative to its siblings; at least 1.
    pub weight: u32,
    /// Whether Mainstay runs it itself.
    pub kind: TargetKind,
    /// A call slower than this counts as slow for the breaker.
    pub slow: Option<Duration>,
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

/// A tier of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTier {
    /// The rung it is reported as.
    pub tier: Tier,
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

/// An ordered ladder of tiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// Tried in order.
    pub tiers: Vec<RouteTier>,
    /// Whether slow calls get a rival.
    pub hedge: Hedge,
}
