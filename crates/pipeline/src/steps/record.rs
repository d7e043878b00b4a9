//! `record`: writes what happened, before the reply ends.

use std::time::Duration;

use domain::interaction::FinishedTurn;
use domain::time::Moment;

use crate::parts::{Durability, OnFailure, Pipeline};
use crate::trace::Word;
use crate::turn::{Recorded, TurnError};

impl Word for Result<Recorded, TurnError> {
    fn word(&self) -> &'static str {
        match self {
            Ok(Recorded::Yes) => "recorded",
            Ok(Recorded::No) => "not_recorded",
            Err(_) => "refused",
        }
    }
}

/// A store gets at least this long to confirm a record, also when the deadline is near.
const CONFIRM_MIN: Duration = Duration::from_secs(2);

pub(crate) async fn run(
    pipeline: &Pipeline,
    mut finished: Box<FinishedTurn>,
    deadline: Moment,
) -> Result<Recorded, TurnError> {
    let parts = &pipeline.parts;
    // A case number is a promise: it is never given before it is on disk. The next turn of a session reads this one.
    let may_be_late = parts.config.durability == Durability::Async
        && finished.interaction.case.is_none()
        && finished.session.is_none();
    if may_be_late {
        match pipeline.later.take(parts, finished) {
            None => return Ok(Recorded::Yes),
            Some(back) => finished = back,
        }
    }
    let id = finished.interaction.id.clone();
    let due = deadline.max(parts.clock.now().after(CONFIRM_MIN));
    match parts.before(due, parts.records.record(*finished)).await {
        Some(Ok(())) => return Ok(Recorded::Yes),
        // The store says itself when it begins to fail and when it works again; each reply says it, too, and is counted.
        Some(Err(error)) => {
            tracing::debug!(interaction.id = %id, %error, "the record could not be written");
        }
        None => tracing::warn!(interaction.id = %id, "the store did not confirm the record in time"),
    }
    match parts.config.on_failure {
        OnFailure::Answer => Ok(Recorded::No),
        OnFailure::Refuse => Err(TurnError::NotRecorded),
    }
}
