//! What a breaker looks like from outside.

use domain::time::Moment;

use super::window::Counts;

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many failures in a row.
    Failures,
    /// Too large a share of the calls in the window failed.
    FailureRate,
    /// Too large a share of the calls in the window was slow.
    Slowness,
    /// The target said that it will not work until someone acts.
    RouteFatal,
    /// The probe failed or said nothing.
    Probe,
    /// It was open before the restart.
    Restored,
}

impl Cause {
    /// The stable name used in health reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::FailureRate => "failure_rate",
            Self::Slowness => "slowness",
            Self::RouteFatal => "route_fatal",
            Self::Probe => "probe",
            Self::Restored => "restored",
        }
    }

    /// The same as a sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Failures => "too many calls failed in a row",
            Self::FailureRate => "too many of its last calls failed",
            Self::Slowness => "too many of its last calls were slow",
            Self::RouteFatal => "it said that it will not work until someone acts",
            Self::Probe => "the call that tried it again failed",
            Self::Restored => "it was open before the restart",
        }
    }
}

/// What a breaker looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Traffic flows.
    Closed,
    /// One probe decides.
    HalfOpen,
    /// No calls until then.
    Open {
        /// When one probe may go.
        until: Moment,
    },
}

impl Position {
    /// The stable name used in health reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open { .. } => "open",
        }
    }

    /// The value of the breaker metric: 0 closed, 1 half-open, 2 open.
    #[must_use]
    pub fn metric(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open { .. } => 2,
        }
    }
}

/// A breaker's state for health reports and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Where it stands.
    pub position: Position,
    /// Failures in a row.
    pub failures: u32,
    /// The calls of its window; none unless closed.
    pub counts: Counts,
    /// Times it opened since it last closed.
    pub opens: u32,
    /// Why it opened last; `None` when closed.
    pub cause: Option<Cause>,
    /// Until when the target asked to be left alone.
    pub quota_until: Option<Moment>,
}
