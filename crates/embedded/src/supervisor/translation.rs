//! Between the house's words and those of the frames.

use domain::chat::Finish;
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::time::Moment;
use domain::token::{TokenCount, Usage};

use super::queue::Waiting;
use crate::frames::{self, FailureKind, Generate, Message};

/// What the worker is told of `call`, which it knows as `id`.
pub(super) fn generate(id: u64, call: &Waiting, now: Moment) -> Generate {
    let parameters = &call.request.parameters;
    Generate {
        id,
        messages: call
            .request
            .messages
            .iter()
            .map(|message| Message { role: message.role.name().to_owned(), text: message.text.clone() })
            .collect(),
        max_tokens: parameters.max_tokens,
        temperature: parameters.temperature,
        top_p: parameters.top_p,
        seed: parameters.seed,
        stop: parameters.stop.clone(),
        schema: call.request.schema.as_deref().map(str::to_owned),
        deadline_ms: u64::try_from(call.deadline.since(now).as_millis()).unwrap_or(u64::MAX),
    }
}

/// The call is too large for this model.
pub(super) fn too_large() -> Fault {
    // Another model may have a larger context.
    Fault { origin: Origin::Provider, kind: Kind::Caller, retry: Retry::Elsewhere }
}

impl From<FailureKind> for Fault {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Caller => too_large(),
            FailureKind::Timeout => Self::provider(Kind::Timeout),
            FailureKind::Truncated => Self::provider(Kind::Truncated),
            FailureKind::Cancelled | FailureKind::Engine => Self::provider(Kind::Transient),
        }
    }
}

impl From<frames::Finish> for Finish {
    fn from(finish: frames::Finish) -> Self {
        match finish {
            frames::Finish::Stop => Self::Stop,
            frames::Finish::Length => Self::Length,
        }
    }
}

impl From<frames::Usage> for Usage {
    fn from(usage: frames::Usage) -> Self {
        Self {
            cached_input: TokenCount(usage.cached),
            ..Self::of(TokenCount(usage.input), TokenCount(usage.output))
        }
    }
}
