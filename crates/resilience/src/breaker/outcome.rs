//! What a finished call says about its target, and why one may not begin.

use std::time::Duration;

use domain::fault::{Fault, Kind, Retry};
use domain::time::Moment;

/// What a finished call says about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Success,
    /// It failed in a way that counts.
    Failure,
    /// It will not work until someone acts.
    RouteFatal,
    /// It asked to be left alone, for this long where it said so.
    Throttled(Option<Duration>),
    /// Nothing: the request was at fault, we were, or nobody waited for the answer.
    Ignored,
}

impl Outcome {
    /// What `fault` says about the target that it came from.
    #[must_use]
    pub fn of(fault: &Fault) -> Self {
        match fault.kind {
            Kind::Transient | Kind::Timeout | Kind::Truncated => Self::Failure,
            Kind::RouteFatal => Self::RouteFatal,
            Kind::Throttled => Self::Throttled(match fault.retry {
                Retry::After(wait) => Some(wait),
                Retry::Never | Retry::Here | Retry::Elsewhere => None,
            }),
            Kind::Caller | Kind::Content | Kind::Unavailable => Self::Ignored,
        }
    }
}

/// Why a target may not be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The breaker is open until then.
    #[error("its breaker is open")]
    Open {
        /// When one probe may go.
        until: Moment,
    },
    /// The breaker is half-open and its probe is under way.
    #[error("its breaker is half-open and a probe is under way")]
    Probing,
    /// The target asked to be left alone until then.
    #[error("it asked to slow down")]
    Quota {
        /// When it may be called again.
        until: Moment,
    },
    /// It has as many calls as it may have.
    #[error("it has as many calls as it may have at once")]
    Full,
}
