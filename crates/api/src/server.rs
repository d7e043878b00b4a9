//! The settings of `[server]`, and what every handler needs.

use std::sync::Arc;
use std::time::Duration;

use access::gatekeeper::Gatekeeper;
use domain::ports::{Clock, Ids};
use domain::residency::Residency;
use domain::time::Moment;
use http::{HeaderMap, HeaderName};
use pipeline::parts::Pipeline;
use resilience::shedding::{Class, Gate};
use serde::Deserialize;
use tokio::sync::{SetOnce, watch};

use crate::body::BodyLimits;
use crate::health::{Checkup, Startup};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::serve;
use crate::stopping::Stop;

/// Settings of `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port. Only loopback addresses are accepted while no key exists.
    pub listen: String,
    /// How long a request may take in all; `x-mainstay-timeout-ms` lowers it.
    #[serde(with = "resilience::duration_text")]
    pub request_timeout: Duration,
    /// How long a body may take to arrive.
    #[serde(with = "resilience::duration_text")]
    pub body_timeout: Duration,
    /// How long a connection may take to send its headers, the first included.
    #[serde(with = "resilience::duration_text")]
    pub header_timeout: Duration,
    /// How long a connection may stay open without a request, or without reading its answer.
    #[serde(with = "resilience::duration_text")]
    pub idle_timeout: Duration,
    /// A stream that says nothing for so long sends a sign of life: agents', and those of routes with `assured`
    /// ([streams.md](streams.md)).
    #[serde(with = "resilience::duration_text")]
    pub keep_alive: Duration,
    /// How long requests under way may go on after the signal to stop (SIGTERM, SIGINT, or SIGHUP when the terminal goes
    /// away, which `nohup` keeps off); what is left then ends with an error. A second signal ends it at once.
    #[serde(with = "resilience::duration_text")]
    pub drain_timeout: Duration,
    /// How long after the signal to stop the port stays open, part of the drain time: `/health/ready` is 503, and each
    /// reply ends its connection. As long as what is in front needs to notice.
    #[serde(with = "resilience::duration_text")]
    pub stop_grace: Duration,
    /// Connections at once; more wait in the kernel. Fewer where the system allows the process fewer files.
    pub connections_max: usize,
    /// Proxies whose `x-forwarded-for` is believed, as addresses or networks: `["10.0.0.0/8"]`.
    pub trusted_proxies: Vec<String>,
    /// Origins whose web pages may ask, with a key, as browsers send them: `["https://app.example"]`. None is listed by
    /// default; while no key exists, none may.
    pub cors_origins: Vec<String>,
    /// Bytes of a native body.
    pub body_bytes_max: usize,
    /// Bytes of a body at a dialect endpoint (`/v1/…`).
    pub dialect_body_bytes_max: usize,
    /// TLS: see [tls.md](tls.md).
    pub tls: Option<serve::tls::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            request_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            keep_alive: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_millis(500),
            connections_max: 10_000,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            body_bytes_max: 1 << 20,
            dialect_body_bytes_max: 32 << 20,
            tls: None,
        }
    }
}

/// The header in which a request says how urgent it is.
pub(crate) const PRIORITY: HeaderName = HeaderName::from_static("x-mainstay-priority");
/// The header that says where a request may be processed.
pub(crate) const RESIDENCY: HeaderName = HeaderName::from_static("x-mainstay-residency");
/// The header that limits how long a request may take.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("x-mainstay-timeout-ms");

/// Everything handlers need.
pub struct Api {
    /// Settings.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Turns requests away, and knows the memory in use.
    pub gate: Arc<Gate>,
    /// Who is let in, as soon as the keys are read: the port opens before.
    pub access: Arc<SetOnce<Arc<Gatekeeper>>>,
    /// The pipeline, as soon as there is one: the port opens before.
    pub pipeline: watch::Receiver<Option<Arc<Pipeline>>>,
    /// Whether the first start is done.
    pub startup: Arc<Startup>,
    /// How far the stop is, once it is asked for.
    pub stop: Stop,
    /// Looks at every part.
    pub checkup: Arc<dyn Checkup>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is told to collectors, where there is one.
    pub telemetry: Option<Arc<telemetry::Hub>>,
}

impl Api {
    /// The pipeline; a request that comes while the server starts waits for it.
    pub(crate) async fn pipeline(&self, deadline: Moment) -> Result<Arc<Pipeline>, Problem> {
        if let Some(pipeline) = &*self.pipeline.borrow() {
            return Ok(Arc::clone(pipeline));
        }
        let mut pipeline = self.pipeline.clone();
        let wait = self.clock.sleep_until(deadline);
        tokio::select! {
            found = pipeline.wait_for(Option::is_some) => found
                .ok()
                .and_then(|found| found.clone())
                .ok_or_else(|| Problem::starting("the server is stopping")),
            () = wait => Err(Problem::starting("the server has not started whole yet; try again")),
        }
    }

    /// Who is let in; a request that comes before the keys are read waits for them.
    pub(crate) async fn gatekeeper(&self, deadline: Moment) -> Result<&Arc<Gatekeeper>, Problem> {
        let wait = self.clock.sleep_until(deadline);
        tokio::select! {
            keeper = self.access.wait() => Ok(keeper),
            () = wait => Err(Problem::starting("the server has not read its keys yet; try again")),
        }
    }

    pub(crate) fn body_limits(&self) -> BodyLimits {
        BodyLimits { bytes_max: self.config.body_bytes_max, time_max: self.config.body_timeout }
    }

    pub(crate) fn dialect_body_limits(&self) -> BodyLimits {
        BodyLimits { bytes_max: self.config.dialect_body_bytes_max, ..self.body_limits() }
    }

    /// How urgent a request says it is.
    pub(crate) fn class(headers: &HeaderMap) -> Result<Class, Problem> {
        let Some(value) = headers.get(&PRIORITY) else { return Ok(Class::default()) };
        let class = value.to_str().ok().and_then(Class::parse);
        class.ok_or_else(|| {
            Problem::bad_parameter("header `x-mainstay-priority`: write interactive, alert or batch")
        })
    }

    /// Where a request says that it may be processed, in a comma-separated list.
    pub(crate) fn residency(headers: &HeaderMap) -> Result<Residency, Problem> {
        let mut values = headers.get_all(&RESIDENCY).iter().peekable();
        if values.peek().is_none() {
            return Ok(Residency::Anywhere);
        }
        let wrong = |reason: &dyn std::fmt::Display| {
            Problem::bad_parameter(format!("header `{RESIDENCY}`: {reason}"))
        };
        let mut names = Vec::new();
        for value in values {
            let text = value.to_str().map_err(|_| wrong(&"write places, as `eu`"))?;
            names.extend(text.split(',').map(str::trim));
        }
        Residency::parse(Some(names)).map_err(|error| wrong(&error))
    }

    /// When the reply to a request is due.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Result<Moment, Problem> {
        let Some(value) = headers.get(&TIMEOUT) else {
            return Ok(self.clock.now().after(self.config.request_timeout));
        };
        let asked = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|ms| *ms > 0);
        let asked = asked.ok_or_else(|| {
            Problem::bad_parameter(
                "header `x-mainstay-timeout-ms`: write a whole number of milliseconds, at least 1",
            )
        })?;
        Ok(self.clock.now().after(Duration::from_millis(asked).min(self.config.request_timeout)))
    }
}

#[cfg(test)]
mod tests;
