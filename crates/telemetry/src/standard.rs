//! The settings in force: those of `[telemetry]`, and where that is silent the variables of the environment that
//! OpenTelemetry's SDKs read (specification 1.50, "Environment Variable Specification").

use std::time::Duration;

use domain::ports::Secrets;
use domain::secret::{Secret, SecretRef};
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::config::{Callers, Config, Content, Providers, Signal, origin};

/// Where one signal is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) base_url: String,
    pub(crate) path: String,
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) traces: Option<Endpoint>,
    pub(crate) metrics: Option<Endpoint>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) share: f64,
    pub(crate) callers: Callers,
    pub(crate) providers: Providers,
    pub(crate) content: Content,
    /// The service's name first.
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) batch_delay: Duration,
    pub(crate) batch_spans_max: usize,
    pub(crate) queue_spans_max: usize,
    pub(crate) metrics_interval: Duration,
    /// What of the environment could not be used, for the log: a server is not stopped by it, as the specification asks.
    pub ignored: Vec<String>,
}

/// A header field's secret cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SettingsError {
    /// It is not where its reference says.
    #[error("[telemetry] headers.{name}: {source}")]
    Secret {
        /// The header field.
        name: String,
        /// Why not.
        source: domain::ports::SecretError,
    },
    /// It holds bytes that no header field may.
    #[error("[telemetry] headers.{0}: the secret cannot stand in a header field")]
    Header(String),
}

/// Reads a variable of the environment; an empty one counts as none.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is read of the environment, and what could not be.
struct Environment<'a> {
    variables: Variables<'a>,
    ignored: Vec<String>,
}

impl Environment<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.variables)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// What `read` makes of a variable; what it makes nothing of is ignored and told.
    fn read<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let read = read(&text);
        if read.is_none() {
            // The value may be a secret in the wrong place.
            self.ignored.push(format!("`{name}` is not as OpenTelemetry says, and is ignored"));
        }
        read
    }

    fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        let read = |text: &str| text.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        self.read(name, read)
    }

    fn count(&mut self, name: &str) -> Option<usize> {
        self.read(name, |text| text.parse().ok().filter(|count| *count > 0))
    }

    fn endpoint(&mut self, name: &str) -> Option<String> {
        self.read(name, |text| origin(text).validate().is_ok().then(|| text.to_owned()))
    }

    /// Whether the exporter of a signal is switched off.
    fn is_off(&mut self, name: &str) -> bool {
        let read = |text: &str| match text {
            "none" => Some(true),
            "otlp" => Some(false),
            _ => None,
        };
        self.read(name, read).unwrap_or(false)
    }
}

impl Settings {
    /// The settings in force; `None` where nothing is sent.
    ///
    /// # Errors
    /// [`SettingsError`] when the secret of a header field cannot be had.
    pub fn read(
        config: &Config,
        variables: Variables<'_>,
        secrets: &dyn Secrets,
    ) -> Result<Option<Self>, SettingsError> {
        let mut environment = Environment { variables, ignored: Vec::new() };
        if environment.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let traces = endpoint(config, &mut environment, TRACES);
        let metrics = endpoint(config, &mut environment, METRICS);
        if traces.is_none() && metrics.is_none() {
            return Ok(None);
        }
        environment.read("OTEL_EXPORTER_OTLP_PROTOCOL", |text| (text == "http/protobuf").then_some(()));
        environment.read("OTEL_EXPORTER_OTLP_COMPRESSION", |text| (text == "none").then_some(()));
        let sampler = environment.read("OTEL_TRACES_SAMPLER", sampler);
        let (follows, share) = sampler.unwrap_or((Callers::Follow, None));
        let argument = |text: &str| text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        let argument = environment.read("OTEL_TRACES_SAMPLER_ARG", argument);
        let env = &mut environment;
        let settings = Self {
            traces,
            metrics,
            headers: headers(config, env, secrets)?,
            share: config.sampling.or(share).or(argument).unwrap_or(1.0),
            callers: config.callers.unwrap_or(follows),
            providers: config.providers,
            content: config.content,
            resource: resource(config, env),
            timeout: or(config.timeout, env.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT"), seconds(10)),
            batch_delay: or(config.batch_delay, env.milliseconds("OTEL_BSP_SCHEDULE_DELAY"), seconds(5)),
            batch_spans_max: or(config.batch_spans_max, env.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), 512),
            queue_spans_max: or(config.queue_spans_max, env.count("OTEL_BSP_MAX_QUEUE_SIZE"), 2_048),
            metrics_interval: or(
                config.metrics_interval,
                env.milliseconds("OTEL_METRIC_EXPORT_INTERVAL"),
                seconds(60),
            ),
            ignored: Vec::new(),
        };
        Ok(Some(Self { ignored: environment.ignored, ..settings }))
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The file's, else the environment's, else the default.
fn or<T>(configured: Option<T>, standard: Option<T>, default: T) -> T {
    configured.or(standard).unwrap_or(default)
}

/// A signal and its variables.
type Named = (Signal, &'static str, &'static str, &'static str);

const TRACES: Named =
    (Signal::Traces, "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces");
const METRICS: Named =
    (Signal::Metrics, "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "/v1/metrics");

fn endpoint(config: &Config, environment: &mut Environment<'_>, signal: Named) -> Option<Endpoint> {
    let (signal, exporter, own, path) = signal;
    let is_off = environment.is_off(exporter);
    let is_wanted = config.signals.as_ref().map_or(!is_off, |signals| signals.contains(&signal));
    if !is_wanted {
        return None;
    }
    if config.endpoint.is_none()
        && let Some(address) = environment.endpoint(own)
    {
        return Some(as_it_is(&address));
    }
    let base = config.endpoint.clone().or_else(|| environment.endpoint("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    Some(Endpoint { base_url: base, path: path.to_owned() })
}

/// The address of one signal, to which nothing is appended.
fn as_it_is(address: &str) -> Endpoint {
    let host = address.find("://").map_or(0, |at| at + 3);
    let path = address.get(host..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| host + at);
    let (base_url, path) = address.split_at(path);
    let path = if path.is_empty() { "/" } else { path };
    Endpoint { base_url: base_url.to_owned(), path: path.to_owned() }
}

fn sampler(name: &str) -> Option<(Callers, Option<f64>)> {
    let (callers, own) = match name.strip_prefix("parentbased_") {
        Some(own) => (Callers::Follow, own),
        None => (Callers::Ignore, name),
    };
    match own {
        "always_on" => Some((callers, Some(1.0))),
        "always_off" => Some((callers, Some(0.0))),
        "traceidratio" => Some((callers, None)),
        _ => None,
    }
}

fn headers(
    config: &Config,
    environment: &mut Environment<'_>,
    secrets: &dyn Secrets,
) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
    if config.headers.is_empty() {
        let read = |text: &str| pairs(text)?.into_iter().map(|(name, value)| field(&name, &value)).collect();
        return Ok(environment.read("OTEL_EXPORTER_OTLP_HEADERS", read).unwrap_or_default());
    }
    let field = |(name, reference): (&String, &String)| {
        let not_a_header = || SettingsError::Header(name.clone());
        let reference = SecretRef::parse(reference).map_err(|_| not_a_header())?;
        let secret = secrets
            .resolve(&reference)
            .map_err(|source| SettingsError::Secret { name: name.clone(), source })?;
        field(name, secret.expose()).ok_or_else(not_a_header)
    };
    config.headers.iter().map(field).collect()
}

fn field(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(Secret::new(value.to_owned()).expose()).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::try_from(name).ok()?, value))
}

/// `name=value,name=value`, percent-encoded as baggage is (W3C).
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded =
        |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name).filter(|name| !name.is_empty())?, decoded(value)?))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

/// What is said of this service.
fn resource(config: &Config, environment: &mut Environment<'_>) -> Vec<(String, String)> {
    const NAME: &str = "service.name";
    let mut said = environment.read("OTEL_RESOURCE_ATTRIBUTES", pairs).unwrap_or_default();
    said.truncate(32);
    said.retain(|(key, _)| !config.attributes.contains_key(key));
    said.extend(config.attributes.iter().map(|(key, value)| (key.clone(), value.clone())));
    let named = said.iter().find(|(key, _)| key == NAME).map(|(_, value)| value.clone());
    let name = config.service_name.clone().or_else(|| environment.text("OTEL_SERVICE_NAME")).or(named);
    said.retain(|(key, _)| key != NAME);
    said.insert(0, (NAME.to_owned(), name.unwrap_or_else(|| "mainstay".to_owned())));
    said
}
