//! A collector of OpenTelemetry: takes exports, and reads them as OTLP's own messages.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use testkit::upstream::Received;
use testkit::{Behaviour, Upstream};

use crate::server::wait_for;

/// A running collector.
pub(crate) struct Collector(pub(crate) Upstream);

/// Attributes as text, by name.
pub(crate) type Attributes = BTreeMap<String, String>;

impl Collector {
    pub(crate) fn start() -> Self {
        Self(Upstream::start(Behaviour::default()))
    }

    /// Settings that send everything here, soon.
    pub(crate) fn settings(&self, more: &str) -> String {
        let address = self.0.address();
        format!(
            "[telemetry]\nendpoint = \"http://{address}\"\nbatch_delay = \"50ms\"\nmetrics_interval = \"200ms\"\n{more}\n"
        )
    }

    fn exports(&self, line: &str) -> Vec<Received> {
        let mut received = self.0.received();
        received.retain(|request| request.line == line);
        received
    }

    /// All spans so far, with the attributes of whoever sent them.
    pub(crate) fn spans(&self) -> Vec<(Span, Attributes)> {
        let messages = self.exports("POST /v1/traces").into_iter().map(|export| {
            assert_eq!(export.header("content-type"), Some("application/x-protobuf"));
            ExportTraceServiceRequest::decode(&export.body[..]).expect("OTLP's message")
        });
        let of = messages.flat_map(|message| message.resource_spans);
        let spans = of.flat_map(|of| {
            let resource = attributes(&of.resource.expect("a resource").attributes);
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| (span, resource.clone())).collect::<Vec<_>>()
        });
        spans.collect()
    }

    /// The spans of one trace, as soon as its request's is there.
    pub(crate) fn trace(&self, trace: &str) -> Trace {
        let found = || {
            let spans: Vec<Span> = self.spans().into_iter().map(|(span, _)| span).collect();
            let spans: Vec<Span> = spans.into_iter().filter(|span| hex(&span.trace_id) == trace).collect();
            spans.iter().any(|span| span.kind == SERVER).then_some(Trace(spans))
        };
        wait_for(Duration::from_secs(20), found).unwrap_or_else(|| panic!("no trace {trace}"))
    }

    /// The newest points of each histogram, by its name.
    pub(crate) fn points(&self) -> BTreeMap<String, Vec<HistogramDataPoint>> {
        let Some(export) = self.exports("POST /v1/metrics").pop() else { return BTreeMap::new() };
        let message = ExportMetricsServiceRequest::decode(&export.body[..]).expect("OTLP's message");
        let scopes = message.resource_metrics.into_iter().flat_map(|of| of.scope_metrics);
        let points = scopes.flat_map(|scope| scope.metrics).map(|metric| match metric.data {
            Some(Data::Histogram(histogram)) => (metric.name, histogram.data_points),
            other => panic!("{other:?}"),
        });
        points.collect()
    }

    /// Everything that came, as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.received().into_iter().flat_map(|request| request.body).collect()
    }
}

/// `SPAN_KIND_SERVER` and the others.
pub(crate) const INTERNAL: i32 = 1;
pub(crate) const SERVER: i32 = 2;
pub(crate) const CLIENT: i32 = 3;
/// `STATUS_CODE_ERROR`.
pub(crate) const ERROR: i32 = 2;

/// The spans of one trace.
#[derive(Debug)]
pub(crate) struct Trace(pub(crate) Vec<Span>);

impl Trace {
    /// The one span of this name.
    pub(crate) fn span(&self, name: &str) -> &Span {
        let named = |span: &&Span| span.name == name;
        let names = || self.0.iter().map(|span| span.name.as_str()).collect::<Vec<_>>();
        self.0.iter().find(named).unwrap_or_else(|| panic!("no span `{name}` in {:?}", names()))
    }

    /// Names from `name` up to the request.
    pub(crate) fn path(&self, name: &str) -> Vec<&str> {
        let mut span = self.span(name);
        let mut path = vec![span.name.as_str()];
        while let Some(parent) = self.0.iter().find(|parent| parent.span_id == span.parent_span_id) {
            let is_within = parent.start_time_unix_nano <= span.start_time_unix_nano
                && span.end_time_unix_nano <= parent.end_time_unix_nano + 2_000_000;
            assert!(is_within, "{} is not within {}", span.name, parent.name);
            path.push(&parent.name);
            span = parent;
        }
        path
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn attributes(attributes: &[KeyValue]) -> Attributes {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(&attribute.value))).collect()
}
