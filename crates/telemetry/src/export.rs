//! The task that sends what waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use domain::ports::Rng;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use outbound::{Client, OriginError};
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::attribute::{resource, scope};
use crate::config::origin;
use crate::delivery::{Delivery, Failed};
use crate::hub::Hub;
use crate::standard::Endpoint;

/// What waits when the server stops has this long to be sent.
const FLUSH: Duration = Duration::from_secs(2);

/// Sends what the hub holds.
pub struct Exporter {
    hub: Arc<Hub>,
    rng: Arc<dyn Rng>,
    traces: Option<(outbound::Origin, Endpoint)>,
    metrics: Option<(outbound::Origin, Endpoint)>,
}

impl Exporter {
    /// An exporter that reaches the network through `client`.
    ///
    /// # Errors
    /// [`OriginError`] when an endpoint is no usable address.
    pub fn new(hub: Arc<Hub>, client: &Client, rng: Arc<dyn Rng>) -> Result<Self, OriginError> {
        let reach = |endpoint: &Option<Endpoint>| {
            let endpoint = endpoint.clone();
            let made = endpoint.map(|endpoint| Ok((client.origin(&origin(&endpoint.base_url))?, endpoint)));
            made.transpose()
        };
        let (traces, metrics) = (reach(&hub.settings.traces)?, reach(&hub.settings.metrics)?);
        Ok(Self { hub, rng, traces, metrics })
    }

    /// Sends until `shutdown`, then what is left, within two seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let (hub, rng) = (&*self.hub, &*self.rng);
        let delivery =
            |(origin, endpoint)| Delivery { hub, rng, origin, endpoint, stopping: shutdown.clone() };
        let (traces, metrics) = (self.traces.map(delivery), self.metrics.map(delivery));
        let sending = async {
            tokio::join!(
                async {
                    if let Some(delivery) = traces {
                        send_spans(delivery).await
                    }
                },
                async {
                    if let Some(delivery) = metrics {
                        send_metrics(delivery).await
                    }
                },
            )
        };
        let out_of_time = async {
            shutdown.cancelled().await;
            hub.clock.sleep(FLUSH).await;
        };
        tokio::select! {
            _ = sending => {}
            () = out_of_time => {
                let left = std::iter::repeat_with(|| hub.queue.take().len()).take_while(|n| *n > 0);
                hub.queue.lost(left.sum());
                tracing::warn!("the collector did not take what was left of telemetry in time");
            }
        }
    }
}

/// Whether exports go well, to tell only what changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
}

impl Mood {
    fn tell(&mut self, (delivery, what): (&Delivery<'_>, &str), sent: &Result<Bytes, Failed>) {
        let hub = delivery.hub;
        let now = match sent {
            Ok(_) => {
                hub.n_done.fetch_add(1, Ordering::Relaxed);
                Self::Well
            }
            Err(_) => {
                hub.n_failed.fetch_add(1, Ordering::Relaxed);
                Self::Failing
            }
        };
        if now == std::mem::replace(self, now) {
            return;
        }
        let collector = delivery.origin.name();
        match sent {
            Ok(_) => tracing::info!(collector, "the collector takes {what} again"),
            Err(error) => {
                tracing::warn!(collector, %error, "{what} could not be sent to {collector}: {error}");
            }
        }
    }
}

async fn send_spans(delivery: Delivery<'_>) {
    let (hub, mut mood) = (delivery.hub, Mood::Well);
    loop {
        tokio::select! {
            () = hub.queue.some() => {}
            () = delivery.stopping.cancelled() => {}
        }
        tokio::select! {
            () = hub.queue.enough() => {}
            () = hub.clock.sleep(hub.settings.batch_delay) => {}
            () = delivery.stopping.cancelled() => {}
        }
        // Asked before the queue is: nothing comes after the stop.
        let is_last = delivery.stopping.is_cancelled();
        let spans = hub.queue.take();
        if spans.is_empty() {
            if is_last {
                return;
            }
            continue;
        }
        let n_spans = spans.len();
        let sent = delivery.deliver(message(hub, spans).encode_to_vec().into()).await;
        let rejected = match &sent {
            Ok(answer) => ExportTraceServiceResponse::decode(answer.clone())
                .ok()
                .and_then(|answer| answer.partial_success)
                .map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0).min(n_spans)),
            Err(_) => n_spans,
        };
        hub.queue.lost(rejected);
        if sent.is_ok() && rejected > 0 {
            tracing::warn!(rejected, "the collector refused {rejected} spans");
        }
        mood.tell((&delivery, "traces"), &sent);
    }
}

fn message(hub: &Hub, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let resource = Some(resource(&hub.settings.resource));
    let resource_spans = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

async fn send_metrics(delivery: Delivery<'_>) {
    let (hub, mut mood) = (delivery.hub, Mood::Well);
    loop {
        let due = delivery.deadline(hub.settings.metrics_interval);
        tokio::select! {
            () = hub.clock.sleep_until(due) => {}
            () = delivery.stopping.cancelled() => {}
        }
        let is_last = delivery.stopping.is_cancelled();
        let all = hub.histograms.as_ref();
        let all = all.and_then(|all| all.message(hub.clock.wall(), &hub.settings.resource));
        if let Some(all) = all {
            let sent = delivery.deliver(all.encode_to_vec().into()).await;
            if let Some(partial) = sent
                .as_ref()
                .ok()
                .and_then(|answer| ExportMetricsServiceResponse::decode(answer.clone()).ok()?.partial_success)
                && partial.rejected_data_points > 0
            {
                tracing::warn!(rejected = partial.rejected_data_points, "the collector refused some metrics");
            }
            mood.tell((&delivery, "metrics"), &sent);
        }
        if is_last {
            return;
        }
    }
}
