//! What is read from its owner at each scrape: targets with their breakers and places, routes, memory, and what was
//! turned away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::cache::Came;
use domain::limit::Level;
use domain::signal::metric;
use domain::time::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use resilience::breakers::Refusals;
use resilience::{hedge, shedding};
use routing::TargetHealth;

use super::{Calling, TargetLabels, without_unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    reason: &'static str,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HedgeLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    target: Arc<str>,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitedLabels {
    level: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    level: &'static str,
    /// Of tenants, which the configuration names; keys would be too many to tell apart.
    tenant: Arc<str>,
    period: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

type NoLabels = [(&'static str, &'static str); 0];

/// How the parts are that limit load.
#[derive(Default)]
pub(super) struct Load {
    breakers: Family<TargetLabels, Gauge>,
    quota: Family<TargetLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    calls: Family<TargetLabels, Gauge>,
    calls_max: Family<TargetLabels, Gauge>,
    refused: Family<RefusedLabels, Counter>,
    hedges: Family<HedgeLabels, Counter>,
    requests: Family<RouteLabels, Gauge>,
    requests_max: Family<RouteLabels, Gauge>,
    waiting: Family<RouteLabels, Gauge>,
    shed: Family<ShedLabels, Counter>,
    limited: Family<LimitedLabels, Counter>,
    budgets: Family<BudgetLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    spans_dropped: Counter,
    exports: Family<ResultLabels, Counter>,
    memory_used: Gauge,
    memory_limit: Gauge,
    cached: Family<ResultLabels, Counter>,
    cached_waited: Counter,
    cached_entries: Gauge,
    cached_size: Gauge,
    /// A family, since a server without TLS has none.
    certificate: Family<NoLabels, Gauge>,
}

impl Load {
    pub(super) fn register(&self, registry: &mut Registry) {
        let breakers = "Breaker states: 0 closed, 1 half-open, 2 open";
        registry.register(metric::BREAKER_STATE, breakers, self.breakers.clone());
        registry.register_with_unit(
            without_unit(metric::TARGET_QUOTA),
            "How long a target that asked to slow down is still left alone; 0 when it is not",
            Unit::Seconds,
            self.quota.clone(),
        );
        registry.register(metric::TARGET_CALLS, "Calls under way", self.calls.clone());
        registry.register(metric::TARGET_CALLS_MAX, "Most calls at once, as of now", self.calls_max.clone());
        registry.register(metric::TARGET_REFUSED, "Calls that were not made", self.refused.clone());
        registry.register(metric::HEDGES, "Second calls beside slow ones", self.hedges.clone());
        let requests = "Requests that wait for their answer";
        registry.register(metric::ROUTE_REQUESTS, requests, self.requests.clone());
        let requests_max = "Most requests at once, as of now";
        registry.register(metric::ROUTE_REQUESTS_MAX, requests_max, self.requests_max.clone());
        registry.register(metric::ROUTE_WAITING, "Requests that wait for a place", self.waiting.clone());
        registry.register(metric::SHED, "Requests that were turned away", self.shed.clone());
        let dropped = "Spans that no collector got";
        registry.register(metric::TELEMETRY_DROPPED, dropped, self.spans_dropped.clone());
        registry.register(metric::TELEMETRY_EXPORTS, "Exports to collectors", self.exports.clone());
        registry.register(metric::LIMITED, "Requests that limits refused", self.limited.clone());
        let left = "What is left of budgets, in US dollars; of keys, the one's that has least left";
        registry.register(metric::BUDGET_REMAINING, left, self.budgets.clone());
        let used = "Memory in use that cannot be taken back, as far as the limit is about it";
        registry.register_with_unit(
            metric::MEMORY_USED.trim_end_matches("_bytes"),
            used,
            Unit::Bytes,
            self.memory_used.clone(),
        );
        registry.register_with_unit(
            metric::MEMORY_LIMIT.trim_end_matches("_bytes"),
            "Memory that may be used",
            Unit::Bytes,
            self.memory_limit.clone(),
        );
        let looked = "Requests for which an earlier answer was looked for";
        registry.register(metric::CACHE_REQUESTS, looked, self.cached.clone());
        let waited = "Requests that waited for the answer to another one that asked the same";
        registry.register(metric::CACHE_WAITED, waited, self.cached_waited.clone());
        registry.register(metric::CACHE_ENTRIES, "Answers that are kept", self.cached_entries.clone());
        registry.register_with_unit(
            metric::CACHE_SIZE.trim_end_matches("_bytes"),
            "Size of the answers that are kept",
            Unit::Bytes,
            self.cached_size.clone(),
        );
        registry.register_with_unit(
            without_unit(metric::CERTIFICATE_EXPIRY),
            "When the certificate ends that the server shows, since 1970",
            Unit::Seconds,
            self.certificate.clone(),
        );
    }

    /// Takes over how targets and routes are now; those that are gone are no longer told of.
    pub(super) fn take_over(&self, calling: &Calling, gate: &shedding::Reading) {
        self.take_over_targets(&calling.targets);
        let hedge::Reading { won, lost, failed, capped } = calling.hedges;
        for (result, n) in [("won", won), ("lost", lost), ("failed", failed), ("capped", capped)] {
            self.hedges.get_or_create(&HedgeLabels { result }).inner().store(n, Ordering::Relaxed);
        }
        self.take_over_budgets(calling);
        if let Some(telemetry) = calling.telemetry {
            self.spans_dropped.inner().store(telemetry.spans_dropped, Ordering::Relaxed);
            for (result, n) in [("done", telemetry.exports_done), ("failed", telemetry.exports_failed)] {
                self.exports.get_or_create(&ResultLabels { result }).inner().store(n, Ordering::Relaxed);
            }
        }
        for family in [&self.requests, &self.requests_max, &self.waiting] {
            family.clear();
        }
        for reading in &gate.routes {
            let labels = RouteLabels { route: reading.route.as_str().into() };
            self.requests.get_or_create(&labels).set(i64::from(reading.under_way));
            self.requests_max.get_or_create(&labels).set(i64::from(reading.limit));
            self.waiting.get_or_create(&labels).set(i64::from(reading.waiting));
        }
        for (reason, class, n) in &gate.shed {
            let labels = ShedLabels { reason: reason.name(), class: class.name() };
            self.shed.get_or_create(&labels).inner().store(*n, Ordering::Relaxed);
        }
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.memory_used.set(bytes(gate.memory.used_bytes));
        self.memory_limit.set(bytes(gate.memory.limit_bytes));
        let cache::Reading { came, entries, bytes: size, waited } = calling.cached;
        for (came, n) in Came::ALL.into_iter().zip(came) {
            self.cached
                .get_or_create(&ResultLabels { result: came.name() })
                .inner()
                .store(n, Ordering::Relaxed);
        }
        self.cached_waited.inner().store(waited, Ordering::Relaxed);
        self.cached_entries.set(bytes(entries));
        self.cached_size.set(bytes(size));
        if let Some(Timestamp(micros)) = calling.certificate_ends {
            self.certificate.get_or_create(&[]).set(micros / 1_000_000);
        }
    }

    fn take_over_budgets(&self, calling: &Calling) {
        for ((level, reason), n) in &calling.limited {
            self.limited.get_or_create(&LimitedLabels { level, reason }).inner().store(*n, Ordering::Relaxed);
        }
        self.budgets.clear();
        for (level, budget) in &calling.budgets {
            let tenant = match level {
                Level::Tenant(tenant) => tenant.as_str().into(),
                Level::Key(_) | Level::Server => "".into(),
            };
            let labels = BudgetLabels { level: level.name(), tenant, period: budget.period.name() };
            #[expect(clippy::cast_precision_loss, reason = "a dashboard's figure, not the ledger")]
            let dollars = budget.remaining.0 as f64 / 1e9;
            self.budgets.get_or_create(&labels).set(dollars);
        }
    }

    fn take_over_targets(&self, targets: &[TargetHealth]) {
        for family in [&self.breakers, &self.calls, &self.calls_max] {
            family.clear();
        }
        self.quota.clear();
        self.refused.clear();
        for health in targets {
            let target: Arc<str> = health.target.as_str().into();
            let labels = TargetLabels { target: Arc::clone(&target) };
            self.breakers.get_or_create(&labels).set(health.position.metric());
            let quota = health.quota_for.unwrap_or_default().as_secs_f64();
            self.quota.get_or_create(&labels).set(quota);
            self.calls.get_or_create(&labels).set(i64::from(health.calls.calls));
            self.calls_max.get_or_create(&labels).set(i64::from(health.calls.limit));
            let Refusals { breaker, quota, full } = health.refused;
            for (reason, n) in [("breaker", breaker), ("quota", quota), ("full", full)] {
                let labels = RefusedLabels { target: Arc::clone(&target), reason };
                self.refused.get_or_create(&labels).inner().store(n, Ordering::Relaxed);
            }
        }
    }
}
