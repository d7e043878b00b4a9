//! One attempt: an accepted call from its first byte to its end.
//!
//! Its commit point is the first item that is given out. Before it every failure is told at once, so that another
//! target can be asked; after it what came before a failure is given out first, and the end is never a clean one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::fault::{Fault, Kind};
use domain::id::ProviderName;
use domain::meter::{Meter, Stated};
use domain::ports::{CallError, Clock, ModelError};
use domain::time::Moment;
use futures_util::Stream;
use futures_util::stream::unfold;
use outbound::{BodyStream, OutboundError};
use wire::stream::{Before, Progress, StreamError};

use super::intake::Intake;
use super::{Accepted, Waits, broken, failed};

/// Portions that come no farther apart than this are passed on together, as many as are at hand, up to so many bytes:
/// each piece that is passed on costs a system call here and one at the caller's.
const GATHERED_APART_MAX: Duration = Duration::from_millis(1);
const GATHERED_BYTES_MAX: usize = 16 << 10;

/// How long to wait for the next event.
pub(super) struct Timing {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) waits: Waits,
    pub(super) deadline: Moment,
    /// Until when the next event must have come.
    pub(super) quiet_until: Moment,
    /// When the last portion came.
    pub(super) heard: Moment,
}

/// A streamed answer on its way through. Dropping it closes the call.
pub(super) struct Attempt<I> {
    provider: ProviderName,
    /// Until the end of the answer.
    body: Option<BodyStream>,
    intake: I,
    /// Whether anything was given out.
    is_committed: bool,
    /// Told after what came before it.
    failed: Option<CallError>,
    is_ending: bool,
    /// It has failed: nothing more is given out.
    is_over: bool,
    timing: Timing,
    /// Who pays for it reads it here.
    meter: Meter,
    /// What the meter was set to last.
    stated: Option<Stated>,
}

/// What an attempt gives.
type Items<I> = Pin<Box<dyn Stream<Item = Result<<I as Intake>::Item, CallError>> + Send>>;

impl<I: Intake> Attempt<I> {
    pub(super) fn new(provider: ProviderName, accepted: Accepted, intake: I) -> Self {
        let Accepted { body, timing, meter, .. } = accepted;
        Self {
            provider,
            body: Some(body),
            intake,
            is_committed: false,
            failed: None,
            is_ending: false,
            is_over: false,
            timing,
            meter,
            stated: None,
        }
    }

    pub(super) fn stream(self) -> Items<I> {
        Box::pin(unfold(self, |mut attempt| async move {
            let item = attempt.next().await?;
            Some((item, attempt))
        }))
    }

    async fn next(&mut self) -> Option<Result<I::Item, CallError>> {
        loop {
            if self.is_over {
                return None;
            }
            if let Some(item) = self.intake.give_out() {
                self.is_committed = true;
                return Some(Ok(item));
            }
            if let Some(error) = self.failed.take() {
                self.is_over = true;
                return Some(Err(error));
            }
            let body = self.body.as_mut()?;
            let until = self.timing.quiet_until.min(self.timing.deadline);
            let read = match body.chunk(until).await {
                Ok(Some(bytes)) => self.read(bytes).await.map_err(|error| self.broken(error)),
                Ok(None) => self.end().map_err(|error| self.broken(error)),
                Err(error) => self.closed(&error).map_err(CallError::from),
            };
            if let Err(error) = read {
                self.body = None;
                if !self.is_committed {
                    self.is_over = true;
                    return Some(Err(error));
                }
                self.failed = Some(error);
            }
        }
    }

    /// Reads `bytes`, and with them what comes close behind.
    async fn read(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        // The first word is passed on at once.
        let mut may_gather = self.is_committed;
        let mut n_gathered = 0;
        let mut next = Some(bytes);
        while let Some(bytes) = next.take() {
            let now = self.timing.clock.now();
            let pushed = self.intake.push(&bytes, now);
            self.tell();
            match pushed? {
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
        let ended = self.intake.end();
        self.tell();
        ended
    }

    /// What was stated is told before the next wait, in which the answer may be dropped.
    fn tell(&mut self) {
        let stated = self.intake.stated();
        if self.stated != stated {
            self.stated = stated;
            stated.into_iter().for_each(|stated| self.meter.set(stated));
        }
    }

    /// The connection failed. An answer that had already named its finish reason is complete all the same.
    fn closed(&mut self, error: &OutboundError) -> Result<(), ModelError> {
        if self.is_ending && self.end().is_ok() {
            return Ok(());
        }
        let failure = failed(&self.provider, error);
        Err(match self.before() {
            Before::Nothing => failure,
            // Callers are told this one; where their provider is, is not for them.
            Before::Text => {
                let silent = matches!(error, OutboundError::Deadline { .. });
                let how = if silent { "did not go on in time" } else { "closed the connection" };
                let detail = format!("`{}` {how}", self.provider);
                ModelError { fault: Fault::provider(Kind::Truncated), detail }
            }
        })
    }

    fn broken(&self, error: StreamError) -> CallError {
        broken(&self.provider, error, self.before())
    }

    /// What was given out counts, not what came: until then another target can give the whole answer.
    fn before(&self) -> Before {
        if self.is_committed { Before::Text } else { Before::Nothing }
    }
}
