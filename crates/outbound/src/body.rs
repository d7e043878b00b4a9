//! Reading a response's body, portion by portion or as a whole.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::alarm::Alarm;
use domain::time::Moment;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::OwnedSemaphorePermit;

use crate::client::Shared;
use crate::connection::Connection;
use crate::error::OutboundError;
use crate::origin::Parts;
use crate::pool;

/// What is left of a body after its answer is read until here, and for this long, to keep the connection.
const DRAIN_BYTES_MAX: usize = 64 << 10;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A server on hyper asks a body that has nothing once more in the same turn; only then do other tasks have theirs.
const LOOKS: u32 = 2;

/// The connection that a body comes from; dropped before the body's end it closes the connection.
pub(crate) struct Lease {
    pub(crate) shared: Arc<Shared>,
    pub(crate) parts: Arc<Parts>,
    pub(crate) connection: Connection,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// A body under way. The network is read only as fast as the body is; dropping it before its end closes the
/// connection at once.
pub struct BodyStream {
    incoming: Incoming,
    origin: Arc<Parts>,
    alarm: Alarm,
    /// Until the end of the body.
    lease: Option<Lease>,
    /// An error that was met while looking for what is at hand.
    failed_early: Option<OutboundError>,
}

impl std::fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyStream").field("is_ended", &self.lease.is_none()).finish_non_exhaustive()
    }
}

impl BodyStream {
    pub(crate) fn new(incoming: Incoming, lease: Lease, alarm: Alarm) -> Self {
        Self { incoming, origin: Arc::clone(&lease.parts), alarm, lease: Some(lease), failed_early: None }
    }

    /// The next portion, waiting for it until `until` at most; `None` at the end of the body, and after an error.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`OutboundError::Deadline`] and [`OutboundError::Closed`]; the connection is closed then.
    pub async fn chunk(&mut self, until: Moment) -> Result<Option<Bytes>, OutboundError> {
        if let Some(error) = self.failed_early.take() {
            return Err(error);
        }
        while self.lease.is_some() {
            let Some(frame) = self.alarm.within(until, self.incoming.frame()).await else {
                self.lease = None;
                return Err(OutboundError::Deadline { origin: self.origin.place.name.clone() });
            };
            match self.read(frame) {
                Ok(Some(portion)) => return Ok(Some(portion)),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The next portion if it has come already, or does when every other task that is ready has had its turn; its end
    /// or error is left for [`BodyStream::chunk`]. For streams that come faster than they are passed on: larger pieces
    /// cost less. Cancel-safe.
    pub async fn at_hand(&mut self) -> Option<Bytes> {
        let mut n_looks = 0;
        while self.lease.is_some() {
            let frame = poll_fn(|context| match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending if n_looks == LOOKS => Poll::Ready(None),
                Poll::Pending => {
                    n_looks += 1;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await?;
            match self.read(frame) {
                Ok(Some(portion)) => return Some(portion),
                Ok(None) => {}
                Err(error) => self.failed_early = Some(error),
            }
        }
        None
    }

    /// What a frame brings: `None` at the end of the body, and for trailers, which carry nothing we read.
    fn read(&mut self, frame: Option<hyper::Result<Frame<Bytes>>>) -> Result<Option<Bytes>, OutboundError> {
        match frame {
            Some(Ok(frame)) => Ok(frame.into_data().ok()),
            Some(Err(_)) => {
                self.lease = None;
                Err(OutboundError::Closed { origin: self.origin.place.name.clone() })
            }
            None => {
                if let Some(lease) = self.lease.take() {
                    pool::give_back(&lease.shared, &lease.parts, lease.connection);
                }
                Ok(None)
            }
        }
    }

    /// The rest of the body, at most `bytes_max`, read until `until`.
    ///
    /// # Errors
    /// [`OutboundError`]; the connection is closed then.
    pub async fn whole(mut self, bytes_max: usize, until: Moment) -> Result<Bytes, OutboundError> {
        let too_large = |portion: &Bytes, before: usize| before + portion.len() > bytes_max;
        let error = OutboundError::TooLarge { origin: self.origin.place.name.clone(), bytes_max };
        let Some(first) = self.chunk(until).await? else { return Ok(Bytes::new()) };
        if too_large(&first, 0) {
            return Err(error);
        }
        // Most bodies come in one portion, which needs no copy.
        let Some(second) = self.chunk(until).await? else { return Ok(first) };
        let mut whole = BytesMut::from(&first[..]);
        let mut next = Some(second);
        while let Some(portion) = next {
            if too_large(&portion, whole.len()) {
                return Err(error);
            }
            whole.extend_from_slice(&portion);
            next = self.chunk(until).await?;
        }
        Ok(whole.freeze())
    }

    /// Says that the rest does not matter. A short rest (64 KiB, 1 s) is read in the background so that the
    /// connection can serve again; else the connection is closed.
    pub fn finish(mut self) {
        let Some(lease) = &self.lease else { return };
        let shared = Arc::clone(&lease.shared);
        let until = shared.clock.now().after(DRAIN_TIME_MAX);
        let tasks = shared.tasks.clone();
        let stop = shared.stop.clone();
        drop(shared);
        tasks.spawn(async move {
            let mut n_left = DRAIN_BYTES_MAX;
            let draining = async {
                while let Ok(Some(portion)) = self.chunk(until).await {
                    match n_left.checked_sub(portion.len()) {
                        Some(left) => n_left = left,
                        None => return,
                    }
                }
            };
            tokio::select! {
                () = draining => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
