//! What requests meet: it decides which are watched closely, and takes what is left of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::{Clock, Rng};
use domain::trace_context::{Sampled, SpanId, TraceId, TraceParent, TraceState};
use http::HeaderMap;
use parking_lot::RwLock;

use crate::config::Callers;
use crate::histogram::Histograms;
use crate::queue::Queue;
use crate::standard::Settings;

/// A provider as the conventions name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provider {
    /// `openai`, `aws.bedrock`, …
    pub system: Arc<str>,
    /// Where it is, where that is one place.
    pub server: Option<(Arc<str>, u16)>,
}

/// Providers by their name in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Providers(BTreeMap<String, Arc<Provider>>);

impl Providers {
    pub(crate) fn of(&self, name: &str) -> Arc<Provider> {
        let unknown = || Arc::new(Provider { system: name.into(), server: None });
        self.0.get(name).cloned().unwrap_or_else(unknown)
    }
}

/// What was sent, and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Spans that no collector got: the queue was full, or it took none of them.
    pub spans_dropped: u64,
    /// Exports that a collector took.
    pub exports_done: u64,
    /// Exports that failed for good.
    pub exports_failed: u64,
}

/// What requests meet.
pub struct Hub {
    pub(crate) clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    pub(crate) settings: Settings,
    pub(crate) queue: Queue,
    /// `None` where no metrics are sent.
    pub(crate) histograms: Option<Histograms>,
    providers: RwLock<Arc<Providers>>,
    pub(crate) n_done: AtomicU64,
    pub(crate) n_failed: AtomicU64,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("reading", &self.read()).finish_non_exhaustive()
    }
}

/// A request's place in its trace.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    /// The request's own span.
    pub(crate) own: TraceParent,
    /// The caller's.
    pub(crate) caller: Option<TraceParent>,
    pub(crate) state: Option<TraceState>,
}

impl Hub {
    /// Nothing is sent before its [`crate::Exporter`] runs.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self {
            queue: Queue::new(
                settings.queue_spans_max,
                settings.batch_spans_max.min(settings.queue_spans_max),
            ),
            histograms: settings.metrics.is_some().then(|| Histograms::new(clock.wall())),
            providers: RwLock::default(),
            n_done: AtomicU64::new(0),
            n_failed: AtomicU64::new(0),
            clock,
            rng,
            settings,
        }
    }

    /// Providers are called so from now on.
    pub fn know(&self, providers: impl IntoIterator<Item = (String, Provider)>) {
        let providers = providers.into_iter().map(|(name, provider)| (name, Arc::new(provider)));
        *self.providers.write() = Arc::new(Providers(providers.collect()));
    }

    pub(crate) fn providers(&self) -> Arc<Providers> {
        Arc::clone(&self.providers.read())
    }

    /// What was sent, and what was not.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            spans_dropped: self.queue.n_dropped(),
            exports_done: self.n_done.load(Ordering::Relaxed),
            exports_failed: self.n_failed.load(Ordering::Relaxed),
        }
    }

    /// Whether spans are sent at all.
    pub(crate) fn traces(&self) -> bool {
        self.settings.traces.is_some()
    }

    pub(crate) fn place(&self, headers: &HeaderMap) -> Placed {
        let caller = caller(headers);
        let trace = caller.map_or_else(|| self.new_trace(), |caller| caller.trace);
        let sampled = match (caller, self.settings.callers) {
            _ if !self.traces() => Sampled::No,
            (Some(caller), Callers::Follow) => caller.sampled(),
            _ => self.sample(trace),
        };
        let span = self.new_span();
        let own = match caller {
            Some(caller) => caller.at(span).marked(sampled),
            None => TraceParent::new(trace, span, sampled),
        };
        let fields = headers.get_all("tracestate").iter();
        let state = caller.and_then(|_| TraceState::parse(fields.filter_map(|value| value.to_str().ok())));
        Placed { own, caller, state }
    }

    fn sample(&self, trace: TraceId) -> Sampled {
        /// 2 to the power of 53: so many whole numbers a float tells apart.
        const PARTS: f64 = 9_007_199_254_740_992.0;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let place = (trace.chance() >> 11) as f64 / PARTS;
        if place < self.settings.share { Sampled::Yes } else { Sampled::No }
    }

    fn new_trace(&self) -> TraceId {
        loop {
            let id = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
            if let Some(id) = TraceId::new(id) {
                return id;
            }
        }
    }

    fn new_span(&self) -> SpanId {
        loop {
            if let Some(id) = SpanId::new(self.rng.next_u64()) {
                return id;
            }
        }
    }
}

/// The caller's span; two of them say nothing.
fn caller(headers: &HeaderMap) -> Option<TraceParent> {
    let mut fields = headers.get_all("traceparent").iter();
    let field = fields.next()?;
    match fields.next() {
        Some(_) => None,
        None => TraceParent::parse(field.to_str().ok()?),
    }
}
