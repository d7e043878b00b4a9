//! Signs of life in streams that say nothing for a while, so that nobody on the way takes them for dead.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use domain::ports::{BoxFuture, Clock};
use domain::time::Moment;
use futures_util::{Stream, StreamExt};

/// Frames, and a sign after each silence of a certain length. The frames must be whole.
pub(crate) struct KeepAlive<S> {
    frames: S,
    sign: Bytes,
    every: Duration,
    clock: Arc<dyn Clock>,
    /// When something was said last.
    said: Moment,
    /// One timer for many frames: when it rings it is armed anew, for the end of a silence that began meanwhile.
    timer: BoxFuture<'static, ()>,
}

impl<S> KeepAlive<S> {
    /// `sign` in `frames`, after each silence of `every`.
    pub(crate) fn new(frames: S, sign: Bytes, (every, clock): (Duration, &Arc<dyn Clock>)) -> Self {
        let (clock, said) = (Arc::clone(clock), clock.now());
        Self { frames, sign, every, said, timer: clock.sleep(every), clock }
    }
}

impl<S: Stream<Item = Result<Bytes, Infallible>> + Unpin> Stream for KeepAlive<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(frame) = self.frames.poll_next_unpin(context) {
            self.said = self.clock.now();
            return Poll::Ready(frame);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let (now, due) = (self.clock.now(), self.said.after(self.every));
            let is_due = now >= due;
            if is_due {
                self.said = now;
            }
            self.timer = self.clock.sleep_until(self.said.after(self.every));
            if is_due {
                return Poll::Ready(Some(Ok(self.sign.clone())));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use testkit::TokioClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sign_comes_after_each_silence_and_never_within_a_frame() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let waits = [0_u64, 3, 25, 9];
        let sleeping = Arc::clone(&clock);
        let frames = stream::iter(waits).then(move |seconds| {
            let wait = sleeping.sleep(Duration::from_secs(seconds));
            async move {
                wait.await;
                Ok(Bytes::from(seconds.to_string()))
            }
        });
        let every = (Duration::from_secs(10), &clock);
        let alive = KeepAlive::new(Box::pin(frames), Bytes::from_static(b":"), every);
        let said: Vec<Bytes> = alive.map(|frame| frame.unwrap_or_default()).collect().await;
        assert_eq!(said, ["0", "3", ":", ":", "25", "9"]);
    }
}
