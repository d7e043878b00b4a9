//! One call up to its first text: until then every failure may be tried again.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use domain::chat::{ChatCall, ChatChunk, Finish};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::ports::{BoxFuture, ChatModel, ChatStream, ModelError};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use resilience::policy::Limits;

use crate::attempt::{Blame, Running};

/// A call that has sent its first text.
pub(crate) struct Opened {
    pub(crate) running: Running,
    pub(crate) limits: Limits,
    pub(crate) first: String,
    pub(crate) stream: ChatStream,
}

/// The value of `work`, or `None` when `limit` ends first.
pub(crate) async fn within<T>(
    limit: &mut BoxFuture<'static, ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(limit, pin!(work)).await {
        Either::Left(_) => None,
        Either::Right((value, _)) => Some(value),
    }
}

/// Calls `model` and waits for the first text. A failure is recorded before it is returned.
pub(crate) async fn open(
    model: &dyn ChatModel,
    call: ChatCall,
    mut running: Running,
    limits: Limits,
) -> Result<Opened, ModelError> {
    let mut limit = running.clock().sleep_until(limits.first_token(running.began()));
    let error = match within(&mut limit, model.chat(call)).await {
        Some(Ok(mut stream)) => match first_text(&mut stream, &mut running, &mut limit).await {
            Ok(first) => return Ok(Opened { running, limits, first, stream }),
            Err(error) => error,
        },
        Some(Err(error)) => {
            running.refuse();
            Some(error)
        }
        None => None,
    };
    let Some(error) = error else { return Err(too_late(running, limits)) };
    let error = before_text(error);
    running.failed(&error.fault, error.fault.kind, Blame::Target);
    Err(error)
}

/// The first text of `stream`; `Err(None)` when the limit ends first.
async fn first_text(
    stream: &mut ChatStream,
    running: &mut Running,
    limit: &mut BoxFuture<'static, ()>,
) -> Result<String, Option<ModelError>> {
    loop {
        return match within(limit, stream.next()).await.ok_or(None)? {
            Some(Ok(ChatChunk::Delta(text))) if text.is_empty() => continue,
            Some(Ok(ChatChunk::Delta(text))) => {
                running.text();
                Ok(text)
            }
            Some(Ok(ChatChunk::Done { finish, usage })) => {
                running.use_up(usage);
                Err(Some(match finish {
                    Finish::ContentFilter => {
                        failure(Kind::Content, "the provider's content filter took it all")
                    }
                    Finish::Stop | Finish::Length => failure(Kind::Transient, "the answer is empty"),
                }))
            }
            Some(Err(error)) => Err(Some(error)),
            None => Err(Some(failure(Kind::Transient, "the stream ended before any text"))),
        };
    }
}

/// A failure of the provider.
pub(crate) fn failure(kind: Kind, detail: &str) -> ModelError {
    ModelError { fault: Fault::provider(kind), detail: detail.to_owned() }
}

/// Nothing was released yet, so a reply that is not whole may be tried again like any other.
fn before_text(error: ModelError) -> ModelError {
    match error.fault.kind {
        Kind::Truncated => ModelError { fault: Fault::provider(Kind::Transient), ..error },
        _ => error,
    }
}

fn too_late(running: Running, limits: Limits) -> ModelError {
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
