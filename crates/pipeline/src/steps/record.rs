//! `record`: writes what happened, before the reply ends.

use std::sync::Arc;
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
    finished: FinishedTurn,
    deadline: Moment,
) -> Result<Recorded, TurnError> {
    let parts = &pipeline.parts;
    // A case number is a promise: it is never given before it is on disk.
    let may_be_late = parts.config.durability == Durability::Async && finished.interaction.case.is_none();
    if may_be_late && let Ok(permit) = Arc::clone(&pipeline.writing_later).try_acquire_owned() {
        let records = Arc::clone(&parts.records);
        parts.tasks.spawn(async move {
            let id = finished.interaction.id.clone();
            if let Err(error) = records.record(finished).await {
                tracing::error!(interaction.id = %id, %error, "a record was lost");
            }
            drop(permit);
        });
        return Ok(Recorded::Yes);
    }
    let id = finished.interaction.id.clone();
    let due = deadline.max(parts.clock.now().after(CONFIRM_MIN));
    match parts.before(due, parts.records.record(finished)).await {
        Some(Ok(())) => return Ok(Recorded::Yes),
        Some(Err(error)) => {
            tracing::error!(interaction.id = %id, %error, "the record could not be written");
        }
        None => tracing::error!(interaction.id = %id, "the store did not confirm the record in time"),
    }
    match parts.config.on_failure {
        OnFailure::Answer => Ok(Recorded::No),
        OnFailure::Refuse => Err(TurnError::NotRecorded),
    }
}
