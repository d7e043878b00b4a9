//! The router: its parts, and how its targets are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{ProviderName, TargetId};
use domain::ports::{ChatModel, Clock, RelayedStream, Rng, SayingStream};
use parking_lot::RwLock;
use resilience::breaker::{Cause, Counts, Position};
use resilience::breakers::{Breakers, Refusals};
use resilience::budget::Budgets;
use resilience::bulkhead;
use resilience::hedge::{self, Hedges};
use resilience::policy;

use crate::ask::{Ask, Conversing, Dispatched, Passing};
use crate::dispatch;

/// What a router is made of, beside the clients that [`Router::provide`] gives it.
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Shared with whoever keeps and shows them. They outlive a router that is built anew.
    pub breakers: Breakers,
    /// How often and how long is tried.
    pub policy: policy::Config,
}

/// Finds an answer to a request along its route.
pub struct Router {
    pub(crate) parts: Parts,
    pub(crate) budgets: Budgets,
    pub(crate) hedges: Hedges,
    models: RwLock<BTreeMap<ProviderName, Arc<dyn ChatModel>>>,
}

/// How a target is, for health reports, metrics and `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHealth {
    /// The target.
    pub target: TargetId,
    /// Its breaker.
    pub position: Position,
    /// Failures in a row.
    pub failures: u32,
    /// The calls of its window.
    pub counts: Counts,
    /// Its calls, and how many it may have at once.
    pub calls: bulkhead::Reading,
    /// Times the breaker opened since it last closed.
    pub opens: u32,
    /// Why it opened last; `None` when closed.
    pub cause: Option<Cause>,
    /// Calls that were not made, since the start.
    pub refused: Refusals,
    /// How long it is still left alone since it asked to slow down; `None` when it did not.
    pub quota_for: Option<Duration>,
    /// How long it is not called at all; `None` when it may be called (or probed) now.
    pub shut_for: Option<Duration>,
}

impl Router {
    /// A router with full retry budgets, which knows no provider yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (budgets, hedges) = (Budgets::new(parts.policy.budget), Hedges::new(parts.policy.hedge));
        Self { parts, budgets, hedges, models: RwLock::default() }
    }

    /// Calls these providers from now on, too, each in place of one of its name. Calls under way go on as they began.
    pub fn provide(&self, models: BTreeMap<ProviderName, Arc<dyn ChatModel>>) {
        self.models.write().extend(models);
    }

    pub(crate) fn model(&self, provider: &ProviderName) -> Option<Arc<dyn ChatModel>> {
        self.models.read().get(provider).cloned()
    }

    /// Walks the route's tiers until one sends text. Before that every failure is tried again or passed on to the
    /// next target as the policy says; what comes after is in the answer's stream. Cancel-safe: dropped, the call
    /// under way is cancelled and recorded so.
    ///
    /// # Errors
    /// [`crate::Unanswered`] when no model answers, with the last failure and the targets that were not called.
    pub async fn ask(&self, ask: Ask<'_>) -> Dispatched {
        dispatch::walk(self, &ask).await
    }

    /// The same for a caller's own request, which is passed on as it is: what comes back are the provider's own bytes.
    ///
    /// # Errors
    /// [`crate::Unanswered`], with the provider's own words where it refused the request.
    pub async fn relay(&self, ask: Ask<'_, Passing>) -> Dispatched<RelayedStream> {
        dispatch::walk(self, &ask).await
    }

    /// The same for a caller's conversation: what comes back is what the model says, piece by piece.
    ///
    /// # Errors
    /// [`crate::Unanswered`], with the provider's own words where it refused the request.
    pub async fn converse(&self, ask: Ask<'_, Conversing>) -> Dispatched<SayingStream> {
        dispatch::walk(self, &ask).await
    }

    /// The targets that are watched or were called, in their order.
    #[must_use]
    pub fn health(&self) -> Vec<TargetHealth> {
        let now = self.parts.clock.now();
        let health = |target: resilience::breakers::TargetReading| {
            let reading = target.reading;
            let open_until = match reading.position {
                Position::Open { until } => Some(until),
                Position::Closed | Position::HalfOpen => None,
            };
            TargetHealth {
                target: target.target,
                position: reading.position,
                failures: reading.failures,
                counts: reading.counts,
                calls: target.bulkhead,
                opens: reading.opens,
                cause: reading.cause,
                refused: target.refused,
                quota_for: reading.quota_until.map(|until| until.since(now)),
                shut_for: open_until.max(reading.quota_until).map(|until| until.since(now)),
            }
        };
        self.parts.breakers.snapshot().into_iter().map(health).collect()
    }

    /// The most time that one call may take.
    #[must_use]
    pub fn call_max(&self) -> Duration {
        self.parts.policy.call_max
    }

    /// The breakers, for keeping their changes and resetting them.
    #[must_use]
    pub fn breakers(&self) -> &Breakers {
        &self.parts.breakers
    }

    /// How many second calls there were beside slow ones.
    #[must_use]
    pub fn hedges(&self) -> hedge::Reading {
        self.hedges.read()
    }

    /// Retries left in each provider's budget.
    #[must_use]
    pub fn retries_left(&self) -> Vec<(String, u64)> {
        self.budgets.retries_left()
    }
}
