//! A caller's own request, passed on with only what must change, and the answer's bytes as they come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, RelayCall, Relayed, RelayedPortion};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::id::ProviderName;
use domain::ports::{Clock, ModelError, RelayError, RelayedStream};
use domain::time::Moment;
use futures_util::stream;
use outbound::{BodyStream, OutboundError};
use wire::openai::relay::stream::Portions;
use wire::openai::relay::{self, Patch};
use wire::openai::stream::{Before, Progress, StreamError};

use super::{OpenAiCompatible, Waits, failed, request};

/// Most bytes of an answer that comes in one piece.
const WHOLE_BYTES_MAX: usize = 32 << 20;

/// Portions that come no farther apart than this are passed on together, as many as are at hand, up to so many bytes:
/// each piece that is passed on costs a system call here and one at the caller's.
const GATHERED_APART_MAX: Duration = Duration::from_millis(1);
const GATHERED_BYTES_MAX: usize = 16 << 10;

impl OpenAiCompatible {
    pub(super) async fn pass(&self, call: RelayCall) -> Result<RelayedStream, RelayError> {
        let RelayCall { model, relayed, overrides, deadline } = call;
        if relayed.dialect != Dialect::OpenAiChat {
            let detail = format!("`{}` speaks chat completions only", self.provider);
            let fault = Fault { origin: Origin::Mainstay, kind: Kind::RouteFatal, retry: Retry::Elsewhere };
            return Err(ModelError { fault, detail }.into());
        }
        let patch = Patch { model: model.name_at_provider(), overrides, limit_field: self.limit_field };
        // An answer in one piece begins when it is whole: only the deadline limits that.
        let first = match relayed.delivery {
            Delivery::Streamed => self.clock.now().after(self.waits.first).min(deadline),
            Delivery::Whole => deadline,
        };
        let request = request(relay::patch(&relayed, patch), relayed.delivery);
        let response = self.origin.send(request, first).await.map_err(|error| self.outbound(&error))?;
        if response.status.as_u16() != 200 {
            return Err(self.refused(response, first).await);
        }
        self.plain(&response.headers)?;
        let provider = self.provider.clone();
        Ok(match relayed.delivery {
            Delivery::Whole => Box::pin(stream::once(whole(provider, response.body, deadline))),
            Delivery::Streamed => {
                let timing = Timing {
                    clock: Arc::clone(&self.clock),
                    waits: self.waits,
                    deadline,
                    quiet_until: first,
                    heard: self.clock.now(),
                };
                portions(Passing::new(provider, response.body, (timing, &relayed)))
            }
        })
    }
}

async fn whole(
    provider: ProviderName,
    body: BodyStream,
    deadline: Moment,
) -> Result<RelayedPortion, RelayError> {
    let bytes = body.whole(WHOLE_BYTES_MAX, deadline).await.map_err(|error| failed(&provider, &error))?;
    match relay::whole(&bytes) {
        Ok(done) => Ok(RelayedPortion { bytes, said: 0, done: Some(done) }),
        Err(error) => Err(broken(&provider, error, Before::Nothing).into()),
    }
}

fn broken(provider: &ProviderName, error: StreamError, before: Before) -> ModelError {
    ModelError { fault: error.fault(before), detail: format!("`{provider}` failed: {error}") }
}

/// How long to wait for the next event.
struct Timing {
    clock: Arc<dyn Clock>,
    waits: Waits,
    deadline: Moment,
    /// Until when the next event must have come.
    quiet_until: Moment,
    /// When the last portion came.
    heard: Moment,
}

/// A streamed answer on its way through.
struct Passing {
    provider: ProviderName,
    /// Until the end of the answer.
    body: Option<BodyStream>,
    portions: Portions,
    /// Whether anything was passed on.
    has_begun: bool,
    /// Told after what came before it.
    failed: Option<ModelError>,
    is_ending: bool,
    timing: Timing,
}

fn portions(passing: Passing) -> RelayedStream {
    Box::pin(stream::unfold(passing, |mut passing| async move {
        let item = passing.next().await?;
        Some((item.map_err(RelayError::from), passing))
    }))
}

impl Passing {
    fn new(provider: ProviderName, body: BodyStream, (timing, relayed): (Timing, &Relayed)) -> Self {
        let portions = Portions::new(relayed.usage);
        Self {
            provider,
            body: Some(body),
            portions,
            has_begun: false,
            failed: None,
            is_ending: false,
            timing,
        }
    }

    async fn next(&mut self) -> Option<Result<RelayedPortion, ModelError>> {
        loop {
            if let Some(error) = self.failed.take() {
                return Some(Err(error));
            }
            let body = self.body.as_mut()?;
            let until = self.timing.quiet_until.min(self.timing.deadline);
            let read = match body.chunk(until).await {
                Ok(Some(bytes)) => self.read(bytes).await.map_err(|error| self.broken(error)),
                Ok(None) => self.end().map_err(|error| self.broken(error)),
                Err(error) => self.closed(&error),
            };
            if let Err(error) = read {
                self.body = None;
                // While nothing is passed on another target can still be asked.
                if !self.has_begun {
                    return Some(Err(error));
                }
                self.failed = Some(error);
            }
            if let Some(portion) = self.portions.give_out() {
                self.has_begun = true;
                return Some(Ok(portion));
            }
        }
    }

    /// Reads `bytes`, and with them what comes close behind.
    async fn read(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        // The first word is passed on at once.
        let mut may_gather = self.has_begun;
        let mut n_gathered = 0;
        let mut next = Some(bytes);
        while let Some(bytes) = next.take() {
            let now = self.timing.clock.now();
            match self.portions.push(&bytes)? {
                Progress::Silent => {}
                Progress::Answering => self.timing.quiet_until = now.after(self.timing.waits.silence),
                // Only the first sign of the end starts its wait, so that a provider cannot prolong it.
                Progress::Ending if self.is_ending => {}
                Progress::Ending => {
                    self.timing.quiet_until = now.after(self.timing.waits.trailer);
                    self.is_ending = true;
                }
                Progress::Ended => {
                    if let Some(body) = self.body.take() {
                        body.finish();
                    }
                }
            }
            n_gathered += bytes.len();
            let before = std::mem::replace(&mut self.timing.heard, now);
            may_gather &= now.since(before) < GATHERED_APART_MAX && n_gathered < GATHERED_BYTES_MAX;
            if may_gather && let Some(body) = &mut self.body {
                next = body.at_hand().await;
            }
        }
        Ok(())
    }

    /// Nothing more comes: the answer is whole or it is not.
    fn end(&mut self) -> Result<(), StreamError> {
        self.body = None;
        self.portions.end()
    }

    /// The connection failed. An answer that had already named its finish reason is complete all the same.
    fn closed(&mut self, error: &OutboundError) -> Result<(), ModelError> {
        if self.is_ending && self.end().is_ok() {
            return Ok(());
        }
        let failure = failed(&self.provider, error);
        Err(match self.portions.before() {
            Before::Nothing => failure,
            Before::Text => ModelError { fault: Fault::provider(Kind::Truncated), ..failure },
        })
    }

    fn broken(&self, error: StreamError) -> ModelError {
        broken(&self.provider, error, self.portions.before())
    }
}
