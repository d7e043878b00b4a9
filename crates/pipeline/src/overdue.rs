//! Ends a stream in time whose reader is slower than its time limit.
//!
//! A stream works when it is read: while its reader's connection is full nobody polls it, so nobody would see that its
//! time is over, and the provider's call behind it would stay open for as long as the reader likes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use domain::time::Moment;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::parts::Pipeline;

/// A stream that is read sees the end of its time by itself; only one that is not is ended from here, a little later.
const GRACE: Duration = Duration::from_millis(250);
/// What an overdue stream may still say: what was on its way, and how it ended.
const LAST_ITEMS_MAX: usize = 256;

/// Where the items are.
enum Source<T> {
    /// In the stream; beside it whoever waits for the next one.
    Open(BoxStream<'static, T>, Option<Waker>),
    /// The stream's time is over and it is being ended; whoever reads waits.
    Ending(Option<Waker>),
    /// What the stream said last.
    Ended(VecDeque<T>),
}

/// A stream that ends in time, whether it is read or not.
struct Overdue<T> {
    source: Arc<Mutex<Source<T>>>,
    /// Ends with the stream.
    _watch: AbortOnDropHandle<()>,
}

impl Pipeline {
    /// `stream`, which must end by itself soon after `until` when it is read: where its reader does not, it is read to
    /// its end from here, so that what it holds is given back within half a second. What it said last is kept for its
    /// reader.
    pub fn end_in_time<T: Send + 'static>(
        &self,
        stream: BoxStream<'static, T>,
        until: Moment,
    ) -> BoxStream<'static, T> {
        let source = Arc::new(Mutex::new(Source::Open(stream, None)));
        let clock = Arc::clone(&self.parts.clock);
        let watched = Arc::clone(&source);
        let watch = self.parts.tasks.spawn(async move {
            clock.sleep_until(until.after(GRACE)).await;
            end(&watched).await;
        });
        Overdue { source, _watch: AbortOnDropHandle::new(watch) }.boxed()
    }
}

/// Reads the stream to its end; dropped on the way, the stream is dropped, too.
async fn end<T>(source: &Mutex<Source<T>>) {
    let stream = {
        let mut source = source.lock();
        let Source::Open(_, reader) = &mut *source else { return };
        let reader = reader.take();
        let Source::Open(stream, _) = std::mem::replace(&mut *source, Source::Ending(reader)) else { return };
        stream
    };
    let last = stream.take(LAST_ITEMS_MAX).collect().await;
    if let Source::Ending(Some(reader)) = std::mem::replace(&mut *source.lock(), Source::Ended(last)) {
        reader.wake();
    }
}

impl<T> Drop for Overdue<T> {
    /// The watch is aborted a little later; the stream goes at once.
    fn drop(&mut self) {
        let stream = std::mem::replace(&mut *self.source.lock(), Source::Ended(VecDeque::new()));
        drop(stream);
    }
}

impl<T: Send + 'static> Stream for Overdue<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut source = self.source.lock();
        match &mut *source {
            Source::Open(stream, reader) => {
                let next = stream.poll_next_unpin(context);
                if next.is_pending() && !reader.as_ref().is_some_and(|it| it.will_wake(context.waker())) {
                    *reader = Some(context.waker().clone());
                }
                next
            }
            Source::Ending(reader) => {
                *reader = Some(context.waker().clone());
                Poll::Pending
            }
            Source::Ended(last) => Poll::Ready(last.pop_front()),
        }
    }
}
