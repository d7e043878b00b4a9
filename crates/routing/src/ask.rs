//! What a router is asked and what it gives back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use domain::chat::{ChatRequest, ErrorReply, Relayed};
use domain::conversation::Conversation;
use domain::fault::Fault;
use domain::id::{ModelId, RouteName, TargetId};
use domain::model::{Model, Route, Tier};
use domain::ports::{ChatStream, ModelError, Scoreboard, Watcher};
use domain::residency::Residency;
use domain::spending::Weight;
use domain::time::Moment;
use resilience::breaker::Refused;

use crate::attempt::AttemptLog;
use crate::strategy::Affinity;

/// A request for one answer.
pub struct Ask<'a, Request = ChatRequest> {
    /// The ladder to walk.
    pub route: &'a Route,
    /// What is asked; tiers with overrides ask a changed copy.
    pub request: &'a Request,
    /// When the whole turn must be over.
    pub deadline: Moment,
    /// The catalogue, for costs; a model that is not in it is unpriced.
    pub prices: &'a BTreeMap<ModelId, Model>,
    /// How good models are, for tiers that ask for it.
    pub scores: &'a dyn Scoreboard,
    /// Where the request may be processed: no call is ever made elsewhere.
    pub residency: &'a Residency,
    /// What keeps requests that belong together with one target of a tier that goes by weight.
    pub affinity: Option<Affinity>,
    /// What the person asked, where the request holds more than that.
    pub question: Option<&'a str>,
    /// When the turn began: attempts are recorded relative to it.
    pub started: Moment,
    /// Tiers that are not tried again.
    pub skip: Skip,
    /// How much of the answer must be there before the walk ends.
    pub want: Want<'a>,
    /// Where the attempts are recorded. One for each turn: its failures count towards the limit of attempts, and its
    /// length numbers them.
    pub log: &'a AttemptLog,
    /// Who watches the request, where someone does: its calls carry what that says of its trace.
    pub watcher: Option<&'a dyn Watcher>,
}

/// How much of an answer ends the walk for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want<'a> {
    /// Its first text: what fails afterwards is told in its stream.
    Begun,
    /// All of it: whatever fails before is tried again like any failure before the first text.
    Whole,
    /// The first text of the rest of one that broke off.
    Rest {
        /// The target that broke off: it is not asked to go on.
        broken: &'a TargetId,
    },
}

/// The tiers that earlier generations of the same turn have used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skip {
    first_index: usize,
}

impl Skip {
    /// None.
    pub const NONE: Self = Self { first_index: 0 };

    /// Those above `tier_index`, which is tried again.
    #[must_use]
    pub fn before(tier_index: usize) -> Self {
        Self { first_index: tier_index }
    }

    /// `tier_index` and those above it.
    #[must_use]
    pub fn through(tier_index: usize) -> Self {
        Self { first_index: tier_index.saturating_add(1) }
    }

    /// The first tier that is tried.
    pub(crate) fn first_index(self) -> usize {
        self.first_index
    }
}

/// A caller's own request, to be passed on as it is.
#[derive(Debug, Clone)]
pub struct Passing {
    /// The request.
    pub relayed: Arc<Relayed>,
    /// How much it may use.
    pub weight: Weight,
    /// When a stream that has begun must be over; `None` leaves it the policy's longest call. Its first word is due at
    /// the deadline, like any answer.
    pub streams_until: Option<Moment>,
}

/// A caller's own request in the words of no dialect: its answer is understood piece by piece, so that another target
/// can go on with it.
#[derive(Debug, Clone)]
pub struct Conversing {
    /// The request as it came.
    pub passing: Passing,
    /// What is asked.
    pub conversation: Arc<Conversation>,
}

/// An answer that has begun.
pub struct Answering<Stream = ChatStream> {
    /// The rung that answers; `embedded` whenever the model runs here.
    pub tier: Tier,
    /// Its place in the route, for [`Skip`].
    pub tier_index: usize,
    /// The model.
    pub model: ModelId,
    /// The target.
    pub target: TargetId,
    /// The attempt's number, from 1 over all of the turn.
    pub attempt: u32,
    /// When the stream ends at the latest, where it is read.
    pub until: Moment,
    /// The answer: one or more deltas (none empty), then `Done`; or an error of kind `truncated` (`content` when the
    /// provider's filter cut it), after which nothing comes. Read it to its `Done`: dropped before, the call is
    /// cancelled and recorded so. A relayed answer is portions, the last of which says that it is done.
    pub stream: Stream,
}

impl<Stream> fmt::Debug for Answering<Stream> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering")
            .field("tier", &self.tier)
            .field("target", &self.target)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// How an [`Ask`] ends.
pub type Dispatched<Stream = ChatStream> = Result<Answering<Stream>, Box<Unanswered>>;

/// No model answers.
#[derive(Debug, Clone, thiserror::Error)]
#[error("route `{route}` has no answer: {reason}")]
pub struct Unanswered {
    /// The route.
    pub route: RouteName,
    /// Why the walk ended.
    pub reason: Reason,
    /// What status codes and callers read: the last failure, or ours when no call was made. When all targets are
    /// shut for a known time, its retry is `After` that time.
    pub fault: Fault,
    /// Targets that were not called, in the order of the walk.
    pub skipped: Vec<Skipped>,
    /// The last failure.
    #[source]
    pub last: Option<ModelError>,
    /// The rung whose call failed last.
    pub last_tier: Option<Tier>,
    /// What the provider itself said of it, where a relayed call was refused.
    pub reply: Option<Box<ErrorReply>>,
}

/// Why a walk ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No call was made: every target is shut or not configured.
    #[error("no target may be called now")]
    NoCandidate,
    /// Every tier was tried.
    #[error("every model that may be called failed")]
    Exhausted,
    /// The calls that were made failed, and no more may be: others were not asked.
    #[error("the calls failed that one request may make (`attempts_per_tier`, `attempts_per_request`)")]
    AttemptsUsedUp,
    /// The failure says that no model helps.
    #[error("the request fails with any model")]
    Stopped,
    /// No call was made: every target of the route may process the request where it must not be.
    #[error("no target may process it where it must stay")]
    Residency,
    /// No time was left for the next tier.
    #[error("the deadline is over")]
    OutOfTime,
}

/// A target that was not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The target.
    pub target: TargetId,
    /// Why not.
    pub why: Why,
}

/// Why a target was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Its breaker or quota gate is shut.
    #[error("{0}")]
    Refused(Refused),
    /// Its provider is not configured or not running.
    #[error("its provider is not there")]
    NoProvider,
    /// It may process the request where it must not be.
    #[error("the request must not be processed there")]
    Residency,
    /// Nobody found it good enough for its tier.
    #[error("it is not good enough for its tier")]
    BelowFloor,
    /// The tier's or request's attempts are used up.
    #[error("the attempts are used up")]
    AttemptsUsedUp,
    /// Its provider's retry budget is used up.
    #[error("its provider's retry budget is used up")]
    RetryBudget,
    /// The answer that is to go on broke off there.
    #[error("the answer broke off there")]
    BrokeOff,
}

impl Why {
    /// Until when that will be so, where known.
    pub(crate) fn until(self) -> Option<Moment> {
        match self {
            Self::Refused(Refused::Open { until } | Refused::Quota { until }) => Some(until),
            Self::Refused(Refused::Probing | Refused::Full)
            | Self::NoProvider
            | Self::Residency
            | Self::BelowFloor
            | Self::AttemptsUsedUp
            | Self::RetryBudget
            | Self::BrokeOff => None,
        }
    }
}
