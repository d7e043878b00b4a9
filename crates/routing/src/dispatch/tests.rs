//! The walk with scripted models on paused time.
//!
//! Reading order: this file (the house that requests walk in), then one file for each promise.

mod costs;
mod deadlines;
mod guards;
mod retries;
mod rungs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatRequest, Message, Role};
use domain::id::{ModelId, ProviderName, RouteName, TargetId};
use domain::interaction::Attempt;
use domain::model::{Assured, Hedge, Model, Overrides, Route, RouteTier, Sticky, Strategy, TargetKind, Tier};
use domain::ports::{ChatModel, Clock};
use domain::residency::Residency;
use domain::token::TokenCount;
use resilience::breaker::{self, Position};
use resilience::breakers::Breakers;
use resilience::hedge;
use resilience::policy;
use testkit::{SeededRng, TokioClock};

use crate::ask::{Ask, Dispatched, Skip, Unanswered, Want, Why};
use crate::attempt::AttemptLog;
use crate::router::{Parts, Router};
use crate::scripted::{Scripted, read, remote};

/// What the question of [`House::ask`] is estimated as.
const ASKED: TokenCount = TokenCount(5);

const DEADLINE: Duration = Duration::from_secs(60);

/// A router over scripted models, one provider each, with a route through all of them in order.
pub(super) struct House {
    pub(super) router: Router,
    pub(super) clock: Arc<TokioClock>,
    pub(super) route: Route,
    pub(super) catalogue: BTreeMap<ModelId, Model>,
}

struct Settings {
    breaker: breaker::Config,
    policy: policy::Config,
}

impl House {
    /// Tiers `primary`, `fallback`, `fallback`, … of one remote target each: `p0/m`, `p1/m`, …
    pub(super) fn new(models: &[&Arc<Scripted>]) -> Self {
        Self::with(
            models,
            Settings { breaker: breaker::Config::default(), policy: policy::Config::default() },
        )
    }

    /// Hedges a tenth of the requests as soon as one answer is known, where its route says so.
    pub(super) fn eager(models: &[&Arc<Scripted>]) -> Self {
        let hedge = hedge::Config { percent: 10, calls_min: 1, ..hedge::Config::default() };
        let policy = policy::Config { hedge, ..policy::Config::default() };
        Self::with(models, Settings { breaker: breaker::Config::default(), policy })
    }

    fn with(models: &[&Arc<Scripted>], settings: Settings) -> Self {
        let clock = Arc::new(TokioClock::new());
        let rng = Arc::new(SeededRng::new(5));
        let breakers = Breakers::new(settings.breaker, clock.clone(), rng.clone());
        let named = models.iter().enumerate().map(|(index, model)| {
            let model: Arc<dyn ChatModel> = (*model).clone();
            (ProviderName::from(format!("p{index}")), model)
        });
        let parts = Parts { clock: clock.clone(), rng, breakers, policy: settings.policy };
        let router = Router::new(parts);
        router.provide(named.collect());
        let tiers = (0..models.len()).map(|index| RouteTier {
            tier: if index == 0 { Tier::Primary } else { Tier::Fallback },
            strategy: Strategy::Weighted(Sticky::On),
            targets: vec![remote(&format!("p{index}/m"), 1)],
            overrides: Overrides::default(),
        });
        let route = Route {
            name: RouteName::from("standard"),
            tiers: tiers.collect(),
            hedge: Hedge::Off,
            assured: Assured::Off,
            cache: None,
        };
        Self { router, clock, route, catalogue: BTreeMap::new() }
    }

    /// Makes the target of the tier at `index` one that runs here.
    pub(super) fn embed(mut self, index: usize) -> Self {
        self.route.tiers[index].tier = Tier::Embedded;
        self.route.tiers[index].targets[0].kind = TargetKind::Embedded;
        self
    }

    pub(super) async fn ask(&self, log: &AttemptLog) -> Dispatched {
        self.ask_within(log, DEADLINE).await
    }

    async fn ask_within(&self, log: &AttemptLog, deadline: Duration) -> Dispatched {
        self.ask_changed(log, |ask| ask.deadline = self.clock.now().after(deadline)).await
    }

    pub(super) async fn ask_changed(
        &self,
        log: &AttemptLog,
        change: impl FnOnce(&mut Ask<'_>),
    ) -> Dispatched {
        let now = self.clock.now();
        let request = ChatRequest { messages: vec![Message::new(Role::User, "?")], ..ChatRequest::default() };
        let mut ask = Ask {
            route: &self.route,
            request: &request,
            deadline: now.after(DEADLINE),
            prices: &self.catalogue,
            scores: &self.catalogue,
            residency: &Residency::Anywhere,
            affinity: None,
            question: None,
            started: now,
            skip: Skip::NONE,
            want: Want::Begun,
            log,
            watcher: None,
        };
        change(&mut ask);
        self.router.ask(ask).await
    }

    /// Asks and reads the answer: its text with the tier, or why there is none.
    async fn answer(&self) -> Result<(String, Tier), Box<Unanswered>> {
        let answering = self.ask(&AttemptLog::default()).await?;
        let tier = answering.tier;
        let (text, error) = read(answering.stream).await;
        assert!(error.is_none(), "{error:?}");
        Ok((text, tier))
    }

    fn position(&self, target: &str) -> Position {
        self.router.breakers().read(&TargetId::from(target)).position
    }
}

fn results(attempts: &[Attempt]) -> Vec<(&str, &str)> {
    attempts.iter().map(|attempt| (attempt.target.as_str(), attempt.result.name())).collect()
}

fn refused(unanswered: &Unanswered) -> Vec<Why> {
    unanswered.skipped.iter().map(|skipped| skipped.why).collect()
}
