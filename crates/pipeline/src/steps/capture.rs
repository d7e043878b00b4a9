//! `capture_user_query`: finds the session and whether this message was answered before.

use std::time::Duration;

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
/// A store that does not say more in this time is treated as away: an answer without history is better than none.
const STORE_MAX: Duration = Duration::from_secs(2);

pub(crate) async fn run(parts: &Parts, turn: &Turn) -> Captured {
    if turn.door == Door::Generate {
        return Captured::New(None);
    }
    let tenant = &turn.principal.asker.tenant;
    let due = turn.models_due().min(parts.clock.now().after(STORE_MAX));
    if let (Some(session), Some(message_id)) = (&turn.session, &turn.message_id) {
        let answered = parts.sessions.answered(tenant, session, message_id);
        match parts.before(due, answered).await {
            // An answer whose text was not kept cannot be given again: it is made again.
            Some(Ok(Some(interaction)))
                if interaction.user_id == turn.user_id && interaction.response.is_some() =>
            {
                return Captured::Repeated(Box::new(interaction));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::warn!(%error, "could not look for an earlier answer"),
            None => tracing::warn!("the store did not say in time whether there is an earlier answer"),
        }
    }
    let new_id = SessionId::new(prefixed("ses", parts.ids.next_id()));
    let now = parts.clock.wall();
    let request = SessionRequest {
        id: turn.session.clone(),
        tenant: tenant.clone(),
        new_id: new_id.clone(),
        user_id: turn.user_id.clone(),
        now,
        messages_max: MESSAGES_MAX,
    };
    match parts.before(due, parts.sessions.open(request)).await {
        Some(Ok(session)) => return Captured::New(Some(session)),
        Some(Err(error)) => {
            tracing::warn!(%error, "could not read the session, going on without its history")
        }
        None => tracing::warn!("the store did not open the session in time, going on without its history"),
    }
    // The id is kept, so that the conversation goes on where it was once the store is back.
    Captured::New(Some(Session {
        id: turn.session.clone().unwrap_or(new_id),
        user_id: turn.user_id.clone(),
        created: now,
        turn_count: 0,
        clarifications: 0,
        recent: Vec::new(),
    }))
}
