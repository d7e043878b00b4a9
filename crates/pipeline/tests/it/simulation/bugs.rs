//! Bugs on purpose: each stands between two parts that are right, and the simulation must find it.

use std::sync::Arc;

use domain::chat::ChatCall;
use domain::id::TargetId;
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream};
use futures_util::{StreamExt, stream};
use resilience::breaker::Position;
use resilience::breakers::Breakers;

use super::world::World;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The store acknowledges what the disk has not synced.
    FsyncSkipped,
    /// A half-open target gets two calls at once.
    TwoProbes,
    /// A provider's client asks again after text was passed on.
    RetryAfterFirstByte,
    /// A request whose visitor left is forgotten, and its permit with it.
    LostPermit,
    /// A record is written a second time.
    WrittenTwice,
}

impl Bug {
    /// All, with a word of what must be said when it is found.
    pub(crate) const ALL: [(Self, &str); 5] = [
        (Self::FsyncSkipped, "was acknowledged and is lost"),
        (Self::TwoProbes, "both probe"),
        (Self::RetryAfterFirstByte, "after its customer had text"),
        (Self::LostPermit, "permits"),
        (Self::WrittenTwice, "is on disk 2 times"),
    ];
}

/// `model`, with the bug of this run where it is one of a provider's client.
pub(crate) fn plant(world: &World, breakers: &Breakers, model: Arc<dyn ChatModel>) -> Arc<dyn ChatModel> {
    match world.bug {
        Some(Bug::TwoProbes) => Arc::new(TwoProbes { model, breakers: breakers.clone() }),
        Some(Bug::RetryAfterFirstByte) => Arc::new(RetryAfterFirstByte { model }),
        _ => model,
    }
}

struct TwoProbes {
    model: Arc<dyn ChatModel>,
    breakers: Breakers,
}

impl ChatModel for TwoProbes {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        let target = TargetId::from(call.model.as_str());
        if self.breakers.read(&target).position == Position::HalfOpen {
            let (one, _other) = (self.model.chat(call.clone()), self.model.chat(call));
            return one;
        }
        self.model.chat(call)
    }
}

struct RetryAfterFirstByte {
    model: Arc<dyn ChatModel>,
}

impl ChatModel for RetryAfterFirstByte {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        Box::pin(async move {
            let first = self.model.chat(call.clone()).await?;
            let start = (first, Some((Arc::clone(&self.model), call)), false);
            let stream: ChatStream =
                Box::pin(stream::unfold(start, |(mut stream, mut again, has_text)| async move {
                    loop {
                        match (stream.next().await, again.take()) {
                            (Some(Err(_)) | None, Some((model, call))) if has_text => {
                                stream = match model.chat(call).await {
                                    Ok(stream) => stream,
                                    Err(error) => return Some((Err(error), (stream, None, has_text))),
                                };
                            }
                            (Some(item), left) => return Some((item, (stream, left, true))),
                            (None, _) => return None,
                        }
                    }
                }));
            Ok(stream)
        })
    }
}
