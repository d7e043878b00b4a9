//! The stream of an answer after its first text: nothing is tried again, and its end is recorded whatever it is.

use domain::chat::ChatChunk;
use domain::fault::{Fault, Kind};
use domain::ports::{ChatStream, ModelError};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use resilience::policy::Limits;

use crate::attempt::{Blame, Running};
use crate::call::{Opened, failure, within};

/// The rest of an answer. Dropped with it: the provider's stream (which cancels the call) and its record.
struct Rest {
    running: Running,
    limits: Limits,
    stream: ChatStream,
}

enum State {
    First(Box<Opened>),
    Rest(Box<Rest>),
    End,
}

/// The whole answer of an opened call, first text included.
pub(crate) fn stream(opened: Opened) -> ChatStream {
    Box::pin(unfold(State::First(Box::new(opened)), |state| async {
        match state {
            State::First(opened) => {
                let Opened { running, limits, first, stream } = *opened;
                let rest = Box::new(Rest { running, limits, stream });
                Some((Ok(ChatChunk::Delta(first)), State::Rest(rest)))
            }
            State::Rest(rest) => Some(next(rest).await),
            State::End => None,
        }
    }))
}

async fn next(mut rest: Box<Rest>) -> (Result<ChatChunk, ModelError>, State) {
    let clock = rest.running.clock().clone();
    loop {
        let waiting_since = clock.now();
        let mut limit = clock.sleep_until(rest.limits.next_chunk(waiting_since));
        let (error, blame) = match within(&mut limit, rest.stream.next()).await {
            Some(Some(Ok(ChatChunk::Delta(text)))) => {
                rest.running.text();
                if text.is_empty() {
                    continue;
                }
                return (Ok(ChatChunk::Delta(text)), State::Rest(rest));
            }
            Some(Some(Ok(ChatChunk::Done { finish, usage }))) => {
                rest.running.use_up(usage);
                rest.running.answered();
                return (Ok(ChatChunk::Done { finish, usage }), State::End);
            }
            Some(Some(Err(error))) => (error, Blame::Target),
            Some(None) => {
                (failure(Kind::Truncated, "the stream ended before the answer was whole"), Blame::Target)
            }
            None if rest.limits.is_hang(waiting_since, clock.now()) => {
                (failure(Kind::Truncated, "the stream fell silent"), Blame::Target)
            }
            None => {
                (failure(Kind::Truncated, "the deadline came before the answer was whole"), Blame::Deadline)
            }
        };
        // The breaker hears what it was; for the reader it is an answer that broke off.
        let kind = if error.fault.kind == Kind::Content { Kind::Content } else { Kind::Truncated };
        rest.running.failed(&error.fault, kind, blame);
        let broken = ModelError { fault: Fault::provider(kind), detail: error.detail };
        return (Err(broken), State::End);
    }
}
