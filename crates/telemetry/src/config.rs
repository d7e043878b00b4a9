//! Settings of `[telemetry]`.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::secret::SecretRef;
use http::HeaderName;
use outbound::OriginConfig;
use resilience::duration_text;
use serde::Deserialize;

/// Settings of `[telemetry]`. What is left out is taken from OpenTelemetry's own variables of the environment, then from
/// the defaults. Nothing is sent while neither names an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of a collector that takes OTLP over HTTP, as `"http://127.0.0.1:4318"`; `/v1/traces` and `/v1/metrics` are
    /// appended. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`, else nothing is sent.
    pub endpoint: Option<String>,
    /// Header fields of each export, their values as references to secrets: `{ api-key = "env::COLLECTOR_KEY" }`.
    /// Default: `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: BTreeMap<String, String>,
    /// What is sent: `["traces", "metrics"]`. Default: both, unless `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` is `none`.
    pub signals: Option<Vec<Signal>>,
    /// The share of traces that are kept, 0 to 1, of those that begin here. Default: `OTEL_TRACES_SAMPLER_ARG`, else 1.
    pub sampling: Option<f64>,
    /// Whether a caller's own decision to keep its trace holds. Default: `follow`, unless `OTEL_TRACES_SAMPLER` names
    /// a sampler without `parentbased`.
    pub callers: Option<Callers>,
    /// Whether calls of providers carry `traceparent` and `tracestate`.
    pub providers: Providers,
    /// Whether spans hold what was asked and answered.
    pub content: Content,
    /// The name of this service. Default: `OTEL_SERVICE_NAME`, else `mainstay`.
    pub service_name: Option<String>,
    /// Further attributes of this service, as `{ "deployment.environment.name" = "prod" }`, beside those of
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: BTreeMap<String, String>,
    /// How long one export may take. Default: `OTEL_EXPORTER_OTLP_TIMEOUT`, else 10 s.
    #[serde(with = "duration_text::option")]
    pub timeout: Option<Duration>,
    /// How long spans wait for others to be sent with. Default: `OTEL_BSP_SCHEDULE_DELAY`, else 5 s.
    #[serde(with = "duration_text::option")]
    pub batch_delay: Option<Duration>,
    /// Most spans of one export. Default: `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, else 512.
    pub batch_spans_max: Option<usize>,
    /// Most spans that wait; further ones are dropped and counted. Default: `OTEL_BSP_MAX_QUEUE_SIZE`, else 2048.
    pub queue_spans_max: Option<usize>,
    /// How often metrics are sent. Default: `OTEL_METRIC_EXPORT_INTERVAL`, else 60 s.
    #[serde(with = "duration_text::option")]
    pub metrics_interval: Option<Duration>,
}

/// A kind of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Spans of requests, steps and calls.
    Traces,
    /// Histograms of durations and tokens.
    Metrics,
}

/// Whose decision it is whether a trace is kept that a caller began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Callers {
    /// The caller's.
    #[default]
    Follow,
    /// Ours.
    Ignore,
}

/// What providers are told of traces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Providers {
    /// The ids of trace and call, and what callers put beside them.
    #[default]
    Told,
    /// Nothing.
    Untold,
}

/// What spans hold of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// None of them.
    #[default]
    None,
    /// What the records of agents keep: as the guardrails let it through, secrets masked, 8 KiB of each text at most.
    /// Of relayed requests nothing is kept, and so nothing is sent.
    Kept,
}

/// A setting that cannot be used: its key, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Mistake {
    /// The key below `[telemetry]`.
    pub key: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// Most header fields of an export, and most attributes of the service.
const NAMED_MAX: usize = 32;
/// Nothing is sent more often than this.
const OFTEN: Duration = Duration::from_millis(10);
/// Most spans that may wait, whatever is asked for.
const SPANS_MAX: usize = 1 << 20;

impl Config {
    /// Everything in it that cannot be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut wrong = |key, is_wrong: bool, reason: &str| {
            if is_wrong {
                found.push(Mistake { key, reason: reason.to_owned() });
            }
        };
        let endpoint = self.endpoint.as_deref().map(|endpoint| origin(endpoint).validate());
        if let Some(Err(error)) = endpoint {
            let reason = error.to_string().replace("`base_url`", "`endpoint`");
            wrong("endpoint", true, &reason);
        }
        let share = self.sampling.unwrap_or(1.0);
        wrong("sampling", !(0.0..=1.0).contains(&share), "`sampling` must be from 0 to 1");
        for (key, time) in [
            ("timeout", self.timeout),
            ("batch_delay", self.batch_delay),
            ("metrics_interval", self.metrics_interval),
        ] {
            let is_wrong = time.is_some_and(|time| time < OFTEN);
            wrong(key, is_wrong, &format!("`{key}` must be {OFTEN:?} or more"));
        }
        for (key, number) in
            [("batch_spans_max", self.batch_spans_max), ("queue_spans_max", self.queue_spans_max)]
        {
            let is_wrong = number.is_some_and(|number| !(1..=SPANS_MAX).contains(&number));
            wrong(key, is_wrong, &format!("`{key}` must be 1 to {SPANS_MAX}"));
        }
        let is_wrong = self.headers.len() > NAMED_MAX || self.attributes.len() > NAMED_MAX;
        wrong("headers", is_wrong, "more than 32 `headers` or `attributes`");
        for (name, reference) in &self.headers {
            if HeaderName::try_from(name.as_str()).is_err() {
                wrong("headers", true, &format!("`{name}` is no name of a header field"));
            }
            if let Err(error) = SecretRef::parse(reference) {
                wrong("headers", true, &format!("`{name}`: {error}"));
            }
        }
        found
    }
}

/// Where a collector is. Whoever runs the server names it, so it may be a neighbour, over plain `http`.
pub(crate) fn origin(base_url: &str) -> OriginConfig {
    OriginConfig { base_url: base_url.to_owned(), allow_private: true, secret: None }
}
