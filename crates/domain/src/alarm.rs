//! Many waits on one timer: arming a timer for each portion of a stream would cost more than the portion.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::ports::{BoxFuture, Clock};
use crate::time::Moment;

/// Limits waits that follow one another. Its timer is armed anew only when it rings, or for an earlier moment.
pub struct Alarm {
    clock: Arc<dyn Clock>,
    armed: Option<(Moment, BoxFuture<'static, ()>)>,
}

impl Alarm {
    /// An alarm on `clock`; no timer runs yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, armed: None }
    }

    /// What `work` gives, or `None` when `until` comes first; what is there already counts even when `until` is over.
    /// Cancel-safe where `work` is.
    pub async fn within<T>(&mut self, until: Moment, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            loop {
                let armed = match self.armed.take() {
                    Some(armed) if armed.0 <= until => armed,
                    _ => (until, self.clock.sleep_until(until)),
                };
                let (moment, timer) = self.armed.insert(armed);
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let is_over = *moment >= until;
                self.armed = None;
                if is_over {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }
}
