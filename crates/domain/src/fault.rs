//! What went wrong, in the only terms that retry, fallback, status codes and alarms read.

use std::time::Duration;

/// A classified failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Whose failure it is.
    pub origin: Origin,
    /// What kind of failure.
    pub kind: Kind,
    /// What may be tried next.
    pub retry: Retry,
}

/// Whose failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The caller asked for something that cannot be.
    Caller,
    /// Mainstay itself: store, disk, overload.
    Mainstay,
    /// The model's provider.
    Provider,
}

/// The kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Broken connection, 5xx, unreadable reply: may work the next time.
    Transient,
    /// Asked to slow down (429): never counts for the breaker.
    Throttled,
    /// No answer within the limit.
    Timeout,
    /// This target will not work until someone acts: model retired, access denied, bad credentials.
    RouteFatal,
    /// The request is at fault: too long, malformed.
    Caller,
    /// The provider's content filter refused.
    Content,
    /// The reply ended before it was whole, after a part of it was released.
    Truncated,
    /// Ours: no candidate left, overloaded, store or disk away.
    Unavailable,
}

impl Kind {
    /// The stable name used in records, metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::RouteFatal => "route_fatal",
            Self::Caller => "caller",
            Self::Content => "content",
            Self::Truncated => "truncated",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What may be tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing: the same request fails everywhere.
    Never,
    /// The same target again.
    Here,
    /// Another target only.
    Elsewhere,
    /// The same target, not before this wait.
    After(Duration),
}

impl Fault {
    /// A provider's failure of `kind` with that kind's usual retry.
    #[must_use]
    pub fn provider(kind: Kind) -> Self {
        let retry = match kind {
            Kind::Transient | Kind::Throttled | Kind::Timeout => Retry::Here,
            Kind::RouteFatal | Kind::Unavailable => Retry::Elsewhere,
            Kind::Caller | Kind::Content | Kind::Truncated => Retry::Never,
        };
        Self { origin: Origin::Provider, kind, retry }
    }

    /// A caller's mistake, which no other target mends (`Never`), or one may (`Elsewhere`).
    #[must_use]
    pub fn caller(retry: Retry) -> Self {
        Self { origin: Origin::Caller, kind: Kind::Caller, retry }
    }

    /// The same, not tried again before `wait`, where one is named.
    #[must_use]
    pub fn after(self, wait: Option<Duration>) -> Self {
        Self { retry: wait.map_or(self.retry, Retry::After), ..self }
    }

    /// Our own failure: another target may still work.
    #[must_use]
    pub fn unavailable() -> Self {
        Self { origin: Origin::Mainstay, kind: Kind::Unavailable, retry: Retry::Elsewhere }
    }
}
