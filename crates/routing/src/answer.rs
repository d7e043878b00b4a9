//! The stream of an answer after its first text: nothing is tried again, and its end is recorded whatever it is. Or
//! all of it at once, where nothing is released before it is whole.

use domain::alarm::Alarm;
use domain::fault::{Fault, Kind};
use domain::ports::{CallError, ModelError};
use futures_util::StreamExt;
use futures_util::stream::{iter, unfold};
use resilience::policy::Limits;

use crate::attempt::{Blame, Running};
use crate::call::{Opened, before_text, failure};
use crate::form::{Piece, Pieces, Read};

/// The rest of an answer. Dropped with it: the provider's stream (which cancels the call) and its record.
struct Rest<P: Piece> {
    running: Box<Running>,
    limits: Limits,
    alarm: Alarm,
    stream: Pieces<P>,
}

enum State<P: Piece> {
    First(Box<Opened<P>>),
    Rest(Box<Rest<P>>),
    End,
}

/// What the stream gives, and how it goes on.
type Step<P> = (Result<P, CallError>, State<P>);

/// The whole answer of an opened call, first text included.
pub(crate) fn stream<P: Piece>(opened: Opened<P>) -> Pieces<P> {
    Box::pin(unfold(State::First(Box::new(opened)), |state| async {
        match state {
            State::First(opened) => {
                let Opened { running, limits, alarm, first, stream } = *opened;
                Some(pass(first, Box::new(Rest { running, limits, alarm, stream })))
            }
            State::Rest(rest) => Some(next(rest).await),
            State::End => None,
        }
    }))
}

/// Most bytes of an answer that is held back.
const HELD_BYTES_MAX: usize = 8 << 20;

/// All of `stream` once it is whole; else why it is not, as a failure before the first text: nobody has seen any of it.
pub(crate) async fn whole<P: Piece>(mut stream: Pieces<P>) -> Result<Pieces<P>, CallError> {
    let (mut held, mut n_bytes) = (Vec::new(), 0_usize);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| CallError { error: before_text(error.error), ..error })?;
        n_bytes = n_bytes.saturating_add(piece.size());
        if n_bytes > HELD_BYTES_MAX {
            return Err(failure(Kind::Truncated, "the answer is too long to be held back").into());
        }
        held.push(Ok(piece));
    }
    Ok(Box::pin(iter(held)))
}

/// Passes a piece on that holds a part of the answer, or its end.
fn pass<P: Piece>(piece: P, mut rest: Box<Rest<P>>) -> Step<P> {
    match piece.read() {
        Read::Nothing | Read::Text => (Ok(piece), State::Rest(rest)),
        Read::End(done) | Read::TextAndEnd(done) => {
            rest.running.done(done);
            rest.running.answered();
            (Ok(piece), State::End)
        }
    }
}

async fn next<P: Piece>(mut rest: Box<Rest<P>>) -> Step<P> {
    let clock = rest.running.clock().clone();
    loop {
        let waiting_since = clock.now();
        let due = rest.limits.next_chunk(waiting_since);
        let next = match waiting_since < due {
            true => rest.alarm.within(due, rest.stream.next()).await,
            false => None,
        };
        let (error, blame) = match next {
            Some(Some(Ok(piece))) => {
                match piece.read() {
                    Read::Nothing => continue,
                    Read::Text | Read::TextAndEnd(_) => rest.running.text(piece.said()),
                    Read::End(_) => {}
                }
                return pass(piece, rest);
            }
            Some(Some(Err(error))) => {
                let CallError { error, usage, .. } = error;
                rest.running.used(usage);
                (error, Blame::Target)
            }
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
        return (Err(broken.into()), State::End);
    }
}
