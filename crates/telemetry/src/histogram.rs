//! What is measured: histograms by name and attributes, as many as are worth telling apart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram as Points, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
};
use parking_lot::Mutex;

use crate::attribute::{
    AGENT_NAME, ERROR_TYPE, OPERATION, PROVIDER, REQUEST_MODEL, SERVER_ADDRESS, SERVER_PORT, flag, nanos,
    number, resource, scope, text,
};
use crate::hub::Provider;

/// A histogram of the GenAI conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Instrument {
    TokenUsage,
    OperationDuration,
    TimeToFirstChunk,
    RequestDuration,
    TimeToFirstToken,
    TimePerOutputToken,
    AgentDuration,
}

impl Instrument {
    pub(crate) const ALL: [Self; 7] = [
        Self::TokenUsage,
        Self::OperationDuration,
        Self::TimeToFirstChunk,
        Self::RequestDuration,
        Self::TimeToFirstToken,
        Self::TimePerOutputToken,
        Self::AgentDuration,
    ];

    /// Its name, unit and description.
    fn told(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::TokenUsage => ("gen_ai.client.token.usage", "{token}", "Tokens that calls of models used"),
            Self::OperationDuration => {
                ("gen_ai.client.operation.duration", "s", "Duration of calls of models")
            }
            Self::TimeToFirstChunk => {
                ("gen_ai.client.operation.time_to_first_chunk", "s", "From calling a model to its first text")
            }
            Self::RequestDuration => {
                ("gen_ai.server.request.duration", "s", "Duration of requests that are relayed")
            }
            Self::TimeToFirstToken => {
                ("gen_ai.server.time_to_first_token", "s", "From a request to the first text of its answer")
            }
            Self::TimePerOutputToken => {
                ("gen_ai.server.time_per_output_token", "s", "Time of each token after the first text")
            }
            Self::AgentDuration => ("gen_ai.invoke_agent.duration", "s", "Duration of turns of agents"),
        }
    }

    /// Upper bounds of its buckets, as the conventions give them.
    pub(crate) fn bounds(self) -> &'static [f64] {
        match self {
            Self::TokenUsage => &[
                1.0,
                4.0,
                16.0,
                64.0,
                256.0,
                1_024.0,
                4_096.0,
                16_384.0,
                65_536.0,
                262_144.0,
                1_048_576.0,
                4_194_304.0,
                16_777_216.0,
                67_108_864.0,
            ],
            Self::OperationDuration | Self::TimeToFirstChunk | Self::RequestDuration => {
                &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
            }
            Self::TimeToFirstToken => {
                &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]
            }
            Self::TimePerOutputToken => {
                &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5]
            }
            Self::AgentDuration => {
                &[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]
            }
        }
    }
}

/// What tells series apart: words of ours and names of the configuration, never text of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Labels {
    pub(crate) operation: &'static str,
    pub(crate) provider: Option<Arc<Provider>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) agent: Option<Arc<str>>,
    pub(crate) token: Option<&'static str>,
    pub(crate) error: Option<&'static str>,
}

impl Labels {
    fn attributes(&self) -> Vec<KeyValue> {
        if *self == Self::default() {
            return vec![flag("otel.metric.overflow")];
        }
        let mut attributes = vec![text(OPERATION, self.operation)];
        if let Some(provider) = &self.provider {
            attributes.push(text(PROVIDER, &*provider.system));
            if let Some((address, port)) = &provider.server {
                attributes.extend([text(SERVER_ADDRESS, &**address), number(SERVER_PORT, *port)]);
            }
        }
        attributes.extend(self.model.as_deref().map(|model| text(REQUEST_MODEL, model)));
        attributes.extend(self.agent.as_deref().map(|agent| text(AGENT_NAME, agent)));
        attributes.extend(self.token.map(|token| text("gen_ai.token.type", token)));
        attributes.extend(self.error.map(|error| text(ERROR_TYPE, error)));
        attributes
    }
}

/// Most series of all histograms; what is new then is counted together (`otel.metric.overflow`).
const SERIES_MAX: usize = 2_000;

struct Counted {
    counts: Box<[u64]>,
    sum: f64,
    least: f64,
    most: f64,
}

/// All histograms since the start.
pub(crate) struct Histograms {
    since: Timestamp,
    series: Mutex<HashMap<(Instrument, Labels), Counted>>,
}

impl Histograms {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self { since, series: Mutex::default() }
    }

    /// Counts a duration.
    pub(crate) fn time(&self, instrument: Instrument, labels: &Labels, took: Duration) {
        self.add(instrument, labels, took.as_secs_f64());
    }

    /// Counts `value`.
    pub(crate) fn add(&self, instrument: Instrument, labels: &Labels, value: f64) {
        let bounds = instrument.bounds();
        let bucket = bounds.partition_point(|bound| *bound < value);
        let mut series = self.series.lock();
        let mut key = (instrument, labels.clone());
        if series.len() >= SERIES_MAX && !series.contains_key(&key) {
            key.1 = Labels::default();
        }
        let counted = series.entry(key).or_insert_with(|| Counted {
            counts: vec![0; bounds.len() + 1].into(),
            sum: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        });
        if let Some(count) = counted.counts.get_mut(bucket) {
            *count += 1;
        }
        counted.sum += value;
        counted.least = counted.least.min(value);
        counted.most = counted.most.max(value);
    }

    /// All of them as they are at `now`; `None` while nothing was counted.
    pub(crate) fn message(
        &self,
        now: Timestamp,
        said: &[(String, String)],
    ) -> Option<ExportMetricsServiceRequest> {
        let (start, end) = (nanos(self.since, Duration::ZERO), nanos(now, Duration::ZERO));
        let mut metrics = Vec::new();
        let series = self.series.lock();
        for instrument in Instrument::ALL {
            let points = series.iter().filter(|((of, _), _)| *of == instrument);
            let point = |((_, labels), counted): (&(_, Labels), &Counted)| HistogramDataPoint {
                attributes: labels.attributes(),
                start_time_unix_nano: start,
                time_unix_nano: end,
                count: counted.counts.iter().sum(),
                sum: Some(counted.sum),
                bucket_counts: counted.counts.to_vec(),
                explicit_bounds: instrument.bounds().to_vec(),
                min: Some(counted.least),
                max: Some(counted.most),
                ..HistogramDataPoint::default()
            };
            let data_points: Vec<_> = points.map(point).collect();
            if data_points.is_empty() {
                continue;
            }
            let (name, unit, description) = instrument.told();
            metrics.push(Metric {
                name: name.to_owned(),
                description: description.to_owned(),
                unit: unit.to_owned(),
                data: Some(Data::Histogram(Points {
                    data_points,
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                })),
                ..Metric::default()
            });
        }
        if metrics.is_empty() {
            return None;
        }
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
        let resource_metrics =
            ResourceMetrics { resource: Some(resource(said)), scope_metrics, ..ResourceMetrics::default() };
        Some(ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(histograms: &Histograms) -> Vec<HistogramDataPoint> {
        let message = histograms.message(Timestamp(2_000_000), &[]).expect("something was counted");
        let metrics = message.resource_metrics.into_iter().flat_map(|all| all.scope_metrics);
        let data = metrics.flat_map(|scope| scope.metrics).filter_map(|metric| metric.data);
        let points = data.flat_map(|data| match data {
            Data::Histogram(histogram) => histogram.data_points,
            other => panic!("{other:?}"),
        });
        points.collect()
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let histograms = Histograms::new(Timestamp(1_000_000));
        assert_eq!(histograms.message(Timestamp(0), &[]), None, "nothing was counted");
        let labels = Labels { operation: "chat", ..Labels::default() };
        for value in [0.0, 0.01, 0.010_1, 81.92, 82.0] {
            histograms.add(Instrument::OperationDuration, &labels, value);
        }
        let [point] = &points(&histograms)[..] else { panic!("one series") };
        let counts = &point.bucket_counts;
        assert_eq!((counts[0], counts[1], counts[13], counts[14]), (2, 1, 1, 1));
        assert_eq!((counts.len(), point.explicit_bounds.len(), point.count), (15, 14, 5));
        assert_eq!((point.min, point.max), (Some(0.0), Some(82.0)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 2_000_000_000));
    }

    #[test]
    fn series_are_bounded() {
        let histograms = Histograms::new(Timestamp(0));
        for n in 0..SERIES_MAX + 50 {
            let model = Some(format!("m{n}").into());
            let labels = Labels { operation: "chat", model, ..Labels::default() };
            histograms.add(Instrument::OperationDuration, &labels, 1.0);
        }
        let points = points(&histograms);
        assert_eq!(points.len(), SERIES_MAX + 1);
        let overflow = points.iter().find(|point| point.count == 50).expect("counted together");
        assert_eq!(overflow.attributes[0].key, "otel.metric.overflow");
    }

    #[test]
    fn bounds_rise() {
        for instrument in Instrument::ALL {
            let bounds = instrument.bounds();
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{instrument:?}");
        }
    }
}
