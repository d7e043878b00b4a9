//! `capture_user_query`: finds the session and whether this message was answered before.

use domain::id::{SessionId, prefixed};
use domain::interaction::{Door, Interaction};
use domain::session::{Session, SessionRequest};

use crate::parts::Parts;
use crate::trace::Word;
use crate::turn::Turn;

/// What is known before anything is decided.
#[derive(Debug)]
pub(crate) enum Captured {
    /// A new message; with its session, for `/query`.
    New(Option<Session>),
    /// The same message was answered before.
    Repeated(Box<Interaction>),
}

impl Word for Captured {
    fn word(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Repeated(_) => "repeated",
        }
    }
}

/// Messages read back for context: the last five turns.
const MESSAGES_MAX: usize = 10;

pub(crate) async fn run(parts: &Parts, turn: &Turn) -> Captured {
    if turn.door == Door::Generate {
        return Captured::New(None);
    }
    if let (Some(session), Some(message_id)) = (&turn.session, &turn.message_id) {
        match parts.sessions.answered(session, message_id).await {
            // An answer whose text was not kept cannot be given again: it is made again.
            Ok(Some(interaction)) if interaction.user_id == turn.user_id && interaction.response.is_some() => {
                return Captured::Repeated(Box::new(interaction));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not look for an earlier answer"),
        }
    }
    let new_id = SessionId::new(prefixed("ses", parts.ids.next_id()));
    let now = parts.clock.wall();
    let request = SessionRequest {
        id: turn.session.clone(),
        new_id: new_id.clone(),
        user_id: turn.user_id.clone(),
        now,
        messages_max: MESSAGES_MAX,
    };
    let session = match parts.sessions.open(request).await {
        Ok(session) => session,
        // The assistant answers without its history rather than not at all; the id is kept,
        // so that the conversation goes on where it was once the store is back.
        Err(error) => {
            tracing::warn!(%error, "could not read the session, going on without its history");
            Session {
                id: turn.session.clone().unwrap_or(new_id),
                user_id: turn.user_id.clone(),
                created: now,
                turn_count: 0,
                clarifications: 0,
                recent: Vec::new(),
            }
        }
    };
    Captured::New(Some(session))
}
