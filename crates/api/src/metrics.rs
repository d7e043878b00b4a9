//! `/metrics`: what is counted, as Prometheus and those like it read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::denied::Denied;
use access::limits::BudgetReading;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::interaction::{Interaction, Outcome};
use domain::limit::Level;
use domain::model::{Cost, Tier};
use domain::money::Amount;
use domain::signal::metric;
use domain::time::Timestamp;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use pipeline::relay::Observer;
use pipeline::turn::{Recorded, Reply};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use resilience::hedge;
use resilience::shedding::Gate;
use routing::TargetHealth;

use crate::problem::Problem;
use crate::server::Api;

mod load;
mod text;

use load::Load;
use text::Format;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: &'static str,
    outcome: &'static str,
    tier: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    target: Arc<str>,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentLabels {
    agent: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabels {
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
type Usd = Counter<f64, std::sync::atomic::AtomicU64>;

/// What is read from its owner at each scrape.
pub trait Gauges: Send + Sync {
    /// How calls go.
    fn calling(&self) -> Calling;
}

/// How calls of models go.
#[derive(Debug, Default)]
pub struct Calling {
    /// Each target.
    pub targets: Vec<TargetHealth>,
    /// Second calls beside slow ones.
    pub hedges: hedge::Reading,
    /// Records that were to follow their replies and could not be written, since the start.
    pub records_lost: u64,
    /// Requests that limits refused, since the start, by level and reason.
    pub limited: Vec<((&'static str, &'static str), u64)>,
    /// Answers that are given again.
    pub cached: cache::Reading,
    /// What is left of budgets.
    pub budgets: Vec<(Level, BudgetReading)>,
    /// What collectors were told, where there is one.
    pub telemetry: Option<telemetry::Reading>,
    /// When the certificate ends that is shown, where one is.
    pub certificate_ends: Option<Timestamp>,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Mutex<Registry>,
    gauges: Mutex<Option<Arc<dyn Gauges>>>,
    requests: Family<RequestLabels, Counter>,
    request_duration: Histograms<DoorLabels>,
    attempts: Family<AttemptLabels, Counter>,
    first_token: Histograms<TargetLabels>,
    tokens: Family<KindLabels, Counter>,
    /// Those of `tokens`, by [`TOKEN_KINDS`]: each request counts all of them.
    tokens_by_kind: [Counter; TOKEN_KINDS.len()],
    cost: Usd,
    saved: Usd,
    unpriced: Counter,
    degraded: Family<AgentLabels, Counter>,
    guardrail: Family<ActionLabels, Counter>,
    denied: Family<ReasonLabels, Counter>,
    regenerations: Counter,
    unrecorded: Counter,
    /// Records lost after their replies that `unrecorded` counts already.
    lost: AtomicU64,
    steps: Histograms<StepLabels>,
    load: Load,
}

const TOKEN_KINDS: [&str; 5] = ["input", "cached_input", "cache_write_input", "output", "reasoning_output"];

fn long_histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0])
}

fn step_histogram() -> Histogram {
    Histogram::new([0.000_1, 0.000_5, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let tokens = Family::<KindLabels, Counter>::default();
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            gauges: Mutex::new(None),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(long_histogram),
            attempts: Family::default(),
            first_token: Family::new_with_constructor(long_histogram),
            tokens_by_kind: TOKEN_KINDS.map(|kind| tokens.get_or_create(&KindLabels { kind }).clone()),
            tokens,
            cost: Counter::default(),
            saved: Counter::default(),
            unpriced: Counter::default(),
            degraded: Family::default(),
            guardrail: Family::default(),
            denied: Family::default(),
            regenerations: Counter::default(),
            unrecorded: Counter::default(),
            lost: AtomicU64::new(0),
            steps: Family::new_with_constructor(step_histogram),
            load: Load::default(),
        };
        metrics.register();
        metrics
    }
}

/// A float is fine for a dashboard's sum; the ledger keeps the exact amounts.
fn dollars(amount: Amount) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a dashboard's sum, not the ledger")]
    let dollars = amount.0 as f64 / 1e15;
    dollars.max(0.0)
}

/// The library appends the unit by itself.
fn without_unit(name: &'static str) -> &'static str {
    name.strip_suffix("_seconds").unwrap_or(name)
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock();
        let registry = &mut *registry;
        registry.register(metric::REQUESTS, "Turns that got their reply", self.requests.clone());
        registry.register_with_unit(
            without_unit(metric::REQUEST_DURATION),
            "From accepting to replying",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register(metric::UPSTREAM_ATTEMPTS, "Calls to targets", self.attempts.clone());
        registry.register_with_unit(
            without_unit(metric::TIME_TO_FIRST_TOKEN),
            "From calling a target to its first text",
            Unit::Seconds,
            self.first_token.clone(),
        );
        registry.register(metric::TOKENS, "Tokens used", self.tokens.clone());
        registry.register(
            metric::COST,
            "Cost of all attempts in US dollars, as far as it is known",
            self.cost.clone(),
        );
        registry.register(
            metric::CACHE_SAVED,
            "What answers that were given again had cost the first time, in US dollars",
            self.saved.clone(),
        );
        registry.register(metric::UNPRICED, "Turns whose cost is not known", self.unpriced.clone());
        registry.register(metric::DEGRADED, "Static answers", self.degraded.clone());
        registry.register(metric::GUARDRAIL_VERDICTS, "Guardrail verdicts", self.guardrail.clone());
        registry.register(metric::REQUESTS_DENIED, "Requests that were not let in", self.denied.clone());
        registry.register(metric::REGENERATIONS, "Answers generated again", self.regenerations.clone());
        registry.register(
            metric::UNRECORDED,
            "Replies whose record could not be written",
            self.unrecorded.clone(),
        );
        registry.register_with_unit(
            without_unit(metric::STEP_DURATION),
            "Time of one pipeline step",
            Unit::Seconds,
            self.steps.clone(),
        );
        self.load.register(registry);
    }

    /// Reads `gauges` at each scrape from now on.
    pub fn watch(&self, gauges: Arc<dyn Gauges>) {
        *self.gauges.lock() = Some(gauges);
    }

    /// Counts a reply.
    pub(crate) fn denied(&self, denied: Denied) {
        self.denied.get_or_create(&ReasonLabels { reason: denied.name() }).inc();
    }

    pub(crate) fn observe(&self, reply: &Reply) {
        self.finished(&reply.interaction);
        if reply.recorded == Recorded::No {
            self.not_recorded();
        }
    }

    fn text(&self, gate: &Gate) -> Result<String, std::fmt::Error> {
        let gauges = self.gauges.lock().clone();
        let calling = gauges.map(|gauges| gauges.calling()).unwrap_or_default();
        self.load.take_over(&calling, &gate.read());
        let known = self.lost.swap(calling.records_lost, Ordering::Relaxed);
        self.unrecorded.inc_by(calling.records_lost.saturating_sub(known));
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }
}

impl Observer for Metrics {
    fn finished(&self, interaction: &Interaction) {
        let door = interaction.door.name();
        let outcome = interaction.outcome.name();
        let tier = interaction.tier.map_or("none", Tier::name);
        self.requests.get_or_create(&RequestLabels { door, outcome, tier }).inc();
        self.request_duration.get_or_create(&DoorLabels { door }).observe(interaction.latency.as_secs_f64());
        for attempt in &interaction.attempts {
            if !attempt.is_call() {
                self.saved.inc_by(dollars(attempt.saved));
                continue;
            }
            let target = attempt.target.shared();
            let labels = AttemptLabels { target: Arc::clone(&target), result: attempt.result.name() };
            self.attempts.get_or_create(&labels).inc();
            if let Some(first_token) = attempt.first_token {
                self.first_token.get_or_create(&TargetLabels { target }).observe(first_token.as_secs_f64());
            }
        }
        let used = &interaction.usage;
        let counts =
            [used.input, used.cached_input, used.cache_write_input, used.output, used.reasoning_output];
        for (counter, count) in self.tokens_by_kind.iter().zip(counts) {
            counter.inc_by(u64::from(count.0));
        }
        for amount in interaction.attempts.iter().filter_map(|attempt| attempt.cost.amount()) {
            self.cost.inc_by(dollars(amount));
        }
        if interaction.cost == Cost::Unpriced {
            self.unpriced.inc();
        }
        if interaction.outcome == Outcome::Degraded {
            self.degraded.get_or_create(&AgentLabels { agent: interaction.agent.name.as_str().into() }).inc();
        }
        self.guardrail.get_or_create(&ActionLabels { action: interaction.guardrail.action.name() }).inc();
        self.regenerations
            .inc_by(interaction.quality.as_ref().map_or(0, |quality| u64::from(quality.regenerations)));
        for step in &interaction.steps {
            self.steps.get_or_create(&StepLabels { step: step.name }).observe(step.took.as_secs_f64());
        }
    }

    fn not_recorded(&self) {
        self.unrecorded.inc();
    }
}

pub(crate) async fn scrape(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let text =
        api.metrics.text(&api.gate).map_err(|_| Problem::internal("the metrics could not be written"))?;
    let format = Format::asked(&headers);
    Ok(([(header::CONTENT_TYPE, format.media_type())], format.write(text)).into_response())
}
