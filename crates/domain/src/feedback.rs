//! What people think of an answer.

use crate::id::{FeedbackId, InteractionId, SessionId, TenantId};
use crate::time::Timestamp;

/// A piece of feedback.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// Unique for each piece.
    pub id: FeedbackId,
    /// The answer it is about.
    pub interaction: InteractionId,
    /// The conversation, when known.
    pub session: Option<SessionId>,
    /// How it was given.
    pub kind: FeedbackKind,
    /// 1 (bad) to 5 (good).
    pub rating: Option<u8>,
    /// Up or down.
    pub thumb: Option<Thumb>,
    /// In the person's words.
    pub comments: Option<String>,
    /// What was seen, for implicit feedback (`rephrase`, `abandon`, …).
    pub signal: Option<String>,
    /// Anything else the caller sent, as JSON text of an object.
    pub metadata: Option<String>,
    /// When it arrived.
    pub at: Timestamp,
}

/// How feedback was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackKind {
    /// The person said so.
    Explicit,
    /// Concluded from what the person did.
    Implicit,
}

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thumb {
    /// Helpful.
    Up,
    /// Not helpful.
    Down,
}

/// Which feedback to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct FeedbackFilter {
    /// Of this tenant; `None` for that of all.
    pub tenant: Option<TenantId>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// About this answer.
    pub interaction: Option<InteractionId>,
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// At most this many.
    pub limit: usize,
}
