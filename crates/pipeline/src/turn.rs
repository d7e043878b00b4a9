//! What comes into the pipeline and what goes out of it.

use std::sync::Arc;
use std::time::Duration;

use access::limits::Refusal;
use domain::cache::{Told, Wish};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::id::{AgentName, InteractionId, SessionId};
use domain::interaction::{Door, Interaction};
use domain::ports::Watcher;
use domain::principal::Principal;
use domain::residency::Residency;
use domain::time::Moment;
use resilience::deadline::DEGRADED_RESERVE;
use resilience::shedding::Class;

/// One request on its way through the pipeline.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The id its record will have, known before it starts.
    pub interaction: InteractionId,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// The door it came through.
    pub door: Door,
    /// What the person wrote; not empty.
    pub text: String,
    /// The agent asked for; `None` for the default one.
    pub agent: Option<AgentName>,
    /// The conversation to continue.
    pub session: Option<SessionId>,
    /// The user, when the caller said.
    pub user_id: Option<String>,
    /// The caller's own id of this message: asked twice, answered once.
    pub message_id: Option<String>,
    /// Whatever else the caller sent along, as the JSON text of an object.
    pub metadata: Option<String>,
    /// At most this many tokens, when the caller said.
    pub max_tokens: Option<u32>,
    /// This temperature, when the caller said.
    pub temperature: Option<f32>,
    /// When the reply is due, whatever happens.
    pub deadline: Moment,
    /// Where the request says that it may be processed; its key and its agent may allow less.
    pub residency: Residency,
    /// How urgent it is.
    pub class: Class,
    /// Who watches it from outside, where someone does.
    pub watcher: Option<Arc<dyn Watcher>>,
    /// Whether an earlier answer will do.
    pub cache: Wish,
}

impl Turn {
    /// A turn that says nothing yet: of the default agent, without a conversation, as urgent as a person's, processed
    /// anywhere.
    #[must_use]
    pub fn new(interaction: InteractionId, door: Door, principal: Arc<Principal>, deadline: Moment) -> Self {
        Self {
            interaction,
            principal,
            door,
            text: String::new(),
            agent: None,
            session: None,
            user_id: None,
            message_id: None,
            metadata: None,
            max_tokens: None,
            temperature: None,
            deadline,
            residency: Residency::Anywhere,
            class: Class::default(),
            watcher: None,
            cache: Wish::Default,
        }
    }

    /// When whatever is asked must have answered, so that the static reply is still in time.
    pub(crate) fn models_due(&self) -> Moment {
        Moment(self.deadline.0.saturating_sub(DEGRADED_RESERVE))
    }
}

/// The one reply to a turn.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The whole record, texts included only as far as they are kept.
    pub interaction: Interaction,
    /// What the person reads.
    pub response: String,
    /// Whether the record is on disk.
    pub recorded: Recorded,
    /// When asking again may help: the turn was turned away with the static answer.
    pub retry_after: Option<Duration>,
    /// What came of looking for an earlier answer, where the agent allows that.
    pub cache: Option<Told>,
}

/// Whether a reply's record is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is (or, with `durability = "async"`, it is on its way).
    Yes,
    /// It could not be written; the reply says so.
    No,
}

/// A turn that gets an error instead of a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// The use case is not known and the configuration refuses such.
    #[error("there is no use case `{name}`; known are {known}")]
    UnknownUseCase {
        /// What was asked for.
        name: AgentName,
        /// What there is.
        known: String,
    },
    /// The caller's key does not let it ask this agent.
    #[error("this key may not ask the agent `{name}`")]
    NotAllowed {
        /// The agent.
        name: AgentName,
    },
    /// The record could not be written and the configuration refuses to answer without.
    #[error("the answer could not be recorded, so it is not given")]
    NotRecorded,
    /// Its key, its tenant or the server has not enough left.
    #[error(transparent)]
    Limited(Box<Refusal>),
    /// It asked for an earlier answer alone, and there is none.
    #[error("there is no earlier answer to this, and no model may be asked")]
    NotCached,
    /// Another turn of the same session did not end in time.
    #[error("another message of this session is still being answered")]
    SessionBusy,
}

impl TurnError {
    /// In the terms that status codes read.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownUseCase { .. } | Self::NotAllowed { .. } | Self::NotCached => {
                Fault::caller(Retry::Never)
            }
            Self::Limited(_) => Fault { origin: Origin::Caller, kind: Kind::Throttled, retry: Retry::Never },
            Self::NotRecorded | Self::SessionBusy => Fault::unavailable(),
        }
    }
}
