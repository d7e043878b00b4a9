//! An answer on its way to the caller: in one piece or as a stream, recorded before its end.

use bytes::Bytes;
use domain::chat::{Done, RelayedPortion};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::interaction::Outcome;
use domain::model::Cost;
use domain::ports::{ModelError, RelayedStream};
use domain::token::Usage;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};

use super::Refused;
use super::ledger::Ledger;
use crate::turn::Recorded;

/// How the answer comes.
pub enum Answer {
    /// Whole, and recorded.
    Whole(Whole),
    /// As it is made.
    Streamed(BoxStream<'static, Passed>),
}

/// An answer in one piece.
#[derive(Debug)]
pub struct Whole {
    /// The provider's own bytes.
    pub bytes: Bytes,
    /// What it used, as far as its provider says so.
    pub usage: Option<Usage>,
    /// Of all attempts.
    pub cost: Cost,
    /// Whether its record is on disk.
    pub recorded: Recorded,
}

/// A part of a streamed answer.
#[derive(Debug, Clone)]
pub enum Passed {
    /// Whole frames, the provider's own or ours; the last ones hold the end marker.
    Bytes(Bytes),
    /// The model broke off, and this one goes on.
    Continued(String),
    /// The record could not be written; the last bytes follow.
    Unrecorded,
    /// The answer ends here although it is not complete: no end marker comes.
    Broken(Broken),
}

/// Why an answer ends that is not complete.
#[derive(Debug, Clone)]
pub enum Broken {
    /// The provider stopped.
    Incomplete(ModelError),
    /// The record could not be written, and the configuration refuses to answer without.
    NotRecorded,
}

/// Takes the answer in one piece, and records it.
pub(super) async fn whole(mut stream: RelayedStream, mut ledger: Box<Ledger>) -> Result<Whole, Refused> {
    let portion = match stream.next().await {
        Some(portion) => portion.map_err(|error| error.error),
        None => Err(ended()),
    };
    let (bytes, done) = match portion {
        Ok(RelayedPortion { bytes, done, .. }) => (bytes, done),
        Err(error) => {
            ledger.fail().await;
            return Err(Refused::Incomplete(error));
        }
    };
    ledger.passes_last(&bytes, done);
    let closed = ledger.close(Outcome::Answered).await;
    let usage = done.and_then(|done| done.usage);
    Ok(Whole { bytes, usage, cost: closed.cost, recorded: closed.recorded? })
}

/// A stream on its way through; the fields are dropped in this order, so that a cut call is in the record.
struct Streaming {
    stream: RelayedStream,
    ledger: Box<Ledger>,
}

pub(super) enum State<T> {
    Open(Box<T>),
    Last(Bytes),
    End,
}

/// Passes the answer on as it comes, and records it before its end.
pub(super) fn streamed(stream: RelayedStream, ledger: Box<Ledger>) -> BoxStream<'static, Passed> {
    given(Streaming { stream, ledger }, next)
}

/// What `next` gives until the end.
pub(super) fn given<T: Send + 'static, Next>(
    open: T,
    next: impl Fn(Box<T>) -> Next + Send + Copy + 'static,
) -> BoxStream<'static, Passed>
where
    Next: Future<Output = (Passed, State<T>)> + Send,
{
    unfold(State::Open(Box::new(open)), move |state| async move {
        match state {
            State::Open(open) => Some(next(open).await),
            State::Last(bytes) => Some((Passed::Bytes(bytes), State::End)),
            State::End => None,
        }
    })
    .boxed()
}

async fn next(mut streaming: Box<Streaming>) -> (Passed, State<Streaming>) {
    let Streaming { stream, ledger } = &mut *streaming;
    match stream.next().await {
        Some(Ok(RelayedPortion { bytes, done: None, .. })) => {
            ledger.passes(&bytes);
            (Passed::Bytes(bytes), State::Open(streaming))
        }
        Some(Ok(RelayedPortion { bytes, done, .. })) => {
            let (passed, last) = finished(ledger, bytes, done).await;
            (passed, last.map_or(State::End, State::Last))
        }
        Some(Err(error)) => {
            ledger.fail().await;
            (Passed::Broken(Broken::Incomplete(error.error)), State::End)
        }
        None => {
            ledger.fail().await;
            (Passed::Broken(Broken::Incomplete(ended())), State::End)
        }
    }
}

/// The last bytes of an answer, whose end marker waits for the record; what follows them is given apart.
pub(super) async fn finished(
    ledger: &mut Ledger,
    bytes: Bytes,
    done: Option<Done>,
) -> (Passed, Option<Bytes>) {
    ledger.passes_last(&bytes, done);
    match ledger.close(Outcome::Answered).await.recorded {
        Ok(Recorded::Yes) => (Passed::Bytes(bytes), None),
        Ok(Recorded::No) => (Passed::Unrecorded, Some(bytes)),
        Err(_) => (Passed::Broken(Broken::NotRecorded), None),
    }
}

pub(super) fn ended() -> ModelError {
    let fault = Fault { origin: Origin::Mainstay, kind: Kind::Truncated, retry: Retry::Never };
    ModelError { fault, detail: "the stream ended before the answer was whole".to_owned() }
}
