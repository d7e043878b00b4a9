//! One call up to its first text: until then every failure may be tried again.

use std::time::Duration;

use domain::alarm::Alarm;
use domain::chat::Finish;
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::ports::{BoxFuture, CallError, ModelError};
use domain::time::Moment;
use futures_util::StreamExt;
use resilience::policy::Limits;

use crate::attempt::{Blame, Running};
use crate::form::{Piece, Pieces, Read};

/// A call that has sent its first text.
pub(crate) struct Opened<P: Piece> {
    pub(crate) running: Box<Running>,
    pub(crate) limits: Limits,
    pub(crate) alarm: Alarm,
    pub(crate) first: P,
    pub(crate) stream: Pieces<P>,
}

/// Waits for `start` and then for the first text. A failure is recorded before it is returned.
pub(crate) async fn open<P: Piece>(
    start: BoxFuture<'_, Result<Pieces<P>, CallError>>,
    mut running: Box<Running>,
    limits: Limits,
) -> Result<Opened<P>, CallError> {
    let mut alarm = Alarm::new(running.clock().clone());
    let due = limits.first_token(running.began());
    let error = match alarm.within(due, start).await {
        Some(Ok(mut stream)) => match first_text(&mut stream, &mut running, (&mut alarm, due)).await {
            Ok(first) => return Ok(Opened { running, limits, alarm, first, stream }),
            Err(error) => error,
        },
        Some(Err(error)) => {
            // Whoever only took too long may have accepted it.
            if error.error.fault.kind != Kind::Timeout {
                running.refuse();
            }
            Some(error)
        }
        None => None,
    };
    let Some(error) = error else { return Err(too_late(running, limits).into()) };
    let error = CallError { error: before_text(error.error), ..error };
    running.used(error.usage);
    let fault = &error.error.fault;
    running.failed(fault, fault.kind, Blame::Target);
    Err(error)
}

/// The first text of `stream`; `Err(None)` when it is due first.
async fn first_text<P: Piece>(
    stream: &mut Pieces<P>,
    running: &mut Running,
    (alarm, due): (&mut Alarm, Moment),
) -> Result<P, Option<CallError>> {
    loop {
        let piece = match alarm.within(due, stream.next()).await.ok_or(None)? {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Err(Some(error)),
            None => return Err(Some(failure(Kind::Transient, "the stream ended before any text").into())),
        };
        match piece.read() {
            Read::Nothing => {}
            Read::Text | Read::TextAndEnd(_) => {
                running.text(piece.said());
                return Ok(piece);
            }
            Read::End(done) => {
                running.done(done);
                let error = match done.finish {
                    Finish::ContentFilter => {
                        failure(Kind::Content, "the provider's content filter took it all")
                    }
                    Finish::Stop | Finish::StopText | Finish::ToolUse | Finish::Length => {
                        failure(Kind::Transient, "the answer is empty")
                    }
                };
                return Err(Some(error.into()));
            }
        }
    }
}

/// A failure of the provider.
pub(crate) fn failure(kind: Kind, detail: &str) -> ModelError {
    ModelError { fault: Fault::provider(kind), detail: detail.to_owned() }
}

/// Nothing was released yet, so a reply that is not whole may be tried again like any other.
pub(crate) fn before_text(error: ModelError) -> ModelError {
    match error.fault.kind {
        Kind::Truncated => ModelError { fault: Fault::provider(Kind::Transient), ..error },
        _ => error,
    }
}

fn too_late(running: Box<Running>, limits: Limits) -> ModelError {
    let waited = running.clock().now().since(running.began());
    let blame =
        if limits.is_hang(running.began(), running.clock().now()) { Blame::Target } else { Blame::Deadline };
    let origin = match blame {
        Blame::Target => Origin::Provider,
        Blame::Deadline => Origin::Mainstay,
    };
    let fault = Fault { origin, kind: Kind::Timeout, retry: Retry::Here };
    running.failed(&fault, Kind::Timeout, blame);
    let waited = Duration::from_millis(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
    ModelError { fault, detail: format!("no text within {waited:?}") }
}
