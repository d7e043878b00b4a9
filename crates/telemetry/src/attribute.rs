//! How attributes are written, and the names of those that more than one place says.

use std::time::Duration;

use domain::chat::Delivery;
use domain::time::Timestamp;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub(crate) const OPERATION: &str = "gen_ai.operation.name";
pub(crate) const PROVIDER: &str = "gen_ai.provider.name";
pub(crate) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(crate) const AGENT_NAME: &str = "gen_ai.agent.name";
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const SERVER_ADDRESS: &str = "server.address";
pub(crate) const SERVER_PORT: &str = "server.port";

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

pub(crate) fn texts<const N: usize>(key: &str, values: [&str; N]) -> KeyValue {
    let value = |text: &str| AnyValue { value: Some(Value::StringValue(text.to_owned())) };
    attribute(key, Value::ArrayValue(ArrayValue { values: values.map(value).into() }))
}

pub(crate) fn number(key: &str, value: impl Into<i64>) -> KeyValue {
    attribute(key, Value::IntValue(value.into()))
}

pub(crate) fn real(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

/// That something is so.
pub(crate) fn flag(key: &str) -> KeyValue {
    attribute(key, Value::BoolValue(true))
}

/// Whether an answer is streamed.
pub(crate) fn streams(delivery: Delivery) -> KeyValue {
    attribute("gen_ai.request.stream", Value::BoolValue(delivery == Delivery::Streamed))
}

/// Nanoseconds since 1970, `after` a time.
pub(crate) fn nanos(at: Timestamp, after: Duration) -> u64 {
    let at = u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000);
    at.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
}

/// Who sends.
pub(crate) fn resource(said: &[(String, String)]) -> Resource {
    let mut attributes: Vec<KeyValue> = said.iter().map(|(key, value)| text(key, value.as_str())).collect();
    if !said.iter().any(|(key, _)| key == "service.version") {
        attributes.push(text("service.version", env!("CARGO_PKG_VERSION")));
    }
    Resource { attributes, ..Resource::default() }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "mainstay".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
