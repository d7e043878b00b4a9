//! Conversations.

use std::time::Duration;

use crate::chat::Role;
use crate::id::{InteractionId, SessionId, TenantId};
use crate::time::Timestamp;

/// A conversation as it stands before a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is, when the caller said.
    pub user_id: Option<String>,
    /// When it was opened.
    pub created: Timestamp,
    /// Turns finished so far.
    pub turn_count: u32,
    /// Clarifying questions asked in a row.
    pub clarifications: u32,
    /// Its latest messages, oldest first.
    pub recent: Vec<SessionMessage>,
}

/// A message of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMessage {
    /// Who spoke.
    pub role: Role,
    /// What was said.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// The turn it belongs to.
    pub interaction: InteractionId,
}

/// Asks for a session to continue, or a new one.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    /// The session to continue. Unknown, expired, another tenant's or another user's: a new one is made instead.
    pub id: Option<SessionId>,
    /// Whose it must be.
    pub tenant: TenantId,
    /// The id a new session gets.
    pub new_id: SessionId,
    /// The user, when the caller said.
    pub user_id: Option<String>,
    /// Now.
    pub now: Timestamp,
    /// At most this many recent messages are read.
    pub messages_max: usize,
}

/// What a finished turn does to its session; written together with the interaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTurn {
    /// The session; created when it does not exist.
    pub id: SessionId,
    /// The tenant it belongs to; one of another tenant is never touched.
    pub tenant: TenantId,
    /// Whose it is.
    pub user_id: Option<String>,
    /// When the session was opened.
    pub created: Timestamp,
    /// The caller's own id of this message; a second turn with it returns the first answer.
    pub message_id: Option<String>,
    /// The user's text and the reply, in order; empty when texts are not kept.
    pub messages: Vec<SessionMessage>,
    /// Clarifying questions asked in a row, after this turn.
    pub clarifications: u32,
    /// How long the session lives from now.
    pub ttl: Duration,
}
