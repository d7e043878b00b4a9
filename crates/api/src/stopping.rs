//! Stopping: what is still answered after the signal, and how the rest ends when its time is over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, Version, header};
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::dialect::manner::Manner;
use crate::dialect::refusal::Refusal;
use crate::problem::Problem;

/// What Bedrock's streams are, which have frames, too.
const EVENT_STREAM_OF_AWS: &str = "application/vnd.amazon.eventstream";

/// How far a stop is: asked for, and over. Clones are the same stop.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: CancellationToken,
    over: CancellationToken,
    /// Set before the tokens are, for looks that take no lock.
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    is_asked: AtomicBool,
    is_over: AtomicBool,
}

impl Stop {
    /// Asks for it: the server says that it is not ready, and what is under way may finish.
    pub fn ask(&self) {
        self.seen.is_asked.store(true, Ordering::Release);
        self.asked.cancel();
    }

    /// Ends what is still under way now: with an error, and recorded.
    pub fn end(&self) {
        self.ask();
        self.seen.is_over.store(true, Ordering::Release);
        self.over.cancel();
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.seen.is_asked.load(Ordering::Acquire)
    }

    /// Until it is asked for.
    pub(crate) async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Until the time of what is under way is over.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// The reply to a request of `version`, in `manner`: one that takes longer than the stop ends, and no connection carries
/// another request after the signal.
pub(crate) async fn in_time(
    stop: &Stop,
    (version, manner): (Version, Option<&'static dyn Manner>),
    answering: impl Future<Output = Response>,
) -> Response {
    let mut response = tokio::select! {
        biased;
        response = answering => response,
        () = stop.over() => problem().into_response(),
    };
    if stop.is_asked() && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "text/event-stream" || kind == EVENT_STREAM_OF_AWS) {
        let stop = stop.clone();
        let over = Box::pin(stop.over.clone().cancelled_owned());
        return response
            .map(|body| Body::new(EndedInTime { body: Some(body), stop, over, waiter: None, manner }));
    }
    response
}

pub(crate) fn problem() -> Problem {
    Problem::stopping("the server is stopping and could not finish in time; ask again")
}

/// What ends a stream whose time is over.
fn last_frame(manner: Option<&dyn Manner>) -> Bytes {
    match manner {
        Some(manner) => manner.broken(&Refusal::from(problem())),
        None => crate::stream::error_frame(&problem()),
    }
}

/// An event stream that ends with an error event when the stop is over. Its parts are whole frames.
struct EndedInTime {
    /// `None` once it was ended; dropping it cancels and records what made it.
    body: Option<Body>,
    stop: Stop,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is woken when the stop is over: to say so again for every frame would cost as much as the frame.
    waiter: Option<Waker>,
    /// `None` for native streams.
    manner: Option<&'static dyn Manner>,
}

impl HttpBody for EndedInTime {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let is_waiting = self.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(context.waker()));
        if is_waiting && !self.stop.seen.is_over.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        match self.over.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.body = None;
                Poll::Ready(Some(Ok(Frame::data(last_frame(self.manner)))))
            }
            Poll::Pending => {
                self.waiter = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
